"""What one does with a trained adapter: talk to it beside its base, merge it into the weights, share it.

    python -m use talk runs/my-run "What comes next: 2, 5, 8, 11?"
    python -m use merge runs/my-run merged
    python -m use push runs/my-run me/my-model

The door is the command `python -m use`; nothing in the house leans on it.
"""
