"""Equivariance error against the share of training sequences whose transformation is told."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.datasets.base import canonical_json
from bench.report.frame import Cell, Group
from bench.report.labels import few_ticks, title_of
from bench.report.style import BOUND_COLOUR, FORMATS, REFERENCE_COLOUR, caption, look, new_figure, save, style

PARAMETER = "labelled"
UNLABELLED = "ffrl_weak"
KEY = "equivariance_error/relative"


def draw_shares(group: Group, path: Path, formats: tuple[str, ...] = FORMATS) -> list[Path]:
    """Seeds as points, their mean with its interval for each share above 0; nothing with fewer than two shares.

    What was told nothing is a line across: share 0, where it was run, else the weakly supervised form.
    """
    families = shares_of(group)
    if not families:
        return []
    with style():
        figure = new_figure(6.2)
        axes = figure.subplots()
        ticks = set()
        for i, (label, cells) in enumerate(families.items()):
            shape = look(i)
            scores = [(share, cell.score(KEY)) for share, cell in cells]
            means = [(share, score.estimate) for share, score in scores if score.estimate is not None]
            axes.plot([share for share, _ in means], [one.mean for _, one in means], label=label, ms=2.6, **shape)
            for share, score in scores:
                ticks.add(share)
                axes.plot([share] * len(score.values), score.values, ls="none", marker="_", ms=5, mew=0.7,
                          color=shape["color"], alpha=0.6)  # fmt: skip
                one = score.estimate
                if one is not None and one.low is not None and one.high is not None:
                    axes.plot([share, share], [one.low, one.high], "-", color=shape["color"], lw=0.9)
        for cell in unlabelled(group):
            estimate = cell.score(KEY).estimate
            assert estimate is not None
            axes.axhline(
                estimate.mean, color=REFERENCE_COLOUR, ls="-.", lw=1.0, label=f"{group.cell_label(cell)}, no labels"
            )
            if estimate.low is not None and estimate.high is not None:
                axes.axhspan(estimate.low, estimate.high, color=REFERENCE_COLOUR, alpha=0.12, lw=0)
        axes.axhline(1.0, color=BOUND_COLOUR, ls="--", lw=0.9, label="still picture")
        axes.set_xscale("log")
        axes.minorticks_off()
        axes.set_xticks(sorted(ticks), [f"{100 * share:g} %" for share in sorted(ticks)])
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_locator(few_ticks(5))
        axes.grid(axis="y")
        axes.set_xlabel("training sequences with a label")
        axes.set_ylabel("equivariance error relative\nto a still picture")
        figure.legend(loc="outside lower center", ncols=2)
        caption(figure, f"{title_of(group)}\ndashes: seeds; line, bars: mean, 95 % t-interval (none for n < 3)")
        return save(figure, path, formats)


def shares_of(group: Group) -> dict[str, list[tuple[float, Cell]]]:
    """Method -> (share, cell) in increasing order, of cells that differ in their share alone; at least two each."""
    found: dict[tuple[str, str], list[tuple[float, Cell]]] = defaultdict(list)
    for cell in group.cells:
        params: dict[str, Any] = dict(cell.spec["method_params"])
        share = params.pop(PARAMETER, None)
        # an axis of shares is logarithmic: 0 has no place on it
        if share and cell.score(KEY).values:
            found[cell.method, canonical_json(params)].append((float(share), cell))
    several = [(method, sorted(cells, key=lambda one: one[0])) for (method, _), cells in found.items()]
    kept = [(method, cells) for method, cells in several if len(cells) > 1]
    names = [method for method, _ in kept]
    return {
        method if names.count(method) == 1 else f"{method} {names[:i].count(method) + 1}": cells
        for i, (method, cells) in enumerate(kept)
    }


def unlabelled(group: Group) -> Sequence[Cell]:
    """Scored cells that were told nothing."""
    scored = [cell for cell in group.cells if cell.score(KEY).values]
    none = [cell for cell in scored if cell.spec["method_params"].get(PARAMETER) == 0]
    return none or [cell for cell in scored if cell.method == UNLABELLED]
