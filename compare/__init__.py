"""Arms x seeds -> the paper's figure in miniature: who ends above its own base, and at which k.

    python -m compare --quick      base, GRPO and RAPO, one seed: minutes
    python -m compare              everything in docs/results.md: hours; goes on where it was stopped

`plan.py` says which runs there are, `cells.py` runs them, `results.py` answers questions about what they
left in compare.json, `tables.py` and `figures.py` show the answers. The door is the command;
`from compare.results import Results` reads a finished comparison.
"""
