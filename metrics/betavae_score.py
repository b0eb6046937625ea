"""BetaVAE score (Higgins et al., ICLR 2017): can a linear classifier tell which factor two batches share?

Source: disentanglement_lib ``evaluation/metrics/beta_vae.py`` with the 2019 study's sizes.
"""

from __future__ import annotations

import numpy as np

from metrics.arrays import check_rows, class_indices
from metrics.interventions import FromRows, Interventions, Sampler, from_grid, from_sampler, held_factors
from metrics.logistic import LogisticClassifier
from metrics.registry import MetricCard, Output, register_metric

_NOTE = "noise: 1/k for k factors (.17 on Shapes3D)"


@register_metric(
    "betavae_score",
    card=MetricCard(
        title="BetaVAE score",
        summary="Accuracy of a linear classifier that names the factor which two batches of observations share.",
        paper="Higgins et al., ICLR 2017",
        source="disentanglement_lib evaluation/metrics/beta_vae.py; [pool] draws its pairs from labelled rows",
        needs=("grid_codes|sampler", "factor_sizes"),
        factors="discrete",
        variants={"": {}, "pool": {}},
        variant_needs={"pool": ("codes", "factors")},
        outputs={"": Output(floor=0.2, ceiling=1.0, note=_NOTE), "/train": Output(floor=0.2, ceiling=1.0, note=_NOTE)},
        blind_to=(
            "anything better than half disentangled: a random rotation of five factors scores .96; a factor spread "
            "over several latents; it depends on the scale of the latents through the classifier's penalty"
        ),
        cost="1 s at 15,000 votes of 2 × 64 codes",
        verified="golden values of disentanglement_lib on 18 grids, mean of seeds within their tolerance",
    ),
)
def betavae_score(
    *,
    rng: np.random.Generator,
    grid_codes: np.ndarray | None = None,
    factor_sizes: np.ndarray | None = None,
    sampler: Sampler | None = None,
    codes: np.ndarray | None = None,
    factors: np.ndarray | None = None,
    n_train_votes: int = 10_000,
    n_test_votes: int = 5_000,
    votes_batch: int = 64,
) -> dict[str, float]:
    """Accuracy of naming the shared factor from the mean |z¹ − z²| over a batch of pairs.

    Args:
        rng: draws factors and observations.
        grid_codes: (prod(factor_sizes), n_latents), or
        sampler: ``(factors (m, n_factors), rng) -> codes (m, n_latents)``, each with ``factor_sizes``; or
        codes: (n, n_latents) with ``factors`` (n, n_factors) int: pairs of rows that share a value.
        n_train_votes, n_test_votes: points the classifier is fitted on and judged by.
        votes_batch: pairs per vote.

    Returns:
        "betavae_score" on new votes and "betavae_score/train".

    Raises:
        ValueError: not exactly one source of codes, shapes that do not fit, or fewer than two factors.
    """
    source = source_of("betavae_score", grid_codes, factor_sizes, sampler, codes, factors)
    points, labels = _votes(source, n_train_votes, votes_batch, rng)
    classifier = LogisticClassifier.fit(points, labels)
    new_points, new_labels = _votes(source, n_test_votes, votes_batch, rng)
    return {
        "betavae_score": float((classifier.predict(new_points) == new_labels).mean()),
        "betavae_score/train": float((classifier.predict(points) == labels).mean()),
    }


def source_of(
    name: str,
    grid_codes: np.ndarray | None,
    factor_sizes: np.ndarray | None,
    sampler: Sampler | None,
    codes: np.ndarray | None,
    factors: np.ndarray | None,
) -> Interventions:
    """The one source of votes that was given; raises ValueError for none, several, or a single factor."""
    source: Interventions
    # A grid is the same as its sampler, only encoded already: it wins where both are there.
    if grid_codes is not None and factor_sizes is not None and codes is None:
        source = from_grid(name, grid_codes, factor_sizes)
    elif sampler is not None and factor_sizes is not None and codes is None:
        source = from_sampler(name, sampler, factor_sizes)
    elif codes is not None and factors is not None and grid_codes is None and sampler is None:
        check_rows(name, codes, factors)
        source = FromRows(codes, class_indices(name, factors)[0], name)
    else:
        raise ValueError(f"{name}: give grid_codes or a sampler with factor_sizes, or codes with factors")
    if source.n_factors < 2:
        raise ValueError(f"{name}: a single factor cannot be told from others; needs at least two")
    return source


def _votes(source: Interventions, n: int, batch: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, n_latents) float64, and the shared factor (n,) of each."""
    points, labels = [], []
    for held in held_factors(n, source.n_factors, rng):
        first, second = source.pairs(held, batch, rng)
        points.append(np.abs(first - second).mean(1, dtype=np.float64))
        labels.append(held)
    return np.concatenate(points), np.concatenate(labels)
