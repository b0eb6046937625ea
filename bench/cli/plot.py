"""``bench plot``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from bench.cli.completion import list_of, runs
from bench.cli.options import data_root_option, figures_folder, filters, medium_option, results_option, stored_rows
from bench.registry import UsageError, did_you_mean

if TYPE_CHECKING:
    from bench.report.papers import Paper, PaperFigure

OF_ROWS = ("scores", "curves", "correlation", "information", "shares", "all")
OF_A_RUN = ("codes", "sources", "swaps", "flow", "speeds")
OF_RUNS = ("switching", "superposing", "generalisation")
KINDS = (*OF_ROWS, *OF_A_RUN, *OF_RUNS)


def _kinds(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes a kind of figure, or a paper's figure once its paper's name has been typed."""
    from bench.report.papers import papers

    names = [*KINDS]
    names += [f"{paper.name}:{figure.id}" for paper in papers().values() for figure in paper.figures]
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


@click.command("plot")
@click.argument("kind", metavar="[KIND|PAPER:FIGURE]", default="all", shell_complete=_kinds)
@click.argument("run", metavar="[RUN]...", nargs=-1, shell_complete=runs)
@click.option("--output", "-o", metavar="DIR", help="Folder for the pictures. [default: RESULTS/figures]")
@medium_option
@click.option(
    "--metrics", metavar="KEYS", help="With scores: only these panels: mcc[spearman],mig[hist20]",
    shell_complete=list_of("keys"),
)  # fmt: skip
@results_option
@data_root_option
@filters
def command(
    kind: str,
    run: tuple[str, ...],
    metrics: str | None,
    output: str | None,
    results: str,
    data_root: str | None,
    methods: str | None,
    datasets: str | None,
    budget: str | None,
) -> int:
    """Draw stored rows, one run, or a figure of a paper; PNG, SVG and PDF.

    \b
    KIND of stored rows:
      scores        seeds and intervals by method
      curves        terms of the loss, and scores on the way
      correlation   factors and latents, the pairs behind the MCC
      information   mutual information that methods of sequences log
      shares        equivariance error against the share of labels
      all           all of these (the default)
    KIND of one RUN, named as for `bench traverse`:
      codes         bars beside images and reconstructions
      sources       |correlation| of |factors| and |codes|
      swaps         the content of some sequences with the motion of others; a GIF too
      flow          the field that latents follow, and their paths
      speeds        inferred speeds beside the true ones, where what acts switches
    KIND of several RUNs, or of the first seed of all rows that options leave, a GIF too:
      switching, superposing   true sequences above those that methods make of their first frames
      generalisation           the same for observations unlike those trained on, and the stored scores
    PAPER:FIGURE, as `bench paper list` names them, draws ours.

    \b
    Examples:
      bench plot scores --datasets natural_sprites --for paper
      bench plot codes vsc/smiley/0
      bench plot switching --methods ffrl,sta,tvae --datasets transforming_mnist
      bench plot cdsvae:fig3
    """
    given = {"--methods": methods, "--datasets": datasets, "--budget": budget, "--metrics": metrics}
    options = [name for name, value in given.items() if value is not None]
    if kind not in KINDS:
        if run or metrics is not None:
            raise UsageError(f"`bench plot {kind}` takes no {'RUN' if run else '--metrics'}")
        return _draw_paper(kind, output, results, data_root, methods, datasets, budget)
    if kind in OF_A_RUN:
        _check_run(kind, run, options)
        return _listed(_draw_run(kind, run[0], figures_folder(results, output), results, data_root), kind)
    if kind in OF_RUNS:
        if metrics is not None:
            raise UsageError(f"`bench plot {kind}` has no panels to choose; --metrics is for scores")
        if run and options:
            raise UsageError(f"`bench plot {kind}` takes RUNs or {options[0]}, not both")
        rows = [] if run else stored_rows(results, methods, datasets, budget)
        folder = figures_folder(results, output)
        return _listed(_draw_runs(kind, run, rows, methods is not None, folder, results, data_root), kind)
    if run:
        some = ", ".join([*OF_A_RUN, *OF_RUNS])
        raise UsageError(f"`bench plot {kind}` draws all stored rows, not one RUN; {some} take one")

    from bench.cli.results import defaults_of
    from bench.report.frame import groups
    from metrics.registry import split_ids

    keys = None if metrics is None else split_ids(metrics)
    if keys is not None and kind != "scores":
        raise UsageError("--metrics chooses panels of scores; write `bench plot scores --metrics …`")
    rows = stored_rows(results, methods, datasets, budget)
    held = sorted({key for row in rows for key in row["metrics"]})
    for key in keys or ():
        if key not in held:
            raise UsageError(f"--metrics: no row holds '{key}'.{did_you_mean(key, held)} Rows hold {', '.join(held)}")
    folder = figures_folder(results, output)
    made: list[Path] = []
    for group in groups(rows, defaults_of):
        made += _draw(group, kind, folder / group.slug, keys)
    return _listed(made, kind)


def _listed(made: list[Path], kind: str) -> int:
    for path in made:
        click.echo(str(path))
    if not made:
        click.echo(f"bench: these rows hold nothing to draw as '{kind}'", err=True)
    return 0


def _check_run(kind: str, run: tuple[str, ...], choices: list[str]) -> None:
    """UsageError unless one run is named and nothing chooses among rows."""
    if len(run) > 1:
        raise UsageError(f"`bench plot {kind}` draws one run, got {', '.join(run)}")
    if not run:
        raise UsageError(
            f"`bench plot {kind}` draws one run; name it: bench plot {kind} METHOD/DATASET/SEED, or its hash"
        )
    if choices:
        raise UsageError(f"`bench plot {kind}` draws one run; {choices[0]} chooses among rows of the other kinds")


def _draw_run(kind: str, name: str, folder: Path, results: str, data_root: str | None) -> list[Path]:
    from bench.cli.run_pictures import draw
    from bench.opening import Folders
    from bench.store import Store

    folders = Folders.from_environment(results, data_root)
    row = Store(folders.results).find(name)
    return draw(kind, row, folders, folder / f"{kind}-{row['hash']}")


def _draw_runs(
    kind: str, names: Sequence[str], rows: list[dict[str, Any]], is_chosen: bool, folder: Path, results: str,
    data_root: str | None,
) -> list[Path]:  # fmt: skip
    from bench.cli.move_pictures import draw_named, draw_tables
    from bench.opening import Folders
    from bench.store import Store

    folders = Folders.from_environment(results, data_root)
    if names:
        store = Store(folders.results)
        return draw_named(kind, [store.find(name) for name in names], folder, folders)
    return draw_tables(kind, rows, is_chosen, folder, folders)


def _draw_paper(
    name: str, output: str | None, results: str, data_root: str | None,
    methods: str | None, datasets: str | None, budget: str | None,
) -> int:  # fmt: skip
    from bench.cli.paper_figure import draw_figure
    from bench.opening import Folders

    paper, figures = _find_figures(name)
    has_rows = (Path(results) / "rows").is_dir()
    rows = stored_rows(results, methods, datasets, budget) if has_rows or methods or datasets else []
    folders = Folders.from_environment(results, data_root)
    lines, is_drawn = [], False
    for figure in figures:
        made = draw_figure(paper, figure, rows, folders, figures_folder(results, output), budget or "quick")
        for path in made.paths:
            click.echo(str(path))
        is_drawn = is_drawn or bool(made.paths)
        lines += [line for line in [made.way_out(f"{name.partition(':')[0]}:{figure.id}", figure, results)] if line]
    if not is_drawn:
        raise UsageError("; ".join(lines) or f"{name}: nothing to draw")
    for line in lines:
        click.echo(f"bench: {line}", err=True)
    return 0


def _find_figures(name: str) -> tuple[Paper, Sequence[PaperFigure]]:
    """The paper and its figures that ``PAPER:FIGURE`` (or PAPER, for all of them) names."""
    from bench.cli.paper import find_paper
    from bench.report.papers import papers

    head, colon, figure_id = name.partition(":")
    if not colon and head not in papers() and not head.endswith((".csv", ".toml")):
        kinds = [*KINDS]
        raise UsageError(
            f"`bench plot` draws no '{name}'.{did_you_mean(name, [*kinds, *papers()])} It draws {', '.join(kinds)}, or "
            "PAPER:FIGURE; `bench paper list` shows the figures of papers"
        )
    paper = find_paper(head)
    if not paper.figures:
        raise UsageError(f"{head} has no figures here; `bench paper list` shows the figures of papers")
    if not colon:
        return paper, paper.figures
    figure = paper.figure(figure_id)
    if figure is None:
        ids = [one.id for one in paper.figures]
        if paper.table(figure_id) is not None:
            raise UsageError(f"{name} is a table; `bench paper show {name}` shows it")
        raise UsageError(f"{head} has no figure '{figure_id}'.{did_you_mean(figure_id, ids)} It has {', '.join(ids)}")
    return paper, [figure]


def _draw(group: Any, kind: str, folder: Path, keys: list[str] | None) -> list[Path]:
    from bench.report import curves, figures, share_figures
    from bench.report.frame import slugify

    made: list[Path] = []
    if kind in ("scores", "all"):
        made += figures.draw_scores(group, folder / "scores", metrics=keys)
    if kind in ("curves", "all"):
        made += figures.draw_curves(group, folder / "curves")
        made += figures.draw_score_curves(group, folder / "scores-over-steps")
    if kind in ("information", "all"):
        made += curves.draw_information(group, folder / "information")
    if kind in ("shares", "all"):
        made += share_figures.draw_shares(group, folder / "shares")
    if kind in ("correlation", "all"):
        for cell in group.cells:
            if kind == "correlation" or not cell.is_reference:
                made += figures.draw_correlation(group, cell, folder / f"correlation-{slugify(group.cell_label(cell))}")
    return made
