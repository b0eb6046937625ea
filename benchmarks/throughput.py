"""Training throughput: the grid against a straightforward loop over the same network, on the same cores.

The plain loop is what released code does: float32, a DataLoader, Adam as it comes, all cores for one process. Ours is
the real path: worker processes of the executor, each with one thread. Both train SlowVAE on Natural Sprites, 32 pairs
a step, in turn within one call, so that the ratio holds where the machine's speed drifts.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

N_PAIRS = 32
STEPS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("plain loop, all cores", {"threads": 0}),
    ("plain loop, one thread", {"threads": 1}),
    ("+ channels_last", {"channels_last": True}),
    ("+ bfloat16 autocast", {"bfloat16": True}),
    ("+ fused Adam", {"fused": True}),
    ("+ uint8 cache, no DataLoader", {"cache": True}),
    ("+ freed memory kept", {"keep_memory": True}),
    ("+ huge pages", {"huge_pages": True}),
    ("+ our layers", {"layers": True}),
)
# Each variant has the settings of all before it, so the last is the path that a worker takes.
VARIANTS = {
    name: {key: value for _, settings in STEPS[: i + 1] for key, value in settings.items()}
    for i, (name, _) in enumerate(STEPS)
}


def child(settings: dict[str, Any], n_steps: int) -> float:
    """Frames per second of one process that trains with these settings."""
    import numpy as np
    import torch

    from bench import registry
    from bench.api import Batch
    from bench.datasets.base import Source
    from bench.opening import Folders, open_dataset
    from bench.running.isolation import keep_freed_memory

    if settings.get("keep_memory"):
        keep_freed_memory()
    if settings["threads"]:
        torch.set_num_threads(settings["threads"])
    entry = registry.dataset("natural_sprites")
    config = entry.config(n_pairs=2_000, source="generated")
    data = open_dataset("natural_sprites", config, Source("generated"), Folders.from_environment())
    entry = registry.method("slowvae")
    method = entry.target(entry.config(), data.spec("pairs"))
    if not settings.get("layers"):
        method.model.encoder, method.model.decoder = _stock_layers(data.info.observation_shape[0])
    if settings.get("channels_last"):
        method = method.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(method.parameters(), lr=1e-4, fused=settings.get("fused", False))
    generator = torch.Generator().manual_seed(0)
    if settings.get("cache"):
        draws = (draw.x for draw in data.batches("pairs", N_PAIRS, np.random.default_rng(0)))
    else:
        draws = _data_loader(data)
    warm_up, times = 5, []
    for step in range(warm_up + n_steps):
        started = time.perf_counter()
        batch = Batch(next(draws), torch.zeros(N_PAIRS, dtype=torch.int64), step, 300_000)
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.get("bfloat16", False)):
            loss = method.losses(batch, generator)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        times.append(time.perf_counter() - started)
    return 2 * N_PAIRS * n_steps / sum(times[warm_up:])


def _stock_layers(channels: int, n_latents: int = 10) -> tuple[Any, Any]:
    """Encoder and decoder of the same network, written with torch's own layers as the released code does."""
    from torch import nn

    encoder = nn.Sequential(
        nn.Conv2d(channels, 32, 4, 2, 1), nn.ReLU(), nn.Conv2d(32, 32, 4, 2, 1), nn.ReLU(),
        nn.Conv2d(32, 64, 4, 2, 1), nn.ReLU(), nn.Conv2d(64, 64, 4, 2, 1), nn.ReLU(),
        nn.Conv2d(64, 256, 4), nn.ReLU(), nn.Flatten(), nn.Linear(256, 2 * n_latents),
    )  # fmt: skip
    decoder = nn.Sequential(
        nn.Linear(n_latents, 256), nn.Unflatten(1, (256, 1, 1)), nn.ReLU(), nn.ConvTranspose2d(256, 64, 4), nn.ReLU(),
        nn.ConvTranspose2d(64, 64, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(64, 32, 4, 2, 1), nn.ReLU(),
        nn.ConvTranspose2d(32, 32, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(32, channels, 4, 2, 1),
    )  # fmt: skip
    return encoder, decoder


def _data_loader(data: Any) -> Any:
    """Pairs as float32 tensors from a DataLoader in this process (worker processes made it slower on two cores)."""
    import torch
    from torch.utils.data import DataLoader, Dataset

    class Pairs(Dataset[torch.Tensor]):
        def __len__(self) -> int:
            return len(data.pairs)

        def __getitem__(self, index: int) -> torch.Tensor:
            return torch.from_numpy(data.frames[data.pairs[index]]).float() / 255

    while True:
        yield from DataLoader(Pairs(), batch_size=N_PAIRS, shuffle=True, drop_last=True)


def grid(n_steps: int, workers: int) -> tuple[float, float]:
    """Frames per second summed over the workers of a real grid, and the largest share of time spent on data."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable, "-m", "bench", "run", "--datasets", "natural_sprites[n_pairs=2000,source=generated]",
            "--methods", f"slowvae[n_steps={n_steps},batch_size={N_PAIRS}]", "--budget", "smoke", "--metrics", "mcc",
            "--seeds", str(workers), "--workers", str(workers), "--results", folder, "--no-figures",
        ]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True)
        costs = [json.loads(path.read_text())["cost"] for path in Path(folder).glob("rows/*/*/*.json")]
    return sum(cost["frames_per_second"] for cost in costs), max(cost["waiting_for_data"] for cost in costs)


def measure(name: str, n_steps: int) -> float:
    """``child`` in a process of its own, started with the environment that the variant needs."""
    settings = VARIANTS[name]
    environment = dict(os.environ)
    environment.pop("THP_MEM_ALLOC_ENABLE", None)
    if settings["threads"]:
        environment["OMP_NUM_THREADS"] = str(settings["threads"])
    if settings.get("huge_pages"):
        environment["THP_MEM_ALLOC_ENABLE"] = "1"
    command = [sys.executable, "-m", "benchmarks.throughput", "--child", name, "--steps", str(n_steps)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return float(done.stdout)


def run(repeats: int = 3, n_steps: int = 60, variants: bool = True) -> dict[str, Any]:
    """All figures: the grid against the plain loop, pair by pair, and what each step of the way gives."""
    from bench.provenance import n_cores

    workers = n_cores()
    grid(2, workers)  # fills the frame cache
    pairs = []
    for _ in range(repeats):
        ours, waiting = grid(4 * n_steps, workers)
        pairs.append({"grid": ours, "plain": measure("plain loop, all cores", n_steps), "waiting_for_data": waiting})
    found: dict[str, Any] = {
        "workers": workers,
        "pairs": pairs,
        "ratio": median(pair["grid"] / pair["plain"] for pair in pairs),
        "waiting_for_data": max(pair["waiting_for_data"] for pair in pairs),
    }
    if variants:
        rounds = [{name: measure(name, n_steps) for name in VARIANTS} for _ in range(repeats)]
        found["variants"] = {name: median(one[name] for one in rounds) for name in VARIANTS}
    return found


def report(found: dict[str, Any]) -> str:
    """The figures as lines."""
    lines = [f"grid of {found['workers']} workers / plain loop on the same cores: {found['ratio']:.2f} (median)"]
    for pair in found["pairs"]:
        ratio = pair["grid"] / pair["plain"]
        lines.append(f"  grid {pair['grid']:.0f} frames/s, plain loop {pair['plain']:.0f} frames/s: {ratio:.2f}")
    lines.append(f"  largest share of a worker's step time spent waiting for data: {found['waiting_for_data']:.1%}")
    for name, speed in found.get("variants", {}).items():
        lines.append(f"  {name:<30} {speed:6.0f} frames/s  {speed / found['variants']['plain loop, one thread']:.2f}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throughput", description=__doc__)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--child", choices=list(VARIANTS), help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(arguments)
    if asked.child:
        sys.stdout.write(f"{child(VARIANTS[asked.child], asked.steps)}\n")
        return 0
    found = run(asked.repeats, asked.steps)
    sys.stdout.write((json.dumps(found, indent=1) if asked.json else report(found)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
