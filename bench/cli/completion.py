"""``bench completion``, and what completes the values of options: names of methods, data sets, metrics and runs.

A shell starts ``bench`` for every press of the tab key, so names come from a note in the cache folder; it is made anew,
which imports torch and every method once, when a file of the suite or an installed package has changed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem, get_completion_class

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]
PACKAGES = {"methods": "methods", "datasets": "bench.datasets", "metrics": "metrics"}
WHERE = {
    "bash": "bench completion bash >> ~/.bashrc",
    "zsh": "bench completion zsh >> ~/.zshrc   (after compinit)",
    "fish": "bench completion fish > ~/.config/fish/completions/bench.fish",
}


@click.command("completion")
@click.argument("shell", type=click.Choice(list(WHERE)))
def command(shell: str) -> int:
    """Print the script that lets a shell complete commands, options and names.

    \b
    Examples:
      bench completion bash >> ~/.bashrc
      bench completion zsh >> ~/.zshrc
      bench completion fish > ~/.config/fish/completions/bench.fish
    """
    import sys

    from bench.cli import cli

    click.echo(script(shell, cli), nl=False)
    if sys.stdout.isatty():
        click.echo(f"bench: to keep it: {WHERE[shell]}", err=True)
    return 0


def script(shell: str, cli: click.Command) -> str:
    """The shell's script, click's own but for one thing: fish would cut ``slowvae,betavae`` at its comma."""
    found = get_completion_class(shell)
    assert found is not None
    text = found(cli, {}, "bench", "_BENCH_COMPLETE").source()
    return text.replace('string split "," $completion', 'string split -m 1 "," $completion')


def names_of(kind: str) -> list[str]:
    """Names of "methods" or "datasets", ids of "metrics" or "keys" of their numbers; empty where there are none."""
    # a traceback in the middle of a line that is being typed helps nobody; the command itself will say what is wrong
    with suppress(Exception):
        return _noted_names()[kind]
    return []


def _noted_names() -> dict[str, list[str]]:
    from bench.opening import Folders

    note = Folders.from_environment().cache / "names.json"
    stamp = _stamp()
    with suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads(note.read_text(encoding="utf-8"))
        if found["stamp"] == stamp:
            return found["names"]
    from bench import registry
    from bench.store import write_atomically
    from bench.sweeps import SWEEPS
    from metrics.registry import metric, metric_ids

    names = {"methods": [*registry.methods(), *SWEEPS], "datasets": list(registry.datasets()), "metrics": metric_ids()}
    names["keys"] = [key for one in names["metrics"] for key in metric(one).keys("quick")]
    with suppress(OSError):
        write_atomically(note, json.dumps({"stamp": stamp, "names": names}))
    return names


def _stamp() -> str:
    """Changes with every file that may register a name, and with the names of added data sets."""
    from bench.datasets.official import ADDED, data_root

    seen: list[Any] = [sorted(path.name for path in (data_root() / ADDED).glob("*"))]
    for package in PACKAGES.values():
        spec = importlib.util.find_spec(package)
        for folder in (spec.submodule_search_locations or []) if spec else []:
            seen += sorted((str(path), path.stat().st_mtime_ns) for path in Path(folder).glob("*.py"))
    for kind in PACKAGES:
        seen += sorted(
            (point.name, point.value, point.dist.version if point.dist else "")
            for point in entry_points(group=f"bench.{kind}")
        )
    return hashlib.sha256(repr(seen).encode()).hexdigest()


def one_of(*kinds: str) -> Completer:
    """Completes one name of these kinds."""

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return _starting(incomplete, (name for kind in kinds for name in names_of(kind)))

    return complete


def list_of(kind: str) -> Completer:
    """Completes the last name of a list ``a,b[key=value],c``; what stands before it is kept and not proposed again."""

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        names = names_of(kind)
        start = _start_of_last(incomplete)
        before, last = incomplete[:start], incomplete[start:]
        taken = {piece.strip() for piece in before.split(",")}
        return [CompletionItem(before + name) for name in names if name.startswith(last.lstrip()) and name not in taken]

    return complete


def budgets(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes a budget."""
    from bench.spec import BUDGETS

    return _starting(incomplete, BUDGETS)


def protocols(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes a protocol."""
    from metrics.protocols import PROTOCOLS

    return _starting(incomplete, PROTOCOLS)


def runs(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes a stored run: its hash, or method/dataset/seed once a slash has been typed."""
    rows = Path(context.params.get("results") or "results") / "rows"
    paths = sorted(rows.glob("*/*/*.json"))
    if "/" not in incomplete:
        return [
            CompletionItem(path.stem, help=f"{path.parent.name} on {path.parent.parent.name}")
            for path in paths
            if path.stem.startswith(incomplete)
        ] or _starting(incomplete, sorted({f"{path.parent.name}/" for path in paths}))
    found = set()
    for path in paths:
        place = f"{path.parent.name}/{path.parent.parent.name}/"
        if incomplete.startswith(place):
            with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
                found.add(f"{place}{json.loads(path.read_text(encoding='utf-8'))['spec']['seed']}")
        else:
            found.add(place)
    return _starting(incomplete, sorted(found))


def _starting(incomplete: str, values: Iterable[str]) -> list[CompletionItem]:
    return [CompletionItem(value) for value in values if value.startswith(incomplete)]


def _start_of_last(text: str) -> int:
    """Where the last item of a list begins: after the last comma outside brackets."""
    depth, start = 0, 0
    for i, letter in enumerate(text):
        depth += (letter == "[") - (letter == "]")
        if letter == "," and depth == 0:
            start = i + 1
    return start
