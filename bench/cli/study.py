"""``bench study``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bench.cli.completion import list_of
from bench.cli.options import figures_folder, filters, medium_option, results_option, stored_rows
from bench.registry import UsageError, did_you_mean

PER_TABLE = ("agreement", "variance", "selection")
OVER_TABLES = ("ranks", "profiles")
CRITERIA = ("elbo", "reconstruction[mse]", "udr[lasso]", "udr[spearman]")


@click.command("study")
@click.argument("question", type=click.Choice([*PER_TABLE, *OVER_TABLES, "all"]), default="all")
@click.option(
    "--metrics", metavar="KEYS", help="Which scores. [default: those a table shows; selection, ranks and profiles: "
    "mcc[spearman]]", shell_complete=list_of("keys"),
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
    agreement   rank correlation between metrics, a figure for each table
    variance    how much of a score's spread is method, parameters, seed
    selection   parameters chosen without labels beside the best ones
    ranks       average ranks over data sets with their critical difference
    profiles    share of runs above each score, over data sets

    \b
    Examples:
      bench study variance --datasets dsprites
      bench study ranks --metrics mig[hist20] --for paper
    """
    from bench.cli.results import defaults_of
    from bench.report.frame import groups
    from metrics.registry import split_ids

    rows = stored_rows(results, methods, datasets, budget)
    found = groups(rows, defaults_of)
    held = sorted({key for row in rows for key in row["metrics"]})
    keys = None if metrics is None else split_ids(metrics)
    for key in keys or ():
        if key not in held:
            raise UsageError(f"--metrics: no row holds '{key}'.{did_you_mean(key, held)} Rows hold {', '.join(held)}")
    folder = Path(output) if output else figures_folder(results, None) / "study"
    made: list[Path] = []
    for one in [*PER_TABLE, *OVER_TABLES] if question == "all" else [question]:
        if one in PER_TABLE:
            for group in found:
                made += _of_table(one, group, keys, folder / group.slug)
        else:
            made += _over_tables(one, found, keys, folder)
    for path in made:
        click.echo(str(path))
    if not made:
        click.echo(
            f"bench: these rows are too few for '{question}'; `bench study --help` says what each needs", err=True
        )
    return 0


def _of_table(question: str, group: Any, keys: list[str] | None, folder: Path) -> list[Path]:
    from bench.report import study_figures as figures
    from bench.report.cards import in_table_order, is_secondary

    if question == "selection":
        criteria = [key for key in CRITERIA if key in group.metrics]
        return [
            path
            for key in keys or ["mcc[spearman]"]
            for path in figures.draw_selection(group, key, criteria, folder / f"selection-{_slug(key)}")
        ]
    shown = keys or [key for key in in_table_order(group.metrics) if not is_secondary(key)]
    draw = figures.draw_agreement if question == "agreement" else figures.draw_variance
    return draw(group, shown, folder / question)


def _over_tables(question: str, found: list[Any], keys: list[str] | None, folder: Path) -> list[Path]:
    from bench.report import study_figures as figures

    draw = figures.draw_ranks if question == "ranks" else figures.draw_profiles
    return [path for key in keys or ["mcc[spearman]"] for path in draw(found, key, folder / f"{question}-{_slug(key)}")]


def _slug(key: str) -> str:
    from bench.report.frame import slugify

    return slugify(key)
