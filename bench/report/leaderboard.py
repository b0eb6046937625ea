"""The leaderboard's files, made from the rows of a store: the page, Markdown for reading in a repository, CSV."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bench.report.board import Picture, page
from bench.report.frame import Defaults, Row
from bench.report.render import render
from bench.report.tables import tables
from bench.store import write_atomically

_HEAD = """# Leaderboard

Made by `bench leaderboard` from the rows under `results/`; every number is in [leaderboard.csv](leaderboard.csv).
[index.html](index.html) has the same tables to sort and filter, with intervals drawn and all cards.
One section for each data set, source, budget and protocol: numbers from different sections are not comparable.
"""


def write(
    rows: Iterable[Row],
    folder: Path,
    defaults: Defaults | None = None,
    methods: Mapping[str, Mapping[str, str]] | None = None,
    pictures: Sequence[Picture] = (),
) -> list[Path]:
    """Write ``index.html``, ``README.md`` and ``leaderboard.csv`` into ``folder`` and return their paths.

    Args:
        methods, pictures: cards and gallery of the page, as for ``board.page``.
    """
    rows = list(rows)
    found = tables(rows, defaults=defaults)
    body = render(found, "md") if found else "No rows yet: `bench run` makes some.\n"
    files = {
        "index.html": page(found, methods=methods, pictures=pictures),
        "README.md": f"{_HEAD}\n{body}",
        "leaderboard.csv": render(found, "csv"),
    }
    for name, text in files.items():
        write_atomically(folder / name, text)
    return [folder / name for name in files]
