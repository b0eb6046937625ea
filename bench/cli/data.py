"""``bench data``: what is there, and a look at it; fetching and adding have modules of their own."""

from __future__ import annotations

from typing import Any

import click

from bench import registry, selection
from bench.cli.add import command as add
from bench.cli.completion import one_of
from bench.cli.fetch import fetch, megabytes, needed, verify
from bench.cli.options import data_root_option, picture_path
from bench.registry import UsageError


@click.group("data")
def command() -> None:
    """Data sets: list, fetch and verify official files, look at them, add your own.

    Example: bench data fetch mnist
    """


command.add_command(fetch)
command.add_command(verify)
command.add_command(add)


@command.command("list")
@data_root_option
def list_(data_root: str | None) -> int:
    """List data sets: which source would be used now, what of the official files is there, and the licence.

    Example: bench data list
    """
    from bench.fetching.fetch import Fetcher
    from bench.opening import Folders, resolve_source

    folders = Folders.from_environment(data=data_root)
    fetcher = Fetcher(folders.data)
    click.echo(f"{'data set':<18} {'now':<10} {'official files':<28} licence")
    unreadable = []
    for name, entry in registry.datasets().items():
        try:
            now: str = resolve_source(name, entry.config(), folders)[1].kind
        except OSError:
            now = "absent"
        except ValueError as error:
            now = "unreadable"
            unreadable.append(str(error))
        click.echo(f"{name:<18} {now:<10} {_files_in_words(name, entry.config(), fetcher):<28} {entry.card.license}")
    for reason in unreadable:
        click.echo(f"bench: {reason}", err=True)
    click.echo(f"looked for in {folders.data}; `bench data fetch NAME` brings official files there")
    return 0


def _files_in_words(name: str, config: Any, fetcher: Any) -> str:
    files = needed(name, [config])
    if not files:
        return "-"
    n_there = sum(fetcher.state(name, file) == "present" for file in files)
    others = [file for file in registry.dataset(name).card.files if file.is_alternative]
    if n_there == len(files) or any(fetcher.state(name, file) == "present" for file in others):
        return "present"
    left = [fetcher.to_fetch(name, file) for file in files]
    size = megabytes(sum(one or 0 for one in left)) if None not in left else "size unknown"
    by_hand = [file for file in files if not file.addresses and fetcher.state(name, file) != "present"]
    how = f"{'by hand' if by_hand else 'to fetch'}, {size}"
    return f"{n_there} of {len(files)}; {how}" if n_there else how


@command.command("show")
@click.argument("dataset", metavar="NAME[key=value]", shell_complete=one_of("datasets"))
@click.option("--output", "-o", metavar="FILE", help="Where to write the picture; a .gif moves. [default: NAME.png]")
@click.option("--budget", default="smoke", show_default=True, help="Whose sizes to use; smoke opens fastest.")
@click.option("--seed", default=0, show_default=True, help="Which observations are shown.")
@data_root_option
def show(dataset: str, output: str | None, budget: str, seed: int, data_root: str | None) -> int:
    """Draw a contact sheet: observations with their factors.

    Sequences move in a .gif file.

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
    path = picture_path(output or f"{name}.png", ".gif")
    config = selection.resolve_config(entry.config, entry.card.budgets.get(budget, {}), chosen[0], "bench data show")
    folders = Folders.from_environment(data=data_root)
    try:
        config, source = resolve_source(name, config, folders)
        data = open_dataset(name, config, source, folders)
        contact_sheet(data, path, stream(seed, name, "contact sheet"))
    except (OSError, ValueError) as error:
        raise UsageError(str(error)) from None
    click.echo(f"{name} ({source.kind}) drawn to {path}")
    return 0
