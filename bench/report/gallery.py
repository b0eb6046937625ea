"""Small pictures of runs, kept as files named by the hash: pages made without the checkpoint show them too.

What a picture shows stands in the PNG itself. They are as large as a page draws them and have 128 colours: 3 to 20 kB.
"""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass
from pathlib import Path

from bench.report.escape import plain
from bench.whole_files import written_whole

WIDTHS = {"traversal": 240, "swaps": 480}  # kind → pixels at most, shrunk by whole numbers
COLOURS = 128
MOST_BYTES = 1 << 18
MOST_PIXELS = 2_000  # of a side
_CAPTION = "Description"


@dataclass(frozen=True)
class Kept:
    """A picture as a page holds it.

    Attributes:
        data: a ``data:image/png;base64,…`` address.
    """

    caption: str
    data: str


def path_of(folder: Path, run_hash: str, kind: str) -> Path:
    return folder / f"{run_hash}-{kind}.png"


def keep(folder: Path, run_hash: str, kind: str, caption: str, data: str) -> Path:
    """Write the picture of a run, given as a ``data:`` address of a PNG, small; returns its path."""
    from PIL import Image, PngImagePlugin

    image = Image.open(io.BytesIO(base64.b64decode(data.partition(",")[2]))).convert("RGBA")
    image = image.reduce(math.ceil(image.width / WIDTHS[kind]))
    picture = image.quantize(COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    said = PngImagePlugin.PngInfo()
    said.add_itxt(_CAPTION, caption)
    path = path_of(folder, run_hash, kind)
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as partial:
        picture.save(partial, "png", optimize=True, pnginfo=said)
    return path


def kept(folder: Path, run_hash: str, kind: str) -> Kept | None:
    """The picture of a run; None where there is none.

    Raises:
        ValueError: the file is no picture that ``keep`` wrote; one line that names it.
    """
    from PIL import Image

    path = path_of(folder, run_hash, kind)
    if not path.is_file():
        return None
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"{path}: larger than any picture of a gallery; remove it")
    content = path.read_bytes()
    try:
        image = Image.open(io.BytesIO(content), formats=["png"])
        if max(image.size) > MOST_PIXELS:
            raise ValueError("a bomb")
        image.load()
        caption = image.text[_CAPTION]  # type: ignore[attr-defined]
    except (OSError, SyntaxError, ValueError, KeyError, Image.DecompressionBombError):
        raise ValueError(f"{path}: not a picture of a gallery; remove it") from None
    return Kept(plain(str(caption)), f"data:image/png;base64,{base64.b64encode(content).decode()}")
