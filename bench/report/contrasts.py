"""How much two sets of methods differ on a metric of one table, paired by seed, and whether that is decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bench.report.frame import Cell, Group
from bench.report.statistics import Estimate, paired_difference

Verdict = Literal["better", "worse", "undecided"]


@dataclass(frozen=True)
class Side:
    """One side of a comparison: what was asked for, (method, resolved parameters) for each.

    Attributes:
        text: as it was typed.
    """

    text: str
    methods: tuple[tuple[str, Mapping[str, Any]], ...]

    def cells(self, group: Group) -> list[list[Cell]]:
        """For each method of the side, the group's cells of it with these parameters (none where it was not run)."""
        return [
            [cell for cell in group.cells if cell.method == name and _as_json(params) == cell.spec["method_params"]]
            for name, params in self.methods
        ]


@dataclass(frozen=True)
class Contrast:
    """The difference of two sides on one metric of one table.

    Attributes:
        first, second: mean of each side over its methods and the seeds that all of them have.
        difference: first - second over those seeds, with its Student-t interval.
        verdict: for ``first``, by the metric's direction: "better" or "worse" where the interval excludes 0.
        absent: labels of methods that were asked for and have no score here.
    """

    table: str
    metric: str
    first: float
    second: float
    difference: Estimate
    verdict: Verdict
    absent: tuple[str, ...]


def contrast(group: Group, first: Side, second: Side, metric: str, higher_is_better: bool) -> Contrast | None:
    """The contrast, or None where a side has no score of this metric at any seed that the other side has too.

    A side of several methods counts each of them alike: at each seed, the mean over its methods.
    """
    absent: list[str] = []
    ours, theirs = (_by_seed(group, side, metric, absent) for side in (first, second))
    common = ours.keys() & theirs.keys()
    if not common:
        return None
    means = [sum(side[seed] for seed in common) / len(common) for side in (ours, theirs)]
    difference = paired_difference(ours, theirs)
    return Contrast(
        f"{group.label}, {group.source}, {group.budget}", metric, means[0], means[1], difference,
        verdict_of(difference, higher_is_better), tuple(absent),
    )  # fmt: skip


def verdict_of(difference: Estimate, higher_is_better: bool) -> Verdict:
    """What an interval of first - second says of the first."""
    if difference.low is None or difference.high is None or difference.low <= 0 <= difference.high:
        return "undecided"
    return "better" if (difference.low > 0) == higher_is_better else "worse"


def _by_seed(group: Group, side: Side, metric: str, absent: list[str]) -> dict[int, float]:
    """Seed -> mean over the side's methods, for the seeds that all of them (but the absent ones) have."""
    found: list[dict[int, float]] = []
    for (name, _), cells in zip(side.methods, side.cells(group), strict=True):
        scores = [cell.score(metric) for cell in cells]
        usable = [dict(zip(one.seeds, one.values, strict=True)) for one in scores if one.values]
        if usable:
            found += usable
        else:
            absent.append(name)
    if not found:
        return {}
    common = set.intersection(*(set(one) for one in found))
    return {seed: sum(one[seed] for one in found) / len(found) for seed in common}


def _as_json(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as a row holds them: tuples are lists there."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in params.items()}
