"""``bench data add``."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.options import data_root_option


@click.command("add")
@click.argument("name")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--images", metavar="KEY", help="The array of images. [default: images, x, frames, …]")
@click.option("--factors", metavar="KEY", help="The array of factors. [default: factors, labels, …; none is fine]")
@click.option("--factor-names", metavar="NAMES", help="One per column: hue,angle. [default: the file's factor_names]")
@click.option("--discrete", metavar="NAMES", help="Factors written as floats that are classes: a,b or all.")
@click.option("--layout", metavar="AXES", help="What the axes are, where not evident: nhwc, nchw, nthwc, ntchw, nthw.")
@click.option("--replace", is_flag=True, help="Put this in the place of what was added under that name before.")
@data_root_option
def command(
    name: str, file: Path, images: str | None, factors: str | None, factor_names: str | None, discrete: str | None,
    layout: str | None, replace: bool, data_root: str | None,
) -> int:  # fmt: skip
    """Make a data set of your own images: npz, npy or HDF5, with or without factors, with or without time.

    Images are (n, height, width[, channels]) or (n, channels, height, width), uint8 or floats in [0, 1]; sequences have
    time after n. Factors are (n, k), for sequences (n, time, k) or (n, k); integers are classes, floats measurements.
    A copy is kept below the data root; NAME then works wherever the name of a data set does.

    \b
    Examples:
      bench data add shelf shelf.npz --factor-names hue,angle
      bench data add walks walks.h5 --images videos --layout nthwc
      bench run --methods betavae,slowvae --datasets walks
    """
    from bench.adding import add_file

    added = add_file(
        name, file, images=images, factors=factors, factor_names=_names(factor_names), discrete=_names(discrete) or (),
        layout=layout, replace=replace, root=data_root,
    )  # fmt: skip
    click.echo(added)
    for note in added.notes:
        click.echo(f"  {note}")
    click.echo(f"  kept in {added.path}; see it with `bench data show {name}`")
    return 0


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",")]
