"""Speeds that a trained method infers from sequences whose transformations switch, beside the true amounts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from bench.evidence import traversal_rule
from bench.evidence.encoding import CHUNK, to_observations
from bench.inspection.trained import loaded, methods_with, told
from bench.opening import Folders, spec_method
from bench.randomness import EVALUATION_SEED, stream
from bench.registry import UsageError
from bench.spec import RunSpec

N_SEQUENCES = 50  # of each course


@dataclass(frozen=True)
class InferredSpeeds:
    """What acts in some courses, and what a method infers from test sequences of them.

    Attributes:
        courses: in words.
        true: (n_courses, n_steps, n_transformations).
        inferred: (n_courses, n, n_steps, n_fields), as the method's ``infer_amounts`` gives it.
        flows: the method's flow that each transformation is; flows are matched on training sequences.
        n_flows: of the method; n_fields is a multiple of it: potential fields, then rotational ones.
    """

    courses: tuple[str, ...]
    transformations: tuple[str, ...]
    true: np.ndarray
    inferred: np.ndarray
    flows: tuple[int, ...]
    n_flows: int


def inferred_speeds(row: Mapping[str, Any], folders: Folders) -> InferredSpeeds:
    """Those of a stored run, on the CPU.

    Raises:
        UsageError: the method infers no speeds, or its checkpoint or data are not here.
    """
    spec = RunSpec.from_dict(row["spec"])
    with told(spec):
        cls = spec_method(spec)[0]
    if not (hasattr(cls, "infer_amounts") and hasattr(cls, "transform")):
        able = methods_with("infer_amounts", "transform")
        raise UsageError(f"{spec.method} infers no speeds; those that do: {able}")
    spec, method, data = loaded(row, folders)
    info, device = data.info, torch.device("cpu")
    if len(info.transformations) < 2:
        raise UsageError(f"{spec.dataset} has one transformation, so none can be switched to")
    method.eval()
    rule = traversal_rule.rule_for(method, data, spec.dataset_id, device)
    courses, true = traversal_rule.switching(info, traversal_rule.neighbours(info))
    inferred = []
    for amounts in true:
        rng = stream(EVALUATION_SEED, spec.dataset_id, "inferred speeds")
        x = to_observations(data.moved(N_SEQUENCES, amounts, rng, traversal_rule.scored_split(data)), device)
        with torch.inference_mode():
            pieces = x.split(max(1, CHUNK // x.shape[1]))
            inferred.append(torch.cat([method.infer_amounts(piece).float() for piece in pieces]).numpy())  # type: ignore[operator]
    return InferredSpeeds(
        courses, info.transformations, true, np.stack(inferred), rule.flows, int(getattr(method, "n_flows", 0))
    )
