"""Checkpoints as one safetensors file: weights, optimiser state, generators, curves; loaded as data, never as code.

Each tensor comes back with the strides it had: channels_last weights with contiguous moments would train on, but to
other numbers than an undisturbed run.
"""

from __future__ import annotations

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
        save_file(flat, partial, metadata={"facts": json.dumps(facts), "strides": json.dumps(strides)})
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
        CorruptCheckpoint: cut short, not safetensors, or without our facts.
    """
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            facts, strides = json.loads(metadata["facts"]), json.loads(metadata["strides"])
            tensors = {name: _restride(file.get_tensor(name), strides[name]) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError, OSError, RuntimeError) as error:
        raise CorruptCheckpoint(f"{path}: not a readable checkpoint ({error})") from None
    return tensors, facts


def steps_done(path: Path) -> int:
    """Optimiser steps that the checkpoint at ``path`` holds, 0 without a readable one; reads its header alone."""
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return int(json.loads((file.metadata() or {})["facts"])["training"]["step"])
    except (SafetensorError, KeyError, TypeError, ValueError, OSError, RuntimeError):
        return 0


def _restride(tensor: Tensor, stride: list[int]) -> Tensor:
    if list(tensor.stride()) == stride:
        return tensor
    if sorted(stride, reverse=True) != sorted(tensor.stride(), reverse=True) and 0 in stride:
        raise ValueError("strides of a tensor do not fit its shape")
    return torch.empty_strided(tensor.shape, stride, dtype=tensor.dtype).copy_(tensor)


def module_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Weights and buffers by ``model/<name>``."""
    return {f"model/{name}": tensor for name, tensor in module.state_dict().items()}


def load_module(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy ``model/…`` into the module in place, keeping the memory format that its parameters have."""
    state = {name.removeprefix("model/"): t for name, t in tensors.items() if name.startswith("model/")}
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise CorruptCheckpoint(f"the checkpoint is of another network: {error}") from None


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
    """Put ``optimizer/…`` back, moments in the strides they were saved with."""
    for player, optimizer in optimizers.items():
        state: dict[int, dict[str, Tensor]] = {}
        prefix = f"optimizer/{player}/"
        for name, tensor in tensors.items():
            if name.startswith(prefix):
                index, key = name.removeprefix(prefix).split("/")
                state.setdefault(int(index), {})[key] = tensor
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
