"""Speeds over time: what truly acts, above what a method infers from the frames."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.report.style import BOUND_COLOUR, caption, is_narrow, look, new_figure, points, save, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bench.inspection.inferred_speeds import InferredSpeeds

WIDTH_CM = 17.0
MOST_COURSES, MOST_IN_COLUMN = 4, 2
APART = 0.02  # so that equal amounts do not hide each other
PARTS = ("potential part", "rotational part")


def draw_speeds(speeds: InferredSpeeds, path: Path, *, title: str = "") -> list[Path]:
    """PDF, SVG and PNG: a column for each course; the true amounts, then the inferred ones of each part of a flow.

    A flow has the colour of the transformation that it was matched to; flows that are none are grey.

    Raises:
        ValueError: arrays that do not fit.
    """
    n_courses, n_steps, n_kinds = speeds.true.shape
    n_fields = speeds.inferred.shape[3]
    fits = speeds.inferred.shape[0] == n_courses and speeds.inferred.shape[2] == n_steps
    if not fits or speeds.n_flows < 1 or n_fields % speeds.n_flows or len(speeds.flows) != n_kinds:
        raise ValueError(
            f"speeds: true {speeds.true.shape}, inferred {speeds.inferred.shape}, {speeds.n_flows} flows and matches "
            f"{speeds.flows} do not fit"
        )
    n_parts = n_fields // speeds.n_flows
    shown = min(n_courses, MOST_IN_COLUMN if is_narrow(WIDTH_CM) else MOST_COURSES)
    with style():
        figure = new_figure(2.9 + 2.7 * (1 + n_parts), WIDTH_CM)
        grid = figure.subplots(1 + n_parts, shown, sharex=True, sharey="row", squeeze=False)
        for i in range(shown):
            grid[0, i].set_title(speeds.courses[i], pad=3, fontsize=points(6.5))
            for kind in range(n_kinds):
                _draw_steps(grid[0, i], speeds.true[i, :, kind] + APART * (n_kinds - 1 - kind), _look(kind))
            for part in range(n_parts):
                own = slice(part * speeds.n_flows, (part + 1) * speeds.n_flows)
                _draw_inferred(grid[1 + part, i], speeds.inferred[i][..., own], speeds.flows)
            grid[-1, i].set_xlabel("step t")
            grid[-1, i].set_xticks(range(2, n_steps + 1, max(2, n_steps // 4)))
        for axes in grid[:, 0]:
            low, high = axes.get_ylim()
            axes.set_ylim(min(low, -0.1), max(high, 1.1))
        grid[0, 0].set_ylabel("true amounts")
        for part in range(n_parts):
            name = f"inferred,\n{PARTS[part]}" if n_parts == len(PARTS) else "inferred"
            grid[1 + part, 0].set_ylabel(name)
        handles, labels = _legend(speeds)
        figure.legend(
            handles, labels, loc="outside lower center", ncols=min(len(labels), 2 if is_narrow(WIDTH_CM) else 4)
        )
        caption(
            figure,
            f"{title}\ninferred from the true frames; lines: mean over "
            f"{speeds.inferred.shape[1]} test sequences, bands: their quartiles; flows are matched to transformations "
            "on training sequences, a flow of several has the colour of the first; equal true amounts stand apart a "
            "little",
        )
        return save(figure, path)


def _look(kind: int) -> dict[str, Any]:
    return {name: look(kind)[name] for name in ("color", "linestyle")}


def _draw_steps(axes: Axes, values: np.ndarray, shape: dict[str, Any]) -> None:
    steps = np.arange(len(values)) + 1
    axes.hlines(values, steps - 0.42, steps + 0.42, color=shape["color"], lw=1.6)
    axes.grid(axis="y")


def _draw_inferred(axes: Axes, values: np.ndarray, flows: tuple[int, ...]) -> None:
    """Values (n, n_steps, n_flows)."""
    steps = np.arange(values.shape[1]) + 1
    for flow in range(values.shape[2]):
        shape = _look(flows.index(flow)) if flow in flows else {"color": BOUND_COLOUR, "linestyle": "-"}
        low, high = np.quantile(values[..., flow], [0.25, 0.75], axis=0)
        axes.fill_between(steps, low, high, color=shape["color"], alpha=0.15, lw=0)
        axes.plot(steps, values[..., flow].mean(0), lw=1.2, **shape)
    axes.grid(axis="y")


def _legend(speeds: InferredSpeeds) -> tuple[list[Any], list[str]]:
    from matplotlib.lines import Line2D

    handles, labels = [], []
    for kind, (name, flow) in enumerate(zip(speeds.transformations, speeds.flows, strict=True)):
        handles.append(Line2D([], [], **_look(kind)))
        labels.append(f"{name}: flow {flow}")
    if set(range(speeds.n_flows)) - set(speeds.flows):
        handles.append(Line2D([], [], color=BOUND_COLOUR))
        labels.append("other flows")
    return handles, labels
