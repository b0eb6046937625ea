"""From stored rows to cells and groups, and to one long data frame.

A *cell* is all rows that differ only in the seed. A *group* is what one table may show side by side: one data set with
its parameters, source, fingerprint, budget and protocol. Nothing is ever averaged across cells.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.datasets.base import canonical_json
from bench.report.statistics import Estimate, mean_interval

if TYPE_CHECKING:
    import pandas as pd

Row = Mapping[str, Any]
Defaults = Callable[[str, str, str], Mapping[str, Any]]
"""(“method” or “dataset”, name, budget) → its default parameters; lets labels show what was changed from them."""

REFERENCE_POINTS = ("random_codes", "untrained", "pca", "ica", "oracle")  # in the order tables show them
_RUN_SETTINGS = ("view", "precision", "threads", "score_every")


@dataclass(frozen=True)
class Score:
    """One metric over the seeds of a cell.

    Attributes:
        seeds, values: the finished seeds and their scores.
        missing: (seed, reason) of each finished run without a usable score.
        version: of the metric; scores of older versions count as missing.
        estimate: None where no value is left.
    """

    seeds: tuple[int, ...]
    values: tuple[float, ...]
    missing: tuple[tuple[int, str], ...]
    version: int | None
    estimate: Estimate | None


@dataclass(frozen=True)
class Cell:
    """All rows that differ only in the seed, sorted by it.

    Attributes:
        id: 16 hex digits over the spec without its seed.
    """

    id: str
    spec: Mapping[str, Any]
    rows: tuple[Row, ...]

    @property
    def method(self) -> str:
        return str(self.spec["method"])

    @property
    def is_reference(self) -> bool:
        return self.method in REFERENCE_POINTS

    def with_status(self, *statuses: str) -> list[Row]:
        return [row for row in self.rows if row["status"] in statuses]

    @property
    def done(self) -> list[Row]:
        return self.with_status("done")

    @property
    def lost(self) -> list[Row]:
        """Rows whose training failed or diverged."""
        return self.with_status("failed", "diverged")

    def score(self, key: str) -> Score:
        """The metric called ``key`` over the finished seeds."""
        stored = {row["spec"]["seed"]: row["metrics"].get(key) for row in self.done}
        version = max((entry["version"] for entry in stored.values() if entry), default=None)
        values: dict[int, float] = {}
        missing = []
        for seed, entry in stored.items():
            if entry is None:
                missing.append((seed, "not computed"))
            elif entry["version"] != version:
                missing.append((seed, f"scored with version {entry['version']} of the metric, others with {version}"))
            elif entry["value"] is None or not math.isfinite(entry["value"]):
                missing.append((seed, entry.get("reason") or "no value"))
            else:
                values[seed] = float(entry["value"])
        estimate = mean_interval(values.values()) if values else None
        return Score(tuple(values), tuple(values.values()), tuple(missing), version, estimate)

    def mean_cost(self, *path: str) -> float | None:
        """Mean over finished rows of an entry of ``cost``, such as ("seconds", "training"); None where none has it."""
        found = [value for row in self.done if (value := _dig(row["cost"], path)) is not None]
        return sum(found) / len(found) if found else None

    @property
    def n_steps(self) -> int | None:
        """Optimiser steps of a finished run; None for what is not trained by gradient."""
        for row in self.done:
            return (row.get("training") or {}).get("n_steps") or None
        return self.spec["method_params"].get("n_steps") or None


@dataclass(frozen=True)
class Group:
    """What one table may show side by side.

    Attributes:
        label: the data set, with the parameters that tell it from the other groups of its budget.
        dataset_params: canonical JSON.
        cells: trained methods in alphabetical order, then the reference points in their fixed order.
        labels: cell id → how the table calls it.
    """

    label: str
    dataset: str
    dataset_params: str
    source: str
    fingerprint: str
    budget: str
    protocol: str
    cells: tuple[Cell, ...]
    labels: Mapping[str, str]

    @property
    def slug(self) -> str:
        """A file name for this group: letters, digits and ``._=-`` only."""
        parts = [self.label, self.source, self.budget]
        parts += [self.protocol] if self.protocol != "quick" else []
        parts += [self.fingerprint[:8]] if self.fingerprint else []
        return slugify("-".join(parts))

    @property
    def rows(self) -> list[Row]:
        return [row for cell in self.cells for row in cell.rows]

    @property
    def metrics(self) -> list[str]:
        """Keys of every metric that a row of the group holds, sorted."""
        return sorted({key for row in self.rows for key in row["metrics"]})

    def cell_label(self, cell: Cell) -> str:
        return self.labels[cell.id]


def slugify(text: str) -> str:
    """``text`` as a file name: everything but letters, digits and ``._=-`` becomes ``-``; at most 100 characters."""
    return re.sub(r"-{2,}", "-", re.sub(r"[^A-Za-z0-9._=-]+", "-", text)).strip("-.")[:100] or "unnamed"


def cells(rows: Iterable[Row]) -> list[Cell]:
    """Rows joined into cells. Of rows with one hash (from stores that were united) the last one counts."""
    unique = {row["hash"]: row for row in rows}
    members: dict[str, list[Row]] = defaultdict(list)
    for row in unique.values():
        members[_cell_id(row)].append(row)
    found = []
    for cell_id, group in members.items():
        spec = {key: value for key, value in group[0]["spec"].items() if key != "seed"}
        found.append(Cell(cell_id, spec, tuple(sorted(group, key=lambda row: row["spec"]["seed"]))))
    return sorted(found, key=_cell_order)


def groups(rows: Iterable[Row], defaults: Defaults | None = None) -> list[Group]:
    """Cells sorted into the tables they may share, in alphabetical order."""
    members: dict[tuple[str, ...], list[Cell]] = defaultdict(list)
    for cell in cells(rows):
        members[_group_key(cell.spec)].append(cell)
    params = {key: json.loads(key[1]) for key in members}
    siblings: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for key, one in params.items():
        siblings[key[0], key[4]].append(one)
    told = {key: differing(some) for key, some in siblings.items()}
    found = []
    for key, group in sorted(members.items()):
        dataset, dataset_params, source, fingerprint, budget, protocol = key
        default = defaults("dataset", dataset, budget) if defaults else {}
        # A table's title has the source beside the label; how it was asked for is no second name of it.
        named = {name: value for name, value in params[key].items() if name != "source"}
        label = name_with(dataset, named, told[dataset, budget], default)
        labels = label_cells(group, defaults)
        found.append(Group(label, dataset, dataset_params, source, fingerprint, budget, protocol, tuple(group), labels))
    return found


def label_cells(table: Sequence[Cell], defaults: Defaults | None = None) -> dict[str, str]:
    """Cell id → method name with only the parameters that differ from its other cells here, or from its defaults."""
    members: dict[str, list[Cell]] = defaultdict(list)
    for cell in table:
        members[cell.method].append(cell)
    labels = {}
    for method, some in members.items():
        parameters = [parameters_of(cell) for cell in some]
        told = differing(parameters)
        default = {
            budget: defaults("method", method, budget) if defaults else {}
            for budget in {str(cell.spec["budget"]) for cell in some}
        }
        for cell, own in zip(some, parameters, strict=True):
            labels[cell.id] = name_with(method, own, told, default[str(cell.spec["budget"])])
    # Two cells can still read alike, for instance after a change of the row's schema.
    twice = {label for label, count in Counter(labels.values()).items() if count > 1}
    return {cell_id: f"{label} #{cell_id[:6]}" if label in twice else label for cell_id, label in labels.items()}


def differing(params: Sequence[Mapping[str, Any]]) -> set[str]:
    """Names of the parameters that do not have one value in all of ``params``, or are absent from some."""
    found: dict[str, Any] = {}
    counts: Counter[str] = Counter()
    different: set[str] = set()
    for one in params:
        counts.update(one.keys())
        different |= {key for key, value in one.items() if found.setdefault(key, value) != value}
    return different | {key for key, count in counts.items() if count < len(params)}


def name_with(name: str, params: Mapping[str, Any], told: Collection[str], default: Mapping[str, Any]) -> str:
    """``name[key=value,…]`` with the parameters in ``told``, and those that differ from ``default``."""
    shown = [
        f"{key}={format_value(value)}"
        for key, value in sorted(params.items())
        if key in told or not _equal(default.get(key, value), value)
    ]
    return f"{name}[{','.join(shown)}]" if shown else name


def _equal(default: Any, stored: Any) -> bool:
    """Whether a stored value is the default, which may be a tuple where JSON has a list."""
    return (list(default) if isinstance(default, tuple) else default) == stored


def format_value(value: Any) -> str:
    """A parameter's value as one would type it: 8 for 8.0, 0.0001 for 1e-4, JSON for what has structure."""
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value)


def format_parameters(params: Mapping[str, Any]) -> str:
    """``key=value, key=value``, sorted."""
    return ", ".join(f"{key}={format_value(value)}" for key, value in sorted(params.items()))


def reason_of(row: Row) -> str:
    """Why a run has no result: the first line of its reason."""
    lines = str(row.get("reason") or "no reason stored").strip().splitlines()
    return lines[0] if lines else "no reason stored"


def load(rows: Iterable[Row], defaults: Defaults | None = None) -> pd.DataFrame:
    """A long data frame: one line per row and metric; a row without metrics has one line whose metric is missing.

    Columns: what identifies the row (``hash``, ``cell``, ``label``, the spec's fields, parameters as JSON), ``status``
    and ``reason``, ``metric``, ``value``, ``metric_reason``, ``metric_version``, ``n_steps``, and cost
    (``seconds_training``, ``seconds_total``, ``frames_per_second``, ``peak_memory_mb``, ``device``).
    """
    import pandas as pd

    lines = []
    for group in groups(rows, defaults):
        for cell in group.cells:
            for row in cell.rows:
                common = _common_columns(group, cell, row)
                for key, entry in (row["metrics"] or {None: {}}).items():
                    lines.append(
                        {
                            **common,
                            "metric": key,
                            "value": entry.get("value"),
                            "metric_reason": entry.get("reason"),
                            "metric_version": entry.get("version"),
                        }
                    )
    frame = pd.DataFrame(lines)
    if len(frame):
        frame["value"] = frame["value"].astype("float64")
    return frame


def _common_columns(group: Group, cell: Cell, row: Row) -> dict[str, Any]:
    spec, cost = row["spec"], row["cost"]
    return {
        "hash": row["hash"],
        "cell": cell.id,
        "label": group.cell_label(cell),
        "is_reference": cell.is_reference,
        "method": spec["method"],
        "method_params": canonical_json(spec["method_params"]),
        "dataset": spec["dataset"],
        "dataset_label": group.label,
        "dataset_params": group.dataset_params,
        **{key: spec[key] for key in ("source", "fingerprint", "budget", "protocol", "seed", *_RUN_SETTINGS)},
        "status": row["status"],
        "reason": row.get("reason"),
        "n_steps": (row.get("training") or {}).get("n_steps"),
        "seconds_training": _dig(cost, ("seconds", "training")),
        "seconds_total": _dig(cost, ("seconds", "total")),
        "frames_per_second": _dig(cost, ("frames_per_second",)),
        "peak_memory_mb": _dig(cost, ("peak_memory_mb",)),
        "device": cost.get("device"),
    }


def _dig(values: Mapping[str, Any], path: tuple[str, ...]) -> float | None:
    found: Any = values
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return None if found is None else float(found)


def _cell_id(row: Row) -> str:
    spec = {key: value for key, value in row["spec"].items() if key != "seed"}
    return hashlib.sha256(canonical_json(spec).encode()).hexdigest()[:16]


def _group_key(spec: Mapping[str, Any]) -> tuple[str, ...]:
    texts = (spec[key] for key in ("source", "fingerprint", "budget", "protocol"))
    return (spec["dataset"], canonical_json(spec["dataset_params"]), *texts)


def _cell_order(cell: Cell) -> tuple[int, str, list[tuple[float, str]]]:
    """Reference points last; numbers inside parameters by size, so that beta=16 follows beta=4."""
    place = REFERENCE_POINTS.index(cell.method) if cell.is_reference else -1
    pieces = re.findall(r"\d+(?:\.\d+)?|[^\d]+", canonical_json(parameters_of(cell)))
    return place, cell.method, [(float(p), "") if p[0].isdigit() else (-1.0, p) for p in pieces]


def parameters_of(cell: Cell) -> dict[str, Any]:
    """What tells cells of one method apart: its parameters and how it was run."""
    return {**cell.spec["method_params"], **{key: cell.spec[key] for key in _RUN_SETTINGS}}
