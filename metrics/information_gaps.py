"""Relatives of MIG: MIG-sup (Li et al., ICLR 2020), JEMMIG (Do & Tran, ICLR 2020), DCIMIG (Sepliarskaia et al., 2019).

All read the plug-in mutual information of binned codes and factors. The review of Carbonneau et al. (2022) has code for
all three (ubisoft/ubisoft-laforge-disentanglement-metrics), which our numbers equal in the variants named after it.
"""

from __future__ import annotations

import numpy as np

from metrics.arrays import check_rows, check_varies, class_indices
from metrics.information import binned, entropy, mutual_information
from metrics.registry import MetricCard, Output, register_metric

_CARBONNEAU = "Carbonneau, Zaïdi, Boilard & Gagnon, Measuring Disentanglement: A Review of Metrics, 2022"
_COST = "0.1 s at 10,000 rows"
_BLIND_BINS = "outliers empty the equal-width bins"


def _tables(name: str, codes: np.ndarray, factors: np.ndarray, n_bins: int) -> tuple[np.ndarray, ...]:
    """Information (n_latents, n_factors), entropies of factors and of binned codes; in nats.

    Continuous factors are cut into as many bins as the codes.
    """
    check_rows(name, codes, factors)
    check_varies(name, factors)
    labels = binned(factors, n_bins) if factors.dtype.kind == "f" else class_indices(name, factors)[0]
    bins = binned(codes, n_bins)
    return mutual_information(bins, labels), entropy(labels), entropy(bins)


@register_metric(
    "mig_sup",
    card=MetricCard(
        title="MIG-sup",
        summary="Gap between the two factors that a latent knows most about.",
        paper="Li, Murkute, Gyawali & Wang, Progressive Learning and Disentanglement of Hierarchical Representations, "
        "ICLR 2020",
        source=f"[hist20]: 20 bins, each information divided by its factor's entropy; [code10]: 10 bins, divided by "
        f"the code's entropy, as in the code of {_CARBONNEAU}",
        needs=("codes", "factors"),
        factors="any",
        variants={"hist20": {"n_bins": 20, "normalise_by": "factor"}, "code10": {"n_bins": 10, "normalise_by": "code"}},
        defaults=("hist20",),
        outputs={"": Output(floor=0.001, ceiling=0.843, note="the paper's own normalisation could not be read")},
        variant_outputs={"code10": {"": Output(floor=0.002, ceiling=0.896)}},
        blind_to=f"redundancy: two latents of one factor score 1 each; {_BLIND_BINS}",
        cost=_COST,
        verified="[code10]: golden values of the review's code to 1e-6; [hist20]: closed forms",
        drops_constant_latents=True,
    ),
)
def mig_sup(
    codes: np.ndarray, factors: np.ndarray, *, n_bins: int = 20, normalise_by: str = "factor"
) -> dict[str, float]:
    """Mean over latents of the gap between their two best-known factors.

    Args:
        codes: (n, n_latents), cut into ``n_bins`` equal-width bins; constant columns take no part.
        factors: (n, n_factors), at least two; float columns are cut into bins too.
        normalise_by: "factor" (each information by its factor's entropy) or "code".

    Returns:
        "mig_sup" in [0, 1].

    Raises:
        ValueError: rows differ, a factor is constant, fewer than two factors, or every latent is constant.
    """
    information, of_factors, of_codes = _tables("mig_sup", codes, factors, n_bins)
    if information.shape[1] < 2:
        raise ValueError(f"mig_sup: a gap needs two factors, got factors {factors.shape}")
    varies = of_codes > 0
    if not varies.any():
        raise ValueError("mig_sup: every latent is constant")
    scale = of_factors[None] if normalise_by == "factor" else of_codes[varies, None]
    ordered = np.sort(information[varies] / scale, axis=1)
    return {"mig_sup": float((ordered[:, -1] - ordered[:, -2]).mean())}


@register_metric(
    "jemmig",
    card=MetricCard(
        title="JEMMIG",
        summary="Joint entropy of a factor and its best latent, less the gap to the second: 1 is best after "
        "normalising.",
        paper="Do & Tran, Theory and Evaluation Metrics for Learning Disentangled Representations, ICLR 2020",
        source=f"10 bins, 1 - (H(z, v) - I₁ + I₂) / (H(v) + log bins), as in the code of {_CARBONNEAU}",
        needs=("codes", "factors"),
        factors="any",
        variants={"hist10": {"n_bins": 10}},
        defaults=("hist10",),
        outputs={"": Output(floor=0.13, ceiling=0.815)},
        blind_to=f"factors of more values than bins cannot reach 1; {_BLIND_BINS}",
        cost=_COST,
        verified="golden values of the review's code to 1e-6",
    ),
)
def jemmig(codes: np.ndarray, factors: np.ndarray, *, n_bins: int = 10) -> dict[str, float]:
    """Mean over factors of the normalised JEMMIG, up is better.

    Args:
        codes: (n, n_latents), at least two, cut into ``n_bins`` equal-width bins.
        factors: (n, n_factors); float columns are cut into bins too.

    Returns:
        "jemmig", 1 for one noiseless latent per factor.

    Raises:
        ValueError: rows differ, a factor is constant, or fewer than two latents.
    """
    check_rows("jemmig", codes, factors, n_latents=2)
    information, of_factors, of_codes = _tables("jemmig", codes, factors, n_bins)
    order = np.argsort(information, axis=0, kind="stable")  # of equal latents the last counts as best, as there
    columns = np.arange(information.shape[1])
    first, second = information[order[-1], columns], information[order[-2], columns]
    joint = of_factors + of_codes[order[-1]] - first
    raw = joint - first + second
    return {"jemmig": float((1 - raw / (of_factors + np.log(n_bins))).mean())}


@register_metric(
    "dcimig",
    card=MetricCard(
        title="DCIMIG",
        summary="Information that latents hold about their best factor and no other, in shares of all factors' "
        "entropy.",
        paper="Sepliarskaia, Kiseleva & de Rijke, How to Not Measure Disentanglement, 2019",
        source=f"10 bins, as in the code of {_CARBONNEAU}",
        needs=("codes", "factors"),
        factors="any",
        variants={"hist10": {"n_bins": 10}},
        defaults=("hist10",),
        outputs={"": Output(floor=0.0004, ceiling=0.685, note="10 bins cap factors of more values")},
        blind_to=f"redundant latents; {_BLIND_BINS}",
        cost=_COST,
        verified="golden values of the review's code to 1e-6",
    ),
)
def dcimig(codes: np.ndarray, factors: np.ndarray, *, n_bins: int = 10) -> dict[str, float]:
    """Per factor the largest gap among the latents it is best in, summed, over the sum of the factors' entropies.

    Args:
        codes: (n, n_latents), cut into ``n_bins`` equal-width bins.
        factors: (n, n_factors), at least two; float columns are cut into bins too.

    Returns:
        "dcimig" in [0, 1].

    Raises:
        ValueError: rows differ, a factor is constant, or fewer than two factors.
    """
    information, of_factors, _ = _tables("dcimig", codes, factors, n_bins)
    if information.shape[1] < 2:
        raise ValueError(f"dcimig: a gap needs two factors, got factors {factors.shape}")
    ordered = np.sort(information, axis=1)
    gaps, best = ordered[:, -1] - ordered[:, -2], information.argmax(1)
    credited = [gaps[best == i].max(initial=0.0) for i in range(information.shape[1])]
    return {"dcimig": float(np.sum(credited) / of_factors.sum())}
