"""Cards as Markdown: the page of all methods (``docs/methods.md``), and plain tables of data sets and metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.report.escape import markdown

FAMILIES = ("static", "temporal", "sequential", "transformation", "reference")
_HEAD = """\
# Methods

What `bench list methods --format md` prints: the cards of all registered methods. `bench show NAME` adds parameters and
budgets. Each card stands for itself, so what several methods share is said with each.
"""


def methods_page(cards: Mapping[str, Any], sweeps: Mapping[str, Any]) -> str:
    """The page of these method cards and of the sweeps over several methods; families one after the other."""
    order = sorted(cards, key=lambda name: (FAMILIES.index(cards[name].family), name))
    rows = [
        [f"[`{name}`](#{name})", _cell(card.title), _cell(card.paper), card.family, card.view]
        for name, card in ((name, cards[name]) for name in order)
    ]
    parts = [_HEAD, _table(["name", "method", "paper", "family", "view"], rows)]
    for sweep in sweeps.values():
        methods = ", ".join(f"`{method}`" for method in sweep.methods)
        parts.append(f"`--methods {sweep.name}`: {_cell(sweep.summary)} {methods}. {_cell(sweep.paper)}.\n")
    parts += [_section(name, cards[name]) for name in order]
    return "\n".join(parts)


def facts_page(title: str, facts: Mapping[str, Mapping[str, Any]]) -> str:
    """A table with one line per name and one column per fact."""
    columns = list(dict.fromkeys(key for fact in facts.values() for key in fact))
    rows = [[f"`{name}`", *(_cell(fact.get(key, "")) for key in columns)] for name, fact in facts.items()]
    return f"# {title}\n\n{_table(['name', *columns], rows)}"


def _section(name: str, card: Any) -> str:
    """What a card says of one method, one paragraph each."""
    views = {"supervised": "is told the transformation's name in training",
             "batch_dependent": "codes of one observation depend on the others encoded with it",
             "reads_factors": "reads the ground truth"}  # fmt: skip
    facts = {
        "Follows": card.source,
        "Differences, traps, codes": card.notes,
        "Verified": card.verified,
        "Note": "; ".join(text for field, text in views.items() if getattr(card, field)),
        "Sweeps": ", ".join(f"{name}[grid={grid}] ({len(points)} points)" for grid, points in card.grids.items()),
    }
    lines = [f"- **{label}.** {_cell(text)}" for label, text in facts.items() if text]
    return "\n".join([f"## {name}", "", _cell(card.summary), "", *lines, ""])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(value: Any) -> str:
    return markdown(", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value))
