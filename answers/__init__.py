"""From the text of an answer to a judgement: is it worth the same as the gold answer?

Bottom up: `words` (the vocabulary), `tree` (what an answer is read into), `spelling`, `tokens`,
`cursor`, `values` and `parser` (text to tree), `forms`, `algebra`, `scalars`, `sets`, `structure`
(tree against tree), `judge` (sympy in a process of its own). Before all of them: `span` (which text
of a completion is its answer). Only `verifier.py` imports from here.
"""
