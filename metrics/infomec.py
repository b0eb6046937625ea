"""InfoMEC (Hsu et al., NeurIPS 2023): modularity, compactness and explicitness from normalised mutual information.

Source: kylehkhsu/latent_quantization ``disentangle/metrics/infomec.py``, the stand-alone file that its README names.
The training code there has another threshold and another number of neighbours; ours is the one rule, named in the card.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from metrics.arrays import check_rows, class_indices
from metrics.information import entropy, mutual_information
from metrics.registry import MetricCard, Output, register_metric

ACTIVE_SHARE = 20  # a latent takes part where its range exceeds the largest range / 20


def infomec_with_details(
    codes: np.ndarray, factors: np.ndarray, *, is_discrete: bool = False, rng: np.random.Generator
) -> tuple[dict[str, float], dict[str, Any]]:
    """The scores of ``infomec``, I(z; v) / H(v) of the active latents (n_active × n_factors), and which are active."""
    check_rows("infomec", codes, factors)
    labels, sizes = class_indices("infomec", factors)
    if len(sizes) < 2:
        raise ValueError("infomec: modularity compares factors; needs at least two")
    ranges = np.ptp(codes, axis=0)
    active = ranges > (0 if is_discrete else ranges.max() / ACTIVE_SHARE)
    if active.sum() < 2:
        raise ValueError(f"infomec: needs two active latents for compactness, got {int(active.sum())}")
    kept = codes[:, active].astype(np.float64)
    values = _indices(kept) if is_discrete else kept
    information = (mutual_information(values, labels) if is_discrete else _nearest(values, labels, rng)) / entropy(
        labels
    )
    inputs = _one_hot(values) if is_discrete else (kept - kept.mean(0)) / kept.std(0)
    losses = np.array([_log_loss(inputs, column) for column in labels.T])
    scores = {
        "infomec/modularity": _concentration(information),
        "infomec/compactness": _concentration(information.T),
        "infomec/explicitness": float((1 - losses / np.log(sizes)).mean()),
        "infomec/active": float(active.sum()),
    }
    return scores, {"information": information.tolist(), "active": np.flatnonzero(active).tolist()}


_OUTPUTS = {
    "/modularity": Output(floor=0.61, ceiling=0.997, note="few rows of a small grid inflate the estimate"),
    "/compactness": Output(floor=0.38, ceiling=0.997),
    "/explicitness": Output(bounds=(None, 1.0), floor=0.004, ceiling=0.945),
    "/active": Output(bounds=(0.0, None), note="number of latents that took part"),
}


@register_metric(
    "infomec",
    card=MetricCard(
        title="InfoMEC",
        summary="Do latents know one factor each (modularity), are factors in one latent each (compactness), and can a "
        "linear classifier read them (explicitness).",
        paper="Hsu, Dorrell, Whittington, Wu & Finn, Disentanglement via Latent Quantization, NeurIPS 2023",
        source="kylehkhsu/latent_quantization disentangle/metrics/infomec.py (stand-alone): 10 neighbours, latents "
        "with a range above a twentieth of the largest; [discrete] counts quantised codes instead",
        needs=("codes", "factors"),
        factors="discrete",
        variants={"knn10": {}, "discrete": {"is_discrete": True}},
        defaults=("knn10",),
        outputs=_OUTPUTS,
        blind_to="modularity and compactness divide by their own sums, so noise does not score 0; fitted and scored on "
        "the same rows",
        cost="15 s for dSprites at 10,000 rows",
        verified="golden values of latent_quantization; [discrete]: closed forms",
        details=infomec_with_details,
    ),
)
def infomec(
    codes: np.ndarray, factors: np.ndarray, *, is_discrete: bool = False, rng: np.random.Generator
) -> dict[str, float]:
    """Modularity, compactness and explicitness of the active latents.

    Args:
        codes: (n, n_latents).
        factors: (n, n_factors) int, at least two.
        is_discrete: each latent takes few values: plug-in information, and one-hot inputs of the classifier.
        rng: the nearest-neighbour estimate adds tiny noise.

    Returns:
        "infomec/modularity", "/compactness" in [0, 1], "/explicitness" (at most 1), and "/active": latents that
        took part.

    Raises:
        ValueError: rows differ, a factor is constant, fewer than two factors or active latents.
    """
    return infomec_with_details(codes, factors, is_discrete=is_discrete, rng=rng)[0]


def _concentration(information: np.ndarray) -> float:
    """Mean over rows of (largest / sum), rescaled so that an even spread over the columns is 0."""
    total = information.sum(1, keepdims=True)
    even = 1 / information.shape[1]
    share = np.divide(information, total, out=np.full_like(information, even), where=total > 0)
    return float((share.max(1).mean() - even) / (1 - even))


def _nearest(codes: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """I(z_j; v_i) in nats (n_latents, n_factors) from the 10 nearest neighbours (Ross 2014)."""
    from sklearn.feature_selection import mutual_info_classif

    seed = int(rng.integers(2**31 - 1))
    columns = [mutual_info_classif(codes, column, n_neighbors=10, random_state=seed) for column in labels.T]
    return np.stack(columns, axis=1)


def _log_loss(inputs: np.ndarray, labels: np.ndarray) -> float:
    """Balanced log loss in nats of an unpenalised multinomial logistic regression on its own rows."""
    from scipy.special import log_softmax
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    classifier = LogisticRegression(C=np.inf, class_weight="balanced", max_iter=100)
    with warnings.catch_warnings():
        # the released metric stops after 100 steps, converged or not
        warnings.simplefilter("ignore", ConvergenceWarning)
        classifier.fit(inputs, labels)
    logits = classifier.decision_function(inputs)
    if logits.ndim == 1:  # two classes: the second's against the first's
        logits = np.stack([np.zeros_like(logits), logits], axis=1)
    log_probability = log_softmax(logits, axis=1)[np.arange(len(labels)), labels]
    weight = 1 / np.bincount(labels)[labels]
    return float(-(weight * log_probability).sum() / weight.sum())


def _indices(codes: np.ndarray) -> np.ndarray:
    """Each column as indices of its distinct values, int64."""
    return np.stack([np.unique(column, return_inverse=True)[1] for column in codes.T], axis=1)


def _one_hot(values: np.ndarray) -> np.ndarray:
    return np.hstack([np.eye(column.max() + 1)[column] for column in values.T])
