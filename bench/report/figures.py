"""Figures made from stored rows: scores by method, learning curves, and the correlations behind the MCC.

Every function takes one group of rows, writes PDF, SVG and PNG next to each other, and returns the paths.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.report.cards import Column
from bench.report.curves import draw_curves, draw_score_curves
from bench.report.frame import Cell, Defaults, Group, Row, groups, slugify
from bench.report.labels import MAX_PANELS, broken, few_ticks, looks, range_of, title_of
from bench.report.style import (
    BOUND_COLOUR,
    FORMATS,
    caption,
    characters,
    n_rows,
    new_figure,
    panels,
    points,
    save,
    style,
)
from bench.report.tables import Table, table_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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
    labels = [broken(f"{line.label} (n\u00a0=\u00a0{line.seed_count})", 20) for line in table.lines]
    heights = np.array([0.12 + 0.27 * (label.count("\n") + 1) for label in labels])  # cm, the unit of the y axes
    places = np.cumsum(heights) - heights / 2
    with style():
        figure = new_figure(2.0 + n_rows(len(columns)) * (1.3 + heights.sum()))
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
    shapes = looks(table.group)
    for line, place in zip(table.lines, places, strict=True):
        score = line.scores[of.key]
        estimate = score.estimate
        if estimate is None:
            continue
        shape = shapes[line.label]
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
    axes.xaxis.set_major_locator(few_ticks(3))
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(broken(f"{of.title} {range_of(of)}".rstrip(), characters(15)), fontsize=points(6.5))


def _score_legend(figure: Any, columns: Sequence[Column]) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=BOUND_COLOUR, ls=":", lw=0.9), Line2D([], [], color=BOUND_COLOUR, ls="--", lw=0.9)]
    if any(c.floor is not None or c.ceiling is not None for c in columns):
        figure.legend(
            handles, ["floor: noise codes", "ceiling: one copy per factor"], loc="outside lower center", ncols=2
        )


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
        bar.set_label(f"|correlation|, {_correlation_kind(metric)}, 0 to 1", fontsize=points(6.5))
        where = f"seed {row['spec']['seed']}, the median of n = {len(kept)}"
        head = f"{group.cell_label(cell)}: {title_of(group)}"
        caption(figure, f"{head}\n{metric} {_value(row, metric):.3f} at {where}; frames: assigned pairs")
        return save(figure, path, formats)


def _annotate(axes: Axes, matrix: np.ndarray) -> None:
    """Two digits in each field, where they fit."""
    if matrix.shape[1] > 12:
        return
    for (i, j), value in np.ndenumerate(matrix):
        text = f"{value:.2f}".lstrip("0") if value < 0.995 else "1"
        axes.text(
            j, i, text, ha="center", va="center", fontsize=points(5.5), color="white" if value > 0.55 else "black"
        )


def _frame_assigned(axes: Axes, assignment: Sequence[int | None], order: Sequence[int]) -> None:
    from matplotlib.patches import Rectangle

    for i, latent in enumerate(assignment):
        if latent is not None:
            corner = (order.index(latent) - 0.46, i - 0.46)
            axes.add_patch(Rectangle(corner, 0.92, 0.92, fill=False, ec="#BB5566", lw=1.6))


def _correlation_kind(metric: str) -> str:
    inside = re.search(r"\[(\w+)", metric)
    return inside.group(1).capitalize() if inside else "absolute"


def _value(row: Row, metric: str) -> float | None:
    entry = row["metrics"].get(metric)
    return None if entry is None else entry["value"]
