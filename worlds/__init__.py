"""Where problems come from: the bundled puzzles, the public sets, files of one's own.

The door is `problems.py`; these modules return rows and know neither prompts nor models. Used by
`problems.py`, and `tiny_base/`, whose texts are made of the same rules.
"""

Row = tuple[
    str, str, str
]  # a problem, its gold answer, and the kind it is counted under, "" if unknown
