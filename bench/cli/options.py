"""Options that several commands share."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from bench.cli.completion import budgets, list_of
from bench.registry import UsageError, did_you_mean

results_option = click.option(
    "--results",
    default="results",
    show_default=True,
    metavar="DIR",
    help="The store: rows, artifacts, tables, figures.",
)


def _look_there(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Make ``--data-root`` the data root of this command and its workers: names of added data sets are found there."""
    if value is not None:
        old = os.environ.get("BENCH_DATA")
        os.environ["BENCH_DATA"] = str(Path(value).absolute())

        def put_back() -> None:
            os.environ.pop("BENCH_DATA")
            if old is not None:
                os.environ["BENCH_DATA"] = old

        context.call_on_close(put_back)
    return value


data_root_option = click.option(
    "--data-root", metavar="DIR", callback=_look_there,
    help="Folder of data files, one folder per data set. [default: $BENCH_DATA]",
)  # fmt: skip


def picture_path(text: str, *more: str) -> Path:
    """The file to draw to; raises UsageError where its folder is missing or its ending is no picture's.

    Args:
        more: endings that are allowed beside .png, .svg and .pdf.
    """
    path = Path(text)
    if not path.parent.is_dir():
        raise UsageError(f"--output {path}: there is no folder {path.parent}")
    *endings, last = (".png", ".svg", ".pdf", *more)
    if path.suffix not in (*endings, last):
        raise UsageError(f"--output {path}: the name ends in {', '.join(endings)} or {last}")
    return path


def _print_for(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    """Figures of this command are made for the medium."""
    from bench.report.style import printed_for

    context.with_resource(printed_for(value))


medium_option = click.option(
    "--for", "medium", type=click.Choice(["paper", "paper-wide"]), callback=_print_for, expose_value=False,
    help="Vector PDF as wide as one column (3.3 in) or both (6.9 in), 8 point type, the caption in a .txt beside it.",
)  # fmt: skip


def figures_folder(results: str | Path, output: str | None) -> Path:
    """The folder asked for, or the store's own for figures of the medium."""
    from bench.report.style import folder

    return Path(output) if output else Path(results) / "figures" / folder()


def filters(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--methods``, ``--datasets`` and ``--budget`` to choose among stored rows by name."""
    for option in (
        click.option("--methods", metavar="NAMES", help="Only these methods: a,b", shell_complete=list_of("methods")),
        click.option(
            "--datasets", metavar="NAMES", help="Only these data sets: a,b", shell_complete=list_of("datasets")
        ),
        click.option(
            "--budget",
            metavar="NAME",
            help="Only this budget: smoke, quick, standard or paper.",
            shell_complete=budgets,
        ),
    ):
        command = option(command)
    return command


def metric_keys(text: str, rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The keys that ``--metrics`` names; UsageError where no row holds one of them."""
    from metrics.registry import split_ids

    held = sorted({key for row in rows for key in row["metrics"]})
    keys = split_ids(text)
    for key in keys:
        if key not in held:
            of_it = [one for one in held if re.split(r"[\[/@]", one)[0] == key]
            hint = f" Did you mean {' or '.join(of_it[:3])}?" if of_it else did_you_mean(key, held)
            raise UsageError(f"--metrics: no row holds '{key}'.{hint} Rows hold {', '.join(held)}")
    return keys


def stored_rows(
    results: str, methods: str | None = None, datasets: str | None = None, budget: str | None = None
) -> list[dict[str, Any]]:
    """Rows of the store that match.

    Raises:
        UsageError: no store, nothing stored, or nothing that matches.
    """
    from bench.store import Store

    folder = Path(results)
    if not (folder / "rows").is_dir():
        raise UsageError(f"no rows in {folder}; make some with `bench run`, or name another store with --results DIR")
    rows = list(Store(folder).rows())
    found = rows
    for key, text in (("method", methods), ("dataset", datasets), ("budget", budget)):
        if text is None:
            continue
        names = {name.strip() for name in text.split(",")}
        there = sorted({row["spec"][key] for row in rows})
        unknown = names - set(there)
        if unknown:
            raise UsageError(
                f"no stored rows of {key} '{sorted(unknown)[0]}' in {folder}; there are {', '.join(there)}"
            )
        found = [row for row in found if row["spec"][key] in names]
    if not found:
        raise UsageError(f"no rows in {folder} match; `bench table --rows` lists all")
    return found
