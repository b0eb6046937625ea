"""Figures of ``bench.report.aggregates``: intervals of each aggregate, and the chance that one method beats another."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.report.aggregates import MOST_PAIRS, Summary
from bench.report.labels import broken, few_ticks
from bench.report.style import BOUND_COLOUR, FORMATS, caption, is_narrow, new_figure, points, save, style

WIDE_CM = 16.0
COLOUR = "#004488"
BOUNDS = {"random_codes": ":", "oracle": "--"}


def draw_aggregates(summary: Summary, path: Path, formats: tuple[str, ...] = FORMATS) -> list[Path]:
    """A panel for each aggregate with every method's value and interval, best first; none without aggregates."""
    if not summary.aggregates:
        return []
    block, methods = summary.block, summary.methods
    # In a narrow panel noise at one end and the oracle at the other leave no room for the intervals between them.
    bounds = {} if is_narrow(WIDE_CM) else {one: line for one, line in BOUNDS.items() if one in block.references}
    with style():
        figure = new_figure(2.8 + 0.42 * len(methods), WIDE_CM)
        grid = figure.subplots(1, len(summary.aggregates), sharex=True, sharey=True)
        for axes, (name, of) in zip(grid, summary.aggregates.items(), strict=True):
            for place, label in enumerate(methods):
                v = of[label]
                if v.low is not None and v.high is not None:
                    axes.plot([v.low, v.high], [place, place], color=COLOUR, lw=4, alpha=0.35, solid_capstyle="butt")
                axes.plot(v.value, place, "|", color=COLOUR, ms=8, mew=1.6)
            for label, line in bounds.items():
                axes.axvline(of[label].value, color=BOUND_COLOUR, ls=line, lw=0.9, zorder=0)
            axes.set_title(f"{name} {summary.column.arrow}")
            axes.xaxis.set_major_locator(few_ticks(3 if is_narrow(WIDE_CM) else 5))
            axes.grid(axis="x")
            axes.tick_params(axis="y", length=0)
        grid[0].set_yticks(range(len(methods)), [broken(label, 26) for label in methods])
        grid[0].set_ylim(len(methods) - 0.4, -0.6)
        drawn = [f"{'dotted' if line == ':' else 'dashed'}: {one}" for one, line in bounds.items()]
        caption(
            figure,
            f"{block.title}\n{block.n_runs} runs; bars: 95 % interval of a stratified bootstrap, of other seeds on "
            f"these data sets{'; ' + ', '.join(drawn) if drawn else ''}",
        )
        return save(figure, path, formats)


def draw_improvement(summary: Summary, path: Path, formats: tuple[str, ...] = FORMATS) -> list[Path]:
    """The chance of every pair: a line with its interval for few methods, a matrix for many."""
    draw = _draw_lines if len(summary.pairs) <= MOST_PAIRS else _draw_matrix
    return draw(summary, path, formats)


def _draw_lines(summary: Summary, path: Path, formats: tuple[str, ...]) -> list[Path]:
    pairs = summary.pairs
    with style():
        figure = new_figure(2.8 + 0.45 * len(pairs))
        axes = figure.subplots()
        axes.axvline(0.5, color=BOUND_COLOUR, ls="--", lw=0.9, zorder=0)
        for place, pair in enumerate(pairs):
            v = pair.chance
            if v.low is not None and v.high is not None:
                axes.plot([v.low, v.high], [place, place], color=COLOUR, lw=4, alpha=0.35, solid_capstyle="butt")
            axes.plot(v.value, place, "|", color=COLOUR, ms=8, mew=1.6)
        axes.set_yticks(range(len(pairs)), [f"{pair.first} > {pair.second}" for pair in pairs])
        axes.set_ylim(len(pairs) - 0.4, -0.6)
        axes.set_xlim(-0.02, 1.02)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("chance that a run is better")
        caption(
            figure, f"{summary.block.title}\nprobability of improvement, bars: 95 % interval of a stratified bootstrap"
        )
        return save(figure, path, formats)


def _draw_matrix(summary: Summary, path: Path, formats: tuple[str, ...]) -> list[Path]:
    methods = list(summary.methods)
    n = len(methods)
    chance, is_decided = np.full((n, n), np.nan), np.zeros((n, n), bool)
    for pair in summary.pairs:
        i, j = methods.index(pair.first), methods.index(pair.second)
        chance[i, j], chance[j, i] = pair.chance.value, 1 - pair.chance.value
        is_decided[i, j] = is_decided[j, i] = pair.is_decided
    with style():
        figure = new_figure(2.4 + 0.62 * n, WIDE_CM)
        axes = figure.subplots()
        axes.imshow(chance, cmap="RdBu", vmin=0, vmax=1, aspect="auto", alpha=np.where(is_decided, 1.0, 0.25))
        axes.set_xticks(range(n), [broken(label, 16) for label in methods], rotation=90)
        axes.set_yticks(range(n), [broken(label, 26) for label in methods])
        axes.tick_params(length=0)
        axes.set_xlabel("than a run of")
        axes.set_ylabel("chance that a run of … is better")
        size = points(6.5) * min(1.0, (11 if is_narrow(WIDE_CM) else 18) / n)
        for i, j in np.ndindex(n, n):
            if i != j:
                is_dark = is_decided[i, j] and abs(chance[i, j] - 0.5) > 0.35
                axes.text(j, i, f"{100 * chance[i, j]:.0f}", ha="center", va="center", fontsize=size,
                          color="white" if is_dark else "black")  # fmt: skip
        caption(
            figure,
            f"{summary.block.title}\nprobability of improvement in %: a run of the row is better than one of the "
            "column on the same data set; pale: the 95 % interval of a stratified bootstrap holds one half",
        )
        return save(figure, path, formats)
