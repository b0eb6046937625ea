"""How far decoded latents that a method moves are from the true frames that a transformation moves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from metrics.registry import MetricCard, Output, register_metric


@dataclass(frozen=True)
class Rollouts:
    """Errors of frames x̂_t that follow from x_0 and from how much of what acts, along several courses.

    Attributes:
        names: of the courses: what acts in each.
        errors: (courses, n, steps) of each sequence and step t = 1 … T: the sum over channels and pixels in [0, 1] of
            |x_t - x̂_t|.
        still: the same of |x_t - x_0|: what standing still costs, which the data alone decides.
        unmoved: the same of |x_t - x̂_0|: a method that reconstructs x_0 and moves nothing.
        rule: how the method's latents were moved.
        assignment: what of the method moves along each course, in words; empty where nothing had to be chosen.
    """

    names: tuple[str, ...]
    errors: np.ndarray
    still: np.ndarray
    unmoved: np.ndarray
    rule: str = ""
    assignment: tuple[str, ...] = ()


def equivariance_error(
    rollouts: Rollouts | None = None,
    rollouts_inferred: Rollouts | None = None,
    rollouts_unseen: Rollouts | None = None,
    rollouts_switching: Rollouts | None = None,
    rollouts_superposing: Rollouts | None = None,
) -> dict[str, float]:
    """Means over courses of E_k and of what it is read beside; one of the arguments is given.

    Raises:
        ValueError: arrays of different shapes, or a course in which no pixel ever changes.
    """
    return _measured(rollouts, rollouts_inferred, rollouts_unseen, rollouts_switching, rollouts_superposing)[0]


def equivariance_details(**given: Rollouts | None) -> tuple[dict[str, float], dict[str, Any]]:
    """As ``equivariance_error``, with the numbers of each course."""
    return _measured(*given.values())


def _measured(*given: Rollouts | None) -> tuple[dict[str, float], dict[str, Any]]:
    (rollouts,) = (one for one in given if one is not None)
    errors, still, unmoved = (np.asarray(a, np.float64) for a in (rollouts.errors, rollouts.still, rollouts.unmoved))
    shape = errors.shape
    if len(shape) != 3 or not errors.size or still.shape != shape or unmoved.shape != shape:
        raise ValueError(
            f"equivariance_error: errors must be (courses, n, steps), each alike, got {shape}, {still.shape}, "
            f"{unmoved.shape}"
        )
    if shape[0] != len(rollouts.names):
        raise ValueError(f"equivariance_error: {shape[0]} courses with {len(rollouts.names)} names")
    each = {
        "error": errors.sum(2).mean(1),
        "without_last": errors[:, :, :-1].sum(2).mean(1),
        "still": still.sum(2).mean(1),
        "unmoved": unmoved.sum(2).mean(1),
    }
    if not (each["still"] > 0).all():
        name = rollouts.names[int(np.argmin(each["still"]))]
        raise ValueError(f"equivariance_error: nothing changes along '{name}', so there is nothing to be relative to")
    each["relative"] = each["error"] / each["still"]
    found = {f"equivariance_error/{key}": float(values.mean()) for key, values in each.items() if key != "error"}
    details = {key: values.tolist() for key, values in each.items()}
    details |= {"courses": list(rollouts.names), "n": shape[1], "steps": shape[2], "rule": rollouts.rule}
    details |= {"assignment": list(rollouts.assignment)} if rollouts.assignment else {}
    details["error_by_step"] = errors.mean(1).tolist()
    return {"equivariance_error": float(each["error"].mean()), **found}, details


register_metric(
    "equivariance_error",
    card=MetricCard(
        title="Equivariance error",
        summary="Σ_t Σ_pixels |x_t − x̂_t| of decoded moved latents x̂_t, mean over transformations and test sequences.",
        paper="Song, Keller, Sebe & Welling, Flow Factorized Representation Learning, NeurIPS 2023",
        source="KingJamesSong/latent-flow, trainers: E_k = (1/N) Σ_n Σ_t Σ_pixels |x_t − dec(z_t)|; not divided by "
        "steps or pixels. The released script forgets to clear its list between transformations, and never moves z "
        "for Falcor3D and Isaac3D; neither is repeated. z_0 is the posterior mean, theirs a sample.",
        needs=("rollouts",),
        factors=None,
        variants={"": {}, "inferred": {}, "unseen": {}, "switching": {}, "superposing": {}},
        variant_needs={
            "inferred": ("rollouts_inferred",),
            "unseen": ("rollouts_unseen",),
            "switching": ("rollouts_switching",),
            "superposing": ("rollouts_superposing",),
        },
        outputs={
            "": Output(
                bounds=(0.0, None),
                higher_is_better=False,
                ceiling=0.0,
                note="all T steps; grows with steps and pixels: read it beside /still, or take /relative",
            ),
            "/without_last": Output(
                bounds=(0.0, None),
                higher_is_better=False,
                ceiling=0.0,
                note="steps 1 … T − 1: what the released evaluation sums for MNIST (7 of 8); elsewhere it sums all",
            ),
            "/relative": Output(
                bounds=(0.0, None),
                higher_is_better=False,
                floor=1.0,
                ceiling=0.0,
                note="E_k / Σ_t Σ_pixels |x_t − x_0|, mean over transformations: 1 is a still picture of x_0",
            ),
            "/still": Output(
                bounds=(0.0, None), higher_is_better=False, note="the error of x_0 itself: of the data, not the method"
            ),
            "/unmoved": Output(
                bounds=(0.0, None), higher_is_better=False, note="the error of x̂_0: the method's decoder, nothing moved"
            ),
        },
        blind_to="why a frame is far: a blurred decoder, the wrong direction, the wrong speed. Methods that are told "
        "what acts in training and those that are not stand in one column: read the rule in the details. Methods of "
        "axis-aligned codes have no move of their own: the rule best_dim chooses one latent for each transformation "
        "(and one sign) on training sequences; the papers' own rule is not known. [inferred] takes its speeds from the "
        "true frames x_(t-1), x_t, so it sees what it predicts. [unseen] moves observations "
        "of another kind than those trained on, where the data set names some (transforming_mnist[unseen=…]). "
        "[switching] changes the transformation half way, "
        "[superposing] has two act at once: neither is in training with one at a time.",
        cost="decodes n × (T + 1) frames a course: 200 sequences of each transformation, 50 of each pair of them",
        verified="closed forms; a method that moves as the data does scores 0, one that stands still 1 (relative)",
        details=equivariance_details,
    ),
)(equivariance_error)
