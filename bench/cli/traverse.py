"""``bench traverse``."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.completion import runs
from bench.cli.options import data_root_option, results_option
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
    from bench.opening import Folders
    from bench.report import traverse
    from bench.store import Store
    from bench.trained import assigned, revive

    if output is not None and Path(output).suffix != ".png":
        raise UsageError(f"--output {output}: a traversal is drawn as .png")
    folders = Folders.from_environment(results, data_root)
    row = Store(folders.results).find(run)
    trained = revive(row, folders)
    start, codes = trained.start(base), trained.usual_codes()
    ranges, latents, first_row = traverse.ranges_of(codes, 0.01, 0.99), None, []
    title = f"{trained.spec.label} ({row['hash'][:8]})"
    if largest is not None:
        ranges, latents = traverse.ranges_around(ranges, start[0]), traverse.largest(start[0], largest)
        first_row = [trained.shown_frames(base + 1)[base], trained.decode(start)[0]]
        title += f", image {base}: the {len(latents)} largest codes"
    name = f"traversal-{row['hash']}{'' if largest is None else f'-largest-{base}'}.png"
    path = Path(output) if output else folders.results / "figures" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    made = traverse.draw_traversal(
        trained.decode, start, ranges, path,
        n_values=steps, latent_factors=assigned(row), title=title, latents=latents, first_row=first_row,
    )  # fmt: skip
    click.echo(str(made))
    return 0
