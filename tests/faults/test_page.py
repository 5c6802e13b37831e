"""docs/reliability.md names tests that are there."""

import re
from pathlib import Path

HERE = Path(__file__).parent
PAGE = (HERE.parent.parent / "docs" / "reliability.md").read_text(encoding="utf-8")


def test_every_promise_names_a_test_that_holds_it():
    rows = re.findall(r"^\| .* \| .* \| `(\w+\.py)::(\w+)` \|$", PAGE, re.M)
    assert len(rows) > 20
    for file, test in rows:
        assert f"def {test}(" in (HERE / file).read_text(encoding="utf-8"), test
