"""What ``bench run`` leaves for people: the tables and figures of its grid."""

from __future__ import annotations

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


def write_results(rows: Sequence[Mapping[str, Any]], results: Path, with_figures: bool) -> None:
    """Print the tables of ``rows``; write them and the figures under the store, one set for each group."""
    from bench.report import figures, render, tables
    from bench.store import write_atomically

    made: list[Path] = []
    for table in tables.tables(rows, defaults=defaults_of):
        click.echo(render.to_text(table))
        for ending, text in (("md", render.to_markdown(table)), ("csv", render.to_csv([table]))):
            path = results / "tables" / f"{table.group.slug}.{ending}"
            write_atomically(path, text)
            made.append(path)
        if with_figures:
            made += figures.draw_all(table.group.rows, results / "figures" / table.group.slug, defaults=defaults_of)
    click.echo("Tables and figures:", err=True)
    for path in made:
        if path.suffix in (".md", ".csv", ".png"):
            click.echo(f"  {path}", err=True)
