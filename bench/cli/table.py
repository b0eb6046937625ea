"""``bench table``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from bench.cli.completion import list_of
from bench.cli.options import filters, results_option, stored_rows
from bench.registry import UsageError


@click.command("table")
@click.option("--format", "form", type=click.Choice(["text", "md", "csv", "latex"]), default="text", show_default=True)
@click.option(
    "--metrics", metavar="KEYS", help="Only these columns, in this order: mcc[spearman],mig[hist20]",
    shell_complete=list_of("keys"),
)  # fmt: skip
@click.option("--rows", "as_rows", is_flag=True, help="List the stored rows instead: hash, run, status.")
@click.option("--output", "-o", metavar="FILE", help="Write to a file instead of printing.")
@results_option
@filters
def command(
    form: str, metrics: str | None, as_rows: bool, output: str | None, results: str,
    methods: str | None, datasets: str | None, budget: str | None,
) -> int:  # fmt: skip
    """Print the comparison tables of stored rows: mean and 95 % interval over seeds, one table per data set.

    \b
    Examples:
      bench table
      bench table --datasets natural_sprites --format latex -o table.tex
    """
    from bench.cli.results import defaults_of
    from bench.report import render, tables
    from metrics.registry import split_ids

    rows = stored_rows(results, methods, datasets, budget)
    if as_rows:
        text = "".join(_row_line(row) for row in rows)
    else:
        keys = split_ids(metrics) if metrics is not None else None
        try:
            text = render.render(tables.tables(rows, metrics=keys, defaults=defaults_of), form)  # type: ignore[arg-type]
        except ValueError as error:
            raise UsageError(f"--metrics: {error}") from None
    if output is None:
        sys.stdout.write(text)
        return 0
    path = Path(output)
    if not path.parent.is_dir():
        raise UsageError(f"--output {path}: there is no folder {path.parent}")
    path.write_text(text, encoding="utf-8")
    return 0


def _row_line(row: dict[str, Any]) -> str:
    from bench.report.escape import plain

    spec = row["spec"]
    what = f"{spec['method']:<16} {spec['dataset']:<18} {spec['budget']:<8} seed {spec['seed']:<4}"
    reason = f"  {row['reason']}" if row["reason"] else ""
    return plain(f"{row['hash']}  {what} {row['status']}{reason}") + "\n"
