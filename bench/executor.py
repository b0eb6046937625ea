"""Feeds runs to worker processes through joblib and survives workers that die.

A worker that is killed breaks the pool: it is made anew, and what the store lacks is done again from its checkpoints.
Runs that were under way when the pool broke then go one at a time; one that breaks the pool twice alone gets a
``failed`` row from here, so that its siblings finish.
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import joblib
from joblib.externals.loky.process_executor import BrokenProcessPool

from bench.spec import RunSpec
from bench.store import Store
from bench.worker import Options, empty_row, perform

T = TypeVar("T")
BREAKS_ALLOWED_ALONE = 2


def pool_environment() -> None:
    """Settings that worker processes must find when they start; huge pages make large activations cheaper on Linux."""
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


def run_parallel(
    function: Callable[..., T], calls: Sequence[tuple[Any, ...]], workers: int, threads: int
) -> Iterator[T]:
    """Results of ``function(*call)`` for each call, as they come in; raises BrokenProcessPool when a worker dies."""
    pool_environment()
    # joblib runs a single job in this very process, which a worker that dies must not take along: so two processes,
    # and pre_dispatch holds the number of runs at a time
    with (
        joblib.parallel_config("loky", n_jobs=max(2, workers), inner_max_num_threads=threads),
        warnings.catch_warnings(),
    ):
        # Stopping early (Ctrl-C) abandons workers on purpose.
        warnings.simplefilter("ignore", UserWarning)
        pool = joblib.Parallel(return_as="generator_unordered", batch_size=1, pre_dispatch=workers)
        yield from pool(joblib.delayed(function)(*call) for call in calls)


def execute(specs: Sequence[RunSpec], options: Options, workers: int) -> Iterator[tuple[str, str]]:
    """(hash, status) of each run as it finishes; every run ends up with a row."""
    store = Store(options.folders.results)
    waiting = {spec.hash: spec for spec in specs}
    suspects: list[str] = []  # under way when a pool broke
    breaks: Counter[str] = Counter()
    for spec in specs:
        for left_behind in ("under-way", "progress.json"):  # by a call that was killed
            (store.artifacts(spec.hash) / left_behind).unlink(missing_ok=True)
    while waiting:
        chosen = [waiting[suspects[0]]] if suspects else list(waiting.values())
        calls = [(spec, options) for spec in chosen]
        try:
            for name, status in run_parallel(_attempt, calls, min(workers, len(chosen)), chosen[0].threads):
                del waiting[name]
                yield name, status
        except BrokenProcessPool:
            if not suspects:
                # without a mark the workers died before any run began: then the first one alone, so that this ends
                suspects = [name for name, spec in waiting.items() if _mark(store, spec).exists()]
                suspects = suspects or list(waiting)[:1]
            else:
                name = suspects[0]
                breaks[name] += 1
                if breaks[name] == BREAKS_ALLOWED_ALONE:
                    store.write(waiting[name], _killed_row(waiting.pop(name)))
                    yield name, "failed"
        suspects = [name for name in suspects if name in waiting]


def _attempt(spec: RunSpec, options: Options) -> tuple[str, str]:
    """``perform`` in a worker, leaving a mark while it is under way."""
    mark = _mark(Store(options.folders.results), spec)
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()
    try:
        return spec.hash, perform(spec, options)
    finally:
        mark.unlink(missing_ok=True)


def _mark(store: Store, spec: RunSpec) -> Path:
    return store.artifacts(spec.hash) / "under-way"


def _killed_row(spec: RunSpec) -> dict[str, Any]:
    reason = f"its worker process was killed {BREAKS_ALLOWED_ALONE} times while it ran alone (out of memory?)"
    return empty_row(spec, "failed", reason)
