"""``bench leaderboard``."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.options import filters, results_option, stored_rows


@click.command("leaderboard")
@results_option
@click.option("--output", default="leaderboards", show_default=True, metavar="DIR", help="Folder to write to.")
@filters
def command(results: str, output: str, methods: str | None, datasets: str | None, budget: str | None) -> int:
    """Write the leaderboard pages (Markdown, CSV) from stored rows.

    Example: bench leaderboard
    """
    from bench.cli.results import defaults_of
    from bench.report.leaderboard import write

    for path in write(stored_rows(results, methods, datasets, budget), Path(output), defaults_of):
        click.echo(str(path))
    return 0
