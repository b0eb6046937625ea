"""``bench paper``."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.completion import budgets
from bench.cli.options import data_root_option, results_option
from bench.registry import UsageError, did_you_mean

if TYPE_CHECKING:
    from bench.report.papers import Paper, PaperFigure, PaperTable


@click.group("paper")
def command() -> None:
    """Published tables beside ours: what they hold, how ours compare, and the grid that fills them; figures too.

    \b
    Examples:
      bench paper list
      bench paper show cdsvae:1
      bench paper run cdsvae:1 --budget quick
      bench paper run cdsvae:fig3 --seeds 1
      bench paper show my_paper.csv:2
    """


@command.command("list")
def list_() -> int:
    """Every table and figure that can be regenerated; of tables, how many published numbers are known."""
    from bench.report.papers import papers

    for paper in papers().values():
        click.echo(f"{paper.name}: {paper.title}")
        for table in paper.tables:
            known = (
                f"{len(table.published)} published number{'s' * (len(table.published) > 1)}"
                if table.published
                else "published numbers not obtained"
            )
            click.echo(f"  {paper.name + ':' + table.id:<28} {table.title} ({known})")
        for figure in paper.figures:
            name = f"{paper.name}:{figure.id}"
            click.echo(f"  {name:<28} {figure.title} ({figure.place}; `bench plot {name}`)")
    return 0


@command.command("show")
@click.argument("name", metavar="PAPER:TABLE")
@click.option("--format", "form", type=click.Choice(["text", "md", "csv", "latex"]), default="text", show_default=True)
@click.option("--budget", metavar="NAME", help="Only our rows of this budget.", shell_complete=budgets)
@click.option("--output", "-o", metavar="FILE", help="Write to a file instead of printing.")
@results_option
def show(name: str, form: str, budget: str | None, output: str | None, results: str) -> int:
    """Published numbers beside ours: difference, in units of our interval, and whether the order is the same.

    PAPER is a name of `bench paper list`, or a CSV file of your own with the columns table, dataset, method, metric and
    value, whose names are those of this suite. PAPER alone shows all its tables.
    """
    from bench.cli.results import defaults_of
    from bench.report.paper_tables import compare, render

    paper, tables = _find(name)
    groups = _groups(results, budget)
    text = "\n".join(
        render(paper, table, compare(table, groups, resolve, direction, defaults_of), form) for table in tables
    )
    if output is None:
        sys.stdout.write(text)
        return 0
    path = Path(output)
    if not path.parent.is_dir():
        raise UsageError(f"--output {path}: there is no folder {path.parent}")
    path.write_text(text, encoding="utf-8")
    return 0


@command.command("run")
@click.argument("name", metavar="PAPER:TABLE|FIGURE")
@click.option("--budget", default="quick", show_default=True, help="smoke, quick, standard or paper.")
@click.option("--seeds", default="3", show_default=True, metavar="N|LIST", help="3 means seeds 0, 1, 2.")
@click.option("--devices", default="auto", show_default=True, help="auto, cpu, or cuda:0,cuda:1,…")
@click.option("--workers", type=click.IntRange(1), help="Worker processes. [default: one per core or GPU]")
@click.option("--dry-run", is_flag=True, help="Count the runs and estimate the time; train and write nothing.")
@results_option
@data_root_option
@click.pass_context
def run(context: click.Context, name: str, dry_run: bool, **asked: Any) -> int:
    """Train what the table still lacks, then show it. Rows that are stored are not trained again.

    Of a figure, train what `bench plot PAPER:FIGURE` draws.
    """
    from bench.cli.results import defaults_of
    from bench.cli.run import command as bench_run
    from bench.report.paper_tables import compare, render
    from bench.report.papers import SCORED

    def train(of: PaperTable | PaperFigure, keys: Sequence[str]) -> int:
        methods, datasets = (
            ",".join(dict.fromkeys(ours for _, ours in names if ours)) for names in (of.methods, of.datasets)
        )
        if not methods or not datasets:
            raise UsageError(
                f"{paper.name}:{of.id}: this suite has none of its {'data sets' if methods else 'methods'}"
            )
        metrics = ",".join(dict.fromkeys(key.partition("/")[0] for key in keys)) or None
        return int(context.invoke(
            bench_run, methods=methods, datasets=datasets, metrics=metrics, dry_run=dry_run, figures=False, **asked
        ))  # fmt: skip

    paper = find_paper(name.partition(":")[0])
    figure = paper.figure(name.partition(":")[2])
    if figure is not None:
        if figure.draw == "statistics":
            raise UsageError(f"{name} needs no runs; `bench plot {name}` draws it")
        keys = [metric.key for _, table in figure.lines for metric in table.metrics]
        code = train(figure, [*keys, *SCORED.get(figure.draw, ())])
        if not dry_run:
            click.echo(f"bench: `bench plot {name}` draws it", err=True)
        return code
    paper, tables = _find(name)
    code = 0
    for table in tables:
        code = max(code, train(table, [metric.key for metric in table.metrics]))
        if not dry_run:
            groups = _groups(asked["results"], asked["budget"])
            sys.stdout.write(render(paper, table, compare(table, groups, resolve, direction, defaults_of), "text"))
    return code


def find_paper(head: str) -> Paper:
    """The paper of that name, or of that CSV or TOML file."""
    from bench.report.papers import BadPaper, from_csv, papers, read_paper

    try:
        if head.endswith((".csv", ".toml")):
            return from_csv(Path(head)) if head.endswith(".csv") else read_paper(Path(head))
        known = papers()
        if head in known:
            return known[head]
    except (BadPaper, OSError) as error:
        raise UsageError(str(error)) from None
    raise UsageError(
        f"unknown paper '{head}'.{did_you_mean(head, known)} `bench paper list` shows all; "
        "a CSV of your own is named by its file"
    )


def _find(name: str) -> tuple[Paper, Sequence[PaperTable]]:
    """The paper and its tables that ``PAPER:TABLE`` names."""
    head, colon, table_id = name.partition(":")
    paper = find_paper(head)
    if not colon:
        return paper, paper.tables
    table = paper.table(table_id)
    if table is None:
        if paper.figure(table_id) is not None:
            raise UsageError(f"{name} is a figure; `bench plot {name}` draws it")
        ids = [one.id for one in paper.tables]
        raise UsageError(f"{head} has no table '{table_id}'.{did_you_mean(table_id, ids)} It has {', '.join(ids)}")
    return paper, [table]


def _groups(results: str, budget: str | None) -> list[Any]:
    from bench.cli.results import defaults_of
    from bench.report.frame import groups
    from bench.store import Store

    rows = [row for row in Store(Path(results)).rows() if budget in (None, row["spec"]["budget"])]
    return groups(rows, defaults_of)


def resolve(text: str, budget: str) -> list[tuple[str, Mapping[str, Any]]]:
    import dataclasses

    from bench.running.grid import resolved_methods

    return [(name, dataclasses.asdict(config)) for name, config in resolved_methods(text, budget, "paper table")]


def direction(key: str) -> bool | None:
    from metrics.registry import UnknownMetric, output_of

    try:
        return output_of(key).higher_is_better
    except UnknownMetric:
        return None
