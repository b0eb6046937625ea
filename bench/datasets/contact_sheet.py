"""A picture of a data set for the human eye: a few training items with their factors."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from bench.datasets.base import FactorSpace
from bench.datasets.containers import Container, Labelled

_N_COLUMNS = 4
_MAX_FRAMES = 9  # of one sequence
_GAP = 2  # pixels between frames
_GREY = 160
_MAX_LINES = 12  # of yes-or-no factors


def contact_sheet(container: Container, path: Path, rng: np.random.Generator, n: int = 12) -> None:
    """Draw n training items to ``path`` (its ending picks the format): frames side by side, factors under them.

    Items are sequences that transformations move where the data set has them, else pairs, sequences or images. A factor
    that changes within the item is shown as first → last value, in bold.
    """
    # Only here, so that listing data sets does not wait for matplotlib.
    from bench.report.style import new_figure, style

    offered = container.info.views
    view = next(v for v in ("transformations", "pairs", "sequences", "images") if v in offered)
    drawn = container.labelled(n, rng, view=view)
    has_images = len(container.info.observation_shape) == 3
    strips = [_strip(frames[_shown(len(frames))]) if has_images else _spectrogram(frames) for frames in drawn.x]
    rows = math.ceil(n / _N_COLUMNS)
    column_cm = 4.2
    picture_cm = column_cm * strips[0].shape[0] / strips[0].shape[1] if has_images else column_cm
    names = container.info.factors.names
    n_lines = _MAX_LINES if set(container.info.factors.sizes) == {2} and len(names) > _MAX_LINES else len(names)
    text_cm = 0.35 * n_lines + 0.3
    with style():
        figure = new_figure(rows * (picture_cm + text_cm) + 0.7, width_cm=_N_COLUMNS * column_cm)
        title = container.title or "Data set"
        figure.suptitle(f"{title}\nTraining {view} drawn at random, n = {n}", x=0.01, ha="left", fontsize=8)
        figure.get_layout_engine().set(h_pad=0.06, w_pad=0.05, rect=(0, 0.01, 1, 0.99))  # type: ignore[union-attr, call-arg]
        aspect = "equal" if has_images else "auto"
        axes = figure.subplots(rows, _N_COLUMNS, squeeze=False).ravel()
        for i, axis in enumerate(axes):
            axis.set_axis_off()
            if i < n:
                axis.imshow(strips[i], cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect=aspect)
                _write_factors(axis, container.info.factors, drawn, i)
        figure.savefig(path, dpi=200)


def _shown(n_frames: int) -> np.ndarray:
    """The frames of a sequence that are drawn: at equal distances, the first and the last among them."""
    return np.linspace(0, n_frames - 1, min(n_frames, _MAX_FRAMES)).round().astype(int)


def _strip(frames: np.ndarray) -> np.ndarray:
    """Images (time, channels, height, width) side by side: (height, columns) or (height, columns, 3) uint8."""
    pixels = frames if frames.dtype == np.uint8 else np.round(255 * frames).astype(np.uint8)
    gap = np.full((*pixels.shape[1:3], _GAP), _GREY, np.uint8)
    parts = [pixels[0]]
    for frame in pixels[1:]:
        parts += [gap, frame]
    strip = np.concatenate(parts, axis=2).transpose(1, 2, 0)
    return strip[..., 0] if strip.shape[2] == 1 else strip


def _spectrogram(frames: np.ndarray) -> np.ndarray:
    """Features (time, features) as grey levels, time to the right, the first feature at the bottom."""
    low, high = float(frames.min()), float(frames.max())
    return (255 * (frames.T[::-1] - low) / (high - low or 1.0)).astype(np.uint8)


def _write_factors(axis: object, space: FactorSpace, drawn: Labelled, item: int) -> None:
    """One line per factor under the picture."""
    for line, (text, is_bold) in enumerate(_factor_lines(space, drawn.factors[item, 0], drawn.factors[item, -1])):
        axis.annotate(  # type: ignore[attr-defined]
            text,
            xy=(0, 0),
            xycoords="axes fraction",
            xytext=(0, -8 - 9 * line),
            textcoords="offset points",
            fontsize=7,
            fontweight="bold" if is_bold else "normal",
        )


def _factor_lines(space: FactorSpace, first: np.ndarray, last: np.ndarray) -> list[tuple[str, bool]]:
    """Text and whether it is bold; of many yes-or-no factors only the names of those that hold."""
    if len(space.names) > _MAX_LINES and set(space.sizes) == {2}:
        names = [name for name, value in zip(space.names, first, strict=True) if value]
        shown = (
            names if len(names) <= _MAX_LINES else [*names[: _MAX_LINES - 1], f"… and {len(names) - _MAX_LINES + 1}"]
        )
        return [(name, False) for name in shown]
    lines = []
    for i, (name, kind) in enumerate(zip(space.names, space.kinds, strict=True)):
        a, b = (f"{v[i]:.3f}" if kind == "continuous" else f"{int(v[i])}" for v in (first, last))
        lines.append((f"{name} {a} → {b}" if a != b else f"{name} {a}", a != b))
    return lines
