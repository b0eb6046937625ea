"""The leaderboard page: one HTML file with every table of a store, that sorts and filters without asking any address.

The page's script draws the tables from JSON inside the page and writes every text as text, so a name from outside
stays a name; the content security policy admits that script alone, by its hash.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from bench.report.cards import Column, card_of, is_headline
from bench.report.escape import plain
from bench.report.frame import Score
from bench.report.tables import COSTS, Line, Table, cost_columns, decimals, format_cost, format_score

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Picture:
    """A picture of a run for the gallery.

    Attributes:
        table: index of the table that its run stands in.
        data: a ``data:image/png;base64,…`` address.
        kind: "traversal" or "swaps".
    """

    table: int
    method: str
    caption: str
    data: str
    kind: str = "traversal"


def page(
    found: Sequence[Table],
    *,
    methods: Mapping[str, Mapping[str, str]] | None = None,
    pictures: Sequence[Picture] = (),
) -> str:
    """The page as HTML.

    Args:
        methods: name → "title", "paper", "summary", "family", "verified", "source", "notes" of its card.
        pictures: of the gallery: traversals, and swaps, of the same inputs.
    """
    methods = methods or {}
    data = {
        "costs": list(COSTS.values()),
        "tables": [_table(table, methods) for table in found],
        "methods": {name: _printable(card) for name, card in methods.items()},
        "metrics": _metrics(found),
        "pictures": [_printable(vars(one)) for one in pictures],
    }
    script = (TEMPLATES / "board.js").read_text(encoding="utf-8")
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=StrictUndefined,
    )  # fmt: skip
    style = "".join((TEMPLATES / name).read_text(encoding="utf-8") for name in ("run.css", "board.css"))
    return environment.get_template("board.html").render(
        style=Markup(style), script=Markup(script), data=Markup(embedded(data)), n_tables=len(found),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        kinds={one.kind for one in pictures},
    )  # fmt: skip


def embedded(data: Any) -> str:
    """JSON that no text inside it can end or turn into markup."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _table(table: Table, methods: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    group = table.group
    digits = [decimals(table.lines, one) for one in table.columns]
    settings = dict(table.settings)
    said = {("source", group.source), ("budget", group.budget), ("protocol", group.protocol)}  # in the title
    return {
        "label": plain(group.label), "dataset": plain(group.dataset), "source": group.source, "budget": group.budget,
        "protocol": group.protocol,
        "header": [f"{name}: {plain(text)}" for name, text in table.header if (name, text) not in said],
        "columns": [_column(one) for one in table.columns],
        "lines": [_line(line, table, digits, methods, settings.get(line.label, "")) for line in table.lines],
        "notes": [f"not run: {plain(label)}: {plain(reason)}" for label, reason in table.skipped],
    }  # fmt: skip


def _column(of: Column) -> dict[str, Any]:
    card = card_of(of.key)
    return {
        "key": of.key, "arrow": of.arrow, "higher": of.higher_is_better, "floor": of.floor, "ceiling": of.ceiling,
        "low": of.bounds[0], "high": of.bounds[1], "card": card.name if card else "", "headline": is_headline(of.key),
    }  # fmt: skip


def _line(
    line: Line, table: Table, digits: Sequence[int], methods: Mapping[str, Mapping[str, str]], settings: str
) -> dict[str, Any]:
    costs = cost_columns(line.cell)
    return {
        "label": plain(line.label), "method": plain(line.cell.method), "reference": line.is_reference,
        "family": methods.get(line.cell.method, {}).get("family", "outside"),
        "seeds": line.seed_count, "loss": plain(line.loss), "settings": plain(settings),
        "scores": [
            _score(line.scores[one.key], n, one.key in line.best)
            for one, n in zip(table.columns, digits, strict=True)
        ],
        "costs": [{"value": costs[key], "text": format_cost(costs[key])} for key in COSTS],
    }  # fmt: skip


def _score(score: Score, digits: int, is_best: bool) -> dict[str, Any]:
    if score.estimate is None:
        reasons = dict.fromkeys(reason for _, reason in score.missing)
        return {"text": "—", "why": plain("; ".join(reasons))}
    one = score.estimate
    found: dict[str, Any] = {"text": format_score(score, digits), "mean": one.mean}
    if one.low is not None:
        found |= {"low": one.low, "high": one.high}
    return found | ({"best": True} if is_best else {})


def _metrics(found: Sequence[Table]) -> dict[str, dict[str, str]]:
    """The cards of all metrics that a table shows, by their name."""
    cards: dict[str, dict[str, str]] = {}
    for table in found:
        for one in table.columns:
            card = card_of(one.key)
            if card is not None and card.name not in cards:
                cards[card.name] = _printable(
                    {
                        name: getattr(card, name)
                        for name in ("title", "summary", "paper", "source", "blind_to", "verified")
                    }
                )
    return dict(sorted(cards.items()))


def _printable(card: Mapping[str, Any]) -> dict[str, Any]:
    return {name: plain(value) if isinstance(value, str) else value for name, value in card.items()}
