"""Where problems come from, and what a completion is worth.

The bundled puzzles, the public sets, data of one's own; the verifier, and the functions of --reward.
The door is `problems.py`; these modules return rows and know neither prompts nor models. Used by
`problems.py`, and `tiny_base/`, whose texts are made of the same rules.
"""

# A problem, its gold answer, the kind it is counted under ("" if unknown), and, of one's own data, the
# columns that reward functions may want.
Row = tuple[str, str, str] | tuple[str, str, str, dict]
