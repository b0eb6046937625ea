"""Pictures of several runs on the same sequences of known transformations, for ``bench plot``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.registry import UsageError

if TYPE_CHECKING:
    from bench.opening import Folders
    from bench.report.frame import Cell, Group
    from bench.report.move_pictures import Seen

Row = Mapping[str, Any]
NOTES = {
    "switching": "what acts changes at the red line",
    "superposing": "two transformations act at once",
    "generalisation": "observations of another kind than those trained on",
}


def draw_named(kind: str, rows: Sequence[Row], folder: Path, folders: Folders) -> list[Path]:
    """One figure of these runs.

    Raises:
        UsageError: one line: they are of different data, or cannot be drawn.
    """
    from bench.cli.results import defaults_of
    from bench.report.frame import groups

    found = groups(rows, defaults_of)
    if len(found) > 1:
        several = "; ".join(f"{group.label}, {group.source}, {group.budget}" for group in found)
        raise UsageError(f"a picture is of one data set, source and budget, not of {several}")
    hashes = "-".join(row["hash"][:8] for row in found[0].rows[:4])
    return draw_group(kind, found[0], found[0].cells, folder / f"{kind}-{hashes}", folders)


def draw_tables(kind: str, rows: Sequence[Row], is_chosen: bool, folder: Path, folders: Folders) -> list[Path]:
    """One figure for each table that rows make, of the first seed of each cell whose checkpoint is here.

    Args:
        is_chosen: methods were named, so reference points are drawn, too.

    Raises:
        UsageError: one line: why nothing can be drawn.
    """
    from bench.cli.results import defaults_of
    from bench.report.frame import groups

    made: list[Path] = []
    reasons: list[str] = []
    for group in groups(rows, defaults_of):
        cells = [cell for cell in group.cells if cell.done and (is_chosen or not cell.is_reference)]
        if not cells:
            reasons.append(f"no finished row on {group.label}")
            continue
        try:
            made += draw_group(kind, group, cells, folder / group.slug / kind, folders)
        except UsageError as error:
            reasons.append(str(error))
    if not made:
        raise UsageError(reasons[0])
    return made


def draw_group(kind: str, group: Group, cells: Sequence[Cell], path: Path, folders: Folders) -> list[Path]:
    """The figure of these cells of a group, each by its first seed whose checkpoint is here; says what is left out.

    Raises:
        UsageError: one line: not one of them can be drawn.
    """
    from bench.inspection.moved_sequences import check, film
    from bench.report.labels import title_of
    from bench.report.move_pictures import draw_moves

    chosen = {group.cell_label(cell): _row_of(cell, folders) for cell in cells}
    check(kind, next(iter(chosen.values())))  # type: ignore[arg-type]
    found = film(chosen, kind, folders)  # type: ignore[arg-type]
    for label, reason in found.left_out.items():
        click.echo(f"bench: {label} is left out: {reason}", err=True)
    rules = "; ".join(f"{label}: {rule}" for label, rule in found.rules.items())
    note = f"{NOTES[kind]}; right: error of these frames relative to a still picture of the first; moved by {rules}"
    is_generalisation = kind == "generalisation"
    return draw_moves(
        found.courses,
        found.truth,
        found.moved,
        path,
        title=title_of(group),
        note=note,
        switch=(len(found.amounts[0]) // 2) if kind == "switching" else 0,
        errors={label: found.relative_error(label) for label in found.moved},
        scores=_scores(group, cells, found.moved) if is_generalisation else (),
    )


def _row_of(cell: Cell, folders: Folders) -> Row:
    """The first seed whose checkpoint is here, else the first."""
    from bench.store import Store

    store = Store(folders.results)
    here = [row for row in cell.done if (store.artifacts(row["hash"]) / "checkpoint.safetensors").exists()]
    return next(iter(here or cell.rows))


def _scores(group: Group, cells: Sequence[Cell], moved: Mapping[str, Any]) -> list[Seen]:
    """Stored scores of the methods drawn, over all seeds; none where no row holds the error of unseen data."""
    from bench.report.move_pictures import Seen

    found = [
        Seen(
            group.cell_label(cell),
            cell.score("equivariance_error/relative").estimate,
            cell.score("equivariance_error[unseen]/relative").estimate,
        )
        for cell in cells
        if group.cell_label(cell) in moved
    ]
    return found if any(one.unseen for one in found) else []
