"""The largest code, as a metric."""

from __future__ import annotations

import numpy as np

from metrics.registry import MetricCard, Output, register_metric


@register_metric(
    "toy_largest",
    card=MetricCard(
        title="Largest code", summary="The largest absolute code.", paper="none", source="none", needs=("codes",),
        variants={"": {}}, outputs={"": Output(bounds=(0.0, None))}, blind_to="everything", cost="none",
        verified="by its own test", factors=None,
    ),
)  # fmt: skip
def toy_largest(codes: np.ndarray) -> dict[str, float]:
    return {"toy_largest": float(np.abs(codes).max())}
