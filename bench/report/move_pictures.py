"""Moved sequences as pictures: under each true sequence what methods make of its first frame, still and animated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.report.animation import enlarged, save_gif, with_labels
from bench.report.labels import broken, few_ticks
from bench.report.statistics import Estimate
from bench.report.style import (
    BOUND_COLOUR,
    CAPTION_SIZE,
    COLOURS,
    WIDTH_CM,
    caption,
    is_on_screen,
    new_figure,
    points,
    save,
    style,
    text_width,
    width_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRUTH = "true"
_LABEL_SIZE, _NUMBER_SIZE = 6.0, 5.5  # points
_HEAD_CM, _AXIS_CM = 0.45, 0.65  # above a block; below the last
LEFT_PX, TOP_PX, LEAST_PX = 104, 34, 128  # of an animation: margins for labels, and a frame's least width


@dataclass(frozen=True)
class Seen:
    """A method's error relative to a still picture, over seeds, on what it was trained on and on what is unseen."""

    label: str
    seen: Estimate | None
    unseen: Estimate | None


def draw_moves(
    courses: Sequence[str],
    truth: np.ndarray,
    moved: Mapping[str, np.ndarray],
    path: Path,
    *,
    title: str = "",
    note: str = "",
    switch: int = 0,
    errors: Mapping[str, np.ndarray] | None = None,
    scores: Sequence[Seen] = (),
) -> list[Path]:
    """PDF, SVG and PNG with all frames, and for the screen a GIF.

    Args:
        courses: what acts in each block.
        truth: (n_courses, time, channels, height, width) in [0, 1], grey or RGB.
        moved: label of a method -> frames of the same shape.
        path: without ending.
        title, note: what the caption says first, and last.
        switch: the last frame before what acts changes; 0 where nothing changes.
        errors: label -> (n_courses,) numbers that stand at the right of the rows.
        scores: dots below the frames.

    Raises:
        ValueError: nothing to draw, shapes that do not fit, or frames that are neither grey nor RGB.
    """
    if truth.ndim != 5 or truth.shape[2] not in (1, 3):
        raise ValueError(f"moves: frames must be grey or RGB to be drawn, got {truth.shape[2:]}")
    wrong = [label for label, frames in moved.items() if frames.shape != truth.shape]
    if wrong or not moved or len(courses) != len(truth):
        raise ValueError(
            f"moves: {len(courses)} courses, frames {truth.shape} and those of "
            f"{', '.join(wrong) or 'no method'} do not fit"
        )
    rows = {TRUTH: truth, **moved}
    with style():
        figure = _still(courses, rows, f"{title}\n{note}".strip(), switch, errors or {}, scores)
        made = save(figure, path)
    return [*made, _animated(courses, rows, path.with_suffix(".gif"))] if is_on_screen() else made


def _still(
    courses: Sequence[str],
    rows: Mapping[str, np.ndarray],
    text: str,
    switch: int,
    errors: Mapping[str, np.ndarray],
    scores: Sequence[Seen],
) -> Figure:
    """Placed by hand: the constrained layout cuts text off beside frames that must keep their shape."""
    _, n_frames, _, height, width = rows[TRUTH].shape
    usual = WIDTH_CM if n_frames <= 12 else 17.0
    figure, whole = new_figure(1, usual), width_of(usual)
    figure.set_layout_engine("none")
    labels = [on_lines(label) for label in rows]
    left = 0.25 + max(_cm(figure, line, _LABEL_SIZE) for label in labels for line in label.split("\n"))
    texts = {label: [f"{value:.2f}" for value in values] for label, values in errors.items()}
    right = 0.2 + max([_cm(figure, text, _NUMBER_SIZE) for some in texts.values() for text in some], default=0.0)
    wide = whole - left - right
    high = max(wide / n_frames * height / width, 0.23 * max(label.count("\n") + 1 for label in labels))
    block = high * len(rows)
    panel = 0.58 * len(scores)
    below = panel + 1.9 if scores else 0.0
    head = caption(figure, text)
    n_lines = 0 if head is None else head.get_text().count("\n") + 1
    above = 0.25 + n_lines * 1.3 * CAPTION_SIZE / 72 * 2.54
    total = above + len(courses) * (_HEAD_CM + block) + _AXIS_CM + below
    figure.set_figheight(points(total) / 2.54)
    if head is not None:
        head.set_y(1 - 0.1 / total)
    for i, course in enumerate(courses):
        bottom = total - above - (i + 1) * (_HEAD_CM + block)
        axes = figure.add_axes((left / whole, bottom / total, wide / whole, block / total))
        _draw_block(axes, [frames[i] for frames in rows.values()], course, labels, switch)
        for row, label in enumerate(rows):
            if label in texts:
                place = (row + 0.5) / len(rows)
                axes.annotate(texts[label][i], (1, 1 - place), (3, 0), xycoords="axes fraction",
                              textcoords="offset points", va="center", fontsize=points(_NUMBER_SIZE))  # fmt: skip
        if i + 1 < len(courses):
            axes.set_xticklabels([])
        else:
            axes.set_xlabel("frame t", labelpad=1)
    if scores:
        axes = figure.add_axes((left / whole, 1.5 / total, wide / whole, panel / total))
        _draw_scores(axes, scores)
    return figure


def _cm(figure: Figure, text: str, size: float) -> float:
    return text_width(figure, text, size) / figure.dpi * 2.54


def _draw_block(axes: Axes, strips: Sequence[np.ndarray], course: str, labels: Sequence[str], switch: int) -> None:
    n_frames, _, height, width = strips[0].shape
    image = np.concatenate([_strip(strip) for strip in strips])
    axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest", aspect="auto")
    axes.set_title(course, loc="left", fontsize=points(_LABEL_SIZE + 0.5), pad=2)
    axes.set_yticks(
        (np.arange(len(strips)) + 0.5) * height - 0.5, labels, fontsize=points(_LABEL_SIZE), linespacing=1.0
    )
    axes.set_xticks((np.arange(n_frames) + 0.5) * width - 0.5, [str(t) for t in range(n_frames)])
    axes.tick_params(length=0, labelsize=points(_LABEL_SIZE), pad=2)
    axes.spines[:].set_visible(False)
    axes.axhline(height - 0.5, color="white", lw=1.6)  # truth from methods
    if switch:
        axes.axvline((switch + 1) * width - 0.5, color=COLOURS[1], lw=0.9)


def _strip(frames: np.ndarray) -> np.ndarray:
    """Frames (n, channels, height, width) side by side with a line between: (height, n · width) or (…, 3)."""
    shown = np.clip(frames.astype(np.float64), 0, 1)
    shown[:, :, -1, :] = shown[:, :, :, -1] = 1.0
    image = np.concatenate(shown, axis=2).transpose(1, 2, 0)
    return image[..., 0] if image.shape[2] == 1 else image


def _draw_scores(axes: Axes, scores: Sequence[Seen]) -> None:
    kinds = (("trained on", "o", COLOURS[0], -0.2), ("unseen", "s", "white", 0.2))
    for i, one in enumerate(scores):
        for estimate, (name, marker, fill, offset) in zip((one.seen, one.unseen), kinds, strict=True):
            if estimate is None:
                continue
            at, end = i + offset, estimate.mean
            if estimate.low is not None and estimate.high is not None:
                axes.plot([estimate.low, estimate.high], [at, at], "-", color=COLOURS[0], lw=1.0)
                end = estimate.high
            look = {"mfc": fill, "mec": COLOURS[0], "color": COLOURS[0], "ms": 3.4, "mew": 0.8, "ls": "none"}
            axes.plot(estimate.mean, at, marker=marker, label=name if i == 0 else None, **look)  # type: ignore[arg-type]
            axes.annotate(f"{estimate.mean:.2f}", (end, at), (4, 0), textcoords="offset points",
                          va="center", fontsize=points(_NUMBER_SIZE - 0.5))  # fmt: skip
    axes.axvline(1.0, color=BOUND_COLOUR, ls="--", lw=0.9, label="still picture")
    axes.set_yticks(
        range(len(scores)), [on_lines(one.label) for one in scores], fontsize=points(_LABEL_SIZE), linespacing=1.0
    )
    axes.set_ylim(len(scores) - 0.5, -0.5)
    low, high = axes.get_xlim()
    axes.set_xlim(min(0.0, low), 1.12 * max(1.0, high))
    axes.xaxis.set_major_locator(few_ticks(5))
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.set_xlabel("equivariance error relative to a still picture", labelpad=1)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.75 / (0.58 * len(scores))), ncols=3, columnspacing=1.0,
                handletextpad=0.3, handlelength=1.6)  # fmt: skip


def on_lines(label: str) -> str:
    """A method's label with its parameters below its name, one on each line."""
    name, bracket, parameters = label.partition("[")
    return f"{name}\n{bracket}{parameters}".replace(",", ",\n") if bracket else name


def _animated(courses: Sequence[str], rows: Mapping[str, np.ndarray], path: Path) -> Path:
    """Courses beside each other and methods below each other; a line parts the truth from what methods make."""
    _, n_frames, _, _, width = rows[TRUTH].shape
    zoom = max(1, -(-LEAST_PX // width))
    names = [broken(course, 20) for course in courses], [on_lines(label) for label in rows]
    pictures = []
    for t in range(n_frames):
        lines = []
        for i, frames in enumerate(rows.values()):
            gap = max(frames.shape[-1] // 32, 1)
            cells = [_padded(np.clip(one[t], 0, 1), gap * (1 + 3 * (i == 0)), gap) for one in frames]
            lines.append(np.concatenate(cells, axis=2))
        picture = enlarged(np.concatenate(lines, axis=1), zoom)
        pictures.append(with_labels(picture, f"t = {t}", *names, LEFT_PX, TOP_PX))
    return save_gif(pictures, path)


def _padded(frame: np.ndarray, below: int, right: int) -> np.ndarray:
    return np.pad(frame, [(0, 0), (0, below), (0, right)], constant_values=1.0)
