"""Reconstruction error: the one number of a generative model that needs no likelihood to compare."""

from __future__ import annotations

import numpy as np

from metrics.registry import MetricCard, Output, register_metric


@register_metric(
    "reconstruction",
    card=MetricCard(
        title="Reconstruction",
        summary="Mean squared error per pixel between observations in [0, 1] and their reconstructions.",
        paper="",
        source="mean over observations, channels and pixels of (x − x̂)²",
        needs=("observations", "reconstructions"),
        factors=None,
        variants={"mse": {}},
        defaults=("mse",),
        outputs={
            "": Output(
                bounds=(0.0, None),
                higher_is_better=False,
                ceiling=0.0,
                note="the error of the mean image is the variance of a pixel, so it depends on the data set",
            )
        },
        blind_to="everything about the code's axes; small objects weigh as little as their pixels",
        cost="one decoder pass",
        verified="closed form",
    ),
)
def reconstruction(observations: np.ndarray, reconstructions: np.ndarray) -> dict[str, float]:
    """Mean squared error per number of the observations.

    Args:
        observations: (n, …) in [0, 1].
        reconstructions: same shape and unit.

    Returns:
        "reconstruction" ≥ 0; lower is better.

    Raises:
        ValueError: shapes differ, or there is nothing to compare.
    """
    if observations.shape != reconstructions.shape or not observations.size:
        raise ValueError(
            f"reconstruction: one reconstruction per observation, got observations {observations.shape} and "
            f"reconstructions {reconstructions.shape}"
        )
    total = 0.0
    for start in range(0, len(observations), 256):  # float64 copies of a few images at a time
        x = np.asarray(observations[start : start + 256], np.float64)
        total += float(np.square(x - reconstructions[start : start + 256]).sum())
    return {"reconstruction": total / observations.size}
