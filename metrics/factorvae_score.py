"""FactorVAE score (Kim & Mnih, ICML 2018): does the latent that varies least name the factor that was held?

Source: disentanglement_lib ``evaluation/metrics/factor_vae.py`` with the 2019 study's sizes and its threshold, which is
on the standard deviation. Its number of active latents is a known bug and not reported.
"""

from __future__ import annotations

import numpy as np

from metrics.betavae_score import source_of
from metrics.interventions import Interventions, Sampler, held_factors
from metrics.registry import MetricCard, Output, register_metric

_NOTE = "noise: 1/k for k factors (.18 on Shapes3D)"


@register_metric(
    "factorvae_score",
    card=MetricCard(
        title="FactorVAE score",
        summary="Accuracy of a majority vote that names the held factor from the latent with least relative variance.",
        paper="Kim & Mnih, ICML 2018",
        source="disentanglement_lib evaluation/metrics/factor_vae.py; [pool] draws its batches from labelled rows",
        needs=("grid_codes|sampler", "factor_sizes"),
        factors="discrete",
        variants={"": {}, "pool": {}},
        variant_needs={"pool": ("codes", "factors")},
        outputs={
            "": Output(floor=0.193, ceiling=1.0, note=_NOTE),
            "/train": Output(floor=0.193, ceiling=1.0, note=_NOTE),
        },
        blind_to=(
            "completeness and informativeness; a rotation of factors of different sizes scores .96, since the sizes "
            "break the symmetry"
        ),
        cost="0.5 s at 15,000 votes of 64 codes",
        verified="golden values of disentanglement_lib on 18 grids, mean of seeds within their tolerance",
    ),
)
def factorvae_score(
    *,
    rng: np.random.Generator,
    grid_codes: np.ndarray | None = None,
    factor_sizes: np.ndarray | None = None,
    sampler: Sampler | None = None,
    codes: np.ndarray | None = None,
    factors: np.ndarray | None = None,
    n_variance: int = 10_000,
    n_train_votes: int = 10_000,
    n_test_votes: int = 5_000,
    votes_batch: int = 64,
    threshold: float = 0.05,
) -> dict[str, float]:
    """Accuracy of naming the held factor from the latent whose variance in the batch is least, relative to its own.

    Args:
        rng: draws factors and observations.
        grid_codes, factor_sizes, sampler, codes, factors: where codes come from; see ``betavae_score``.
        n_variance: observations the global variances are taken from (all rows where rows are given).
        n_train_votes, n_test_votes: votes that fill the table and votes that test it.
        votes_batch: codes per vote.
        threshold: latents of a smaller standard deviation take no part.

    Returns:
        "factorvae_score" on new votes and "factorvae_score/train"; 0 where no latent is active.

    Raises:
        ValueError: not exactly one source of codes, shapes that do not fit, or fewer than two factors.
    """
    source = source_of("factorvae_score", grid_codes, factor_sizes, sampler, codes, factors)
    variance = source.some(n_variance, rng).var(axis=0, ddof=1, dtype=np.float64)
    active = np.sqrt(variance) >= threshold
    if not active.any():
        return {"factorvae_score": 0.0, "factorvae_score/train": 0.0}
    scale = variance[active]

    table = _votes(source, active, scale, n_train_votes, votes_batch, rng)
    named = table.argmax(0)  # the factor each latent stands for; ties go to the first
    new = _votes(source, active, scale, n_test_votes, votes_batch, rng)
    latents = np.arange(len(scale))
    return {
        "factorvae_score": float(new[named, latents].sum() / n_test_votes),
        "factorvae_score/train": float(table[named, latents].sum() / n_train_votes),
    }


def _votes(
    source: Interventions, active: np.ndarray, scale: np.ndarray, n: int, batch: int, rng: np.random.Generator
) -> np.ndarray:
    """How often each active latent varied least while each factor was held, (n_factors, n_active)."""
    table = np.zeros((source.n_factors, len(scale)), np.int64)
    for held in held_factors(n, source.n_factors, rng):
        group = source.groups(held, batch, rng)[:, :, active]
        least = (group.var(axis=1, ddof=1, dtype=np.float64) / scale).argmin(1)
        np.add.at(table, (held, least), 1)
    return table
