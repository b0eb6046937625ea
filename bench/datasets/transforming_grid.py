"""Sequences over a grid of factors: a transformation moves one factor through its values, one value a step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bench.datasets.base import DataInfo, FactorSpace
from bench.datasets.containers import check_cells
from bench.datasets.transformation_data import TransformationData, at_times, single_amounts, totals

ReadFunction = Callable[[np.ndarray], np.ndarray]

_CHUNK = 1_024  # cells read at once: what reading needs beside the frames themselves stays small
_TEST_ONE_IN = 5


@dataclass(frozen=True)
class Course:
    """How sequences go through a grid.

    Attributes:
        moving: factors that transformations move, by name and in their order.
        n_steps: moves of a training sequence.
        is_cyclic: every moving factor goes on with its first value after its last, and sequences begin anywhere;
            otherwise the factors that move begin at their first value, and only cyclic ones go around.
        shares_amounts: the sequences of a training batch move the same factor.
    """

    moving: tuple[str, ...]
    n_steps: int
    is_cyclic: bool = False
    shares_amounts: bool = True


class TransformingGrid(TransformationData):
    """A grid of factors as sequences of transformations.

    Splits are by the first frame with its moving factors at their first value: a fifth of these cells, by a hash of
    their number, begin the sequences of the test split. So train and test share no frame of the same transformation;
    a cell that begins a test sequence may be passed by a training sequence of another transformation. Where most
    factors move, nearly every frame of a test sequence is (98 to 99.9 % in the sets here): what is held out are
    sequences, not images.

    Args:
        info: as ``grid_info`` makes it.
        read: cells (n, n_factors) int64 -> observations (n, *observation) uint8.
    """

    def __init__(self, info: DataInfo, course: Course, read: ReadFunction, title: str = "") -> None:
        moves = GridMoves(info.factors, course, read)
        sizes = {split: len(cells) for split, cells in moves.cells.items()}
        law = single_amounts(course.n_steps, len(course.moving))
        super().__init__(info, moves, law, sizes, course.shares_amounts, title)
        self._read = read

    def render(self, factors: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Observations (n, *observation) uint8 of factor vectors (n, n_factors) of class indices."""
        return self._read(check_cells(factors, self.info.factors))


def grid_info(shape: tuple[int, ...], factors: FactorSpace, course: Course, has_grid: bool = True) -> DataInfo:
    """What such a data set says of itself; ``has_grid`` is left out where reading every cell would take hours."""
    views = TransformationData.views
    return DataInfo(shape, views, factors, has_grid, n_frames=course.n_steps + 1, transformations=course.moving)


class GridMoves:
    """Cells of a grid that begin sequences, and where amounts take them. A state is a cell (n_factors,)."""

    def __init__(self, space: FactorSpace, course: Course, read: ReadFunction) -> None:
        self.space, self.course, self.read = space, course, read
        self.moving = np.array([space.names.index(name) for name in course.moving])
        numbers = np.arange(int(np.prod(space.sizes)))
        is_test = hashed(numbers) % _TEST_ONE_IN == 0
        self.cells = {"train": numbers[~is_test], "test": numbers[is_test]}
        self._known: dict[tuple[str, bytes], np.ndarray] = {}

    def begin(self, amounts: np.ndarray, split: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Uniform cells of the split whose acting factors have their first value, then any value if cyclic.

        Raises:
            ValueError: so many factors act that the split has no such cell.
        """
        acts = (amounts != 0).any(axis=1)
        where, index = rng.random(len(amounts)), np.empty(len(amounts), np.int64)
        for pattern in np.unique(acts, axis=0):
            rows = np.flatnonzero((acts == pattern).all(axis=1))
            choice = self._beginnings(split, pattern)
            index[rows] = choice[(where[rows] * len(choice)).astype(np.int64)]
        cells = np.stack(np.unravel_index(self.cells[split][index], self.space.sizes), axis=1)
        if self.course.is_cyclic:
            sizes = np.array(self.space.sizes)[self.moving]
            cells[:, self.moving] += acts * rng.integers(sizes, size=acts.shape)
        return index, cells

    def _beginnings(self, split: str, pattern: np.ndarray) -> np.ndarray:
        """Places within the split of the cells whose factors named by ``pattern`` have their first value."""
        key = split, pattern.tobytes()
        if key not in self._known:
            values = np.stack(np.unravel_index(self.cells[split], self.space.sizes), axis=1)
            self._known[key] = np.flatnonzero((values[:, self.moving[pattern]] == 0).all(axis=1))
        if not len(self._known[key]):
            names = ", ".join(np.array(self.course.moving)[pattern])
            raise ValueError(f"the split '{split}' has no sequences in which all of {names} move")
        return self._known[key]

    def run(self, start: np.ndarray, amounts: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Frames (n, m, *observation) uint8 and factors (n, m, n_factors) int64.

        Raises:
            ValueError: parts of a step, or values that an ordered factor does not have.
        """
        if (amounts != np.round(amounts)).any():
            raise ValueError("factors of a grid move by whole steps: amounts must be whole numbers")
        cells = np.repeat(start[:, None], times.shape[1], axis=1)
        cells[:, :, self.moving] += at_times(totals(amounts), times).astype(np.int64)
        for name, column in zip(self.course.moving, self.moving, strict=True):
            size = self.space.sizes[column]
            if self.course.is_cyclic or self.space.kinds[column] == "cyclic":
                cells[:, :, column] %= size
            elif cells[:, :, column].min() < 0 or cells[:, :, column].max() >= size:
                reached = cells[:, :, column].ravel()
                raise ValueError(
                    f"'{name}' has values 0 … {size - 1}; these amounts reach {reached[np.abs(reached).argmax()]}"
                )
        return self._frames(cells), cells

    def _frames(self, cells: np.ndarray) -> np.ndarray:
        flat = cells.reshape(-1, cells.shape[-1])
        pieces = [self.read(flat[start : start + _CHUNK]) for start in range(0, len(flat), _CHUNK)]
        frames = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
        return frames.reshape(*cells.shape[:2], *frames.shape[1:])


def hashed(numbers: np.ndarray) -> np.ndarray:
    """A fixed scramble of whole numbers, uint64: the finaliser of SplitMix64 (Steele, Lea, Flood, 2014)."""
    z = np.asarray(numbers).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        z = (z ^ (z >> np.uint64(shift))) * np.uint64(factor)
    return z ^ (z >> np.uint64(31))


def subset(read: ReadFunction, values: Sequence[np.ndarray]) -> ReadFunction:
    """A reader of a grid that keeps only these values (class indices) of each factor."""
    return lambda cells: read(np.stack([kept[cells[:, i]] for i, kept in enumerate(values)], axis=1))
