"""What a run writes and shows: its folder, its log, its health, a trace of single steps, figures.

Used by `rapo_mini.py`, `pass_at_k.py`, `compare/` and `scale/`. `python -m watch DIR` shows a trace in
the terminal.
"""
