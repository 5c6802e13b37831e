"""Make the pictures of the trace page: docs/trace.png, trace-phone.png, trace-beside.png and trace.gif.

    pip install -r requirements-dev.txt
    python docs/trace_pictures.py

It needs Chromium (Debian: apt-get install chromium). A run of the program's defaults is trained and its
last step traced; from its adapter RAPO and GRPO each make one step, which trace-beside.png shows.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tyro
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
NAMES = ("chromium", "chromium-browser", "google-chrome")
MISSING = "no Chromium is here: on Debian, apt-get install chromium"
QUIET = ("no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-sync")
QUIET += ("disable-background-networking", "disable-component-update")
WIDE = {"width": 1200, "height": 1000}
PHONE = {"width": 390, "height": 844}


@dataclass(frozen=True)
class Pictures:
    """Make the pictures of the trace page for the README and docs/trace.md."""

    steps: int = 20
    """Train so many steps; the last one is shown."""
    out: Path = DOCS
    """The folder for the pictures."""
    seconds: float = 60
    """How long a browser may take for one picture."""


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


# ---------------------------------------------------------------- the traces


def make_traces(folder: Path, steps: int) -> None:
    """folder/trace: the last step of a run; folder/rapo and folder/grpo: one more step of each arm."""
    train(folder, "run", "--steps", steps, "--trace", "trace", "--trace-at", "last")
    for arm in ("rapo", "grpo"):
        train(
            folder,
            f"{arm}-run",
            *("--steps", 1, "--arm", arm, "--adapter", "run/adapter", "--trace", arm),
        )
    command("-m", "watch", folder / "rapo", "--beside", folder / "grpo")


def train(folder: Path, out: str, *flags: object) -> None:
    flags = (*flags, "--out", out, "--eval-problems", 0, "--show-every", 0)
    command(ROOT / "rapo_mini.py", *flags, cwd=folder)


def command(*args: object, cwd: Path = ROOT) -> None:
    """Run this Python with these arguments; what it prints is of no use here."""
    subprocess.run(
        [sys.executable, *map(str, args)], check=True, cwd=cwd, stdout=subprocess.DEVNULL
    )


# ---------------------------------------------------------------- the pictures


def take(folder: Path, asked: Pictures) -> None:
    """The four pictures, from the traces in `folder`."""
    with chromium() as browser:

        def opened(file: str, size: dict, scale: float = 1.0, touch: bool = False):
            page = browser.new_page(
                viewport=size, device_scale_factor=scale, has_touch=touch, is_mobile=touch
            )
            page.set_default_timeout(asked.seconds * 1000)
            page.goto((folder / file).as_uri())
            return page

        page = opened("trace/trace.html", WIDE | {"height": 1500}, 1.5)
        page.screenshot(path=asked.out / "trace.png")
        phone = opened("trace/trace.html", PHONE, 2, touch=True)
        phone.locator(".tokens [aria-current]").tap()  # its numbers open
        phone.wait_for_timeout(500)  # painting comes after scrolling
        phone.screenshot(path=asked.out / "trace-phone.png")
        beside = opened("rapo/beside.html", WIDE, 1.5)
        beside.locator("#work").evaluate("e => e.scrollIntoView()")
        beside.screenshot(path=asked.out / "trace-beside.png")
        animate(opened("trace/trace.html", WIDE | {"height": 760}), asked.out / "trace.gif")


def animate(page, path: Path) -> None:
    """A walk through the page as a GIF: the stops, the tokens by the keys, the colours, the slider."""
    frames: list[tuple[bytes, int]] = []

    def shoot(milliseconds: int) -> None:
        frames.append((page.screenshot(), milliseconds))

    shoot(3000)
    page.locator("#forces").evaluate("e => e.scrollIntoView()")
    shoot(2500)
    page.locator("#work").evaluate("e => e.scrollIntoView()")
    page.locator(".tokens [aria-current]").focus()
    page.locator("#work").evaluate("e => e.scrollIntoView()")
    shoot(2500)
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "ArrowDown", "ArrowUp", "Home"):
        page.keyboard.press(key)
        shoot(900)
    for key in "231":
        page.keyboard.press(key)
        shoot(1500)
    if page.locator(".phi").count():
        for phi in ("0.9", "0.7", "0.5", "0.3", "0.1"):
            page.locator(".phi").first.fill(phi)
            shoot(700)
    write_gif(frames, path)


def write_gif(frames: list[tuple[bytes, int]], path: Path, width: int = 900, colours: int = 64):
    """PNGs, each with its milliseconds, as one GIF with a palette that all frames share."""
    pictures = [Image.open(io.BytesIO(png)).convert("RGB") for png, _ in frames]
    size = (width, round(width * pictures[0].height / pictures[0].width))
    pictures = [picture.resize(size, Image.Resampling.LANCZOS) for picture in pictures]
    sheet = Image.new("RGB", (size[0], size[1] * len(pictures)))
    for n, picture in enumerate(pictures):
        sheet.paste(picture, (0, n * size[1]))
    palette = sheet.quantize(colours, method=Image.Quantize.MEDIANCUT)
    first, *rest = (p.quantize(palette=palette, dither=Image.Dither.NONE) for p in pictures)
    times = [milliseconds for _, milliseconds in frames]
    first.save(path, save_all=True, append_images=rest, duration=times, loop=0, optimize=True)


def main(asked: Pictures) -> None:
    with tempfile.TemporaryDirectory() as folder:
        make_traces(Path(folder), asked.steps)
        take(Path(folder), asked)
    for name in ("trace.png", "trace-phone.png", "trace-beside.png", "trace.gif"):
        print(f"{asked.out / name}: {(asked.out / name).stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main(tyro.cli(Pictures, description=Pictures.__doc__))
