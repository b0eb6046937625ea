"""Disentanglement, completeness, informativeness (Eastwood & Williams, ICLR 2018).

Source: disentanglement_lib ``evaluation/metrics/dci.py``: gradient boosted trees with scikit-learn's defaults, one
classifier per factor; completeness weighted by factor importance. The learner is part of the metric.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from metrics.arrays import check_rows, class_indices
from metrics.registry import MetricCard, Output, register_metric


def dci_with_details(
    codes: np.ndarray,
    factors: np.ndarray,
    codes_test: np.ndarray,
    factors_test: np.ndarray,
    *,
    rng: np.random.Generator,
) -> tuple[dict[str, float], dict[str, Any]]:
    """The scores of ``dci``, the importances (n_latents × n_factors), and each factor's accuracies."""
    from metrics.trees import classes_of, fit_boosted_trees, sort_codes  # imported here: numba costs half a second

    check_rows("dci", codes, factors, n_latents=2)
    check_rows("dci", codes_test, factors_test)
    labels, sizes = class_indices("dci", factors)
    if len(sizes) < 2:
        raise ValueError("dci: disentanglement compares factors; needs at least two")
    ready = sort_codes(codes)
    importance = np.empty((codes.shape[1], len(sizes)))
    train, test = np.empty(len(sizes)), np.empty(len(sizes))
    for i in range(len(sizes)):
        values = np.unique(factors[:, i])
        trees = fit_boosted_trees(ready, labels[:, i], rng)
        importance[:, i] = trees.importances
        train[i] = (classes_of(trees.train_raw) == labels[:, i]).mean()
        test[i] = (values[trees.predict(codes_test)] == factors_test[:, i]).mean()
    scores = {
        "dci/disentanglement": disentanglement(importance),
        "dci/completeness": completeness(importance),
        "dci/informativeness_train": float(train.mean()),
        "dci/informativeness_test": float(test.mean()),
    }
    return scores, {
        "importance": importance.tolist(),
        "accuracy_train": train.tolist(),
        "accuracy_test": test.tolist(),
    }


def _warm_up() -> None:
    from metrics.trees import warm_up

    warm_up()


@register_metric(
    "dci",
    card=MetricCard(
        title="DCI",
        summary=(
            "From the importances of latents for factors: does a latent serve one factor (disentanglement), is a "
            "factor in one latent (completeness), and how well is it predicted (informativeness)."
        ),
        paper="Eastwood & Williams, ICLR 2018",
        source="disentanglement_lib evaluation/metrics/dci.py, scikit-learn's GradientBoostingClassifier()",
        needs=("codes", "factors", "codes_test", "factors_test"),
        factors="discrete",
        variants={"gbt": {}},
        defaults=("gbt",),
        outputs={
            "/disentanglement": Output(floor=0.001, ceiling=1.0),
            "/completeness": Output(floor=0.001, ceiling=1.0, note="its base is the number of latents: compare at one"),
            "/informativeness_train": Output(ceiling=1.0, note="trees memorise: far above chance even for noise"),
            "/informativeness_test": Output(ceiling=1.0, note="noise: the share of the commonest class"),
        },
        blind_to=(
            "how a factor is laid out inside its latent; another learner is another metric (LightGBM's split counts "
            "give a perfect code .21)"
        ),
        cost="sum of factor sizes × 100 trees: 12 s for dSprites at 10,000 rows, against 250 s for scikit-learn",
        verified=(
            "golden values of disentanglement_lib on 18 cases; predictions and importances equal scikit-learn's to "
            "1e-9 where no two splits tie"
        ),
        details=dci_with_details,
        warm_up=_warm_up,
    ),
)
def dci(
    codes: np.ndarray,
    factors: np.ndarray,
    codes_test: np.ndarray,
    factors_test: np.ndarray,
    *,
    rng: np.random.Generator,
) -> dict[str, float]:
    """Disentanglement, completeness and informativeness from boosted trees' importances.

    Args:
        codes: (n, n_latents) the trees are fitted on.
        factors: (n, n_factors) int, one class index per column.
        codes_test, factors_test: other rows; a class that was not in ``factors`` is never predicted.
        rng: breaks exact ties between latents.

    Returns:
        "dci/disentanglement", "dci/completeness", "dci/informativeness_train", "dci/informativeness_test", in [0, 1].

    Raises:
        ValueError: rows differ, fewer than two latents or factors, or a factor is constant.
    """
    return dci_with_details(codes, factors, codes_test, factors_test, rng=rng)[0]


def disentanglement(importance: np.ndarray) -> float:
    """1 − entropy over factors of each latent's importances (n_latents, n_factors), weighted by latent importance."""
    return _concentration(importance)


def completeness(importance: np.ndarray) -> float:
    """1 − entropy over latents of each factor's importances (n_latents, n_factors), weighted by factor importance."""
    return _concentration(importance.T)


def _concentration(importance: np.ndarray) -> float:
    """Weighted mean over rows of 1 − entropy in base of the number of columns; all rows equal where all is 0."""
    share = importance + 1e-11  # the reference's guard: a row of zeros is spread evenly, and weighs nothing
    share = share / share.sum(1, keepdims=True)
    per_row = 1.0 + (share * np.log(share)).sum(1) / np.log(share.shape[1])
    total = importance.sum()
    weight = importance.sum(1) / total if total else np.full(len(importance), 1 / len(importance))
    return float((weight * per_row).sum())
