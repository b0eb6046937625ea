"""The README's picture of the leaderboard, from the committed page, by a headless Chromium: ``make picture``."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from benchmarks.browser import Browser

ROOT = Path(__file__).parents[1]
PAGE, PICTURE = ROOT / "leaderboards" / "index.html", ROOT / "docs" / "figures" / "leaderboard.png"
DATASET = "dsprites"
WIDTH, HEIGHT, SCALE = 1280, 900, 1.25  # CSS pixels, and pixels of the picture for each
CHOOSE = f"""(() => {{ const select = document.getElementById('dataset'); select.value = '{DATASET}';
  select.dispatchEvent(new Event('input', {{ bubbles: true }})); }})()"""
TOP = "document.getElementById('filters').getBoundingClientRect().top + scrollY"


def main(arguments: Sequence[str] | None = None) -> int:
    try:
        browser = Browser()
    except FileNotFoundError as error:
        sys.stderr.write(f"{error}; {PICTURE.relative_to(ROOT)} was left as it is\n")
        return 1
    with browser:
        browser.open(PAGE, WIDTH, HEIGHT, scale=SCALE)
        browser.evaluate(CHOOSE)
        browser.drawn()
        browser.picture(PICTURE, (0, browser.evaluate(TOP), WIDTH, HEIGHT))
    small = Image.open(io.BytesIO(PICTURE.read_bytes())).convert("RGB").quantize(64, dither=Image.Dither.NONE)
    small.save(PICTURE, optimize=True)
    sys.stdout.write(f"{PICTURE.relative_to(ROOT)}: {small.width} × {small.height}, {PICTURE.stat().st_size:,} bytes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
