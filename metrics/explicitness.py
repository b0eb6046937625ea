"""Explicitness (Ridgeway & Mozer, NeurIPS 2018): can a linear classifier read the factors off the whole code?

Source: disentanglement_lib ``evaluation/metrics/modularity_explicitness.py`` with current scikit-learn's multinomial
logistic regression; releases before 0.22 fitted one class against the rest and score up to .034 lower.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from metrics.arrays import check_rows, class_indices
from metrics.logistic import LogisticClassifier
from metrics.registry import MetricCard, Output, register_metric


def explicitness_with_details(
    codes: np.ndarray, factors: np.ndarray, codes_test: np.ndarray, factors_test: np.ndarray
) -> tuple[dict[str, float], dict[str, Any]]:
    """The scores of ``explicitness`` and those of each factor."""
    check_rows("explicitness", codes, factors)
    check_rows("explicitness", codes_test, factors_test)
    labels, sizes = class_indices("explicitness", factors)
    mean, std = codes.mean(0, dtype=np.float64), codes.std(0, dtype=np.float64)
    if (codes.min(0) == codes.max(0)).any():
        raise ValueError("explicitness: a latent is constant, so it cannot be standardised; drop it")
    x, x_test = (codes - mean) / std, (codes_test - mean) / std
    train, test = np.empty(len(sizes)), np.empty(len(sizes))
    for i in range(len(sizes)):
        values = np.unique(factors[:, i])
        classifier = LogisticClassifier.fit(x, labels[:, i])
        train[i] = mean_auc(classifier.probabilities(x), values, factors[:, i])
        test[i] = mean_auc(classifier.probabilities(x_test), values, factors_test[:, i])
    return {"explicitness/train": float(train.mean()), "explicitness/test": float(test.mean())}, {
        "train": train.tolist(),
        "test": test.tolist(),
    }


@register_metric(
    "explicitness",
    card=MetricCard(
        title="Explicitness",
        summary="Area under the ROC curves of a linear classifier of each factor on the whole code.",
        paper="Ridgeway & Mozer, NeurIPS 2018",
        source="disentanglement_lib evaluation/metrics/modularity_explicitness.py, LogisticRegression() (lbfgs)",
        needs=("codes", "factors", "codes_test", "factors_test"),
        factors="discrete",
        variants={"lbfgs": {}},
        defaults=("lbfgs",),
        outputs={
            "/train": Output(floor=0.5, ceiling=1.0, note="noise: .53 at 1,500 rows"),
            "/test": Output(floor=0.5, ceiling=1.0),
        },
        blind_to="entanglement: a rotation of a perfect code scores 1; near 1 for everything informative",
        cost="0.5 s at 10,000 rows, 5 s at 100,000",
        verified="golden values of disentanglement_lib on 18 cases; the classifier equals scikit-learn's to 1e-6",
        drops_constant_latents=True,
        details=explicitness_with_details,
    ),
)
def explicitness(
    codes: np.ndarray, factors: np.ndarray, codes_test: np.ndarray, factors_test: np.ndarray
) -> dict[str, float]:
    """Mean over factors of the mean one-against-rest AUC of a multinomial logistic regression.

    Args:
        codes: (n, n_latents) the classifier is fitted on, after standardising each latent.
        factors: (n, n_factors) int, one class index per column.
        codes_test, factors_test: other rows, standardised alike. A class absent there has no AUC and is left out.

    Returns:
        "explicitness/train" and "explicitness/test" in [0, 1]; 0.5 is chance.

    Raises:
        ValueError: rows differ, a factor or a latent is constant, or the test rows hold a single class of a factor.
    """
    return explicitness_with_details(codes, factors, codes_test, factors_test)[0]


def mean_auc(scores: np.ndarray, values: np.ndarray, labels: np.ndarray) -> float:
    """Mean area under the one-against-rest ROC curves.

    Args:
        scores: (n, n_classes), one column per class of ``values``.
        values: (n_classes,).
        labels: (n,) of the scored rows; classes without a row, or with every row, are left out.

    Raises:
        ValueError: no class can be told from another.
    """
    areas = []
    for column, value in zip(scores.T, values, strict=True):
        positive = labels == value
        n_positive = int(positive.sum())
        n_negative = len(labels) - n_positive
        if n_positive and n_negative:
            ascending = np.sort(column)
            own = column[positive]
            below = np.searchsorted(ascending, own, "left") + np.searchsorted(ascending, own, "right")
            # Twice the rows each positive beats, ties half; the positives among them beat n_positive² by themselves.
            areas.append((below.sum() - n_positive**2) / (2 * n_positive * n_negative))
    if not areas:
        raise ValueError("explicitness: the test rows hold a single class of a factor; give more rows")
    return float(np.mean(areas))
