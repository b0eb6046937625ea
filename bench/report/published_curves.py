"""Published numbers over a parameter as curves, ours as points with intervals beside them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.report.labels import few_ticks
from bench.report.paper_tables import Entry
from bench.report.papers import PaperTable
from bench.report.style import FORMATS, caption, look, new_figure, save, style


@dataclass(frozen=True)
class Curve:
    """One published curve and our points on it.

    Attributes:
        label: as the legend has it.
        published: (parameter, value), by parameter.
        ours: (parameter, mean, lower and upper end of the interval or None, seeds), by parameter.
    """

    label: str
    published: tuple[tuple[float, float], ...]
    ours: tuple[tuple[float, float, float | None, float | None, int], ...]


def curve(label: str, table: PaperTable, metric: str, entries: Sequence[Entry], parameter: str) -> Curve:
    """The curve of a table whose lines name the parameter, as in "alpha=0.5; d=8".

    Args:
        metric: as published.
        entries: our lines of the table.
    """
    published = {
        place: one.value
        for one in table.published
        if one.metric == metric and (place := value_of(getattr(one, table.lines), parameter)) is not None
    }
    ours = [
        (place, one.ours.mean, one.ours.low, one.ours.high, one.ours.n)
        for one in entries
        if one.ours is not None and (place := value_of(one.method, parameter)) is not None
    ]
    return Curve(label, tuple(sorted(published.items())), tuple(sorted(ours)))


def value_of(text: str, parameter: str) -> float | None:
    """The number that "…; parameter=NUMBER; …" gives, or None."""
    found = re.search(rf"(?:^|[;,\s]){re.escape(parameter)}\s*=\s*([-+]?\d+(?:\.\d+)?)(?=$|[;,\s])", text)
    return float(found.group(1)) if found else None


def draw_published_curves(
    curves: Sequence[Curve], path: Path, *, x_label: str, y_label: str, title: str, formats: tuple[str, ...] = FORMATS
) -> list[Path]:
    """A line for each published curve and our points with their 95 % intervals; nothing where there is neither.

    Args:
        path: without ending.
        title: what the caption says first.
    """
    shown = [one for one in curves if one.published or one.ours]
    if not shown:
        return []
    with style():
        figure = new_figure(6.6)
        axes = figure.subplots()
        n_seeds: set[int] = set()
        for i, one in enumerate(shown):
            shape = look(i)
            colour = shape["color"]
            if one.published:
                x, y = zip(*one.published, strict=True)
                axes.plot(x, y, color=colour, ls=shape["linestyle"], label=f"{one.label}, published")
            if one.ours:
                axes.plot(
                    [point[0] for point in one.ours], [point[1] for point in one.ours], ls="none",
                    marker=shape["marker"], color=colour, mfc="white", ms=4.5, label=f"{one.label}, ours",
                )  # fmt: skip
            for place, _, low, high, n in one.ours:
                n_seeds.add(n)
                if low is not None and high is not None:
                    axes.plot([place, place], [low, high], "-_", color=colour, lw=0.9, ms=4)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.yaxis.set_major_locator(few_ticks(5))
        axes.grid(axis="y")
        figure.legend(loc="outside lower center", ncols=2)
        text = "lines: published"
        if n_seeds:
            seeds = str(max(n_seeds)) if len(n_seeds) == 1 else f"{min(n_seeds)} to {max(n_seeds)}"
            text += f"; symbols: ours, mean of n = {seeds} with its 95 % t-interval (none for n < 3)"
        else:
            text += "; ours: not run"
        caption(figure, f"{title}\n{text}")
        return save(figure, path, formats)
