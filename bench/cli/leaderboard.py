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
    help="Draw traversals, and swaps of sequences, of the same inputs by each method whose checkpoint is in the store: "
    "kept in DIR/gallery, so that later pages show them too.",
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
    folder = Path(output) / "gallery"
    if gallery and not _draw(rows, folder, results, data_root):
        click.echo("bench: no checkpoint of these rows is in the store, so the gallery has nothing new", err=True)
    for path in write(rows, Path(output), defaults_of, _method_cards(), _pictures(rows, folder)):
        click.echo(str(path))
    return 0


def _method_cards() -> dict[str, dict[str, str]]:
    from bench import registry

    fields = ("title", "paper", "summary", "family", "verified", "source", "notes")
    return {
        name: {field: str(getattr(entry.card, field)) for field in fields} for name, entry in registry.methods().items()
    }


def _draw(rows: list[dict[str, Any]], folder: Path, results: str, data_root: str | None) -> int:
    """Keeps a picture of each kind of one run of each cell that still has its checkpoint; how many."""
    from bench.inspection.trained import NotTraversable
    from bench.opening import Folders
    from bench.report.frame import cells
    from bench.report.gallery import keep

    folders = Folders.from_environment(results, data_root)
    n = 0
    for kind, draw in (("traversal", _traversal), ("swaps", _swaps)):
        for cell in cells(rows):
            for row in cell.done:
                try:
                    what, source = draw(row, folders)
                except NotTraversable:
                    continue
                except UsageError:
                    break  # not with this method
                keep(folder, row["hash"], kind, what, source)
                n += 1
                break  # one seed of a cell is enough for a look
    return n


def _pictures(rows: list[dict[str, Any]], folder: Path) -> list[Picture]:
    """Those that are kept of these rows, one of each cell and kind."""
    from bench.cli.results import defaults_of
    from bench.report.board import Picture
    from bench.report.frame import groups
    from bench.report.gallery import WIDTHS, kept

    found = []
    for kind in WIDTHS:
        for i, group in enumerate(groups(rows, defaults_of)):
            for cell in group.cells:
                try:
                    seen = ((row, kept(folder, row["hash"], kind)) for row in cell.done)
                    row, one = next(((row, one) for row, one in seen if one is not None), (None, None))
                except ValueError as error:
                    raise UsageError(str(error)) from None
                if row is not None and one is not None:
                    caption = f"seed {row['spec']['seed']}, run {row['hash'][:8]}; {one.caption}"
                    found.append(Picture(i, group.cell_label(cell), caption, one.data, kind))
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
