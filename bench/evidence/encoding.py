"""A trained method at work: codes of observations, and observations of codes, in pieces that fit in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from bench.api import Method
from bench.evidence.evaluation import ItemRows, Rows

CHUNK = 256  # frames encoded at once: larger only costs memory on a CPU


def to_observations(frames: np.ndarray, device: torch.device) -> Tensor:
    """Frames uint8 or float32 → float32 tensor on ``device``, same shape; images in [0, 1]."""
    x = torch.from_numpy(np.array(frames)).to(device)  # a copy: frames may be a read-only memory map
    return x.float().div_(255) if x.dtype == torch.uint8 else x.float()


@torch.inference_mode()
def encode(method: Method, frames: np.ndarray, device: torch.device) -> np.ndarray:
    """Codes (n, n_latents) float32 of frames (n, *observation), in eval mode and without autocast."""
    method.eval()
    pieces = []
    for start in range(0, len(frames), CHUNK):
        x = to_observations(frames[start : start + CHUNK], device)
        pieces.append(method.encode(x[:, None])[:, 0].float().cpu().numpy())  # type: ignore[operator]
    return np.concatenate(pieces)


@torch.inference_mode()
def decode(method: Method, codes: np.ndarray, device: torch.device) -> np.ndarray:
    """Observations (n, *observation) float32, images in [0, 1], of codes (n, n_latents)."""
    method.eval()
    pieces = []
    for start in range(0, len(codes), CHUNK):
        z = torch.from_numpy(codes[start : start + CHUNK]).to(device)
        pieces.append(method.decode(z).float().cpu().numpy())  # type: ignore[operator]
    return np.concatenate(pieces)


def encode_rows(method: Method, rows: Rows, device: torch.device) -> np.ndarray:
    """Codes (n, n_latents) float32 of the rows; of items that are encoded whole, the code at each row's frame."""
    if not isinstance(rows, ItemRows):
        return encode(method, rows.x, device)

    def codes(x: Tensor) -> dict[str, Tensor]:
        return {"codes": method.encode(x)}  # type: ignore[operator]

    return at_rows(method, rows, codes, device)["codes"]


@torch.inference_mode()
def at_rows(
    method: Method, rows: ItemRows, give: Callable[[Tensor], Mapping[str, Tensor]], device: torch.device
) -> dict[str, np.ndarray]:
    """What ``give`` makes of items x (batch, time, *observation), at the rows: name → (n, width) float32.

    Args:
        give: names → codes (batch, width) of an item, (batch, time, width) of its frames, or (batch, time - 1, width)
            of the steps between them: a row then has the step before its frame, and frame 0 the first step.

    Raises:
        ValueError: codes of another shape.
    """
    method.eval()
    found: dict[str, np.ndarray] = {}
    for start, x in item_chunks(rows, device):
        own = np.flatnonzero((rows.item >= start) & (rows.item < start + len(x)))
        item, frame = rows.item[own] - start, rows.frame[own]
        for name, tensor in give(x).items():
            codes = tensor.float().cpu().numpy()
            behind = rows.n_frames - codes.shape[1] if codes.ndim == 3 else 0
            if codes.ndim not in (2, 3) or len(codes) != len(x) or behind not in (0, 1):
                raise ValueError(f"'{name}' of x {tuple(x.shape)} has shape {codes.shape}")
            values = codes[item] if codes.ndim == 2 else codes[item, np.maximum(frame - behind, 0)]
            found.setdefault(name, np.empty((len(rows), codes.shape[-1]), np.float32))[own] = values
    return found


def regenerate(method: Method, rows: ItemRows, device: torch.device) -> np.ndarray:
    """Observations (n, *observation) float32 of the rows, as ``generate`` makes their sequences of their parts."""

    def give(x: Tensor) -> dict[str, Tensor]:
        parts = method.parts(x)  # type: ignore[operator]
        return {"x": method.generate(parts["static"], parts["dynamic"]).flatten(2)}  # type: ignore[operator]

    return at_rows(method, rows, give, device)["x"].reshape(len(rows), *rows.stored.shape[2:])


def item_chunks(
    rows: ItemRows, device: torch.device, start: int = 0, stop: int | None = None
) -> Iterator[tuple[int, Tensor]]:
    """Items ``start`` to ``stop`` in pieces of about ``CHUNK`` frames: number of the first one, x (m, time, …)."""
    end = len(rows.place) if stop is None else min(stop, len(rows.place))
    size = max(1, CHUNK // rows.n_frames)
    for first in range(start, end, size):
        yield first, to_observations(rows.items(first, min(first + size, end)), device)
