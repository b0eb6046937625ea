"""Which worker has which device: a file lock for each, which the system frees when its holder dies."""

from __future__ import annotations

import fcntl
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.running.training import Interrupted


@contextmanager
def claimed_device(devices: Sequence[str], results: Path, should_stop: Callable[[], bool]) -> Iterator[str]:
    """A device that no other worker on this store holds, waited for; the CPU needs no claim.

    Raises:
        Interrupted: ``should_stop`` said so while all were held.
    """
    if set(devices) == {"cpu"}:
        yield "cpu"
        return
    folder = results / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    for name in itertools.cycle(devices):
        if should_stop():
            raise Interrupted
        with (folder / f"device-{name.replace(':', '-')}").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.2)
                continue
            yield name
            return
