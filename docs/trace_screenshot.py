"""Make docs/trace.png: three traced steps of the bundled base, and the page as a browser shows it.

    pip install -r requirements-dev.txt
    python docs/trace_screenshot.py

It needs Chromium (Debian: apt-get install chromium). The picture is the page's upper part at 1200
pixels, the last of the three steps, coloured by the KL.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("chromium", "chromium-browser", "google-chrome")
MISSING = "no Chromium is here: on Debian, apt-get install chromium"
QUIET = ("no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-sync")
QUIET += ("disable-background-networking", "disable-component-update")


def chromium_path() -> str | None:
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@contextlib.contextmanager
def chromium() -> Iterator:
    """A headless browser of Playwright's, with a new and empty profile that is thrown away."""
    from playwright.sync_api import sync_playwright

    path = chromium_path()
    if path is None:
        raise FileNotFoundError(MISSING)
    with sync_playwright() as playwright:
        flags = [f"--{flag}" for flag in QUIET]
        browser = playwright.chromium.launch(executable_path=path, args=flags)
        yield browser
        browser.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        out = Path(folder) / "out"
        run = [sys.executable, ROOT / "rapo_mini.py", "--steps", "3", "--trace", out]
        run += ["--out", Path(folder) / "run", "--eval-problems", "0"]
        subprocess.run(run, check=True, cwd=folder)
        page = browser.new_page(viewport={"width": 1200, "height": 1135}, device_scale_factor=1.5)
        page.goto((out / "trace.html").as_uri())
        page.locator("#step").fill("2")
        page.keyboard.press("2")
        page.locator(".tokens [aria-current]").focus()
        page.evaluate("scrollTo(0, 0)")
        page.screenshot(path=ROOT / "docs" / "trace.png")


if __name__ == "__main__":
    main()
