"""The rows that a method is scored on: the same for every method that is offered the data in the same way.

Methods of the views ``images`` and ``pairs`` are scored on independent frames. Those of ``sequences`` and
``transformations`` encode whole items, and one random frame of each item becomes a row; where a split holds fewer items
than the protocol has rows, further frames of the same items are rows too, which are then not independent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from bench.datasets.base import DataStore
from bench.randomness import EVALUATION_SEED, stream
from metrics.protocols import Protocol

DRAWN_AT_ONCE = 15_000  # evaluation rows: 184 MB of 64 × 64 colour images
ITEMS_AT_ONCE = 500
ITEM_VIEWS = ("sequences", "transformations")  # their methods encode whole items


@dataclass(frozen=True)
class FrameRows:
    """Independent observations, those for fitting first.

    Attributes:
        x: (n, *observation), uint8 or float32.
        factors: (n, n_factors).
        n_train: rows for fitting.
        notes: what a row of results should say of them.
    """

    x: np.ndarray
    factors: np.ndarray
    n_train: int
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.x)

    def frames(self, rows: slice) -> np.ndarray:
        """Observations (m, *observation) of these rows."""
        return self.x[rows]

    def part(self, start: int, stop: int) -> FrameRows:
        """The rows ``start`` to ``stop`` alone, all for fitting."""
        x = self.x[start:stop]
        return FrameRows(x, self.factors[start:stop], len(x))


@dataclass(frozen=True)
class ItemRows:
    """Single frames of items that are encoded whole, those for fitting first.

    Attributes:
        stored: (n_stored, time, *observation), uint8 or float32: all items of the data set, often a memory map.
        place: (n_items,) where in ``stored`` each item is, items for fitting first; each once.
        item_factors: (n_items, time, n_factors).
        groups: (n_items,) the recording of each item.
        item, frame: (n,) of each row: the number of its item, and of its frame within it.
        n_train: rows for fitting.
        n_train_items: items for fitting.
        notes: what a row of results should say of them.
    """

    stored: np.ndarray
    place: np.ndarray
    item_factors: np.ndarray
    groups: np.ndarray
    item: np.ndarray
    frame: np.ndarray
    n_train: int
    n_train_items: int
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.item)

    @property
    def n_frames(self) -> int:
        """Time steps of an item."""
        return int(self.stored.shape[1])

    @cached_property
    def factors(self) -> np.ndarray:
        """(n, n_factors) of the rows."""
        return self.item_factors[self.item, self.frame]  # type: ignore[no-any-return]

    def items(self, start: int, stop: int) -> np.ndarray:
        """The items ``start`` to ``stop``: (m, time, *observation)."""
        return self.stored[self.place[start:stop]]

    def frames(self, rows: slice) -> np.ndarray:
        """Observations (m, *observation) of these rows."""
        return self.stored[self.place[self.item[rows]], self.frame[rows]]

    def part(self, start: int, stop: int) -> ItemRows:
        """The rows ``start`` to ``stop`` alone, all for fitting, with the items that they are of."""
        items, item = np.unique(self.item[start:stop], return_inverse=True)
        frame = self.frame[start:stop]
        return ItemRows(
            self.stored, self.place[items], self.item_factors[items], self.groups[items], item, frame,
            len(item), len(items),
        )  # fmt: skip


Rows = FrameRows | ItemRows


def kind_of(view: str) -> str:
    """Views of one kind share their rows: "images", or the view itself where items are encoded whole."""
    return view if view in ITEM_VIEWS else "images"


def evaluation_rows(data: Any, dataset_id: str, store: DataStore, protocol: Protocol, view: str = "images") -> Rows:
    """The protocol's rows of this data set for methods of this view, train then test; the same for all of them.

    A container that names two splits in ``evaluation_splits`` has its test rows drawn from the second one.
    """
    if kind_of(view) == "images":
        x, factors = _drawn(data, dataset_id, store, "images", protocol.n_draw, protocol.n_test)
        return FrameRows(x, factors, protocol.n_draw)
    n_train, n_test = protocol.n_train_sequences, protocol.n_test_sequences
    rng = stream(EVALUATION_SEED, dataset_id, f"evaluation {view}")
    if hasattr(data, "rows_of"):
        fit, test = _distinct(data, n_train, n_test, rng)
        place = np.concatenate([fit, test])
        stored, factors, groups = data.frames, np.asarray(data.factors[place]), np.asarray(data.groups[place])
    else:
        stored, factors = _drawn(data, dataset_id, store, view, n_train, n_test)
        place = groups = np.arange(len(stored))
        fit, test = place[:n_train], place[n_train:]
    counts, wanted = (len(fit), len(test)), (n_train, n_test)
    item, frame = _frames_of_items(counts, wanted, stored.shape[1], rng)
    n_fitted = min(n_train, len(fit) * stored.shape[1])
    return ItemRows(
        stored, place, factors, groups, item, frame, n_fitted, len(fit), _notes(counts, wanted, stored.shape[1])
    )


def _distinct(data: Any, n_train: int, n_test: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Items of a container for fitting and for testing, each once, in random order; a third for testing at most."""
    fit, test = getattr(data, "evaluation_splits", ("train", "train"))
    if fit != test:
        return rng.permutation(data.rows_of(fit))[:n_train], rng.permutation(data.rows_of(test))[:n_test]
    order = rng.permutation(data.rows_of(fit))
    n_test = min(n_test, len(order) // 3)
    return order[n_test : n_test + n_train], order[:n_test]


def _frames_of_items(
    counts: Sequence[int], wanted: Sequence[int], n_frames: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Item and frame of each row: every item once before one is taken again, and then with another frame."""
    items, frames, first = [], [], 0
    for n_items, n_rows in zip(counts, wanted, strict=True):
        order = rng.permuted(np.tile(np.arange(n_frames), (n_items, 1)), axis=1)
        turn, item = np.divmod(np.arange(min(n_rows, n_items * n_frames)), max(n_items, 1))
        items.append(first + item)
        frames.append(order[item, turn])
        first += n_items
    return np.concatenate(items), np.concatenate(frames)


def _notes(counts: Sequence[int], wanted: Sequence[int], n_frames: int) -> tuple[str, ...]:
    """Where rows share an item."""
    rows = [min(n, m * n_frames) for n, m in zip(wanted, counts, strict=True)]
    if all(n <= m for n, m in zip(rows, counts, strict=True)):
        return ()
    most = max(-(-n // m) for n, m in zip(rows, counts, strict=True) if m)
    return (
        f"scored on {rows[0]:,} + {rows[1]:,} rows of {counts[0]:,} + {counts[1]:,} sequences, up to {most} frames of "
        "each: rows of one sequence are not independent",
    )


def _drawn(
    data: Any, dataset_id: str, store: DataStore, view: str, n_train: int, n_test: int
) -> tuple[np.ndarray, np.ndarray]:
    """Labelled draws of the view and their factors; without their time where the view is ``images``."""
    n, at_once = n_train + n_test, DRAWN_AT_ONCE if view == "images" else ITEMS_AT_ONCE
    fit, test = getattr(data, "evaluation_splits", ("train", "train"))
    spans = [(fit, 0, n)] if fit == test else [(fit, 0, n_train), (test, n_train, n)]
    factors: list[np.ndarray] = []
    rng = stream(EVALUATION_SEED, dataset_id, "evaluation")

    def draw(rows: slice) -> np.ndarray:
        nonlocal rng
        if rows.start == 0:
            rng = stream(EVALUATION_SEED, dataset_id, "evaluation")
            factors.clear()
        found = []
        for split, start, stop in spans:
            m = min(stop, rows.stop) - max(start, rows.start)
            if m > 0:
                part = data.labelled(m, rng, split=split, view=view)
                x, labels = np.asarray(part.x), np.asarray(part.factors)
                found.append(_stored(x[:, 0] if view == "images" else x, data.info.observation_shape))
                factors.append(labels[:, 0] if view == "images" else labels)
        return np.concatenate(found)

    def drawn_factors() -> np.ndarray:
        if not factors:  # the observations were in the cache
            for start in range(0, n, at_once):
                draw(slice(start, min(start + at_once, n)))
        return np.concatenate(factors)

    name = f"evaluation-{n}" if view == "images" else f"evaluation-{view}-{n}"
    x = store.cached_rows(f"{name}-x", n, draw, at_once)
    return x, store.cached(f"{name}-factors", drawn_factors)


def _stored(x: np.ndarray, observation_shape: tuple[int, ...]) -> np.ndarray:
    """Observations as they are kept: images as uint8, a quarter of the floats that some data sets warp them to."""
    is_float_image = len(observation_shape) == 3 and x.dtype == np.float32
    return np.rint(255 * x).astype(np.uint8) if is_float_image else x
