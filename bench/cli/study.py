"""``bench study``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from bench.cli.completion import list_of
from bench.cli.options import figures_folder, filters, medium_option, metric_keys, results_option, stored_rows
from bench.registry import UsageError, did_you_mean

PER_TABLE = ("agreement", "variance", "selection")
OVER_TABLES = ("aggregates", "ranks", "profiles")
QUESTIONS = (*PER_TABLE, *OVER_TABLES, "all")
CRITERIA = ("elbo", "reconstruction[mse]", "udr[lasso]", "udr[spearman]")
USUAL = "mcc[spearman]"
NEEDS = {
    "agreement": "a table with at least eight trained runs and two metrics that all of them hold",
    "variance": "at least two runs of one table whose scores differ",
    "selection": "a method with several cells in one table that hold the score and one of " + ", ".join(CRITERIA),
    "aggregates": "two methods that two data sets of one source and budget both have scores of",
    "ranks": "two methods that two data sets of one source and budget both have scores of",
    "profiles": "two methods with scores on one data set",
}


def _questions(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in QUESTIONS if name.startswith(incomplete)]


@click.command("study")
@click.argument("question", metavar="[QUESTION]", default="all", shell_complete=_questions)
@click.option(
    "--metrics", metavar="KEYS", help="Which scores. [default: those a table shows; of selection and all over data "
    f"sets: {USUAL}]", shell_complete=list_of("keys"),
)  # fmt: skip
@click.option("--output", "-o", metavar="DIR", help="Folder for the pictures. [default: RESULTS/figures/study]")
@medium_option
@results_option
@filters
def command(
    question: str, metrics: str | None, output: str | None, results: str,
    methods: str | None, datasets: str | None, budget: str | None,
) -> int:  # fmt: skip
    """Draw what many rows together say, as PNG, SVG and PDF.

    \b
    QUESTION of each table:
      agreement   rank correlation between metrics
      variance    how much of a score's spread is method, parameters, seed
      selection   parameters chosen without labels beside the best ones
    QUESTION over data sets, of the methods that all of them have:
      aggregates  mean, median and interquartile mean, and the chance that one method
                  beats another, with intervals; printed, and as Markdown and CSV
      ranks       average ranks with their critical difference
      profiles    share of runs above each score
    all           all of these (the default)

    \b
    Examples:
      bench study variance --datasets dsprites
      bench study aggregates --methods slowvae,pcl,betavae
      bench study ranks --metrics mig[hist20] --for paper
    """
    from bench.cli.results import defaults_of
    from bench.report.frame import groups

    if question not in QUESTIONS:
        raise UsageError(
            f"`bench study` has no '{question}'.{did_you_mean(question, QUESTIONS)} It has {', '.join(QUESTIONS)}"
        )
    rows = stored_rows(results, methods, datasets, budget)
    found = groups(rows, defaults_of)
    keys = None if metrics is None else metric_keys(metrics, rows)
    folder = Path(output) if output else figures_folder(results, None) / "study"
    made: list[Path] = []
    for one in [*PER_TABLE, *OVER_TABLES] if question == "all" else [question]:
        if one in PER_TABLE:
            new = [path for group in found for path in _of_table(one, group, keys, folder / group.slug)]
        else:
            new = [path for key in keys or [USUAL] for path in _over_tables(one, found, key, folder)]
        if not new:
            click.echo(f"bench: nothing to draw as '{one}': it needs {NEEDS[one]}", err=True)
        made += new
    for path in made:
        click.echo(str(path))
    return 0


def _of_table(question: str, group: Any, keys: list[str] | None, folder: Path) -> list[Path]:
    from bench.report import study_figures as figures
    from bench.report.cards import in_table_order, is_secondary
    from bench.report.frame import slugify

    if question == "selection":
        criteria = [key for key in CRITERIA if key in group.metrics]
        return [
            path
            for key in keys or [USUAL]
            for path in figures.draw_selection(group, key, criteria, folder / f"selection-{slugify(key)}")
        ]
    shown = keys or [key for key in in_table_order(group.metrics) if not is_secondary(key)]
    draw = figures.draw_agreement if question == "agreement" else figures.draw_variance
    return draw(group, shown, folder / question)


def _over_tables(question: str, found: list[Any], key: str, folder: Path) -> list[Path]:
    from bench.cli.results import defaults_of
    from bench.report import study_figures as figures
    from bench.report.blocks import blocks
    from bench.report.frame import slugify

    some = blocks(found, key, min_datasets=1 if question == "profiles" else 2, defaults=defaults_of)
    made: list[Path] = []
    for block in some:
        kind = "" if len(some) == 1 else f"-{block.source}-{block.budget}-{block.protocol}"
        stem = folder / slugify(f"{question}-{key}{kind}")
        if question == "aggregates":
            made += _aggregates(block, stem)
        else:
            made += (figures.draw_ranks if question == "ranks" else figures.draw_profiles)(block, stem)
    return made


def _aggregates(block: Any, stem: Path) -> list[Path]:
    """Prints the numbers and writes them beside their figures."""
    from bench.report.aggregate_figures import draw_aggregates, draw_improvement
    from bench.report.aggregates import summarise, to_csv, to_markdown, to_text
    from bench.store import write_atomically

    summary = summarise(block)
    if summary is None:
        raise UsageError(f"--metrics: no card says whether higher is better of '{block.key}'; `bench list metrics`")
    click.echo(to_text(summary))
    texts = {stem.with_name(f"{stem.name}.{end}"): text for end, text in
             (("md", to_markdown(summary)), ("csv", to_csv(summary)))}  # fmt: skip
    for path, text in texts.items():
        write_atomically(path, text)
    chances = stem.with_name(stem.name.replace("aggregates", "improvement", 1))
    return [*texts, *draw_aggregates(summary, stem), *draw_improvement(summary, chances)]
