"""Traversals as pictures for a page: one row of frames for each latent, each a PNG that the page holds itself."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO

import numpy as np

from bench.report.traverse import Decode, traversal


@dataclass(frozen=True)
class Strip:
    """What a decoder paints while one latent goes from ``low`` to ``high``.

    Attributes:
        factor: name of the factor that the latent was assigned to, or empty.
        source: the picture as a data address.
    """

    latent: int
    factor: str
    low: float
    high: float
    n_values: int
    source: str
    width: int
    height: int


def strips(
    decode: Decode,
    start: np.ndarray,
    ranges: np.ndarray,
    factors: Mapping[int, str],
    n_values: int = 7,
    most: int | None = None,
) -> list[Strip]:
    """One strip per latent, those with a factor first.

    Args:
        start: the code (1, n_latents) in which one latent at a time is changed.
        ranges: (n_latents, 2) first and last value of each.
        factors: latent → its factor.
        most: of more latents only so many, after those with a factor the ones that change the frames most.

    Raises:
        ValueError: as ``traversal``, or frames that are neither grey nor RGB.
    """
    frames = traversal(decode, start, ranges, n_values)[0]
    if frames.shape[2] not in (1, 3):
        raise ValueError(f"traversal: frames must have 1 or 3 channels to be drawn, got {frames.shape[2]}")
    order = [*(i for i in factors if i < len(frames)), *(i for i in range(len(frames)) if i not in factors)]
    if most is not None and len(order) > most:
        order = _most_telling(frames, factors)[:most]
    found = []
    for i in order:
        source, width, height = as_strip(frames[i])
        low, high = map(float, ranges[i])
        found.append(Strip(i, factors.get(i, ""), low, high, n_values, source, width, height))
    return found


@dataclass(frozen=True)
class Mosaic:
    """Some latents' strips in one picture, a row for each.

    Attributes:
        caption: what each row is, from the top: "latent 3 (x)".
    """

    source: str
    caption: str


def mosaic(
    decode: Decode, start: np.ndarray, ranges: np.ndarray, factors: Mapping[int, str], n_latents: int, n_values: int
) -> Mosaic:
    """At most ``n_latents`` latents, those with a factor first, then by the size of what they change.

    Args:
        decode, start, ranges, factors: as for ``strips``.
    """
    frames = traversal(decode, start, ranges, n_values)[0]
    chosen = _most_telling(frames, factors)[:n_latents]
    rows = np.concatenate([frames[i] for i in chosen], axis=2)  # below each other: along the height
    names = [f"latent {i}" + (f" ({factors[i]})" if i in factors else "") for i in chosen]
    return Mosaic(as_strip(rows)[0], ", ".join(names))


def _most_telling(frames: np.ndarray, factors: Mapping[int, str]) -> list[int]:
    """Latents of traversals (n_latents, n_values, …): those with a factor, then by the size of what they change."""
    moved = np.abs(np.diff(frames, axis=1)).mean(axis=(1, 2, 3, 4))
    return [*(i for i in factors if i < len(frames)), *(int(i) for i in np.argsort(-moved) if i not in factors)]


def as_strip(frames: np.ndarray) -> tuple[str, int, int]:
    """Frames (n, channels, height, width) in [0, 1] side by side, clear between them: (data address, width, height)."""
    image = _side_by_side(frames)
    return as_address(image), image.shape[1], image.shape[0]


def as_address(image: np.ndarray) -> str:
    """A ``data:`` address of a PNG of uint8 pixels (height, width, 1 to 4 channels)."""
    from PIL import Image

    out = BytesIO()
    Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(out, "png", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"


def _side_by_side(frames: np.ndarray) -> np.ndarray:
    """Pixels (height, width, channels + 1) uint8, the last channel the opacity."""
    gap = max(frames.shape[-1] // 32, 1)
    levels = np.rint(np.clip(np.nan_to_num(frames.astype(np.float64)), 0, 1) * 255).astype(np.uint8)
    opaque = np.full_like(levels[:, :1], 255)
    padded = np.pad(np.concatenate([levels, opaque], axis=1), [(0, 0), (0, 0), (0, 0), (0, gap)])
    n, channels, height, width = padded.shape
    return padded.transpose(2, 0, 3, 1).reshape(height, n * width, channels)[:, :-gap]
