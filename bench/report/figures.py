"""Figures made from stored rows: scores by method, learning curves, and the correlations behind the MCC.

Every function takes one group of rows, writes PDF, SVG and PNG next to each other, and returns the paths.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.report.cards import Column
from bench.report.frame import Cell, Defaults, Group, Row, groups, slugify
from bench.report.style import (
    BOUND_COLOUR,
    FORMATS,
    REFERENCE_COLOUR,
    caption,
    look,
    new_figure,
    panels,
    save,
    style,
)
from bench.report.tables import Table, table_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_PANELS = 8  # on one figure; more go to further files
_TERM_ORDER = ("loss", "nll", "kl")
_NATS = {"loss", "nll", "kl", "elbo", "entropy"}  # words in the names of terms that are so measured
Series = Mapping[str, Sequence[tuple[np.ndarray, np.ndarray]]]


def draw_all(
    rows: Iterable[Row], folder: Path, *, defaults: Defaults | None = None, formats: tuple[str, ...] = FORMATS
) -> list[Path]:
    """Every figure that ``rows`` allow; with several groups each has a folder of its own below ``folder``."""
    found = groups(rows, defaults)
    paths = []
    for group in found:
        place = folder if len(found) == 1 else folder / group.slug
        paths += draw_scores(group, place / "scores", formats=formats)
        paths += draw_curves(group, place / "curves", formats=formats)
        paths += draw_score_curves(group, place / "scores-over-steps", formats=formats)
        for cell in group.cells:
            if not cell.is_reference:
                stem = place / f"correlation-{slugify(group.cell_label(cell))}"
                paths += draw_correlation(group, cell, stem, formats=formats)
    return paths


def draw_scores(
    group: Group, path: Path, *, metrics: Sequence[str] | None = None, formats: tuple[str, ...] = FORMATS
) -> list[Path]:
    """Seeds as points and the mean's 95 % interval, one line per method and one panel per metric.

    Args:
        path: without ending; ``-2``, ``-3`` … are added where the panels do not fit on one figure.
        metrics: keys; by default those a table shows.
    """
    table = table_of(group, metrics)
    if not table.lines or not table.columns:
        return []
    paths = []
    for page, start in enumerate(range(0, len(table.columns), MAX_PANELS), 1):
        stem = path if page == 1 else path.with_name(f"{path.name}-{page}")
        paths += _draw_score_page(table, table.columns[start : start + MAX_PANELS], stem, formats)
    return paths


def _draw_score_page(table: Table, columns: Sequence[Column], stem: Path, formats: tuple[str, ...]) -> list[Path]:
    labels = [_broken(f"{line.label} (n\u00a0=\u00a0{line.seed_count})", 20) for line in table.lines]
    heights = np.array([0.12 + 0.27 * (label.count("\n") + 1) for label in labels])  # cm, the unit of the y axes
    places = np.cumsum(heights) - heights / 2
    n_rows = math.ceil(len(columns) / 2)
    with style():
        figure = new_figure(2.0 + n_rows * (1.3 + heights.sum()))
        for of, axes in zip(columns, panels(figure, len(columns), sharey=True), strict=True):
            _draw_score_panel(axes, table, of, places)
        figure.axes[0].set_yticks(places, labels)  # the panels share it
        figure.axes[0].set_ylim(heights.sum(), 0)
        _score_legend(figure, columns)
        caption(
            figure,
            f"{table.title}\nsymbols: training seeds; bars: their mean with its 95 % t-interval (none for n < 3)",
        )
        return save(figure, stem, formats)


def _draw_score_panel(axes: Axes, table: Table, of: Column, places: np.ndarray) -> None:
    ends: list[float] = []
    looks = _looks(table.group)
    for line, place in zip(table.lines, places, strict=True):
        score = line.scores[of.key]
        estimate = score.estimate
        if estimate is None:
            continue
        shape = looks[line.label]
        colour, at_mean = shape["color"], place + 0.08
        fill, edge = ("white", colour) if line.is_reference else (colour, "white")
        y = [place - 0.06] * len(score.values)
        axes.plot(score.values, y, ls="none", marker=shape["marker"], ms=3.2, mfc=fill, mec=edge, mew=0.5)
        ends += score.values
        if estimate.low is not None and estimate.high is not None:
            axes.plot([estimate.low, estimate.high], [at_mean] * 2, "-|", color=colour, lw=1.1, ms=3, mew=0.8)
            axes.plot(estimate.mean, at_mean, "|", color=colour, ms=5.5, mew=1.3)
            ends += [estimate.low, estimate.high]
    for value, dashes in ((of.floor, ":"), (of.ceiling, "--")):
        if value is not None:
            axes.axvline(value, color=BOUND_COLOUR, ls=dashes, lw=0.9, zorder=0.5)
            ends.append(value)
    low, high = min([0.0, *ends]), max(ends, default=1.0)
    margin = 0.05 * (high - low or 1.0)
    axes.set_xlim(low - margin, high + margin)
    axes.xaxis.set_major_locator(_few_ticks(3))
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(_broken(f"{of.title} {_range_of(of)}".rstrip(), 15), fontsize=6.5)


def _score_legend(figure: Any, columns: Sequence[Column]) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=BOUND_COLOUR, ls=":", lw=0.9), Line2D([], [], color=BOUND_COLOUR, ls="--", lw=0.9)]
    if any(c.floor is not None or c.ceiling is not None for c in columns):
        figure.legend(
            handles, ["floor: noise codes", "ceiling: one copy per factor"], loc="outside lower center", ncols=2
        )


def draw_curves(group: Group, path: Path, *, formats: tuple[str, ...] = FORMATS) -> list[Path]:
    """Loss terms over training steps: mean over seeds, with a band from the lowest to the highest seed."""
    terms = in_term_order({name for row in group.rows for name in _curve(row) if name != "step"})
    series = {term: _collect(group, lambda row, term=term: _term_points(row, term)) for term in terms}  # type: ignore[misc]
    titles = {term: _broken(term_title(term), 26) for term in terms}
    return _draw_lines(group, path, series, titles, "terms of the loss", formats)


def in_term_order(terms: Iterable[str]) -> list[str]:
    """Terms of a loss in the order of figures: loss, nll, kl, then by name."""
    return sorted(terms, key=lambda name: (_TERM_ORDER.index(name) if name in _TERM_ORDER else len(_TERM_ORDER), name))


def term_title(term: str) -> str:
    """``kl (nats)``; terms of other units stand alone."""
    return f"{term} (nats)" if _NATS & set(term.split("_")) else term


def draw_score_curves(
    group: Group, path: Path, *, metrics: Sequence[str] | None = None, formats: tuple[str, ...] = FORMATS
) -> list[Path]:
    """Scores over training steps, where runs were scored on the way (``score_every``)."""
    columns = table_of(group, metrics).columns
    series = {c.key: _collect(group, lambda row, key=c.key: _score_points(row, key)) for c in columns}  # type: ignore[misc]
    series = {key: found for key, found in series.items() if found}
    titles = {c.key: _broken(f"{c.title} {_range_of(c)}".rstrip(), 26) for c in columns}
    return _draw_lines(group, path, series, titles, "scores during training", formats)


def _draw_lines(
    group: Group,
    path: Path,
    series: Mapping[str, Series],
    titles: Mapping[str, str],
    what: str,
    formats: tuple[str, ...],
) -> list[Path]:
    paths = []
    keys = list(series)
    for page, start in enumerate(range(0, len(keys), MAX_PANELS), 1):
        stem = path if page == 1 else path.with_name(f"{path.name}-{page}")
        shown = keys[start : start + MAX_PANELS]
        labels = sorted({label for key in shown for label in series[key]}, key=list(group.labels.values()).index)
        shapes = _looks(group)
        counts = {label: max(len(series[key].get(label, ())) for key in shown) for label in labels}
        with style():
            figure = new_figure(1.9 + 0.35 * len(labels) + 3.1 * math.ceil(len(shown) / 2))
            for key, axes in zip(shown, panels(figure, len(shown)), strict=True):
                for label, runs in series[key].items():
                    _draw_band(axes, runs, shapes[label])
                axes.set_title(titles[key], loc="left")
                axes.set_xlabel("training step")
                axes.xaxis.set_major_locator(_few_ticks(3))
                axes.yaxis.set_major_locator(_few_ticks(4))
                axes.grid(axis="y")
                _fit_height(axes, series[key])
            _line_legend(figure, {f"{label} (n = {counts[label]})": shapes[label] for label in labels})
            caption(figure, f"{_title(group)}\n{what}: mean over n seeds, band from lowest to highest")
            paths += save(figure, stem, formats)
    return paths


def _draw_band(axes: Axes, runs: Sequence[tuple[np.ndarray, np.ndarray]], shape: Mapping[str, Any]) -> None:
    """Mean and range over the steps that all runs share."""
    steps = runs[0][0]
    for other, _ in runs[1:]:
        steps = np.intersect1d(steps, other)
    values = np.stack([y[np.isin(x, steps)] for x, y in runs])
    every = max(len(steps) // 6, 1)
    axes.fill_between(steps, values.min(0), values.max(0), color=shape["color"], alpha=0.2, lw=0)
    axes.plot(steps, values.mean(0), markevery=(every // 2, every), **shape)


def _line_legend(figure: Any, shapes: Mapping[str, Mapping[str, Any]]) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], **shape) for shape in shapes.values()]
    figure.legend(handles, list(shapes), loc="outside lower center", ncols=1)


def _fit_height(axes: Axes, series: Series) -> None:
    """Limits from what comes after the first twentieth of the steps: the first loss would flatten all the rest."""
    later = [y[x >= x.max() / 20] for runs in series.values() for x, y in runs]
    finite = np.concatenate(later)
    finite = finite[np.isfinite(finite)]
    if len(finite):
        low, high = float(finite.min()), float(finite.max())
        margin = 0.06 * (high - low or abs(high) or 1.0)
        axes.set_ylim(low - margin, high + margin)


def draw_correlation(
    group: Group, cell: Cell, path: Path, *, metric: str = "mcc[spearman]", formats: tuple[str, ...] = FORMATS
) -> list[Path]:
    """Absolute correlations of factors and latents of the cell's median seed, the assigned pairs framed.

    Latents stand in the order of the factors they were assigned to, then by their strongest correlation; at most 20
    are shown. Nothing is drawn where no row kept the matrix.
    """
    kept = [row for row in cell.done if metric in row.get("details", {}) and _value(row, metric) is not None]
    if not kept:
        return []
    row = sorted(kept, key=lambda one: _value(one, metric) or 0.0)[(len(kept) - 1) // 2]
    details = row["details"][metric]
    matrix = np.asarray(details["correlation"], np.float64)
    assignment = details["assignment"]
    names = details.get("factors") or [f"factor {i}" for i in range(len(matrix))]
    assigned = [j for j in assignment if j is not None]
    rest = [j for j in np.argsort(-matrix.max(0), kind="stable").tolist() if j not in assigned]
    order = (assigned + rest)[: max(20, len(assigned))]
    with style():
        figure = new_figure(3.4 + 0.55 * len(names))
        (axes,) = panels(figure, 1)
        image = axes.imshow(matrix[:, order], cmap="Greys", vmin=0, vmax=1, aspect="auto")
        _annotate(axes, matrix[:, order])
        _frame_assigned(axes, assignment, order)
        axes.set_xticks(range(len(order)), [str(j) for j in order])
        axes.set_yticks(range(len(names)), [str(name) for name in names])
        axes.tick_params(length=0)
        shown = f", {len(order)} of {matrix.shape[1]} shown" if len(order) < matrix.shape[1] else ""
        axes.set_xlabel(f"latent (index{shown})")
        axes.set_ylabel("factor")
        bar = figure.colorbar(image, ax=axes, pad=0.02, aspect=12)
        bar.set_label(f"|correlation|, {_correlation_kind(metric)}, 0 to 1", fontsize=6.5)
        where = f"seed {row['spec']['seed']}, the median of n = {len(kept)}"
        head = f"{group.cell_label(cell)}: {_title(group)}"
        caption(figure, f"{head}\n{metric} {_value(row, metric):.3f} at {where}; frames: assigned pairs")
        return save(figure, path, formats)


def _annotate(axes: Axes, matrix: np.ndarray) -> None:
    """Two digits in each field, where they fit."""
    if matrix.shape[1] > 12:
        return
    for (i, j), value in np.ndenumerate(matrix):
        text = f"{value:.2f}".lstrip("0") if value < 0.995 else "1"
        axes.text(j, i, text, ha="center", va="center", fontsize=5.5, color="white" if value > 0.55 else "black")


def _frame_assigned(axes: Axes, assignment: Sequence[int | None], order: Sequence[int]) -> None:
    from matplotlib.patches import Rectangle

    for i, latent in enumerate(assignment):
        if latent is not None:
            corner = (order.index(latent) - 0.46, i - 0.46)
            axes.add_patch(Rectangle(corner, 0.92, 0.92, fill=False, ec="#BB5566", lw=1.6))


def _correlation_kind(metric: str) -> str:
    inside = re.search(r"\[(\w+)", metric)
    return inside.group(1).capitalize() if inside else "absolute"


def _collect(
    group: Group, points: Callable[[Row], tuple[np.ndarray, np.ndarray] | None]
) -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
    """Label → (steps, values) of each finished seed that has them."""
    found = defaultdict(list)
    for cell in group.cells:
        for row in cell.done:
            one = points(row)
            if one is not None and len(one[0]):
                found[group.cell_label(cell)].append(one)
    return dict(found)


def _curve(row: Row) -> Mapping[str, Any]:
    return (row.get("training") or {}).get("curve") or {}


def _term_points(row: Row, term: str) -> tuple[np.ndarray, np.ndarray] | None:
    curve = _curve(row)
    if term not in curve:
        return None
    return np.asarray(curve["step"], np.int64), np.asarray(curve[term], np.float64)


def _score_points(row: Row, key: str) -> tuple[np.ndarray, np.ndarray] | None:
    scored = (row.get("training") or {}).get("scores") or []
    pairs = [(one["step"], one["metrics"][key]) for one in scored if one["metrics"].get(key) is not None]
    return (np.array([s for s, _ in pairs], np.int64), np.array([v for _, v in pairs], np.float64)) if pairs else None


def _value(row: Row, metric: str) -> float | None:
    entry = row["metrics"].get(metric)
    return None if entry is None else entry["value"]


def _looks(group: Group) -> dict[str, dict[str, Any]]:
    """Label → colour, line and marker, so that a method looks the same in every figure of the group."""
    trained = [cell for cell in group.cells if not cell.is_reference and (cell.done or cell.lost)]
    looks = {group.cell_label(cell): look(i) for i, cell in enumerate(trained)}
    plain = {"color": REFERENCE_COLOUR, "linestyle": ":", "marker": "o"}
    return {label: looks.get(label, plain) for label in group.labels.values()}


def _title(group: Group) -> str:
    return f"{group.label}, {group.source}, budget {group.budget}, protocol {group.protocol}"


def _broken(text: str, width: int = 17) -> str:
    """``text`` on lines of about ``width`` characters, broken before ``[ / _`` or a space and after a comma."""
    lines = [""]
    for part in re.findall(r"[\[/_ ]?[^\[/_, ]+,?|.", text):
        if lines[-1] and len(lines[-1]) + len(part) > width and part not in (" ↑", " ↓"):
            lines.append("")
        lines[-1] += part if lines[-1] else part.lstrip(" ")
    return "\n".join(lines)


def _range_of(of: Column) -> str:
    low, high = of.bounds
    if low is None:
        return ""
    return f"(from\u00a0{low:g})" if high is None else f"({low:g}\u00a0to\u00a0{high:g})"


def _few_ticks(n: int) -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(n, steps=[1, 2, 2.5, 5, 10])
