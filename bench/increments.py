"""Where steps between consecutive frames come from: data sets with tracks, and files of tracks in three layouts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench import registry
from bench.opening import Folders, data_store, resolve_source
from bench.registry import UsageError

# Data sets that hold motion, and which rows of the published statistics theirs compare with.
PUBLISHED = {"kitti_masks": "KITTI", "natural_sprites": "YouTube"}
LAYOUTS = {
    ".csv": "tracks in the layout of Natural Sprites",
    ".pickle": "masks in the layout of KITTI Masks",
    ".npz": "boxes: arrays seq, track, frame and bbox (left, top, right, bottom), as in KITTI's tracking labels",
}
BOX_FRAME = 375  # rows of a KITTI frame, scaled to 64


@dataclass(frozen=True)
class Increments:
    """Steps of area, x and y between consecutive frames.

    Attributes:
        name: what they come from, as tables and files name it.
        source: "official", "generated" or "user".
        note: what a reader must know of them.
        steps: (n, 3) float64: area, x, y in pixels of a 64-pixel frame.
        categories: what each step's object is, (n,) text; None where nobody says it.
        published: whose published statistics they compare with; empty for none.
    """

    name: str
    source: str
    note: str
    steps: np.ndarray
    categories: np.ndarray | None = None
    published: str = ""


def of_dataset(name: str, config: Any, folders: Folders) -> Increments:
    """All consecutive pairs of a data set that holds motion, before any filter.

    Raises:
        UsageError: a data set without tracks.
        FileNotFoundError, ValueError: its file is missing or wrong.
    """
    if name not in PUBLISHED:
        raise UsageError(f"'{name}' holds no tracks; {' and '.join(sorted(PUBLISHED))} do, or name a file of tracks")
    config, source = resolve_source(name, config, folders)
    categories = None
    if name == "kitti_masks":
        data = registry.dataset(name).target(config, data_store(name, config, source, folders))
        steps = _of_factors(data.factors, data.steps)
    elif source.kind == "generated":
        from bench.datasets.tracks import YOUTUBE_PAIRS, generate_pairs

        steps = _of_pairs(generate_pairs(YOUTUBE_PAIRS, np.random.default_rng(0)))
    else:
        from bench.datasets.natural_sprites import FILE

        steps, categories = _of_tracks(Path(config.tracks) if config.tracks else folders.data / name / FILE)
    published = "" if source.kind == "user" else PUBLISHED[name]
    return Increments(name, source.kind, source.note, steps, categories, published)


def of_file(path: Path) -> Increments:
    """All consecutive pairs of a file in one of LAYOUTS, told by its ending.

    Raises:
        UsageError: another ending.
        OSError, ValueError: no such file, or not in that layout.
    """
    layout = path.suffix if path.suffix != ".pkl" else ".pickle"
    if layout not in LAYOUTS:
        known = "; ".join(f"{ending}: {what}" for ending, what in LAYOUTS.items())
        raise UsageError(f"{path}: the ending says which layout a file has; known are {known}")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    categories = None
    if layout == ".csv":
        steps, categories = _of_tracks(path)
    elif layout == ".npz":
        steps, categories = read_boxes(path)
    else:
        from bench.datasets.kitti_masks import read_tracks

        _, factors, lengths = read_tracks(path)
        first = np.delete(np.arange(len(factors)), np.cumsum(lengths) - 1)
        steps = _of_factors(factors, np.stack([first, first + 1], axis=1))
    return Increments(path.stem, "user", LAYOUTS[layout], steps, categories)


def read_boxes(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Steps (n, 3) of area and centre of boxes, and their objects' types where the file names them.

    A pair is one track of one sequence in two consecutive frames. Boxes are scaled from 375 rows to 64. The arrays
    ``type`` (index) and ``type_names`` are optional.
    """
    from bench.datasets.zipped_npy import NpzMember

    def load(key: str) -> np.ndarray:
        with NpzMember(path.absolute(), key, 0) as member:
            return member.read(member.n_items).reshape(member.shape)

    sequence, track, frame, box = (load(key) for key in ("seq", "track", "frame", "bbox"))
    n = len(box) if box.ndim else 0
    if box.shape != (n, 4) or box.dtype.kind not in "fiu" or not np.isfinite(box).all():
        raise ValueError(f"{path}: bbox must be (n, 4) finite numbers, got {box.shape} {box.dtype}")
    for key, values in (("seq", sequence), ("track", track), ("frame", frame)):
        if values.shape != (n,) or values.dtype.kind not in "iu":
            raise ValueError(f"{path}: {key} must be ({n},) whole numbers, one per box, got {values.shape}")
    order = np.lexsort((frame, track, sequence))
    sequence, track, frame = (values[order].astype(np.int64) for values in (sequence, track, frame))
    left, top, right, bottom = box[order].astype(np.float64).T * (64 / BOX_FRAME)
    values = np.stack([(right - left) * (bottom - top), (left + right) / 2, (top + bottom) / 2], axis=1)
    follows = (np.diff(sequence) == 0) & (np.diff(track) == 0) & (np.diff(frame) == 1)
    return np.diff(values, axis=0)[follows], _types(path, load, order, follows)


def _types(path: Path, load: Any, order: np.ndarray, follows: np.ndarray) -> np.ndarray | None:
    try:
        names, kind = load("type_names"), load("type")
    except ValueError:
        return None
    if names.dtype.kind != "U" or kind.shape != order.shape or kind.dtype.kind not in "iu":
        raise ValueError(f"{path}: type must be an index per box into type_names, got {kind.shape} {names.dtype}")
    if len(kind) and not 0 <= kind.min() <= kind.max() < len(names):
        raise ValueError(f"{path}: type has values {kind.min()} … {kind.max()}, there are {len(names)} type_names")
    return np.asarray(names[kind[order]][1:][follows])


def _of_tracks(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Steps of a track file, and their objects' cat_id."""
    from bench.datasets.tracks import read_named_pairs

    pairs, names = read_named_pairs(path)
    return _of_pairs(pairs), np.char.add("cat_id ", names)


def _of_pairs(pairs: np.ndarray) -> np.ndarray:
    """Steps (n, 3) of area, x, y, of pairs (n, 2, 3) of x, y, area."""
    return np.diff(pairs, axis=1)[:, 0][:, [2, 0, 1]]


def _of_factors(factors: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Steps (n, 3) of area, x, y, of factors row, column, area and rows (n, 2) that follow each other."""
    return (factors[rows[:, 1]] - factors[rows[:, 0]])[:, [2, 1, 0]]
