"""What ``bench run`` leaves for people: the tables and figures of its grid."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click


def defaults_of(kind: str, name: str, budget: str) -> Mapping[str, Any]:
    """Default parameters of a registered method or data set at a budget; empty for names not registered here."""
    import dataclasses

    from bench import registry

    entry = (registry.methods() if kind == "method" else registry.datasets()).get(name)
    if entry is None:
        return {}
    values = {field.name: field.default for field in dataclasses.fields(entry.config)}
    return values | dict(entry.card.budgets.get(budget, {}))


def write_results(rows: Sequence[Mapping[str, Any]], results: Path) -> None:
    """Print the tables of ``rows``; write them and the figures under the store, one set for each group."""
    from bench.report import figures, render, tables
    from bench.store import write_atomically

    made: list[Path] = []
    for table in tables.tables(rows, defaults=defaults_of):
        click.echo(render.to_text(table))
        name = file_name(table.title)
        for ending, text in (("md", render.to_markdown(table)), ("csv", render.to_csv([table]))):
            path = results / "tables" / f"{name}.{ending}"
            write_atomically(path, text)
            made.append(path)
        group = [row for cell in table.group.cells for row in cell.rows]
        made += figures.draw_all(group, results / "figures" / name, defaults=defaults_of)
    click.echo("Tables and figures:", err=True)
    for path in made:
        click.echo(f"  {path}", err=True)


def file_name(title: str) -> str:
    """A table's title as a file name: lower case letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
