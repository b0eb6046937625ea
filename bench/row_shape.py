"""The shape of a row: which types stand where, and which numbers and names no row can hold.

Every row is looked at in this way when it is read, so that what reads rows need not ask. Whether its names and numbers
are those of registered things is asked in ``bench.rows``, of rows from elsewhere.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from bench.registry import FOLDER_NAME
from bench.spec import RunSpec

MOST_DEPTH = 12  # of lists and tables in one another; rows that runs write have five
ROUNDING = 1e-6  # rows keep eight digits, and sums of probabilities end a little above 1


def unstorable(row: Any) -> str:
    """Why no row holds this value: its numbers, its text or its depth; the empty string where one may."""
    left = [(row, 0)]  # in place of recursion, since a file may nest deeper than Python does
    while left:
        value, depth = left.pop()
        if isinstance(value, dict):
            left += [(one, depth + 1) for one in (*value.keys(), *value.values())]
        elif isinstance(value, list):
            left += [(one, depth + 1) for one in value]
        elif isinstance(value, str):
            if not _is_unicode(value):
                return f"it holds text that is no Unicode, {shown(value)}"
        elif isinstance(value, float) and not math.isfinite(value):
            return f"it holds the number {value}; rows hold finite numbers or null"
        elif isinstance(value, int) and abs(value) >= 2**63:
            return "it holds a whole number of more than 63 bits"
        if depth > MOST_DEPTH:
            return f"it nests lists and tables deeper than {MOST_DEPTH}"
    return ""


def problem(row: Mapping[str, Any]) -> str:
    """What is wrong with the parts of a row, in one line; the empty string where nothing is.

    Args:
        row: has the keys of a row, each of its type, and passed ``unstorable``.
    """
    return next(_problems(row), "")


def _problems(row: Mapping[str, Any]) -> Iterator[str]:
    yield from _in_spec(row["spec"])
    yield from _in_facts(row)
    yield from _in_metrics(row)
    yield from _in_details(row["details"])
    yield from _in_training(row["training"])
    yield from _in_cost(row)


def _in_spec(spec: Mapping[str, Any]) -> Iterator[str]:
    fields = dataclasses.fields(RunSpec)
    if set(spec) != {field.name for field in fields}:  # what wrote the row wrote those with a default, too
        yield "its spec lacks fields or has unknown ones"
        return
    for field in fields:
        value = spec[field.name]
        kind = {"str": str, "int": int}.get(str(field.type), dict)
        if not isinstance(value, kind) or isinstance(value, bool):
            yield f"spec: {field.name} is {shown(value)}, not a {kind.__name__}"
    for name in ("seed", "threads", "score_every"):
        least = 1 if name == "threads" else 0
        if spec[name] < least:
            yield f"spec: {name} is {spec[name]}; it is at least {least}"
    for name in ("method", "dataset"):
        if not re.fullmatch(FOLDER_NAME, spec[name]):
            yield f"spec: {name} {shown(spec[name])} cannot be a folder's name"
    for name in ("method_params", "dataset_params"):
        for parameter, value in spec[name].items():
            if not all(_is_scalar(one) for one in (value if isinstance(value, list) else [value])):
                yield f"spec: {name} {shown(parameter)} is neither a value nor a list of values"


def _in_facts(row: Mapping[str, Any]) -> Iterator[str]:
    if "reason" not in row:
        yield "'reason' is missing"
    for name in ("reason", "traceback", "suite"):
        if not isinstance(row.get(name), str | None):
            yield f"its {name} is neither text nor null"
    if not is_count(row.get("dataset_version", 1)):
        yield "its dataset_version is not a whole number"
    notes = row.get("notes", [])
    if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
        yield "its notes are not a list of texts"
    judge = row.get("judge", {"hash": "", "mean_accuracy": 0, "threshold": 0, "accuracy": {}})
    if not isinstance(judge, dict) or not isinstance(judge.get("hash"), str):
        yield "what it says of its judge is no table with a hash"
    elif not all(is_number(judge.get(name)) for name in ("mean_accuracy", "threshold")):
        yield "its judge's accuracy or threshold is no number"
    elif not isinstance(judge.get("accuracy"), dict) or not all(map(is_number, judge["accuracy"].values())):
        yield "its judge's accuracies are not a table of numbers"
    if not isinstance(row.get("codes"), dict | None):
        yield "what it says of codes is not a table"


def _in_metrics(row: Mapping[str, Any]) -> Iterator[str]:
    for metric_id, version in row["scored"].items():
        if not is_count(version):
            yield f"scored: the version of {shown(metric_id)} is {shown(version)}"
    for key, entry in row["metrics"].items():
        if not isinstance(entry, dict) or not {"value", "version", "reason"} <= set(entry):
            yield f"metrics: {shown(key)} lacks its value, version or reason"
            return
        if not is_count(entry["version"]):
            yield f"metrics: {shown(key)} has version {shown(entry['version'])}"
        if entry["value"] is not None and not is_number(entry["value"]):
            yield f"metrics: {shown(key)} is {shown(entry['value'])}, not a number"
        if not isinstance(entry["reason"], str | None):
            yield f"metrics: the reason of {shown(key)} is neither text nor null"


def _in_details(details: Mapping[str, Any]) -> Iterator[str]:
    """The matrices that figures are drawn from."""
    for metric_id, one in details.items():
        where = f"details of {shown(metric_id)}"
        if not isinstance(one, dict):
            yield f"{where} are not a table of lists"
            return
        factors = one.get("factors", [])
        if not isinstance(factors, list) or not all(isinstance(name, str) for name in factors):
            yield f"{where}: factors are not a list of names"
            return
        if "correlation" not in one:
            continue
        matrix, assignment = one["correlation"], one.get("assignment")
        if not _is_matrix(matrix) or not all(-ROUNDING <= v <= 1 + ROUNDING for line in matrix for v in line):
            yield f"{where}: correlation is not a matrix of numbers from 0 to 1"
            return
        if not _is_assignment(assignment, matrix) or len(factors) not in (0, len(matrix)):
            yield f"{where}: assignment or factors do not fit the correlations"


def _in_training(training: Mapping[str, Any]) -> Iterator[str]:
    for name in ("n_steps", "n_parameters"):
        if not is_count(training.get(name), 0):
            yield f"training: {name} is {shown(training.get(name))}, not a whole number"
    yield from in_curves(training)


def in_curves(training: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the curve and the scores on the way, of a row or of a checkpoint."""
    curve, scores = training.get("curve"), training.get("scores")
    lists = list(curve.values()) if isinstance(curve, dict) else [None]
    if not all(isinstance(one, list) and all(v is None or is_number(v) for v in one) for one in lists):
        yield "training: the curve is not a table of lists of numbers"
    elif curve and (len(set(map(len, curve.values()))) > 1 or None in curve.get("step", [None])):
        yield "training: the curve's lists differ in length, or have no steps"
    if not isinstance(scores, list) or not all(_is_score(one) for one in scores):
        yield "training: scores on the way are not a list of steps and numbers"


def _in_cost(row: Mapping[str, Any]) -> Iterator[str]:
    """Cost and provenance: what tables print and estimates divide by."""
    cost = row["cost"]
    seconds = cost.get("seconds", {})
    if not isinstance(seconds, dict) or not all(is_number(v) and v >= 0 for v in seconds.values()):
        yield "cost: seconds are not a table of numbers ≥ 0"
    if not isinstance(cost.get("device"), str | None):
        yield "cost: the device is not text"
    for name in ("frames_per_second", "peak_memory_mb", "peak_gpu_memory_mb", "waiting_for_data",
                 "training_processor_seconds"):  # fmt: skip
        if not (cost.get(name) is None or is_number(cost[name])):
            yield f"cost: {name} is {shown(cost[name])}, not a number"
    made = row["provenance"]
    for name, kind in (("versions", dict), ("hardware", dict), ("scored_again", dict), ("git_commit", str),
                       ("started", str), ("finished", str)):  # fmt: skip
        if name in made and not isinstance(made[name], kind):
            yield f"provenance: {name} is {shown(made[name])}, not a {kind.__name__}"


def is_number(value: Any) -> bool:
    """An int or a float, and no bool."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_count(value: Any, least: int = 1) -> bool:
    """A whole number of at least ``least``."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def shown(value: Any) -> str:
    """A value of a stranger's file for a message: short, on one line, nothing that moves a cursor."""
    return ascii(value)[:60]


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False  # half a surrogate pair, which JSON can spell
    return True


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | bool)


def _is_matrix(value: Any) -> bool:
    if not isinstance(value, list) or not value or not all(isinstance(line, list) and line for line in value):
        return False
    return len({len(line) for line in value}) == 1 and all(is_number(v) for line in value for v in line)


def _is_assignment(value: Any, matrix: list[list[float]]) -> bool:
    """A column of the matrix for each of its rows, or None; none twice."""
    if not isinstance(value, list) or len(value) != len(matrix):
        return False
    given = [j for j in value if j is not None]
    return all(is_count(j, 0) and j < len(matrix[0]) for j in given) and len(set(given)) == len(given)


def _is_score(value: Any) -> bool:
    if not isinstance(value, dict) or not is_count(value.get("step"), 0) or not isinstance(value.get("metrics"), dict):
        return False
    return all(v is None or is_number(v) for v in value["metrics"].values())
