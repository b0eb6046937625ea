"""Which metrics a run is scored with, and which of them a stored row still lacks."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from metrics.protocols import protocol_named
from metrics.registry import metric, resolve


def wanted(asked: Sequence[str] | None, protocol: str) -> list[str]:
    """Full ids of the metrics asked for, or of the protocol's own set; raises ``metrics.registry.UnknownMetric``."""
    own = protocol_named(protocol).metrics
    return [one.id for one in resolve(own if asked is None else asked)]


def version(metric_id: str) -> int:
    """The version of a metric's card; a row scored with another one is scored again."""
    return metric(metric_id).card.version


def needs(ids: Sequence[str], available: Collection[str]) -> set[str]:
    """Names of the evidence that these metrics read; of alternatives, the first that is available."""
    found = set()
    for metric_id in ids:
        for need in metric(metric_id).needs:
            found.add(next(name for name in need.split("|") if name in available))
    return found


def missing(row: Mapping[str, Any], asked: Sequence[str] | None, protocol: str) -> list[str]:
    """Metric ids that a row should hold and does not, or holds in an older version."""
    scored = row.get("scored", {})
    return [one for one in wanted(asked, protocol) if scored.get(one) != version(one)]
