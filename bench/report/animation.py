"""Sequences of pictures as one GIF that repeats."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.whole_files import written_whole

if TYPE_CHECKING:
    from PIL.Image import Image

FRAME_MS = 160


def enlarged(picture: np.ndarray, zoom: int = 2) -> Image:
    """A picture (channels, height, width) in [0, 1], grey or RGB, ``zoom`` times as large."""
    from PIL import Image

    image = np.rint(255 * picture).astype(np.uint8).transpose(1, 2, 0).repeat(zoom, 0).repeat(zoom, 1)
    return Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)


def with_labels(picture: Image, corner: str, columns: Sequence[str], rows: Sequence[str], left: int, top: int) -> Image:
    """The picture, its columns and rows of equal sizes, with their names in margins of so many pixels."""
    from matplotlib.font_manager import FontProperties, findfont
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.truetype(findfont(FontProperties(family="DejaVu Sans")), 11)
    canvas = Image.new("RGB", (left + picture.width, top + picture.height), "white")
    canvas.paste(picture, (left, top))
    draw = ImageDraw.Draw(canvas)
    draw.text((4, top // 2), corner, "black", font, anchor="lm")
    for i, text in enumerate(columns):
        draw.multiline_text((left + i * picture.width // len(columns), top // 2), text, "black", font, anchor="lm")
    for i, text in enumerate(rows):
        at = top + int((i + 0.5) * picture.height / len(rows))
        draw.multiline_text((4, at), text, "black", font, anchor="lm")
    return canvas


def save_gif(pictures: Sequence[Image], path: Path) -> Path:
    """Write the pictures, each shown for ``FRAME_MS``; equal pictures are equal files."""
    from PIL import Image

    adapted = [picture.convert("P", palette=Image.Palette.ADAPTIVE) for picture in pictures]
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as partial:
        adapted[0].save(partial, format="GIF", save_all=True, append_images=adapted[1:], duration=FRAME_MS, loop=0)
    return path
