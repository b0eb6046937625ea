"""Swaps as pictures: the content of each row's sequence with the motion of each column's, still and animated.

As Figures 3 to 5 of C-DSVAE (Bai, Wang & Gomes, NeurIPS 2021). Spectrograms stand with time to the right and frequency
upwards, and are not animated.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.report.animation import enlarged, save_gif
from bench.report.strips import as_address
from bench.report.style import caption, is_narrow, is_on_screen, new_figure, points, save, style, width_of

WIDTH_CM = 17.0
MOST_SHOWN, MOST_SHOWN_IN_COLUMN = 5, 3  # frames of a sequence that stand beside each other


def draw_swaps(
    contents: np.ndarray,
    motions: np.ndarray,
    generated: np.ndarray,
    path: Path,
    *,
    title: str = "",
    is_real: bool = True,
) -> list[Path]:
    """A PNG with film strips, and for the screen a GIF of the same grid where the sequences are of images.

    Args:
        contents: (n, time, *observation) sources of the rows; images in [0, 1], or features.
        motions: (m, time, *observation) sources of the columns.
        generated: (n, m, time, *observation).
        path: without ending.
        title: what the caption says first.
        is_real: the sources are real sequences, not samples of the method.

    Raises:
        ValueError: shapes that do not fit, or frames that are neither grey, RGB nor features.
    """
    n, m = len(contents), len(motions)
    if generated.shape != (n, m, *contents.shape[1:]) or contents.shape[1:] != motions.shape[1:]:
        raise ValueError(
            f"swaps: contents {contents.shape}, motions {motions.shape} and generated {generated.shape} do not fit"
        )
    is_sound = contents.ndim == 3
    if not is_sound and (contents.ndim != 5 or contents.shape[2] not in (1, 3)):
        raise ValueError(f"swaps: frames must be grey, RGB or features to be drawn, got {contents.shape[2:]}")
    cells = _cells(contents, motions, generated)
    made = _still(cells, path, title, is_real, is_sound)
    return made if is_sound or not is_on_screen() else [*made, _animated(cells, path.with_suffix(".gif"))]


def swap_mosaic(contents: np.ndarray, motions: np.ndarray, generated: np.ndarray, n_frames: int = 3) -> str:
    """The same grid as one small picture for a page, a ``data:`` address: ``n_frames`` frames of each sequence.

    Args:
        contents, motions, generated: as for ``draw_swaps``.
    """
    shown = np.unique(np.linspace(0, contents.shape[1] - 1, n_frames).round().astype(int))
    rows = []
    is_sound = contents.ndim == 3
    values = np.concatenate([contents.ravel(), motions.ravel(), generated.ravel()])
    low, high = np.quantile(values, [0.01, 0.99]) if is_sound else (0.0, 1.0)
    for i, row in enumerate(_cells(contents, motions, generated)):
        strips = []
        for j, sequence in enumerate(row):
            if sequence is None:
                sequence = np.full_like(contents[0], np.nan)
            if is_sound:
                image = _spectrogram(sequence)
            else:
                frames = sequence[shown[:1]] if j == 0 else sequence[shown]
                image = np.concatenate([*frames], axis=2).transpose(1, 2, 0)
            gap = max(image.shape[0] // 16, 1)
            wide = gap * (3 if j == 0 else 1), gap * (3 if i == 0 else 1)
            strips.append(np.pad(image, [(0, wide[1]), (0, wide[0]), (0, 0)], constant_values=np.nan))
        rows.append(np.concatenate(strips, axis=1))
    picture = np.concatenate(rows)
    is_there = np.isfinite(picture).all(-1, keepdims=True)  # clear between sequences
    levels = np.rint(255 * np.clip((np.nan_to_num(picture) - low) / (high - low or 1.0), 0, 1))
    return as_address(np.concatenate([levels, 255 * is_there], axis=-1).astype(np.uint8))


def _spectrogram(sequence: np.ndarray) -> np.ndarray:
    """Features (time, features) as a picture (height, width, 1), half as wide again as it is high."""
    every = max(1, round(sequence.shape[1] / 64))
    rows = sequence.T[::-1][::every]
    return rows.repeat(max(1, round(1.5 * len(rows) / len(sequence))), axis=1)[..., None]


def _cells(contents: np.ndarray, motions: np.ndarray, generated: np.ndarray) -> list[list[np.ndarray | None]]:
    """(n + 1) × (m + 1) sequences: motions above, contents on the left, nothing in the corner."""
    return [[None, *motions], *([content, *row] for content, row in zip(contents, generated, strict=True))]


def _still(cells: list[list[np.ndarray | None]], path: Path, title: str, is_real: bool, is_sound: bool) -> list[Path]:
    n_frames = next(cell for cell in cells[0] if cell is not None).shape[0]
    most = MOST_SHOWN_IN_COLUMN if is_narrow(WIDTH_CM) else MOST_SHOWN
    shown = np.unique(np.linspace(0, n_frames - 1, min(n_frames, most)).round().astype(int))
    whose = "test sequences" if is_real else "samples of the method"
    which = (
        "spectrograms, time to the right"
        if is_sound
        else f"frames {', '.join(str(i + 1) for i in shown)} of {n_frames}"
    )
    note = f"rows: content, columns: motion; first row and column: {whose}; {which}"
    # a spectrogram is one picture, so the left column shows it whole, and of images the first frame alone
    left = 1 if is_sound else 1 / len(shown)
    ratio = 0.6 if is_sound else 1 / len(shown)  # height of a cell over its width
    width = width_of(WIDTH_CM) - 1.3
    cell = width / (left + len(cells[0]) - 1)
    with style():
        from matplotlib.colors import Normalize

        figure = new_figure(1.5 + len(cells) * (cell * ratio + 0.12), WIDTH_CM)
        grid = figure.add_gridspec(len(cells), len(cells[0]), width_ratios=[left] + [1.0] * (len(cells[0]) - 1))
        values = np.concatenate([one.ravel() for row in cells for one in row if one is not None])
        scale = Normalize(*np.quantile(values, [0.01, 0.99])) if is_sound else Normalize(0, 1)
        for i, row in enumerate(cells):
            for j, sequence in enumerate(row):
                axes = figure.add_subplot(grid[i, j])
                axes.set_xticks([], [])
                axes.set_yticks([], [])
                if sequence is None:
                    axes.set_axis_off()
                    continue
                for side in axes.spines.values():
                    side.set_visible(i == 0 or j == 0)
                    side.set_color("0.5")
                if is_sound:
                    axes.imshow(sequence.T, cmap="magma", norm=scale, origin="lower", aspect="auto")
                else:
                    image = _strip(sequence[shown[:1]] if j == 0 else sequence[shown])
                    axes.imshow(image, cmap="gray", norm=scale, interpolation="nearest")
                if i == 0:
                    axes.set_title(f"motion {j}", fontsize=points(6.5), pad=2)
                if j == 0:
                    axes.set_ylabel(f"content {i}", fontsize=points(6.5), labelpad=2)
        caption(figure, f"{title}\n{note}".lstrip())
        return save(figure, path, ("png",))


def _strip(frames: np.ndarray) -> np.ndarray:
    """Frames (n, channels, height, width) side by side: (height, width) or (height, width, 3)."""
    image = np.concatenate([np.clip(frame, 0, 1) for frame in frames], axis=2).transpose(1, 2, 0)
    return image[..., 0] if image.shape[2] == 1 else image


def _animated(cells: list[list[np.ndarray | None]], path: Path) -> Path:
    """All cells beside each other in one GIF that repeats; a line parts the sources from what is generated."""
    first = next(cell for cell in cells[0] if cell is not None)
    n_frames, channels, height, width = first.shape
    gap = max(width // 32, 1)
    pictures = []
    for t in range(n_frames):
        rows = []
        for i, row in enumerate(cells):
            frames = [np.ones((channels, height, width)) if cell is None else np.clip(cell[t], 0, 1) for cell in row]
            padded = [
                _padded(frame, gap * (1 + 3 * (i == 0)), gap * (1 + 3 * (j == 0))) for j, frame in enumerate(frames)
            ]
            rows.append(np.concatenate(padded, axis=2))
        pictures.append(enlarged(np.concatenate(rows, axis=1)))
    return save_gif(pictures, path)


def _padded(frame: np.ndarray, below: int, right: int) -> np.ndarray:
    return np.pad(frame, [(0, 0), (0, below), (0, right)], constant_values=1.0)
