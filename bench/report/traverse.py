"""Traversal grids: what a decoder paints when one latent moves and the others stay."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.report.style import CAPTION_SIZE, caption, new_figure, points, save, style, text_width, width_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Decode = Callable[[np.ndarray], np.ndarray]
_LABEL_SIZE, _SPAN_SIZE = 6.5, 5.5  # points


def ranges_of(codes: np.ndarray, low: float = 0.05, high: float = 0.95) -> np.ndarray:
    """Per latent the interval its codes usually stay in: (n_latents, 2) quantiles of codes (n, n_latents)."""
    return np.quantile(codes, [low, high], axis=0).T


def ranges_around(ranges: np.ndarray, code: np.ndarray) -> np.ndarray:
    """Ranges (n_latents, 2) widened to hold 0, where a sparse latent is off, and one code's values (n_latents,)."""
    low, high = np.minimum(ranges[:, 0], 0), np.maximum(ranges[:, 1], 0)
    return np.stack([np.minimum(low, code), np.maximum(high, code)], axis=1)


def largest(code: np.ndarray, n: int) -> list[int]:
    """The n latents of largest |value| in a code (n_latents,), the largest first."""
    return np.argsort(-np.abs(code), kind="stable")[:n].tolist()  # type: ignore[no-any-return]


def traversal(decode: Decode, base: np.ndarray, ranges: np.ndarray, n_values: int = 9) -> np.ndarray:
    """Frames of every traversal.

    Args:
        decode: codes (n, n_latents) float32 → frames (n, channels, height, width) in [0, 1].
        base: (n_bases, n_latents) the codes that one latent at a time is changed in.
        ranges: (n_latents, 2) first and last value of each latent.

    Returns:
        (n_bases, n_latents, n_values, channels, height, width).

    Raises:
        ValueError: shapes that do not fit, or frames of another shape than asked for.
    """
    base, ranges = np.atleast_2d(np.asarray(base, np.float32)), np.asarray(ranges, np.float32)
    n_bases, n_latents = base.shape
    if ranges.shape != (n_latents, 2):
        raise ValueError(f"traversal: ranges must be ({n_latents}, 2) for base codes {base.shape}, got {ranges.shape}")
    values = np.linspace(ranges[:, 0], ranges[:, 1], n_values, axis=1)
    codes = np.broadcast_to(base[:, None, None], (n_bases, n_latents, n_values, n_latents)).copy()
    latents = np.arange(n_latents)
    codes[:, latents, :, latents] = values[:, None]  # the advanced indices put the latent axis first
    frames = np.asarray(decode(codes.reshape(-1, n_latents)))
    if frames.ndim != 4 or len(frames) != n_bases * n_latents * n_values:
        wanted = f"({n_bases * n_latents * n_values}, channels, height, width)"
        raise ValueError(f"traversal: decode must return frames {wanted}, got {frames.shape}")
    return frames.reshape(n_bases, n_latents, n_values, *frames.shape[1:])


def draw_traversal(
    decode: Decode,
    base: np.ndarray,
    ranges: np.ndarray,
    path: Path,
    *,
    latent_factors: Mapping[int, str] | None = None,
    title: str = "",
    n_values: int = 9,
    latents: Sequence[int] | None = None,
    first_row: Sequence[np.ndarray] = (),
) -> list[Path]:
    """A PNG (a PDF for a paper) of decoded frames: a row for each latent and base code, a column for each value.

    Args:
        decode, base, ranges, n_values: as for ``traversal``; rows of several base codes stand below each other.
        path: without ending.
        latent_factors: latent → name of the factor it was assigned to; those latents come first, in this order.
        title: what the caption says first, such as method, data set and seed.
        latents: only these, in this order.
        first_row: frames (channels, height, width) in [0, 1] to stand above the rows, such as what the base code is of.

    Raises:
        ValueError: as ``traversal``, frames that are neither grey nor RGB, or a latent that does not exist.
    """
    names = dict(latent_factors or {})
    frames = traversal(decode, base, ranges, n_values)
    n_bases, n_latents, _, n_channels, height, width = frames.shape
    if n_channels not in (1, 3):
        raise ValueError(f"traversal: frames must have 1 or 3 channels to be drawn, got {n_channels}")
    unknown = [i for i in names if not 0 <= i < n_latents]
    if unknown:
        raise ValueError(f"traversal: latent {unknown[0]} has a factor, but there are {n_latents} latents")
    order = [*names, *(i for i in range(n_latents) if i not in names)] if latents is None else list(latents)
    rows = frames[:, order].swapaxes(0, 1).reshape(-1, *frames.shape[2:])
    n_above = min(len(first_row), 1)
    if n_above:
        head = np.ones((1, *frames.shape[2:]))  # white where it is shorter
        head[0, : len(first_row)] = first_row
        rows = np.concatenate([head, rows])
    labels = [f"{i}: {names[i]}" if i in names else str(i) for i in order]
    spans = [f"{ranges[i][0]:.1f}…{ranges[i][1]:.1f}" for i in order]
    bases = f", n = {n_bases} base codes" if n_bases > 1 else ""
    above = "; first row: the image, rebuilt" if n_above else ""
    note = f"one latent moves in each row, the others stay; right: its range{bases}{above}"
    with style():
        figure, axes = _placed(f"{title}\n{note}".lstrip(), labels, spans, len(rows) * height / width / n_values)
        image = _mosaic(rows)
        axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest", aspect="auto")
        one_row, pitch_x = image.shape[0] / len(rows), image.shape[1] / n_values
        places = (n_above + n_bases * (np.arange(len(order)) + 0.5)) * one_row - 0.5
        axes.set_yticks(places, labels)
        axes.set_xticks([pitch_x / 2 - 0.5, (n_values - 0.5) * pitch_x - 0.5], ["low", "high"])
        axes.set_ylabel("latent: its factor" if names else "latent")
        axes.set_xlabel("value of the latent, evenly spaced")
        right = axes.secondary_yaxis("right")
        right.set_yticks(places, spans)
        right.tick_params(length=0, labelsize=points(_SPAN_SIZE))
        axes.tick_params(length=0)
        for sides in (axes.spines, right.spines):
            sides[:].set_visible(False)
        return save(figure, path, ("png",))


def _placed(text: str, labels: Sequence[str], spans: Sequence[str], aspect: float) -> tuple[Figure, Axes]:
    """A figure and its axes, ``aspect`` times as high as the width that labels and spans leave them.

    Placed here: the constrained layout cuts text off beside frames that must keep their shape.
    """
    figure = new_figure(1)
    figure.set_layout_engine("none")
    cm = 2.54 / figure.dpi
    left = 0.65 + cm * max(text_width(figure, label, _LABEL_SIZE) for label in labels)
    right = 0.25 + cm * max(text_width(figure, span, _SPAN_SIZE) for span in spans)
    whole = width_of()
    width = max(whole - left - right, 1.0)
    head = caption(figure, text)
    n_lines = 0 if head is None else head.get_text().count("\n") + 1
    above, below = 0.3 + n_lines * 1.3 * CAPTION_SIZE / 72 * 2.54, 0.95
    height = above + aspect * width + below
    figure.set_figheight(points(height) / 2.54)
    if head is not None:
        head.set_y(1 - 0.1 / height)
    return figure, figure.add_axes((left / whole, below / height, width / whole, aspect * width / height))


def _mosaic(grid: np.ndarray) -> np.ndarray:
    """Frames (rows, columns, channels, height, width) side by side with white lines between: (h, w) or (h, w, 3)."""
    gap = max(grid.shape[-1] // 32, 1)
    frames = np.clip(grid.astype(np.float64), 0, 1)
    padded = np.pad(frames, [(0, 0), (0, 0), (0, 0), (0, gap), (0, gap)], constant_values=1.0)
    n_rows, n_columns, n_channels, height, width = padded.shape
    image = padded.transpose(0, 3, 1, 4, 2).reshape(n_rows * height, n_columns * width, n_channels)
    return image[..., 0] if n_channels == 1 else image
