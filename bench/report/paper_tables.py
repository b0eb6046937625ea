"""A published table beside our rows: numbers with intervals, differences, and whether the order is the same."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.report.contrasts import Side
from bench.report.escape import latex, markdown, plain
from bench.report.frame import Cell, Defaults, Group, format_value
from bench.report.papers import Metric, Paper, PaperTable, Published
from bench.report.statistics import Estimate, mean_interval

Resolve = Callable[[str, str], Sequence[tuple[str, Mapping[str, Any]]]]
"""(methods as on the command line, budget) → (name, resolved parameters) of each."""

HEAD = ("method", "published", "ours", "difference", "in half-widths", "seeds")
NOT_OURS = "not in this suite"
NOT_RUN = "not run"
DIRECTIONS = ("lower is better", "higher is better")  # notes that the head of each metric says anyway
INTERVAL = "ours: mean over seeds ± half the width of its 95 % Student-t interval (3 seeds or more)"


@dataclass(frozen=True)
class Entry:
    """One place of the table.

    Attributes:
        ours: over seeds, in the published unit; None where there is none, for ``reason``.
        by_seed: seed → our value.
    """

    method: str
    published: Published | None
    ours: Estimate | None
    by_seed: Mapping[int, float]
    reason: str

    @property
    def difference(self) -> float | None:
        """Ours less the published number."""
        return None if self.ours is None or self.published is None else self.ours.mean - self.published.value

    @property
    def in_half_widths(self) -> float | None:
        """The difference in units of half our interval: beyond ±1 the published number lies outside it."""
        half = self.ours.half_width if self.ours else None
        return None if self.difference is None or not half else self.difference / half


@dataclass(frozen=True)
class Order:
    """Whether our methods come in the published order.

    Attributes:
        tau: Kendall's τ-b with the published numbers at each seed: mean and interval over seeds.
        is_same: the means over seeds come in the published order.
        n_methods: with both a published number and one of ours at every seed that counts.
    """

    tau: Estimate
    is_same: bool
    n_methods: int


@dataclass(frozen=True)
class Block:
    """One metric of the table on one data set, against one group of our rows (None: nothing was run)."""

    dataset: str
    ours: str
    group: Group | None
    metric: Metric
    higher_is_better: bool | None
    entries: tuple[Entry, ...]
    order: Order | None


def compare(
    table: PaperTable,
    groups: Iterable[Group],
    resolve: Resolve,
    direction: Callable[[str], bool | None],
    defaults: Defaults | None = None,
) -> list[Block]:
    """Every metric of the table on every data set of it, against each group of our rows on that data set."""
    groups = list(groups)
    blocks = []
    for published, ours in table.datasets:
        found: list[Group | None] = [group for group in groups if ours and is_of(group, ours, defaults)]
        for group in found or [None]:
            for metric in table.metrics:
                entries = tuple(
                    _entry(table.value(published, name, metric.published), name, method, metric, group, resolve)
                    for name, method in table.methods
                )
                higher = _published_direction(metric, direction(metric.key))
                blocks.append(Block(published, ours, group, metric, higher, entries, _order(entries)))
    return blocks


def _published_direction(metric: Metric, higher_is_better: bool | None) -> bool | None:
    """Of the published number, from that of ours: a negative scale turns it round."""
    return higher_is_better if higher_is_better is None or metric.scale > 0 else not higher_is_better


def is_of(group: Group, text: str, defaults: Defaults | None = None) -> bool:
    """Whether the group is of the data set that ``text`` names, with the parameters that it gives.

    Parameters that it does not give are those of the group's budget, where ``defaults`` are known; sizes (n_…) and
    where the data was looked for may differ.
    """
    import json

    from bench import selection

    (selected,) = selection.parse(text, "dataset")
    params = json.loads(group.dataset_params)
    usual = defaults("dataset", group.dataset, group.budget) if defaults else {}
    wanted = {
        key: format_value(value)
        for key, value in usual.items()
        if key in params and key != "source" and not key.startswith("n_")
    } | dict(selected.params)
    return group.dataset == selected.name and all(
        key in params and format_value(params[key]) == value for key, value in wanted.items()
    )


def _entry(
    published: Published | None, name: str, method: str, metric: Metric, group: Group | None, resolve: Resolve
) -> Entry:
    if not method:
        return Entry(name, published, None, {}, NOT_OURS)
    if group is None:
        return Entry(name, published, None, {}, NOT_RUN)
    cells: list[Cell] = Side(method, tuple(resolve(method, group.budget))).cells(group)[0]
    if not cells:
        return Entry(name, published, None, {}, NOT_RUN)
    score = cells[0].score(metric.key)
    values = {seed: metric.scale * value for seed, value in zip(score.seeds, score.values, strict=True)}
    if not values:
        lost = [f"{len(cells[0].lost)} lost"] if cells[0].lost else []
        reasons = dict.fromkeys(why for _, why in score.missing)
        return Entry(name, published, None, {}, "; ".join([*reasons, *lost]) or NOT_RUN)
    return Entry(name, published, mean_interval(values.values()), values, "")


def _order(entries: Sequence[Entry]) -> Order | None:
    """None with fewer than two methods that have both numbers, or without a seed that they share."""
    from scipy.stats import kendalltau

    both = [one for one in entries if one.published is not None and one.by_seed]
    common = set.intersection(*(set(one.by_seed) for one in both)) if len(both) > 1 else set()
    if not common:
        return None
    published = [one.published.value for one in both if one.published is not None]
    if len(set(published)) == 1:
        return None
    taus = []
    for seed in sorted(common):
        tau = float(kendalltau(published, [one.by_seed[seed] for one in both]).statistic)
        if tau != tau:  # ours are all equal: no order
            return None
        taus.append(tau)
    means = [sum(one.by_seed[seed] for seed in common) for one in both]
    is_same = float(kendalltau(published, means).statistic) == 1.0
    return Order(mean_interval(taus), is_same, len(both))


def render(paper: Paper, table: PaperTable, blocks: Sequence[Block], form: str) -> str:
    """The comparison as text, Markdown (md), LaTeX (booktabs) or CSV.

    Raises:
        ValueError: another format.
    """
    writers = {"text": _to_text, "md": _to_markdown, "latex": _to_latex, "csv": _to_csv}
    if form not in writers:
        raise ValueError(f"unknown format '{form}'; choose one of {', '.join(writers)}")
    return writers[form](paper, table, blocks)


def _line(entry: Entry) -> tuple[str, ...]:
    published = "–" if entry.published is None else f"{entry.published.value:g}"
    if entry.published is not None and entry.published.spread is not None:
        published += f" ± {entry.published.spread:g}"
    if entry.ours is None:
        return entry.method, published, entry.reason, "–", "–", "0"
    half = entry.ours.half_width
    ours = f"{entry.ours.mean:.4g}" + ("" if half is None else f" ± {half:.2g}")
    difference = "–" if entry.difference is None else f"{entry.difference:+.3g}"
    units = "–" if entry.in_half_widths is None else f"{entry.in_half_widths:+.1f}"
    return entry.method, published, ours, difference, units, str(entry.ours.n)


def _about(block: Block) -> str:
    if block.group is None:
        return f"{block.dataset}: ours ({block.ours or NOT_OURS}) not run"
    group = block.group
    return f"{block.dataset}: ours on {group.label}, {group.source}, budget {group.budget}, protocol {group.protocol}"


def _title(metric: Metric, higher_is_better: bool | None) -> str:
    arrow = {True: "; higher is better", False: "; lower is better", None: ""}[higher_is_better]
    scale = "" if metric.scale == 1 else f" × {metric.scale:g}"
    return f"{metric.published} (ours: {metric.key}{scale}{arrow})"


def _order_note(block: Block) -> str:
    order = block.order
    if order is None:
        return ""
    interval = "" if order.tau.low is None else f" [{max(-1, order.tau.low):+.2f}, {min(1, order.tau.high or 1):+.2f}]"
    come = "come in the published order" if order.is_same else "do not come in the published order"
    seeds = "seed" if order.tau.n == 1 else "seeds"
    tau = f"Kendall's τ {order.tau.mean:+.2f}{interval}"
    return f"means {come}; {tau}, {order.n_methods} methods, {order.tau.n} {seeds}"


def _notes(paper: Paper, table: PaperTable, blocks: Sequence[Block]) -> list[str]:
    """What holds for the whole table, then what is known against single published numbers."""
    notes = [INTERVAL] if any(entry.ours for block in blocks for entry in block.entries) else []
    notes += [note for note in (table.note, paper.note) if note]
    if not table.published:
        notes.append("the published numbers of this table could not be obtained; ours stand alone")
    flagged: dict[str, list[str]] = {}
    shown = {(block.dataset, entry.method, block.metric.published) for block in blocks for entry in block.entries}
    for one in table.published:
        if one.note not in ("", *DIRECTIONS) and (one.dataset, getattr(one, table.lines), one.metric) in shown:
            flagged.setdefault(one.note, []).append(f"{getattr(one, table.lines)} {one.metric}")
    for note, places in flagged.items():
        where = ", ".join(places[:4]) + (f" and {len(places) - 4} more" if len(places) > 4 else "")
        notes.append(f"published {where}: {note}")
    return notes


def _grouped(blocks: Sequence[Block]) -> list[tuple[str, list[Block]]]:
    found: dict[str, list[Block]] = {}
    for block in blocks:
        found.setdefault(_about(block), []).append(block)
    return list(found.items())


def _head(paper: Paper, table: PaperTable) -> str:
    setting = f"; {table.setting}" if table.setting else ""
    return f"{paper.name}:{table.id}  {table.title}{setting} ({paper.title})"


def _to_text(paper: Paper, table: PaperTable, blocks: Sequence[Block]) -> str:
    title = plain(_head(paper, table))
    lines = [title, "=" * min(110, len(title))]
    for about, group in _grouped(blocks):
        lines += ["", plain(about)]
        for block in group:
            rows = [HEAD, *(_line(entry) for entry in block.entries)]
            widths = [max(len(plain(text)) for text in column) for column in zip(*rows, strict=True)]
            lines += ["", f"  {plain(_title(block.metric, block.higher_is_better))}"]
            lines += [
                "    " + "  ".join(plain(text).ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
                for row in rows
            ]
            lines += [f"    {note}" for note in [_order_note(block)] if note]
    return "\n".join([*lines, "", *(plain(note) for note in _notes(paper, table, blocks))]) + "\n"


def _to_markdown(paper: Paper, table: PaperTable, blocks: Sequence[Block]) -> str:
    lines = [f"## {markdown(_head(paper, table))}", ""]
    for about, group in _grouped(blocks):
        lines += [f"### {markdown(about)}", ""]
        for block in group:
            lines += [f"**{markdown(_title(block.metric, block.higher_is_better))}**", ""]
            lines += [f"| {' | '.join(HEAD)} |", "| --- |" + " ---: |" * (len(HEAD) - 1)]
            lines += [f"| {' | '.join(map(markdown, _line(entry)))} |" for entry in block.entries]
            lines += ["", *(f"{markdown(note)}\n" for note in [_order_note(block)] if note)]
    return "\n".join([*lines, *(f"- {markdown(note)}" for note in _notes(paper, table, blocks)), ""])


def _to_latex(paper: Paper, table: PaperTable, blocks: Sequence[Block]) -> str:
    lines = ["% needs \\usepackage{booktabs}", "\\begin{table}", "\\centering"]
    lines.append(f"\\caption{{{latex(_head(paper, table))}. {latex('. '.join(_notes(paper, table, blocks)))}}}")
    for about, group in _grouped(blocks):
        for block in group:
            lines += ["\\par\\smallskip", latex(f"{about}: {_title(block.metric, block.higher_is_better)}") + "\\par"]
            lines += ["\\begin{tabular}{lrrrrr}", "\\toprule", " & ".join(map(latex, HEAD)) + r" \\", "\\midrule"]
            lines += [" & ".join(map(latex, _line(entry))) + r" \\" for entry in block.entries]
            lines += ["\\bottomrule", "\\end{tabular}"]
            lines += [f"\\par {latex(note)}" for note in [_order_note(block)] if note]
    return "\n".join([*lines, "\\end{table}", ""])


CSV_HEAD = (
    "paper", "table", "dataset", "our_dataset", "source", "budget", "protocol", "method", "metric", "our_metric",
    "published", "published_spread", "ours", "ours_low", "ours_high", "n_seeds", "difference", "in_half_widths",
    "reason", "published_note",
)  # fmt: skip


def _to_csv(paper: Paper, table: PaperTable, blocks: Sequence[Block]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_HEAD)
    for block in blocks:
        group = (block.group.source, block.group.budget, block.group.protocol) if block.group else ("", "", "")
        for entry in block.entries:
            published, ours = entry.published, entry.ours
            writer.writerow([
                paper.name, table.id, block.dataset, block.ours, *group, entry.method, block.metric.published,
                block.metric.key, *(("", "") if published is None else (published.value, _or_empty(published.spread))),
                *(("", "", "", 0) if ours is None else (ours.mean, _or_empty(ours.low), _or_empty(ours.high), ours.n)),
                _or_empty(entry.difference), _or_empty(entry.in_half_widths), entry.reason,
                "" if published is None else published.note,
            ])  # fmt: skip
    return out.getvalue()


def _or_empty(value: float | None) -> float | str:
    return "" if value is None else value
