"""``bench leaderboard``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bench.cli.options import data_root_option, filters, results_option, stored_rows

N_LATENTS, N_VALUES = 6, 7  # of a picture in the gallery


@click.command("leaderboard")
@results_option
@click.option("--output", default="leaderboards", show_default=True, metavar="DIR", help="Folder to write to.")
@click.option(
    "--gallery", is_flag=True, help="Add traversals of the same input by every method whose checkpoint is in the store."
)
@data_root_option
@filters
def command(
    results: str, output: str, gallery: bool, data_root: str | None,
    methods: str | None, datasets: str | None, budget: str | None,
) -> int:  # fmt: skip
    """Write the leaderboard from stored rows: a page that sorts and filters (HTML), Markdown and CSV.

    \b
    Examples:
      bench leaderboard
      bench leaderboard --gallery --datasets dsprites,shapes3d
    """
    from bench.cli.results import defaults_of
    from bench.report.leaderboard import write

    rows = stored_rows(results, methods, datasets, budget)
    pictures = _pictures(rows, results, data_root) if gallery else []
    for path in write(rows, Path(output), defaults_of, _method_cards(), pictures):
        click.echo(str(path))
    if gallery and not pictures:
        click.echo("bench: no checkpoint of these rows is in the store, so the gallery is empty", err=True)
    return 0


def _method_cards() -> dict[str, dict[str, str]]:
    from bench import registry

    fields = ("title", "paper", "summary", "family", "verified", "source", "notes")
    return {
        name: {field: str(getattr(entry.card, field)) for field in fields} for name, entry in registry.methods().items()
    }


def _pictures(rows: list[dict[str, Any]], results: str, data_root: str | None) -> list[Any]:
    """Traversals of one run of each cell that still has its checkpoint, all from the same evaluation row."""
    from bench.cli.results import defaults_of
    from bench.opening import Folders
    from bench.report.board import Picture
    from bench.report.frame import groups
    from bench.report.strips import mosaic
    from bench.report.traverse import ranges_of
    from bench.trained import NotTraversable, assigned, revive

    folders = Folders.from_environment(results, data_root)
    found = []
    for i, group in enumerate(groups(rows, defaults_of)):
        for cell in group.cells:
            for row in cell.done:
                try:
                    trained = revive(row, folders)
                except NotTraversable:
                    continue
                factors = assigned(row)
                ranges = ranges_of(trained.usual_codes(), 0.01, 0.99)
                picture = mosaic(trained.decode, trained.start(0), ranges, factors, N_LATENTS, N_VALUES)
                caption = f"seed {row['spec']['seed']}; rows: {picture.caption}"
                found.append(Picture(i, group.cell_label(cell), caption, picture.source))
                break  # one seed of a cell is enough for a look
    return found
