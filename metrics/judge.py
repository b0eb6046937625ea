"""What a classifier, the judge, says of generated sequences: accuracy, inception score and the two entropies behind it.

Source: C-DSVAE (Bai, Wang & Gomes, NeurIPS 2021) ``test_sprite_cls.py``; S3VAE (Zhu et al., CVPR 2020) for agreement.
Natural logarithms. All of one judgement comes from the same predictions, so IS = exp(H(y) - H(y|x)) holds exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from metrics.registry import MetricCard, Output, register_metric

EPS = 1e-16  # under every logarithm, as in the authors' script
_SUM = 1e-3  # a row of half-precision softmax outputs may miss 1 by this much

OUTPUTS: Mapping[str, Output] = MappingProxyType(
    {
        "/acc": Output(ceiling=1.0, note="needs labels; the floor is chance, 1 / classes where they are balanced"),
        "/acc_agree": Output(ceiling=1.0, note="needs probs_real: the judge on the real inputs"),
        "/is": Output(bounds=(1.0, None), floor=1.0, note="at most the number of classes"),
        "/h_y_given_x": Output(
            bounds=(0.0, None), higher_is_better=False, ceiling=0.0, note="nats; at most ln of the number of classes"
        ),
        "/h_y": Output(
            bounds=(0.0, None), note="nats; at most ln of the number of classes, which accuracy near 1 forces it to"
        ),
    }
)


@register_metric(
    "judge",
    card=MetricCard(
        title="Judge",
        summary="What a classifier makes of generated sequences: is the label kept, how sure is it, how varied?",
        paper="Bai, Wang & Gomes, Contrastively Disentangled Sequential VAE, NeurIPS 2021, Section 4",
        source=(
            "C-DSVAE test_sprite_cls.py: Acc against labels over all rows; IS, H(y|x) and H(y) over the first rows of "
            "each class, as many as the rarest has ([all]: over all rows). S3VAE's Acc is agreement with the judge on "
            "the real input: /acc_agree. The two are different numbers"
        ),
        needs=("probs_generated", "labels|probs_real"),
        factors=None,
        variants={"": {}, "all": {"is_balanced": False}},
        outputs={
            **OUTPUTS,
            "/kl_generated_real": Output(
                bounds=(0.0, None), higher_is_better=False, ceiling=0.0, note="nats; needs probs_real"
            ),
        },
        blind_to=(
            "everything that the judge is: numbers of two judges do not compare. H(y) measures how balanced the "
            "predicted labels are, not how varied what was sampled is; a memory of one sequence per class is perfect"
        ),
        cost="nothing beside the judge's own passes",
        verified="golden values of the authors' script on three cases; closed forms",
    ),
)
def judge(
    probs_generated: np.ndarray,
    labels: np.ndarray | None = None,
    probs_real: np.ndarray | None = None,
    *,
    is_balanced: bool = True,
) -> dict[str, float]:
    """Accuracy and inception scores of the judge's class probabilities.

    Args:
        probs_generated: (n, n_classes) of generated sequences; rows sum to 1.
        labels: (n,) int, the class each is meant to show.
        probs_real: (n, n_classes) of the real sequences that they were made from.
        is_balanced: entropies over as many rows of each class as the rarest has, else over all rows. Without labels
            the classes are those that the judge sees in the real sequences.

    Returns:
        "judge/is", "/h_y_given_x", "/h_y" (nats); with labels "/acc"; with probs_real "/acc_agree" and
        "/kl_generated_real".

    Raises:
        ValueError: no rows, rows that differ in number or do not sum to 1, labels that are no class.
    """
    probs = check_probabilities("probs_generated", probs_generated)
    found: dict[str, float] = {}
    if labels is not None:
        labels = check_labels("labels", labels, probs)
        found["/acc"] = accuracy(probs, labels)
    if probs_real is not None:
        real = check_probabilities("probs_real", probs_real)
        if real.shape != probs.shape:
            raise ValueError(f"probs_real: one row per row of probs_generated, {probs.shape}, got {real.shape}")
        found["/acc_agree"] = accuracy(probs, real.argmax(1))
        found["/kl_generated_real"] = float((probs * (np.log(probs + EPS) - np.log(real + EPS))).sum(1).mean())
        labels = real.argmax(1) if labels is None else labels
    if labels is None:
        raise ValueError("judge: wanted labels, or probs_real, beside probs_generated")
    found |= inception(probs[balanced(labels)] if is_balanced else probs)
    return {f"judge{suffix}": value for suffix, value in found.items()}


def accuracy(probs: np.ndarray, labels: np.ndarray) -> float:
    """Share of the rows of probs (n, n_classes) whose likeliest class is the label (n,)."""
    return float((probs.argmax(1) == labels).mean())


def balanced(labels: np.ndarray) -> np.ndarray:
    """Indices of the first rows of each class in labels (n,), as many of each as the rarest class has, in order."""
    values, counts = np.unique(labels, return_counts=True)
    return np.sort(np.concatenate([np.flatnonzero(labels == value)[: counts.min()] for value in values]))


def inception(probs: np.ndarray) -> dict[str, float]:
    """ "/is", "/h_y_given_x" and "/h_y" of probs (n, n_classes); the first is exp of the difference of the others."""
    p = probs.astype(np.float64)
    p /= p.sum(1, keepdims=True)  # float32 outputs miss 1 in the seventh digit, and the identity with them
    mean = p.mean(0)
    log_p, log_mean = np.log(p + EPS), np.log(mean + EPS)
    return {
        "/is": max(float(np.exp((p * (log_p - log_mean)).sum(1).mean())), 1.0),
        "/h_y_given_x": max(float(-(p * log_p).sum(1).mean()), 0.0),
        "/h_y": max(float(-(mean * log_mean).sum()), 0.0),
    }


def check_probabilities(name: str, probs: np.ndarray) -> np.ndarray:
    """The probabilities (n, n_classes) as float64.

    Raises:
        ValueError: another shape, a number outside [0, 1] or not finite, or a row that does not sum to 1.
    """
    probs = np.asarray(probs)
    if probs.ndim != 2 or not len(probs) or probs.shape[1] < 2 or probs.dtype.kind not in "fiub":
        raise ValueError(
            f"{name}: wanted probabilities (rows, classes) of at least two classes, got {probs.dtype} {probs.shape}"
        )
    with np.errstate(invalid="ignore", over="ignore"):
        p = probs.astype(np.float64)  # long doubles may not fit
        wrong = np.argwhere(~((p >= -1e-6) & (p <= 1 + 1e-6)))
        if len(wrong):
            row, column = (int(i) for i in wrong[0])
            raise ValueError(
                f"{name}: wanted probabilities in 0 … 1, got {p[row, column]:.6g} at row {row}, column {column}; "
                "apply a softmax to logits"
            )
        off = np.flatnonzero(np.abs(p.sum(1) - 1) > _SUM)
    if len(off):
        row = int(off[0])
        raise ValueError(
            f"{name}: row {row} sums to {p[row].sum():.6g}, not 1; give one probability per class that is exclusive"
        )
    return np.clip(p, 0.0, 1.0)


def check_labels(name: str, labels: np.ndarray, probs: np.ndarray) -> np.ndarray:
    """The labels (n,) as int64.

    Raises:
        ValueError: another shape, no integers, or a label without a column in probs.
    """
    labels = np.asarray(labels)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.shape != probs.shape[:1] or labels.dtype.kind not in "iub":
        raise ValueError(
            f"{name}: wanted one class index per row of probabilities, ({len(probs)},) integers, "
            f"got {labels.dtype} {labels.shape}"
        )
    wrong = np.flatnonzero((labels < 0) | (labels >= probs.shape[1]))
    if len(wrong):
        row = int(wrong[0])
        raise ValueError(f"{name}: wanted class indices 0 … {probs.shape[1] - 1}, got {labels[row]} in row {row}")
    return labels.astype(np.int64)
