"""Draws of codes in which one factor is held, from a grid of codes, a sampler, or labelled rows.

What BetaVAE's and FactorVAE's scores share. A grid is encoded once and looked up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

Sampler = Callable[[np.ndarray, np.random.Generator], np.ndarray]
_CHUNK = 500  # votes at a time: their codes fit the cache


class Interventions(Protocol):
    """Where votes are drawn from."""

    @property
    def n_factors(self) -> int:
        """How many factors can be held."""

    def some(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Codes (n, n_latents) of random observations."""

    def groups(self, held: np.ndarray, batch: int, rng: np.random.Generator) -> np.ndarray:
        """Codes (votes, batch, n_latents); in vote v all share one random value of factor ``held[v]``."""

    def pairs(self, held: np.ndarray, batch: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Two such arrays; in vote v each pair shares its own random value of factor ``held[v]``."""


@dataclass(frozen=True)
class FromCells:
    """Draws cells of the grid of factors uniformly and looks their codes up.

    Attributes:
        sizes: (n_factors,) number of values of each factor; cells are numbered in C order.
        codes_of: cells (m,) int64 -> codes (m, n_latents).
    """

    sizes: np.ndarray
    codes_of: Callable[[np.ndarray, np.random.Generator], np.ndarray]

    @property
    def n_factors(self) -> int:
        return len(self.sizes)

    def some(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return self.codes_of(self._cells((n,), rng), rng)

    def groups(self, held: np.ndarray, batch: int, rng: np.random.Generator) -> np.ndarray:
        cells = self._cells((len(held), batch), rng)
        return self._codes(self._with_value_of(cells, cells[:, :1], held), rng)

    def pairs(self, held: np.ndarray, batch: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        first, second = self._cells((len(held), batch), rng), self._cells((len(held), batch), rng)
        return self._codes(first, rng), self._codes(self._with_value_of(second, first, held), rng)

    def _cells(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        return rng.integers(int(self.sizes.prod()), size=shape)

    def _with_value_of(self, cells: np.ndarray, others: np.ndarray, held: np.ndarray) -> np.ndarray:
        """Cells (votes, batch) with the value of factor ``held[v]`` taken from ``others`` (votes, batch or 1)."""
        stride = _strides(self.sizes)[held][:, None]
        size = self.sizes[held][:, None]
        return cells + (others // stride % size - cells // stride % size) * stride  # type: ignore[no-any-return]

    def _codes(self, cells: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return self.codes_of(cells.ravel(), rng).reshape(*cells.shape, -1)


class FromRows:
    """Draws rows of a labelled set that share a factor's value; values seen in a single row are left out.

    Args:
        codes: (n, n_latents).
        labels: (n, n_factors) class indices 0 … size - 1.
        name: of the metric, for its error.

    Raises:
        ValueError: a factor has no value that two rows share.
    """

    def __init__(self, codes: np.ndarray, labels: np.ndarray, name: str) -> None:
        self.codes = codes
        self._n_factors = labels.shape[1]
        self._stretches = []
        for i, column in enumerate(labels.T):
            by_value = np.argsort(column, kind="stable")
            counts = np.bincount(column)
            first = np.cumsum(counts) - counts
            shared = np.flatnonzero(counts[column] >= 2)
            if not len(shared):
                raise ValueError(f"{name}: no two rows share a value of factor {i}; label more rows")
            self._stretches.append((by_value, first[column], counts[column], shared))

    @property
    def n_factors(self) -> int:
        return self._n_factors

    def some(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """All rows: more says nothing new."""
        return self.codes

    def groups(self, held: np.ndarray, batch: int, rng: np.random.Generator) -> np.ndarray:
        rows = np.empty((len(held), batch), np.int64)
        for i in np.unique(held):
            votes = np.flatnonzero(held == i)
            rows[votes] = self._fellows(i, np.repeat(self._start(i, (len(votes), 1), rng), batch, axis=1), rng)
        return self.codes[rows]

    def pairs(self, held: np.ndarray, batch: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        first, second = np.empty((2, len(held), batch), np.int64)
        for i in np.unique(held):
            votes = np.flatnonzero(held == i)
            first[votes] = self._start(i, (len(votes), batch), rng)
            second[votes] = self._fellows(i, first[votes], rng)
        return self.codes[first], self.codes[second]

    def _start(self, i: int, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
        shared = self._stretches[i][3]
        return shared[rng.integers(len(shared), size=shape)]  # type: ignore[no-any-return]

    def _fellows(self, i: int, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """For each row one with its value of factor i, possibly itself."""
        by_value, first, counts, _ = self._stretches[i]
        return by_value[first[rows] + rng.integers(counts[rows])]  # type: ignore[no-any-return]


def from_grid(name: str, grid_codes: np.ndarray, factor_sizes: np.ndarray) -> FromCells:
    """Interventions on codes (prod(sizes), n_latents) of every cell, in C order of the factor tuple.

    Raises:
        ValueError: another number of rows, or a factor of size 1.
    """
    sizes = _checked_sizes(name, factor_sizes)
    if grid_codes.ndim != 2 or len(grid_codes) != sizes.prod():
        raise ValueError(
            f"{name}: one row of grid_codes per cell of {tuple(sizes.tolist())}, got grid_codes {grid_codes.shape}"
        )
    return FromCells(sizes, lambda cells, _rng: np.take(grid_codes, cells, axis=0))


def from_sampler(name: str, sampler: Sampler, factor_sizes: np.ndarray) -> FromCells:
    """Interventions on whatever ``sampler(factors (m, n_factors), rng)`` encodes."""
    sizes = _checked_sizes(name, factor_sizes)
    return FromCells(sizes, lambda cells, rng: sampler(np.stack(np.unravel_index(cells, sizes), axis=1), rng))


def held_factors(n_votes: int, n_factors: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """A uniformly drawn factor per vote, in chunks of votes."""
    held = rng.integers(n_factors, size=n_votes)
    for start in range(0, n_votes, _CHUNK):
        yield held[start : start + _CHUNK]


def _strides(sizes: np.ndarray) -> np.ndarray:
    """How many cells apart two neighbouring values of each factor are, in C order."""
    return np.append(np.cumprod(sizes[:0:-1])[::-1], 1)


def _checked_sizes(name: str, factor_sizes: np.ndarray) -> np.ndarray:
    sizes = np.asarray(factor_sizes, np.int64)
    if sizes.ndim != 1 or not len(sizes) or (sizes < 2).any():
        raise ValueError(f"{name}: every factor has at least two values, got sizes {sizes.tolist()}; drop the constant")
    return sizes
