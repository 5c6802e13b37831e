"""What the machine allows: loading a base, what fits into memory, what to do when it does not, decoding on fixed memory.

Who enters: `policy.py`, `sampler.py`, `step.py`, `rapo_mini.py`. Nothing here changes a number of a run.
"""
