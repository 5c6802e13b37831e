"""What a run writes and shows: its folder, its log, its health, a trace of single steps, figures.

Who enters: `rapo_mini.py`, `pass_at_k.py`, `compare/`. `python -m watch DIR` shows a trace in the
terminal.
"""
