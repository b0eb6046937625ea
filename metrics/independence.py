"""Unsupervised scores of dependence: Gaussian total correlation, Wasserstein correlation, shared information.

Source: disentanglement_lib ``evaluation/metrics/unsupervised_metrics.py``. They measure independence, not
disentanglement: a rotation of independent Gaussian codes leaves all of them at 0.
"""

from __future__ import annotations

import numpy as np

from metrics.information import binned, mutual_information
from metrics.registry import MetricCard, Output, register_metric

_PAPER = "Locatello et al., Challenging Common Assumptions, ICML 2019"
_BLIND = "everything about factors; codes that are independent need not be disentangled"


def _covariance(name: str, codes: np.ndarray) -> np.ndarray:
    if codes.ndim != 2 or len(codes) < 2 or codes.shape[1] < 2:
        raise ValueError(f"{name}: needs at least two rows of at least two latents, got codes {codes.shape}")
    return np.cov(codes.astype(np.float64), rowvar=False)


@register_metric(
    "total_correlation",
    card=MetricCard(
        title="Gaussian total correlation",
        summary="Total correlation of a Gaussian with the codes' covariance, in nats.",
        paper=_PAPER,
        source="disentanglement_lib evaluation/metrics/unsupervised_metrics.py",
        needs=("codes",),
        factors=None,
        variants={"gaussian": {}},
        defaults=("gaussian",),
        outputs={"": Output(bounds=(0.0, None), higher_is_better=False, floor=0.002, ceiling=0.0004)},
        blind_to=_BLIND,
        cost="0.01 s at 10,000 rows",
        verified="golden values of disentanglement_lib to 1e-5; closed form",
        drops_constant_latents=True,
    ),
)
def total_correlation(codes: np.ndarray) -> dict[str, float]:
    """½ (Σ log S_jj - log det S), S the covariance (n - 1) of codes (n, n_latents).

    Returns:
        "total_correlation" in nats, at least 0.

    Raises:
        ValueError: fewer than two rows or latents, or a covariance that is singular.
    """
    covariance = _covariance("total_correlation", codes)
    sign, log_determinant = np.linalg.slogdet(covariance)
    diagonal = np.diagonal(covariance)
    if sign <= 0 or (diagonal <= 0).any():
        raise ValueError("total_correlation: the codes are linearly dependent, so it is infinite")
    return {"total_correlation": float(0.5 * (np.log(diagonal).sum() - log_determinant))}


@register_metric(
    "wasserstein_correlation",
    card=MetricCard(
        title="Wasserstein correlation",
        summary="Squared 2-Wasserstein distance between Gaussians with the codes' covariance and with its diagonal.",
        paper=_PAPER,
        source="disentanglement_lib evaluation/metrics/unsupervised_metrics.py",
        needs=("codes",),
        factors=None,
        variants={"": {}},
        outputs={
            "": Output(bounds=(0.0, None), higher_is_better=False, note="changes with the scale of the codes"),
            "/normalised": Output(bounds=(0.0, None), higher_is_better=False, floor=0.0002, ceiling=0.0001),
        },
        blind_to=_BLIND,
        cost="0.01 s at 10,000 rows",
        verified="golden values of disentanglement_lib to 1e-5; closed form",
    ),
)
def wasserstein_correlation(codes: np.ndarray) -> dict[str, float]:
    """2 tr S - 2 tr (D^½ S D^½)^½ with D the diagonal of S, the covariance (n - 1) of codes (n, n_latents).

    Returns:
        "wasserstein_correlation" in squared units of the codes, and "/normalised": divided by tr S.

    Raises:
        ValueError: fewer than two rows or latents, or every latent is constant.
    """
    covariance = _covariance("wasserstein_correlation", codes)
    trace = np.trace(covariance)
    if trace <= 0:
        raise ValueError("wasserstein_correlation: every latent is constant")
    root = np.sqrt(np.diagonal(covariance))
    # similar to S D, whose principal root the reference takes, but symmetric: the eigenvalues are real
    eigenvalues = np.linalg.eigvalsh(root[:, None] * covariance * root)
    distance = max(0.0, float(2 * trace - 2 * np.sqrt(eigenvalues.clip(0)).sum()))
    return {"wasserstein_correlation": distance, "wasserstein_correlation/normalised": distance / float(trace)}


@register_metric(
    "latent_information",
    card=MetricCard(
        title="Mutual information of latents",
        summary="Mean mutual information between two different latents, binned, in nats.",
        paper=_PAPER,
        source="disentanglement_lib evaluation/metrics/unsupervised_metrics.py (mutual_info_score), 20 bins",
        needs=("codes",),
        factors=None,
        variants={"hist20": {"n_bins": 20}},
        defaults=("hist20",),
        outputs={"": Output(bounds=(0.0, None), higher_is_better=False, floor=0.015, ceiling=0.011)},
        blind_to=_BLIND,
        cost="0.1 s at 10,000 rows",
        verified="golden values of disentanglement_lib to 1e-5",
    ),
)
def latent_information(codes: np.ndarray, *, n_bins: int = 20) -> dict[str, float]:
    """Mean over ordered pairs of different latents of I(z_i; z_j), codes (n, n_latents) in equal-width bins.

    Returns:
        "latent_information" in nats, at least 0.

    Raises:
        ValueError: fewer than two latents.
    """
    _covariance("latent_information", codes)
    bins = binned(codes, n_bins)
    information = mutual_information(bins, bins)
    n = len(information)
    return {"latent_information": float((information.sum() - np.trace(information)) / (n * (n - 1)))}


@register_metric(
    "sparsity",
    card=MetricCard(
        title="Sparsity of codes",
        summary="Hoyer's sparsity of each row of the codes: hoyer divides every latent by its own standard deviation "
        "first, raw takes them as they are.",
        paper="Hoyer, Non-negative Matrix Factorization with Sparseness Constraints, JMLR 2004; used for latents by "
        "Mathieu, Rainforth, Siddharth & Teh, ICML 2019",
        source="Mathieu et al., Eq. 10 and its normalisation",
        needs=("codes",),
        factors=None,
        variants={"hoyer": {}, "raw": {"normalised": False}},
        defaults=("hoyer",),
        outputs={"": Output(floor=0.267, ceiling=0.275, note="1 is a single active latent in every row")},
        variant_outputs={"raw": {"": Output(floor=0.267, note="1 is a single active latent in every row")}},
        blind_to="which latents are active, and what they mean; hoyer: that a latent is never used, since its noise is "
        "scaled up like any other's; raw: that latents may differ in scale without any being unused",
        cost="0.01 s at 10,000 rows",
        verified="closed forms",
        drops_constant_latents=True,
    ),
)
def sparsity(codes: np.ndarray, *, normalised: bool = True) -> dict[str, float]:
    """Mean over rows of (√d - ‖z‖₁ / ‖z‖₂) / (√d - 1), codes (n, d); empty rows: 1.

    Args:
        normalised: scale every latent to unit standard deviation first, and leave constant ones out.

    Returns:
        "sparsity" in [0, 1]: 0 where all latents are equally large, 1 where one alone is not 0.

    Raises:
        ValueError: fewer than two rows or latents, or every latent is constant.
    """
    _covariance("sparsity", codes)
    scale = codes.std(0, dtype=np.float64)
    if not scale.any():
        raise ValueError("sparsity: every latent is constant")
    scaled = np.abs(codes[:, scale > 0] / scale[scale > 0] if normalised else codes.astype(np.float64))
    root = np.sqrt(scaled.shape[1])
    if root == 1:
        raise ValueError("sparsity: a single latent varies")
    norm = np.sqrt((scaled**2).sum(1))
    ratio = np.divide(scaled.sum(1), norm, out=np.ones(len(norm)), where=norm > 0)
    return {"sparsity": float(((root - ratio) / (root - 1)).mean())}
