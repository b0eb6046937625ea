"""What one run is: a frozen, hashable description with every value resolved."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from bench.datasets.base import canonical_json

SCHEMA_VERSION = 1
BUDGETS = ("smoke", "quick", "standard", "paper")


@dataclass(frozen=True)
class RunSpec:
    """One training: method and data set with all parameters, budget, seed, and how the numbers are made.

    Attributes:
        source, fingerprint: where the data came from (see ``bench.datasets.base.Source``).
        precision: "float32" or "bfloat16" (autocast; loss terms and codes are float32 in both).
        threads: torch threads of the worker; results are bit-equal only at equal counts.
        score_every: steps between scores during training, 0 for the end only.
    """

    method: str
    method_params: Mapping[str, Any]
    dataset: str
    dataset_params: Mapping[str, Any]
    source: str
    fingerprint: str
    view: str
    budget: str
    seed: int
    protocol: str
    precision: str
    threads: int
    score_every: int = 0
    schema: int = SCHEMA_VERSION

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RunSpec:
        return cls(**values)

    @property
    def hash(self) -> str:
        """16 hex digits over all fields; library versions are not part of it."""
        return hashlib.sha256(canonical_json(self.to_dict()).encode()).hexdigest()[:16]

    @property
    def dataset_id(self) -> str:
        """Identity of the data for random streams and caches: name, parameters, source."""
        return canonical_json([self.dataset, self.dataset_params, self.source, self.fingerprint])

    @property
    def label(self) -> str:
        """``method on data set, seed 0`` for messages."""
        return f"{self.method} on {self.dataset}, seed {self.seed}"
