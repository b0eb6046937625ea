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
@click.option("--cost", is_flag=True, help="Print time of a training step and peak memory instead.")
@click.option(
    "--against", metavar="METHOD", shell_complete=list_of("methods"),
    help="With --cost: what ratios are to: betavae[network=flow]. [default: betavae]",
)  # fmt: skip
@click.option("--output", "-o", metavar="FILE", help="Write to a file instead of printing.")
@results_option
@filters
def command(
    form: str, metrics: str | None, as_rows: bool, cost: bool, against: str | None, output: str | None, results: str,
    methods: str | None, datasets: str | None, budget: str | None,
) -> int:  # fmt: skip
    """Print the comparison tables of stored rows: mean and 95 % interval over seeds, one table per data set.

    \b
    Examples:
      bench table
      bench table --datasets natural_sprites --format latex -o table.tex
      bench table --cost --datasets transforming_mnist
    """
    from bench.cli.results import defaults_of
    from bench.report import render, tables
    from metrics.registry import split_ids

    if against is not None and not cost:
        raise UsageError("--against says what costs are compared with; write `bench table --cost --against METHOD`")
    if cost and (as_rows or metrics is not None):
        raise UsageError(f"--cost prints a table of its own; leave out {'--rows' if as_rows else '--metrics'}")
    rows = stored_rows(results, methods, datasets, budget)
    if cost:
        text = _costs(rows, stored_rows(results, None, datasets, budget), against or "betavae", form)
    elif as_rows:
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


def _costs(rows: list[dict[str, Any]], every: list[dict[str, Any]], against: str, form: str) -> str:
    """Costs of the methods in ``rows``; what they are compared with may be any of ``every``."""
    import dataclasses
    from collections.abc import Sequence

    from bench import selection
    from bench.cli.results import defaults_of
    from bench.report.contrasts import Side
    from bench.report.costs import cost_tables, render_costs
    from bench.report.frame import Cell, Group, format_value
    from bench.running.grid import resolved_methods

    named = selection.parse(against, "--against")
    if len(named) > 1:
        raise UsageError(f"--against takes one method, got '{against}'")

    def choose(group: Group) -> Sequence[Cell]:
        """The cell with exactly these parameters, else all that have those which were typed."""
        found = resolved_methods(against, group.budget, "--against")
        side = Side(against, tuple((name, dataclasses.asdict(config)) for name, config in found))
        exact = [cell for some in side.cells(group) for cell in some]
        typed = named[0].params.items()
        return exact or [
            cell
            for cell in group.cells
            if cell.method == named[0].name
            and all(format_value(cell.spec["method_params"].get(key)) == value for key, value in typed)
        ]

    resolved_methods(against, "quick", "--against")  # unknown names and parameters, before rows are looked at
    found = cost_tables(every, against, choose, defaults_of, {str(row["spec"]["method"]) for row in rows})
    if not found:
        raise UsageError("no finished row that matches was trained in steps, so there are no costs to compare")
    return render_costs(found, form)


def _row_line(row: dict[str, Any]) -> str:
    from bench.report.escape import plain

    spec = row["spec"]
    what = f"{spec['method']:<16} {spec['dataset']:<18} {spec['budget']:<8} seed {spec['seed']:<4}"
    reason = f"  {row['reason']}" if row["reason"] else ""
    return plain(f"{row['hash']}  {what} {row['status']}{reason}") + "\n"
