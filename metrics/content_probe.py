"""Content probe: what a linear classifier reads off a dynamic code, frame by frame.

It stands beside verification, where a code that says nothing looks as good as one that says nothing of the speaker.
Source: phone probes of FHVAE (Hsu, Zhang & Glass, NeurIPS 2017) in spirit; the classifier is that of ``explicitness``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from metrics.arrays import check_rows
from metrics.logistic import LogisticClassifier
from metrics.registry import MetricCard, Output, register_metric


def content_probe_with_details(
    codes: np.ndarray,
    factors: np.ndarray,
    codes_test: np.ndarray,
    factors_test: np.ndarray,
) -> tuple[dict[str, float], dict[str, Any]]:
    """The scores of ``content_probe`` and those of each factor."""
    check_rows("content_probe", codes, factors)
    check_rows("content_probe", codes_test, factors_test)
    x = np.asarray(codes, np.float64)
    mean, std = x.mean(0), x.std(0)
    std[x.min(0) == x.max(0)] = np.inf  # a latent that never moves says nothing
    x, x_test = (x - mean) / std, (np.asarray(codes_test, np.float64) - mean) / std
    acc, majority = [], []
    for labels, labels_test in zip(factors.T, factors_test.T, strict=True):
        values, counts = np.unique(labels, return_counts=True)
        majority.append(float((labels_test == values[counts.argmax()]).mean()))
        if len(values) < 2:
            raise ValueError("content_probe: a factor is constant in the rows for fitting; drop it or give more rows")
        acc.append(float((LogisticClassifier.fit(x, labels).predict(x_test) == labels_test).mean()))
    scores = {"content_probe/acc": float(np.mean(acc)), "content_probe/majority": float(np.mean(majority))}
    return scores, {"acc": acc, "majority": majority}


@register_metric(
    "content_probe",
    card=MetricCard(
        title="Content probe",
        summary="Accuracy of a linear classifier of what happens in a frame (phone, digit) on its dynamic code.",
        paper="",
        source=(
            "multinomial logistic regression (C = 1) on standardised codes, fitted and tested on frames of the two "
            "splits that the data set names for probes: train and test, or two halves of each test speaker's "
            "recordings where these speakers are not in training (TIMIT); content_probe@dynamic reads the dynamic "
            "code alone"
        ),
        needs=("codes", "factors", "codes_test", "factors_test"),
        factors="discrete",
        variants={"": {}},
        outputs={
            "/acc": Output(ceiling=1.0, note="beside /majority, what a code that says nothing reaches"),
            "/majority": Output(note="share of the most frequent class: the floor of /acc, a fact of the data"),
        },
        blind_to="what else the dynamic code holds: the speaker, say; information that is not linear in it",
        cost="10 s at 10,000 frames of 32 latents and 39 classes",
        verified="closed forms; the classifier equals scikit-learn's to 1e-6",
        details=content_probe_with_details,
    ),
)
def content_probe(
    codes: np.ndarray,
    factors: np.ndarray,
    codes_test: np.ndarray,
    factors_test: np.ndarray,
) -> dict[str, float]:
    """Mean test accuracy over dynamic factors, and that of always naming the most frequent class.

    Args:
        codes: (n, n_dynamic) of frames the classifier is fitted on.
        factors: (n, n_factors) int, one class index per column.
        codes_test, factors_test: of other frames.

    Returns:
        "content_probe/acc" and "content_probe/majority" in [0, 1].

    Raises:
        ValueError: rows differ, or a factor is constant.
    """
    return content_probe_with_details(codes, factors, codes_test, factors_test)[0]
