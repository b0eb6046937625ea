"""``bench traverse``."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.completion import runs
from bench.cli.options import data_root_option, figures_folder, medium_option, results_option
from bench.registry import UsageError


@click.command("traverse")
@click.argument("run", metavar="RUN", shell_complete=runs)
@click.option("--output", "-o", metavar="FILE", help="[default: RESULTS/figures/traversal-HASH….png]")
@click.option(
    "--base", type=click.IntRange(0), default=0, show_default=True, help="Which evaluation row to start from."
)
@click.option(
    "--largest", type=click.IntRange(1), metavar="N", help="Only the N latents of largest |code| in that row."
)  # fmt: skip
@click.option("--steps", type=click.IntRange(2, 15), default=7, show_default=True, help="Values per latent.")
@medium_option
@results_option
@data_root_option
def command(
    run: str, output: str | None, base: int, largest: int | None, steps: int, results: str, data_root: str | None
) -> int:
    """Draw what each latent of a trained run does: one row of decoded frames per latent.

    RUN is a row's hash, its beginning, or method/dataset/seed; `bench table --rows` lists them. The run's checkpoint
    must be in this store. With --largest the picture is that of Variational Sparse Coding: of one image, only the codes
    in use are varied, each over the values it usually has, 0 among them.

    \b
    Examples:
      bench traverse 3f9a
      bench traverse convvsc/dsprites/0 --largest 8 --base 5
    """
    from bench.cli.run_pictures import draw
    from bench.opening import Folders
    from bench.report.style import is_on_screen
    from bench.store import Store

    ending = ".png" if is_on_screen() else ".pdf"
    if output is not None and Path(output).suffix != ending:
        raise UsageError(
            f"--output {output}: a traversal is drawn as {ending}{'' if is_on_screen() else ' for a paper'}"
        )
    folders = Folders.from_environment(results, data_root)
    row = Store(folders.results).find(run)
    name = f"traversal-{row['hash']}{'' if largest is None else f'-largest-{base}'}"
    stem = Path(output).with_suffix("") if output else figures_folder(folders.results, None) / name
    for path in draw("traversals", row, folders, stem, largest=largest, base=base, steps=steps):
        click.echo(str(path))
    return 0
