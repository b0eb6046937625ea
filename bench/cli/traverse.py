"""``bench traverse``."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.completion import runs
from bench.cli.options import data_root_option, results_option
from bench.registry import UsageError


@click.command("traverse")
@click.argument("run", metavar="RUN", shell_complete=runs)
@click.option("--output", "-o", metavar="FILE", help="[default: RESULTS/figures/traversal-HASH.png]")
@click.option(
    "--base", type=click.IntRange(0), default=0, show_default=True, help="Which evaluation row to start from."
)
@click.option("--steps", type=click.IntRange(2, 15), default=7, show_default=True, help="Values per latent.")
@results_option
@data_root_option
def command(run: str, output: str | None, base: int, steps: int, results: str, data_root: str | None) -> int:
    """Draw what each latent of a trained run does: one row of decoded frames per latent.

    RUN is a row's hash, its beginning, or method/dataset/seed; `bench table --rows` lists them. The run's checkpoint
    must be in this store.

    Example: bench traverse 3f9a
    """
    from bench.opening import Folders
    from bench.report.traverse import draw_traversal, ranges_of
    from bench.store import Store
    from bench.trained import assigned, revive

    if output is not None and Path(output).suffix != ".png":
        raise UsageError(f"--output {output}: a traversal is drawn as .png")
    folders = Folders.from_environment(results, data_root)
    row = Store(folders.results).find(run)
    trained = revive(row, folders)
    start, codes = trained.start(base), trained.usual_codes()
    path = Path(output) if output else folders.results / "figures" / f"traversal-{row['hash']}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    made = draw_traversal(
        trained.decode, start, ranges_of(codes, 0.01, 0.99), path,
        n_values=steps, latent_factors=assigned(row), title=f"{trained.spec.label} ({row['hash'][:8]})",
    )  # fmt: skip
    click.echo(str(made))
    return 0
