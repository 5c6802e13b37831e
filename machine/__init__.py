"""What the machine allows: loading a base, planning memory, doing with less of it, fixed memory.

Who enters: `policy.py`, `sampler.py`, `step.py`, `rapo_mini.py`. Nothing here changes a number of a run.
"""
