"""A picture of a data set for the human eye: a few training items with their factors."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.datasets.base import FactorSpace
from bench.datasets.containers import Container, Labelled

Item = tuple[np.ndarray, list[tuple[str, bool]]]  # a picture, and the lines under it with whether they are bold

_MAX_FRAMES = 9  # of one sequence
_MAX_STRETCHES = 7  # of one spectrogram: as many labels as fit under it
_GAP = 2  # pixels between frames
_GREY = 160
_MAX_LINES = 12  # of yes-or-no factors
_WIDTH_CM = 16.8
_TICK_MS, _PAUSE_MS = 160, 700  # of a moving sheet: each frame, and the last one


def contact_sheet(container: Container, path: Path, rng: np.random.Generator, n: int = 12) -> None:
    """Draw n training items to ``path`` (its ending picks the format): frames side by side, factors under them.

    Items are sequences that transformations move where the data set has them, else pairs, sequences or images. What a
    factor is in the frames that are shown stands in bold where it changes. A ``.gif`` shows the frames one after the
    other.

    Raises:
        ValueError: a ``.gif`` of a data set whose items do not move.
    """
    offered = container.info.views
    view = next(v for v in ("transformations", "pairs", "sequences", "images") if v in offered)
    has_images = len(container.info.observation_shape) == 3
    moves = path.suffix == ".gif"
    if moves and (view == "images" or not has_images):
        raise ValueError("this data set has no moving pictures; name a .png file")
    drawn = container.labelled(n, rng, view=view)
    shown = _shown(drawn.x.shape[1])
    title = f"{container.title or 'Data set'}\nTraining {view} drawn at random, n = {n}"
    space = container.info.factors
    if moves:
        ticks = [
            [(_strip(frames[[t]]), _factor_lines(space, values[[t]])) for frames, values in _items(drawn)]
            for t in range(drawn.x.shape[1])
        ]
        _save_moving(path, title, ticks)
        return
    items = [
        (_strip(frames[shown]), _factor_lines(space, values[shown]))
        if has_images
        else (_spectrogram(frames), _factor_lines(space, values[_stretches(values)]))
        for frames, values in _items(drawn)
    ]
    n_columns = 2 if has_images and len(shown) > 4 else 4
    figure, _ = _sheet(title, items, n_columns, is_square=has_images)
    figure.savefig(path, dpi=200)


def _items(drawn: Labelled) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    return zip(drawn.x, drawn.factors, strict=True)


def _save_moving(path: Path, title: str, ticks: Sequence[Sequence[Item]]) -> None:
    """An animation of one picture of the whole sheet per tick."""
    from PIL import Image

    figure, places = _sheet(title, ticks[0], 4, is_square=True)
    figure.set_dpi(110)
    figure.canvas.draw()
    figure.set_layout_engine("none")  # keeps every place where it is in the first picture
    pictures = []
    for tick in ticks:
        for (image, texts), (strip, lines) in zip(places, tick, strict=True):
            image.set_data(strip)
            for text, (words, _) in zip(texts, lines, strict=True):
                text.set_text(words)
        figure.canvas.draw()
        pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3]  # type: ignore[attr-defined]
        pictures.append(Image.fromarray(pixels))
    durations = [_TICK_MS] * (len(pictures) - 1) + [_PAUSE_MS]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=durations, loop=0)


def _sheet(title: str, items: Sequence[Item], n_columns: int, is_square: bool) -> tuple[Any, list[tuple[Any, Any]]]:
    """The figure, and of each item the image and the texts in it."""
    # Only here, so that listing data sets does not wait for matplotlib.
    from bench.report.style import new_figure, style

    strip, lines = items[0]
    rows = math.ceil(len(items) / n_columns)
    column_cm = _WIDTH_CM / n_columns
    picture_cm = column_cm * strip.shape[0] / strip.shape[1] if is_square else column_cm
    text_cm = 0.35 * max(len(lines) for _, lines in items) + 0.3
    places = []
    with style():
        figure = new_figure(rows * (picture_cm + text_cm) + 0.7, width_cm=_WIDTH_CM)
        figure.suptitle(title, x=0.01, ha="left", fontsize=8)
        figure.get_layout_engine().set(h_pad=0.06, w_pad=0.05, rect=(0, 0.01, 1, 0.99))  # type: ignore[union-attr, call-arg]
        axes = figure.subplots(rows, n_columns, squeeze=False).ravel()
        for axis in axes:
            axis.set_axis_off()
        for axis, (strip, lines) in zip(axes, items, strict=False):
            aspect = "equal" if is_square else "auto"
            image = axis.imshow(strip, cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect=aspect)
            places.append((image, [_written(axis, line, *words) for line, words in enumerate(lines)]))
    return figure, places


def _shown(n_frames: int) -> np.ndarray:
    """The frames of a sequence that are drawn: at equal distances, the first and the last among them."""
    return np.linspace(0, n_frames - 1, min(n_frames, _MAX_FRAMES)).round().astype(int)


def _stretches(values: np.ndarray) -> np.ndarray:
    """The first frames of the stretches (of values (time, n_factors)) in which nothing changes; some, where too many.

    A spectrogram has no frames that values could stand under: 20 of them overlap the next picture's.
    """
    first = np.flatnonzero(np.append(True, (values[1:] != values[:-1]).any(axis=1)))
    return first[np.linspace(0, len(first) - 1, min(len(first), _MAX_STRETCHES)).round().astype(int)]


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


def _written(axis: Any, line: int, text: str, is_bold: bool) -> Any:
    """A line of text under the picture."""
    return axis.annotate(
        text,
        xy=(0, 0),
        xycoords="axes fraction",
        xytext=(0, -8 - 9 * line),
        textcoords="offset points",
        fontsize=7,
        fontweight="bold" if is_bold else "normal",
    )


def _factor_lines(space: FactorSpace, values: np.ndarray) -> list[tuple[str, bool]]:
    """Text and whether it is bold, from the values (time, n_factors) of the frames that are shown.

    Of many yes-or-no factors only the names of those that hold in the first frame.
    """
    if len(space.names) > _MAX_LINES and set(space.sizes) == {2}:
        names = [name for name, value in zip(space.names, values[0], strict=True) if value]
        shown = (
            names if len(names) <= _MAX_LINES else [*names[: _MAX_LINES - 1], f"… and {len(names) - _MAX_LINES + 1}"]
        )
        return [(name, False) for name in shown]
    lines = []
    for name, kind, column in zip(space.names, space.kinds, values.T, strict=True):
        texts = [f"{value:.3f}" if kind == "continuous" else f"{int(value)}" for value in column]
        is_same, is_short = len(set(texts)) == 1, len(texts) == 2 or kind == "continuous"
        words = texts[0] if is_same else f"{texts[0]} → {texts[-1]}" if is_short else " ".join(texts)
        lines.append((f"{name} {words}", not is_same))
    return lines
