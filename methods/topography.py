"""Capsules of the topographic VAE: units that share their variance along time and capsule position."""

from __future__ import annotations

import torch
from torch import Tensor


def offsets(kernel: int) -> range:
    """Offsets that a window of ``kernel`` covers: centred, or with one more ahead where it is even."""
    return range(-((kernel - 1) // 2), kernel // 2 + 1)


def neighbours(kernel_time: int, kernel_capsule: int, n_off: int | None) -> list[tuple[int, int]]:
    """(Δtime, Δposition) whose squares share a variance: the band |Δtime - Δposition| ≤ n_off, or all for None."""
    every = [(time, place) for time in offsets(kernel_time) for place in offsets(kernel_capsule)]
    return every if n_off is None else [(time, place) for time, place in every if abs(time - place) <= n_off]


def shared_variance(squares: Tensor, window: list[tuple[int, int]], cyclic: bool) -> Tensor:
    """Σ of ``squares`` over each unit's neighbours; (…, time, n_capsules, size) in and out.

    Positions in a capsule wrap around. Time does where ``cyclic``; else frames before the first and after the last
    count as 0.
    """
    n_frames = squares.shape[-3]
    total = torch.zeros_like(squares)
    for ahead, place in window:
        moved = squares.roll(-place, dims=-1)
        if cyclic:
            total = total + moved.roll(-ahead, dims=-3)
        elif ahead < n_frames and -ahead < n_frames:
            there = moved.narrow(-3, max(0, ahead), n_frames - abs(ahead))
            zeros = torch.zeros_like(squares.narrow(-3, 0, abs(ahead)))
            total = total + torch.cat([there, zeros] if ahead > 0 else [zeros, there], dim=-3)
    return total


def rolled(capsules: Tensor, shifts: Tensor) -> Tensor:
    """Capsules (batch, n_capsules, size) rolled by ``shifts`` (batch, n): (batch, n, n_capsules, size).

    A whole shift is an exact roll towards higher positions; between two, both rolls are mixed linearly.
    """
    size = capsules.shape[-1]
    low = shifts.floor()
    share = (shifts - low)[..., None, None]
    places = torch.arange(size, device=capsules.device)

    def by(whole: Tensor) -> Tensor:
        source = (places - whole.long()[..., None]) % size
        index = source[:, :, None].expand(-1, -1, capsules.shape[1], -1)
        return capsules[:, None].expand(-1, shifts.shape[1], -1, -1).gather(-1, index)

    return (1 - share) * by(low) + share * by(low + 1)
