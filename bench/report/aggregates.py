"""One number per method over several data sets, and how probably one method beats another (Agarwal et al. 2021).

Scores are taken as they are. Mean, median and interquartile mean need a scale that all data sets share, so they are
only made of metrics that lie between 0 and 1; the probability of improvement compares runs within each data set and
needs none. Intervals speak of other seeds on these data sets, not of other data sets.
"""

from __future__ import annotations

import csv
import io
import math
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from bench.report.blocks import Block, Runs
from bench.report.cards import Column, column
from bench.report.escape import markdown, plain, spreadsheet
from bench.report.statistics import (
    CONFIDENCE,
    MIN_SEEDS,
    Tasks,
    bootstrap_interval,
    iqm,
    mean_over_tasks,
    median_over_tasks,
    probability_of_improvement,
)

AGGREGATES: dict[str, Callable[[Tasks], np.ndarray]] = {
    "IQM": iqm,
    "mean": mean_over_tasks,
    "median": median_over_tasks,
}
MOST_PAIRS = 15  # that a terminal shows; more are in the files
ENOUGH_RUNS = 30  # of one method, from which intervals cover what they claim
PAIR_RESAMPLES = 2_000


@dataclass(frozen=True)
class Value:
    """A statistic with the ends of its interval: None for few seeds, or where resampling changes nothing."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Pair:
    """How probably a run of ``first`` is better than one of ``second`` on the same data set.

    Attributes:
        is_decided: the interval excludes one half; where every run of one is better than every run of the other, which
            resampling cannot doubt, the permutation test within data sets has p < 5 %.
    """

    first: str
    second: str
    chance: Value
    is_decided: bool


@dataclass(frozen=True)
class Summary:
    """The statistics of a block.

    Attributes:
        aggregates: name → label → value, of methods and reference points; empty where ``refusal`` says why.
        methods: labels, best first.
        pairs: every two methods once, in the order of ``methods``.
    """

    block: Block
    column: Column
    aggregates: dict[str, dict[str, Value]]
    refusal: str
    methods: tuple[str, ...]
    pairs: tuple[Pair, ...]

    @property
    def against_first(self) -> tuple[Pair, ...]:
        return tuple(pair for pair in self.pairs if self.methods[0] in (pair.first, pair.second))


def summarise(block: Block) -> Summary | None:
    """None where the metric's card gives no direction, so that nothing is better than anything."""
    of = column(block.key)
    if of.higher_is_better is None:
        return None
    refusal = "" if of.bounds == (0.0, 1.0) else _refusal(of)
    every = block.methods | block.references
    aggregates = (
        {} if refusal else {name: {label: _value(f, runs) for label, runs in every.items()}
                            for name, f in AGGREGATES.items()}
    )  # fmt: skip
    sign = 1 if of.higher_is_better else -1
    signed = {label: tuple(sign * one for one in runs) for label, runs in block.methods.items()}
    chances = {
        label: np.mean([probability_of_improvement(runs, other) for other in signed.values()])
        for label, runs in signed.items()
    }
    place = {label: sign * v.value for label, v in aggregates["IQM"].items()} if aggregates else chances
    methods = sorted(block.methods, key=lambda label: -place[label])
    pairs = [_pair(one, other, signed[one], signed[other]) for one, other in combinations(methods, 2)]
    return Summary(block, of, aggregates, refusal, tuple(methods), tuple(pairs))


def _pair(one: str, other: str, first: Runs, second: Runs) -> Pair:
    chance = _value(probability_of_improvement, first, second, n_resamples=PAIR_RESAMPLES)
    if chance.low is not None and chance.high is not None:
        is_decided = not chance.low <= 0.5 <= chance.high
    else:
        orders = math.prod(math.comb(len(x) + len(y), len(x)) for x, y in zip(first, second, strict=True))
        is_decided = chance.value in (0.0, 1.0) and 2 / orders < 1 - CONFIDENCE
    return Pair(one, other, chance, is_decided)


def _refusal(of: Column) -> str:
    return (
        f"no IQM, mean or median: {of.key} is not bounded by 0 and 1, so its scale differs between data sets, and "
        "nothing is normalised here; chances and `bench study ranks` need no common scale"
    )


def _value(statistic: Callable[..., np.ndarray], *methods: Runs, n_resamples: int = 10_000) -> Value:
    value = float(statistic(*methods))
    if min(len(task) for runs in methods for task in runs) < MIN_SEEDS:
        return Value(value, None, None)
    # The same generator for each: equal rows give equal numbers, whatever else is compared with them.
    low, high = bootstrap_interval(statistic, *methods, rng=np.random.default_rng(0), n_resamples=n_resamples)
    return Value(value, None, None) if low == high else Value(value, float(low), float(high))


def notes(summary: Summary) -> list[str]:
    """How the numbers were made and what they do not say."""
    block = summary.block
    fewest = min(sum(map(len, runs)) for runs in block.methods.values())
    found = [
        f"{len(block.methods)} methods that all {len(block.datasets)} data sets have, {block.n_runs} runs; every data "
        "set counts alike",
        f"in brackets: {CONFIDENCE:.0%} interval of a stratified bootstrap with expanded percentiles (runs are drawn "
        "within each data set): of other seeds on these data sets, not of other data sets",
    ]
    if fewest < ENOUGH_RUNS:
        found.append(
            f"a method has {fewest} runs in all: below {ENOUGH_RUNS} the intervals of IQM and median cover about 90 %"
        )
    if summary.aggregates:
        found.append(
            "scores are as stored, not normalised: what noise scores differs between data sets, so read them beside "
            "the reference points (in italics or below the line), which are of the same data sets"
        )
        found.append("IQM: mean of the middle half of all runs; mean and median: of each data set's mean")
    else:
        found.append(summary.refusal)
    found.append(
        "chance: that a run of the first is better than one of the second on the same data set, ties half; * decided: "
        "the interval excludes one half. No interval: on each data set all runs of one lie above all of the other's; "
        "decided if it is the same one everywhere (permutation test, p < 5 %)"
    )
    if min(len(one) for runs in block.methods.values() for one in runs) < MIN_SEEDS:
        found.append(f"no intervals where a data set has fewer than {MIN_SEEDS} seeds")
    if block.absent:
        found.append(
            f"left out, since scores are missing: {', '.join(block.absent)}; --methods and --datasets choose others"
        )
    return found


def to_text(summary: Summary, width: int = 110) -> str:
    """The numbers for a terminal; of very many pairs those with the first method."""
    title = plain(summary.block.title)
    head, *lines = _aggregate_lines(summary)
    n = len(summary.methods)
    found = [title, "=" * min(len(title), width)]
    if lines:
        found += ["", *_columns([head, *lines[:n]], [head, *lines])]
        found += ["-" * max(map(len, found[2:])), *_columns(lines[n:], [head, *lines])] if lines[n:] else []
    pairs = summary.pairs if len(summary.pairs) <= MOST_PAIRS else summary.against_first
    table = [["chance of", "being better than", "chance", ""], *(_pair_line(pair) for pair in pairs)]
    found += ["", *_columns(table, table)]
    if len(pairs) < len(summary.pairs):
        found.append(f"(all {len(summary.pairs)} pairs are in the files and the figure)")
    found.append("")
    for note in notes(summary):
        found += textwrap.wrap(plain(note), width, subsequent_indent="    ", break_on_hyphens=False)
    return "\n".join(found) + "\n"


def to_markdown(summary: Summary) -> str:
    """A section with both tables and all pairs."""
    found = [f"## {markdown(summary.block.title)}", ""]
    head, *lines = _aggregate_lines(summary)
    if lines:
        found += [_md(head), _md(["---", *["---:"] * (len(head) - 1)])]
        for i, line in enumerate(lines):
            label = markdown(line[0])
            found.append(_md([label if i < len(summary.methods) else f"_{label}_", *line[1:]]))
        found.append("")
    found += [_md(["chance of", "being better than", "chance", "95 % interval"]), _md(["---", "---", "---:", "---"])]
    found += [_md([markdown(part) for part in _pair_line(pair)]) for pair in summary.pairs]
    return "\n".join([*found, "", *(f"- {markdown(note)}" for note in notes(summary)), ""])


_IDENTITY = ("metric", "source", "budget", "protocol", "datasets")
CSV_COLUMNS = (*_IDENTITY, "statistic", "method", "other", "value", "low", "high", "n_runs", "is_reference", "decided")


def to_csv(summary: Summary) -> str:
    """Every number in full, one line each; low and high are empty where there is no interval."""
    block = summary.block
    common = [block.key, block.source, block.budget, block.protocol, " ".join(block.datasets)]
    every = block.methods | block.references
    n_runs = {label: sum(map(len, runs)) for label, runs in every.items()}
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for name, of in summary.aggregates.items():
        for label in [*summary.methods, *block.references]:
            v = of[label]
            line = [name, label, "", v.value, v.low, v.high, n_runs[label], label in block.references, ""]
            writer.writerow([spreadsheet(part) for part in [*common, *line]])
    for pair in summary.pairs:
        v = pair.chance
        n = n_runs[pair.first] + n_runs[pair.second]
        line = [
            "probability of improvement",
            pair.first,
            pair.second,
            v.value,
            v.low,
            v.high,
            n,
            False,
            pair.is_decided,
        ]
        writer.writerow([spreadsheet(part) for part in [*common, *line]])
    return out.getvalue()


def _aggregate_lines(summary: Summary) -> list[list[str]]:
    """Titles, then a line for each method, best first, then for each reference point."""
    names = list(summary.aggregates)
    head = ["method", *(f"{name} {summary.column.arrow}" for name in names), "runs"]
    if not names:
        return [head]
    every = summary.block.methods | summary.block.references
    labels = [*summary.methods, *summary.block.references]
    return [
        head,
        *(
            [
                label,
                *(format_value(summary.aggregates[name][label]) for name in names),
                str(sum(map(len, every[label]))),
            ]
            for label in labels
        ),
    ]


def _pair_line(pair: Pair) -> list[str]:
    value, _, interval = format_value(pair.chance, 2).partition(" ")
    return [pair.first, pair.second, value, interval + (" *" if pair.is_decided else "")]


def format_value(value: Value, digits: int = 3) -> str:
    """``0.512 [0.470, 0.561]``."""
    text = f"{value.value:.{digits}f}"
    return text if value.low is None else f"{text} [{value.low:.{digits}f}, {value.high:.{digits}f}]"


def _md(parts: Sequence[str]) -> str:
    return f"| {' | '.join(parts)} |"


def _columns(lines: Sequence[Sequence[str]], every: Sequence[Sequence[str]]) -> list[str]:
    """Lines with their parts below each other, as wide as those of all lines."""
    widths = [max(map(len, parts)) for parts in zip(*every, strict=True)]
    return ["  ".join(plain(part).ljust(w) for part, w in zip(line, widths, strict=True)).rstrip() for line in lines]
