"""A full grid of factors with pairs drawn anew for every batch, and the parameters that all such data sets share.

The laws are LAP and UNI of SlowVAE (Klindt et al., ICLR 2021) and that of Locatello et al. (ICML 2020); see
``bench.datasets.transitions``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bench.datasets.base import DataInfo, FactorSpace
from bench.datasets.containers import Container, Labelled, RenderFunction, check_cells
from bench.datasets.transitions import laplace_ends, locatello_ends, uniform_ends

EndsFunction = Callable[[np.ndarray, np.random.Generator], np.ndarray]

_CHUNK = 1_024  # cells read at once: what reading needs beside the frames themselves stays small


@dataclass(frozen=True)
class GridConfig:
    """Parameters of every factor grid; each data set's own config extends it.

    Attributes:
        transitions: law of the second frame of a pair: "lap", "uni" or "locatello".
        rate: of lap; -1 draws it from U(1, 10) for every pair.
        k: factors that change under uni, or the larger of the two counts under locatello; -1 draws it for every pair.
        source: "auto", or what the images must be.
    """

    transitions: str = "lap"
    rate: float = 1.0
    k: int = -1
    source: str = "auto"

    n_factors: ClassVar[int]
    name: ClassVar[str]
    sources: ClassVar[tuple[str, ...]] = ("auto", "official", "generated")

    def __post_init__(self) -> None:
        check_choice(self.name, "transitions", self.transitions, ("lap", "uni", "locatello"))
        check_choice(self.name, "source", self.source, self.sources)
        if self.rate != 1.0 and self.transitions != "lap":
            raise ValueError(
                f"{self.name}: rate={self.rate:g} needs transitions=lap, got transitions={self.transitions}"
            )
        if self.rate != -1 and not 0 < self.rate < np.inf:
            raise ValueError(f"{self.name}: rate must be > 0, or -1 for U(1, 10), got {self.rate:g}")
        if self.k != -1 and self.transitions == "lap":
            raise ValueError(f"{self.name}: k={self.k} needs transitions=uni or locatello, got transitions=lap")
        if self.k != -1 and not 1 <= self.k <= self.n_factors:
            raise ValueError(f"{self.name}: k must be 1 … {self.n_factors}, or -1 for a random number, got {self.k}")

    @property
    def transition_label(self) -> str:
        """The law with its parameter, as figures and tables print it."""
        if self.transitions != "lap":
            return f"{self.transitions}(k={self.k})"
        return "lap(rate~U(1,10))" if self.rate == -1 else f"lap(rate={self.rate:g})"


def check_choice(dataset: str, parameter: str, value: str, choices: Sequence[str]) -> None:
    """ValueError that lists the choices unless ``value`` is one of them."""
    if value not in choices:
        raise ValueError(f"{dataset}: {parameter} must be one of {', '.join(choices)}, got '{value}'")


def ends_function(config: GridConfig, factors: FactorSpace, frozen: Sequence[str] = ()) -> EndsFunction:
    """The pair law of a config: start cells (n, n_factors), rng -> end cells of the same shape.

    Args:
        frozen: names of the factors that lap never moves: those that the authors hold categorical.
    """
    still = [name in frozen for name in factors.names]
    if config.transitions == "lap":
        return lambda start, rng: laplace_ends(start, factors.sizes, still, config.rate, rng)
    if config.transitions == "uni":
        return lambda start, rng: uniform_ends(start, factors.sizes, config.k, rng)
    return lambda start, rng: locatello_ends(start, factors.sizes, config.k, rng)


class FactorGrid(Container):
    """Every cell of a grid of factors, read or rendered when it is asked for; nothing is drawn ahead.

    A pair starts in a uniform cell and ends where the transition law takes it, anew for every batch, so training never
    sees a pool. The view ``images`` gives the frames of the same pairs, first and second in turn: for one generator
    state, 2 n images are the frames of n pairs in the same order. ``index`` is the number of the start cell (pairs) or
    of the frame's own cell (images), factors in C order.

    Args:
        read: (factors (n, n_factors) int64, rng) -> observations (n, *observation) uint8.
        ends: the pair law, see ``ends_function``.
    """

    views = ("pairs", "images")

    def __init__(self, info: DataInfo, read: RenderFunction, ends: EndsFunction, title: str = "") -> None:
        if not info.has_grid or not info.factors.is_discrete:
            raise ValueError(f"FactorGrid: needs discrete factors on a grid, got {info.factors}")
        super().__init__(info, np.zeros((0, *info.observation_shape), np.uint8), title)
        self._read, self._ends = read, ends

    def render(self, factors: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Observations (n, *observation) uint8 of factor vectors (n, n_factors) of class indices."""
        return self._read(check_cells(factors, self.info.factors), rng)

    def labelled(self, n: int, rng: np.random.Generator, split: str = "train", view: str = "images") -> Labelled:
        """n images of uniform cells (time 1), or n pairs of the transition law (time 2)."""
        self._check(view, split)
        factors = self._cells(n, 2 if view == "pairs" else 1, rng)
        return Labelled(self._frames(factors, rng), factors)

    def _pick(self, view: str, batch_size: int, rng: np.random.Generator, split: str) -> tuple[np.ndarray, np.ndarray]:
        if view == "pairs":
            cells = self._cells(batch_size, 2, rng)
        else:
            cells = self._cells((batch_size + 1) // 2, 2, rng).reshape(-1, 1, len(self.info.factors.sizes))[:batch_size]
        index = np.ravel_multi_index(tuple(cells[:, 0].T), self.info.factors.sizes)
        return self._frames(cells, rng), np.asarray(index, np.int64)

    def _cells(self, n: int, time: int, rng: np.random.Generator) -> np.ndarray:
        """Factors (n, time, n_factors) of n items."""
        start = rng.integers(self.info.factors.sizes, size=(n, len(self.info.factors.sizes)))
        return start[:, None] if time == 1 else np.stack([start, self._ends(start, rng)], axis=1)

    def _frames(self, cells: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Observations (n, time, *observation) of cells (n, time, n_factors), drawn in their order."""
        flat = cells.reshape(-1, cells.shape[-1])
        if len(flat) <= _CHUNK:
            frames = self._read(flat, rng)
        else:
            frames = np.empty((len(flat), *self.info.observation_shape), np.uint8)
            for start in range(0, len(flat), _CHUNK):
                frames[start : start + _CHUNK] = self._read(flat[start : start + _CHUNK], rng)
        return frames.reshape(*cells.shape[:2], *self.info.observation_shape)

    def _size(self, view: str) -> tuple[int, int]:
        n_cells = int(np.prod(self.info.factors.sizes))
        return (2, n_cells) if view == "pairs" else (1, n_cells)


def cell_numbers(factors: np.ndarray, space: FactorSpace) -> np.ndarray:
    """Row of each cell (n,) int64 in an array of all cells in C order of the factors (the official files' order)."""
    return np.asarray(np.ravel_multi_index(tuple(np.asarray(factors).T), space.sizes), np.int64)
