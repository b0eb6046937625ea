"""Downstream accuracy and sample efficiency (Locatello et al., ICML 2019, Section 5.5).

Source: disentanglement_lib ``evaluation/metrics/downstream_task.py``. Its cross-validation breaks where few rows lack
classes; here a class that a probe has not seen is never predicted, and a single class is a constant prediction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from metrics.arrays import check_rows, class_indices
from metrics.dci import warm_up_trees
from metrics.logistic import LogisticClassifier
from metrics.registry import MetricCard, Output, register_metric

SIZES = (10, 100, 1_000, 10_000)
EARLY = (100, 1_000)  # whose accuracy is divided by that of the largest size
PENALTIES = np.logspace(-4, 4, 10)  # inverse strengths C that scikit-learn's LogisticRegressionCV(Cs=10) tries
N_FOLDS = 5

Predict = Callable[[np.ndarray], np.ndarray]


def downstream_with_details(
    codes: np.ndarray,
    factors: np.ndarray,
    codes_test: np.ndarray,
    factors_test: np.ndarray,
    *,
    probe: Literal["lr", "gbt"] = "lr",
    rng: np.random.Generator,
) -> tuple[dict[str, float], dict[str, Any]]:
    """The scores of ``downstream``, and the test accuracies (n_sizes × n_factors)."""
    check_rows("downstream", codes, factors)
    check_rows("downstream", codes_test, factors_test)
    class_indices("downstream", factors)
    sizes = [size for size in SIZES if size <= len(codes)]
    if not sizes:
        raise ValueError(f"downstream: the smallest probe is fitted on {SIZES[0]} rows, got {len(codes)}")
    order = rng.permutation(len(codes))  # a file's first rows may all be of one class
    accuracy = np.empty((len(sizes), factors.shape[1]))
    for row, size in enumerate(sizes):
        x, labels = codes[order[:size]], factors[order[:size]]
        fit = _boosted(x, rng) if probe == "gbt" else _logistic(x)
        for i, column in enumerate(labels.T):
            predict = _constant(column[0]) if (column == column[0]).all() else fit(column)
            accuracy[row, i] = (predict(codes_test) == factors_test[:, i]).mean()
    mean = dict(zip(sizes, accuracy.mean(1).tolist(), strict=True))
    scores = {f"downstream/{size}": value for size, value in mean.items()}
    if mean.get(SIZES[-1]):
        scores |= {f"downstream/efficiency_{size}": mean[size] / mean[SIZES[-1]] for size in EARLY}
    return scores, {"sizes": sizes, "accuracy": accuracy.tolist()}


def _outputs(floors: Sequence[float], ceilings: Sequence[float]) -> dict[str, Output]:
    """The accuracy after each size with its floor and ceiling, then the efficiencies with their ceilings."""
    found = {
        f"/{size}": Output(floor=floor, ceiling=ceiling, note=f"needs {size:,} labelled rows")
        for size, floor, ceiling in zip(SIZES, floors, ceilings, strict=False)
    }
    for size, ceiling in zip(EARLY, ceilings[len(SIZES) :], strict=True):
        note = f"accuracy after {size:,} rows / after 10,000, which it needs; noise: 1"
        found[f"/efficiency_{size}"] = Output(bounds=(0.0, None), ceiling=ceiling, note=note)
    return found


@register_metric(
    "downstream",
    card=MetricCard(
        title="Downstream accuracy",
        summary="Accuracy with which a probe predicts the factors from few and from many labelled codes.",
        paper="Locatello et al., Challenging Common Assumptions, ICML 2019, Section 5.5",
        source=(
            "disentanglement_lib evaluation/metrics/downstream_task.py: [lr] logistic regression with its penalty "
            "chosen among 10 by 5 folds, [gbt] boosted trees as in dci[gbt]; the rows of a size are among those of "
            "the next, where the reference draws anew for each"
        ),
        needs=("codes", "factors", "codes_test", "factors_test"),
        factors="discrete",
        variants={"lr": {"probe": "lr"}, "gbt": {"probe": "gbt"}},
        defaults=("lr", "gbt"),
        outputs=_outputs((0.12, 0.12, 0.12, 0.12), (0.19, 0.49, 0.745, 0.8, 0.615, 0.93)),
        variant_outputs={"gbt": _outputs((0.12, 0.12, 0.12, 0.12), (0.295, 0.695, 0.89, 0.905, 0.77, 0.985))},
        blind_to=(
            "disentanglement: a rotation of a perfect code is as good for [lr]; a code that is useless at every size "
            "has an efficiency near 1, so read it beside the accuracies"
        ),
        cost="for dSprites with 10,000 rows: [lr] 8 s, [gbt] 9 s",
        verified="predictions of scikit-learn's LogisticRegressionCV and GradientBoostingClassifier; closed forms",
        details=downstream_with_details,
        warm_up=warm_up_trees,
    ),
)
def downstream(
    codes: np.ndarray,
    factors: np.ndarray,
    codes_test: np.ndarray,
    factors_test: np.ndarray,
    *,
    probe: Literal["lr", "gbt"] = "lr",
    rng: np.random.Generator,
) -> dict[str, float]:
    """Mean test accuracy over factors after 10, 100, 1,000 and 10,000 rows, and ratios of them.

    Args:
        codes: (n, n_latents); probes are fitted on a random choice of rows, for each size that there are rows for.
        factors: (n, n_factors) int, one class index per column.
        codes_test, factors_test: other rows, all scored.
        probe: "lr" or "gbt".
        rng: chooses rows, and breaks exact ties between latents in "gbt".

    Returns:
        "downstream/10", "/100", "/1000", "/10000" in [0, 1]; "/efficiency_100" and "/efficiency_1000" where there are
        10,000 rows.

    Raises:
        ValueError: rows differ, fewer than 10 rows, or a factor is constant.
    """
    return downstream_with_details(codes, factors, codes_test, factors_test, probe=probe, rng=rng)[0]


def _constant(value: Any) -> Predict:
    return lambda codes: np.full(len(codes), value)


def _boosted(codes: np.ndarray, rng: np.random.Generator) -> Callable[[np.ndarray], Predict]:
    """Fits boosted trees to labels (n,) of codes (n, n_latents) that are sorted once for all factors."""
    from metrics.trees import fit_boosted_trees, sort_codes  # imported here: numba costs half a second

    ready = sort_codes(codes)

    def fit(labels: np.ndarray) -> Predict:
        values, indices = np.unique(labels, return_inverse=True)
        trees = fit_boosted_trees(ready, indices, rng)
        return lambda other: values[trees.predict(other)]  # type: ignore[no-any-return]

    return fit


def _logistic(codes: np.ndarray) -> Callable[[np.ndarray], Predict]:
    """Fits logistic regressions to labels (n,) of codes (n, n_latents), each with the penalty that folds choose."""
    x = codes.astype(np.float64)

    def fit(labels: np.ndarray) -> Predict:
        return LogisticClassifier.fit(x, labels, c=best_penalty(x, labels)).predict

    return fit


def best_penalty(x: np.ndarray, labels: np.ndarray) -> float:
    """The inverse penalty C with the best mean accuracy over unshuffled folds of x (n, n_features); the least on a tie.

    A fold whose other rows hold a single class is predicted to be of that class, whatever the penalty.
    """
    hits = np.zeros(len(PENALTIES))
    for fold in np.array_split(np.arange(len(x)), N_FOLDS):
        fitted = np.delete(np.arange(len(x)), fold)
        start = None
        for i, c in enumerate(PENALTIES):
            if (labels[fitted] == labels[fitted[0]]).all():
                found = np.full(len(fold), labels[fitted[0]])
            else:
                model = LogisticClassifier.fit(x[fitted], labels[fitted], c=float(c), start=start)
                found, start = model.predict(x[fold]), model.weights
            hits[i] += (found == labels[fold]).mean()
    return float(PENALTIES[hits.argmax()])
