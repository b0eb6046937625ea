"""Evidence of verification: a vector for each test utterance, and for each of its segments, of each part of the code.

Static codes are averaged over the segments of an utterance, dynamic ones over segments and frames (FHVAE, DBSE);
posterior means throughout. A segment's dynamic vector is the mean over its frames.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from bench.api import Method
from bench.datasets.base import DataInfo
from bench.evidence.encoding import to_observations
from bench.evidence.swap_evidence import SIDES, chunk_size, codes_of, encoded_together, test_rows
from metrics.verification import Vectors

if TYPE_CHECKING:
    from bench.evidence.gathering import Evidence


def offers(method: type[Method], info: DataInfo) -> set[str]:
    """``vectors``, where the data says whose each sequence is and the code has both parts."""
    has_sides = hasattr(method, "parts") and set(SIDES) <= set(method.part_names)
    return {"vectors"} if info.identity and method.card.view == "sequences" and has_sides else set()


@torch.inference_mode()
def make(evidence: Evidence, name: str) -> dict[str, Vectors]:
    """Vectors of each "utterance" and of each "segment" of the test split."""
    method, data = evidence.method.eval(), evidence.data
    rows, size = test_rows(data), chunk_size(data.info)
    pieces: dict[str, list[np.ndarray]] = {side: [] for side in SIDES}
    together = encoded_together(method, len(rows), size)
    for places in together:
        codes = codes_of(method, to_observations(data.frames[rows[places]], evidence.device))
        pieces["static"].append(codes.static.cpu().numpy())
        pieces["dynamic"].append(codes.dynamic.mean(1).cpu().numpy())
    back = np.argsort(np.concatenate(together))
    segments = {side: np.concatenate(found)[back].astype(np.float64) for side, found in pieces.items()}
    column = data.info.factors.names.index(data.info.identity)
    speakers = np.asarray(data.factors[rows])[:, 0, column].astype(np.int64)
    return {"segment": Vectors(segments, speakers), "utterance": of_groups(segments, speakers, data.groups[rows])}


def of_groups(segments: dict[str, np.ndarray], speakers: np.ndarray, groups: np.ndarray) -> Vectors:
    """Means over the segments of each group, in the order of the groups' numbers.

    Raises:
        ValueError: a group of several speakers.
    """
    _, first, place, counts = np.unique(groups, return_index=True, return_inverse=True, return_counts=True)
    if (speakers != speakers[first][place]).any():
        raise ValueError("verification: an utterance has segments of several speakers")
    means = {}
    for side, codes in segments.items():
        sums = np.zeros((len(counts), codes.shape[1]))
        np.add.at(sums, place, codes)
        means[side] = sums / counts[:, None]
    return Vectors(means, speakers[first])
