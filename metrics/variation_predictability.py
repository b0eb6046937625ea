"""VP score: can a small network tell from two images which of a method's moves lies between them?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metrics.registry import MetricCard, Output, register_metric


@dataclass(frozen=True)
class PairPredictions:
    """What a classifier of pairs said of test pairs during its training.

    Attributes:
        predicted: (evaluations, n) class indices, the last evaluation at the end of training.
        labels: (n,) class indices.
        n_classes: of the labels.
    """

    predicted: np.ndarray
    labels: np.ndarray
    n_classes: int


@register_metric(
    "vp_score",
    card=MetricCard(
        title="VP score",
        summary="Accuracy of a small network that names the move between decoded first and last frames.",
        paper="Zhu, Xu & Tao, Learning Disentangled Representations with Latent Variation Predictability, ECCV 2020",
        source="zhuxinqimac/VP-metric-pytorch: the network, Adam at 0.01, batches of 32, the difference of two images "
        "in [−1, 1], 10 % of the pairs to train and 90 % to test. They report the best epoch; here the last one is the "
        "score and the best stands beside it. A class is one of the method's own flows; of a method without flows, the "
        "latent and sign that stand for one transformation.",
        needs=("pair_predictions",),
        factors=None,
        variants={"": {}},
        outputs={
            "": Output(note="at the last epoch; chance is 1 / number of flows"),
            "/best": Output(note="best of the evaluations, chosen on the test pairs: optimistic"),
            "/above_chance": Output(
                bounds=(None, 1.0), floor=0.0, ceiling=1.0, note="(accuracy − chance) / (1 − chance)"
            ),
        },
        blind_to="whether what moves is what should move: any set of distinguishable changes scores 1. With few "
        "transformations most methods do.",
        version=2,  # 1 took for a class of untold methods the flow that a transformation was matched to
        cost="trains a network; 2,000 pairs of at most 32 × 32, 30 epochs (some 15 s on a core), 10,000 pairs in "
        "full size, 200 epochs for other protocols than quick",
        verified="pairs that differ in a plain way are told apart, pairs that do not are at chance; network by its "
        "number of parameters",
    ),
)
def vp_score(pair_predictions: PairPredictions) -> dict[str, float]:
    """Accuracies on the test pairs.

    Raises:
        ValueError: fewer than two classes, or predictions that do not fit the labels.
    """
    predicted, labels = np.asarray(pair_predictions.predicted), np.asarray(pair_predictions.labels)
    n = pair_predictions.n_classes
    if predicted.ndim != 2 or not predicted.size or predicted.shape[1:] != labels.shape or n < 2:
        raise ValueError(
            f"vp_score: predictions must be (evaluations, n) of labels (n,) of two or more classes, got "
            f"{predicted.shape}, {labels.shape}, {n}"
        )
    accuracy = (predicted == labels).mean(1)
    last = float(accuracy[-1])
    return {
        "vp_score": last,
        "vp_score/best": float(accuracy.max()),
        "vp_score/above_chance": (last - 1 / n) / (1 - 1 / n),
    }
