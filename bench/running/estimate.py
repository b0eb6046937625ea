"""How long runs will take: from stored rows of the same kind where there are some, else from a few timed steps."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

from bench import checkpoint, registry
from bench.provenance import hardware
from bench.running.output import captured
from bench.running.stopping import GRACE_SECONDS, time_limit
from bench.spec import RunSpec
from bench.store import Store

SCORING_SECONDS = {"smoke": 2.0, "quick": 20.0}  # until a stored row says better
N_TIMED_STEPS = 4
ENOUGH = 10.0  # seconds of steps after which no further one is timed
LIMIT = 60.0  # seconds that one method's timing may take


def expected_seconds(
    specs: Sequence[RunSpec], store: Store, device: str, workers: int = 1
) -> tuple[dict[str, float], str]:
    """Predicted seconds of what is left of each run by hash, and in words what the prediction rests on.

    Stored rows count only when method, data set, precision, threads, device and machine are the same; their training
    time is scaled by the number of steps. Steps that a checkpoint holds are not counted.
    """
    known = _from_rows(store.rows(), device)
    unknown = {_key(spec.to_dict()): spec for spec in specs if _key(spec.to_dict()) not in known}
    measured = _measured(list(unknown.values()), device, min(workers, len(specs)))
    untimed = []
    for (key, spec), per_step in zip(unknown.items(), measured, strict=True):
        known[key] = per_step or 0.0, SCORING_SECONDS.get(spec.budget, 60.0)
        if per_step is None:
            untimed.append(f"{spec.method} on {spec.dataset}")
    expected, bases = {}, set()
    for spec in specs:
        key = _key(spec.to_dict())
        bases.add("a few steps timed now" if key in unknown else "stored rows")
        per_step, rest = known[key]
        expected[spec.hash] = per_step * _steps_left(spec, store) + rest
    basis = " and ".join(sorted(bases, reverse=True))
    if untimed:
        basis += f"; training not counted, as timing a step failed or took too long: {', '.join(untimed)}"
    return expected, basis


def _steps_left(spec: RunSpec, store: Store) -> int:
    done = checkpoint.steps_done(store.artifacts(spec.hash) / "checkpoint.safetensors")
    return max(0, int(spec.method_params["n_steps"]) - done)


def _measured(specs: Sequence[RunSpec], device: str, workers: int) -> list[float | None]:
    """Seconds per step of each, in worker processes: a method's first step may do anything to the process it is in.

    None of what breaks or hangs: it may do so in its run as well, whose row says so.
    """
    from bench.running.executor import BrokenProcessPool, run_parallel

    found: dict[int, float | None] = {i: None if spec.method_params["n_steps"] else 0.0 for i, spec in enumerate(specs)}
    calls = [(i, spec, device) for i, spec in enumerate(specs) if spec.method_params["n_steps"]]
    if calls:
        with suppress(BrokenProcessPool, TimeoutError):
            for index, seconds in run_parallel(_timed, calls, workers, specs[0].threads, LIMIT + GRACE_SECONDS):
                found[index] = seconds
    return list(found.values())


def _timed(index: int, spec: RunSpec, device: str) -> tuple[int, float | None]:
    """``seconds_per_step`` in a worker, where nothing that the method does shows."""
    with tempfile.TemporaryDirectory() as folder, captured(Path(folder) / "output.txt"):
        try:
            with time_limit(LIMIT):
                return index, seconds_per_step(spec, device)
        except BaseException:  # also SystemExit, and the time limit
            return index, None


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
    from bench.opening import describe, spec_dataset, spec_method
    from bench.randomness import seeded_global_state
    from bench.running.isolation import isolated
    from bench.running.training import Trainer

    if spec.method_params["n_steps"] == 0:
        return 0.0
    cls, config = spec_method(spec)
    info = describe(spec.dataset, spec_dataset(spec)[0])
    shape, n_frames = info.observation_shape, info.frames_of(spec.view)
    target = torch.device(device)
    with isolated(spec.threads), seeded_global_state(0):
        data = DataSpec(shape, n_frames, 1, 1, info.extras, info.transformations)
        method = cls(config, data).to(target, memory_format=torch.channels_last)
        amounts = torch.ones(config.batch_size, n_frames - 1, len(info.transformations), device=target)
        draw = Draw(
            torch.rand(config.batch_size, n_frames, *shape, device=target),
            torch.zeros(config.batch_size, dtype=torch.int64, device=target),
            amounts if registry.method(spec.method).card.supervised else None,
            {name: _zeros(config.batch_size, info.extras[name], target) for name in method.extras},
        )
        generator = torch.Generator(target).manual_seed(0)
        trainer = Trainer(
            method, config, lambda rng: iter([]), np.random.default_rng(0), generator, spec.precision, Path()
        )
        seconds: list[float] = []
        while len(seconds) < 2 + N_TIMED_STEPS and sum(seconds) < ENOUGH:
            started = time.perf_counter()
            trainer.step(draw)
            if target.type == "cuda":
                torch.cuda.synchronize(target)
            seconds.append(time.perf_counter() - started)
    return median(seconds[2:] or seconds[-1:])


def _zeros(n: int, shape: tuple[int, ...], device: Any) -> Any:
    """An extra of n items; a single number per item counts something, and methods may look up rows by it."""
    import torch

    return torch.zeros(n, *shape, dtype=torch.float32 if shape else torch.int64, device=device)
