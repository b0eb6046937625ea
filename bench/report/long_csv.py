"""Every number of a set of tables as long CSV, for machines: one line per cell and metric."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from statistics import median
from typing import Any

from bench.datasets.base import canonical_json
from bench.report.cards import column, in_table_order
from bench.report.escape import spreadsheet
from bench.report.statistics import CONFIDENCE
from bench.report.tables import Line, Table, cost_columns, describe_loss

_IDENTITY = "dataset source fingerprint budget protocol view precision threads method"
_DESCRIPTION = "dataset_params method_params label is_reference metric metric_version higher_is_better floor ceiling"
_NUMBERS = "n n_done n_lost mean low high confidence std median min max seeds values missing lost"
_COST = "n_steps seconds_training seconds_total frames_per_second peak_memory_mb device bench torch"
COLUMNS = (*_IDENTITY.split(), *_DESCRIPTION.split(), *_NUMBERS.split(), *_COST.split())


def to_csv(tables: Iterable[Table]) -> str:
    """CSV with a header and the columns ``COLUMNS``: every metric that rows hold, numbers in full, empty where unknown.

    ``n`` counts scores, ``n_done`` finished runs and ``n_lost`` failed and diverged ones; ``seeds`` and ``values`` are
    lists separated by spaces; ``low`` and ``high`` are the 95 % Student-t interval.
    """
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for table in tables:
        unscored = (key for keys, _ in table.unscored for key in keys)
        keys = in_table_order([*(c.key for c in table.columns), *table.hidden, *unscored])
        for line in table.lines:
            for key in keys or [""]:
                entry = _identity(table, line) | _numbers(line, key) | cost_columns(line.cell)
                writer.writerow({name: spreadsheet(value) for name, value in entry.items()})
    return out.getvalue()


def _identity(table: Table, line: Line) -> dict[str, Any]:
    spec, header = line.cell.spec, dict(table.header)
    devices = {str(row["cost"]["device"]) for row in line.cell.done if row["cost"].get("device")}
    return {name: spec[name] for name in _IDENTITY.split()} | {
        "dataset_params": table.group.dataset_params,
        "method_params": canonical_json(spec["method_params"]),
        "label": line.label,
        "is_reference": line.is_reference,
        "device": " ".join(sorted(devices)),
        "bench": header["bench"],
        "torch": header["torch"],
    }


def _numbers(line: Line, key: str) -> dict[str, Any]:
    cell, score, of = line.cell, line.cell.score(key), column(key)
    found: dict[str, Any] = {
        "metric": key,
        "metric_version": score.version,
        "higher_is_better": of.higher_is_better,
        "floor": of.floor,
        "ceiling": of.ceiling,
        "n": len(score.values),
        "n_done": len(cell.done),
        "n_lost": len(cell.lost),
        "seeds": " ".join(map(str, score.seeds)),
        "values": " ".join(map(repr, score.values)),
        "missing": "; ".join(f"seed {seed}: {reason}" for seed, reason in score.missing),
        "lost": describe_loss(cell),
    }
    estimate = score.estimate
    if estimate is not None:
        found |= {"mean": estimate.mean, "low": estimate.low, "high": estimate.high, "std": estimate.std}
        found |= {"median": median(score.values), "min": min(score.values), "max": max(score.values)}
        found |= {"confidence": None if estimate.low is None else CONFIDENCE}
    return found
