"""What a user's file may hold in place of codes and factors: a judge's outputs, or vectors with their speakers.

``probs_generated`` with ``labels`` or ``probs_real`` is scored by `judge`, ``embeddings`` with ``speakers`` by `eer`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from metrics import scoring
from metrics.judge import check_labels, check_probabilities
from metrics.verification import check_embeddings

MAIN = {"probs_generated": "judge", "embeddings": "eer"}
"""What makes such a file, and the metric that reads it where none is named."""
BESIDE = ("labels", "probs_real", "speakers")
KEYS = (*MAIN, *BESIDE)
HOW = "np.savez('judged.npz', probs_generated=probs, labels=labels)"


def keys_among(keys: Collection[str]) -> tuple[str, ...]:
    """The keys that are read of a file with these: none unless one of ``MAIN`` is there."""
    return tuple(key for key in KEYS if key in keys) if MAIN.keys() & set(keys) else ()


def checked(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays in one form, each as the metrics take it.

    Raises:
        BadEvidence: one line that begins with the array's name.
    """
    found = dict(arrays)
    codes = sorted(found.keys() - set(KEYS))
    if codes:
        raise scoring.BadEvidence(f"{codes[0]}: {_main(found)} is scored by itself; give codes and factors a file each")
    try:
        if "probs_generated" in found:
            found |= _judged(found)
        if "embeddings" in found:
            if "speakers" not in found:
                raise ValueError("embeddings: wanted speakers beside them, one whole number per row")
            check_embeddings(found["embeddings"], found["speakers"])
            found["speakers"] = found["speakers"].reshape(-1)
    except ValueError as error:
        raise scoring.BadEvidence(str(error)) from None
    return found


def _judged(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    probs = check_probabilities("probs_generated", arrays["probs_generated"])
    found = {"probs_generated": probs}
    if "labels" in arrays:
        found["labels"] = check_labels("labels", arrays["labels"], probs)
    if "probs_real" in arrays:
        found["probs_real"] = check_probabilities("probs_real", arrays["probs_real"])
        if found["probs_real"].shape != probs.shape:
            raise ValueError(
                f"probs_real: one row per row of probs_generated, {probs.shape}, got {found['probs_real'].shape}"
            )
    if len(found) == 1:
        raise ValueError(f"probs_generated: wanted labels, or probs_real, beside them, as {HOW} writes them")
    return found


def default_metrics(arrays: Collection[str]) -> list[str]:
    """Metrics that score these arrays."""
    return [metric for key, metric in MAIN.items() if key in arrays]


def described(arrays: Mapping[str, np.ndarray]) -> str:
    """What was scored, for the head of a table; the empty string for codes and factors."""
    texts = []
    if "probs_generated" in arrays:
        n, n_classes = arrays["probs_generated"].shape
        texts.append(f"{n:,} generated sequences judged, {n_classes} classes")
    if "embeddings" in arrays:
        n, size = arrays["embeddings"].shape
        texts.append(f"{n:,} vectors of {size} numbers, {len(np.unique(arrays['speakers']))} speakers")
    return "; ".join(texts)


def _main(arrays: Collection[str]) -> str:
    return next(key for key in MAIN if key in arrays)
