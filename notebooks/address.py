"""Say once where this repository lives, and every badge and first cell of the course says so too.

    python notebooks/address.py your-name/rapo-mini

writes it into `course.py` (REPOSITORY), the badges of the project's README and all notebooks: the Colab
badge at the top, and the address that the first cell clones where there is no copy of the project.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from course import NAMES, REPOSITORY  # noqa: E402
from watch.files import write_whole  # noqa: E402

ADDRESS = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+")


def badge(name: str, repository: str = REPOSITORY) -> str:
    """The Colab badge of a notebook, in Markdown.

    >>> badge("03_kl", "me/rapo-mini").rpartition("github/")[2]
    'me/rapo-mini/blob/main/notebooks/03_kl.ipynb)'
    """
    page = f"https://colab.research.google.com/github/{repository}/blob/main/notebooks/{name}.ipynb"
    picture = "https://colab.research.google.com/assets/colab-badge.svg"
    return f"[![Open In Colab]({picture})]({page})"


def main() -> int:
    parser = argparse.ArgumentParser(description="Set where this repository lives on GitHub.")
    parser.add_argument("repository", help="such as your-name/rapo-mini")
    args = parser.parse_args()
    if not ADDRESS.fullmatch(args.repository):
        parser.error(f"{args.repository!r} is no address: owner/name is needed, as on GitHub")
    notebooks = [HERE / f"{name}.ipynb" for name in NAMES.values()]
    files = [HERE / "course.py", HERE.parent / "README.md", *notebooks]
    for path in files:
        text = path.read_text(encoding="utf-8")
        write_whole(path, text.replace(REPOSITORY, args.repository))
    print(f"{args.repository}: in course.py, README.md and {len(NAMES)} notebooks")
    return 0


if __name__ == "__main__":
    sys.exit(main())
