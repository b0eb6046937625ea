"""Descriptions of tiny data and random batches of them, for every view and kind of observation that methods see."""

from __future__ import annotations

import torch

from bench.api import Batch, DataSpec

N = 6
N_RECORDINGS = 64
IMAGES = {"flow_cells": (8, 2, 9)}
AUDIO = {"voice_changed": (20, 200), "volume": (20,), "recording": (), "n_segments": ()}
SPECS = {
    "images": (DataSpec((1, 64, 64), 1, 64),),
    "pairs": (DataSpec((1, 64, 64), 2, 64),),
    "sequences": (
        DataSpec((3, 64, 64), 8, 64, N_RECORDINGS, IMAGES),
        DataSpec((1, 64, 64), 8, 64, N_RECORDINGS, IMAGES),
        DataSpec((200,), 20, 64, N_RECORDINGS, AUDIO),
    ),
    "transformations": (DataSpec((3, 28, 28), 8, 64, 64, transformations=("rotation", "scaling", "hue")),),
}


def name_of(spec: DataSpec) -> str:
    """``3×64×64``, for the ids of tests."""
    return "×".join(map(str, spec.observation_shape))


def observations(spec: DataSpec, n: int = N, seed: int = 0) -> torch.Tensor:
    """Smooth random images in [0, 1], or standardised features: (n, time, *observation)."""
    generator = torch.Generator().manual_seed(seed)
    shape = spec.observation_shape
    if len(shape) == 1:
        return torch.randn(n, spec.n_frames, *shape, generator=generator)
    coarse = torch.rand(n * spec.n_frames, shape[0], shape[1] // 8, shape[2] // 8, generator=generator)
    frames = torch.nn.functional.interpolate(coarse, size=shape[1:], mode="bilinear")
    return frames.unflatten(0, (n, spec.n_frames))


def amounts(spec: DataSpec, n: int = N, seed: int = 0) -> torch.Tensor:
    """One transformation of each item acts one unit per step: (n, time - 1, n_transformations)."""
    n_kinds = len(spec.transformations)
    acting = torch.randint(n_kinds, (n,), generator=torch.Generator().manual_seed(seed))
    return torch.eye(n_kinds)[acting][:, None].repeat(1, spec.n_frames - 1, 1)


def extras(spec: DataSpec, names: tuple[str, ...], x: torch.Tensor) -> dict[str, torch.Tensor]:
    """The extras of those names for items x, in the ranges that data sets give them."""
    generator, n = torch.Generator().manual_seed(5), len(x)
    n_frames = spec.n_frames
    directions = torch.randint(8, (n, n_frames, 1, 9), generator=generator)
    moving = torch.randint(2, (n, n_frames, 1, 9), generator=generator)
    made = {
        "flow_cells": lambda: torch.cat([moving, directions], dim=2).float(),
        "voice_changed": lambda: x.roll(1, -1) + 0.1,
        "volume": lambda: x.square().flatten(2).mean(2).sqrt(),
        "recording": lambda: torch.arange(n) % N_RECORDINGS,
        "n_segments": lambda: torch.full((n,), 7),
    }
    found = {name: made[name]() for name in names}
    assert all(value.shape[1:] == spec.extras[name] for name, value in found.items())
    return found


def batch(spec: DataSpec, names: tuple[str, ...] = (), is_supervised: bool = False, seed: int = 0) -> Batch:
    """A batch early in training."""
    x = observations(spec, seed=seed)
    moved = amounts(spec, seed=seed) if is_supervised and spec.transformations else None
    return Batch(x, torch.arange(N), 0, 10, moved, extras(spec, names, x))
