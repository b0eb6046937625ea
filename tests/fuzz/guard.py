"""What every reader owes a stranger's file, asserted around one call: one clear line or a value, nothing else.

``BENCH_FUZZ=20000`` sets the number of inputs for each reader and draws new ones; without it a few hundred, the same
in every run.
"""

from __future__ import annotations

import faulthandler
import os
import resource
import signal
import sys
import time
import typing
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings

SOAK = int(os.environ.get("BENCH_FUZZ", "0"))
SECONDS = 10.0  # of processor time for one input; most take a millisecond
HOPELESS = 600.0  # seconds on the wall after which a call is taken to hang, however busy the machine
GROWTH = 300 << 20  # bytes that one small input may add to the peak of the process
LONGEST_LINE = 1_000

# What Python reports of itself when something is run, loaded, sent or thrown away.
_FORBIDDEN = (
    "pickle.", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.kill", "os.startfile",
    "subprocess.", "socket.", "urllib.", "ctypes.dlopen", "ctypes.call",
)  # fmt: skip
_WRITING = (
    "os.chmod", "os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "shutil.",
)  # fmt: skip


class Broken(BaseException):
    """The reader broke its promise; no reader can catch it by accident."""


@dataclass
class Tally:
    """What came of one reader's inputs."""

    inputs: int = 0
    refused: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    growth: int = 0

    def add(self, other: Tally) -> None:
        """What another process counted."""
        self.inputs += other.inputs
        self.refused += other.refused
        self.seconds += other.seconds
        self.slowest, self.growth = max(self.slowest, other.slowest), max(self.growth, other.growth)


TALLIES: dict[str, Tally] = {}


def effort(default: int) -> settings:
    """Hypothesis settings: ``default`` inputs, the same every time; ``BENCH_FUZZ`` new ones in a soak."""
    return settings(
        max_examples=SOAK or default, derandomize=not SOAK, deadline=None, database=None, print_blob=True,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip


def outcome(
    reader: str,
    call: Callable[[], Any],
    refusals: type[Exception] | tuple[type[Exception], ...],
    *,
    folder: Path,
    writes: bool = False,
    typed: bool = False,
) -> Any:
    """The value of ``call``, or the text of its refusal.

    Args:
        reader: name in the tally.
        refusals: what it may raise, with one line that people can read.
        folder: the working folder of the test; a reader leaves it as it was unless it ``writes``.
        typed: the refusal repeats what was typed, and the command line makes one plain line of it.

    Raises:
        Broken: another exception, a warning, several lines, something run, a new file, too long, too much memory.
    """
    tally = TALLIES.setdefault(reader, Tally())
    tally.inputs += 1
    before, peak, started = _listing(folder), _peak(), time.process_time()
    try:
        with _watched(writes):
            result = call()
    except refusals as error:
        tally.refused += 1
        result = str(error) if typed else check_line(str(error))
    except Exception as error:
        raise Broken(f"{reader}: {type(error).__name__}: {error!s:.300}") from error
    spent, growth = time.process_time() - started, _peak() - peak
    tally.seconds += spent
    tally.slowest, tally.growth = max(tally.slowest, spent), max(tally.growth, growth)
    if growth > GROWTH:
        raise Broken(f"{reader}: {growth >> 20} MB more memory at once")
    if not writes and _listing(folder) != before:
        raise Broken(f"{reader}: left {sorted(_listing(folder) ^ before)}")
    return result


def check_line(text: str) -> str:
    """``text``, which must be one line of moderate length that moves no cursor."""
    if not text or not text.isprintable() or len(text) > LONGEST_LINE:
        raise Broken(f"not one plain line: {ascii(text)[:300]}")
    return text


@contextmanager
def _watched(writes: bool) -> Iterator[None]:
    """Time limit, warnings and audit events of what runs inside."""

    def late(*_: object) -> None:
        raise Broken(f"still busy after {SECONDS:g} s")

    old = signal.signal(signal.SIGPROF, late)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        _audit.start(writes)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        faulthandler.dump_traceback_later(HOPELESS, exit=True, file=sys.__stderr__)  # a loop in C hears no signal
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
            signal.setitimer(signal.ITIMER_PROF, 0)
            _audit.stop()
            signal.signal(signal.SIGPROF, old)
            if said:
                raise Broken(f"warned: {said[0].category.__name__}: {said[0].message}")
            if _audit.seen:
                raise Broken(f"did {_audit.seen[0]}")


class _Audit:
    """Listens to the interpreter's audit events while it is on; a hook cannot be taken away again."""

    def __init__(self) -> None:
        self.on = self.writes = False
        self.seen: list[str] = []
        sys.addaudithook(self._hear)

    def start(self, writes: bool) -> None:
        self.seen, self.writes, self.on = [], writes, True

    def stop(self) -> None:
        self.on = False

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.on:
            return
        is_writing = event.startswith(_WRITING) or (event == "open" and _is_for_writing(args))
        is_text = event == "exec" and not os.path.isabs(getattr(args[0], "co_filename", ""))
        is_running = is_text or event.startswith(_FORBIDDEN)
        if (is_running or (is_writing and not self.writes)) and not _is_our_own():
            self.seen.append(f"{event} {args!r:.200}")


def _is_our_own() -> bool:
    """Whether it happens for a module that is just being imported, or for the annotations of one."""
    frame = sys._getframe(2)
    while frame is not None:
        if frame.f_code.co_filename in ("<frozen importlib._bootstrap>", typing.__file__):
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False


def _is_for_writing(args: tuple[Any, ...]) -> bool:
    flags = args[2] if len(args) > 2 and isinstance(args[2], int) else 0
    return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


_audit = _Audit()


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _listing(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*")}


def is_plain_numbers(array: Any) -> bool:
    """Whether this is an array that holds numbers and nothing that could run."""
    return isinstance(array, np.ndarray) and array.dtype.kind in "fiub"
