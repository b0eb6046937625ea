"""Separated attribute predictability (Kumar et al., ICLR 2018): the gap between a factor's two best latents.

Source: disentanglement_lib ``evaluation/metrics/sap_score.py``: LinearSVC for discrete factors, squared correlation for
continuous ones.
"""

from __future__ import annotations

import warnings
from typing import Any, Literal

import numpy as np

from metrics.arrays import check_discrete, check_rows, check_varies
from metrics.registry import MetricCard, Output, register_metric

Predictor = Literal["linearsvc", "r2"]


def sap_with_details(
    codes: np.ndarray,
    factors: np.ndarray,
    codes_test: np.ndarray | None = None,
    factors_test: np.ndarray | None = None,
    *,
    predictor: Predictor = "linearsvc",
) -> tuple[dict[str, float], dict[str, Any]]:
    """The score of ``sap`` and the score matrix (n_latents × n_factors)."""
    check_rows("sap", codes, factors, n_latents=2)
    check_varies("sap", factors)
    if predictor == "r2":
        scores = _squared_correlations(codes.astype(np.float64), factors.astype(np.float64))
    elif predictor == "linearsvc":
        if codes_test is None or factors_test is None:
            raise ValueError("sap: the linearsvc variant is judged on other rows; give codes_test and factors_test")
        check_discrete("sap", factors)
        check_rows("sap", codes_test, factors_test)
        scores = _accuracies(codes, factors, codes_test, factors_test)
    else:
        raise ValueError(f"sap: predictor is 'linearsvc' or 'r2', got '{predictor}'")
    ordered = np.sort(scores, axis=0)
    return {"sap": float((ordered[-1] - ordered[-2]).mean())}, {"scores": scores.tolist()}


@register_metric(
    "sap",
    card=MetricCard(
        title="SAP",
        summary="Gap between the two latents that each alone predict a factor best, averaged over factors.",
        paper="Kumar et al., ICLR 2018",
        source="disentanglement_lib evaluation/metrics/sap_score.py",
        needs=("codes", "factors", "codes_test", "factors_test"),
        factors="discrete",
        variants={"linearsvc": {"predictor": "linearsvc"}, "r2": {"predictor": "r2"}},
        defaults=("linearsvc",),
        variant_needs={"r2": ("codes", "factors")},
        variant_factors={"r2": "any"},
        outputs={
            "": Output(
                floor=0.01,
                ceiling=0.244,
                note="one-vs-rest lines in one dimension find the extreme classes only; .229 on Shapes3D",
            )
        },
        variant_outputs={"r2": {"": Output(floor=0.001, ceiling=1.0)}},
        blind_to=(
            "whether a latent mixes factors; two copies of a factor score 0; a perfect code scores .24 on dSprites "
            "with linearsvc, which also depends on the scale of the latents"
        ),
        cost="0.5 s at 10,000 rows (linearsvc), 0.01 s (r2)",
        verified="golden values of disentanglement_lib on 25 cases",
        details=sap_with_details,
    ),
)
def sap(
    codes: np.ndarray,
    factors: np.ndarray,
    codes_test: np.ndarray | None = None,
    factors_test: np.ndarray | None = None,
    *,
    predictor: Predictor = "linearsvc",
) -> dict[str, float]:
    """Mean over factors of the best latent's score less the second best's.

    Args:
        codes: (n, n_latents) that single-latent predictors are fitted on.
        factors: (n, n_factors), int for "linearsvc".
        codes_test, factors_test: other rows that judge "linearsvc"; "r2" does not read them.
        predictor: "linearsvc" (accuracy, C = 0.01, balanced classes) or "r2" (squared correlation).

    Returns:
        "sap" in [0, 1].

    Raises:
        ValueError: rows differ, fewer than two latents, a factor is constant or of the wrong kind.
    """
    return sap_with_details(codes, factors, codes_test, factors_test, predictor=predictor)[0]


def _accuracies(codes: np.ndarray, factors: np.ndarray, codes_test: np.ndarray, factors_test: np.ndarray) -> np.ndarray:
    """Test accuracy (n_latents, n_factors) of a linear support vector classifier on one latent."""
    from sklearn.exceptions import ConvergenceWarning  # imported here: listing metrics must not cost seconds
    from sklearn.svm import LinearSVC

    scores = np.empty((codes.shape[1], factors.shape[1]))
    with warnings.catch_warnings():
        # The metric is defined by the solver's 1,000 iterations, converged or not.
        warnings.simplefilter("ignore", ConvergenceWarning)
        for j, i in np.ndindex(*scores.shape):
            # primal: deterministic, and what scikit-learn >= 1.5 takes by itself for these shapes
            classifier = LinearSVC(C=0.01, class_weight="balanced", dual=False)
            classifier.fit(codes[:, j : j + 1], factors[:, i])
            scores[j, i] = (classifier.predict(codes_test[:, j : j + 1]) == factors_test[:, i]).mean()
    return scores


def _squared_correlations(codes: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Squared Pearson correlation (n_latents, n_factors); 0 where the latent's variance is at most 1e-12."""
    centred_codes, centred_factors = codes - codes.mean(0), factors - factors.mean(0)
    n = len(codes) - 1
    covariance = centred_codes.T @ centred_factors / n
    code_variance = (centred_codes**2).sum(0) / n
    factor_variance = (centred_factors**2).sum(0) / n
    alive = code_variance > 1e-12
    return np.where(alive[:, None], covariance**2, 0.0) / np.outer(np.where(alive, code_variance, 1.0), factor_variance)
