"""What a row holds: an empty one to fill, and every reason not to believe one that was made elsewhere.

Nothing that a row says is executed or opened; its names are compared with those registered here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from bench import provenance, registry
from bench.datasets.base import SourceKind
from bench.registry import UsageError
from bench.row_shape import ROUNDING, shown
from bench.spec import BUDGETS, SCHEMA_VERSION, RunSpec
from bench.store import row_problem
from metrics.protocols import protocol_named
from metrics.registry import UnknownMetric, key, metric, split_key

VIEWS = ("images", "pairs", "sequences", "transformations")
PRECISIONS = ("float32", "bfloat16")
# what a row of codes that were made elsewhere has in place of a training's settings
CODES_SOURCE, CODES_BUDGET, CODES_VIEW, CODES_PRECISION = "user", "none", "codes", "unknown"


def empty_row(spec: RunSpec, status: str, reason: str | None) -> dict[str, Any]:
    """A row without numbers."""
    return {
        "schema": SCHEMA_VERSION, "suite": provenance.versions()["bench"], "hash": spec.hash, "spec": spec.to_dict(),
        "status": status, "reason": reason, "metrics": {}, "scored": {}, "details": {},
        "training": {"n_steps": 0, "n_parameters": 0, "curve": {"step": []}, "scores": []},
        "cost": {"seconds": {}}, "provenance": {},
    }  # fmt: skip


def metric_id_of(result_key: str) -> str:
    """``dci[gbt]/disentanglement@static@slowvae2021`` → ``dci[gbt]@static``."""
    return split_key(result_key)[0]


def is_of_codes(spec: Mapping[str, Any]) -> bool:
    """Whether a row is of scored codes (``bench score --save``) rather than of a run."""
    return (spec["source"], spec["budget"], spec["view"]) == (CODES_SOURCE, CODES_BUDGET, CODES_VIEW)


def objection(row: Any) -> str:
    """Why a row from elsewhere is not to be taken, in one line; the empty string where nothing is wrong with it.

    Looks at the schema, the spec's hash, every name, every number's type and bounds, and what reports read.
    """
    return row_problem(row) or next(_objections(row), "")


def _objections(row: Mapping[str, Any]) -> Iterator[str]:
    yield from _in_protocol(row["spec"])
    yield from _in_names(row["spec"])
    yield from _in_status(row)
    yield from _in_metrics(row)


def _in_protocol(spec: Mapping[str, Any]) -> Iterator[str]:
    try:
        protocol_named(spec["protocol"])
    except UnknownMetric as error:
        yield f"spec: {error}"


def _in_names(spec: Mapping[str, Any]) -> Iterator[str]:
    """Names and settings against what is registered; codes of a user may be called anything."""
    if is_of_codes(spec):
        return
    for name, known in (
        ("budget", BUDGETS), ("source", get_args(SourceKind)), ("view", VIEWS), ("precision", PRECISIONS),
    ):  # fmt: skip
        if spec[name] not in known:
            yield f"spec: {name} is one of {', '.join(known)}; got {shown(spec[name])}"
    for kind, find in (("method", registry.method), ("dataset", registry.dataset)):
        try:
            entry = find(spec[kind])
        except UsageError as error:
            yield f"{error} Install the package that registers it to take its rows."
            return
        known = tuple(field.name for field in dataclasses.fields(entry.config))
        for parameter in spec[f"{kind}_params"]:
            if parameter not in known:
                yield f"{spec[kind]} has no parameter {shown(parameter)} here; it has {', '.join(known)}"


def _in_status(row: Mapping[str, Any]) -> Iterator[str]:
    reason = row.get("reason")
    if row["status"] != "done":
        if not reason:
            yield f"status {row['status']} without a reason"
        elif row["metrics"] or row["scored"]:
            yield f"status {row['status']} with scores"
    codes = row.get("codes")
    if is_of_codes(row["spec"]):
        if codes is None or not isinstance(codes.get("fingerprint"), str):
            yield "a row of codes without their fingerprint"
    elif codes is not None:
        yield "a run's row with the fingerprint of a user's codes"


def _in_metrics(row: Mapping[str, Any]) -> Iterator[str]:
    protocol = row["spec"]["protocol"]
    for result_key, entry in row["metrics"].items():
        yield from _in_metric(result_key, entry, row["scored"], protocol)
    for metric_id, version in row["scored"].items():
        try:
            one = metric(metric_id)
        except UnknownMetric as error:
            yield f"{error} Install the package that registers it to take its rows."
            return
        missing = set(one.keys(protocol)) - set(row["metrics"])
        if missing and version == one.card.version:
            yield f"scored: {metric_id} without its number {min(missing)}"


def _in_metric(result_key: str, entry: Mapping[str, Any], scored: Mapping[str, Any], protocol: str) -> Iterator[str]:
    """One stored number against its card."""
    try:
        one = metric(metric_id_of(result_key))
    except UnknownMetric as error:
        yield f"{error} Install the package that registers it to take its rows."
        return
    outputs = {key(one.id, suffix, protocol): output for suffix, output in one.outputs.items()}
    if result_key not in outputs:
        yield f"metrics: {shown(result_key)} is not a number of {one.id} in protocol {protocol}"
        return
    if not {"reason", "protocol"} <= set(entry):
        yield f"metrics: {result_key} lacks its reason or protocol"
        return
    if entry["protocol"] != protocol:
        yield f"metrics: {result_key} is of protocol {shown(entry['protocol'])}, the run of {protocol}"
    if scored.get(one.id) != entry["version"]:
        yield f"metrics: {result_key} has version {shown(entry['version'])}, 'scored' {shown(scored.get(one.id))}"
    elif entry["version"] > one.card.version:
        yield f"metrics: {result_key} has version {entry['version']}, this bench {one.card.version}; update it"
    value, (low, high) = entry["value"], outputs[result_key].bounds
    if value is None:
        if not entry["reason"]:
            yield f"metrics: {result_key} has neither a value nor a reason"
    elif (low is not None and value < low - ROUNDING) or (high is not None and value > high + ROUNDING):
        ends = f"[{'−∞' if low is None else low:}, {'∞' if high is None else high:}]"
        yield f"metrics: {result_key} is {value}, outside {ends}"
