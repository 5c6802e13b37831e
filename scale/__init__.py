"""The objective inside TRL on accelerate, for more than one GPU.

    python -m scale --steps 50
    accelerate launch --config_file scale/ddp.yaml -m scale --data gsm8k
    python -m scale.estimate                   what 8 and 64 GPUs would give, on paper

`from scale.trainer import RAPOTrainer` and `from scale.options import RAPOConfig` are the door for a
script of your own; `command.py` is the one behind `python -m scale`. See docs/scaling.md.
"""
