"""Figures of papers by name, for ``bench plot PAPER:FIGURE``: what ``paper.toml`` declares, drawn from the store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.registry import UsageError

if TYPE_CHECKING:
    from bench.opening import Folders
    from bench.report.frame import Cell, Group
    from bench.report.papers import Paper, PaperFigure


GONE = "its files are not in this store"


@dataclass
class Drawn:
    """Files that were written, and what a figure lacks in words."""

    paths: list[Path] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)

    def way_out(self, name: str, figure: PaperFigure, results: str) -> str:
        """One line that says what ``PAPER:FIGURE`` lacks and which commands make it; empty where nothing lacks."""
        if not self.lacking:
            return ""
        shown = "; ".join(self.lacking[:4]) + (f"; and {len(self.lacking) - 4} more" if len(self.lacking) > 4 else "")
        if figure.draw == "statistics":
            return f"{name} lacks {shown}"
        # what is stored is not trained again, so lost files are made in another store
        store = "again" if any(GONE in one for one in self.lacking) else results
        where = "" if store == "results" else f" --results {store}"
        return f"{name} lacks {shown}. `bench paper run {name} --budget quick{where}` makes it" + (
            f", then `bench plot {name}{where}`" if store == "again" else ""
        )


def draw_figure(
    paper: Paper, figure: PaperFigure, rows: Sequence[dict[str, Any]], folders: Folders, folder: Path, budget: str
) -> Drawn:
    """Draw a paper's figure from stored rows, one set of files for each table of ours.

    Args:
        rows: of the store, or those chosen of them.
        folder: to write to.
        budget: of a statistic of data, how much is generated.
    """
    from bench.cli.results import defaults_of
    from bench.report.frame import groups

    stem = f"{paper.name}-{figure.id}"
    if figure.draw == "statistics":
        return _statistics(figure, folders, folder / stem, budget)
    found = groups(rows, defaults_of)
    if figure.draw == "sweep":
        return _sweep(paper, figure, found, folder, stem)
    from bench.report.papers import OF_A_RUN

    if figure.draw in OF_A_RUN:
        return _of_runs(figure, found, folders, folder, stem)
    return _of_rows(figure, found, folders, folder, stem)


def _of_runs(figure: PaperFigure, found: Sequence[Group], folders: Folders, folder: Path, stem: str) -> Drawn:
    """A picture of one run of each method on each data set: the first whose checkpoint is here."""
    from bench.cli.run_pictures import draw
    from bench.inspection.trained import NotTraversable
    from bench.report.frame import slugify

    made = Drawn()
    for dataset, method, group, cells in _cells(figure, found):
        why = "" if cells else "not run"
        for row in (row for cell in cells for row in cell.done):
            assert group is not None
            name = slugify(f"{stem}-{method}")
            try:
                made.paths += draw(figure.draw, row, folders, folder / group.slug / name, **figure.options)
            except NotTraversable as error:
                why = GONE if error.can_be_made else str(error)
                continue
            except UsageError as error:
                why = str(error)
                continue
            why = ""
            break
        else:
            why = why or "no finished run"
        if why:
            made.lacking.append(f"{method} on {dataset} ({why})")
    return made


def _of_rows(figure: PaperFigure, found: Sequence[Group], folders: Folders, folder: Path, stem: str) -> Drawn:
    """Figures of `bench plot`, of the rows of this figure's methods alone."""
    from bench.cli.move_pictures import draw_group
    from bench.cli.results import defaults_of
    from bench.report import curves, figures, share_figures
    from bench.report.frame import groups, slugify
    from bench.report.papers import OF_RUNS

    made = Drawn()
    chosen: dict[str, list[Cell]] = {}
    for dataset, method, group, cells in _cells(figure, found):
        if group is None or not any(cell.done for cell in cells):
            made.lacking.append(f"{method} on {dataset} (not run)")
        else:
            chosen.setdefault(group.slug, []).extend(cells)
    for slug, cells in chosen.items():
        (group,) = groups([row for cell in cells for row in cell.rows], defaults_of)
        place = folder / slug / stem
        paths: list[Path] = []
        if figure.draw == "scores":
            paths = figures.draw_scores(group, place)
        elif figure.draw == "curves":
            paths = curves.draw_curves(group, place)
        elif figure.draw == "information":
            paths = curves.draw_information(group, place)
        elif figure.draw == "shares":
            paths = share_figures.draw_shares(group, place)
        elif figure.draw in OF_RUNS:
            try:
                paths = draw_group(figure.draw, group, group.cells, place, folders)
            except UsageError as error:
                made.lacking.append(f"{group.label} ({GONE if 'checkpoint' in str(error) else error})")
                continue
        else:
            for cell in group.cells:
                name = f"{stem}-{slugify(group.cell_label(cell))}"
                paths += figures.draw_correlation(group, cell, folder / slug / name)
        made.paths += paths
        if not paths:
            made.lacking.append(f"{group.label} (its rows hold nothing to draw as '{figure.draw}')")
    return made


def _cells(figure: PaperFigure, found: Sequence[Group]) -> Iterator[tuple[str, str, Group | None, list[Cell]]]:
    """(data set, method, group, its cells of the method) as this suite names them; no group where nothing was run."""
    from bench.cli.paper import resolve
    from bench.cli.results import defaults_of
    from bench.report.contrasts import Side
    from bench.report.paper_tables import is_of

    for dataset in (ours for _, ours in figure.datasets if ours):
        here: list[Group | None] = [group for group in found if is_of(group, dataset, defaults_of)]
        for group in here or [None]:
            for method in (ours for _, ours in figure.methods if ours):
                cells: list[Cell] = []
                if group is not None:
                    cells = [
                        cell
                        for some in Side(method, tuple(resolve(method, group.budget))).cells(group)
                        for cell in some
                    ]
                yield dataset, method, group, cells


def _sweep(paper: Paper, figure: PaperFigure, found: Sequence[Group], folder: Path, stem: str) -> Drawn:
    """Published curves, and ours on them, for each data set and group of our rows on it."""
    from bench.cli.paper import direction, resolve
    from bench.cli.results import defaults_of
    from bench.report.frame import slugify
    from bench.report.labels import title_of
    from bench.report.paper_tables import compare
    from bench.report.published_curves import Curve, curve, draw_published_curves

    made = Drawn()
    parameter, x_label = figure.options["parameter"], figure.options["label"]
    curves: dict[tuple[str, str, str], list[Curve]] = {}
    ours: dict[str, Group] = {}  # by slug
    for label, table in figure.lines:
        for block in compare(table, found, resolve, direction, defaults_of):
            slug = block.group.slug if block.group else ""
            if block.group is not None:
                ours[slug] = block.group
            one = curve(label, table, block.metric.published, block.entries, parameter)
            curves.setdefault((block.dataset, block.metric.published, slug), []).append(one)
            made.lacking += [
                f"{method} on {block.ours} ({entry.reason})"
                for (_, method), entry in zip(table.methods, block.entries, strict=True)
                if entry.ours is None
            ]
    for (dataset, metric, slug), some in curves.items():
        where = title_of(ours[slug]) if slug else "ours: not run"
        place = folder / (slug or "published") / slugify(f"{stem}-{dataset}")
        title = f"{paper.title}: {figure.title}, {dataset}; {where}"
        made.paths += draw_published_curves(some, place, x_label=x_label, y_label=metric, title=title)
    return made


def _statistics(figure: PaperFigure, folders: Folders, stem: Path, budget: str) -> Drawn:
    from bench.cli.naturalstats import increments_of, motions_of
    from bench.report.frame import slugify
    from bench.report.natural_statistics import draw

    made = Drawn()
    for _, dataset in figure.datasets:
        try:
            found = increments_of(dataset, budget, folders)
        except (OSError, ValueError) as error:
            made.lacking.append(f"{dataset} ({error})")
            continue
        for motion in (motion for one in found for motion in motions_of(one, False)):
            made.paths += draw(motion, stem.with_name(f"{stem.name}-{slugify(f'{motion.name} {motion.source}')}"))
    return made
