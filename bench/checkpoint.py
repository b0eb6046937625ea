"""Checkpoints as one safetensors file: weights, optimiser state, generators, curves; loaded as data, never as code.

Each tensor comes back with the strides it had: channels_last weights with contiguous moments would train on, but to
other numbers than an undisturbed run.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from bench.messages import one_line

_MOST_SPREAD = 16  # times a tensor's own size, in memory, for one that was a part of another
_DAMAGE = (
    SafetensorError, KeyError, ValueError, TypeError, AttributeError, IndexError, OverflowError, OSError, RuntimeError,
)  # fmt: skip


class CorruptCheckpoint(ValueError):
    """A checkpoint file that cannot be used; the message names it."""


def save(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write tensors and JSON-able facts to ``path`` whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    strides = {name: list(tensor.stride()) for name, tensor in tensors.items()}
    # clone: safetensors refuses tensors that share memory
    flat = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    try:
        texts = {"facts": json.dumps(facts), "strides": json.dumps(strides)}
        save_file(flat, partial, metadata=texts | {"sha256": _digest(flat, **texts)})
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        with suppress(FileNotFoundError):
            partial.unlink()
        raise


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """What ``save`` wrote, on the CPU, or None where there is no file.

    Raises:
        CorruptCheckpoint: cut short, changed since it was written, not safetensors, or without our facts.
    """
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            flat = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        digest = metadata.get("sha256")  # absent from what older versions wrote
        if digest is not None and digest != _digest(flat, metadata["facts"], metadata["strides"]):
            raise ValueError("its content is not what was written")
        facts, strides = json.loads(metadata["facts"]), json.loads(metadata["strides"])
        tensors = {name: _restride(tensor, strides[name]) for name, tensor in flat.items()}
    except _DAMAGE as error:
        raise CorruptCheckpoint(f"{path}: not a readable checkpoint ({_text(error)})") from None
    return tensors, facts


def steps_done(path: Path) -> int:
    """Optimiser steps that the checkpoint at ``path`` holds, 0 without a readable one; reads its header alone."""
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return max(int(json.loads((file.metadata() or {})["facts"])["training"]["step"]), 0)
    except _DAMAGE:
        return 0


def _digest(flat: Mapping[str, Tensor], facts: str, strides: str) -> str:
    """SHA-256 over names, types, shapes and values, so that a flipped bit is no other training."""
    digest = hashlib.sha256(f"{facts}|{strides}".encode())
    for name, tensor in sorted(flat.items()):
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _restride(tensor: Tensor, stride: Any) -> Tensor:
    """The tensor in the strides it was saved with, which may neither overlap nor ask for much more memory than it."""
    if list(tensor.stride()) == stride:
        return tensor
    is_whole = isinstance(stride, list) and all(type(step) is int and step >= 0 for step in stride)
    if not is_whole or len(stride) != tensor.ndim:
        raise ValueError("strides of a tensor do not fit its shape")
    extent = 1 + sum((length - 1) * step for length, step in zip(tensor.shape, stride, strict=True))
    if tensor.numel() and not tensor.numel() <= extent <= _MOST_SPREAD * tensor.numel():
        raise ValueError("strides of a tensor do not fit its shape")
    return torch.empty_strided(tensor.shape, stride, dtype=tensor.dtype).copy_(tensor)


def _text(error: Exception) -> str:
    return one_line(" ".join(str(error).split()), 300) or type(error).__name__


def module_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Weights and buffers by ``model/<name>``."""
    return {f"model/{name}": tensor for name, tensor in module.state_dict().items()}


def load_module(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy ``model/…`` into the module in place, keeping the memory format that its parameters have."""
    state = {name.removeprefix("model/"): t for name, t in tensors.items() if name.startswith("model/")}
    for name, tensor in module.state_dict().items():
        if name in state and state[name].dtype != tensor.dtype:
            raise CorruptCheckpoint(f"the checkpoint is of another network: {one_line(name)} is {state[name].dtype}")
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise CorruptCheckpoint(f"the checkpoint is of another network: {_text(error)}") from None


def optimizer_tensors(optimizers: Mapping[str, torch.optim.Optimizer]) -> dict[str, Tensor]:
    """State tensors by ``optimizer/<player>/<parameter index>/<key>``."""
    found = {}
    for player, optimizer in optimizers.items():
        for index, values in optimizer.state_dict()["state"].items():
            for key, value in values.items():
                if isinstance(value, Tensor):
                    found[f"optimizer/{player}/{index}/{key}"] = value
    return found


def load_optimizers(optimizers: Mapping[str, torch.optim.Optimizer], tensors: Mapping[str, Tensor]) -> None:
    """Put ``optimizer/…`` back, moments in the strides they were saved with.

    Raises:
        ValueError: state that does not fit its parameter; fused steps would not notice.
    """
    for player, optimizer in optimizers.items():
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        state: dict[int, dict[str, Tensor]] = {}
        prefix = f"optimizer/{player}/"
        for name, tensor in tensors.items():
            if name.startswith(prefix):
                index, key = name.removeprefix(prefix).split("/")
                if not index.isdecimal() or int(index) >= len(parameters):
                    raise ValueError(f"{one_line(name)}: there are {len(parameters)} parameters")
                is_count = tensor.numel() == 1 and tensor.is_floating_point()
                like = parameters[int(index)]
                if not is_count and (tensor.shape, tensor.dtype) != (like.shape, like.dtype):
                    raise ValueError(f"{one_line(name)}: {tensor.dtype} {tuple(tensor.shape)} is not as its parameter")
                state.setdefault(int(index), {})[key] = tensor
        if len({frozenset(one) for one in state.values()}) > 1:
            raise ValueError(f"the optimiser state of {player} lacks values")
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
