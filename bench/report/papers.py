"""Published tables and figures and what regenerates them: what ``bench/papers`` declares, read without torch.

A paper is a folder with ``paper.toml`` (which published rows make a table, and what we call its methods, data sets and
metrics; what draws a figure) and a long CSV of published numbers, or the CSV alone where it already uses our names.
"""

from __future__ import annotations

import csv
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.messages import one_line

PAPERS = Path(__file__).parents[1] / "papers"
COLUMNS = (
    "paper",
    "table",
    "dataset",
    "setting",
    "method",
    "metric",
    "value",
    "spread",
    "spread_kind",
    "seeds",
    "note",
)
NEEDED = ("method", "dataset", "metric", "value")
MOST_ROWS = 100_000


DRAWN = {
    "swaps": ("n_contents", "n_motions"),
    "codes": ("n_images",),
    "sources": (),
    "traversals": ("largest", "base", "steps"),
    "scores": (),
    "curves": (),
    "correlation": (),
    "information": (),
    "statistics": (),
    "flow": (),
    "speeds": (),
    "shares": (),
    "switching": (),
    "superposing": (),
    "generalisation": (),
    "sweep": ("parameter", "label"),
}
"""What can draw a figure, and the options that ``paper.toml`` may give it. "statistics" is of data alone (`bench
naturalstats`), "sweep" shows published tables over a parameter that stands in their lines."""
OF_A_RUN = ("swaps", "codes", "sources", "traversals", "flow", "speeds")
OF_RUNS = ("switching", "superposing", "generalisation")
SCORED = {
    "shares": ("equivariance_error",),
    "switching": ("equivariance_error", "equivariance_error[switching]"),
    "superposing": ("equivariance_error", "equivariance_error[superposing]"),
    "generalisation": ("equivariance_error", "equivariance_error[unseen]"),
}
"""Metrics that are scored for a figure, where those that a run has by itself are not enough."""


class BadPaper(ValueError):
    """A declaration or a file of published numbers that cannot be read; the message says where and what is wanted."""


@dataclass(frozen=True)
class Published:
    """One published number.

    Attributes:
        spread: as printed beside it, of ``spread_kind`` ("std", say); None where none was published.
        note: what is known against it, for a footnote.
    """

    table: str
    dataset: str
    setting: str
    method: str
    metric: str
    value: float
    spread: float | None
    spread_kind: str
    seeds: str
    note: str


@dataclass(frozen=True)
class Metric:
    """A column of a published table.

    Attributes:
        published: its name there; key: ours; scale: ours times this has the unit of the published one.
        higher_is_better: direction; None where the metric is registered and says it itself.
    """

    published: str
    key: str
    scale: float = 1.0


@dataclass(frozen=True)
class PaperTable:
    """One table of a paper and the grid that regenerates it.

    Attributes:
        id: what follows the colon in ``bench paper show PAPER:ID``.
        methods: (published name, ours in the grammar of ``--methods``), in the table's order; ours is empty for what
            the suite does not have.
        datasets: (published name, ours in the grammar of ``--datasets``).
        published: its numbers; empty where they could not be obtained.
        setting: the published setting, where a table has several.
        lines: the published column that tells the lines of the table apart: "method", or "setting" for a sweep.
        note: what a reader must know of the comparison.
    """

    id: str
    title: str
    methods: tuple[tuple[str, str], ...]
    datasets: tuple[tuple[str, str], ...]
    metrics: tuple[Metric, ...]
    published: tuple[Published, ...]
    setting: str = ""
    note: str = ""
    lines: str = "method"

    def value(self, dataset: str, line: str, metric: str) -> Published | None:
        """The published number of that place, or None."""
        for one in self.published:
            if (one.dataset, getattr(one, self.lines), one.metric) == (dataset, line, metric):
                return one
        return None


@dataclass(frozen=True)
class PaperFigure:
    """A figure of a paper, and what draws ours.

    Attributes:
        id: what follows the colon in ``bench plot PAPER:ID``.
        place: which figure of the paper it is.
        draw: a key of ``DRAWN``.
        methods, datasets: as in ``PaperTable``; a statistic of data has no methods, a sweep those of its tables.
        lines: of a sweep, the tables that it shows, each with its name in the legend.
        options: of what draws it.
        note: what differs from the published figure.
    """

    id: str
    title: str
    place: str
    draw: str
    methods: tuple[tuple[str, str], ...] = ()
    datasets: tuple[tuple[str, str], ...] = ()
    lines: tuple[tuple[str, PaperTable], ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Paper:
    """A paper whose tables and figures can be regenerated."""

    name: str
    title: str
    tables: tuple[PaperTable, ...]
    note: str = ""
    figures: tuple[PaperFigure, ...] = ()

    def table(self, table_id: str) -> PaperTable | None:
        return next((one for one in self.tables if one.id == table_id), None)

    def figure(self, figure_id: str) -> PaperFigure | None:
        return next((one for one in self.figures if one.id == figure_id), None)


def papers() -> dict[str, Paper]:
    """All declared papers by name."""
    return {path.parent.name: read_paper(path) for path in sorted(PAPERS.glob("*/paper.toml"))}


def read_paper(path: Path) -> Paper:
    """The paper that ``paper.toml`` declares.

    Raises:
        BadPaper: not TOML, a missing or unknown entry, or numbers that cannot be read.
    """
    try:
        declared = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadPaper(f"{path}: {one_line(error)}") from None
    _check(declared, {"title", "tables"}, {"note", "published", "figures"}, str(path))
    numbers: dict[str, tuple[Published, ...]] = {}
    tables = []
    for i, table in enumerate(declared["tables"]):
        place = f"{path}: table {table.get('id', i + 1)}"
        _check(
            table,
            {"id", "title", "methods", "datasets", "metrics"},
            {"published", "where", "setting", "note", "lines"},
            place,
        )
        file = table.get("published", declared.get("published", ""))
        if file and file not in numbers:
            numbers[file] = read_numbers(path.parent / file)
        chosen = _where(numbers.get(file, ()), table.get("where", {}), place) if "where" in table else ()
        tables.append(
            PaperTable(
                str(table["id"]), table["title"], _names(table["methods"]), _names(table["datasets"]),
                tuple(Metric(one["published"], one["key"], float(one.get("scale", 1))) for one in table["metrics"]),
                chosen, table.get("setting", ""), table.get("note", ""), _lines(table, place),
            )
        )  # fmt: skip
    figures = tuple(_figure(one, tables, f"{path}: figure {one.get('id', '')}") for one in declared.get("figures", ()))
    ids = [table.id for table in tables] + [figure.id for figure in figures]
    twice = next((one for one in ids if ids.count(one) > 1), None)
    if twice is not None:
        raise BadPaper(f"{path}: two tables or figures are called '{twice}'")
    return Paper(path.parent.name, declared["title"], tuple(tables), declared.get("note", ""), figures)


def _figure(declared: Mapping[str, Any], tables: Sequence[PaperTable], place: str) -> PaperFigure:
    _check(declared, {"id", "title", "place", "draw"}, {"methods", "datasets", "lines", "options", "note"}, place)
    draw, options = declared["draw"], declared.get("options", {})
    if draw not in DRAWN:
        raise BadPaper(f"{place}: draw is '{one_line(str(draw))}', wanted one of {', '.join(DRAWN)}")
    _check(options, set(DRAWN[draw]) if draw == "sweep" else set(), set(DRAWN[draw]), f"{place}: options")
    wanted = {"sweep": {"lines"}, "statistics": {"datasets"}}.get(draw, {"methods", "datasets"})
    _check(declared, wanted, declared.keys() - {"methods", "datasets", "lines"}, place)
    by_id = {table.id: table for table in tables}
    unknown = next((one for one in declared.get("lines", ()) if one not in by_id), None)
    if unknown is not None:
        raise BadPaper(f"{place}: there is no table '{one_line(str(unknown))}'")
    shown = tuple((str(label), by_id[one]) for one, label in declared.get("lines", {}).items())
    methods, datasets = _names(declared.get("methods", {})), _names(declared.get("datasets", {}))
    if shown:
        methods = tuple(dict.fromkeys(name for _, table in shown for name in table.methods))
        datasets = tuple(dict.fromkeys(name for _, table in shown for name in table.datasets))
    return PaperFigure(
        str(declared["id"]), declared["title"], declared["place"], draw, methods, datasets, shown, options,
        declared.get("note", ""),
    )  # fmt: skip


def _check(found: Mapping[str, Any], needed: set[str], optional: set[str], place: str) -> None:
    missing, unknown = needed - found.keys(), found.keys() - needed - optional
    if missing:
        raise BadPaper(f"{place} lacks '{sorted(missing)[0]}'")
    if unknown:
        known = ", ".join(sorted(needed | optional))
        raise BadPaper(f"{place} has '{sorted(unknown)[0]}'; entries are {known}")


def _lines(table: Mapping[str, Any], place: str) -> str:
    column = str(table.get("lines", "method"))
    if column not in ("method", "setting"):
        raise BadPaper(f"{place}: lines is '{one_line(column)}', wanted method or setting")
    return column


def _names(declared: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((str(published), str(ours)) for published, ours in declared.items())


def _where(rows: tuple[Published, ...], conditions: Mapping[str, str], place: str) -> tuple[Published, ...]:
    wrong = sorted(set(conditions) - {"table", "dataset", "setting", "method", "metric"})
    if wrong:
        raise BadPaper(f"{place}: no column '{wrong[0]}' to choose published rows by")
    found = tuple(row for row in rows if all(getattr(row, key) == value for key, value in conditions.items()))
    if not found:
        raise BadPaper(f"{place}: no published row matches {dict(conditions)}")
    return found


def read_numbers(path: Path) -> tuple[Published, ...]:
    """The published numbers of a long CSV (columns ``COLUMNS``; those in ``NEEDED`` must be there).

    Raises:
        BadPaper: no such file, a missing column, or a line whose value is no number, by its line.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            missing = [name for name in NEEDED if name not in (reader.fieldnames or ())]
            if missing:
                raise BadPaper(f"{path}: column '{missing[0]}' is missing; columns are {', '.join(COLUMNS)}")
            found = []
            for line in reader:
                found.append(_published(line, f"{path}, line {reader.line_num}"))
                if len(found) > MOST_ROWS:
                    raise BadPaper(f"{path}: more than {MOST_ROWS:,} rows are no published table")
            return tuple(found)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadPaper(f"{path}: cannot be read as CSV ({one_line(error)})") from None


def _published(line: Mapping[str, Any], place: str) -> Published:
    if None in line or None in line.values():
        raise BadPaper(f"{place}: another number of columns than the header")
    text = {name: str(line.get(name) or "").strip() for name in COLUMNS}
    return Published(
        text["table"], text["dataset"], text["setting"], text["method"], text["metric"],
        _number(text["value"], place, "value"),
        _number(text["spread"], place, "spread") if text["spread"] else None,
        text["spread_kind"], text["seeds"], text["note"],
    )  # fmt: skip


def _number(text: str, place: str, column: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise BadPaper(f"{place}: {column} is '{one_line(text, 60)}', no number")
    return number


def from_csv(path: Path) -> Paper:
    """A paper of nothing but published numbers whose methods, data sets and metrics are named as we name them.

    One table for each value of the column ``table`` ("1" where it is empty).

    Raises:
        BadPaper: see ``read_numbers``.
    """
    rows = read_numbers(path)
    if not rows:
        raise BadPaper(f"{path}: no rows below the header")
    tables = []
    for table_id in dict.fromkeys(row.table or "1" for row in rows):
        chosen = tuple(row for row in rows if (row.table or "1") == table_id)
        names = {key: dict.fromkeys(getattr(row, key) for row in chosen) for key in ("method", "dataset", "metric")}
        tables.append(
            PaperTable(
                table_id, f"{path.stem}, table {table_id}", tuple((name, name) for name in names["method"]),
                tuple((name, name) for name in names["dataset"]), tuple(Metric(key, key) for key in names["metric"]),
                chosen,
            )
        )  # fmt: skip
    return Paper(path.stem, path.name, tuple(tables))
