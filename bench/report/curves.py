"""Learning curves made from stored rows: what methods have in common, each method's own terms, scores on the way.

Every function takes one group of rows, writes PDF, SVG and PNG next to each other, and returns the paths.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.report.frame import Cell, Group, Row, slugify
from bench.report.labels import MAX_PANELS, broken, few_ticks, looks, range_of, title_of
from bench.report.style import FORMATS, caption, characters, look, n_rows, new_figure, panels, save, style
from bench.report.tables import table_of
from bench.report.terms import in_term_order, shared_name, term_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_LINES = 8  # in one panel
_WIDTH = 24  # characters of a panel's title
INFORMATION = {
    "mi_static": "I(static; x) (nats)",
    "mi_dynamic": "I(dynamic; x) (nats)",
    "mi_static_dynamic": "I(static; dynamic) (nats)",
}
"""Terms that estimate mutual information, and the titles of their panels."""
Runs = Sequence[tuple[np.ndarray, np.ndarray]]
"""Steps and values of each run."""
Points = Callable[[Row], tuple[np.ndarray, np.ndarray] | None]
"""Row → its steps and values; None where it has no such curve."""


@dataclass(frozen=True)
class Line:
    """What one line of a panel shows.

    Attributes:
        label: as the legend has it, without the number of runs.
        cells: whose finished rows it is the mean of.
        look: colour, line and marker.
    """

    label: str
    cells: tuple[Cell, ...]
    look: Mapping[str, Any]

    def runs(self, points: Points) -> Runs:
        """Curves of the finished rows that have one."""
        found = [points(row) for cell in self.cells for row in cell.done]
        return [one for one in found if one is not None and len(one[0])]


def draw_curves(group: Group, path: Path, *, formats: tuple[str, ...] = FORMATS) -> list[Path]:
    """Terms of the loss over training steps: mean over runs, with a band from the lowest to the highest.

    ``path`` compares methods in the terms that several log, except the loss, which means another thing in each;
    ``path-METHOD`` has all terms of one method, with a line for each of its settings. With one method there is one
    figure, ``path``.
    """
    terms: dict[str, set[str]] = defaultdict(set)  # of each method
    cells: dict[str, list[Cell]] = defaultdict(list)
    for cell in group.cells:
        found = {shared_name(name) for row in cell.done for name in _curve(row) if name != "step"}
        if found:
            terms[cell.method] |= found
            cells[cell.method].append(cell)
    paths = []
    if len(terms) > 1:
        common = {term for found in terms.values() for term in found if sum(term in t for t in terms.values()) > 1}
        common = {term for term in common if term.rpartition("/")[2] != "loss"}
        what = "terms that several methods log, each as its method defines it"
        paths += _draw_terms(group, path, _compared(group, cells), common, what, formats)
    for method, found in terms.items():
        stem = path if len(terms) == 1 else path.with_name(f"{path.name}-{slugify(method)}")
        paths += _draw_terms(group, stem, _settings(group, cells[method]), found, "terms of the loss", formats)
    return paths


def draw_information(group: Group, path: Path, *, formats: tuple[str, ...] = FORMATS) -> list[Path]:
    """Mutual information of codes and data over training (C-DSVAE's Figure 6), of the methods that log it."""
    cells: dict[str, list[Cell]] = defaultdict(list)
    for cell in group.cells:
        if any(shared_name(name) in INFORMATION for row in cell.done for name in _curve(row)):
            cells[cell.method].append(cell)
    what = "estimates from each batch, at most the logarithm of its size"
    terms = {shared_name(name) for own in cells.values() for cell in own for row in cell.done for name in _curve(row)}
    series = {term: (lambda row, term=term: _term_points(row, term)) for term in INFORMATION if term in terms}
    return _draw(group, path, _compared(group, cells), series, INFORMATION, what, formats)


def draw_score_curves(
    group: Group, path: Path, *, metrics: Sequence[str] | None = None, formats: tuple[str, ...] = FORMATS
) -> list[Path]:
    """Scores over training steps, where runs were scored on the way (``score_every``)."""
    columns = table_of(group, metrics).columns
    series = {c.key: (lambda row, key=c.key: _score_points(row, key)) for c in columns}
    titles = {c.key: broken(f"{c.title} {range_of(c)}".rstrip(), characters(_WIDTH)) for c in columns}
    return _draw(group, path, _settings(group, group.cells), series, titles, "scores during training", formats)


def _draw_terms(
    group: Group, path: Path, lines: Sequence[Line], terms: set[str], what: str, formats: tuple[str, ...]
) -> list[Path]:
    ordered = in_term_order(terms)
    series = {term: (lambda row, term=term: _term_points(row, term)) for term in ordered}
    titles = {term: _title(term) for term in ordered}
    return _draw(group, path, lines, series, titles, what, formats)


def _title(term: str) -> str:
    """The term's name with its unit, on a line of its own where it is long."""
    title = term_title(term)
    width = characters(_WIDTH)
    return title if len(title) <= width else "\n(".join(broken(part, width) for part in title.split(" ("))


def _settings(group: Group, cells: Sequence[Cell]) -> list[Line]:
    """A line for each cell."""
    shapes = looks(group)
    return [Line(label, (cell,), shapes[label]) for cell in cells for label in (group.cell_label(cell),)]


def _compared(group: Group, cells: Mapping[str, Sequence[Cell]]) -> list[Line]:
    """A line for each cell or, where these are too many to tell apart, for each method."""
    every = [cell for own in cells.values() for cell in own]
    if len(every) <= MAX_LINES or len(every) == len(cells):
        return _settings(group, every)
    counted = {method: f"{method}, {len(own)} settings" if len(own) > 1 else method for method, own in cells.items()}
    return [Line(counted[method], tuple(own), look(i)) for i, (method, own) in enumerate(cells.items())]


def _draw(
    group: Group,
    path: Path,
    lines: Sequence[Line],
    series: Mapping[str, Points],
    titles: Mapping[str, str],
    what: str,
    formats: tuple[str, ...],
) -> list[Path]:
    """One figure for as many panels and lines as one can show; ``-2``, ``-3`` … are added to the others."""
    runs = {key: [line.runs(points) for line in lines] for key, points in series.items()}
    text = f"{title_of(group)}\n{what}: mean over n runs, band from lowest to highest"
    shown = [i for i in range(len(lines)) if any(found[i] for found in runs.values())]
    paths: list[Path] = []
    page_number = count(1)
    for first in range(0, len(shown), MAX_LINES):
        some = shown[first : first + MAX_LINES]
        keys = [key for key, found in runs.items() if any(found[i] for i in some)]
        for start in range(0, len(keys), MAX_PANELS):
            number = next(page_number)
            stem = path if number == 1 else path.with_name(f"{path.name}-{number}")
            page = {key: {i: runs[key][i] for i in some} for key in keys[start : start + MAX_PANELS]}
            heights = {key: [run for found in runs[key] for run in found] for key in page}  # the same on every page
            with style():
                figure = _figure(lines, page, heights, titles)
                caption(figure, text)
                paths += save(figure, stem, formats)
    return paths


def _figure(
    lines: Sequence[Line],
    page: Mapping[str, Mapping[int, Runs]],
    heights: Mapping[str, Runs],
    titles: Mapping[str, str],
) -> Any:
    """Panels of (key → line → runs), with a legend of the lines."""
    counts = {i: max(len(found[i]) for found in page.values()) for i in next(iter(page.values()))}
    figure = new_figure(1.9 + 0.35 * len(counts) + 3.1 * n_rows(len(page)))
    for (key, found), axes in zip(page.items(), panels(figure, len(page)), strict=True):
        for i, runs in found.items():
            _draw_band(axes, runs, lines[i].look)
        axes.set_title(titles[key], loc="left")
        axes.set_xlabel("training step")
        axes.xaxis.set_major_locator(few_ticks(3))
        axes.yaxis.set_major_locator(few_ticks(4))
        axes.grid(axis="y")
        _fit_height(axes, heights[key])
    _line_legend(figure, {f"{lines[i].label} (n = {n})": lines[i].look for i, n in counts.items()})
    return figure


def _draw_band(axes: Axes, runs: Runs, shape: Mapping[str, Any]) -> None:
    """Mean and range over the steps that all runs share."""
    if not runs:
        return
    steps = runs[0][0]
    for other, _ in runs[1:]:
        steps = np.intersect1d(steps, other)
    if not len(steps):
        return
    values = np.stack([y[np.isin(x, steps)] for x, y in runs])
    every = max(len(steps) // 6, 1)
    axes.fill_between(steps, values.min(0), values.max(0), color=shape["color"], alpha=0.2, lw=0)
    axes.plot(steps, values.mean(0), markevery=(every // 2, every), **shape)


def _line_legend(figure: Any, shapes: Mapping[str, Mapping[str, Any]]) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], **shape) for shape in shapes.values()]
    labels = [broken(label, 52) for label in shapes]  # about a column of a paper
    figure.legend(handles, labels, loc="outside lower center", ncols=1)


def _fit_height(axes: Axes, runs: Runs) -> None:
    """Limits from what comes after the first twentieth of the steps: the first loss would flatten all the rest."""
    finite = np.concatenate([y[x >= x.max() / 20] for x, y in runs])
    finite = finite[np.isfinite(finite)]
    if len(finite):
        low, high = float(finite.min()), float(finite.max())
        margin = 0.06 * (high - low or abs(high) or 1.0)
        axes.set_ylim(low - margin, high + margin)


def _curve(row: Row) -> Mapping[str, Any]:
    return (row.get("training") or {}).get("curve") or {}


def _term_points(row: Row, term: str) -> tuple[np.ndarray, np.ndarray] | None:
    curve = _curve(row)
    stored = next((name for name in curve if shared_name(name) == term), None)
    if stored is None:
        return None
    return np.asarray(curve["step"], np.int64), np.asarray(curve[stored], np.float64)


def _score_points(row: Row, key: str) -> tuple[np.ndarray, np.ndarray] | None:
    scored = (row.get("training") or {}).get("scores") or []
    pairs = [(one["step"], one["metrics"][key]) for one in scored if one["metrics"].get(key) is not None]
    return (np.array([s for s, _ in pairs], np.int64), np.array([v for _, v in pairs], np.float64)) if pairs else None
