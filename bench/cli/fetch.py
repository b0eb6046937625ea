"""``bench data fetch`` and ``bench data verify``."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench import registry, selection
from bench.cli.completion import one_of
from bench.cli.options import data_root_option
from bench.registry import UsageError

if TYPE_CHECKING:
    from bench.datasets.base import OfficialFile
    from bench.fetching.fetch import Fetcher


@click.command("fetch")
@click.argument("names", metavar="NAME[key=value]…", nargs=-1, shell_complete=one_of("datasets"))
@click.option(
    "--import", "imported", metavar="PATH", type=click.Path(path_type=Path),
    help="Take the files from this file, folder or archive instead of the network.",
)  # fmt: skip
@click.option("--accept-checksum", is_flag=True, help="Take files that are not as recorded; a warning stays with them.")
@click.option("--list", "as_list", is_flag=True, help="Only list the files: size, checksum, what is there.")
@click.option("--dry-run", is_flag=True, help="Only print the addresses and what is still to come.")
@click.option("--test/--no-test", default=True, show_default=True, help="Open each data set at the end.")
@data_root_option
def fetch(
    names: tuple[str, ...], imported: Path | None, accept_checksum: bool, as_list: bool, dry_run: bool, test: bool,
    data_root: str | None,
) -> int:  # fmt: skip
    """Fetch the official files of data sets, check them, and open each data set once.

    A broken download goes on where it was when the command is repeated. Files that no program may fetch come with
    instructions, and are taken from where you saved them with --import.

    \b
    Examples:
      bench data fetch mnist fashion_mnist
      bench data fetch mpi3d[variant=toy] --dry-run
      bench data fetch celeba --import ~/Downloads
    """
    from bench.datasets.official import data_root as root_of

    chosen = _chosen(names, everything=as_list)
    if imported is not None and len(chosen) != 1:
        raise UsageError(f"--import takes the files of one data set, got {len(chosen)} names")
    root = root_of(data_root)
    with _display(root, accept_checksum) as fetcher:
        if as_list:
            return _list(chosen, fetcher)
        if dry_run:
            return _dry_run(chosen, fetcher)
        return max([_obtain(name, configs, fetcher, imported, test) for name, configs in chosen.items()])


@click.command("verify")
@click.argument("names", metavar="NAME…", nargs=-1, shell_complete=one_of("datasets"))
@data_root_option
def verify(names: tuple[str, ...], data_root: str | None) -> int:
    """Hold the files that are there against their recorded sizes and checksums; all data sets where none is named.

    Exit code 1 where a file is wrong, or nothing of a named data set is there.

    Example: bench data verify mnist
    """
    from bench.datasets import added
    from bench.datasets.official import data_root as root_of
    from bench.fetching.fetch import Fetcher

    root = root_of(data_root)
    fetcher, wrong, lines = Fetcher(root), 0, []
    own = added.folders(root)
    for name in _chosen(names, everything=True):
        if name in own:
            found = [(name, *added.verify(own[name]))]
        else:
            files = registry.dataset(name).card.files
            there = [file for file in files if fetcher.state(name, file) == "present"]
            found = [
                (str(Path(file.name).with_name(fetcher.path(name, file).name)), *fetcher.verify(name, file))
                for file in there
            ]
            if names and not there:
                none_of = f"none of its {len(files)} official files is in {root}" if files else "has no official files"
                click.echo(f"{name}: {none_of}")
                wrong += 1
        for what, is_right, words in found:
            lines.append((name, what, "ok" if is_right else "WRONG", words))
            wrong += not is_right
    for line in _aligned(lines) if lines else ():
        click.echo(line)
    if not lines and not names:
        click.echo(f"nothing to verify: no files in {root}")
    return 1 if wrong else 0


def _chosen(names: tuple[str, ...], *, everything: bool) -> dict[str, list[Any]]:
    """Data sets by name with the configs that were asked for, in the order typed; all of them where none is named."""
    if not names:
        if not everything:
            raise UsageError("name a data set; `bench data list` shows which can be fetched")
        return {name: [entry.config()] for name, entry in registry.datasets().items()}
    chosen: dict[str, list[Any]] = {}
    for text in names:
        for selected in selection.parse(text, "bench data"):
            entry = registry.dataset(selected.name)
            config = selection.resolve_config(entry.config, {}, selected, "bench data")
            chosen.setdefault(selected.name, []).append(config)
    return chosen


def needed(name: str, configs: list[Any]) -> list[OfficialFile]:
    """The official files that these configs of a data set read, each once."""

    def is_needed(file: OfficialFile) -> bool:
        key, _, value = file.variant.partition("=")
        is_used = not key or any(str(getattr(config, key)) == value for config in configs)
        return is_used and not file.is_alternative

    return [file for file in registry.dataset(name).card.files if is_needed(file)]


def _list(chosen: dict[str, list[Any]], fetcher: Fetcher) -> int:
    lines = [("data set", "file", "size", "checksum", "there", "from")]
    for name in chosen:
        for file in registry.dataset(name).card.files:
            origin = f"{len(file.addresses)} address{'es' if len(file.addresses) > 1 else ''}"
            origin = (origin if file.addresses else "by hand") + (f", for {file.variant}" if file.variant else "")
            origin = "instead of the others" if file.is_alternative else origin
            there = {"present": "yes", "partial": "partly", "absent": "no"}[fetcher.state(name, file)]
            lines.append((name, file.name, megabytes(file.size), known_of(file), there, origin))
    for line in _aligned(lines):
        click.echo(line)
    click.echo(f"looked for in {fetcher.root}")
    return 0


def _aligned(lines: Sequence[Sequence[str]]) -> Iterator[str]:
    """Columns as wide as their widest text."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        yield "  ".join(f"{text:<{width}}" for text, width in zip(line, widths, strict=True)).rstrip()


def _dry_run(chosen: dict[str, list[Any]], fetcher: Fetcher) -> int:
    for name, configs in chosen.items():
        for file in needed(name, configs):
            left = fetcher.to_fetch(name, file)
            what = "there already" if left == 0 else "size unknown" if left is None else f"{megabytes(left)} to come"
            click.echo(f"{name}: {file.name} → {fetcher.path(name, file)} ({what})")
            for address in file.addresses:
                click.echo(f"  {address}")
            if not file.addresses:
                click.echo(f"  by hand: {file.by_hand}")
    return 0


def _obtain(name: str, configs: list[Any], fetcher: Fetcher, imported: Path | None, test: bool) -> int:
    """Fetch or file one data set; returns the exit code."""
    from bench.fetching.fetch import ByHand, check_room

    card, files = registry.dataset(name).card, needed(name, configs)
    if not files and not card.by_hand:
        click.echo(f"{name}: no official files to fetch; {_instead(name)}")
        return 0 if not card.files else 1
    click.echo(f"{name}: licence: {card.license}")
    if card.notice:
        click.echo(f"{name}: {card.notice}")
    if not files:
        click.echo(f"{name}: must be obtained by hand: {card.by_hand}")
        return 1
    missing = 0
    try:
        if imported is not None:
            for file, words in fetcher.file_away(name, files, imported):
                click.echo(f"{name}: {file.name} {words}")
        else:
            check_room(fetcher, name, files)
            for file in files:
                try:
                    click.echo(f"{name}: {file.name} {fetcher.fetch(name, file)}")
                except ByHand as error:
                    click.echo(error.instructions)
                    missing += 1
    except (OSError, ValueError) as error:
        click.echo(f"bench: {error}", err=True)
        return 1
    except KeyboardInterrupt:
        click.echo("bench: stopped; the same command goes on where it was", err=True)
        return 1
    left = [file.name for file in files if fetcher.state(name, file) != "present"]
    if left:
        if not missing:
            click.echo(f"{name}: still missing: {', '.join(left)}")
        return 1
    return _self_test(name, configs, fetcher.root) if test else 0


def _instead(name: str) -> str:
    files = registry.dataset(name).card.files
    if files:
        return f"name a form of it: {', '.join(f'{name}[{file.variant}]' for file in files)}"
    return "it is made here, or its card (`bench show " + name + "`) says where its files come from"


def _self_test(name: str, configs: list[Any], root: Path) -> int:
    """Open what was fetched, at the size that opens fastest, and say what it holds."""
    import dataclasses

    from bench.fetching.self_test import look_at
    from bench.opening import Folders, open_dataset, resolve_source

    folders = Folders.from_environment(data=root)
    smoke = registry.dataset(name).card.budgets.get("smoke", {})
    for config in configs:
        names = {field.name for field in dataclasses.fields(config)}
        wanted = dict(smoke) | ({"source": "official"} if "source" in names else {})
        click.echo(f"{name}: opening it once; the first time it is converted")
        try:
            config, source = resolve_source(name, dataclasses.replace(config, **wanted), folders)
            click.echo(f"{name}: opens, {source.kind}: {look_at(open_dataset(name, config, source, folders), name)}")
        except (OSError, ValueError, MemoryError) as error:
            click.echo(f"bench: {name} is there but does not open: {error}", err=True)
            return 1
    return 0


def known_of(file: OfficialFile) -> str:
    """What a file will be held against."""
    kinds = [kind for kind in ("sha256", "md5") if getattr(file, kind)]
    if file.warn_md5:
        return "md5 warns"
    return kinds[0] if kinds else "content" if file.content_sha256 or file.content_md5 else "first use"


def megabytes(size: int | None) -> str:
    """A size for people: 26.1 MB, 12 kB, or that it is not known."""
    if size is None:
        return "unknown"
    if size < 1_000_000:
        return f"{max(1, round(size / 1e3)) if size else 0} kB"
    return f"{size / 1e6:,.1f} MB" if size < 1e9 else f"{size / 1e9:,.2f} GB"


@contextmanager
def _display(root: Path, accept: bool) -> Iterator[Fetcher]:
    """A fetcher that shows progress: a bar on a terminal, nothing but notes elsewhere."""
    from bench.fetching.fetch import Fetcher

    if not sys.stderr.isatty():
        yield Fetcher(root, accept, note=lambda text: click.echo(f"bench: {text}", err=True))
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, Any] = {}

        def show(file: OfficialFile, there: int, total: int | None) -> None:
            if file.name not in tasks:
                tasks[file.name] = bars.add_task(file.name, total=total or file.size, completed=there)
            bars.update(tasks[file.name], completed=there, total=total or file.size)
            if there == total:
                bars.update(tasks[file.name], visible=False)

        yield Fetcher(root, accept, note=lambda text: bars.console.print(f"bench: {text}", markup=False), progress=show)
