"""Mean correlation coefficient (Hyvärinen & Morioka, NeurIPS 2016), as SlowVAE reports it.

Source: Klindt et al., ICLR 2021, App. D; slow_disentanglement ``mcc_metric/metric.py``. Two departures: the assignment
is rectangular unless the variant is ``padded`` (their noise rows cost up to 1e-4 and make the score random), and a
constant latent has correlation 0 (their solver never returns).
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from metrics.arrays import check_rows, check_varies
from metrics.registry import MetricCard, Output, register_metric

Correlation = Literal["spearman", "pearson"]
Average = Literal["factors", "matched", "padded"]

_PEARSON = Output(floor=0.03, ceiling=1.0, note="noise: order 1/sqrt(n), never 0; a monotone warp costs a perfect code")
_SPEARMAN = Output(
    floor=0.02,
    ceiling=0.985,
    note="a factor of K equally frequent values reaches sqrt(1 - 1/K²): ties; .991 on Shapes3D, 1 where continuous",
)


def mcc_with_details(
    codes: np.ndarray,
    factors: np.ndarray,
    *,
    correlation: Correlation = "spearman",
    average: Average = "factors",
    rng: np.random.Generator | None = None,
) -> tuple[dict[str, float], dict[str, Any]]:
    """The score of ``mcc``, and the matrix |corr| (n_factors × n_latents) with the latent assigned to each factor.

    ``assignment[i]`` is None where factor i got no latent.
    """
    from scipy.optimize import linear_sum_assignment  # imported here: listing metrics must not cost seconds

    check_rows("mcc", codes, factors)
    check_varies("mcc", factors)
    if average not in ("factors", "matched", "padded"):
        raise ValueError(f"mcc: average is 'factors', 'matched' or 'padded', got '{average}'")
    n_factors, n_latents = factors.shape[1], codes.shape[1]

    targets = factors.astype(np.float64)
    if average == "padded" and n_latents > n_factors:
        if rng is None:
            raise ValueError("mcc: the padded variant draws noise, so it needs rng")
        noise = rng.standard_normal((len(codes), n_latents - n_factors))
        targets = np.hstack([targets, noise])
    strength = absolute_correlations(targets, codes.astype(np.float64), correlation)

    rows, columns = linear_sum_assignment(strength, maximize=True)
    is_factor = rows < n_factors
    rows, columns = rows[is_factor], columns[is_factor]
    n_averaged = len(rows) if average == "matched" else n_factors
    score = float(strength[rows, columns].sum() / n_averaged)

    assignment: list[int | None] = [None] * n_factors
    for i, j in zip(rows, columns, strict=True):
        assignment[i] = int(j)
    return {"mcc": score}, {"correlation": strength[:n_factors].tolist(), "assignment": assignment}


@register_metric(
    "mcc",
    card=MetricCard(
        title="MCC",
        summary="Mean |correlation| between each factor and the latent that the best one-to-one assignment gives it.",
        paper="Hyvärinen & Morioka, NeurIPS 2016; Klindt et al., ICLR 2021",
        source="slow_disentanglement mcc_metric/metric.py, rectangular assignment",
        needs=("codes", "factors"),
        factors="any",
        variants={
            "spearman": {"correlation": "spearman"},
            "pearson": {"correlation": "pearson"},
            "spearman,matched": {"correlation": "spearman", "average": "matched"},
            "pearson,matched": {"correlation": "pearson", "average": "matched"},
            "spearman,padded": {"correlation": "spearman", "average": "padded"},
            "pearson,padded": {"correlation": "pearson", "average": "padded"},
        },
        defaults=("spearman", "pearson"),
        outputs={"": _SPEARMAN},
        variant_outputs={v: {"": _PEARSON} for v in ("pearson", "pearson,matched", "pearson,padded")},
        blind_to=(
            "non-monotone codes; categorical factors have no order and cyclic ones no monotone latent, so both are "
            "capped; a factor spread over several latents counts by its best one"
        ),
        cost="0.05 s at 10,000 rows",
        verified="golden values of slow_disentanglement (SciPy) on 25 cases; equals the rectangular reference to 1e-6",
        details=mcc_with_details,
    ),
)
def mcc(
    codes: np.ndarray,
    factors: np.ndarray,
    *,
    correlation: Correlation = "spearman",
    average: Average = "factors",
    rng: np.random.Generator | None = None,
) -> dict[str, float]:
    """Mean absolute correlation over the one-to-one assignment of latents to factors that maximises it.

    Args:
        codes: (n, n_latents).
        factors: (n, n_factors), integer or float.
        correlation: "spearman" (average ranks for ties) or "pearson".
        average: over all "factors" (those without a latent count 0), over the "matched" pairs, or "padded": over the
            factors, after standard normal rows competed for the latents that are left over.
        rng: only for "padded".

    Returns:
        "mcc" in [0, 1].

    Raises:
        ValueError: rows differ, a factor is constant, or an argument is unknown.
    """
    return mcc_with_details(codes, factors, correlation=correlation, average=average, rng=rng)[0]


def absolute_correlations(left: np.ndarray, right: np.ndarray, correlation: Correlation) -> np.ndarray:
    """|corr| (columns of left × columns of right) in [0, 1]; 0 with a constant column."""
    if correlation == "spearman":
        left, right = (np.stack([average_ranks(c) for c in a.T], axis=1) for a in (left, right))
    elif correlation != "pearson":
        raise ValueError(f"mcc: correlation is 'spearman' or 'pearson', got '{correlation}'")
    return np.minimum(np.abs(_unit(left).T @ _unit(right)), 1.0)


def average_ranks(column: np.ndarray) -> np.ndarray:
    """Ranks 1 … n of a column (n,); equal values share the mean of their ranks."""
    _, inverse, counts = np.unique(column, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


def _unit(columns: np.ndarray) -> np.ndarray:
    """Centred columns of length 1; exactly 0 where the column is constant."""
    # by powers of 2, which change no digit: squares of 1e200 are infinite and those of 1e-200 are 0
    columns = np.ldexp(columns.astype(np.float64), -np.frexp(np.abs(columns).max(0))[1])
    varies = columns.min(0) < columns.max(0)
    centred = np.where(varies, columns - columns.mean(0), 0.0)
    length = np.linalg.norm(centred, axis=0)
    return centred / np.where(varies, length, 1.0)
