"""Arms x seeds: a comparison's plan, cells, tables and figures. `python -m compare` runs it."""
