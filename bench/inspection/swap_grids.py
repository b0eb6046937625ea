"""Sequences for a picture of swaps: the content of some test sequences with the motion of others, by a stored run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from bench.datasets.base import DataInfo
from bench.evidence.encoding import to_observations
from bench.evidence.swap_evidence import SIDES, Codes, codes_of, drawn, test_rows
from bench.inspection.trained import loaded
from bench.opening import Folders
from bench.randomness import EVALUATION_SEED, stream, torch_stream
from bench.registry import UsageError


@dataclass(frozen=True)
class SwapGrid:
    """What a method generates from the static codes of some sequences and the dynamic codes of others.

    Attributes:
        contents: (n_contents, time, *observation), what the static codes are of.
        motions: (n_motions, time, *observation), what the dynamic codes are of.
        generated: (n_contents, n_motions, time, *observation).
        is_real: the sources are test sequences, not sequences that the method drew itself.
    """

    contents: np.ndarray
    motions: np.ndarray
    generated: np.ndarray
    is_real: bool


@torch.inference_mode()
def swap_grid(row: Mapping[str, Any], folders: Folders, n_contents: int = 4, n_motions: int = 3) -> SwapGrid:
    """The grid of a stored run, on the CPU; sources differ in the judged factors of their side where they can.

    Raises:
        UsageError: the run has no two codes to exchange, or its checkpoint or data are not here.
    """
    refusal = f"{row['spec']['method']} has no static and dynamic code to exchange, so there are no swaps to draw"
    if row["spec"]["view"] != "sequences":
        raise UsageError(refusal)
    spec, method, data = loaded(row, folders)
    has_sides = not hasattr(method, "parts") or set(SIDES) <= set(method.part_names)
    if not has_sides or not hasattr(method, "generate"):
        raise UsageError(refusal)
    method.eval()
    n, device = n_contents + n_motions, torch.device("cpu")
    is_real = hasattr(method, "parts")
    if is_real:
        rows = _sources(data, n_contents, n_motions)
        x = to_observations(data.frames[rows], device)
        codes = codes_of(method, x)
    else:
        generator = torch_stream(EVALUATION_SEED, spec.dataset_id, "swap grid", device)
        codes = drawn(method, n, data.info.n_frames, generator)
        x = method.generate(*codes).float()  # type: ignore[operator]
    grid = [
        method.generate(*Codes(static.expand(n_motions, -1), codes.dynamic[n_contents:])).float()  # type: ignore[operator]
        for static in codes.static[:n_contents]
    ]
    return SwapGrid(x[:n_contents].numpy(), x[n_contents:].numpy(), torch.stack(grid).numpy(), is_real)


def _sources(data: Any, n_contents: int, n_motions: int) -> np.ndarray:
    """Test sequences: contents that differ in static factors, then motions that differ in dynamic ones."""
    rows = test_rows(data)
    order = stream(EVALUATION_SEED, "", "swap grid").permutation(len(rows))
    factors = np.asarray(data.factors[rows])[:, 0]
    contents = _distinct(order, factors[:, _columns(data.info, False)], n_contents, ())
    motions = _distinct(order[::-1], factors[:, _columns(data.info, True)], n_motions, contents)
    return rows[[*contents, *motions]]


def _columns(info: DataInfo, is_dynamic: bool) -> list[int]:
    names = info.judged or info.factors.names
    return [i for i, name in enumerate(info.factors.names) if name in names and info.factors.dynamic[i] == is_dynamic]


def _distinct(order: np.ndarray, labels: np.ndarray, n: int, taken: tuple[int, ...] | list[int]) -> list[int]:
    """The first n of ``order`` that differ in every label, then in some label, then whichever are left."""
    chosen: list[int] = []
    for differ in (np.all, np.any, None):
        for i in order.tolist():
            if len(chosen) == n:
                return chosen
            if i in taken or i in chosen:
                continue
            if differ is None or (labels.shape[1] and all(differ(labels[i] != labels[j]) for j in chosen)):
                chosen.append(i)
    return chosen
