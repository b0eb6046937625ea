"""``bench plot``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bench.cli.completion import list_of
from bench.cli.options import filters, results_option, stored_rows
from bench.registry import UsageError, did_you_mean


@click.command("plot")
@click.argument("kind", type=click.Choice(["scores", "curves", "correlation", "all"]), default="all")
@click.option("--output", "-o", metavar="DIR", help="Folder for the pictures. [default: RESULTS/figures]")
@click.option(
    "--metrics", metavar="KEYS", help="With scores: only these panels: mcc[spearman],mig[hist20]",
    shell_complete=list_of("keys"),
)  # fmt: skip
@results_option
@filters
def command(
    kind: str,
    metrics: str | None,
    output: str | None,
    results: str,
    methods: str | None,
    datasets: str | None,
    budget: str | None,
) -> int:
    """Draw stored rows: scores by method, learning curves, latent–factor correlations; PNG, SVG and PDF.

    Example: bench plot scores --datasets natural_sprites
    """
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
    folder = Path(output) if output else Path(results) / "figures"
    made: list[Path] = []
    for group in groups(rows, defaults_of):
        made += _draw(group, kind, folder / group.slug, keys)
    for path in made:
        click.echo(str(path))
    if not made:
        click.echo(f"bench: these rows hold nothing to draw as '{kind}'", err=True)
    return 0


def _draw(group: Any, kind: str, folder: Path, keys: list[str] | None) -> list[Path]:
    from bench.report import figures
    from bench.report.frame import slugify

    made: list[Path] = []
    if kind in ("scores", "all"):
        made += figures.draw_scores(group, folder / "scores", metrics=keys)
    if kind in ("curves", "all"):
        made += figures.draw_curves(group, folder / "curves")
        made += figures.draw_score_curves(group, folder / "scores-over-steps")
    if kind in ("correlation", "all"):
        for cell in group.cells:
            if kind == "correlation" or not cell.is_reference:
                made += figures.draw_correlation(group, cell, folder / f"correlation-{slugify(group.cell_label(cell))}")
    return made
