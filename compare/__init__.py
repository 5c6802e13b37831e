"""Arms x seeds: the plan of a comparison, its cells, its tables and figures. `python -m compare` runs it."""
