"""Which metrics a run is scored with, and which of them a stored row still lacks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal

from metrics.protocols import protocol_named
from metrics.registry import metric, metric_ids, resolve


def wanted(asked: Sequence[str] | None, protocol: str) -> list[str]:
    """Full ids of the metrics asked for, or of the protocol's own set; raises ``metrics.registry.UnknownMetric``."""
    own = protocol_named(protocol).metrics
    return [one.id for one in resolve(own if asked is None else asked)]


def of_scope(ids: Iterable[str], scope: Literal["run", "cell"]) -> list[str]:
    """Those of the registered ids that are computed of one run ("run"), or of all seeds of a setting ("cell")."""
    known = set(metric_ids())
    return [one for one in ids if one in known and metric(one).card.scope == scope]


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
    """Metric ids of one run that a row should hold and does not, or holds in an older version."""
    scored = row.get("scored", {})
    return [one for one in of_scope(wanted(asked, protocol), "run") if scored.get(one) != version(one)]
