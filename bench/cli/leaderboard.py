"""``bench leaderboard``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.options import data_root_option, filters, results_option, stored_rows
from bench.registry import UsageError

if TYPE_CHECKING:
    from bench.opening import Folders
    from bench.report.board import Picture

N_LATENTS, N_VALUES = 6, 7  # of a traversal in the gallery
N_CONTENTS, N_MOTIONS = 3, 2  # of swaps


@click.command("leaderboard")
@results_option
@click.option("--output", default="leaderboards", show_default=True, metavar="DIR", help="Folder to write to.")
@click.option(
    "--gallery", is_flag=True,
    help="Add traversals, and swaps of sequences, of the same inputs by every method whose checkpoint is in the store.",
)  # fmt: skip
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


def _pictures(rows: list[dict[str, Any]], results: str, data_root: str | None) -> list[Picture]:
    """Of one run of each cell that still has its checkpoint: traversals and swaps, all from the same inputs."""
    from bench.cli.results import defaults_of
    from bench.inspection.trained import NotTraversable
    from bench.opening import Folders
    from bench.report.board import Picture
    from bench.report.frame import groups

    folders = Folders.from_environment(results, data_root)
    found = []
    for kind, draw in (("traversal", _traversal), ("swaps", _swaps)):
        for i, group in enumerate(groups(rows, defaults_of)):
            for cell in group.cells:
                for row in cell.done:
                    try:
                        what, source = draw(row, folders)
                    except NotTraversable:
                        continue
                    except UsageError:
                        break  # not with this method
                    caption = f"seed {row['spec']['seed']}; {what}"
                    found.append(Picture(i, group.cell_label(cell), caption, source, kind))
                    break  # one seed of a cell is enough for a look
    return found


def _traversal(row: Mapping[str, Any], folders: Folders) -> tuple[str, str]:
    """What is shown, in words, and the picture's address."""
    from bench.inspection.trained import assigned, revive
    from bench.report.strips import mosaic
    from bench.report.traverse import ranges_of

    trained = revive(row, folders)
    ranges = ranges_of(trained.usual_codes(), 0.01, 0.99)
    picture = mosaic(trained.decode, trained.start(0), ranges, assigned(row), N_LATENTS, N_VALUES)
    return f"rows: {picture.caption}", picture.source


def _swaps(row: Mapping[str, Any], folders: Folders) -> tuple[str, str]:
    from bench.inspection.swap_grids import swap_grid
    from bench.report.swap_pictures import swap_mosaic

    grid = swap_grid(row, folders, N_CONTENTS, N_MOTIONS)
    source = swap_mosaic(grid.contents, grid.motions, grid.generated)
    whose = "test sequences" if grid.is_real else "sequences that the method drew itself, as it cannot encode"
    return f"rows: content, columns: motion, of {whose}", source
