"""Traversal grids: what a decoder paints when one latent moves and the others stay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from bench.report.style import WIDTH_CM, caption, new_figure, panels, save, style

Decode = Callable[[np.ndarray], np.ndarray]


def ranges_of(codes: np.ndarray, low: float = 0.05, high: float = 0.95) -> np.ndarray:
    """Per latent the interval its codes usually stay in: (n_latents, 2) quantiles of codes (n, n_latents)."""
    return np.quantile(codes, [low, high], axis=0).T


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
    factors: Sequence[str | None] | None = None,
    title: str = "",
    n_values: int = 9,
) -> list[Path]:
    """A grid of decoded frames as PNG: rows are latents, columns values from the low to the high end of their range.

    Args:
        decode, base, ranges, n_values: as for ``traversal``; each base code gets a file of its own.
        path: ending in ``.png``; ``-2``, ``-3`` … are added before it for further base codes.
        factors: per latent the name of the factor it was assigned to, or None; assigned ones come first, in this order
            of latents.
        title: what the caption says first, such as method, data set and seed.

    Raises:
        ValueError: as ``traversal``, or frames that are neither grey nor RGB.
    """
    frames = traversal(decode, base, ranges, n_values)
    n_channels = frames.shape[3]
    if n_channels not in (1, 3):
        raise ValueError(f"traversal: frames must have 1 or 3 channels to be drawn, got {n_channels}")
    n_latents = frames.shape[1]
    names = list(factors) if factors is not None else [None] * n_latents
    if len(names) != n_latents:
        raise ValueError(f"traversal: one factor name or None per latent, got {len(names)} for {n_latents} latents")
    order = sorted(range(n_latents), key=lambda i: names[i] is None)
    labels = [f"{i}: {names[i]}" if names[i] is not None else str(i) for i in order]
    limits = [(float(ranges[i][0]), float(ranges[i][1])) for i in order]
    paths = []
    for k, grid in enumerate(frames[:, order]):
        stem = path.with_suffix("") if k == 0 else path.with_name(f"{path.stem}-{k + 1}")
        paths += _draw_grid(grid, labels, limits, stem, title)
    return paths


def _draw_grid(
    grid: np.ndarray, labels: Sequence[str], limits: Sequence[tuple[float, float]], stem: Path, title: str
) -> list[Path]:
    """One picture of frames (rows, columns, channels, height, width)."""
    n_rows, n_columns, _, height, width = grid.shape
    image = _mosaic(grid)
    with style():
        row_cm = (WIDTH_CM - 3.0) / n_columns * height / width
        figure = new_figure(1.8 + n_rows * row_cm)
        (axes,) = panels(figure, 1)
        axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest", aspect="equal")
        pitch_y, pitch_x = image.shape[0] / n_rows, image.shape[1] / n_columns
        rows = (np.arange(n_rows) + 0.5) * pitch_y - 0.5
        axes.set_yticks(rows, labels)
        axes.set_xticks([pitch_x / 2 - 0.5, (n_columns - 0.5) * pitch_x - 0.5], ["low", "high"])
        axes.set_ylabel("latent: its factor")
        axes.set_xlabel("value of the latent, evenly spaced")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        right = axes.secondary_yaxis("right")
        right.set_yticks(rows, [f"{low:.1f}…{high:.1f}" for low, high in limits])
        right.tick_params(length=0, labelsize=5.5)
        right.spines[:].set_visible(False)
        caption(
            figure, "\n".join(filter(None, [title, "one latent moves in each row, the others stay; right: its range"]))
        )
        return save(figure, stem, ("png",))


def _mosaic(grid: np.ndarray) -> np.ndarray:
    """Frames (rows, columns, channels, height, width) side by side with white lines between: (h, w) or (h, w, 3)."""
    gap = max(grid.shape[-1] // 32, 1)
    frames = np.clip(grid.astype(np.float64), 0, 1)
    padded = np.pad(frames, [(0, 0), (0, 0), (0, 0), (0, gap), (0, gap)], constant_values=1.0)
    n_rows, n_columns, n_channels, height, width = padded.shape
    image = padded.transpose(0, 3, 1, 4, 2).reshape(n_rows * height, n_columns * width, n_channels)
    return image[..., 0] if n_channels == 1 else image
