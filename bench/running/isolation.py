"""What a run may do to the process that it shares with its siblings: noticed, and put back.

A method is anybody's code. Runs follow each other in one worker process, so a setting that one of them leaves behind
would move the next one's numbers.
"""

from __future__ import annotations

import ctypes
import gc
import os
import random
import resource
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

_CUDNN: Any = torch.backends.cudnn
# name, what it is now, how to set it
_SETTINGS: tuple[tuple[str, Callable[[], Any], Callable[[Any], Any]], ...] = (
    ("torch's thread count", torch.get_num_threads, torch.set_num_threads),
    ("torch's default dtype", torch.get_default_dtype, torch.set_default_dtype),
    # None takes the mode away that any other default device puts around every call
    ("torch's default device", torch.get_default_device, lambda _: torch.set_default_device(None)),
    ("torch's gradient mode", torch.is_grad_enabled, torch.set_grad_enabled),
    ("torch's deterministic mode", torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms),
    ("torch's anomaly detection", torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    ("torch's matmul precision", torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    ("cuDNN's TF32", lambda: _CUDNN.allow_tf32, lambda value: setattr(_CUDNN, "allow_tf32", value)),
    ("cuDNN's autotuning", lambda: _CUDNN.benchmark, lambda value: setattr(_CUDNN, "benchmark", value)),
    ("numpy's error handling", np.geterr, lambda value: np.seterr(**value)),
    ("the working directory", os.getcwd, os.chdir),
    ("the recursion limit", sys.getrecursionlimit, sys.setrecursionlimit),
    ("the garbage collector", gc.isenabled, lambda on: gc.enable() if on else gc.disable()),
)
FILES_ALLOWED = 256  # files left open before a worker is replaced
MEMORY_ALLOWED = 0.25  # share of the machine's memory that a run may keep before its worker is replaced


class Guard:
    """Knows how the process was, and what was found changed.

    Attributes:
        faults: what the run did to the process, in words, each once.
    """

    def __init__(self) -> None:
        self.before = [value() for _, value, _ in _SETTINGS]
        self.environment = dict(os.environ)
        self.faults: list[str] = []

    def notice(self, fault: str) -> None:
        if fault not in self.faults:
            self.faults.append(fault)

    def put_back(self) -> None:
        """Set everything as it was; called after each phase, so that what a method changed ends with the phase."""
        for (name, value, put), before in zip(_SETTINGS, self.before, strict=True):
            try:
                now = value()
            except OSError:  # the working directory is gone
                now = "nothing"
            if now != before:
                how = "" if isinstance(before, dict) else f" from {before} to {now}"
                self.notice(f"changed {name}{how}")
                put(before)
        if dict(os.environ) != self.environment:
            os.environ.clear()
            os.environ.update(self.environment)


@contextmanager
def isolated(threads: int) -> Iterator[Guard]:
    """Settings that a run starts with, and everything put back when it ends: settings, generators, environment.

    float32 means float32: cuDNN's TF32 is off, as rows say which precision they were trained in and codes are float32.
    """
    keep_freed_memory()
    outer = Guard()
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002 - global: what is kept
    torch.backends.cudnn.allow_tf32 = False
    torch.set_num_threads(threads)
    torch.set_default_dtype(torch.float32)
    guard = Guard()
    try:
        yield guard
    finally:
        guard.put_back()
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.set_rng_state(states[2])
        outer.put_back()


class Leftovers:
    """What a run left alive in its process beyond what was there before: threads, open files, memory."""

    def __init__(self) -> None:
        self.threads = set(threading.enumerate())
        self.files = _open_files()
        self.memory = _resident()

    def since(self) -> list[str]:
        """In words, each once."""
        threads, files = self._new()
        found = (
            [f"left {_counted(len(threads), 'thread')} running ({_some(t.name for t in threads)})"] if threads else []
        )
        return found + ([f"left {_counted(len(files), 'file')} open ({_some(files.values())})"] if files else [])

    def spoil(self) -> bool:
        """Whether they would disturb the next run, so that the process is better replaced."""
        threads, files = self._new()
        trim_memory()
        kept = (_resident() - self.memory) / (os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
        return bool(threads) or len(files) > FILES_ALLOWED or kept > MEMORY_ALLOWED

    def _new(self) -> tuple[list[threading.Thread], dict[str, str]]:
        found = self._found()
        if any(found):
            gc.collect()  # takes a third of a second, so only where it may close something
            found = self._found()
        return found

    def _found(self) -> tuple[list[threading.Thread], dict[str, str]]:
        # threads of C code that once called Python show up as dummies; torch's are kept for the next run
        threads = [
            thread for thread in threading.enumerate()
            if thread not in self.threads and not isinstance(thread, threading._DummyThread)
        ]  # fmt: skip
        files = {number: path for number, path in _open_files().items() if self.files.get(number) != path}
        return sorted(threads, key=lambda thread: thread.name), files


def allow_many_files() -> None:
    """As many open files as the system lets this process have, so that a leak ends one run and not its siblings."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _open_files() -> dict[str, str]:
    """Path by number of every regular file this process has open (Linux; nothing elsewhere)."""
    found = {}
    folder = Path("/proc/self/fd")
    if not folder.is_dir():
        return {}
    for name in os.listdir(folder):
        try:
            path = os.readlink(folder / name)
        except OSError:
            continue  # the listing's own
        if path.startswith("/") and not path.startswith(("/dev/", "/proc/")):
            found[name] = path
    return found


def _resident() -> int:
    """Bytes of this process in memory (Linux; 0 elsewhere)."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _counted(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def _some(names: Any) -> str:
    """The first three names, files without their folders."""
    listed = [os.path.basename(name) for name in names]
    return ", ".join(listed[:3]) + (", …" if len(listed) > 3 else "")


def keep_freed_memory() -> None:
    """Let glibc keep freed blocks instead of returning each to the system (no effect on other C libraries).

    Every step allocates and frees the same activations; giving them back costs a page fault per 4 kB, a fifth of a
    step (docs/performance.md).
    """
    m_trim_threshold, m_mmap_threshold = -1, -3
    _libc("mallopt", m_mmap_threshold, 1 << 30)
    _libc("mallopt", m_trim_threshold, (1 << 31) - 1)


def trim_memory() -> None:
    """Give freed blocks back after all, between runs (glibc)."""
    _libc("malloc_trim", 0)


def _libc(name: str, *arguments: int) -> None:
    try:
        function = getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError):
        return
    function(*arguments)
