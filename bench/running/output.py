"""What a run prints, from Python, from C or from processes it starts: kept in a file instead of on the terminal.

The file is bounded while it grows and cut to its two ends when the run is over.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

KEPT_BYTES = 1 << 20  # of a finished run: one half from the beginning, one from the end
DISK_BYTES = 16 << 20  # of a run under way


class Output:
    """What was printed so far.

    Attributes:
        path: the file; it is gone where nothing was printed.
        n_before: what an earlier process of the same run had left in it.
        n_bytes: how much was printed, that included; known when the run is over.
    """

    def __init__(self, path: Path, n_before: int = 0) -> None:
        self.path = path
        self.n_before = n_before
        self.n_bytes = 0

    def note(self) -> str:
        """In words, or the empty string."""
        if not self.n_bytes:
            return ""
        kept = "kept in" if self.n_bytes <= KEPT_BYTES else "its beginning and end are kept in"
        return f"printed {_size(self.n_bytes)}; {kept} artifacts/{self.path.parent.name}/{self.path.name}"


@contextmanager
def captured(path: Path, *, goes_on: bool = False) -> Iterator[Output]:
    """Send file descriptors 1 and 2, and Python's streams, to ``path`` until the block ends.

    Args:
        goes_on: write behind what an earlier process of the run printed, instead of in its place.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # not in append mode: the shared offset then counts all that was printed, whatever ``bound`` has cut away since
    target = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | (0 if goes_on else os.O_TRUNC), 0o644)
    output = Output(path, os.lseek(target, 0, os.SEEK_END))
    streams = sys.stdout, sys.stderr
    _flush()
    saved = [os.dup(1), os.dup(2)]
    try:
        for number in (1, 2):
            os.dup2(target, number)
        sys.stdout, sys.stderr = _stream(1), _stream(2)
        yield output
    finally:
        _flush()
        sys.stdout, sys.stderr = streams
        for number, copy in zip((1, 2), saved, strict=True):
            os.dup2(copy, number)
            os.close(copy)
        output.n_bytes = os.lseek(target, 0, os.SEEK_CUR)
        os.close(target)
        shorten(path, output.n_bytes)


def bound(path: Path) -> None:
    """Cut a file that a run writes right now to its beginning once it fills the disk; what follows leaves a hole."""
    with suppress(OSError):
        if path.stat().st_blocks * 512 > DISK_BYTES:
            os.truncate(path, KEPT_BYTES // 2)


def shorten(path: Path, n_bytes: int | None = None) -> int:
    """Keep both ends of a finished run's output, nothing of an empty one; returns how much was printed.

    Args:
        n_bytes: how much was printed; the file's own size where its writer was killed.
    """
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return 0
    total = size if n_bytes is None else n_bytes
    if not total:
        path.unlink()
    elif size > KEPT_BYTES:
        half = KEPT_BYTES // 2
        with path.open("rb") as file:
            head = file.read(half)
            file.seek(size - half)
            tail = file.read().lstrip(b"\0")  # zeros: what ``bound`` has cut
        path.write_bytes(head + f"\n… {_size(total - len(head) - len(tail))} left out …\n".encode() + tail)
    return total


def _stream(number: int) -> IO[str]:
    """Never closed: a logger that a run sets up may hold it for longer."""
    return open(number, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)


def _flush() -> None:
    """Python's buffers and the C library's."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).fflush(None)


def _size(n_bytes: int) -> str:
    units = ["bytes", "kB", "MB", "GB"]
    power = min(max(len(str(n_bytes)) - 1, 0) // 3, len(units) - 1)
    return f"{n_bytes // 1000**power} {units[power]}"
