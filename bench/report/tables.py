"""Tables of methods × metrics, one for each group of rows that may stand side by side.

This module decides what a table says; ``bench.report.render`` writes it as text, Markdown, CSV and LaTeX.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.report.cards import Column, column, in_table_order, is_secondary
from bench.report.frame import Cell, Defaults, Group, Row, Score, format_parameters, groups, reason_of
from bench.report.statistics import MIN_SEEDS, Estimate, overlap


@dataclass(frozen=True)
class Line:
    """One method's cell in a table.

    Attributes:
        scores: metric key → what its seeds scored.
        best: keys whose number is printed bold.
        marks: footnote letters of the line (under "") and of its numbers.
    """

    label: str
    cell: Cell
    scores: Mapping[str, Score]
    best: frozenset[str] = frozenset()
    marks: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_reference(self) -> bool:
        return self.cell.is_reference

    @property
    def seed_count(self) -> str:
        """Finished seeds, ``2/3`` where some are lost."""
        n, lost = len(self.cell.done), len(self.cell.lost)
        return f"{n}/{n + lost}" if lost else str(n)

    @property
    def loss(self) -> str:
        """``2/3 failed: reason`` where runs are lost, else empty."""
        return describe_loss(self.cell)


@dataclass(frozen=True)
class Table:
    """What is known of one group, ready to be written.

    Attributes:
        lines: trained methods first, then reference points; methods that were only skipped are in ``skipped``.
        header: (name, text) of everything all lines share.
        settings: (label, parameters) of each line.
        footnotes: (letter, text).
        hidden: metric keys that rows hold and ``columns`` leave out.
        unscored: (keys, why) of the metrics that no line has a number of; they have no column.
    """

    group: Group
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    header: tuple[tuple[str, str], ...]
    settings: tuple[tuple[str, str], ...]
    footnotes: tuple[tuple[str, str], ...]
    skipped: tuple[tuple[str, str], ...]
    hidden: tuple[str, ...]
    unscored: tuple[tuple[tuple[str, ...], str], ...] = ()

    @property
    def title(self) -> str:
        return f"{self.group.label}, {self.group.source}, budget {self.group.budget}, protocol {self.group.protocol}"

    @property
    def methods(self) -> list[Line]:
        return [line for line in self.lines if not line.is_reference]

    @property
    def references(self) -> list[Line]:
        return [line for line in self.lines if line.is_reference]

    @property
    def has_bounds(self) -> bool:
        return any(c.floor is not None or c.ceiling is not None for c in self.columns)


INTERVALS = (
    f"mean ± half-width of the 95 % Student-t interval over seeds; fewer than {MIN_SEEDS} seeds: the scores themselves"
)
BOUNDS = "floor: 10 latents of noise, ceiling: one noisy copy per factor, both on dSprites' factor sizes"
BOLD = "best trained method; its interval lies apart from all others, reference points (but the oracle) included"


def tables(
    rows: Iterable[Row], *, metrics: Sequence[str] | None = None, defaults: Defaults | None = None
) -> list[Table]:
    """One table for each group in ``rows``.

    Args:
        metrics: keys of the columns, in this order. By default every key but scores on training rows.

    Raises:
        ValueError: a key in ``metrics`` that no row holds.
    """
    rows = list(rows)
    if metrics is not None:
        held = {key for row in rows for key in row["metrics"]}
        unknown = [key for key in metrics if key not in held]
        if unknown:
            raise ValueError(f"no row holds the metric '{unknown[0]}'; rows hold {', '.join(sorted(held)) or 'none'}")
    return [table_of(group, metrics) for group in groups(rows, defaults)]


def table_of(group: Group, metrics: Sequence[str] | None = None) -> Table:
    """The table of one group; ``metrics`` as for ``tables``."""
    held = in_table_order(group.metrics)
    wanted = [key for key in held if not is_secondary(key)] if metrics is None else [k for k in metrics if k in held]
    ran = [cell for cell in group.cells if cell.done or cell.lost]
    unscored: dict[str, list[str]] = {}
    if metrics is None:
        unscored = _unscored(wanted, ran)
        wanted = [key for key in wanted if not any(key in keys for keys in unscored.values())]
    columns = tuple(column(key) for key in wanted)
    lines = [Line(group.cell_label(cell), cell, {key: cell.score(key) for key in wanted}) for cell in ran]
    best = {c.key: best_line(lines, c) for c in columns}
    marks, footnotes = _footnotes(lines)
    lines = [
        Line(line.label, line.cell, line.scores, frozenset(k for k, who in best.items() if who is line), marks[i])
        for i, line in enumerate(lines)
    ]
    return Table(
        group,
        columns,
        tuple(lines),
        tuple(_header(group, ran)),
        tuple((line.label, _settings(line.cell)) for line in lines),
        tuple(footnotes),
        tuple(_skipped(group)),
        tuple(key for key in held if (metrics is not None and key not in wanted) or is_secondary(key)),
        tuple((tuple(keys), why) for why, keys in unscored.items()),
    )


def _unscored(wanted: Sequence[str], cells: Sequence[Cell]) -> dict[str, list[str]]:
    """Why no cell has a number → the keys it concerns: a data set of continuous factors, say, has no classes."""
    found: dict[str, list[str]] = {}
    for key in wanted:
        scores = [cell.score(key) for cell in cells]
        if all(score.estimate is None for score in scores) and any(score.missing for score in scores):
            name = key.partition("/")[0]  # reasons begin with it, and would all differ
            reasons = dict.fromkeys(
                shorten(why.removeprefix(f"{name} ")) for score in scores for _, why in score.missing
            )
            found.setdefault("; ".join(reasons), []).append(key)
    return found


def best_line(lines: Sequence[Line], of: Column) -> Line | None:
    """The trained method that may be called best in a column, or None.

    Its interval must lie apart from that of every other trained method and of every reference point but the oracle, on
    the better side. A method with lost seeds is never called best: what survives is a selection. A competitor with too
    few seeds for an interval leaves the question open.
    """
    if of.higher_is_better is None:
        return None
    sign = 1 if of.higher_is_better else -1
    rated: list[tuple[float, Line, Estimate]] = []
    for line in lines:
        estimate = line.scores[of.key].estimate
        if estimate is not None and line.cell.method != "oracle":
            rated.append((sign * estimate.mean, line, estimate))
    trained = [entry for entry in rated if not entry[1].is_reference]
    if not trained or len(rated) < 2:
        return None
    top, winner, estimate = max(trained, key=lambda entry: entry[0])
    if winner.cell.lost or winner.scores[of.key].missing:
        return None
    others = [entry for entry in rated if entry[1] is not winner]
    apart = all(mean < top and not overlap(estimate, other) for mean, _, other in others)
    return winner if apart else None


def decimals(lines: Iterable[Line], of: Column) -> int:
    """Digits after the point for a column: 3 around 1, and as many as show three digits of its largest mean."""
    estimates = [estimate for line in lines if (estimate := line.scores[of.key].estimate) is not None]
    largest = max((abs(estimate.mean) for estimate in estimates), default=1.0)
    if 0.1 <= largest < 10 or largest == 0:
        return 3
    return min(max(2 - math.floor(math.log10(largest)), 0), 6)


def format_score(score: Score, digits: int) -> str:
    """``0.540 ± 0.021``; up to two seeds as they are, ``0.540; 0.551``; an em dash where there is none."""
    estimate = score.estimate
    if estimate is None:
        return "—"
    if estimate.half_width is None:
        return "; ".join(f"{value:.{digits}f}" for value in score.values)
    return f"{estimate.mean:.{digits}f} ± {estimate.half_width:.{digits}f}"


COSTS = {
    "n_steps": "steps",
    "seconds_training": "training, s",
    "frames_per_second": "frames/s",
    "peak_memory_mb": "peak memory, MB",
}


def cost_columns(cell: Cell) -> dict[str, float | None]:
    """Steps and mean cost of a cell's finished runs; None where it was not measured."""
    return {
        "n_steps": cell.n_steps,
        "seconds_training": cell.mean_cost("seconds", "training"),
        "seconds_total": cell.mean_cost("seconds", "total"),
        "frames_per_second": cell.mean_cost("frames_per_second"),
        "peak_memory_mb": cell.mean_cost("peak_memory_mb"),
    }


def format_cost(value: float | None) -> str:
    """Three digits or more, thousands apart: ``3.21``, ``62.1``, ``1,234``."""
    if value is None:
        return "—"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"


def describe_loss(cell: Cell) -> str:
    """``2/3 failed: reason`` of a cell's lost runs, one clause for each status and reason; empty if none is lost."""
    total = len(cell.done) + len(cell.lost)
    counts = Counter((row["status"], reason_of(row)) for row in cell.lost)
    return "; ".join(f"{n}/{total} {status}: {shorten(reason)}" for (status, reason), n in counts.items())


def shorten(text: str, width: int = 90) -> str:
    """``text`` on one line, cut with an ellipsis where it is longer than ``width``."""
    text = " ".join(text.split())
    return text if len(text) <= width else text[: width - 1].rstrip() + "…"


def _footnotes(lines: Sequence[Line]) -> tuple[list[dict[str, str]], list[tuple[str, str]]]:
    """Letters per line and number, and the texts they stand for; equal texts share a letter."""
    letters: dict[str, str] = {}
    marks: list[dict[str, str]] = []
    for line in lines:
        found = {}
        if line.cell.lost and line.cell.done:
            found[""] = f"{line.loss}. The numbers are those of the other seeds, a selection"
        for key, score in line.scores.items():
            missing = Counter(reason for _, reason in score.missing)
            if missing:
                n = len(line.cell.done)
                found[key] = "; ".join(f"{k}/{n} without a score: {shorten(why)}" for why, k in missing.items())
        marks.append({key: letters.setdefault(text, _letter(len(letters))) for key, text in found.items()})
    return marks, [(letter, text) for text, letter in letters.items()]


def _letter(i: int) -> str:
    """a … z, then aa, ab, …"""
    return chr(97 + i) if i < 26 else _letter(i // 26 - 1) + chr(97 + i % 26)


def _header(group: Group, ran: Sequence[Cell]) -> list[tuple[str, str]]:
    done = [row for cell in ran for row in cell.done]
    versions = [(row.get("provenance") or {}).get("versions") or {} for row in done]
    seeds = sorted({row["spec"]["seed"] for cell in ran for row in cell.rows})
    source = f"{group.source}, fingerprint {group.fingerprint[:12]}" if group.fingerprint else group.source
    shared = {
        "data": f"{group.dataset}: {format_parameters(json.loads(group.dataset_params)) or 'no parameters'}",
        "source": source,
        "budget": group.budget,
        "protocol": group.protocol,
        "seeds": format_seeds(seeds),
        "precision": _all_of(cell.spec["precision"] for cell in ran),
        "bench": _all_of(row.get("suite") for row in done),
        "torch": _all_of(v.get("torch") for v in versions),
        "device": _all_of(row["cost"].get("device") for row in done),
    }
    judges = {judge_text(row["judge"]) for row in done if row.get("judge")}
    if judges:
        shared["judge"] = ", ".join(sorted(judges))
    return list(shared.items())


def judge_text(judge: Mapping[str, Any]) -> str:
    """Which judge it was and how well it names the factors of real test sequences."""
    is_poor = judge["mean_accuracy"] < judge["threshold"]
    mark = f", below the {100 * judge['threshold']:g} % that its numbers are worth something with" if is_poor else ""
    right = f"right in {100 * judge['mean_accuracy']:.2f} % of the factors of real test sequences"
    return f"{judge['hash'][:8]}, {right}{mark}"


def format_seeds(seeds: Sequence[int]) -> str:
    """``0–2`` for consecutive seeds, else a list."""
    if len(seeds) > 2 and list(seeds) == list(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]}–{seeds[-1]}"
    return ", ".join(map(str, seeds)) or "none"


def _all_of(values: Iterable[object]) -> str:
    return ", ".join(sorted({str(value) for value in values if value})) or "unknown"


def _settings(cell: Cell) -> str:
    # what trains without gradient steps has no use for their settings
    hidden = {"n_steps"} if cell.n_steps else {"n_steps", "batch_size", "learning_rate"}
    params = {key: value for key, value in cell.spec["method_params"].items() if key not in hidden}
    steps = f"{cell.n_steps:,} steps" if cell.n_steps else "no gradient steps"
    shown = f"{cell.spec['view']}, {steps}"
    return f"{shown}, {format_parameters(params)}" if params else shown


def _skipped(group: Group) -> list[tuple[str, str]]:
    found: dict[tuple[str, str], None] = {}
    for cell in group.cells:
        for row in cell.with_status("skipped"):
            found[(group.cell_label(cell), shorten(reason_of(row), 160))] = None
    return list(found)
