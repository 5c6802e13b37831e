"""What the machine allows: loading a base, planning memory, getting by with less of it.

Used by `policy.py`, `sampler.py`, `step.py`, `rapo_mini.py`, and by `pass_at_k.py`, `watch/` and
`scale/` for what they load. But for `--quant`, what is chosen here changes speed, memory and last
digits.
"""
