"""Sequences in which known transformations act on an observation, made anew for every batch.

What acts between frame t and t + 1 is ``amounts`` (time - 1, n_transformations): 1 is one unit step of the data set, 0
is nothing. One transformation alone is a column of ones; switching and superposing are other amounts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import ClassVar, Protocol

import numpy as np
import torch

from bench.datasets.base import DataInfo
from bench.datasets.containers import Container, Draw, Labelled, as_float, to_device

AmountsFunction = Callable[[int, np.random.Generator], np.ndarray]


class Moves(Protocol):
    """How observations of one data set begin and move."""

    def begin(self, amounts: np.ndarray, split: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the split (n,) int64 and states (n, …) where sequences with these amounts (n, steps, k) begin."""

    def run(self, start: np.ndarray, amounts: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Frames (n, m, *observation), uint8 or float32, and factors (n, m, n_factors) at ``times`` (n, m)."""


class TransformationData(Container):
    """Sequences, their neighbouring frames (``pairs``) and their single frames (``images``).

    Items of the views ``pairs`` and ``images`` are frames of sequences that each have their own amounts and their own
    time, so that they are independent of each other. Rows are those of underlying observations: no observation begins
    sequences of two splits.

    Args:
        amounts: (n, rng) -> amounts (n, n_frames - 1, n_transformations): the law of training sequences.
        sizes: name of a split -> number of its underlying observations.
        shares_amounts: all sequences of a batch move alike, as in the authors' training; labelled ones never do.
    """

    views: ClassVar[tuple[str, ...]] = ("transformations", "pairs", "images")

    def __init__(
        self,
        info: DataInfo,
        moves: Moves,
        amounts: AmountsFunction,
        sizes: Mapping[str, int],
        shares_amounts: bool = False,
        title: str = "",
    ) -> None:
        super().__init__(info, np.zeros((0, *info.observation_shape), np.uint8), title)
        self._moves, self._amounts, self._sizes = moves, amounts, dict(sizes)
        self._shares_amounts = shares_amounts
        self.splits = tuple(sizes)
        if "test" in sizes:
            # scores are tested on sequences that neither the method nor a classifier has seen
            self.evaluation_splits = ("train", "test")

    def labelled(
        self, n: int, rng: np.random.Generator, split: str = "train", view: str = "transformations"
    ) -> Labelled:
        """n items of the view, each with its own amounts; independent, with replacement."""
        self._check(view, split)
        x, factors, _, amounts = self._items(view, n, rng, split, shares_amounts=False)
        return Labelled(x, factors, amounts=None if view == "images" else amounts)

    def moved(self, n: int, amounts: np.ndarray, rng: np.random.Generator, split: str = "train") -> np.ndarray:
        """Frames (n, n_steps + 1, *observation) of n sequences of the split that move by the amounts given.

        Args:
            amounts: (n_steps, n_transformations) for all, or (n, n_steps, n_transformations).

        Raises:
            ValueError: amounts of another shape or not finite, or what the data set cannot do (see its page).
        """
        self._check("transformations", split)
        n_kinds = len(self.info.transformations)
        given = np.asarray(amounts, np.float32)
        if given.ndim not in (2, 3) or given.shape[-1] != n_kinds or (given.ndim == 3 and len(given) != n):
            raise ValueError(
                f"moved: amounts must be (n_steps, {n_kinds}) or ({n}, n_steps, {n_kinds}), got {given.shape}"
            )
        if not np.isfinite(given).all():
            raise ValueError("moved: amounts must be finite")
        given = np.broadcast_to(given, (n, *given.shape[-2:]))
        _, start = self._moves.begin(given, split, rng)
        frames, _ = self._moves.run(start, given, _all_times(given))
        return frames

    def _items(
        self, view: str, n: int, rng: np.random.Generator, split: str, shares_amounts: bool
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Frames, factors, index and the amounts between the frames of n items."""
        amounts = np.asarray(self._amounts(1 if shares_amounts else n, rng), np.float32)
        amounts = np.repeat(amounts, n, axis=0) if shares_amounts else amounts
        index, start = self._moves.begin(amounts, split, rng)
        if view == "transformations":
            return (*self._moves.run(start, amounts, _all_times(amounts)), index, amounts)
        n_places = self.info.n_frames + 1 - self.info.frames_of(view)
        first = rng.integers(n_places, size=(n, 1))
        frames, factors = self._moves.run(start, amounts, first + np.arange(self.info.frames_of(view)))
        between = np.take_along_axis(amounts, np.minimum(first, amounts.shape[1] - 1)[:, :, None], axis=1)
        return frames, factors, index * n_places + first[:, 0], between

    def _draws(
        self,
        view: str,
        batch_size: int,
        rng: np.random.Generator,
        split: str,
        device: torch.device,
        extras: tuple[str, ...],
    ) -> Iterator[Draw]:
        shares_amounts = self._shares_amounts and view == "transformations"
        while True:
            x, _, index, amounts = self._items(view, batch_size, rng, split, shares_amounts)
            transformation = None if view == "images" else to_device(torch.from_numpy(amounts), device)
            yield Draw(as_float(x, device), to_device(torch.from_numpy(index), device), transformation)

    def _size(self, view: str) -> tuple[int, int]:
        n_frames = self.info.frames_of(view)
        n_places = 1 if view == "transformations" else self.info.n_frames + 1 - n_frames
        return n_frames, self._sizes["train"] * n_places

    def _n_sequences(self) -> int:
        return self._sizes["train"]


def _all_times(amounts: np.ndarray) -> np.ndarray:
    return np.broadcast_to(np.arange(amounts.shape[1] + 1), (len(amounts), amounts.shape[1] + 1))


def totals(amounts: np.ndarray) -> np.ndarray:
    """What has acted up to each frame: amounts (n, n_steps, k) -> (n, n_steps + 1, k) float64, zeros first."""
    return np.concatenate([np.zeros_like(amounts[:, :1], np.float64), np.cumsum(amounts, axis=1, dtype=np.float64)], 1)


def at_times(values: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Of values (n, time, …), those at ``times`` (n, m): (n, m, …)."""
    return values[np.arange(len(values))[:, None], times]


def single_amounts(n_steps: int, n_transformations: int) -> AmountsFunction:
    """The law of FFRL (Song et al., NeurIPS 2023): one transformation, uniform, acts one unit in every step."""

    def draw(n: int, rng: np.random.Generator) -> np.ndarray:
        acting = np.eye(n_transformations, dtype=np.float32)[rng.integers(n_transformations, size=n)]
        return np.repeat(acting[:, None], n_steps, axis=1)

    return draw


def switching_amounts(n_steps: int, n_transformations: int, rate: float, scale: float) -> AmountsFunction:
    """The law of STA (Song et al., T-PAMI 2025): spikes that switch on and off, times speeds near 1.

    At first each transformation is on with probability ``rate``; it then keeps its state with probability 1 - ``rate``.
    Steps in which nothing would act are drawn again, each transformation on with probability ``rate``. The speed of
    what is on is |Laplace(1, ``scale``)|, new in every step; 1 where ``scale`` is 0.
    """

    def fresh(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
        return rng.random(shape) < rate

    def not_all_off(on: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        while (off := ~on.any(1)).any():
            on[off] = fresh((int(off.sum()), n_transformations), rng)
        return on

    def draw(n: int, rng: np.random.Generator) -> np.ndarray:
        on = not_all_off(fresh((n, n_transformations), rng), rng)
        spikes = [on]
        for _ in range(n_steps - 1):
            on = not_all_off(on ^ fresh(on.shape, rng), rng)
            spikes.append(on)
        amounts = np.stack(spikes, axis=1).astype(np.float32)
        return amounts * np.abs(rng.laplace(1.0, scale, amounts.shape)).astype(np.float32) if scale else amounts

    return draw
