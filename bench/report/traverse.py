"""Traversal grids: what a decoder paints when one latent moves and the others stay."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
    latent_factors: Mapping[int, str] | None = None,
    title: str = "",
    n_values: int = 9,
) -> Path:
    """One PNG of decoded frames: a row for each latent and base code, columns from the low to the high end of a range.

    Args:
        decode, base, ranges, n_values: as for ``traversal``; rows of several base codes stand below each other.
        path: ending in ``.png``.
        latent_factors: latent → name of the factor it was assigned to; those latents come first, in this order.
        title: what the caption says first, such as method, data set and seed.

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
    order = [*names, *(i for i in range(n_latents) if i not in names)]
    with style():
        row_cm = (WIDTH_CM - 3.0) / n_values * height / width
        figure = new_figure(1.8 + n_latents * n_bases * row_cm)
        (axes,) = panels(figure, 1)
        image = _mosaic(frames[:, order].swapaxes(0, 1).reshape(-1, *frames.shape[2:]))
        axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest", aspect="equal")
        pitch_y, pitch_x = image.shape[0] / n_latents, image.shape[1] / n_values
        rows = (np.arange(n_latents) + 0.5) * pitch_y - 0.5
        axes.set_yticks(rows, [f"{i}: {names[i]}" if i in names else str(i) for i in order])
        axes.set_xticks([pitch_x / 2 - 0.5, (n_values - 0.5) * pitch_x - 0.5], ["low", "high"])
        axes.set_ylabel("latent: its factor" if names else "latent")
        axes.set_xlabel("value of the latent, evenly spaced")
        right = axes.secondary_yaxis("right")
        right.set_yticks(rows, [f"{ranges[i][0]:.1f}…{ranges[i][1]:.1f}" for i in order])
        right.tick_params(length=0, labelsize=5.5)
        axes.tick_params(length=0)
        for sides in (axes.spines, right.spines):
            sides[:].set_visible(False)
        bases = f", n = {n_bases} base codes" if n_bases > 1 else ""
        caption(figure, f"{title}\none latent moves in each row, the others stay; right: its range{bases}".lstrip())
        (written,) = save(figure, path.with_suffix(""), ("png",))
    return written


def _mosaic(grid: np.ndarray) -> np.ndarray:
    """Frames (rows, columns, channels, height, width) side by side with white lines between: (h, w) or (h, w, 3)."""
    gap = max(grid.shape[-1] // 32, 1)
    frames = np.clip(grid.astype(np.float64), 0, 1)
    padded = np.pad(frames, [(0, 0), (0, 0), (0, 0), (0, gap), (0, gap)], constant_values=1.0)
    n_rows, n_columns, n_channels, height, width = padded.shape
    image = padded.transpose(0, 3, 1, 4, 2).reshape(n_rows * height, n_columns * width, n_channels)
    return image[..., 0] if n_channels == 1 else image
