"""Lines of a text file that anyone may have written: none is endless, and no quoted cell runs over several of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO

MAX_LINE = 8 << 20  # characters


def bounded(file: IO[str], path: Path, *, quoted: bool = True) -> Iterator[str]:
    """Lines of a text file with their ends.

    Args:
        quoted: the lines go to ``csv.reader``, which joins lines to one row while a quote is open: without end.

    Raises:
        ValueError: a line of more than ``MAX_LINE`` characters, or one that ends within quotes.
    """
    number = 0
    while line := file.readline(MAX_LINE):
        number += 1
        if len(line) == MAX_LINE:
            raise ValueError(f"{path}: row {number} is longer than {MAX_LINE:,} characters; is this a table?")
        if quoted and line.count('"') % 2:
            raise ValueError(f"{path}: row {number} is not CSV (it ends within quotes); is the file complete?")
        yield line
