"""``bench data``: look at data sets."""

from __future__ import annotations

import click

from bench import registry, selection
from bench.cli.options import data_root_option, picture_path
from bench.registry import UsageError


@click.group("data")
def command() -> None:
    """Look at data sets.

    Example: bench data show natural_sprites
    """


@command.command("list")
@data_root_option
def list_(data_root: str | None) -> int:
    """List data sets with their licence and the source that would be used now.

    Example: bench data list
    """
    from bench.opening import Folders, resolve_source

    folders = Folders.from_environment(data=data_root)
    for name, entry in registry.datasets().items():
        try:
            source: str = resolve_source(name, entry.config(), folders)[1].kind
        except (OSError, ValueError) as error:
            source = f"absent: {error}"
        click.echo(f"{name:<18} {source:<10} {entry.card.license}")
    click.echo(f"official files are looked for in {folders.data}")
    return 0


@command.command("show")
@click.argument("dataset", metavar="NAME[key=value]")
@click.option("--output", "-o", metavar="FILE", help="Where to write the picture. [default: NAME.png]")
@click.option("--budget", default="smoke", show_default=True, help="Whose sizes to use; smoke opens fastest.")
@click.option("--seed", default=0, show_default=True, help="Which observations are shown.")
@data_root_option
def show(dataset: str, output: str | None, budget: str, seed: int, data_root: str | None) -> int:
    """Draw a contact sheet: observations with their factors.

    Example: bench data show natural_sprites[form=continuous]
    """
    from bench.datasets.contact_sheet import contact_sheet
    from bench.opening import Folders, open_dataset, resolve_source
    from bench.randomness import stream
    from bench.spec import BUDGETS

    if budget not in BUDGETS:
        raise UsageError(f"--budget is one of {', '.join(BUDGETS)}; got '{budget}'")
    chosen = selection.parse(dataset, "bench data show")
    if len(chosen) != 1:
        raise UsageError(f"bench data show draws one data set with one value per parameter, got '{dataset}'")
    name = chosen[0].name
    entry = registry.dataset(name)
    path = picture_path(output or f"{name}.png")
    config = selection.resolve_config(entry.config, entry.card.budgets.get(budget, {}), chosen[0], "bench data show")
    folders = Folders.from_environment(data=data_root)
    try:
        config, source = resolve_source(name, config, folders)
        data = open_dataset(name, config, source, folders)
    except (OSError, ValueError) as error:
        raise UsageError(str(error)) from None
    contact_sheet(data, path, stream(seed, name, "contact sheet"))
    click.echo(f"{name} ({source.kind}) drawn to {path}")
    return 0
