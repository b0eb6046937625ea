"""Swaps: one side of a sequence's code is kept and the other drawn anew; a judge says whether the kept side stayed, and
whether the other one went.

Sources: C-DSVAE (Bai, Wang & Gomes, NeurIPS 2021) Tables 1-3 and ``test_sprite_cls.py``; S3VAE (Zhu et al., CVPR 2020)
for Acc as agreement; DBSE (Berman et al., ICML 2024) for judging the other side too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from metrics.judge import OUTPUTS, accuracy, balanced, check_labels, check_probabilities, inception
from metrics.registry import MetricCard, Output, register_metric

CONDITIONS = ("fixed_dynamic", "fixed_static", "fixed_dynamic,swapped", "fixed_static,swapped")
SMALLER = "fixed_static,smaller"
DROPPED = ",legacy_drop_last"
RELEASED_BATCH = 128  # sequences that the released script judges at once


@dataclass(frozen=True)
class JudgedHead:
    """What one head of the judge makes of one factor under one condition.

    Attributes:
        name: of the factor.
        is_kept: the factor is of the side that was kept.
        probs_generated: (n_passes, n, n_classes) of the generated sequences, one draw of the other side per pass.
        probs_real: (n, n_classes) of the real ones; of a method that cannot encode, of those it was compared with.
        labels: (n,) int of the real ones; None where there are none.
        donor_labels: (n_passes, n) int of the sequences that the other side's code is of; None of prior samples.
    """

    name: str
    is_kept: bool
    probs_generated: np.ndarray
    probs_real: np.ndarray
    labels: np.ndarray | None = None
    donor_labels: np.ndarray | None = None


def swap_with_details(
    judged: Mapping[str, Sequence[JudgedHead]],
    *,
    condition: str = "fixed_dynamic",
    is_smaller: bool = False,
    legacy_drop_last: bool = False,
) -> tuple[dict[str, float], dict[str, Any]]:
    """The scores of ``swap``, and those of each head and each pass."""
    if condition not in judged:
        raise ValueError(f"swap: nothing was judged as {condition}; without an encoder there are no codes to exchange")
    heads = [whole_batches(head) for head in judged[condition]] if legacy_drop_last else judged[condition]
    kept = _of_one_size([head for head in heads if head.is_kept], is_smaller)
    other = [head for head in heads if not head.is_kept]
    if not kept:
        side = "dynamic" if "dynamic" in condition else "static"
        raise ValueError(f"swap: {condition} keeps the {side} factors, and the judge knows none of them")
    passes = [[_kept_scores(head, i) for head in kept] for i in range(len(kept[0].probs_generated))]
    names = [name for name in passes[0][0] if all(name in one for one in passes[0])]
    by_head = {name: np.array([[one[name] for one in heads] for heads in passes]) for name in names}  # (passes, heads)
    found = {f"swap{name}": float(values.mean()) for name, values in by_head.items()}
    main = by_head.get("/acc", by_head["/acc_agree"]).mean(1)
    if len(main) > 1:
        found["swap/pass_std"] = float(main.std(ddof=1))
    details: dict[str, Any] = {"kept": [head.name for head in kept], "passes": main.tolist()}
    details |= {name[1:]: values.mean(0).tolist() for name, values in by_head.items()}
    if other:
        found_of, details_of = _other_scores(other)
        found |= found_of
        details |= {"other": [head.name for head in other], **details_of}
    return found, details


@register_metric(
    "swap",
    card=MetricCard(
        title="Swap",
        summary="One side of the code kept, the other drawn anew and decoded: does a judge still see the kept factors?",
        paper="Bai, Wang & Gomes, Contrastively Disentangled Sequential VAE, NeurIPS 2021, Tables 1-3",
        source=(
            "C-DSVAE test_sprite_cls.py and S3VAE: posterior means of every test sequence; static code ~ N(0, I) "
            "(fixed_dynamic), dynamic code as the method's prior gives it (fixed_static), or that of another test "
            "sequence (swapped). /acc against labels, /acc_agree against the judge on the real input; IS and entropies "
            "as in `judge`. Means over the judge's heads of the kept side that have as many classes as its first one; "
            "[smaller]: over those with fewer (SM-MNIST: single digits in place of pairs). "
            "[legacy_drop_last]: without the last incomplete batch of 128, as the released script (2,560 of Sprites' "
            "2,664 sequences). "
            "IS = exp(/h_y - /h_y_given_x) holds for each head (in the row's details). /leak is Cohen's κ between what "
            "the judge sees of the side that was drawn anew and what it was before: 0 is chance, 1 says that nothing "
            "was exchanged"
        ),
        needs=("judged",),
        factors=None,
        variants={
            **{name: {"condition": name} for name in CONDITIONS},
            SMALLER: {"condition": "fixed_static", "is_smaller": True},
            **{name + DROPPED: {"condition": name, "legacy_drop_last": True} for name in CONDITIONS[:2]},
        },
        defaults=CONDITIONS,
        outputs={
            **OUTPUTS,
            "/other_acc": Output(
                higher_is_better=False,
                note="accuracy on the factors drawn anew against what they were: chance is right, 1 / classes",
            ),
            "/leak": Output(
                bounds=(-1.0, 1.0), higher_is_better=False, ceiling=0.0, note="the same less chance, / (1 - chance)"
            ),
            "/follows": Output(
                ceiling=1.0, note="swapped alone: accuracy on the factors drawn anew against whom they are of"
            ),
            "/pass_std": Output(
                bounds=(0.0, None), higher_is_better=False, note="deviation of accuracy over draws; needs two passes"
            ),
        },
        blind_to=(
            "everything the judge is: its hash and its accuracy on real test data stand in the row, and numbers of two "
            "judges do not compare; quality of what the judge does not look at. A decoder that ignores the side drawn "
            "anew has a perfect accuracy: read /leak beside it"
        ),
        cost="a decoder and a judge pass for each test sequence, condition and draw",
        verified="as `judge`; closed forms",
        details=swap_with_details,
    ),
)  # fmt: skip
def swap(
    judged: Mapping[str, Sequence[JudgedHead]],
    *,
    condition: str = "fixed_dynamic",
    is_smaller: bool = False,
    legacy_drop_last: bool = False,
) -> dict[str, float]:
    """Scores of one condition, means over passes and over the heads of the kept side.

    Args:
        judged: condition → what each head of the judge sees.
        condition: one of ``CONDITIONS``.
        is_smaller: score the kept heads with fewer classes than the first one, in place of those with as many.
        legacy_drop_last: leave out the sequences after the last whole batch of 128.

    Returns:
        "swap/acc" (where labels are known), "/acc_agree", "/is", "/h_y_given_x", "/h_y" of the kept side; "/other_acc"
        and "/leak" of the other one, "/follows" where it has a donor; "/pass_std" with two passes or more.

    Raises:
        ValueError: nothing was judged under this condition, or probabilities that are none.
    """
    return swap_with_details(judged, condition=condition, is_smaller=is_smaller, legacy_drop_last=legacy_drop_last)[0]


def whole_batches(head: JudgedHead, size: int = RELEASED_BATCH) -> JudgedHead:
    """The head without the sequences after the last whole batch.

    Raises:
        ValueError: there is no whole batch.
    """
    n = len(head.probs_real) // size * size
    if not n:
        raise ValueError(f"swap: legacy_drop_last needs {size} sequences, got {len(head.probs_real)}")
    return replace(
        head,
        probs_generated=head.probs_generated[:, :n],
        probs_real=head.probs_real[:n],
        labels=None if head.labels is None else head.labels[:n],
        donor_labels=None if head.donor_labels is None else head.donor_labels[:, :n],
    )


def kappa(found: np.ndarray, labels: np.ndarray, n_classes: int) -> float:
    """Cohen's κ of two readings (n,) of n_classes classes: agreement less chance; 0 where chance is certain."""
    chance = float(
        np.bincount(found, minlength=n_classes) / len(found) @ np.bincount(labels, minlength=n_classes) / len(labels)
    )
    return 0.0 if chance >= 1 else (float((found == labels).mean()) - chance) / (1 - chance)


def _of_one_size(kept: list[JudgedHead], is_smaller: bool) -> list[JudgedHead]:
    """Heads whose entropies may be averaged: scores of different numbers of classes are on different scales."""
    if not kept:
        return []
    sizes = [head.probs_real.shape[1] for head in kept]
    if not is_smaller:
        return [head for head, size in zip(kept, sizes, strict=True) if size == sizes[0]]
    below = [size for size in sizes if size < sizes[0]]
    if not below:
        raise ValueError(f"swap: no kept factor has fewer classes than {kept[0].name}, which has {sizes[0]}")
    return [head for head, size in zip(kept, sizes, strict=True) if size == max(below)]


def _kept_scores(head: JudgedHead, i: int) -> dict[str, float]:
    """Scores of one head in pass i, by suffix."""
    probs = check_probabilities(f"swap: {head.name}", head.probs_generated[i])
    reading = np.asarray(head.probs_real).argmax(1)
    labels = None if head.labels is None else check_labels(f"swap: {head.name}", head.labels, probs)
    found = {} if labels is None else {"/acc": accuracy(probs, labels)}
    return (
        found
        | {"/acc_agree": accuracy(probs, reading)}
        | inception(probs[balanced(reading if labels is None else labels)])
    )


def _other_scores(heads: Sequence[JudgedHead]) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Scores of the side that was drawn anew: means over passes and heads, and those of each head."""
    by_head: dict[str, list[float]] = {"/other_acc": [], "/leak": []}
    for head in heads:
        before = np.asarray(head.probs_real).argmax(1) if head.labels is None else np.asarray(head.labels, np.int64)
        n_classes = head.probs_real.shape[1]
        seen = head.probs_generated.argmax(2)
        by_head["/other_acc"].append(float((seen == before).mean()))
        by_head["/leak"].append(float(np.mean([kappa(one, before, n_classes) for one in seen])))
        if head.donor_labels is not None:
            by_head.setdefault("/follows", []).append(float((seen == head.donor_labels).mean()))
    return {f"swap{name}": float(np.mean(v)) for name, v in by_head.items()}, {n[1:]: v for n, v in by_head.items()}
