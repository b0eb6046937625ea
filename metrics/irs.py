"""Interventional robustness score (Suter et al., ICML 2019): how far a code strays while one factor is held.

Source: disentanglement_lib ``evaluation/metrics/irs.py``. Its number of active latents is a known bug and not reported.
"""

from __future__ import annotations

import numpy as np

from metrics.arrays import check_rows, class_indices
from metrics.information import binned
from metrics.registry import MetricCard, Output, register_metric


@register_metric(
    "irs",
    card=MetricCard(
        title="IRS",
        summary="Share of a latent's largest deviation that is gone once its factor is held, best factor per latent.",
        paper="Suter, Miladinović, Schölkopf & Bauer, Robustly Disentangled Causal Mechanisms, ICML 2019",
        source="disentanglement_lib evaluation/metrics/irs.py; irs[max] takes the maximum as the paper does",
        needs=("codes", "factors"),
        factors="discrete",
        variants={"q99": {"quantile": 0.99, "n_bins": 20}, "max": {"quantile": 1.0, "n_bins": 20}},
        defaults=("q99",),
        outputs={"": Output(bounds=(None, 1.0), floor=0.385, ceiling=0.971, note="factors are cut into 20 bins first")},
        variant_outputs={
            "max": {"": Output(bounds=(None, 1.0), floor=0.2, ceiling=0.927, note="factors are cut into 20 bins first")}
        },
        blind_to=(
            "whether a factor is found at all; noise does not score 0; the normaliser is a maximum, so outliers raise "
            "it; factors of more than 20 values are coarsened and lose"
        ),
        cost="0.1 s at 10,000 rows",
        verified="golden values of disentanglement_lib to 1e-5",
        drops_constant_latents=True,
    ),
)
def irs(codes: np.ndarray, factors: np.ndarray, *, quantile: float = 0.99, n_bins: int = 20) -> dict[str, float]:
    """Weighted mean over latents of 1 - (deviation with the best factor held) / (largest deviation).

    Args:
        codes: (n, n_latents); constant columns take no part.
        factors: (n, n_factors) int, cut into ``n_bins`` equal-width bins.
        quantile: of |code - group mean| within the rows of one factor value; 1 is the maximum.

    Returns:
        "irs", at most 1; weights are the latents' largest deviations from their means.

    Raises:
        ValueError: rows differ, a factor is constant or not discrete, or every latent is constant.
    """
    check_rows("irs", codes, factors)
    labels, _ = class_indices(
        "irs", binned(factors.astype(np.float64), n_bins) if factors.dtype.kind in "iu" else factors
    )
    codes = codes[:, np.ptp(codes, axis=0) > 0].astype(np.float64)
    if not codes.shape[1]:
        raise ValueError("irs: every latent is constant")
    largest = np.abs(codes - codes.mean(0)).max(0)
    held = np.stack([_deviation(codes, column, quantile) for column in labels.T])
    robust = (1 - held / largest).max(0)
    return {"irs": float(np.average(robust, weights=largest))}


def _deviation(codes: np.ndarray, labels: np.ndarray, quantile: float) -> np.ndarray:
    """(n_latents,) mean over a factor's values of the quantile of |code - group mean|."""
    groups = [codes[labels == value] for value in np.unique(labels)]
    return np.mean([np.quantile(np.abs(group - group.mean(0)), quantile, axis=0) for group in groups], axis=0)
