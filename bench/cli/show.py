"""``bench show``: the card of one method, data set or metric."""

from __future__ import annotations

import dataclasses
import shutil
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from bench import registry
from bench.cli.completion import one_of
from bench.registry import UsageError, did_you_mean
from bench.sweeps import SWEEPS

if TYPE_CHECKING:
    from bench.datasets.base import OfficialFile


@click.command("show")
@click.argument("name", shell_complete=one_of("methods", "datasets", "metrics"))
def command(name: str) -> int:
    """Show the card of a method, sweep, data set or metric: source, parameters, bounds, how it was verified.

    Example: bench show slowvae
    """
    from metrics.registry import UnknownMetric, cards, metric, resolve

    methods, datasets, metrics = registry.methods(), registry.datasets(), cards()
    if name in methods or name in datasets:
        entry = methods.get(name) or datasets[name]
        _fields(name, entry.card)
        _parameters(entry)
        if name in methods:
            _grids(name, entry.card)
        return 0
    if name in SWEEPS:
        _fields(name, SWEEPS[name])
        _sweep(name, methods)
        return 0
    try:
        plain = name.partition("@")[0]
        if plain.partition("[")[0] in metrics:
            resolve([name])  # a part that no code has is refused
            _metric(plain if plain in metrics else metric(plain).id)
            return 0
    except UnknownMetric as error:
        raise UsageError(str(error)) from None
    near = did_you_mean(name, [*methods, *SWEEPS, *datasets, *metrics])
    raise UsageError(f"nothing is called '{name}'.{near} `bench list methods|datasets|metrics` shows all names.")


def _fields(name: str, card: Any) -> None:
    click.echo(name)
    for field in dataclasses.fields(card):
        value = getattr(card, field.name)
        if field.name == "files" and value:
            _files(value)
            continue
        if (
            field.name in ("budgets", "outputs", "grids")
            or callable(value)
            or value in ("", (), None, {})
            or field.name == "name"
        ):
            continue
        if isinstance(value, Mapping):
            value = "; ".join(str(key) + (f": {text}" if text else "") for key, text in value.items())
        _line(field.name.replace("_", " "), ", ".join(map(str, value)) if isinstance(value, tuple) else str(value))


def _files(files: Sequence[OfficialFile]) -> None:
    """Two lines for each official file: what it is, and where it comes from."""
    from bench.cli.fetch import known_of, megabytes

    click.echo("  official files")
    for file in files:
        size = "size unknown" if file.size is None else megabytes(file.size)
        form = f" (for {file.variant})" if file.variant else ""
        click.echo(f"    {file.name}{form}: {size}, checksum: {known_of(file)}")
        for text in file.addresses or (f"by hand: {file.by_hand}",):
            _line("", text, indent=6)


def _parameters(entry: registry.Entry) -> None:
    """Defaults, and beside each what the budgets put instead."""
    click.echo("  parameters (default, and what a budget puts instead)")
    for field in dataclasses.fields(entry.config):
        changed = [
            f"{budget} {values[field.name]}" for budget, values in entry.card.budgets.items() if field.name in values
        ]
        click.echo(f"    {field.name:<16} {field.default!s:<10} {', '.join(changed)}".rstrip())


def _grids(name: str, card: Any) -> None:
    """One line per sweep of a method."""
    for i, (grid, points) in enumerate(card.grids.items()):
        if i == 0:
            click.echo(f"  sweeps, written {name}[grid={grid}]")
        _line(grid, f"{_spread(points)} ({len(points)} points)", indent=4)


def _sweep(name: str, methods: Mapping[str, registry.Entry]) -> None:
    """One line per method of a sweep over several."""
    points = {method: methods[method].card.grids[name] for method in SWEEPS[name].methods}
    click.echo(f"  what is set ({sum(map(len, points.values()))} points)")
    for method, grid in points.items():
        _line(method, _spread(grid), indent=4)


def _spread(points: Sequence[Mapping[str, Any]]) -> str:
    """Every parameter of these points with its values: ``beta 1, 4; network study``."""
    values = {key: dict.fromkeys(_value(point[key]) for point in points) for key in points[0]}
    return "; ".join(f"{key} {', '.join(texts)}" for key, texts in values.items())


def _value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _metric(metric_id: str) -> None:
    from metrics.registry import cards, metric

    name = metric_id.partition("[")[0]
    card = cards()[name]
    _fields(metric_id, card)
    click.echo("  numbers (bounds; direction; floor and ceiling on dSprites' factor sizes)")
    ids = [metric_id] if metric_id != name else [f"{name}[{v}]" if v else name for v in card.variants]
    for one in ids:
        for suffix, output in metric(one).outputs.items():
            low, high = ("−∞" if output.bounds[0] is None else output.bounds[0]), output.bounds[1]
            direction = "higher is better" if output.higher_is_better else "lower is better"
            ends = f"floor {_number(output.floor)}, ceiling {_number(output.ceiling)}"
            click.echo(f"    {one}{suffix}: [{low}, {'∞' if high is None else high}]; {direction}; {ends}")
            if output.note:
                _line("", output.note, indent=6)


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:g}"


def _line(label: str, text: str, indent: int = 2) -> None:
    width = min(shutil.get_terminal_size((100, 24)).columns, 100)
    head = " " * indent + (f"{label:<18}" if label else "")
    click.echo(textwrap.fill(text, width, initial_indent=head, subsequent_indent=" " * len(head)))
