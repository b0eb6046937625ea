"""Gradient boosted classification trees equal to scikit-learn's ``GradientBoostingClassifier()``, compiled.

Source: Friedman, Annals of Statistics 2001, Algorithm 6; scikit-learn 1.9 ``ensemble/_gb.py`` with all defaults: 100
stages, depth 3, learning rate 0.1, squared-error splits, one tree per class and stage (one in all for two classes), one
Newton step per leaf. Where two splits gain exactly the same a random latent wins, as in scikit-learn, so two copies of
a factor share its importance.

The codes are sorted once for all factors, classes, stages and levels: a split parts every sorted column into two that
are still sorted, and a node is searched in one pass over its stretch of each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numba
import numpy as np

F = TypeVar("F", bound=Callable[..., Any])

DEPTH = 3
N_STAGES = 100
LEARNING_RATE = 0.1
_SPLITS = 2**DEPTH - 1
_LEAVES = 2**DEPTH
_TIE = np.float32(1e-7)  # scikit-learn splits no two values nearer than this
_PURE = float(np.finfo(np.float64).eps)  # nor a node of less variance
_BLOCK = 256


def _compiler(**flags: Any) -> Callable[[F], F]:
    """Numba's njit with its cache on disk, which is the user's where the package folder is read-only."""

    def decorate(function: F) -> F:
        try:
            return numba.njit(cache=True, error_model="numpy", **flags)(function)  # type: ignore[no-any-return]
        except RuntimeError:
            # No folder at all can be written: compile in every process.
            return numba.njit(error_model="numpy", **flags)(function)  # type: ignore[no-any-return]

    return decorate


compiled = _compiler()
# Sums in any order, so that they run in vectors: the only liberty, and no NaN reaches them.
reassociating = _compiler(fastmath={"reassoc", "contract", "nsz", "nnan"})


@dataclass(frozen=True)
class Sorted:
    """Codes made ready for any number of fits.

    Attributes:
        columns: (n_latents, n) float32.
        order: (n_latents, n) uint16 or uint32, rows in ascending order of each column.
    """

    columns: np.ndarray
    order: np.ndarray


@dataclass(frozen=True)
class BoostedTrees:
    """A fitted classifier of classes 0 … n_classes - 1; ``n_outputs`` is 1 for two classes, else ``n_classes``.

    Attributes:
        prior: (n_outputs,) raw prediction before the first stage.
        features: (n_stages, n_outputs, 7) int32, the splits of each tree in breadth-first order.
        thresholds: same shape, float64; x <= threshold goes left, and a node without a split has infinity.
        leaves: (n_stages, n_outputs, 8) float64.
        importances: (n_latents,), adding to 1, or all 0 where no tree has a split.
        train_raw: (n, n_outputs) raw predictions of the fitted rows.
    """

    prior: np.ndarray
    features: np.ndarray
    thresholds: np.ndarray
    leaves: np.ndarray
    importances: np.ndarray
    train_raw: np.ndarray

    def raw(self, codes: np.ndarray) -> np.ndarray:
        """Raw predictions (n, n_outputs) of codes (n, n_latents): log-odds, or log-probabilities up to a constant."""
        columns = np.ascontiguousarray(np.asarray(codes, np.float32).T)
        raw = np.repeat(self.prior[None], len(codes), axis=0)
        _add_trees(columns, self.features, self.thresholds, self.leaves, raw)
        return raw

    def predict(self, codes: np.ndarray) -> np.ndarray:
        """Classes (n,) int64 of codes (n, n_latents)."""
        return classes_of(self.raw(codes))


def classes_of(raw: np.ndarray) -> np.ndarray:
    """Classes (n,) int64 that raw predictions (n, n_outputs) stand for."""
    return (raw[:, 0] >= 0).astype(np.int64) if raw.shape[1] == 1 else raw.argmax(1)


def sort_codes(codes: np.ndarray) -> Sorted:
    """Codes (n, n_latents) sorted once, as float32 (what scikit-learn's trees see)."""
    columns = np.ascontiguousarray(np.asarray(codes, np.float32).T)
    narrow = np.uint16 if len(codes) <= 1 << 16 else np.uint32  # half the memory to walk through
    return Sorted(columns, np.argsort(columns, axis=1, kind="stable").astype(narrow))


def fit_boosted_trees(
    codes: Sorted, labels: np.ndarray, rng: np.random.Generator, *, n_stages: int = N_STAGES
) -> BoostedTrees:
    """The classifier of ``labels`` (n,) int64 with all classes 0 … n_classes - 1 present; ``rng`` breaks ties.

    Raises:
        ValueError: fewer than two classes, or a class without a row.
    """
    counts = np.bincount(labels)
    if len(counts) < 2 or not counts.all():
        raise ValueError(f"trees: wanted every class 0 … K - 1 with K >= 2, got rows per class {counts.tolist()}")
    share = np.clip(counts / len(labels), _PURE, 1 - _PURE)
    log_share = np.log(share)
    prior = log_share[1:] - log_share[:1] if len(counts) == 2 else log_share - log_share.mean()
    raw = np.repeat(prior[:, None], len(labels), axis=1)
    features, thresholds, leaves, gains = _fit(codes, labels, raw, n_stages, rng)

    total = gains.sum()
    importances = gains / total if total > 0 else gains
    return BoostedTrees(prior, features, thresholds, leaves, importances, raw.T)


def warm_up() -> None:
    """Compile, or load from the cache on disk, so that the first fit is as fast as the next."""
    codes = np.arange(12, dtype=np.float32).reshape(6, 2)
    fit_boosted_trees(sort_codes(codes), np.array([0, 1, 2, 0, 1, 2]), np.random.default_rng(0), n_stages=1).raw(codes)


def _fit(
    codes: Sorted, labels: np.ndarray, raw: np.ndarray, n_stages: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Grow all trees; ``raw`` (n_outputs, n) is updated in place."""
    n_outputs, n = raw.shape
    features = np.zeros((n_stages, n_outputs, _SPLITS), np.int32)
    thresholds = np.full((n_stages, n_outputs, _SPLITS), np.inf)
    leaves = np.zeros((n_stages, n_outputs, _LEAVES))
    gains = np.zeros(len(codes.columns))
    inverse = np.ones(n + 1)
    inverse[1:] = 1.0 / np.arange(1, n + 1)
    parted = np.empty((DEPTH, *codes.order.shape), codes.order.dtype)
    parted[0] = codes.order
    is_class = np.zeros((n_outputs, n), bool)
    if n_outputs == 1:
        is_class[0] = labels == 1
    else:
        is_class[labels, np.arange(n)] = True
    residuals = np.empty((n_outputs, n))
    latents = np.tile(np.arange(len(codes.columns)), (n_outputs * _SPLITS, 1))
    for stage in range(n_stages):
        latents = rng.permuted(latents, axis=1)  # the order in which each node tries them
        _probabilities(raw, residuals)
        np.subtract(is_class, residuals, out=residuals)
        _grow_stage(
            codes.columns,
            parted,
            residuals,
            inverse,
            features[stage],
            thresholds[stage],
            leaves[stage],
            gains,
            raw,
            latents,
        )
    return features, thresholds, leaves, gains


def _probabilities(raw: np.ndarray, out: np.ndarray) -> None:
    """Probability of each class, or of the second of two, from raw predictions: both (n_outputs, n)."""
    if len(raw) == 1:
        np.exp(-raw, out=out)
        out += 1.0
        np.reciprocal(out, out=out)
        return
    np.subtract(raw, raw.max(0), out=out)
    np.exp(out, out=out)
    out /= out.sum(0)


@compiled
def _grow_stage(
    columns: np.ndarray,
    parted: np.ndarray,
    residuals: np.ndarray,
    inverse: np.ndarray,
    features: np.ndarray,
    thresholds: np.ndarray,
    leaves: np.ndarray,
    gains: np.ndarray,
    raw: np.ndarray,
    latents: np.ndarray,
) -> None:
    """One tree per output, and its step added to ``raw`` (n_outputs, n)."""
    n_outputs, n = raw.shape
    reverse = inverse[::-1].copy()
    right = np.empty(n, np.uint8)
    bounds = np.empty(_LEAVES + 1, np.int64)
    # Friedman's factor (K - 1) / K of the Newton step, absent for two classes
    factor = (n_outputs - 1.0) / n_outputs if n_outputs > 1 else 1.0
    for k in range(n_outputs):
        _grow(
            columns,
            parted,
            right,
            residuals[k],
            inverse,
            reverse,
            features[k],
            thresholds[k],
            gains,
            bounds,
            latents[k * _SPLITS :],
        )
        for m in range(_LEAVES):
            # The rows of a leaf stand together in the column its parent was split by.
            rows = parted[DEPTH - 1, features[k, (_SPLITS + m - 1) // 2], bounds[m] : bounds[m + 1]]
            leaves[k, m] = factor * _newton(rows, residuals[k])
            step = LEARNING_RATE * leaves[k, m]
            for row in rows:
                raw[k, row] += step


@compiled
def _grow(
    columns: np.ndarray,
    parted: np.ndarray,
    right: np.ndarray,
    residual: np.ndarray,
    inverse: np.ndarray,
    reverse: np.ndarray,
    features: np.ndarray,
    thresholds: np.ndarray,
    gains: np.ndarray,
    bounds: np.ndarray,
    latents: np.ndarray,
) -> None:
    """One regression tree of the residuals (n,).

    ``parted[level]`` holds the sorted rows of each column with the nodes of that level one after the other; ``bounds``
    says where a node begins. Fills ``features`` and ``thresholds``, adds to ``gains``, leaves the leaves in ``bounds``.
    """
    n = columns.shape[1]
    sums, block_gains = np.empty(_BLOCK), np.empty(_BLOCK)
    every_row = np.arange(n).astype(parted.dtype)
    old = np.zeros(_LEAVES + 1, np.int64)
    bounds[:2] = 0, n
    for level in range(DEPTH):
        n_nodes = 1 << level
        order = parted[level]
        old[: n_nodes + 1] = bounds[: n_nodes + 1]
        for m in range(n_nodes):
            first, end = old[m], old[m + 1]
            bounds[2 * m], bounds[2 * m + 1], bounds[2 * m + 2] = first, end, end  # without a split all rows go left
            total, variance = _moments(order[0, first:end], residual) if level else _moments(every_row, residual)
            if variance <= _PURE:
                continue
            best, place, feature = (-1.0, -1.0), -1, -1
            for f in latents[n_nodes - 1 + m]:
                best, at = _best_split(
                    order[f, first:end], columns[f], residual, total, inverse, reverse, best, sums, block_gains
                )
                if at >= 0:
                    place, feature = at, f
            if feature < 0:
                continue
            cut = first + place + 1
            below, above = order[feature, cut - 1], order[feature, cut]
            split = n_nodes - 1 + m
            features[split] = feature
            thresholds[split] = columns[feature, below] / 2.0 + columns[feature, above] / 2.0
            gains[feature] += best[0] / n
            bounds[2 * m + 1] = cut
            if level + 1 < DEPTH:
                for row in order[feature, first:cut]:
                    right[row] = 0
                for row in order[feature, cut:end]:
                    right[row] = 1
        if level + 1 < DEPTH:
            _part(order, parted[level + 1], right, bounds, n_nodes)


@compiled
def _part(order: np.ndarray, parted: np.ndarray, right: np.ndarray, bounds: np.ndarray, n_nodes: int) -> None:
    """Part every node's stretch of every column into its children, each still in ascending order."""
    spare = np.empty_like(order[0])
    for f in range(len(order)):
        for m in range(n_nodes):
            first, cut, end = bounds[2 * m], bounds[2 * m + 1], bounds[2 * m + 2]
            if cut == end:
                parted[f, first:end] = order[f, first:end]
                continue
            # Every row is written to both sides and only one side moves on: no branch to mispredict.
            at, at_spare = first, 0
            for row in order[f, first:end]:
                goes_right = right[row]
                parted[f, at] = row
                spare[at_spare] = row
                at_spare += goes_right
                at += 1 - goes_right
            parted[f, cut:end] = spare[:at_spare]


@compiled
def _moments(rows: np.ndarray, residual: np.ndarray) -> tuple[float, float]:
    """Sum and variance of the residuals of some rows; (0, 0) of none."""
    total, squares = 0.0, 0.0
    for row in rows:
        total += residual[row]
        squares += residual[row] * residual[row]
    if not len(rows):
        return 0.0, 0.0
    mean = total / len(rows)
    return total, squares / len(rows) - mean * mean


@reassociating
def _newton(rows: np.ndarray, residual: np.ndarray) -> float:
    """Sum of residuals over sum of p (1 - p) of the rows of a leaf, where |residual| is p or 1 - p."""
    slope, curvature = 0.0, 0.0
    for i in range(len(rows)):
        r = residual[rows[i]]
        slope += r
        curvature += abs(r) * (1.0 - abs(r))
    # scikit-learn's guard: where every p is 0 or 1 there is nothing left to gain.
    return slope / curvature if len(rows) and curvature >= 1e-150 * len(rows) else 0.0


@compiled
def _best_split(
    rows: np.ndarray,
    column: np.ndarray,
    residual: np.ndarray,
    total: float,
    inverse: np.ndarray,
    reverse: np.ndarray,
    best: tuple[float, float],
    sums: np.ndarray,
    gains: np.ndarray,
) -> tuple[tuple[float, float], int]:
    """The best split of a node by one column, and its place; place -1 if not above ``best``.

    ``rows`` (n,) in ascending order of the column; a split at place i has rows[: i + 1] on its left. With u the sum of
    residuals on the left, less as many means, it removes a squared error of u² (1 / n_left + 1 / n_right): this gain is
    quick in vectors, and chooses whom scikit-learn's own expression then compares (``_proxy``), so that splits which
    tie up to rounding fall as they do there. ``best`` is the pair of both.
    """
    n = len(rows)
    place = -1
    running = 0.0
    mean = total / n
    # Slices rather than sums of indices: the compiler then sees plain vectors.
    left = inverse[1:]
    right = reverse[len(reverse) - n :]
    for begin in range(0, n - 1, _BLOCK):
        size = min(_BLOCK, n - 1 - begin)
        block = rows[begin : begin + size]
        for i in range(size):
            running += residual[block[i]]
            sums[i] = running
        screen = best[0] - 1e-9 * abs(best[0])
        if _gains(sums[:size], begin, mean, left[begin:], right[begin:], screen, gains):
            for i in range(size):
                if gains[i] > screen and column[rows[begin + i + 1]] > column[block[i]] + _TIE:
                    proxy = _proxy(sums[i], total, begin + i + 1, n)
                    if proxy > best[1]:
                        best, place = (gains[i], proxy), begin + i
    return best, place


@compiled
def _proxy(left_sum: float, total: float, n_left: int, n: int) -> float:
    """What scikit-learn maximises over splits, in its order of operations."""
    right_sum = total - left_sum
    return left_sum * left_sum / n_left + right_sum * right_sum / (n - n_left)


@reassociating
def _gains(
    sums: np.ndarray,
    begin: int,
    mean: float,
    left: np.ndarray,
    right: np.ndarray,
    screen: float,
    gains: np.ndarray,
) -> int:
    """Fill ``gains`` from the running sums of a block; returns how many are above ``screen``."""
    expected = (begin + 1) * mean
    n_above = 0
    for i in range(len(sums)):
        u = sums[i] - (expected + i * mean)
        gain = u * u * (left[i] + right[i])
        gains[i] = gain
        n_above += gain > screen
    return n_above


@compiled
def _add_trees(
    columns: np.ndarray, features: np.ndarray, thresholds: np.ndarray, leaves: np.ndarray, raw: np.ndarray
) -> None:
    """Add every tree's leaf to ``raw`` (n, n_outputs), in the order of the stages."""
    n_stages, n_outputs, _ = features.shape
    for k in range(n_outputs):
        for stage in range(n_stages):
            split = features[stage, k]
            threshold = thresholds[stage, k]
            for i in range(columns.shape[1]):
                m = 0
                for _ in range(DEPTH):
                    m = 2 * m + 1 + (columns[split[m], i] > threshold[m])
                raw[i, k] += LEARNING_RATE * leaves[stage, k, m - _SPLITS]
