"""The scores of one representation as a table: text for a terminal, HTML for a notebook."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

from bench.report.cards import column, in_table_order, is_secondary
from bench.report.escape import plain
from bench.report.tables import BOUNDS, shorten

if TYPE_CHECKING:
    from bench.representation import Scored

_HEAD = ("metric", "score", "floor", "ceiling", "direction")
_DIRECTIONS = {True: "↑", False: "↓", None: ""}


def to_text(scored: Scored, width: int = 100) -> str:
    """Plain text: what was scored, a line for each number, and notes; reasons stand where a number is missing."""
    lines = list(_fold(f"{shorten(plain(scored.title), 60)}: {_summary(scored)}", width))
    if not scored.what:
        lines += _fold(f"factors: {_factors(scored)}", width)
    entries = [(*cells, reason) for cells, reason in _entries(scored)]
    sizes = [max(len(row[i]) for row in [_HEAD, *entries]) for i in range(4)]
    lines += ["", _line(_HEAD, sizes), "-" * (sum(sizes) + 8 + len(_HEAD[-1]))]
    for (*cells, reason), following in zip(entries, [*entries[1:], ("",)], strict=True):
        lines.append(_line(tuple(cells), sizes))
        if reason == following[-1]:
            continue  # said once, under the last of them
        lines += textwrap.wrap(plain(reason), width, initial_indent=" " * 4, subsequent_indent=" " * 4)
    lines.append("")
    for note in _all_notes(scored):
        lines += _fold(plain(note), width)
    return "\n".join(lines)


def to_html(scored: Scored) -> str:
    """The same as an HTML fragment."""
    head = "".join(f"<th>{name}</th>" for name in (*_HEAD, "reason"))
    body = ""
    for cells, reason in _entries(scored):
        body += "<tr>" + "".join(f"<td>{html.escape(text)}</td>" for text in (*cells, plain(reason))) + "</tr>"
    factors = "" if scored.what else f". Factors: {_factors(scored)}"
    caption = html.escape(f"{plain(scored.title)}: {_summary(scored)}{factors}")
    notes = "".join(f"<li>{html.escape(plain(note))}</li>" for note in _all_notes(scored))
    table = f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f"{table}<ul>{notes}</ul>"


def _entries(scored: Scored) -> Iterator[tuple[tuple[str, ...], str]]:
    """((metric, score, floor, ceiling, direction), reason) of each number that tables show, in their order."""
    for key in in_table_order(scored):
        if is_secondary(key):
            continue
        of, value = column(key), scored[key]
        shown = "—" if value is None else f"{value:.4f}" if abs(value) < 1000 else f"{value:.4g}"
        bounds = ("—" if bound is None else f"{bound:g}" for bound in (of.floor, of.ceiling))
        yield (key, shown, *bounds, _DIRECTIONS[of.higher_is_better]), scored.reasons.get(key) or ""


def _summary(scored: Scored) -> str:
    if scored.what:
        return f"{scored.what}; protocol {scored.protocol}"
    if not scored.n_train:
        return f"a grid of codes, {_count(scored.n_latents, 'latent')}; protocol {scored.protocol}"
    rows = f"{scored.n_train:,} rows for fitting, {scored.n_test:,} for testing"
    return f"{rows}; {_count(scored.n_latents, 'latent')}; protocol {scored.protocol}"


def _factors(scored: Scored) -> str:
    texts = []
    for factor in scored.factors:
        kind = _count(factor["n_values"], "value") if factor["kind"] == "discrete" else "continuous"
        texts.append(f"{shorten(plain(factor['name']), 40)} ({kind})")
    return ", ".join(texts[:20]) + (f" and {len(texts) - 20} more" if len(texts) > 20 else "")


def _all_notes(scored: Scored) -> Iterator[str]:
    yield "↑ higher is better, ↓ lower is better"
    yield BOUNDS
    hidden = [key for key in in_table_order(scored) if is_secondary(key)]
    if hidden:
        yield f"also scored, on the rows for fitting: {', '.join(hidden)}"
    for note in scored.notes:
        yield f"note: {note}"


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


def _line(cells: tuple[str, ...], sizes: list[int]) -> str:
    padded = [cells[0].ljust(sizes[0]), *(cells[i].rjust(sizes[i]) for i in range(1, 4)), cells[4]]
    return "  ".join(padded).rstrip()


def _fold(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, subsequent_indent="    ", break_on_hyphens=False)
