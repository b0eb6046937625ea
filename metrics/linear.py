"""Linear identifiability: how well a linear map of the codes gives the factors (Khemakhem et al., NeurIPS 2020).

Source: brendel-group/cl-ica ``disentanglement_utils.py`` (linear_disentanglement), ilkhem/icebeem ``metrics/mcc.py``.
"""

from __future__ import annotations

import numpy as np

from metrics.arrays import check_rows, check_varies
from metrics.mcc import Correlation, absolute_correlations
from metrics.registry import MetricCard, Output, register_metric

_BLIND = "rotations: any invertible linear mixture of the factors scores 1; categorical factors count as numbers"


@register_metric(
    "linear_r2",
    card=MetricCard(
        title="Linear R²",
        summary="Mean R² of the factors' least-squares predictions from the codes.",
        paper="Zimmermann, Sharma, Schneider, Bethge & Brendel, ICML 2021",
        source="brendel-group/cl-ica disentanglement_utils.py, mode r2; [half] fits on one half and scores the other",
        needs=("codes", "factors"),
        factors="any",
        variants={"": {}, "half": {"is_held_out": True}},
        outputs={"": Output(bounds=(0.0, 1.0), floor=0.001, ceiling=0.999)},
        variant_outputs={"half": {"": Output(bounds=(None, 1.0), floor=-0.002, ceiling=0.999)}},
        blind_to=_BLIND,
        cost="0.01 s at 10,000 rows",
        verified="golden values of cl-ica to 1e-6",
    ),
)
def linear_r2(codes: np.ndarray, factors: np.ndarray, *, is_held_out: bool = False) -> dict[str, float]:
    """Mean over factors of R² of ordinary least squares with an intercept.

    Args:
        codes: (n, n_latents).
        factors: (n, n_factors), integer or float.
        is_held_out: fit on the first half of the rows and score the second.

    Returns:
        "linear_r2", at most 1.

    Raises:
        ValueError: rows differ, or a factor is constant.
    """
    check_rows("linear_r2", codes, factors)
    check_varies("linear_r2", factors)
    fitted = slice(len(codes) // 2) if is_held_out else slice(None)
    scored = slice(len(codes) // 2, None) if is_held_out else slice(None)
    targets = factors.astype(np.float64)
    residual = targets[scored] - _predict(codes, targets, fitted)[scored]
    total = ((targets[scored] - targets[scored].mean(0)) ** 2).sum(0)
    if not total.all():
        raise ValueError("linear_r2: a factor is constant in the scored half; sample more rows or shuffle them")
    return {"linear_r2": float((1 - (residual**2).sum(0) / total).mean())}


@register_metric(
    "mcc_linear",
    card=MetricCard(
        title="Weak MCC",
        summary="Mean |correlation| of each factor with its least-squares prediction from the codes.",
        paper="Khemakhem, Monti, Kingma & Hyvärinen, ICE-BeeM, NeurIPS 2020",
        source="brendel-group/cl-ica disentanglement_utils.py, linear_disentanglement; no assignment",
        needs=("codes", "factors"),
        factors="any",
        variants={"pearson": {"correlation": "pearson"}, "spearman": {"correlation": "spearman"}},
        defaults=("pearson",),
        outputs={"": Output(floor=0.03, ceiling=1.0)},
        blind_to=_BLIND,
        cost="0.05 s at 10,000 rows",
        verified="golden values of cl-ica to 1e-6",
    ),
)
def mcc_linear(codes: np.ndarray, factors: np.ndarray, *, correlation: Correlation = "pearson") -> dict[str, float]:
    """Mean over factors of |corr(factor, its linear prediction)|, fitted and scored on the same rows.

    Args:
        codes: (n, n_latents).
        factors: (n, n_factors), integer or float.

    Returns:
        "mcc_linear" in [0, 1].

    Raises:
        ValueError: rows differ, or a factor is constant.
    """
    check_rows("mcc_linear", codes, factors)
    check_varies("mcc_linear", factors)
    targets = factors.astype(np.float64)
    strength = absolute_correlations(targets, _predict(codes, targets, slice(None)), correlation)
    return {"mcc_linear": float(np.diagonal(strength).mean())}


@register_metric(
    "mcc_held_out",
    card=MetricCard(
        title="MCC, out of sample",
        summary="MCC whose assignment is found on one half of the rows and scored on the other.",
        paper="Khemakhem, Monti, Kingma & Hyvärinen, ICE-BeeM, NeurIPS 2020",
        source="ilkhem/icebeem metrics/mcc.py, mean_corr_coef_out_of_sample",
        needs=("codes", "factors"),
        factors="any",
        variants={
            "spearman": {"correlation": "spearman"},
            "pearson": {"correlation": "pearson"},
            "spearman,matched": {"correlation": "spearman", "average": "matched"},
            "pearson,matched": {"correlation": "pearson", "average": "matched"},
        },
        defaults=("spearman",),
        outputs={"": Output(floor=0.01, ceiling=0.985, note="ties cap Spearman as they do in mcc[spearman]")},
        blind_to="what mcc is blind to",
        cost="0.05 s at 10,000 rows",
        verified="golden values of icebeem to 1e-6",
    ),
)
def mcc_held_out(
    codes: np.ndarray, factors: np.ndarray, *, correlation: Correlation = "spearman", average: str = "factors"
) -> dict[str, float]:
    """Mean over factors of |corr|, on the second half of the rows, with the latent that the first half assigns.

    Args:
        codes: (n, n_latents).
        factors: (n, n_factors), integer or float.
        average: over all "factors" (those without a latent count 0) or over the "matched" pairs.

    Returns:
        "mcc_held_out" in [0, 1].

    Raises:
        ValueError: rows differ, or a factor is constant.
    """
    from scipy.optimize import linear_sum_assignment

    check_rows("mcc_held_out", codes, factors)
    check_varies("mcc_held_out", factors)
    half = len(codes) // 2
    first, second = (
        absolute_correlations(factors[rows].astype(np.float64), codes[rows].astype(np.float64), correlation)
        for rows in (slice(half), slice(half, None))
    )
    rows, columns = linear_sum_assignment(first, maximize=True)
    n_averaged = len(rows) if average == "matched" else factors.shape[1]
    return {"mcc_held_out": float(second[rows, columns].sum() / n_averaged)}


def _predict(codes: np.ndarray, targets: np.ndarray, fitted: slice) -> np.ndarray:
    """Least-squares predictions (n, n_factors) of all rows, with an intercept, fitted on some."""
    inputs = codes.astype(np.float64)
    centre, middle = inputs[fitted].mean(0), targets[fitted].mean(0)
    weights, *_ = np.linalg.lstsq(inputs[fitted] - centre, targets[fitted] - middle, rcond=None)
    return (inputs - centre) @ weights + middle  # type: ignore[no-any-return]
