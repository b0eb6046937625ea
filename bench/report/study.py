"""What many rows together say: which metrics agree, where the spread of scores comes from, and what selection costs.

After Locatello et al., ICML 2019, which asked these questions of 12,000 models.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from bench.report.cards import is_secondary
from bench.report.frame import Cell, Group

MIN_ROWS = 8  # below this a rank correlation says nothing


@dataclass(frozen=True)
class Agreement:
    """Spearman's rank correlation between metrics over the trained rows of one group.

    Attributes:
        keys: metrics that all counted rows hold and that vary.
        correlation: (keys, keys), signed so that +1 means "call the same models better".
        n: rows.
    """

    keys: tuple[str, ...]
    correlation: np.ndarray
    n: int


def agreement(group: Group, keys: Sequence[str], higher_is_better: dict[str, bool | None]) -> Agreement | None:
    """None where fewer than ``MIN_ROWS`` rows or two metrics remain; metrics that some rows lack are left out."""
    from scipy.stats import rankdata

    rows = [row for cell in group.cells if not cell.is_reference for row in cell.done]
    scores = {}
    for key in keys:
        values = [(row["metrics"].get(key) or {}).get("value") for row in rows]
        if is_secondary(key) or any(value is None for value in values) or len(set(values)) < 2:
            continue
        scores[key] = rankdata(values) * (-1.0 if higher_is_better.get(key) is False else 1.0)
    if len(rows) < MIN_ROWS or len(scores) < 2:
        return None
    return Agreement(tuple(scores), np.corrcoef(np.stack(list(scores.values()))), len(rows))


@dataclass(frozen=True)
class Shares:
    """Of the variance of a score over all runs, the parts between methods, between parameters of one, between seeds.

    Nested sums of squares: the three are at least 0 and add up to 1. With few seeds the first two contain noise of the
    third (``seeds`` / n of it), so they are upper ends.
    """

    methods: float
    parameters: float
    seeds: float
    n: int


def variance_shares(cells: Iterable[Cell], key: str) -> Shares | None:
    """None where fewer than two runs have the score, or all score alike."""
    scores: dict[str, list[np.ndarray]] = {}
    for cell in cells:
        values = cell.score(key).values
        if values and not cell.is_reference:
            scores.setdefault(cell.method, []).append(np.asarray(values))
    every = np.concatenate([one for found in scores.values() for one in found]) if scores else np.empty(0)
    total = float(((every - every.mean()) ** 2).sum()) if len(every) > 1 else 0.0
    if total == 0:
        return None
    between, within_methods = 0.0, 0.0
    for found in scores.values():
        of_method = np.concatenate(found)
        between += len(of_method) * float(of_method.mean() - every.mean()) ** 2
        within_methods += sum(len(one) * float(one.mean() - of_method.mean()) ** 2 for one in found)
    seeds = max(0.0, total - between - within_methods)
    return Shares(between / total, within_methods / total, seeds / total, len(every))


@dataclass(frozen=True)
class Selection:
    """What choosing one method's parameters without labels costs.

    Attributes:
        chosen: mean score of the cell that the criterion prefers.
        best: of the cell with the best mean score, which only labels can find.
        mean: over all cells: a choice at random.
        n_cells: to choose from.
    """

    method: str
    chosen: float
    best: float
    mean: float
    n_cells: int


def selections(
    cells: Iterable[Cell], key: str, criterion: str, *, higher_is_better: bool, criterion_is_higher: bool
) -> list[Selection]:
    """One for each method with at least two cells that hold both the score and the criterion."""
    found: dict[str, list[tuple[float, float]]] = {}
    for cell in cells:
        score, by = cell.score(key).estimate, cell.score(criterion).estimate
        if score is not None and by is not None and not cell.is_reference:
            found.setdefault(cell.method, []).append((by.mean, score.mean))
    sign, by_sign = (1 if higher_is_better else -1), (1 if criterion_is_higher else -1)
    return [
        Selection(
            method, max(pairs, key=lambda pair: by_sign * pair[0])[1], sign * max(sign * score for _, score in pairs),
            float(np.mean([score for _, score in pairs])), len(pairs),
        )
        for method, pairs in found.items()
        if len(pairs) > 1
    ]  # fmt: skip
