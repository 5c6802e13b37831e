"""The objective inside TRL on accelerate, for more than one GPU. `python -m scale` trains.

`from scale.trainer import RAPOTrainer` and `from scale.options import RAPOConfig` are its door.
"""
