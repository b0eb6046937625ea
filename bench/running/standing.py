"""What is asked of a run beyond its spec, and whether a stored row already answers it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bench import registry
from bench.evidence.gathering import has_codes
from bench.opening import Folders, describe_data
from bench.running import metric_choice
from bench.running.kept_codes import kept_codes
from bench.spec import RunSpec
from bench.store import Store


@dataclass(frozen=True)
class Options:
    """What a worker must know that is not part of a run's identity.

    Attributes:
        devices: devices to share among workers; each worker claims one.
        metrics: metric ids to score, None for the protocol's own list.
        checkpoint_seconds: wall time between checkpoints.
        retry_before: run again what was stored as failed or diverged before this moment (ISO 8601), "" for nothing.
        timeout: seconds that a run may take in one process, 0 for as long as it likes.
    """

    folders: Folders
    devices: tuple[str, ...] = ("cpu",)
    metrics: tuple[str, ...] | None = None
    checkpoint_seconds: float = 20.0
    retry_before: str = ""
    timeout: float = 0.0


def is_stale(row: dict[str, Any], spec: RunSpec) -> bool:
    """The data set's code produced other data when this row was made."""
    return row["status"] == "done" and row.get("dataset_version", 1) != registry.dataset(spec.dataset).card.version


def is_done(row: dict[str, Any], spec: RunSpec, options: Options) -> bool:
    """Nothing is left to do for this row: failed counts as done unless a retry was asked for.

    Skipped does not: the run was refused with other metrics, or by an older version, and is asked for now.
    """
    if row["status"] in ("failed", "diverged"):
        return not row.get("provenance", {}).get("finished", "") < options.retry_before
    if is_stale(row, spec):
        return False
    method, info = registry.method(spec.method).target, describe_data(spec)
    if row["status"] != "done" or metric_choice.missing(row, options.metrics, spec.protocol, method, info):
        return False
    return has_kept(spec, options)


def has_kept(spec: RunSpec, options: Options) -> bool:
    """What metrics of several runs read of this one is in the store; True where none is asked for."""
    if not metric_choice.of_scope(metric_choice.wanted(options.metrics, spec.protocol), "cell"):
        return True
    if not has_codes(registry.method(spec.method).target):
        return True
    return kept_codes(Store(options.folders.results).artifacts(spec.hash) / "codes.h5", 1) is not None
