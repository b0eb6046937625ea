"""Pairs on a grid of factors: LAP and UNI of SlowVAE (Klindt et al., ICLR 2021; the authors' ``scripts/dataset.py``).

LAP moves every factor by a discretised Laplace law, UNI redraws a few factors uniformly. Both take start cells and give
end cells; values are class indices, and nothing wraps around, angles included.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np


def laplace_pmf(size: int, start: int, rate: float) -> np.ndarray:
    """P(end value) of a factor with ``size`` values that starts at ``start``: (size,) float64, sums to 1.

    Proportional to exp(-|end - start| / b) with b = ln(size) / rate, cut at both ends of the range.
    """
    weight = np.exp(-np.abs(np.arange(size) - start) * (rate / np.log(size)))
    return weight / weight.sum()


def laplace_ends(
    start: np.ndarray, sizes: Sequence[int], frozen: Sequence[bool], rate: float, rng: np.random.Generator
) -> np.ndarray:
    """End cells (n, n_factors) int64 of LAP for start cells of the same shape.

    Every factor that is not frozen moves by ``laplace_pmf``. Where nothing moved, one of them, chosen uniformly, is
    drawn again among its other values, so each pair differs in at least one factor.

    Args:
        start: (n, n_factors) class indices.
        sizes: number of values per factor.
        frozen: factors that never move: the categorical ones, and those with one value.
        rate: r of the law; -1 draws it from U(1, 10) for every pair anew.
    """
    start = np.asarray(start)
    movable = [i for i, (size, still) in enumerate(zip(sizes, frozen, strict=True)) if size > 1 and not still]
    if not movable:
        raise ValueError(f"transitions: lap needs a factor that can move, got sizes {tuple(sizes)}, all frozen")
    rates = rng.uniform(1.0, 10.0, size=len(start)) if rate == -1 else np.full(len(start), float(rate))

    end = start.copy()
    for i in movable:
        end[:, i] = _draw_laplace(start[:, i], sizes[i], rates, rng.random(len(start)), leaves=False)
    still = np.flatnonzero((end == start).all(axis=1))
    chosen = rng.choice(movable, size=len(still))
    uniform = rng.random(len(still))
    for i in movable:
        rows = still[chosen == i]
        end[rows, i] = _draw_laplace(start[rows, i], sizes[i], rates[rows], uniform[chosen == i], leaves=True)
    return end


def _draw_laplace(start: np.ndarray, size: int, rates: np.ndarray, uniform: np.ndarray, *, leaves: bool) -> np.ndarray:
    """End values (n,) of one factor by inversion; ``leaves`` takes the start value out of the law."""
    if len(start) and (rates == rates[0]).all():
        cumulative = _cumulative_laplace(size, float(rates[0]), leaves)[start]
    else:
        distance = np.abs(np.arange(size) - start[:, None])
        weight = np.exp(-distance * (rates / np.log(size))[:, None])
        cumulative = _cumulate(np.where(leaves & (distance == 0), 0.0, weight))
    return (uniform[:, None] >= cumulative).sum(axis=1)


@lru_cache
def _cumulative_laplace(size: int, rate: float, leaves: bool) -> np.ndarray:
    """One row per start value; a rate of -1 never comes here."""
    table = np.stack([laplace_pmf(size, start, rate) for start in range(size)])
    if leaves:
        np.fill_diagonal(table, 0.0)
    return _cumulate(table)


def _cumulate(weight: np.ndarray) -> np.ndarray:
    """Cumulative probabilities along the last axis, without the final 1: counting those passed gives the value."""
    total = np.cumsum(weight, axis=-1)
    return total[..., :-1] / total[..., -1:]


def uniform_ends(start: np.ndarray, sizes: Sequence[int], k: int, rng: np.random.Generator) -> np.ndarray:
    """End cells (n, n_factors) int64 of UNI: exactly k factors, categorical ones included, take another value.

    Args:
        start: (n, n_factors) class indices.
        sizes: number of values per factor, each at least 2.
        k: how many factors change; -1 draws 1 … n_factors - 1 uniformly for every pair.
    """
    start = np.asarray(start)
    n, n_factors = start.shape
    if min(sizes) < 2:
        raise ValueError(f"transitions: uni needs two values in every factor, got sizes {tuple(sizes)}")
    if k != -1 and not 1 <= k <= n_factors:
        raise ValueError(f"transitions: k must be -1 or 1 … {n_factors}, got {k}")
    counts = np.asarray(rng.integers(1, n_factors, size=n)) if k == -1 else np.full(n, k)
    # The k smallest of n_factors random keys are k factors chosen without replacement.
    rank = rng.random((n, n_factors)).argsort(axis=1).argsort(axis=1)
    step = rng.integers(1, np.asarray(sizes), size=(n, n_factors))  # never 0, so never the old value
    return np.where(rank < counts[:, None], (start + step) % np.asarray(sizes), start)


def locatello_ends(start: np.ndarray, sizes: Sequence[int], k: int, rng: np.random.Generator) -> np.ndarray:
    """End cells (n, n_factors) int64 of Locatello et al. (ICML 2020; the authors' ``train_weak_lib.py``).

    Each pair redraws 1 or k_max factors, one or the other with probability 1/2, and a redrawn factor may get its old
    value again: so a pair can have nothing that changed.

    Args:
        start: (n, n_factors) class indices.
        sizes: number of values per factor.
        k: k_max; -1 draws it from 1 … n_factors - 1 uniformly for every pair.
    """
    start = np.asarray(start)
    n, n_factors = start.shape
    if k != -1 and not 1 <= k <= n_factors:
        raise ValueError(f"transitions: k must be -1 or 1 … {n_factors}, got {k}")
    most = np.asarray(rng.integers(1, n_factors, size=n)) if k == -1 else np.full(n, k)
    counts = np.where(rng.integers(2, size=n) == 0, 1, most)
    rank = rng.random((n, n_factors)).argsort(axis=1).argsort(axis=1)
    return np.where(rank < counts[:, None], rng.integers(np.asarray(sizes), size=(n, n_factors)), start)
