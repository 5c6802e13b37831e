"""Where the parser stands in the tokens: a look ahead, a step, a bound on the depth.

Below `answers.parser`, which reads the tokens of `answers.tokens` from left to right.
"""

from contextlib import contextmanager

from answers.tokens import Token
from answers.tree import MAX_DEPTH, TooLarge, Unreadable

END = ("end", "", False)


class Cursor:
    """A place in a list of tokens; the state that all functions of the parser share."""

    def __init__(self, cut: list[Token]):
        self.cut = cut
        self.at = 0
        self.depth = 0  # of brackets, arguments and exponents
        self.bars = 0  # 1 within |...|, where | closes; 2 within {...}, where | and : part a set

    def peek(self, ahead: int = 0) -> Token:
        """The next token, or one further on; ("end", "", False) past the last."""
        try:
            return self.cut[self.at + ahead]
        except IndexError:
            return END

    def take(self, *values: str) -> str | None:
        """Step over the next token if it is one of these operators; its value, else None."""
        try:
            kind, value, _ = self.cut[self.at]
        except IndexError:
            return None
        if kind != "op" or (values and value not in values):
            return None
        self.at += 1
        return value

    def need(self, *values: str) -> str:
        """Like `take`, but raises Unreadable for anything else."""
        found = self.take(*values)
        if found is None:
            raise Unreadable(f"{' or '.join(values)} expected, {self.peek()[1] or 'the end'} found")
        return found

    @contextmanager
    def deeper(self):
        """One level down; raises TooLarge past MAX_DEPTH, so that no text exhausts Python's stack."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise TooLarge(f"brackets more than {MAX_DEPTH} deep")
        try:
            yield
        finally:
            self.depth -= 1
