"""Measured or generated motion of objects: pairs of (x, y, area) for Natural Sprites.

Klindt et al., ICLR 2021, and the authors' ``gen_youtube_csv.py``, ``data_analysis_utils.py``, ``scripts/dataset.py``.
All values are in pixels of a 64 x 64 window: x = column and y = row of the centre of mass, area = number of pixels.
The first pixel's centre is 0, so positions lie between -0.5 and 63.5.
A pairs array is (n, 2, 3) float64: pair, frame, (x, y, area).
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np

from bench.files import lines
from bench.messages import one_line

SIDE = 64
N_WINDOWS = 3
MAX_BYTES = 512 << 20  # of a file; numbers take five times the room of their text
MAX_COLUMNS = 100_000
MAX_CELL = 1_000

# Generalised normal fits (shape, scale) to 234,652 consecutive pairs of YouTube tracks, location 0: stored outputs of
# data_analysis/data_analysis_both.ipynb in the authors' repository.
YOUTUBE_X = (0.515, 0.257)
YOUTUBE_Y = (0.548, 0.308)
YOUTUBE_AREA = (0.444, 5.04)
YOUTUBE_PAIRS = 234_652

# The start law is not published; these are the ranges that the authors' loader holds as placeholders.
START_CENTRE = (0.2 * SIDE, 0.8 * SIDE)
START_SCALE = (1 / 12, 0.5)

# Each text matches in one way only: with a second way for every digit, a cell that fails takes years.
_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
_ENTRY = rf"(?:None|\(\s*({_NUMBER})\s*,\s*({_NUMBER})\s*,\s*({_NUMBER})\s*\))"
_CELL = re.compile(r"\s*\[\s*" + r"\s*,\s*".join([_ENTRY] * N_WINDOWS) + r"\s*\]\s*", re.ASCII)


def read_pairs(path: Path) -> np.ndarray:
    """All pairs (n, 2, 3) of a file in the layout of ``downscale_keepaspect.csv``; see ``read_named_pairs``."""
    return read_named_pairs(path)[0]


def read_named_pairs(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """All pairs (n, 2, 3) of a file in the layout of ``downscale_keepaspect.csv``, and their cat_id (n,) as text.

    A pair is one object in one window at two consecutive columns. Rows are read one at a time, and each must have a
    cell for every column of the header, empty where the object is absent.

    Raises:
        ValueError: one line with file, row and column of the first thing that is not as the layout has it.
    """
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise ValueError(f"{path}: {size:,} bytes, at most {MAX_BYTES:,} are read; is this a track file?")
    pairs: list[np.ndarray] = []
    names: list[str] = []
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(lines.bounded(file, path), strict=True)
        columns: list[str] = []
        try:
            for cells in rows:
                if not columns:
                    columns = _checked_header(cells, path)
                elif len(cells) != len(columns):
                    raise ValueError(
                        f"{path}: row {rows.line_num} has {len(cells)} cells, the header has {len(columns)}; "
                        f"is the file complete?"
                    )
                else:
                    pairs.append(_row_pairs(cells, columns, f"{path}: row {rows.line_num}"))
                    names.append(one_line(cells[1], 20))
        except csv.Error as error:
            raise ValueError(f"{path}: row {rows.line_num} is not CSV ({error}); is the file complete?") from None
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: not UTF-8 text after row {rows.line_num} ({error.reason})") from None
    if not columns:
        raise ValueError(f"{path}: empty file, wanted the header id,cat_id,t_0,t_1,…")
    found = np.concatenate(pairs) if pairs else np.empty((0, 2, 3))
    if len(found) == 0:
        raise ValueError(f"{path}: no object is seen in two consecutive columns of one window")
    return found, np.repeat(names, [len(of_row) for of_row in pairs])


def _checked_header(cells: list[str], path: Path) -> list[str]:
    if len(cells) > MAX_COLUMNS:
        raise ValueError(f"{path}: header has {len(cells):,} cells, at most {MAX_COLUMNS:,} are read")
    wanted = ["id", "cat_id"] + [f"t_{i}" for i in range(len(cells) - 2)]
    for found, name in zip(cells, wanted, strict=False):
        if found != name:
            shown = one_line(found, 40)
            raise ValueError(f"{path}: header has '{shown}' where '{name}' belongs; wanted id,cat_id,t_0,t_1,…")
    if len(cells) < 4:
        raise ValueError(f"{path}: header {','.join(cells)!r} has fewer than two time columns (id,cat_id,t_0,t_1,…)")
    return cells


def _row_pairs(cells: list[str], columns: list[str], place: str) -> np.ndarray:
    """Pairs (n, 2, 3) of one row: all windows of one object."""
    track = np.full((len(cells) - 2, N_WINDOWS, 3), np.nan)
    for i, text in enumerate(cells[2:]):
        if text:
            track[i] = _parse_cell(text, f"{place}, column {columns[i + 2]}")
    both = np.stack([track[:-1], track[1:]], axis=2).reshape(-1, 2, 3)  # (time, window) → pair
    return both[~np.isnan(both).any(axis=(1, 2))]


def _parse_cell(text: str, place: str) -> np.ndarray:
    """(x, y, area) of each window, (3, 3); NaN where the object is not in it."""
    shown = one_line(text, 41)
    if len(text) > MAX_CELL:
        raise ValueError(f"{place}: cell of {len(text):,} characters ('{shown}'), at most {MAX_CELL} belong there")
    match = _CELL.fullmatch(text)
    if match is None:
        raise ValueError(f"{place}: wanted a list of {N_WINDOWS} entries, (y, x, area) or None, got '{shown}'")
    values = np.array([np.nan if v is None else float(v) for v in match.groups()]).reshape(N_WINDOWS, 3)
    y, x, area = values.T
    for name, value, low, high in (("y", y, -0.5, SIDE), ("x", x, -0.5, SIDE), ("area", area, 1, SIDE * SIDE)):
        wrong = (value < low) | (value > high)  # False for NaN
        if wrong.any():
            raise ValueError(f"{place}: {name} must lie between {low:g} and {high:g}, got {value[wrong][0]:g}")
    return np.stack([x, y, area], axis=1)


def generate_pairs(n: int, rng: np.random.Generator) -> np.ndarray:
    """Pairs (n, 2, 3) whose increments follow the published YouTube fits.

    Starts are uniform in ``START_CENTRE`` and, for the square root of the area, in ``START_SCALE``. A pair whose end
    leaves these ranges is drawn again (7 % for the centre): the grid of the discrete form spans the extremes of the
    tracks, and few pairs that stray to the border would make most of that grid unlike anything seen in training.
    """
    scale_low, scale_high = START_SCALE
    area_low, area_high = (scale_low * SIDE) ** 2, (scale_high * SIDE) ** 2
    kept = np.empty((0, 2, 3))
    while len(kept) < n:
        start = np.column_stack(
            [rng.uniform(*START_CENTRE, size=(n, 2)), (rng.uniform(scale_low, scale_high, size=n) * SIDE) ** 2]
        )
        move = np.column_stack([draw_gennorm(*law, n, rng) for law in (YOUTUBE_X, YOUTUBE_Y, YOUTUBE_AREA)])
        end = start + move
        inside = (end[:, :2] >= START_CENTRE[0]).all(axis=1) & (end[:, :2] <= START_CENTRE[1]).all(axis=1)
        inside &= (end[:, 2] >= area_low) & (end[:, 2] <= area_high)
        kept = np.concatenate([kept, np.stack([start, end], axis=1)[inside]])
    return kept[:n]


def draw_gennorm(shape: float, scale: float, n: int, rng: np.random.Generator) -> np.ndarray:
    """n draws of the generalised normal with density ∝ exp(-(|u| / scale)^shape): (n,) float64.

    (|u| / scale)^shape is Gamma(1 / shape) distributed.
    """
    size = scale * rng.standard_gamma(1 / shape, size=n) ** (1 / shape)
    return np.where(rng.random(n) < 0.5, -size, size)


def filter_area(pairs: np.ndarray) -> np.ndarray:
    """Pairs whose area lies within the 5 % and 95 % quantiles of its own frame slot, ends included, in both slots."""
    area = pairs[..., 2]
    low, high = np.quantile(area, [0.05, 0.95], axis=0)
    return pairs[((area >= low) & (area <= high)).all(axis=1)]


def bin_centres(values: np.ndarray, n_bins: int, name: str) -> np.ndarray:
    """Centres (n_bins,) of equal-width bins between the smallest and the largest value."""
    low, high = float(values.min()), float(values.max())
    if low == high:
        raise ValueError(f"natural_sprites: {name} is {low:g} in every track, so it cannot be cut into {n_bins} bins")
    return low + (np.arange(n_bins) + 0.5) * ((high - low) / n_bins)


def nearest(values: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Index of the nearest of equally spaced, rising centres; the lower one of two equally near. int64, like values."""
    return np.searchsorted((centres[1:] + centres[:-1]) / 2, values, side="left")
