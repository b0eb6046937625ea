"""How long runs will take: from stored rows of the same kind where there are some, else from a few timed steps."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench.provenance import hardware
from bench.spec import RunSpec
from bench.store import Store

SCORING_SECONDS = {"smoke": 2.0, "quick": 20.0}  # until a stored row says better
N_TIMED_STEPS = 4


def expected_seconds(specs: Sequence[RunSpec], store: Store, device: str) -> tuple[dict[str, float], str]:
    """Predicted seconds of each run by hash, and in words what the prediction rests on.

    Stored rows count only when method, data set, precision, threads, device and machine are the same; their training
    time is scaled by the number of steps.
    """
    known = _from_rows(store.rows(), device)
    measured: dict[tuple[Any, ...], tuple[float, float]] = {}
    expected, bases = {}, set()
    for spec in specs:
        key = _key(spec.to_dict())
        if key in known:
            per_step, rest = known[key]
            bases.add("stored rows")
        else:
            if key not in measured:
                try:
                    per_step = seconds_per_step(spec, device)
                except Exception:
                    per_step = 0.0  # what breaks here breaks in the run as well, which stores it
                measured[key] = (per_step, SCORING_SECONDS.get(spec.budget, 60.0))
            per_step, rest = measured[key]
            bases.add("a few steps timed now")
        expected[spec.hash] = per_step * spec.method_params["n_steps"] + rest
    return expected, " and ".join(sorted(bases, reverse=True))


def _key(spec: Mapping[str, Any]) -> tuple[Any, ...]:
    batch = spec["method_params"].get("batch_size")
    return spec["method"], spec["dataset"], spec["protocol"], spec["precision"], spec["threads"], batch


def _from_rows(rows: Iterable[Mapping[str, Any]], device: str) -> dict[tuple[Any, ...], tuple[float, float]]:
    """(seconds per step, seconds of everything else), medians over done rows of one kind."""
    found: dict[tuple[Any, ...], list[tuple[float, float]]] = {}
    here = hardware()
    for row in rows:
        seconds = row["cost"].get("seconds", {})
        machine = row.get("provenance", {}).get("hardware", {})
        is_here = row["cost"].get("device") == device and machine.get("processor") == here["processor"]
        if row["status"] != "done" or not is_here or "total" not in seconds:
            continue
        steps = row["training"].get("n_steps", 0)
        training = seconds.get("training", 0.0)
        found.setdefault(_key(row["spec"]), []).append((training / max(steps, 1), seconds["total"] - training))
    return {key: (median(p for p, _ in pairs), median(r for _, r in pairs)) for key, pairs in found.items()}


def seconds_per_step(spec: RunSpec, device: str) -> float:
    """Seconds of one training step on noise of the data's shape, on the path that a worker takes; 0 without steps."""
    import numpy as np
    import torch

    from bench.api import DataSpec
    from bench.datasets.containers import Draw
    from bench.grid import N_FRAMES
    from bench.isolation import isolated
    from bench.opening import describe, spec_dataset, spec_method
    from bench.randomness import seeded_global_state
    from bench.training import Trainer

    if spec.method_params["n_steps"] == 0:
        return 0.0
    cls, config = spec_method(spec)
    shape = describe(spec.dataset, spec_dataset(spec)[0]).observation_shape
    n_frames = N_FRAMES.get(spec.view, 8)
    target = torch.device(device)
    with isolated(spec.threads), seeded_global_state(0):
        method = cls(config, DataSpec(shape, n_frames, 1)).to(target, memory_format=torch.channels_last)
        draw = Draw(
            torch.rand(config.batch_size, n_frames, *shape, device=target),
            torch.zeros(config.batch_size, dtype=torch.int64, device=target),
        )
        generator = torch.Generator(target).manual_seed(0)
        trainer = Trainer(
            method, config, lambda rng: iter([]), np.random.default_rng(0), generator, spec.precision, Path()
        )
        seconds = []
        for _ in range(2 + N_TIMED_STEPS):
            started = time.perf_counter()
            trainer.step(draw)
            if target.type == "cuda":
                torch.cuda.synchronize(target)
            seconds.append(time.perf_counter() - started)
    return median(seconds[2:])
