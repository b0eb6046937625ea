"""``bench report``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from bench.cli.completion import runs
from bench.cli.options import data_root_option, results_option
from bench.registry import UsageError

MOST_STRIPS = 20  # of traversals: codes of sequence models have hundreds of latents
N_CONTENTS, N_MOTIONS = 4, 3  # of swaps


@click.command("report")
@click.argument("run", metavar="RUN", shell_complete=runs)
@click.option("--output", "-o", metavar="FILE", help="[default: RESULTS/artifacts/HASH/report.html]")
@click.option("--base", type=click.IntRange(0), default=0, show_default=True, help="Where traversals start.")
@click.option("--steps", type=click.IntRange(2, 15), default=7, show_default=True, help="Frames per traversal.")
@click.option("--traversals/--no-traversals", default=True, show_default=True, help="Decode frames of the checkpoint.")
@results_option
@data_root_option
def command(
    run: str, output: str | None, base: int, steps: int, traversals: bool, results: str, data_root: str | None
) -> int:
    """Write the page of one run: scores with their cards, curves, correlations, spec, cost, provenance; pictures of
    what its latents do (traversals), of swaps of sequences, of moves by known transformations.

    RUN is a row's hash, its beginning, or method/dataset/seed; `bench table --rows` lists them. The page is one HTML
    file that loads nothing. What needs a checkpoint that is not in this store is left out, with what makes it.

    \b
    Examples:
      bench report 3f9a
      bench report slowvae/natural_sprites/0 -o slowvae.html
    """
    from bench.cli.results import defaults_of
    from bench.opening import Folders
    from bench.report.run_page import Missing, render
    from bench.store import Store, write_atomically

    folders = Folders.from_environment(results, data_root)
    store = Store(folders.results)
    path = _output(output)
    row = store.find(run)
    path = path or store.artifacts(row["hash"]) / "report.html"
    shown, missing, pictures = None, [], []
    if not traversals:
        missing = [Missing("Traversals", "left out by --no-traversals")]
    elif row["status"] == "done":
        shown, missing = _traversals(row, folders, base, steps)
        pictures = _pictures(row, folders)
    text = render(
        row,
        list(store.rows()),
        defaults=defaults_of,
        about=_about(row["spec"]),
        traversals=shown,
        pictures=pictures,
        missing=missing,
    )
    write_atomically(path, text)
    click.echo(str(path))
    return 0


def _output(text: str | None) -> Path | None:
    if text is None:
        return None
    path = Path(text)
    if path.suffix not in (".html", ".htm"):
        raise UsageError(f"--output {path}: the page is HTML; end the name in .html")
    if not path.parent.is_dir():
        raise UsageError(f"--output {path}: there is no folder {path.parent}")
    return path


def _traversals(row: dict[str, Any], folders: Any, base: int, steps: int) -> tuple[Any, list[Any]]:
    """Strips of decoded frames, or what is missing for them."""
    from bench.inspection.trained import NotTraversable, assigned, revive
    from bench.report.run_page import Missing, Traversals
    from bench.report.strips import strips
    from bench.report.traverse import ranges_of

    if row["spec"]["view"] == "codes":
        return None, [Missing("Traversals", "the codes were made elsewhere, without a decoder that bench knows")]
    try:
        trained = revive(row, folders)
    except NotTraversable as error:
        return None, [Missing("Traversals", str(error), _ways(row, folders, error.can_be_made))]
    ranges = ranges_of(trained.usual_codes(), 0.01, 0.99)
    try:
        found = strips(trained.decode, trained.start(base), ranges, assigned(row), steps, MOST_STRIPS)
    except UsageError:
        raise
    except ValueError as error:
        return None, [Missing("Traversals", str(error))]
    return Traversals(found, base, len(ranges)), []


def _pictures(row: dict[str, Any], folders: Any) -> list[Any]:
    """What runs on sequences have beside traversals: swaps, and moves by known transformations."""
    found = []
    for draw in (_swaps, _moves):
        try:
            found.append(draw(row, folders))
        except UsageError:  # not of this method or data, or the checkpoint is missing, which traversals say
            continue
    return found


def _swaps(row: dict[str, Any], folders: Any) -> Any:
    from bench.inspection.swap_grids import swap_grid
    from bench.report.run_page import Figure, Pictures
    from bench.report.swap_pictures import swap_mosaic

    grid = swap_grid(row, folders, N_CONTENTS, N_MOTIONS)
    sources = "test sequences" if grid.is_real else "sequences that the method drew itself, as it cannot encode"
    text = f"The content of some {sources} (first column) with the motion of others (first row); three frames of each."
    alt = f"{N_CONTENTS} by {N_MOTIONS} generated sequences below and beside their sources"
    figure = Figure("content by row, motion by column", swap_mosaic(grid.contents, grid.motions, grid.generated), alt)
    return Pictures("Swaps", text, [figure])


def _moves(row: dict[str, Any], folders: Any) -> Any:
    import numpy as np

    from bench.inspection.moved_sequences import check, film
    from bench.report.run_page import Figure, Pictures
    from bench.report.strips import as_strip

    check("switching", row)
    seen = film({"": row}, "switching", folders)
    errors = seen.relative_error("")
    text = (
        "Above: true test sequences in which what acts changes half way. Below: what the method makes of the first "
        f"frame (rule: {seen.rules['']}). The error is relative to a still picture, which has 1."
    )
    figures = [
        Figure(f"{course}: error {error:.2f}", as_strip(np.concatenate([true, ours], axis=2))[0],
               f"true frames of {course} above those of the method")
        for course, true, ours, error in zip(seen.courses, seen.truth, seen.moved[""], errors, strict=True)
    ]  # fmt: skip
    return Pictures("Moves", text, figures)


def _ways(row: dict[str, Any], folders: Any, can_be_made: bool) -> tuple[str, ...]:
    """Commands that bring the checkpoint: from the machine that has it, or by training once more elsewhere."""
    if not can_be_made:
        return ()
    from bench.cli.results import defaults_of
    from bench.report.run_page import command_of

    store = "" if str(folders.results) == "results" else f" --results {shlex.quote(str(folders.results))}"
    again = command_of(row["spec"], defaults_of)
    name = "/".join(str(row["spec"][part]) for part in ("method", "dataset", "seed"))
    ways = [
        "# with the results folder of the machine that trained:",
        f"bench merge DIR --artifacts{store}",
        f"bench report {row['hash']}{store}",
    ]
    if again:
        ways += [
            "# or train once more, into another store, since this one counts the run as done:",
            f"{again} --results again", f"bench report {shlex.quote(name)} --results again",
        ]  # fmt: skip
    return tuple(ways)


def _about(spec: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Title, paper and summary of the method and the data set, where they are registered here."""
    from bench import registry

    found = {}
    for kind, known in (("method", registry.methods()), ("dataset", registry.datasets())):
        entry = known.get(spec[kind])
        if entry is not None and spec["view"] != "codes":
            found[kind] = {"title": entry.card.title, "paper": entry.card.paper, "summary": entry.card.summary}
    return found
