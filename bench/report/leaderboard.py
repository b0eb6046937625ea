"""The leaderboard in its plainest form: one Markdown page and one CSV file made from the rows of a store."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bench.report.frame import Defaults, Row
from bench.report.render import render
from bench.report.tables import tables
from bench.store import write_atomically

_HEAD = """# Leaderboard

Made by `bench leaderboard` from the rows under `results/`; every number is in [leaderboard.csv](leaderboard.csv).
One section for each data set, source, budget and protocol: numbers from different sections are not comparable.
"""


def write(rows: Iterable[Row], folder: Path, defaults: Defaults | None = None) -> list[Path]:
    """Write ``README.md`` and ``leaderboard.csv`` into ``folder`` and return their paths."""
    found = tables(rows, defaults=defaults)
    page = folder / "README.md"
    numbers = folder / "leaderboard.csv"
    body = render(found, "md") if found else "No rows yet: `bench run` makes some.\n"
    write_atomically(page, f"{_HEAD}\n{body}")
    write_atomically(numbers, render(found, "csv"))
    return [page, numbers]
