"""How a run in a worker process is asked to stop: by signals, by its own clock, or because its parent is gone."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from bench.running.progress import clock

GRACE_SECONDS = 10.0  # what a worker gets to react by itself before it is killed


class TimedOut(BaseException):
    """A run's time is up. No ``Exception``, so that no method catches it by accident."""


@contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Turns SIGINT and SIGTERM into a question that the loop asks between steps."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    old = {number: signal.signal(number, lambda *_: asked.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked.is_set
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimedOut inside the block after so many seconds, 0 for never; only where Python code comes to run.

    What hangs in C code is ended from outside (``bench.running.executor``).
    """
    if not seconds or threading.current_thread() is not threading.main_thread():
        yield
        return

    def up(*_: Any) -> None:
        raise TimedOut

    old = signal.signal(signal.SIGALRM, up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


def timed_out(seconds: float, facts: Mapping[str, Any]) -> str:
    """The reason of a row: how long, and where the run was (see ``bench.running.progress.Reporter``)."""
    where = f"at step {facts['step']} of {facts['n_steps']}" if facts.get("step") else f"in phase '{facts['phase']}'"
    return f"timed out after {clock(seconds)}, {where}; more time: --timeout SECONDS --retry failed"


def end_with(parent: int) -> None:
    """End this process soon after the process ``parent`` is gone; what a worker begins with.

    A run under way is asked to stop, so that it writes its checkpoint and the next call finds the store free.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="parent watch", daemon=True).start()
