"""``bench plot``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bench.cli.completion import list_of, runs
from bench.cli.options import data_root_option, filters, results_option, stored_rows
from bench.registry import UsageError, did_you_mean

OF_ROWS = ("scores", "curves", "correlation", "information", "all")
OF_A_RUN = ("codes", "sources", "swaps")
N_IMAGES = 6  # beside their codes


@click.command("plot")
@click.argument("kind", type=click.Choice([*OF_ROWS, *OF_A_RUN]), default="all")
@click.argument("run", metavar="[RUN]", required=False, shell_complete=runs)
@click.option("--output", "-o", metavar="DIR", help="Folder for the pictures. [default: RESULTS/figures]")
@click.option(
    "--metrics", metavar="KEYS", help="With scores: only these panels: mcc[spearman],mig[hist20]",
    shell_complete=list_of("keys"),
)  # fmt: skip
@results_option
@data_root_option
@filters
def command(
    kind: str,
    run: str | None,
    metrics: str | None,
    output: str | None,
    results: str,
    data_root: str | None,
    methods: str | None,
    datasets: str | None,
    budget: str | None,
) -> int:
    """Draw stored rows: scores by method, learning curves, latent–factor correlations; PNG, SVG and PDF.

    `information` draws the curves of the mutual information that methods of sequences log. Three kinds draw one RUN,
    named as for `bench traverse`: codes (bars beside images and reconstructions), sources (|correlation| of |factors|
    and |codes|) and swaps (the content of some sequences with the motion of others: PNG, and GIF of images).

    \b
    Examples:
      bench plot scores --datasets natural_sprites
      bench plot codes vsc/smiley/0
      bench plot swaps cdsvae/sprites/0
    """
    if kind in OF_A_RUN:
        choices = {"--methods": methods, "--datasets": datasets, "--budget": budget, "--metrics": metrics}
        _check_run(kind, run, [name for name, value in choices.items() if value is not None])
        assert run is not None
        for path in _draw_run(kind, run, output, results, data_root):
            click.echo(str(path))
        return 0
    if run is not None:
        raise UsageError(f"`bench plot {kind}` draws all stored rows, not one RUN; {', '.join(OF_A_RUN)} take one")

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


def _check_run(kind: str, run: str | None, choices: list[str]) -> None:
    """UsageError unless a run is named and nothing chooses among rows."""
    if run is None:
        raise UsageError(
            f"`bench plot {kind}` draws one run; name it: bench plot {kind} METHOD/DATASET/SEED, or its hash"
        )
    if choices:
        raise UsageError(f"`bench plot {kind}` draws one run; {choices[0]} chooses among rows of the other kinds")


def _draw_run(kind: str, name: str, output: str | None, results: str, data_root: str | None) -> list[Path]:
    from bench.opening import Folders
    from bench.report.sources import draw_sources
    from bench.report.sparse_codes import draw_codes
    from bench.spec import RunSpec
    from bench.store import Store
    from bench.trained import revive, scored_codes

    folders = Folders.from_environment(results, data_root)
    row = Store(folders.results).find(name)
    path = (Path(output) if output else folders.results / "figures") / f"{kind}-{row['hash']}"
    title = f"{RunSpec.from_dict(row['spec']).label} ({row['hash'][:8]})"
    if kind == "sources":
        codes, factors, names = scored_codes(row, folders)
        return draw_sources(codes, factors, names, path, title=title)
    if kind == "swaps":
        from bench.report.swap_pictures import draw_swaps
        from bench.swap_grids import swap_grid

        grid = swap_grid(row, folders)
        return draw_swaps(grid.contents, grid.motions, grid.generated, path, title=title, is_real=grid.is_real)
    trained = revive(row, folders)
    frames, codes = trained.shown_frames(N_IMAGES), trained.codes(0, N_IMAGES)
    try:
        return draw_codes(frames, trained.decode(codes), codes, trained.usual_codes(), path, title=title)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _draw(group: Any, kind: str, folder: Path, keys: list[str] | None) -> list[Path]:
    from bench.report import curves, figures
    from bench.report.frame import slugify

    made: list[Path] = []
    if kind in ("scores", "all"):
        made += figures.draw_scores(group, folder / "scores", metrics=keys)
    if kind in ("curves", "all"):
        made += figures.draw_curves(group, folder / "curves")
        made += figures.draw_score_curves(group, folder / "scores-over-steps")
    if kind in ("information", "all"):
        made += curves.draw_information(group, folder / "information")
    if kind in ("correlation", "all"):
        for cell in group.cells:
            if kind == "correlation" or not cell.is_reference:
                made += figures.draw_correlation(group, cell, folder / f"correlation-{slugify(group.cell_label(cell))}")
    return made
