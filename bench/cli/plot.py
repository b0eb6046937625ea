"""``bench plot``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from bench.cli.completion import list_of, runs
from bench.cli.options import (
    data_root_option,
    figures_folder,
    filters,
    medium_option,
    metric_keys,
    results_option,
    stored_rows,
)
from bench.registry import UsageError, did_you_mean

if TYPE_CHECKING:
    from bench.opening import Folders
    from bench.report.frame import Group
    from bench.report.papers import Paper, PaperFigure


@dataclass(frozen=True)
class Asked:
    """What was typed."""

    kind: str
    runs: tuple[str, ...]
    metrics: str | None
    output: str | None
    results: str
    data_root: str | None
    methods: str | None
    datasets: str | None
    budget: str | None

    @property
    def options(self) -> list[str]:
        """Options that choose among rows or panels."""
        given = {
            "--methods": self.methods, "--datasets": self.datasets, "--budget": self.budget, "--metrics": self.metrics,
        }  # fmt: skip
        return [name for name, value in given.items() if value is not None]

    @property
    def folder(self) -> Path:
        return figures_folder(self.results, self.output)

    @property
    def folders(self) -> Folders:
        from bench.opening import Folders

        return Folders.from_environment(self.results, self.data_root)

    def rows(self) -> list[dict[str, Any]]:
        return stored_rows(self.results, self.methods, self.datasets, self.budget)


def _of_rows(asked: Asked) -> list[Path]:
    """Draws each table of the stored rows."""
    if asked.runs:
        some = ", ".join(name for name, kind in KINDS.items() if kind.takes is not _of_rows)
        raise UsageError(f"`bench plot {asked.kind}` draws all stored rows, not one RUN; {some} take one")

    from bench.cli.results import defaults_of
    from bench.report.frame import groups

    if asked.metrics is not None and asked.kind != "scores":
        raise UsageError("--metrics chooses panels of scores; write `bench plot scores --metrics …`")
    rows = asked.rows()
    keys = None if asked.metrics is None else metric_keys(asked.metrics, rows)
    draw = KINDS[asked.kind].draw
    found = groups(rows, defaults_of)
    return [path for group in found for path in draw(group, asked.folder / group.slug, keys)]


def _of_a_run(asked: Asked) -> list[Path]:
    """Draws one run; UsageError unless one is named and nothing chooses among rows."""
    kind = asked.kind
    if len(asked.runs) > 1:
        raise UsageError(f"`bench plot {kind}` draws one run, got {', '.join(asked.runs)}")
    if not asked.runs:
        raise UsageError(
            f"`bench plot {kind}` draws one run; name it: bench plot {kind} METHOD/DATASET/SEED, or its hash"
        )
    if asked.options:
        raise UsageError(f"`bench plot {kind}` draws one run; {asked.options[0]} chooses among rows of the other kinds")

    from bench.cli.run_pictures import draw
    from bench.store import Store

    folders = asked.folders
    row = Store(folders.results).find(asked.runs[0])
    return draw(kind, row, folders, asked.folder / f"{kind}-{row['hash']}")


def _of_runs(asked: Asked) -> list[Path]:
    """Draws the runs that are named, or the first seed of all rows that options leave."""
    if asked.metrics is not None:
        raise UsageError(f"`bench plot {asked.kind}` has no panels to choose; --metrics is for scores")
    if asked.runs and asked.options:
        raise UsageError(f"`bench plot {asked.kind}` takes RUNs or {asked.options[0]}, not both")
    rows = [] if asked.runs else asked.rows()

    from bench.cli.move_pictures import draw_named, draw_tables
    from bench.store import Store

    folders = asked.folders
    if asked.runs:
        store = Store(folders.results)
        return draw_named(asked.kind, [store.find(name) for name in asked.runs], asked.folder, folders)
    return draw_tables(asked.kind, rows, asked.methods is not None, asked.folder, folders)


def _scores(group: Group, folder: Path, keys: list[str] | None = None) -> list[Path]:
    from bench.report.figures import draw_scores

    return draw_scores(group, folder / "scores", metrics=keys)


def _curves(group: Group, folder: Path, keys: list[str] | None = None) -> list[Path]:
    from bench.report.figures import draw_curves, draw_score_curves

    return draw_curves(group, folder / "curves") + draw_score_curves(group, folder / "scores-over-steps")


def _information(group: Group, folder: Path, keys: list[str] | None = None) -> list[Path]:
    from bench.report.curves import draw_information

    return draw_information(group, folder / "information")


def _shares(group: Group, folder: Path, keys: list[str] | None = None) -> list[Path]:
    from bench.report.share_figures import draw_shares

    return draw_shares(group, folder / "shares")


def _correlation(group: Group, folder: Path, keys: list[str] | None = None, with_references: bool = True) -> list[Path]:
    from bench.report.figures import draw_correlation
    from bench.report.frame import slugify

    return [
        path
        for cell in group.cells
        if with_references or not cell.is_reference
        for path in draw_correlation(group, cell, folder / f"correlation-{slugify(group.cell_label(cell))}")
    ]


def _all(group: Group, folder: Path, keys: list[str] | None = None) -> list[Path]:
    made = [path for draw in (_scores, _curves, _information, _shares) for path in draw(group, folder)]
    return made + _correlation(group, folder, with_references=False)


def _nothing(group: Group, folder: Path, keys: list[str] | None = None) -> list[Path]:
    """Of kinds that are not drawn table by table."""
    return []


@dataclass(frozen=True)
class Kind:
    """A kind of figure.

    Attributes:
        text: what `bench plot --help` says of it.
        takes: ``_of_rows``, ``_of_a_run`` or ``_of_runs``: what is named on the command line, checked and drawn.
        draw: of ``_of_rows``: draws a table. The others look up their kind in ``run_pictures`` and ``move_pictures``.
    """

    text: str
    takes: Callable[[Asked], list[Path]]
    draw: Callable[[Group, Path, list[str] | None], list[Path]] = _nothing


KINDS = {
    "scores": Kind("seeds and intervals by method", _of_rows, _scores),
    "curves": Kind("terms of the loss, and scores on the way", _of_rows, _curves),
    "correlation": Kind("factors and latents, the pairs behind the MCC", _of_rows, _correlation),
    "information": Kind("mutual information that methods of sequences log", _of_rows, _information),
    "shares": Kind("equivariance error against the share of labels", _of_rows, _shares),
    "all": Kind("all of these (the default)", _of_rows, _all),
    "codes": Kind("bars beside images and reconstructions", _of_a_run),
    "sources": Kind("|correlation| of |factors| and |codes|", _of_a_run),
    "swaps": Kind("the content of some sequences with the motion of others; a GIF too", _of_a_run),
    "flow": Kind("the field that latents follow, and their paths", _of_a_run),
    "speeds": Kind("inferred speeds beside the true ones, where what acts switches", _of_a_run),
    "switching": Kind("true sequences where what acts changes, above those that methods make", _of_runs),
    "superposing": Kind("the same where two act at once", _of_runs),
    "generalisation": Kind("the same for observations unlike those trained on, and the stored scores", _of_runs),
}
HEADS = {
    _of_rows: "KIND of stored rows:",
    _of_a_run: "KIND of one RUN, named as for `bench traverse`:",
    _of_runs: "KIND of several RUNs, or of the first seed of all rows that options leave, a GIF too:",
}
HELP = """Draw stored rows, one run, or a figure of a paper; PNG, SVG and PDF.

    \b
{kinds}
    PAPER:FIGURE, as `bench paper list` names them, draws ours.

    \b
    Examples:
      bench plot scores --datasets natural_sprites --for paper
      bench plot codes vsc/smiley/0
      bench plot switching --methods ffrl,sta,tvae --datasets transforming_mnist
      bench plot cdsvae:fig3
"""


def _help() -> str:
    lines = []
    for takes, head in HEADS.items():
        lines += [head, *(f"  {name:<14} {kind.text}" for name, kind in KINDS.items() if kind.takes is takes)]
    return HELP.format(kinds="\n".join(f"    {line}" for line in lines))


def _kinds(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes a kind of figure, or a paper's figure once its paper's name has been typed."""
    from bench.report.papers import papers

    names = [*KINDS]
    names += [f"{paper.name}:{figure.id}" for paper in papers().values() for figure in paper.figures]
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


@click.command("plot", help=_help())
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
def command(kind: str, run: tuple[str, ...], **typed: Any) -> int:
    """Draws what KIND says; its help is made from ``KINDS``."""
    asked = Asked(kind, run, **typed)
    if kind not in KINDS:
        _find_figures(kind)  # a kind that is misspelt is told before what else is wrong
        if run or asked.metrics is not None:
            raise UsageError(f"`bench plot {kind}` takes no {'RUN' if run else '--metrics'}")
        return _draw_paper(asked)
    made = KINDS[kind].takes(asked)
    for path in made:
        click.echo(str(path))
    if not made:
        click.echo(f"bench: these rows hold nothing to draw as '{kind}'", err=True)
    return 0


def _draw_paper(asked: Asked) -> int:
    from bench.cli.paper_figure import draw_figure

    name, results = asked.kind, asked.results
    paper, figures = _find_figures(name)
    has_rows = (Path(results) / "rows").is_dir()
    rows = asked.rows() if has_rows or asked.methods or asked.datasets else []
    lines, is_drawn = [], False
    for figure in figures:
        made = draw_figure(paper, figure, rows, asked.folders, asked.folder, asked.budget or "quick")
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
        raise UsageError(
            f"`bench plot` draws no '{name}'.{did_you_mean(name, [*KINDS, *papers()])} It draws {', '.join(KINDS)}, or "
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
