"""Feeds runs to worker processes through joblib and survives workers that die or hang.

A worker that is killed breaks the pool: it is made anew, and what the store lacks is done again from its checkpoints.
The run that the dead worker was at waits until all others are done and then goes alone; one that breaks the pool twice
alone gets a ``failed`` row from here. A run that outlives its time is ended from here as well, which works whatever its
process is doing. Runs that another call works on are left to it until all else is done.
"""

from __future__ import annotations

import multiprocessing.connection
import os
import re
import signal
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any, TypeVar

import joblib
from joblib.externals.loky import get_reusable_executor
from joblib.externals.loky.process_executor import BrokenProcessPool

from bench.rows import empty_row
from bench.running import progress
from bench.running.isolation import Leftovers, allow_many_files
from bench.running.output import shorten
from bench.running.standing import Options, is_done
from bench.running.stopping import GRACE_SECONDS, end_with, timed_out
from bench.running.worker import HELD, perform
from bench.spec import RunSpec
from bench.store import CorruptRow, Store

T = TypeVar("T")
BREAKS_ALLOWED_ALONE = 2


def pool_environment() -> None:
    """Settings that worker processes must find when they start; huge pages make large activations cheaper on Linux."""
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


def run_parallel(
    function: Callable[..., T],
    calls: Sequence[tuple[Any, ...]],
    workers: int,
    threads: int,
    timeout: float | None = None,
) -> Iterator[T]:
    """Results of ``function(*call)`` for each call, as they come in.

    Args:
        workers: how many at a time. Always the same in one process: joblib may wait for ever where it changes the size
            of a pool one of whose workers is killed just then.

    Raises:
        BrokenProcessPool: a worker died.
        TimeoutError: no result for ``timeout`` seconds; the workers are gone.
    """
    pool_environment()
    # joblib runs a single job in this very process, which a worker that dies must not take along: so two processes,
    # and pre_dispatch holds the number of runs at a time
    settings: dict[str, Any] = {"initializer": end_with, "initargs": (os.getpid(),)}
    with (
        joblib.parallel_config("loky", n_jobs=max(2, workers), inner_max_num_threads=threads, **settings),
        warnings.catch_warnings(),
    ):
        # Stopping early (Ctrl-C) abandons workers on purpose.
        warnings.simplefilter("ignore", UserWarning)
        pool = joblib.Parallel(return_as="generator_unordered", batch_size=1, pre_dispatch=workers, timeout=timeout)
        with _without_ctrl_c():
            results = pool(joblib.delayed(_in_worker)(function, *call) for call in calls)
        try:
            yield from results
        except multiprocessing.TimeoutError:
            raise TimeoutError from None


def close_pool() -> None:
    """End the worker processes. Left to joblib, one that is killed while Python exits would keep the others waiting."""
    get_reusable_executor(reuse=True).shutdown(wait=True, kill_workers=True)


def _in_worker(function: Callable[..., T], *call: Any) -> T:
    allow_many_files()
    # where memory runs out, Linux shall end a worker, whose run is taken up again, and nothing else of the user's
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")
    return function(*call)


@contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Processes started inside never see Ctrl-C, which a terminal sends to all: the parent tells them what to do."""
    resource_tracker.ensure_running()  # whose start would unblock the signal again
    old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)


def execute(specs: Sequence[RunSpec], options: Options, workers: int) -> Iterator[tuple[str, str]]:
    """(hash, status) of each run as it finishes; every run ends up with a row."""
    queue = _Queue(specs, options)
    workers = min(workers, len(specs))
    while queue.waiting:
        chosen = queue.chosen()
        calls = [(spec, options) for spec in chosen]
        try:
            with _watched(queue):
                for name, status in run_parallel(_attempt, calls, workers, chosen[0].threads):
                    if queue.back(name, status):
                        yield name, status
        except BrokenProcessPool as error:
            yield from queue.broken(error, [spec.hash for spec in chosen])


class _Queue:
    """Runs that this call still has to see done, and what is known of those that broke a pool."""

    def __init__(self, specs: Sequence[RunSpec], options: Options) -> None:
        self.options, self.store = options, Store(options.folders.results)
        self.waiting = {spec.hash: spec for spec in specs}
        self.held: set[str] = set()  # by another call
        self.suspects: list[str] = []  # their worker died
        self.breaks: Counter[str] = Counter()
        self.overdue: dict[str, str] = {}  # reason by hash of what was ended for its time
        self.dead: set[int] = set()  # worker processes that ended first, before joblib ended the others
        for spec in specs:
            if self._is_free(spec.hash):
                self._clear(spec.hash)  # by a call that was killed

    def chosen(self) -> list[RunSpec]:
        """What to hand out now: all that no other call works on, and then the suspects, each alone."""
        while True:
            self.held = {name for name in self.held & set(self.waiting) if not self._is_free(name)}
            self.suspects = [name for name in self.suspects if name in self.waiting]
            free = [name for name in self.waiting if name not in self.held]
            names = [name for name in free if name not in self.suspects] or free[:1]
            if names:
                return [self.waiting[name] for name in names]
            time.sleep(0.2)

    def back(self, name: str, status: str) -> bool:
        """Take in what a worker returned; whether the run is done."""
        if status == HELD:
            self.held.add(name)
            return False
        del self.waiting[name]
        return True

    def broken(self, error: BrokenProcessPool, chosen: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Find out whose fault it was; (hash, status) of runs that are given up.

        Args:
            chosen: hashes of what was handed out.
        """
        retired = [name for name in self.waiting if self._artifact(name, "retired").exists()]
        marked = {name: worker for name in self.waiting if (worker := self._worker_at(name))}
        for name in {*retired, *marked}:
            self._clear(name)
        if self.overdue:
            for name, reason in list(self.overdue.items()):
                yield from self._give_up(name, reason)
            self.overdue = {}
        elif retired:
            pass  # its row is stored
        elif chosen[0] in self.suspects:
            self.breaks[chosen[0]] += 1
            if self.breaks[chosen[0]] == BREAKS_ALLOWED_ALONE:
                yield from self._give_up(chosen[0], _died(error))
        else:
            # without a mark the workers died before any run began: then the first one alone, so that this ends
            blamed = [name for name, worker in marked.items() if worker in self.dead] or list(marked)
            self.suspects += blamed or [name for name in chosen if name in self.waiting][:1]

    def _give_up(self, name: str, reason: str) -> Iterator[tuple[str, str]]:
        """Store ``failed`` for a run whose process is gone, unless its row is there."""
        spec = self.waiting.get(name)
        if spec is None:
            return
        printed = shorten(self._artifact(name, "output.txt"))
        with self.store.lock(name), suppress(CorruptRow):
            row = self.store.read(spec)
            if row is not None and is_done(row, spec, self.options):
                return  # it came to its end after all
            if row is None or row["status"] != "done":
                notes = {"notes": [f"printed before that: artifacts/{name}/output.txt"]} if printed else {}
                self.store.write(spec, empty_row(spec, "failed", reason) | notes)
        del self.waiting[name]
        yield name, "failed"

    def end_overdue(self) -> None:
        """Kill the processes of runs that are past their time and have not ended by themselves."""
        timeout = self.options.timeout
        if not timeout:
            return
        for name, facts in self.under_way().items():
            if time.monotonic() - facts["began"] > timeout + GRACE_SECONDS:
                self.overdue[name] = f"{timed_out(timeout, facts)} (its process did not react and was killed)"
                with suppress(ProcessLookupError):
                    os.kill(facts["pid"], signal.SIGKILL)

    def under_way(self) -> dict[str, dict[str, Any]]:
        """Progress of the runs that workers of this call are at."""
        return progress.read(self.store.root / "artifacts", list(self.waiting), call=os.getpid())

    def _worker_at(self, name: str) -> int:
        """The worker of this call that was at a run, 0 for none; those of other calls leave marks, too."""
        try:
            call, worker = self._artifact(name, "under-way").read_text().split()
        except (FileNotFoundError, ValueError):
            return 0
        return int(worker) if int(call) == os.getpid() else 0

    def _clear(self, name: str) -> None:
        for left_behind in ("under-way", "progress.json", "retired"):
            self._artifact(name, left_behind).unlink(missing_ok=True)

    def _artifact(self, name: str, file: str) -> Path:
        return self.store.artifacts(name) / file

    def _is_free(self, name: str) -> bool:
        try:
            with self.store.lock(name, wait=False):
                return True
        except BlockingIOError:
            return False


@contextmanager
def _watched(queue: _Queue) -> Iterator[None]:
    """See which worker dies first, and kill the process of a run that is past its time, whatever it hangs in."""
    stop = threading.Event()
    queue.dead = set()

    def watch() -> None:
        while not stop.is_set():
            workers: dict[Any, int] = {one.sentinel: one.pid or 0 for one in multiprocessing.active_children()}
            with suppress(OSError, ValueError):  # one that is being closed
                # what is ready when this returns ended before joblib came to end the others
                ended = {workers[one] for one in multiprocessing.connection.wait(workers, 0.5)}
                queue.dead = queue.dead or ended
            if queue.dead:
                stop.wait(0.5)
            queue.end_overdue()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _attempt(spec: RunSpec, options: Options) -> tuple[str, str]:
    """``perform`` in a worker, leaving a mark while it is under way; a process that it spoils for others ends here."""
    folder = Store(options.folders.results).artifacts(spec.hash).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    mark = folder / "under-way"
    mark.write_text(f"{os.getppid()} {os.getpid()}")
    leftovers = Leftovers()
    try:
        status = perform(spec, options)
    finally:
        mark.unlink(missing_ok=True)
    if leftovers.spoil():
        (folder / "retired").touch()
        os._exit(0)
    return spec.hash, status


def _died(error: BrokenProcessPool) -> str:
    """The reason of a row whose process died, with what joblib knows of its end."""
    codes = re.search(r"exit codes of the workers are \{(.*?)\}", str(error))
    how = codes.group(1) if codes else "SIGKILL"
    times = f"{BREAKS_ALLOWED_ALONE} times while it ran alone"
    if "EXIT" in how:
        return f"its worker process ended {times} ({how})"
    return f"its worker process was killed {times} ({how}; out of memory?)"
