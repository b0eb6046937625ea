"""Transition statistics as text, Markdown, CSV and figures, the authors' published values beside ours."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.natural_statistics import LAWS, PAIRS, QUANTITIES, SCIPY, Statistics, published
from bench.report.escape import markdown, plain, spreadsheet
from bench.report.style import COLOURS, FORMATS, LINES, caption, is_narrow, new_figure, save, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LAW_NAMES = {"gennorm": "generalised normal", "norm": "normal", "laplace": "Laplace"}
_GROUPS = {
    "": "",
    SCIPY: "generalised normal, where scipy's fit stops (the authors' routine)",
    "gennorm": "generalised normal of largest likelihood",
    "norm": "normal",
    "laplace": "Laplace",
}
COLUMNS = ("data", "source", "category", "n", "quantity", "law", "statistic", "value", "published", "unit")
N_BINS = 100
_WIDTH_CM = 16.0
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_CENTRE = 0.98  # of the steps are shown in the linear row
_UNITS = {
    "loc": "px",
    "scale": "px",
    "sd": "px",
    "median_size": "px",
    "loglik_sum": "nats",
    "mutual_information": "nats",
}


@dataclass(frozen=True)
class Motion:
    """The statistics of one set of steps, and what the reader must know of it.

    Attributes:
        name, source, note: of the data.
        category: of the objects; empty for all together.
        published: whose published values stand beside ours; empty for none.
        steps: (n, 3) for the figures.
    """

    name: str
    source: str
    note: str
    statistics: Statistics
    steps: np.ndarray
    category: str = ""
    published: str = ""

    @property
    def title(self) -> str:
        what = f", {self.category}" if self.category else ""
        return f"{self.name}{what} ({self.source}): {self.statistics.n:,} pairs of consecutive frames"


@dataclass(frozen=True)
class _Entry:
    """One number: of a quantity (or of two), of a law where it belongs to one."""

    quantity: str
    law: str
    statistic: str
    value: float


def _entries(statistics: Statistics) -> Iterator[_Entry]:
    for name, of in statistics.quantities.items():
        yield _Entry(name, "", "kurtosis_excess", of.kurtosis)
        yield _Entry(name, "", "median_size", of.median_size)
        for law in of.laws.values():
            for parameter, value in law.parameters.items():
                yield _Entry(name, law.name, parameter, value)
            yield _Entry(name, law.name, "loglik_sum", law.loglik)
            yield _Entry(name, law.name, "ks_distance", law.ks_distance)
            yield _Entry(name, law.name, "ks_p", law.ks_p)
    for pair in PAIRS:
        r, p = statistics.pearson[pair]
        yield _Entry("-".join(pair), "", "pearson_r", r)
        yield _Entry("-".join(pair), "", "pearson_p", p)
        yield _Entry("-".join(pair), "", "mutual_information", statistics.mutual_information[pair])


def to_csv(motions: Iterable[Motion]) -> str:
    """Long CSV with the columns COLUMNS, numbers in full; ``published`` is empty where nothing is."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for motion in motions:
        theirs = _published(motion)
        for entry in _entries(motion.statistics):
            known = theirs.get((entry.quantity, entry.law, entry.statistic), "")
            head = (motion.name, motion.source, motion.category, motion.statistics.n)
            numbers = (entry.quantity, entry.law, entry.statistic, repr(entry.value), known)
            writer.writerow([spreadsheet(v) for v in (*head, *numbers, _UNITS.get(entry.statistic, ""))])
    return out.getvalue()


_LABELS = {
    "kurtosis_excess": "excess kurtosis",
    "median_size": "median size (px)",
    "shape": "shape",
    "loc": "location (px)",
    "scale": "scale (px)",
    "sd": "standard deviation (px)",
    "loglik_sum": "log-likelihood per pair (nats)",
    "ks_distance": "KS distance",
    "ks_p": "KS p",
}


def _table(motion: Motion) -> list[list[str]]:
    """Rows of cells; the first two are heads, a row of one cell begins a group."""
    values = {(e.quantity, e.law, e.statistic): e.value for e in _entries(motion.statistics)}
    values["", "", "n_pairs"] = motion.statistics.n
    theirs = _published(motion)
    kinds = ("ours", "published") if theirs else ("ours",)
    rows = [
        ["", *(f"Δ{name}" for name in QUANTITIES for _ in kinds)],
        ["", *(kind for _ in QUANTITIES for kind in kinds)],
    ]
    for law, title in _GROUPS.items():
        if title:
            rows.append([title])
        for statistic in dict.fromkeys(key for _, of, key in values if of == law and key in _LABELS):
            sources: tuple[Mapping[tuple[str, str, str], float], ...] = (values, theirs) if theirs else (values,)
            cells = [_shown(found, (q, law, statistic)) for q in QUANTITIES for found in sources]
            rows.append([_LABELS[statistic], *cells])
    return rows


def _published(motion: Motion) -> dict[tuple[str, str, str], float]:
    """The published values with our names: their generalised normal is what scipy's routine returned."""
    renamed = {"gennorm": SCIPY}
    return {(q, renamed.get(law, law), s): value for (q, law, s), value in published(motion.published).items()}


def _shown(values: Mapping[tuple[str, str, str], float], key: tuple[str, str, str]) -> str:
    if key not in values:
        return "—"
    if key[2] == "loglik_sum":
        return f"{values[key] / values['', '', 'n_pairs']:.3f}"
    return f"{values[key]:.2f}" if key[2] == "kurtosis_excess" else f"{values[key]:.3g}"


def _notes(motion: Motion) -> Iterator[str]:
    statistics = motion.statistics
    for a, b in PAIRS:
        r, p = statistics.pearson[a, b]
        mutual = statistics.mutual_information[a, b]
        yield f"Δ{a} and Δ{b}: Pearson r {r:.3f} (p {p:.2g}), mutual information {mutual:.3f} nats"
    best = ", ".join(f"Δ{name} {LAW_NAMES[of.best]}" for name, of in statistics.quantities.items())
    yield f"largest likelihood: {best}"
    yield f"mutual information: 3 nearest neighbours, {statistics.n_mutual:,} pairs; kurtosis and deviations biased"
    for name, of in statistics.quantities.items():
        for law in of.laws.values():
            if law.note:
                yield f"Δ{name}, {_GROUPS[law.name]}: {law.note}"
    yield "log-likelihoods sum log densities; that of largest likelihood, the law's mass about each value as measured"
    theirs = published(motion.published)
    if theirs:
        n = theirs["", "", "n_pairs"]
        yield f"published: {motion.published}, {n:,.0f} pairs, stored outputs of the authors' data_analysis_both.ipynb"
    if motion.note:
        yield f"{motion.source}: {motion.note}"


def to_text(motions: Sequence[Motion]) -> str:
    """Plain text: for each set of steps a table and its notes; categories of one set in one table at its end."""
    blocks = []
    for motion in motions:
        if motion.category:
            continue
        rows = _table(motion)
        widths = [max(len(row[i]) for row in rows if len(row) > 1) for i in range(len(rows[0]))]
        title = plain(motion.title)
        lines = [title, "=" * len(title)]
        once = [name if name not in rows[0][:i] else "" for i, name in enumerate(rows[0])]
        for i, row in enumerate([once, *rows[1:]]):
            indent = "  " if i > 1 and len(row) > 1 and any(len(r) == 1 for r in rows[:i]) else ""
            head = (indent + row[0]).ljust(widths[0] + 2)
            lines.append("  ".join([head, *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=False))]).rstrip())
        blocks.append("\n".join([*lines, "", *map(plain, _notes(motion)), *_categories(motions, motion)]))
    return "\n\n".join(blocks) + "\n"


def to_markdown(motions: Sequence[Motion]) -> str:
    """The same as Markdown sections."""
    blocks = []
    for motion in motions:
        if motion.category:
            continue
        rows = _table(motion)
        heads = [" ".join(filter(None, pair)) for pair in zip(rows[0], rows[1], strict=True)]
        lines = [f"## {markdown(motion.title)}", "", _markdown_row(heads)]
        lines.append(_markdown_row(["---", *["---:"] * (len(heads) - 1)]))
        for row in rows[2:]:
            lines.append(_markdown_row([f"**{row[0]}**", *[""] * (len(heads) - 1)] if len(row) == 1 else row))
        lines += ["", *(f"- {markdown(note)}" for note in _notes(motion))]
        table = _category_rows(motions, motion)
        if table:
            lines += ["", _markdown_row(table[0]), _markdown_row(["---", *["---:"] * (len(table[0]) - 1)])]
            lines += [_markdown_row([markdown(row[0]), *row[1:]]) for row in table[1:]]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _category_rows(motions: Sequence[Motion], of: Motion) -> list[list[str]]:
    """A row per category of the same data: pairs, and of each quantity kurtosis, shape and best law."""
    found = [m for m in motions if m.category and m.name == of.name]
    if not found:
        return []
    rows = [["category", "pairs", *(f"Δ{q} {what}" for q in QUANTITIES for what in ("kurtosis", "shape", "best law"))]]
    for motion in found:
        cells = [motion.category, f"{motion.statistics.n:,}"]
        for quantity in motion.statistics.quantities.values():
            shape = quantity.laws["gennorm"].parameters["shape"]
            cells += [f"{quantity.kurtosis:.2f}", f"{shape:.3f}", LAW_NAMES[quantity.best]]
        rows.append(cells)
    return rows


def _categories(motions: Sequence[Motion], of: Motion) -> list[str]:
    rows = _category_rows(motions, of)
    widths = [max(len(plain(row[i])) for row in rows) for i in range(len(rows[0]))] if rows else []
    lines = []
    for row in rows:
        cells = [plain(c).ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))]
        lines.append("  ".join(cells))
    return ["", *lines] if lines else []


def draw(motion: Motion, stem: Path, formats: tuple[str, ...] = FORMATS) -> list[Path]:
    """Histograms with the fitted laws, linear above and semilogarithmic below, a column per quantity.

    In the column of a paper each quantity has a line, linear on the left and semilogarithmic on the right.

    Args:
        stem: path without ending; one file for each of ``formats``.
    """
    with style():
        is_tall = is_narrow(_WIDTH_CM)
        figure = new_figure(12.0 if is_tall else 9.4, width_cm=_WIDTH_CM)
        grid = figure.subplots(len(QUANTITIES), 2).T if is_tall else figure.subplots(2, len(QUANTITIES))
        for column, (name, values) in enumerate(zip(QUANTITIES, motion.steps.T, strict=True)):
            for row, part in enumerate((_CENTRE, 1.0)):
                _draw_panel(grid[row, column], motion, name, values, part, "\n" if is_tall else " ")
                if row or is_tall:
                    grid[row, column].set_xlabel(f"Δ{name} per frame (px)")
        for row, label in enumerate(("density (1/px)", "density (1/px), log scale")):
            for panel in grid[row] if is_tall else grid[row, :1]:
                panel.set_ylabel("log scale" if is_tall and row else label)
        handles, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2 if is_tall else len(labels))
        first, second = ("left", "right") if is_tall else ("above", "below")
        text = (
            f"{motion.title}\n{first}: the central {_CENTRE:.0%} of the steps; {second}: all of them; {N_BINS} bins; "
            "lines: "
        )
        caption(figure, text + f"fits of largest likelihood to all steps{'; ' + motion.note if motion.note else ''}")
        return save(figure, stem, formats)


def _draw_panel(axes: Axes, motion: Motion, name: str, values: np.ndarray, part: float, line_end: str) -> None:
    from scipy import stats

    low, high = np.quantile(values, [(1 - part) / 2, (1 + part) / 2])
    edges = _edges(values, float(low), float(high))
    counts, _ = np.histogram(values, edges)
    width = edges[1] - edges[0]
    axes.stairs(counts / len(values) / width, edges, fill=True, color="#cccccc", label="steps")
    of = motion.statistics.quantities[name]
    x = np.linspace(edges[0], edges[-1], 801)
    x = np.union1d(x, np.linspace(-3 * of.median_size, 3 * of.median_size, 201) + of.laws["laplace"].parameters["loc"])
    x = x[(x >= edges[0]) & (x <= edges[-1])]
    for i, law in enumerate(LAWS):
        density = getattr(stats, law).pdf(x, *of.laws[law].parameters.values())
        axes.plot(x, density, color=COLOURS[i], ls=LINES[i], lw=1.0, label=LAW_NAMES[law])
    top = counts.max() / len(values) / width
    if part < 1:
        axes.set_ylim(0, 1.15 * top)  # the cusp of a shape below 1 would leave the rest flat
        shape = f"Δ{name}: shape {of.laws['gennorm'].parameters['shape']:.3f}"
        axes.set_title(f"{shape},{line_end}kurtosis {of.kurtosis:.1f}")
    else:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(_power)
        axes.set_ylim(0.5 / len(values) / width, 4 * top)
    axes.set_xlim(edges[0], edges[-1])


def _power(y: float, _: float) -> str:
    """A power of ten as plain text: the suite's figures take no mathematical markup."""
    return "10" + str(round(np.log10(y))).translate(_RAISED)


def _edges(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Edges of about N_BINS bins; whole numbers fall into the middle of bins that hold equally many of them."""
    if (values == np.round(values)).all():
        width = max(1, round((high - low) / N_BINS))
        return np.arange(np.floor(low) - 0.5, np.ceil(high) + 0.5 + width, width)
    return np.linspace(low, high, N_BINS + 1)
