"""Figures of ``bench.report.study``, and ranks and profiles over data sets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.report.blocks import Block
from bench.report.cards import column
from bench.report.frame import Group
from bench.report.labels import broken, title_of
from bench.report.statistics import average_ranks, friedman, nemenyi_critical_difference, performance_profile
from bench.report.study import agreement, selections, variance_shares
from bench.report.style import FORMATS, caption, look, new_figure, points, save, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PARTS = (("methods", "#004488"), ("parameters", "#ddaa33"), ("seeds", "#bbbbbb"))  # dark to light: readable in grey
MOST_KEYS = 18


def draw_agreement(group: Group, keys: Sequence[str], path: Path, formats: tuple[str, ...] = FORMATS) -> list[Path]:
    """Rank correlation of metrics over the trained rows of a group, as a matrix with its numbers."""
    found = agreement(group, keys[:MOST_KEYS], {key: column(key).higher_is_better for key in keys})
    if found is None:
        return []
    n = len(found.keys)
    with style():
        figure = new_figure(3.2 + 0.75 * n)
        axes = figure.subplots()
        axes.imshow(found.correlation, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
        labels = [broken(key, 26) for key in found.keys]
        axes.set_xticks(range(n), labels, rotation=90)
        axes.set_yticks(range(n), labels)
        axes.tick_params(length=0, labelsize=points(6))
        for i, j in np.ndindex(n, n):
            value = found.correlation[i, j]
            axes.text(j, i, f"{value:.1f}".replace("-0.0", "0.0"), ha="center", va="center", fontsize=points(5.5),
                      color="white" if abs(value) > 0.6 else "black")  # fmt: skip
        caption(
            figure,
            f"{title_of(group)}\nSpearman rank correlation over {found.n} trained runs; +1: both metrics call the same "
            "runs better",
        )
        return save(figure, path, formats)


def draw_variance(group: Group, keys: Sequence[str], path: Path, formats: tuple[str, ...] = FORMATS) -> list[Path]:
    """For each metric, how much of its variance lies between methods, between their parameters, between seeds."""
    found = [(key, shares) for key in keys[:MOST_KEYS] if (shares := variance_shares(group.cells, key)) is not None]
    if not found:
        return []
    with style():
        figure = new_figure(3.0 + 0.55 * len(found))
        axes = figure.subplots()
        places = np.arange(len(found))
        left = np.zeros(len(found))
        for part, colour in PARTS:
            widths = np.array([getattr(shares, part) for _, shares in found])
            axes.barh(places, widths, left=left, color=colour, edgecolor="white", linewidth=0.6, label=part)
            left += widths
        axes.set_yticks(places, [broken(key, 26) for key, _ in found])
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.set_xlabel("share of the variance over runs")
        axes.tick_params(axis="y", length=0)
        figure.legend(loc="outside lower center", ncols=3)
        n = max(shares.n for _, shares in found)
        caption(
            figure,
            f"{title_of(group)}\nvariance of each score over {n} trained runs: between methods, between parameters of "
            "one method, between seeds of one cell",
        )
        return save(figure, path, formats)


def draw_selection(
    group: Group, key: str, criteria: Sequence[str], path: Path, formats: tuple[str, ...] = FORMATS
) -> list[Path]:
    """For each method with several cells: what a criterion without labels chooses, the best cell, and the mean."""
    higher = column(key).higher_is_better is not False
    by = {
        criterion: selections(
            group.cells,
            key,
            criterion,
            higher_is_better=higher,
            criterion_is_higher=column(criterion).higher_is_better is not False,
        )
        for criterion in criteria
    }
    methods = list(dict.fromkeys(one.method for found in by.values() for one in found))
    if not methods:
        return []
    with style():
        figure = new_figure(2.9 + 0.35 * len(by) + 0.6 * len(methods))
        axes = figure.subplots()
        for i, (criterion, found) in enumerate(by.items()):
            for one in found:
                place = methods.index(one.method)
                axes.plot([one.mean, one.best], [place, place], color="#bbbbbb", lw=1, zorder=1)
                axes.plot(one.mean, place, "|", color="black", ms=7, label="mean of all cells")
                axes.plot(one.best, place, "D", color="black", ms=4, mfc="white", label="best cell (needs labels)")
                shape = look(i)
                axes.plot(
                    one.chosen, place, shape["marker"], color=shape["color"], ms=5, label=f"chosen by {criterion}"
                )
        handles, labels = axes.get_legend_handles_labels()
        unique = dict(zip(labels, handles, strict=True))
        figure.legend(unique.values(), unique.keys(), loc="outside lower center", ncols=1)
        axes.set_yticks(range(len(methods)), methods)
        axes.set_ylim(len(methods) - 0.5, -0.5)
        axes.set_xlabel(column(key).title)
        caption(figure, f"{title_of(group)}\nwhat choosing parameters without labels costs")
        return save(figure, path, formats)


def draw_ranks(block: Block, path: Path, formats: tuple[str, ...] = FORMATS) -> list[Path]:
    """Average ranks over data sets with Nemenyi's critical difference (Demšar 2006)."""
    means, methods = block.means, list(block.methods)
    higher = column(block.key).higher_is_better is not False
    ranks = average_ranks(means, higher)
    difference = nemenyi_critical_difference(len(methods), len(block.datasets))
    order = np.argsort(ranks, kind="stable")
    with style():
        figure = new_figure(2.6 + 0.5 * len(methods))
        axes = figure.subplots()
        for place, i in enumerate(order):
            axes.plot([ranks[i], ranks[i] + difference], [place, place], color="#bbbbbb", lw=3, solid_capstyle="butt")
            axes.plot(ranks[i], place, "o", color="#004488", ms=4.5)
        axes.axvline(ranks[order[0]] + difference, color="#a8324a", ls="--", lw=0.9)
        axes.set_yticks(range(len(methods)), [broken(methods[i], 26) for i in order])
        axes.set_ylim(len(methods) - 0.4, -0.6)
        axes.set_xlabel("average rank (1 is best)")
        p = friedman(means if higher else -means).p
        caption(
            figure,
            f"{block.title}\ngrey: critical difference {difference:.2f} (Nemenyi, 5 %); right of the dashed line: "
            f"worse than the first\nFriedman's test that all rank alike: p = {p:.2g}",
        )
        return save(figure, path, formats)


def draw_profiles(block: Block, path: Path, formats: tuple[str, ...] = FORMATS) -> list[Path]:
    """Share of runs, over all data sets, that score above each value (Agarwal et al. 2021)."""
    every = np.concatenate([one for runs in block.methods.values() for one in runs])
    thresholds = np.linspace(every.min(), every.max(), 201)
    with style():
        figure = new_figure(8.5)
        axes: Axes = figure.subplots()
        for i, (method, runs) in enumerate(block.methods.items()):
            shape: dict[str, Any] = {name: look(i)[name] for name in ("color", "linestyle")}
            axes.plot(thresholds, performance_profile(runs, thresholds), label=method, lw=1.2, **shape)
        axes.set_xlabel(f"τ, {column(block.key).title}")
        axes.set_ylabel("share of runs above τ")
        axes.set_ylim(-0.02, 1.02)
        figure.legend(loc="outside lower center", ncols=3)
        caption(figure, f"performance profiles\n{block.title}; {block.n_runs} runs")
        return save(figure, path, formats)
