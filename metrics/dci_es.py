"""DCI-ES (Eastwood et al., ICLR 2023): DCI with explicitness, from loss-capacity curves, and size.

Source: andreinicolicioiu/DCI-ES ``metrics/explitcitness.py``, ``src/loss_capacity/train_model_random_forest.py`` and
``src/simple_gather.py``, for random forests: 100 trees, capacity is their depth. Here each forest is grown once and cut
at every depth (see ``forests``), so all capacities cost one fit.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from metrics.arrays import check_rows, check_varies
from metrics.dci import completeness, disentanglement
from metrics.registry import MetricCard, Output, register_metric

DEPTHS = (1, 2, 3, 4, 8, 10, 12, 14, 16, 18, 20, 32)
N_TREES = 100
_OFFERED = "a split is offered √d latents and takes one of them, so a perfect code does not reach 1"


def dci_es_with_details(
    codes: np.ndarray,
    factors: np.ndarray,
    codes_test: np.ndarray,
    factors_test: np.ndarray,
    *,
    rng: np.random.Generator,
) -> tuple[dict[str, float], dict[str, Any]]:
    """The scores of ``dci_es``, the curves (n_factors × n_depths), and the depth that D and C were read at."""
    check_rows("dci_es", codes, factors, n_latents=2)
    check_rows("dci_es", codes_test, factors_test)
    check_varies("dci_es", factors)
    n_factors, n_latents = factors.shape[1], codes.shape[1]
    if n_factors < 2:
        raise ValueError("dci_es: disentanglement compares factors; needs at least two")
    losses, base = np.empty((n_factors, len(DEPTHS))), np.ones(n_factors)
    importance = np.empty((len(DEPTHS), n_latents, n_factors))
    for i in range(n_factors):
        losses[i], base[i], importance[:, :, i] = _curve(codes, factors[:, i], codes_test, factors_test[:, i], rng)
    best = int(losses.mean(0).argmin())
    explicit = [explicitness(np.array(DEPTHS), losses[i], base[i]) for i in range(n_factors)]
    scores = {
        "dci_es/disentanglement": disentanglement(importance[best]),
        "dci_es/completeness": completeness(importance[best]),
        "dci_es/informativeness": float(1 - losses[:, best].mean()),
        "dci_es/explicitness": float(np.mean(explicit)),
        "dci_es/size": n_factors / n_latents,
    }
    return scores, {
        "depths": list(DEPTHS), "losses": losses.tolist(), "explicitness": explicit,
        "depth": DEPTHS[best], "importance": importance[best].tolist(),
    }  # fmt: skip


@register_metric(
    "dci_es",
    card=MetricCard(
        title="DCI-ES",
        summary="DCI of a random forest, with explicitness (how little capacity the best prediction takes) and size.",
        paper="Eastwood, Nicolicioiu, von Kügelgen, Kekić, Träuble, Dittadi & Schölkopf, DCI-ES, ICLR 2023",
        source=(
            "andreinicolicioiu/DCI-ES: forests of 100 trees with depths 1 … 32; loss is 1 - accuracy (integer factors) "
            "or 1 - R² (float ones) on test rows; D, C and I at the depth with the best mean. The area is taken above "
            "the curve's own minimum"
        ),
        needs=("codes", "factors", "codes_test", "factors_test"),
        factors="any",
        variants={"forest": {}},
        defaults=("forest",),
        outputs={
            "/disentanglement": Output(floor=0.005, ceiling=0.72, note=_OFFERED),
            "/completeness": Output(floor=0.004, ceiling=0.72, note=_OFFERED),
            "/informativeness": Output(bounds=(None, 1.0), floor=0.12, ceiling=0.915),
            "/explicitness": Output(bounds=(None, 1.0), ceiling=0.92, note="noise: 1, for its curve is flat"),
            "/size": Output(bounds=(0.0, None), note="factors / latents; as the paper is remembered, not in its code"),
        },
        blind_to=(
            "explicitness alone: a useless code has a flat curve and scores 1, so read it beside informativeness; the "
            "depth is chosen on the rows that are scored"
        ),
        cost="23 s for dSprites at 10,000 rows; one forest per factor",
        verified="hand-made curves; forests cut at a depth equal scikit-learn's trees grown to it",
        details=dci_es_with_details,
    ),
)
def dci_es(
    codes: np.ndarray,
    factors: np.ndarray,
    codes_test: np.ndarray,
    factors_test: np.ndarray,
    *,
    rng: np.random.Generator,
) -> dict[str, float]:
    """Disentanglement, completeness, informativeness, explicitness and size.

    Args:
        codes: (n, n_latents) the forests are fitted on.
        factors: (n, n_factors): integers are classes, floats are numbers.
        codes_test, factors_test: other rows, on which losses are measured.
        rng: bootstrap rows and the latents offered to splits.

    Returns:
        "dci_es/disentanglement", "/completeness" in [0, 1]; "/informativeness", "/explicitness" at most 1; "/size".

    Raises:
        ValueError: rows differ, fewer than two latents or factors, or a factor is constant.
    """
    return dci_es_with_details(codes, factors, codes_test, factors_test, rng=rng)[0]


def explicitness(capacity: np.ndarray, losses: np.ndarray, base: float) -> float:
    """1 − 2 · area of a loss-capacity curve above its least loss / (range of capacities · base).

    Args:
        capacity: (n,) ascending, on the axis of the curve.
        losses: (n,); each is replaced by the least so far.
        base: loss of a prediction that knows nothing.

    Returns:
        1 where the least loss takes the least capacity, 0 for a straight fall from ``base`` to 0, at most 1.
    """
    least = np.minimum.accumulate(losses)
    area = np.trapezoid(least - least[-1], capacity)
    return float(1 - 2 * area / ((capacity[-1] - capacity[0]) * base))


def _curve(
    codes: np.ndarray, factor: np.ndarray, codes_test: np.ndarray, factor_test: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, float, np.ndarray]:
    """Losses (n_depths,), the loss of knowing nothing, and importances (n_depths, n_latents), of one factor."""
    from metrics.forests import Forest

    if factor.dtype.kind in "iu":
        values, target = np.unique(factor, return_inverse=True)
        # scikit-learn's defaults differ: √d latents for classes, all of them for numbers
        forest = Forest(codes, target, depth=DEPTHS[-1], n_trees=N_TREES, max_features="sqrt", rng=rng)
        found = forest.predictions(codes_test, DEPTHS)
        losses = np.array([(values[one] != factor_test).mean() for one in found])
        base = 1 - 1 / len(values)
    else:
        forest = Forest(codes, factor, depth=DEPTHS[-1], n_trees=N_TREES, max_features=1.0, rng=rng)
        variance = factor_test.var()
        if variance == 0:
            raise ValueError("dci_es: a factor is constant in the test rows, so R² is undefined; give more rows")
        found = forest.predictions(codes_test, DEPTHS)
        losses = np.array([((one - factor_test) ** 2).mean() / variance for one in found])
        base = 1.0
    return losses, base, np.stack([forest.importances(depth) for depth in DEPTHS])
