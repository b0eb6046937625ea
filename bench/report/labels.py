"""What the figures of one group share: the look of a method, titles, labels on several lines, few ticks."""

from __future__ import annotations

import re
from typing import Any

from bench.report.cards import Column
from bench.report.frame import Group
from bench.report.style import REFERENCE_COLOUR, look

MAX_PANELS = 8  # on one figure; more go to further files


def looks(group: Group) -> dict[str, dict[str, Any]]:
    """Label → colour, line and marker, so that a method looks the same in every figure of the group."""
    trained = [cell for cell in group.cells if not cell.is_reference and (cell.done or cell.lost)]
    found = {group.cell_label(cell): look(i) for i, cell in enumerate(trained)}
    plain = {"color": REFERENCE_COLOUR, "linestyle": ":", "marker": "o"}
    return {label: found.get(label, plain) for label in group.labels.values()}


def title_of(group: Group) -> str:
    """What a caption says first."""
    return f"{group.label}, {group.source}, budget {group.budget}, protocol {group.protocol}"


def broken(text: str, width: int = 17) -> str:
    """``text`` on lines of about ``width`` characters, broken before ``[ / _`` or a space and after a comma."""
    lines = [""]
    for part in re.findall(r"[\[/_ ]?[^\[/_, ]+,?|.", text):
        if lines[-1] and len(lines[-1]) + len(part) > width and part not in (" ↑", " ↓"):
            lines.append("")
        lines[-1] += part if lines[-1] else part.lstrip(" ")
    return "\n".join(lines)


def range_of(of: Column) -> str:
    """The bounds of a number, as ``(0 to 1)``."""
    low, high = of.bounds
    if low is None:
        return ""
    return f"(from\u00a0{low:g})" if high is None else f"({low:g}\u00a0to\u00a0{high:g})"


def few_ticks(n: int) -> Any:
    """Places for about ``n`` round numbers on an axis."""
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(n, steps=[1, 2, 2.5, 5, 10])
