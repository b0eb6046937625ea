"""Equal error rate: do two utterances look alike to a code if, and only if, one speaker said them?

Sources: C-DSVAE (Bai, Wang & Gomes, NeurIPS 2021), which leaves open which pairs; FHVAE (Hsu, Zhang & Glass, NeurIPS
2017) and DBSE (Berman et al., ICML 2024) for vectors of utterances and all their pairs (18,336 on TIMIT's test split).
DBSE bisects on a step function and reports the false acceptances alone; here the ROC is interpolated linearly where it
crosses the diagonal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from metrics.registry import MetricCard, Output, register_metric

_BLOCK = 1 << 20  # similarities at a time: 8 MB


@dataclass(frozen=True)
class Vectors:
    """What is verified.

    Attributes:
        codes: part of the code ("static", "dynamic") → vectors (n, size of the part).
        speakers: (n,) int, whose each row is.
    """

    codes: Mapping[str, np.ndarray]
    speakers: np.ndarray


def eer_with_details(embeddings: np.ndarray, speakers: np.ndarray) -> tuple[dict[str, float], dict[str, Any]]:
    """The score of ``eer``, and how many pairs of one speaker and of two speakers it is made of."""
    x, who = check_embeddings(embeddings, speakers)
    blocks = lambda: _pairs(x, who)  # noqa: E731
    own = np.sort(np.concatenate([scores[is_own] for scores, is_own in blocks()]))
    n_own, n_other = len(own), len(x) * (len(x) - 1) // 2 - len(own)
    if not n_own or not n_other:
        lacking = "two rows of one speaker" if not n_own else "rows of two speakers"
        raise ValueError(f"eer: wanted {lacking}, there are none in {len(x)} rows")
    thresholds, counts = np.unique(own, return_counts=True)
    accepted = np.zeros((2, len(thresholds)), np.int64)  # pairs of two speakers above each threshold, and from it on
    for scores, is_own in blocks():
        other = np.sort(scores[~is_own])
        accepted += len(other) - np.stack([np.searchsorted(other, thresholds, side) for side in ("right", "left")])

    # Corners of the ROC from the strictest threshold to the laxest. Only where pairs of both kinds have the very same
    # similarity is the line between two corners neither level nor steep.
    hits = np.cumsum(counts[::-1])
    false_alarms = np.concatenate([[0], accepted[:, ::-1].T.ravel(), [n_other]]) / n_other
    misses = 1 - np.concatenate([[0], np.stack([hits - counts[::-1], hits], 1).ravel(), [n_own]]) / n_own
    return {"eer": crossing(false_alarms, misses)}, {"n_pairs_same": n_own, "n_pairs_different": n_other}


@register_metric(
    "eer",
    card=MetricCard(
        title="EER",
        summary="Error rate of telling by the cosine of two vectors whether one speaker made both.",
        paper="Bai, Wang & Gomes, Contrastively Disentangled Sequential VAE, NeurIPS 2021, Section 4",
        source=(
            "all unordered pairs of rows, cosine similarity; the threshold that errs as often on pairs of one speaker "
            "as on pairs of two, the ROC interpolated linearly between its corners. No LDA, no score normalisation"
        ),
        needs=("embeddings", "speakers"),
        factors=None,
        variants={"": {}},
        outputs={
            "": Output(
                bounds=(0.0, 1.0), higher_is_better=False, floor=0.5, ceiling=0.0,
                note="of a code that shall name the speaker; of one that shall not, 0.5 is best",
            )
        },
        blind_to=(
            "what else the vectors hold; a constant vector has the perfect 0.5 of a code that says nothing of the "
            "speaker, so read `content_probe` beside it"
        ),
        cost="0.1 s for 192 utterances, 5 s for 3,000 segments",
        verified="scikit-learn's roc_curve on two golden cases to 1e-3; closed forms",
        details=eer_with_details,
    ),
)  # fmt: skip
def eer(embeddings: np.ndarray, speakers: np.ndarray) -> dict[str, float]:
    """Equal error rate of all unordered pairs of rows, by cosine similarity.

    Args:
        embeddings: (n, size), a vector per utterance or segment; a vector of zeros is like no other (cosine 0).
        speakers: (n,) int.

    Returns:
        "eer" in [0, 1]; 0.5 is chance.

    Raises:
        ValueError: shapes that do not fit, a number that is not finite, no two rows of one speaker or of two.
    """
    return eer_with_details(embeddings, speakers)[0]


def verification_with_details(
    vectors: Mapping[str, Vectors], *, level: str = "utterance"
) -> tuple[dict[str, float], dict[str, Any]]:
    """The scores of ``verification``, and the number of pairs."""
    if level not in vectors:
        raise ValueError(f"verification: no vectors of each {level}")
    given = vectors[level]
    found: dict[str, float] = {}
    details: dict[str, Any] = {}
    for part, codes in given.codes.items():
        value, details = eer_with_details(codes, given.speakers)
        found[f"verification/{part}_eer"] = value["eer"]
    if {"verification/static_eer", "verification/dynamic_eer"} <= found.keys():
        found["verification/gap"] = found["verification/dynamic_eer"] - found["verification/static_eer"]
    return found, details


@register_metric(
    "verification",
    card=MetricCard(
        title="Speaker verification",
        summary="EER of the static code, which shall know the speaker, and of the dynamic code, which shall not.",
        paper="Bai, Wang & Gomes, Contrastively Disentangled Sequential VAE, NeurIPS 2021, Table 4",
        source=(
            "posterior means of the test split. [utterance]: static code averaged over the segments of an utterance, "
            "dynamic code over segments and frames, all unordered pairs of utterances, as FHVAE and DBSE; [segment]: "
            "one vector per segment of 200 ms, all unordered pairs, those within an utterance too"
        ),
        needs=("vectors",),
        factors=None,
        variants={"utterance": {"level": "utterance"}, "segment": {"level": "segment"}},
        defaults=("utterance", "segment"),
        outputs={
            "/static_eer": Output(higher_is_better=False, floor=0.5, ceiling=0.0, note="needs a static code"),
            "/dynamic_eer": Output(floor=0.0, ceiling=0.5, note="chance is .5; needs a dynamic code"),
            "/gap": Output(bounds=(-1.0, 1.0), floor=0.0, ceiling=0.5, note="dynamic - static"),
        },
        blind_to=(
            "content: a dynamic code that collapsed has a dynamic EER of .5; read `content_probe` and the "
            "reconstruction error beside it"
        ),
        cost="0.2 s at utterances, 10 s for 3,000 segments",
        verified="as `eer`; number of pairs; closed forms",
        details=verification_with_details,
    ),
)
def verification(vectors: Mapping[str, Vectors], *, level: str = "utterance") -> dict[str, float]:
    """EER of the parts of a code.

    Args:
        vectors: "utterance" and "segment" → vectors of each.
        level: which of them.

    Returns:
        "verification/static_eer", "/dynamic_eer" in [0, 1], and "/gap", the second less the first.

    Raises:
        ValueError: no vectors of this level, or none of two speakers.
    """
    return verification_with_details(vectors, level=level)[0]


def crossing(false_alarms: np.ndarray, misses: np.ndarray) -> float:
    """Where a piecewise linear curve meets the diagonal.

    Args:
        false_alarms, misses: (n,) corners, the first rising from 0 to 1 and the second falling from 1 to 0.
    """
    above = false_alarms - misses
    last = int(np.argmax(above >= 0))
    first = last - 1
    share = -above[first] / (above[last] - above[first])
    return float(false_alarms[first] + share * (false_alarms[last] - false_alarms[first]))


def check_embeddings(embeddings: np.ndarray, speakers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of length 1 (n, size) float64, and speakers (n,) as int64.

    Raises:
        ValueError: shapes that do not fit, no integers, or a number that is not finite.
    """
    x, who = np.asarray(embeddings), np.asarray(speakers)
    if x.ndim != 2 or not x.size or x.dtype.kind not in "fiub":
        raise ValueError(f"embeddings: wanted (rows, size) numbers, got {x.dtype} {x.shape}")
    if who.ndim == 2 and who.shape[1] == 1:
        who = who[:, 0]
    if who.shape != x.shape[:1] or who.dtype.kind not in "iub":
        raise ValueError(
            f"speakers: wanted one whole number per row of embeddings, ({len(x)},), got {who.dtype} {who.shape}"
        )
    with np.errstate(over="ignore"):  # long doubles may not fit
        x = x.astype(np.float64)
    wrong = np.argwhere(~np.isfinite(x))
    if len(wrong):
        row, column = (int(i) for i in wrong[0])
        raise ValueError(f"embeddings: {x[row, column]} at row {row}, column {column}; every number is finite")
    x /= np.where((largest := np.abs(x).max(1, keepdims=True)) > 0, largest, 1.0)  # squares must not overflow
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(length > 0, length, 1.0), np.unique(who, return_inverse=True)[1].astype(np.int64)


def _pairs(x: np.ndarray, who: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Cosines of all unordered pairs of rows of x, block by block, and which of them are pairs of one speaker.

    In single precision, so that vectors that are equal but for rounding tie.
    """
    step = max(_BLOCK // len(x), 1)
    for start in range(0, len(x), step):
        rows = np.arange(start, min(start + step, len(x)))
        columns = np.arange(start, len(x))
        later = columns > rows[:, None]
        scores = (x[rows] @ x[columns].T).astype(np.float32)
        yield scores[later], (who[rows][:, None] == who[columns])[later]
