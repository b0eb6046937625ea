"""Which metrics a run is scored with, and which of them a stored row still lacks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from metrics.protocols import protocol_named
from metrics.registry import PARTS, metric, metric_ids, resolve

if TYPE_CHECKING:
    from bench.api import Method
    from bench.datasets.base import DataInfo

OF_PARTS = {"mcc[spearman]": 1, "mig[hist20]": 1, "dci[gbt]": 2}
"""What each part of a code is scored with where no metrics are named, and how many factors that takes."""

OF_TRANSFORMATIONS = ("equivariance_error",)
OF_CAPSULES = ("tvae_equivariance", "capcorr")
OF_SEQUENCES = ("swap", "verification", "content_probe@dynamic")
"""Scored, where no metrics are named, if method and data offer what they read."""


def wanted(
    asked: Sequence[str] | None, protocol: str, method: type[Method] | None = None, info: DataInfo | None = None
) -> list[str]:
    """Full ids of the metrics asked for, or of the protocol's own set; raises ``metrics.registry.UnknownMetric``.

    Args:
        method, info: what is scored, on which data: parts of its code, how it moves, swaps and verification are scored,
            too, where no metrics are named.
    """
    if asked is not None:
        return [one.id for one in resolve(asked)]
    own = protocol_named(protocol).metrics
    further = [*_of_parts(method, info), *_of_moves(method, info), *_of_sequences(method, info)]
    return [one.id for one in resolve([*own, *further])]


def _of_parts(method: type[Method] | None, info: DataInfo | None) -> list[str]:
    """For each part of a code, what compares it with factors, where the data has enough factors of the part's kind."""
    if method is None or info is None:
        return []
    from bench.evidence.part_evidence import scored_factors

    n_factors = {part: sum(scored_factors(part, info)) for part in parts_of(method)}
    return [f"{one}@{part}" for part, n in n_factors.items() for one, n_least in OF_PARTS.items() if n >= n_least]


def _of_moves(method: type[Method] | None, info: DataInfo | None) -> tuple[str, ...]:
    """What every method that some rule moves is scored with on data whose transformations are known, and capsules."""
    moves: tuple[str, ...] = ()
    if method is not None and info is not None and info.transformations:
        from bench.evidence.traversal_rule import can_move

        moves = OF_TRANSFORMATIONS if can_move(method, info) else ()
    return moves + (OF_CAPSULES if "capsules" in parts_of(method) else ())


def _of_sequences(method: type[Method] | None, info: DataInfo | None) -> list[str]:
    if method is None or info is None or method.card.view != "sequences":
        return []
    from bench.evidence.gathering import available

    names = available(method, info)
    # the probe stands beside verification: elsewhere judged factors tell what a dynamic code holds
    asked = [name for name in OF_SEQUENCES if name != "content_probe@dynamic" or info.identity]
    ids = [one.id for one in resolve(asked) if all(one.evidence(need) in names for need in one.needs)]
    return [one for one in ids if one.partition("[")[0] != "swap" or _is_judged(one, method, info)]


def _is_judged(swap: str, method: type[Method], info: DataInfo) -> bool:
    """Whether the judge knows a factor of the side that is kept, and there are codes to exchange."""
    dynamic = dict(zip(info.factors.names, info.factors.dynamic, strict=True))
    is_kept = any(dynamic[name] == ("dynamic" in swap) for name in info.judged)
    return is_kept and ("swapped" not in swap or hasattr(method, "parts"))


def parts_of(method: type[Method] | None) -> tuple[str, ...]:
    """Names of the parts that a method's code has."""
    return method.part_names if method is not None and hasattr(method, "parts") else ()


def of_scope(ids: Iterable[str], scope: Literal["run", "cell"]) -> list[str]:
    """Those of the registered ids that are computed of one run ("run"), or of all seeds of a setting ("cell")."""
    known = set(metric_ids())

    def is_known(one: str) -> bool:
        plain, _, part = one.partition("@")
        return plain in known and part in ("", *PARTS)

    return [one for one in ids if is_known(one) and metric(one).card.scope == scope]


def version(metric_id: str) -> int:
    """The version of a metric's card; a row scored with another one is scored again."""
    return metric(metric_id).card.version


def needs(ids: Sequence[str], available: Collection[str]) -> set[str]:
    """Names of the evidence that these metrics read; of alternatives, the first that is available."""
    found = set()
    for metric_id in ids:
        one = metric(metric_id)
        for need in one.needs:
            found.add(next(name for name in map(one.evidence, need.split("|")) if name in available))
    return found


def missing(
    row: Mapping[str, Any],
    asked: Sequence[str] | None,
    protocol: str,
    method: type[Method] | None = None,
    info: DataInfo | None = None,
) -> list[str]:
    """Metric ids of one run that a row should hold and does not, or holds in an older version."""
    scored = row.get("scored", {})
    return [one for one in of_scope(wanted(asked, protocol, method, info), "run") if scored.get(one) != version(one)]
