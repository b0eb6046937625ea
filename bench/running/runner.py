"""``bench run``: plan, prepare, execute, show progress; then tables and figures are the command line's."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from bench.registry import UsageError
from bench.rows import empty_row
from bench.running import cell_metrics, output, prepare, progress
from bench.running.executor import BrokenProcessPool, execute, run_parallel
from bench.running.grid import Grid
from bench.running.standing import Options, is_done
from bench.running.training import Interrupted
from bench.spec import RunSpec
from bench.store import CorruptRow, Store


@dataclass(frozen=True)
class Plan:
    """What is left to do.

    Attributes:
        todo: runs to train, continue, or score with further metrics.
        stored: runs whose row is there.
        notes: corrupt rows that were set aside.
    """

    todo: tuple[RunSpec, ...]
    stored: tuple[RunSpec, ...]
    notes: tuple[str, ...]


@dataclass
class Outcome:
    """How a call of ``bench run`` ended: number of runs by status, in this call and in the whole grid."""

    finished: dict[str, int] = field(default_factory=dict)
    interrupted: bool = False
    seconds: float = 0.0


class Display(Protocol):
    """Shows progress; ``bench.cli.display`` has one for terminals and one for plain output."""

    def note(self, text: str) -> None: ...

    def update(self, done: int, total: int, running: dict[str, dict[str, Any]], left: float | None) -> None: ...


def plan(grid: Grid, store: Store, options: Options, *, set_aside: bool = True) -> Plan:
    """Ask the store which runs of the grid are done; a corrupt row is set aside unless nothing may be written."""
    todo: list[RunSpec] = []
    stored: list[RunSpec] = []
    notes: list[str] = []
    for spec in grid.runs:
        try:
            row = store.read(spec, set_aside=set_aside)
        except CorruptRow as error:
            notes.append(str(error))
            row = None
        (stored if row is not None and is_done(row, spec, options) else todo).append(spec)
    return Plan(tuple(todo), tuple(stored), tuple(notes))


def run(
    plan_: Plan, grid: Grid, options: Options, workers: int, expected: dict[str, float], display: Display
) -> Outcome:
    """Do what the plan lists; every run ends as a stored row unless this call is interrupted.

    Raises:
        UsageError: a data set cannot be read; nothing was stored.
    """
    names = [spec.hash for spec in plan_.todo]
    store = Store(options.folders.results)
    outcome, started = Outcome(), time.perf_counter()
    done: list[str] = []
    first: dict[str, float] = {}

    def under_way(call: int | None = None) -> dict[str, dict[str, Any]]:
        return progress.read(store.root / "artifacts", [name for name in names if name not in done], call)

    def show() -> None:
        running = under_way()
        for name, facts in running.items():
            first.setdefault(name, facts["fraction"])
            output.bound(store.artifacts(name) / "output.txt")
        left = progress.time_left(expected, running, first, time.perf_counter() - started, done)
        display.update(len(done), len(plan_.todo), running, left)

    try:
        _prepare(plan_.todo, options, workers, display)
        for spec, reason in grid.skipped:
            if not _has_row(store, spec, display):
                store.write(spec, empty_row(spec, "skipped", reason))
        started = time.perf_counter()
        with _repeatedly(show), _stops_gently(lambda: under_way(os.getpid())):
            for name, status in execute(plan_.todo, options, workers):
                done.append(name)
                for warning in progress.warnings(store.artifacts(name)):
                    display.note(warning)
                outcome.finished[status] = outcome.finished.get(status, 0) + 1
        cell_metrics.update(grid.runs, options, display.note)
    except (KeyboardInterrupt, Interrupted):  # the second from a worker that was asked to stop
        outcome.interrupted = True
    outcome.seconds = time.perf_counter() - started
    return outcome


def _has_row(store: Store, spec: RunSpec, display: Display) -> bool:
    try:
        return store.read(spec) is not None
    except CorruptRow as error:
        display.note(str(error))
        return False


def _prepare(specs: tuple[RunSpec, ...], options: Options, workers: int, display: Display) -> None:
    jobs = prepare.jobs(specs, options.metrics)
    if not jobs:
        return
    display.note(f"preparing {', '.join(sorted({spec.dataset for spec in jobs}))}")
    calls = [(spec, options.folders, options.devices[0], options.metrics) for spec in jobs]
    try:
        for _ in range(2):  # a killed one is tried again: what is in the cache already stays there
            with suppress(BrokenProcessPool):
                for _ in run_parallel(prepare.prepare, calls, min(workers, len(specs)), jobs[0].threads):
                    pass
                return
    except (OSError, ValueError, MemoryError) as error:
        # a file that cannot be read is the caller's to mend; nothing has been stored yet
        raise UsageError(str(error) or "not enough memory to prepare the data") from None
    raise UsageError(f"preparing {jobs[0].dataset} was killed by the system twice (out of memory or disk?)")


@contextmanager
def _stops_gently(own: Callable[[], dict[str, dict[str, Any]]], seconds: float = 3.0) -> Iterator[None]:
    """On SIGINT or SIGTERM, give workers that train the time to write their checkpoints; a second one stops at once.

    Args:
        own: progress of the runs that this call's workers are at; those of another call are not to be stopped.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked = False

    def tell(number: int) -> None:
        for facts in own().values():
            with suppress(ProcessLookupError):
                os.kill(facts["pid"], number)

    def stop(*_: Any) -> None:
        nonlocal asked
        if asked:
            tell(signal.SIGKILL)
            raise KeyboardInterrupt
        asked = True
        deadline = time.monotonic() + seconds
        tell(signal.SIGTERM)
        while time.monotonic() < deadline and any(one["phase"] == "training" for one in own().values()):
            time.sleep(0.05)
        raise KeyboardInterrupt

    old = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


@contextmanager
def _repeatedly(show: Callable[[], None], seconds: float = 0.5) -> Iterator[None]:
    """Call ``show`` in a thread of its own until the block ends, and once more then."""
    stop = threading.Event()

    def loop() -> None:
        while not stop.wait(seconds):
            show()

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        show()
