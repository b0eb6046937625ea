"""Unsupervised disentanglement ranking (Duan et al., ICLR 2020): do trainings that differ in their seed find the same
latents?

Source: disentanglement_lib ``evaluation/udr/metrics/udr.py``. A correlation with a latent that never moves counts 0;
there it is NaN, and takes the correlations of a whole row or column with it.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from metrics.registry import MetricCard, Output, register_metric

LEAST_KL = 0.01  # nats; a latent below tells nothing of x
ALPHA = 0.1  # of the Lasso

_NOTE = (
    "floor: models of noise, ceiling: models of one noisy copy per factor; the seeds' scores share their pairs, so an "
    "interval over them is too narrow"
)

Relation = Literal["lasso", "spearman"]


def udr_with_details(
    cell_codes: np.ndarray,
    cell_kl: np.ndarray,
    member: int,
    *,
    relation: Relation = "lasso",
    counts_unused: bool = False,
) -> tuple[dict[str, float], dict[str, Any]]:
    """The score of ``udr``, and the member's score with each partner, in the order of the models."""
    used = _checked(cell_codes, cell_kl)
    if not 0 <= member < len(cell_codes):
        raise ValueError(f"udr: no model {member} among {len(cell_codes)}")
    own = standardised(cell_codes[member], used[member])
    pairs = [
        _pair(standardised(codes, used[i]), own, used[i], used[member], relation, counts_unused)
        for i, codes in enumerate(cell_codes)
        if i != member
    ]
    return {"udr": float(np.median(pairs))}, {"pairs": pairs, "n_used": int(used[member].sum())}


@register_metric(
    "udr",
    card=MetricCard(
        title="UDR",
        summary="How well the latents of one training match those of others that differ in the seed alone, one to one.",
        paper="Duan et al., Unsupervised Model Selection for Variational Disentangled Representation Learning, "
        "ICLR 2020",
        source=(
            "disentanglement_lib evaluation/udr/metrics/udr.py: |coefficients| of a Lasso (alpha 0.1) or |Spearman| "
            "between standardised codes; latents with a mean KL of at most 0.01 are left out, with [lasso,all] they "
            "count 0. Of a method that has no KL, every latent that moves is used"
        ),
        needs=("cell_codes", "cell_kl", "member"),
        factors=None,
        variants={
            "lasso": {},
            "spearman": {"relation": "spearman"},
            "lasso,all": {"counts_unused": True},
        },
        defaults=("lasso", "spearman"),
        outputs={"": Output(bounds=(0.0, None), floor=0.0, ceiling=0.899, note=_NOTE)},
        variant_outputs={"spearman": {"": Output(bounds=(0.0, None), floor=0.004, ceiling=0.936, note=_NOTE)}},
        blind_to=(
            "latents that mean nothing and that every seed finds alike, such as PCA's; changes as seeds are added, so "
            "the row's details name the runs"
        ),
        cost="0.1 s per pair of models at 10,000 rows of 10 latents; no labels",
        verified="golden values of disentanglement_lib to 1e-4; closed forms",
        scope="cell",
        details=udr_with_details,
    ),
)
def udr(
    cell_codes: np.ndarray,
    cell_kl: np.ndarray,
    member: int,
    *,
    relation: Relation = "lasso",
    counts_unused: bool = False,
) -> dict[str, float]:
    """Median over the other models of how nearly one to one their latents are related to those of model ``member``.

    Args:
        cell_codes: (n_models, n, n_latents) of the same n rows; at least two models.
        cell_kl: (n_models, n_latents) mean KL of each latent in nats, infinite where a method has none.
        member: the model that is scored.
        relation: |Lasso coefficients| of the member's latents on another's, or |Spearman's correlation|.
        counts_unused: latents without KL count 0 instead of being left out.

    Returns:
        "udr", at least 0; 0 where a model uses no latent. Equal codes reach 0.9 with "lasso", whose penalty shrinks.

    Raises:
        ValueError: fewer than two models or rows, shapes that do not fit, or no such member.
    """
    return udr_with_details(cell_codes, cell_kl, member, relation=relation, counts_unused=counts_unused)[0]


def pair_scores(
    cell_codes: np.ndarray, cell_kl: np.ndarray, *, relation: Relation = "lasso", counts_unused: bool = False
) -> np.ndarray:
    """(n_models, n_models) score of each pair, 0 on the diagonal; arguments as of ``udr``.

    A Lasso predicts the latents of the column's model from those of the row's, so the matrix is not symmetric.
    """
    used = _checked(cell_codes, cell_kl)
    ready = [standardised(codes, one) for codes, one in zip(cell_codes, used, strict=True)]
    scores = np.zeros((len(ready), len(ready)))
    for i, j in np.ndindex(scores.shape):
        if i != j:
            scores[i, j] = _pair(ready[i], ready[j], used[i], used[j], relation, counts_unused)
    return scores


def standardised(codes: np.ndarray, used: np.ndarray) -> np.ndarray:
    """Codes (n, n_latents) with mean 0 and deviation 1, as float64; all 0 where not used (n_latents,)."""
    x = codes.astype(np.float64)
    return np.where(used, (x - x.mean(0)) / np.where(used, x.std(0), 1.0), 0.0)


def relative_strength(relation: np.ndarray) -> float:
    """Mean of max² / sum over the columns, and over the rows, of |relations| (n_latents, m_latents), averaged.

    1 where every latent is related to a single one of the other model, fully; a row or column of zeros counts 0, and
    so does a matrix without either.
    """
    if not relation.size:
        return 0.0
    sides = []
    for axis in (0, 1):
        total = relation.sum(axis)
        share = np.divide(relation.max(axis) ** 2, total, out=np.zeros_like(total), where=total > 0)
        sides.append(share.mean())
    return float(np.mean(sides))


def _checked(cell_codes: np.ndarray, cell_kl: np.ndarray) -> np.ndarray:
    """Which latents of each model move and have a KL, (n_models, n_latents) bool."""
    if cell_codes.ndim != 3 or len(cell_codes) < 2 or cell_codes.shape[1] < 2 or not cell_codes.shape[2]:
        raise ValueError(f"udr: wanted codes of at least two models, (models, rows, latents), got {cell_codes.shape}")
    if cell_kl.shape != (cell_codes.shape[0], cell_codes.shape[2]):
        raise ValueError(f"udr: one KL per latent of each model, got codes {cell_codes.shape} and KL {cell_kl.shape}")
    if np.isnan(cell_kl).any() or not np.isfinite(cell_codes).all():
        raise ValueError("udr: a code or a KL is NaN")
    return (cell_kl > LEAST_KL) & (cell_codes.min(1) < cell_codes.max(1))  # type: ignore[no-any-return]


def _pair(
    theirs: np.ndarray,
    own: np.ndarray,
    their_used: np.ndarray,
    own_used: np.ndarray,
    relation: Relation,
    counts_unused: bool,
) -> float:
    matrix = _lasso(theirs, own) if relation == "lasso" else _spearman(theirs, own)
    return relative_strength(matrix if counts_unused else matrix[np.ix_(their_used, own_used)])


def _lasso(theirs: np.ndarray, own: np.ndarray) -> np.ndarray:
    """|coefficients| (n_latents of theirs, n_latents of own) that predict own standardised latents from theirs."""
    from sklearn.linear_model import Lasso

    return np.abs(Lasso(alpha=ALPHA, precompute=True).fit(theirs, own).coef_.reshape(own.shape[1], -1).T)


def _spearman(theirs: np.ndarray, own: np.ndarray) -> np.ndarray:
    from metrics.mcc import absolute_correlations

    return absolute_correlations(theirs, own, "spearman")
