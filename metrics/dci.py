"""Disentanglement, completeness, informativeness (Eastwood & Williams, ICLR 2018).

Source: disentanglement_lib ``evaluation/metrics/dci.py``: gradient boosted trees with scikit-learn's defaults, one
classifier per factor; completeness weighted by factor importance. The learner is part of the metric: the others are in
``dci_learners`` with their sources.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from metrics import dci_learners
from metrics.arrays import check_rows, check_varies, class_indices
from metrics.registry import MetricCard, Output, register_metric

LEARNERS: dict[str, dci_learners.Learner] = {
    "lasso": dci_learners.lasso,
    "forest": dci_learners.forest,
    "hist": dci_learners.hist,
}


def dci_with_details(
    codes: np.ndarray,
    factors: np.ndarray,
    codes_test: np.ndarray,
    factors_test: np.ndarray,
    *,
    learner: Literal["gbt", "lasso", "forest", "hist"] = "gbt",
    rng: np.random.Generator,
) -> tuple[dict[str, float], dict[str, Any]]:
    """The scores of ``dci``, the importances (n_latents × n_factors), and how well each factor is predicted."""
    check_rows("dci", codes, factors, n_latents=2)
    check_rows("dci", codes_test, factors_test)
    if factors.shape[1] < 2:
        raise ValueError("dci: disentanglement compares factors; needs at least two")
    if learner == "gbt":
        return _from_boosted_trees(codes, factors, codes_test, factors_test, rng)
    if learner == "hist":
        class_indices("dci", factors)
    check_varies("dci", factors)
    found = [
        LEARNERS[learner](codes, factors[:, i], codes_test, factors_test[:, i], rng) for i in range(factors.shape[1])
    ]
    importance = np.stack([one for one, _ in found], axis=1).astype(np.float64)
    predicted = {name: [scores[name] for _, scores in found] for name in found[0][1]}
    scores = {
        "dci/disentanglement": disentanglement(importance),
        # qedr's plain mean; where each factor's importances add to 1, as a forest's do, it is the weighted one
        "dci/completeness": completeness(importance, is_weighted=learner != "lasso"),
    }
    return scores | {f"dci/{name}": float(np.mean(values)) for name, values in predicted.items()}, {
        "importance": importance.tolist()
    } | predicted


def _from_boosted_trees(
    codes: np.ndarray,
    factors: np.ndarray,
    codes_test: np.ndarray,
    factors_test: np.ndarray,
    rng: np.random.Generator,
) -> tuple[dict[str, float], dict[str, Any]]:
    from metrics.trees import classes_of, fit_boosted_trees, sort_codes  # imported here: numba costs half a second

    labels, sizes = class_indices("dci", factors)
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


def warm_up_trees() -> None:
    """Compile what boosted trees need, before a clock starts."""
    from metrics.trees import warm_up

    warm_up()


_TREES = {
    "/disentanglement": Output(floor=0.001, ceiling=1.0),
    "/completeness": Output(floor=0.001, ceiling=1.0, note="its base is the number of latents: compare at one"),
    "/informativeness_train": Output(ceiling=1.0, note="trees memorise: far above chance even for noise"),
    "/informativeness_test": Output(ceiling=1.0, note="noise: the share of the commonest class"),
}


@register_metric(
    "dci",
    card=MetricCard(
        title="DCI",
        summary=(
            "From the importances of latents for factors: does a latent serve one factor (disentanglement), is a "
            "factor in one latent (completeness), and how well is it predicted (informativeness)."
        ),
        paper="Eastwood & Williams, ICLR 2018",
        source=(
            "[gbt]: disentanglement_lib evaluation/metrics/dci.py, scikit-learn's GradientBoostingClassifier(). "
            "[lasso]: cianeastwood/qedr, alpha 0.02 on standardised data, |coefficients|, completeness as a plain "
            "mean, and the error on test rows (nrmse) in place of informativeness. [forest]: "
            "ubisoft-laforge-disentanglement-metrics, 10 regression trees, depth and share of latents by 10-fold "
            "cross-validation (on 2,000 rows at most); informativeness is 1 - 12 MSE of factors scaled to [0, 1]. "
            "[hist]: HistGradientBoostingClassifier(), which keeps no importances, so: accuracy lost when a latent is "
            "permuted 5 times among 1,000 test rows"
        ),
        needs=("codes", "factors", "codes_test", "factors_test"),
        factors="discrete",
        variants={name: {"learner": name} for name in ("gbt", *LEARNERS)},
        variant_factors={"lasso": "any", "forest": "any"},
        defaults=("gbt",),
        outputs=_TREES,
        variant_outputs={
            "lasso": {
                "/disentanglement": Output(ceiling=1.0, note="noise: anything, for few coefficients are left of it"),
                "/completeness": Output(ceiling=1.0, note="noise: anything; its base is the number of latents"),
                "/nrmse": Output(bounds=(0.0, None), higher_is_better=False, floor=1.0, ceiling=0.037),
            },
            "forest": {
                "/disentanglement": Output(floor=0.005, ceiling=0.999),
                "/completeness": Output(floor=0.004, ceiling=0.999, note="its base is the number of latents"),
                "/informativeness_train": Output(floor=0.01, ceiling=1.0),
                "/informativeness_test": Output(floor=0.0, ceiling=0.999, note="factors of few values: lower, or 0"),
            },
            "hist": {
                "/disentanglement": Output(ceiling=0.987, note="noise: anything (0.7 in one run), of losses by chance"),
                "/completeness": Output(ceiling=0.987, note="noise: anything; its base is the number of latents"),
                "/informativeness_train": Output(ceiling=1.0, note="trees memorise: far above chance even for noise"),
                "/informativeness_test": Output(floor=0.118, ceiling=0.897),
            },
        },
        blind_to=(
            "how a factor is laid out inside its latent; another learner is another metric (LightGBM's split counts "
            "give a perfect code .21). [lasso] sees linear relations only, and [lasso] and [forest] take class indices "
            "for numbers"
        ),
        cost=(
            "[gbt]: sum of factor sizes × 100 trees, 12 s for dSprites at 10,000 rows, against 250 s for scikit-learn; "
            "[lasso] 0.05 s, [forest] 13 s, [hist] 40 s"
        ),
        verified=(
            "[gbt]: golden values of disentanglement_lib on 18 cases; predictions and importances equal scikit-learn's "
            "to 1e-9 where no two splits tie. [forest]: golden values of the review's code. [lasso]: closed forms"
        ),
        details=dci_with_details,
        warm_up=warm_up_trees,
    ),
)
def dci(
    codes: np.ndarray,
    factors: np.ndarray,
    codes_test: np.ndarray,
    factors_test: np.ndarray,
    *,
    learner: Literal["gbt", "lasso", "forest", "hist"] = "gbt",
    rng: np.random.Generator,
) -> dict[str, float]:
    """Disentanglement, completeness and informativeness from a learner's importances.

    Args:
        codes: (n, n_latents) the learner is fitted on.
        factors: (n, n_factors) int, one class index per column; "lasso" and "forest" take any numbers.
        codes_test, factors_test: other rows; a class that was not in ``factors`` is never predicted.
        rng: breaks exact ties between latents, draws bootstrap rows and permutations.

    Returns:
        "dci/disentanglement", "dci/completeness", "dci/informativeness_train", "dci/informativeness_test", in [0, 1];
        of "lasso" the third and last is "dci/nrmse", at least 0, lower is better.

    Raises:
        ValueError: rows differ, fewer than two latents or factors, or a factor is constant.
    """
    return dci_with_details(codes, factors, codes_test, factors_test, learner=learner, rng=rng)[0]


def disentanglement(importance: np.ndarray) -> float:
    """1 − entropy over factors of each latent's importances (n_latents, n_factors), weighted by latent importance."""
    return float(_weights(importance) @ _concentration(importance))


def completeness(importance: np.ndarray, *, is_weighted: bool = True) -> float:
    """1 − entropy over latents of each factor's importances (n_latents, n_factors), weighted by factor importance."""
    per_factor = _concentration(importance.T)
    return float(_weights(importance.T) @ per_factor) if is_weighted else float(per_factor.mean())


def _concentration(importance: np.ndarray) -> np.ndarray:
    """1 − entropy of each row, in base of the number of columns."""
    share = importance + 1e-11  # the reference's guard: a row of zeros is spread evenly, and weighs nothing
    share = share / share.sum(1, keepdims=True)
    return np.asarray(1.0 + (share * np.log(share)).sum(1) / np.log(share.shape[1])).clip(0)


def _weights(importance: np.ndarray) -> np.ndarray:
    """Share of each row in all importance; equal where all is 0."""
    total = importance.sum()
    return np.asarray(importance.sum(1) / total if total else np.full(len(importance), 1 / len(importance)))
