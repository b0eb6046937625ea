"""What trained methods make of the first frames of the same sequences: pictures of moves, switched or at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from bench.datasets.base import DataInfo
from bench.evidence import traversal_rule
from bench.evidence.encoding import to_observations
from bench.inspection.trained import loaded, told
from bench.opening import Folders, describe_data, spec_method
from bench.randomness import EVALUATION_SEED, stream
from bench.registry import UsageError
from bench.spec import RunSpec

Kind = Literal["switching", "superposing", "generalisation"]
MOST_COURSES = 4


@dataclass(frozen=True)
class Film:
    """True sequences, one for each course, and each method's from the same first frames.

    Attributes:
        courses: what acts, in words.
        amounts: (n_courses, n_steps, n_transformations).
        truth: (n_courses, n_steps + 1, *observation) in [0, 1].
        moved: label of a run -> frames of the same shape.
        rules: label of a run -> the rule it was moved by.
        left_out: label of a run -> why it is not here.
    """

    courses: tuple[str, ...]
    amounts: np.ndarray
    truth: np.ndarray
    moved: Mapping[str, np.ndarray]
    rules: Mapping[str, str]
    left_out: Mapping[str, str]

    def relative_error(self, label: str) -> np.ndarray:
        """Σ |x_t - x̂_t| over Σ |x_t - x_0| of each course's sequence, (n_courses,)."""
        error, still = (np.abs(self.truth - other) for other in (self.moved[label], self.truth[:, :1]))
        axes = tuple(range(1, self.truth.ndim))
        return np.asarray(error[:, 1:].sum(axes) / still[:, 1:].sum(axes))


def courses_of(kind: Kind, info: DataInfo) -> tuple[tuple[str, ...], np.ndarray]:
    """Names and amounts of the courses a picture shows, at most ``MOST_COURSES``."""
    if kind == "generalisation":
        names, amounts = info.transformations, traversal_rule.one_alone(info)
    else:
        make = traversal_rule.switching if kind == "switching" else traversal_rule.superposing
        names, amounts = make(info, traversal_rule.neighbours(info))
    return names[:MOST_COURSES], amounts[:MOST_COURSES]


def check(kind: Kind, row: Mapping[str, Any]) -> None:
    """UsageError, one line, unless the row's data set has what the picture is of."""
    spec = RunSpec.from_dict(row["spec"])
    with told(spec):
        info = describe_data(spec)
    if not info.transformations or len(info.observation_shape) != 3:
        raise UsageError(
            f"{spec.dataset} has no images that known transformations move; transforming_mnist, transforming_shapes3d, "
            "transforming_dsprites, falcor3d and isaac3d have"
        )
    if kind == "generalisation" and not info.unseen:
        raise UsageError(
            f"{spec.dataset} as it was trained on here holds nothing unseen; train on "
            "transforming_mnist[unseen=fashion_mnist]"
        )
    if kind != "generalisation" and len(info.transformations) < 2:
        raise UsageError(f"{spec.dataset} has one transformation, so there is nothing that could be combined")


def film(rows: Mapping[str, Mapping[str, Any]], kind: Kind, folders: Folders) -> Film:
    """The film of some runs on one data set, on the CPU.

    Args:
        rows: label -> stored row; all of the same data set, parameters and source, which ``check`` passes.

    Raises:
        UsageError: not one of the runs can be drawn, for the first one's reason.
    """
    moved: dict[str, np.ndarray] = {}
    rules: dict[str, str] = {}
    left_out: dict[str, str] = {}
    truth: torch.Tensor | None = None
    names: tuple[str, ...] = ()
    amounts = np.zeros(0)
    device = torch.device("cpu")
    for label, row in rows.items():
        try:
            spec, method, data = _loaded(row, folders)
        except UsageError as error:
            left_out[label] = str(error)
            continue
        if truth is None:
            names, amounts = courses_of(kind, data.info)
            truth = _truth(data, spec.dataset_id, amounts, data.info.unseen if kind == "generalisation" else "")
        method.eval()
        rule = traversal_rule.rule_for(method, data, spec.dataset_id, device)
        with torch.inference_mode():
            moved[label] = rule.move(truth[:, 0], torch.from_numpy(amounts)).float().numpy()
        rules[label] = rule.name
    if truth is None:
        raise UsageError(next(iter(left_out.values()), "no run to draw"))
    return Film(names, amounts, truth.numpy(), moved, rules, left_out)


def _loaded(row: Mapping[str, Any], folders: Folders) -> Any:
    spec = RunSpec.from_dict(row["spec"])
    with told(spec):
        can_move = traversal_rule.can_move(spec_method(spec)[0], describe_data(spec))
    if not can_move:
        raise UsageError(f"{spec.method} neither moves nor decodes codes, so it has no sequences to draw")
    return loaded(row, folders)


def _truth(data: Any, dataset_id: str, amounts: Sequence[np.ndarray] | np.ndarray, split: str) -> torch.Tensor:
    """One sequence for each course, (n_courses, n_steps + 1, *observation); of the scored split unless another."""
    rng = stream(EVALUATION_SEED, dataset_id, "moved sequences")
    drawn = [data.moved(1, one, rng, split or traversal_rule.scored_split(data)) for one in amounts]
    return to_observations(np.concatenate(drawn), torch.device("cpu"))
