"""Reads codes and factors from text: commas, semicolons, tabs or spaces between numbers, with or without a header."""

from __future__ import annotations

import csv
import math
import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from bench.files import lines
from bench.files.codes_contents import MAX_BYTES, MAX_NAME, CodesFile
from bench.messages import listed, one_line
from bench.registry import UsageError

MAX_TEXT = MAX_BYTES // 4  # bytes of a file: a cell takes two bytes or more, its number eight
MAX_COLUMNS = 100_000

_ROLE = re.compile(r"(?:(?P<codes>codes?|latents?)|factors?)(?:[\s_./:-]+|(?=\d)|$)", re.IGNORECASE)


def read(path: Path) -> CodesFile:
    """Numbers of a text file by column.

    With a header, columns that begin with ``codes_`` (or ``latents_``) and ``factors_`` are told apart by it, and what
    follows names the factor; otherwise all columns are one array. A column of whole numbers written without a decimal
    point is discrete.

    Raises:
        UsageError: the line and column of the first cell that is no finite number, or of a line of another length.
    """
    size = path.stat().st_size
    if size > MAX_TEXT:
        raise UsageError(f"{path}: {size:,} bytes of text; at most {MAX_TEXT:,} are read, use npz")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = _table(path, file)
    except UnicodeDecodeError:
        raise UsageError(f"{path} is none of npz, npy, HDF5 and UTF-8 text with numbers") from None
    except csv.Error as error:
        raise UsageError(f"{path}: not csv ({one_line(error, 200)})") from None
    except UsageError:
        raise
    except ValueError as error:
        raise UsageError(str(error)) from None
    table, notes = _without_index(path, table)
    return _by_role(path, table, notes)


@dataclass(frozen=True)
class _Table:
    """Numbers (rows, columns) float64, a flag per column for whole numbers, and names where there is a header."""

    numbers: np.ndarray
    whole: np.ndarray
    names: tuple[str, ...] | None


def _table(path: Path, file: IO[str]) -> _Table:
    rows = _rows(path, file)
    first_line, first = next(rows, (0, []))
    if not first:
        raise UsageError(f"{path} is empty")
    if len(first) > MAX_COLUMNS:
        raise UsageError(f"{path}: line {first_line} has {len(first):,} cells; at most {MAX_COLUMNS:,} are read")
    names = _header(first)
    width = len(first)
    numbers, whole = array("d"), set(range(width))

    def add(line: int, row: Sequence[str]) -> None:
        if len(row) != width:
            raise UsageError(f"{path}: line {line} has {len(row)} cells, line {first_line} has {width}")
        try:
            values = [float(cell) for cell in row]
        except ValueError:
            values = [math.nan]
        if not math.isfinite(sum(values)):
            _complain(path, line, row, names)
        numbers.extend(values)
        whole.difference_update([i for i in whole if not row[i].strip().lstrip("+-").isdigit()])

    if names is None:
        add(first_line, first)
    for line, row in rows:
        add(line, row)
    if not numbers:
        raise UsageError(f"{path} has a header and no rows")
    return _Table(
        np.frombuffer(numbers, np.float64).reshape(-1, width), np.array([i in whole for i in range(width)]), names
    )


def _rows(path: Path, file: IO[str]) -> Iterator[tuple[int, list[str]]]:
    """(line number, cells) of every line that is not blank."""
    start = file.readline(1 << 20)
    counts = {mark: start.count(mark) for mark in ",;\t"}
    mark = max(counts, key=lambda one: counts[one])
    file.seek(0)
    if not counts[mark]:
        for number, line in enumerate(lines.bounded(file, path, quoted=False), 1):
            if line.strip():
                yield number, line.split()
        return
    reader = csv.reader(lines.bounded(file, path), delimiter=mark, strict=True)
    for row in reader:
        if any(cell.strip() for cell in row):
            yield reader.line_num, row


def _header(first: list[str]) -> tuple[str, ...] | None:
    """Names, where the first line holds any; numbers 0, 1, 2, … are what a data frame without names is saved with."""
    if first[0].startswith("#"):  # as numpy.savetxt writes a header
        first[:] = [cell for cell in [first[0][1:], *first[1:]] if cell or len(first) == 1]
        return tuple(one_line(cell.strip(), MAX_NAME) for cell in first)
    stripped = [one_line(cell.strip(), MAX_NAME) for cell in first]
    if len(stripped) > 1 and stripped == [str(i) for i in range(len(stripped))]:
        return tuple(stripped)
    return None if all(_is_number(cell) for cell in stripped) else tuple(stripped)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _complain(path: Path, line: int, row: Sequence[str], names: Sequence[str] | None) -> None:
    """Raise for the first cell of ``row`` that is no finite number; return where only their sum overflowed."""
    for i, cell in enumerate(row):
        is_number = _is_number(cell)
        if is_number and math.isfinite(float(cell)):
            continue
        where = f"line {line}, column '{one_line(names[i], 40)}'" if names and names[i] else f"line {line}, column {i}"
        shown = one_line(cell.strip(), 40)
        if not cell.strip():
            raise UsageError(f"{path}: {where} is empty; every cell is a number")
        if is_number:
            raise UsageError(f"{path}: {where} is {shown}; every number is finite")
        raise UsageError(f"{path}: {where} is '{shown}'; wanted a number such as 0.5 (classes are numbered 0, 1, 2, …)")


def _without_index(path: Path, table: _Table) -> tuple[_Table, tuple[str, ...]]:
    """The table without the nameless first column of row numbers that data frames are saved with."""
    if table.names is None or table.names[0] not in ("", "Unnamed: 0") or len(table.names) < 2:
        return table, ()
    if not np.array_equal(table.numbers[:, 0], np.arange(len(table.numbers))):
        return table, ()
    without = _Table(table.numbers[:, 1:], table.whole[1:], table.names[1:])
    return without, (f"not read from {path.name}: the first column, which numbers the rows",)


def _by_role(path: Path, table: _Table, notes: tuple[str, ...]) -> CodesFile:
    names = table.names or ()
    found = [_ROLE.match(name) for name in names]
    is_codes = np.array([bool(m and m["codes"]) for m in found], bool)
    is_factor = np.array([bool(m and not m["codes"]) for m in found], bool)
    if not names or not ((is_codes.any() and is_factor.any()) or is_codes.all() or is_factor.all()):
        array_, discrete = _typed(table.numbers, table.whole)
        return CodesFile(path, {"": array_}, table.names, discrete, notes=notes)

    arrays: dict[str, np.ndarray] = {}
    flags: tuple[bool, ...] | None = None
    factor_names = None
    if is_codes.any():
        arrays["codes"] = np.ascontiguousarray(table.numbers[:, is_codes])
    if is_factor.any():
        arrays["factors"], flags = _typed(table.numbers[:, is_factor], table.whole[is_factor])
        factor_names = tuple(
            name[m.end() :] or name for name, m in zip(names, found, strict=True) if m and not m["codes"]
        )
    others = [name for name, m in zip(names, found, strict=True) if m is None]
    if others:
        notes += (f"not read from {path.name}: {listed(others)}",)
    return CodesFile(path, arrays, factor_names, flags, notes=notes)


def _typed(numbers: np.ndarray, whole: np.ndarray) -> tuple[np.ndarray, tuple[bool, ...]]:
    """The numbers as int64 where every column is whole, and a flag per column."""
    kept = numbers.astype(np.int64) if whole.all() and np.abs(numbers).max() < 2**53 else np.ascontiguousarray(numbers)
    return kept, tuple(bool(flag) for flag in whole)
