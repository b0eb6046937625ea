"""What a row holds: an empty one to fill, and every reason not to believe one that was made elsewhere.

Nothing that a row says is executed or opened; its names are compared with those registered here.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from bench import provenance, registry
from bench.datasets.base import SourceKind
from bench.registry import UsageError
from bench.spec import BUDGETS, SCHEMA_VERSION, RunSpec
from bench.store import row_problem
from metrics.protocols import protocol_named
from metrics.registry import UnknownMetric, key, metric

VIEWS = ("images", "pairs", "sequences", "transformations")
PRECISIONS = ("float32", "bfloat16")
# what a row of codes that were made elsewhere has in place of a training's settings
CODES_SOURCE, CODES_BUDGET, CODES_VIEW, CODES_PRECISION = "user", "none", "codes", "unknown"

FOLDER_NAME = r"[A-Za-z0-9][A-Za-z0-9._=+-]{0,79}"  # what a method or data set may be called in a path
_ROUNDING = 1e-6  # rows keep eight digits, and sums of probabilities end a little above 1


def empty_row(spec: RunSpec, status: str, reason: str | None) -> dict[str, Any]:
    """A row without numbers."""
    return {
        "schema": SCHEMA_VERSION, "suite": provenance.versions()["bench"], "hash": spec.hash, "spec": spec.to_dict(),
        "status": status, "reason": reason, "metrics": {}, "scored": {}, "details": {},
        "training": {"n_steps": 0, "n_parameters": 0, "curve": {"step": []}, "scores": []},
        "cost": {"seconds": {}}, "provenance": {},
    }  # fmt: skip


def metric_id_of(result_key: str) -> str:
    """``dci[gbt]/disentanglement@slowvae2021`` → ``dci[gbt]``."""
    plain = result_key.split("@")[0]
    start = plain.find("/", plain.find("]") + 1)
    return plain if start < 0 else plain[:start]


def is_of_codes(spec: Mapping[str, Any]) -> bool:
    """Whether a row is of scored codes (``bench score --save``) rather than of a run."""
    return (spec["source"], spec["budget"], spec["view"]) == (CODES_SOURCE, CODES_BUDGET, CODES_VIEW)


def objection(row: Any) -> str:
    """Why a row from elsewhere is not to be taken, in one line; the empty string where nothing is wrong with it.

    Looks at the schema, the spec's hash, every name, every number's type and bounds, and what reports read.
    """
    # numbers first: a hash cannot be made of all of them
    return _unstorable(row) or row_problem(row) or next(_objections(row), "")


def _objections(row: Mapping[str, Any]) -> Iterator[str]:
    yield from _in_spec(row["spec"])
    yield from _in_names(row["spec"])
    yield from _in_status(row)
    yield from _in_metrics(row)
    yield from _in_details(row["details"])
    yield from _in_training(row["training"])
    yield from _in_cost(row)


def _unstorable(row: Any) -> str:
    """Numbers and text that a file cannot hold, anywhere in it; without recursion, as files may nest deeply."""
    left = [row]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            left += [*value.keys(), *value.values()]
        elif isinstance(value, list):
            left += value
        elif isinstance(value, str):
            if not _is_unicode(value):
                return f"it holds text that is no Unicode, {_short(value)}"
        elif isinstance(value, float) and not math.isfinite(value):
            return f"it holds the number {value}; rows hold finite numbers or null"
        elif isinstance(value, int) and abs(value) >= 2**63:
            return "it holds a whole number of more than 63 bits"
    return ""


def _in_spec(spec: Mapping[str, Any]) -> Iterator[str]:
    """Types and vocabulary of the spec's fields."""
    for field in dataclasses.fields(RunSpec):
        value = spec.get(field.name, field.default)
        kind = {"str": str, "int": int}.get(str(field.type), dict)
        if not isinstance(value, kind) or isinstance(value, bool):
            yield f"spec: {field.name} is {_short(value)}, not a {kind.__name__}"
    for name in ("seed", "threads", "score_every"):
        least = 1 if name == "threads" else 0
        if spec.get(name, 0) < least:
            yield f"spec: {name} is {spec[name]}; it is at least {least}"
    for name in ("method", "dataset"):
        if not re.fullmatch(FOLDER_NAME, spec[name]):
            yield f"spec: {name} {_short(spec[name])} cannot be a folder's name"
    for name in ("method_params", "dataset_params"):
        for parameter, value in spec[name].items():
            if not all(_is_scalar(one) for one in (value if isinstance(value, list) else [value])):
                yield f"spec: {name} {_short(parameter)} is neither a value nor a list of values"
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
            yield f"spec: {name} is one of {', '.join(known)}; got {_short(spec[name])}"
    for kind, find in (("method", registry.method), ("dataset", registry.dataset)):
        try:
            entry = find(spec[kind])
        except UsageError as error:
            yield f"{error} Install the package that registers it to take its rows."
            return
        known = tuple(field.name for field in dataclasses.fields(entry.config))
        for parameter in spec[f"{kind}_params"]:
            if parameter not in known:
                yield f"{spec[kind]} has no parameter {_short(parameter)} here; it has {', '.join(known)}"


def _in_status(row: Mapping[str, Any]) -> Iterator[str]:
    reason = row.get("reason")
    if row["status"] == "done":
        if reason is not None and not isinstance(reason, str):
            yield "its reason is neither text nor null"
    elif not isinstance(reason, str) or not reason:
        yield f"status {row['status']} without a reason"
    elif row["metrics"] or row["scored"]:
        yield f"status {row['status']} with scores"
    if not isinstance(row.get("traceback", ""), str):
        yield "its traceback is not text"
    if not _is_count(row.get("dataset_version", 1)):
        yield "its dataset_version is not a whole number"
    codes = row.get("codes")
    if is_of_codes(row["spec"]):
        if not isinstance(codes, dict) or not isinstance(codes.get("fingerprint"), str):
            yield "a row of codes without their fingerprint"
    elif codes is not None:
        yield "a run's row with the fingerprint of a user's codes"


def _in_metrics(row: Mapping[str, Any]) -> Iterator[str]:
    for metric_id, version in row["scored"].items():
        if not _is_count(version):
            yield f"scored: the version of {_short(metric_id)} is {_short(version)}"
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


def _in_metric(result_key: str, entry: Any, scored: Mapping[str, Any], protocol: str) -> Iterator[str]:
    """One stored number against its card."""
    try:
        one = metric(metric_id_of(result_key))
    except UnknownMetric as error:
        yield f"{error} Install the package that registers it to take its rows."
        return
    outputs = {key(one.id, suffix, protocol): output for suffix, output in one.outputs.items()}
    if result_key not in outputs:
        yield f"metrics: {_short(result_key)} is not a number of {one.id} in protocol {protocol}"
        return
    if not isinstance(entry, dict) or not {"value", "reason", "version", "protocol"} <= set(entry):
        yield f"metrics: {result_key} lacks one of value, reason, version, protocol"
        return
    if entry["protocol"] != protocol:
        yield f"metrics: {result_key} is of protocol {_short(entry['protocol'])}, the run of {protocol}"
    if not _is_count(entry["version"]) or scored.get(one.id) != entry["version"]:
        yield f"metrics: {result_key} has version {_short(entry['version'])}, 'scored' {_short(scored.get(one.id))}"
    elif entry["version"] > one.card.version:
        yield f"metrics: {result_key} has version {entry['version']}, this bench {one.card.version}; update it"
    value, (low, high) = entry["value"], outputs[result_key].bounds
    if value is None:
        if not isinstance(entry["reason"], str) or not entry["reason"]:
            yield f"metrics: {result_key} has neither a value nor a reason"
    elif not _is_number(value):
        yield f"metrics: {result_key} is {_short(value)}, not a number"
    elif (low is not None and value < low - _ROUNDING) or (high is not None and value > high + _ROUNDING):
        ends = f"[{'−∞' if low is None else low:}, {'∞' if high is None else high:}]"
        yield f"metrics: {result_key} is {value}, outside {ends}"


def _in_details(details: Mapping[str, Any]) -> Iterator[str]:
    """The matrices that figures are drawn from."""
    for metric_id, one in details.items():
        where = f"details of {_short(metric_id)}"
        if not isinstance(one, dict):
            yield f"{where} are not a table of lists"
            return
        factors = one.get("factors", [])
        if not isinstance(factors, list) or not all(isinstance(name, str) for name in factors):
            yield f"{where}: factors are not a list of names"
        if "correlation" not in one:
            continue
        matrix, assignment = one["correlation"], one.get("assignment")
        if not _is_matrix(matrix) or not all(-_ROUNDING <= v <= 1 + _ROUNDING for line in matrix for v in line):
            yield f"{where}: correlation is not a matrix of numbers from 0 to 1"
            return
        fits = isinstance(assignment, list) and len(assignment) == len(matrix) and len(factors) in (0, len(matrix))
        given = [j for j in assignment if j is not None] if isinstance(assignment, list) else []
        fits = fits and all(_is_count(j, 0) and j < len(matrix[0]) for j in given)
        if not fits or len(set(given)) < len(given):
            yield f"{where}: assignment or factors do not fit the correlations"


def _in_training(training: Mapping[str, Any]) -> Iterator[str]:
    for name in ("n_steps", "n_parameters"):
        if not _is_count(training.get(name), 0):
            yield f"training: {name} is {_short(training.get(name))}, not a whole number"
    curve, scores = training.get("curve"), training.get("scores")
    if not isinstance(curve, dict) or not all(map(_is_list_of_numbers, curve.values())):
        yield "training: the curve is not a table of lists of numbers"
        return
    if curve and (len({len(one) for one in curve.values()}) > 1 or "step" not in curve or None in curve["step"]):
        yield "training: the curve's lists differ in length, or have no steps"
    if not isinstance(scores, list) or not all(_is_score(one) for one in scores):
        yield "training: scores on the way are not a list of steps and numbers"


def _in_cost(row: Mapping[str, Any]) -> Iterator[str]:
    """Cost and provenance: what tables print and estimates divide by."""
    cost = dict(row["cost"])
    seconds = cost.pop("seconds", {})
    if not isinstance(seconds, dict) or not all(_is_number(v) and v >= 0 for v in seconds.values()):
        yield "cost: seconds are not a table of numbers ≥ 0"
    if not isinstance(cost.pop("device", ""), str):
        yield "cost: the device is not text"
    for name in ("frames_per_second", "peak_memory_mb", "waiting_for_data"):
        if not (cost.get(name) is None or _is_number(cost[name])):
            yield f"cost: {name} is {_short(cost[name])}, not a number"
    made = row["provenance"]
    for name, kind in (("versions", dict), ("hardware", dict), ("scored_again", dict), ("git_commit", str),
                       ("started", str), ("finished", str)):  # fmt: skip
        if name in made and not isinstance(made[name], kind):
            yield f"provenance: {name} is {_short(made[name])}, not a {kind.__name__}"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False  # half a surrogate pair, which JSON can spell
    return True


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_count(value: Any, least: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, (str, int, float, bool))


def _is_list_of_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(v is None or _is_number(v) for v in value)


def _is_matrix(value: Any) -> bool:
    if not isinstance(value, list) or not value or not all(isinstance(line, list) and line for line in value):
        return False
    return len({len(line) for line in value}) == 1 and all(_is_number(v) for line in value for v in line)


def _is_score(value: Any) -> bool:
    if not isinstance(value, dict) or not _is_number(value.get("step")) or not isinstance(value.get("metrics"), dict):
        return False
    return all(v is None or _is_number(v) for v in value["metrics"].values())


def _short(value: Any) -> str:
    """A value of a stranger's file for a message: short, on one line, nothing that moves a cursor."""
    return ascii(value)[:60]
