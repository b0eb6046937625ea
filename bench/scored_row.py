"""Scores of a user's codes as a row of the store, in tables of its own: never in one cell with what the suite trained.

The row's data fingerprint is that of the factors, so only codes of the very same labelled rows share a table; its
source is "user" and its budget "none".
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from bench import provenance
from bench.registry import FOLDER_NAME, UsageError
from bench.representation import Scored
from bench.rows import (
    CODES_BUDGET,
    CODES_PRECISION,
    CODES_SOURCE,
    CODES_VIEW,
    empty_row,
    metric_id_of,
)
from bench.spec import RunSpec
from bench.store import CorruptRow, Store
from metrics.registry import resolve


def spec_of(scored: Scored, name: str, dataset: str, seed: int) -> RunSpec:
    """What the row is of; the codes themselves are not part of it, as weights are not part of a run's spec."""
    return RunSpec(
        method=_checked("--name", name),
        method_params={"n_latents": scored.n_latents},
        dataset=_checked("--dataset", dataset),
        dataset_params={"n_train": scored.n_train, "n_test": scored.n_test},
        source=CODES_SOURCE,
        fingerprint=scored.fingerprints["data"],
        view=CODES_VIEW,
        budget=CODES_BUDGET,
        seed=seed,
        protocol=scored.protocol,
        precision=CODES_PRECISION,
        threads=1,
    )


def save(scored: Scored, results: Path, name: str, dataset: str, seed: int = 0) -> Path:
    """Write the row and return its path; further metrics of the same codes join the row that is there.

    Args:
        name: of the method that made the codes.
        dataset: what they are codes of.
        seed: of the training, so that several seeds make one line with an interval.

    Raises:
        UsageError: a name that cannot be a file's, an unwritable store, or a stored row of other codes.
    """
    spec, store = spec_of(scored, name, dataset, seed), Store(results)
    store.check_writable()
    row = row_of(scored, spec)
    with store.lock(spec.hash):
        try:
            old = store.read(spec, set_aside=False)
        except CorruptRow as error:
            raise UsageError(f"{error}; move it away first") from None
        if old is not None and old.get("codes", {}).get("fingerprint") != scored.fingerprints["codes"]:
            raise UsageError(
                f"{store.row_path(spec)} holds other codes of {spec.label}; "
                "choose another --seed or --name, or delete that file"
            )
        if old is not None:
            row |= {key: {**old[key], **row[key]} for key in ("metrics", "scored", "details")}
        return store.write(spec, row)


def row_of(scored: Scored, spec: RunSpec) -> dict[str, Any]:
    """The row: the fields of a trained run's, with nothing said of a training."""
    scores = scored.scores
    found = {key: entry | {"value": _short(entry["value"])} for key, entry in scores.values.items()}
    seconds = round(sum(scores.seconds.values()), 3)
    versions = {name: version for name, version in provenance.versions().items() if name != "torch"}
    return empty_row(spec, "done", None) | {
        "metrics": found,
        "scored": {one.id: one.card.version for one in resolve(map(metric_id_of, scored))},
        "details": dict(scores.details),
        "cost": {"seconds": {"metrics": seconds, "total": seconds}},
        "provenance": {
            "git_commit": provenance.git_commit(), "versions": versions, "hardware": provenance.hardware(),
            "started": provenance.now(), "finished": provenance.now(),
        },
        "codes": {
            "file": scored.title, "fingerprint": scored.fingerprints["codes"], "notes": list(scored.notes),
            "factors": [dict(factor) for factor in scored.factors],
            "dropped_factors": list(scores.dropped_factors), "n_constant_latents": scores.n_constant_latents,
        },
    }  # fmt: skip


def _checked(option: str, name: str) -> str:
    if not re.fullmatch(FOLDER_NAME, name):
        raise UsageError(f"{option} names a folder: at most 80 letters, digits and ._=+-, got {name[:90]!r}")
    return name


def _short(value: float | None) -> float | None:
    """Eight significant digits, as the rows of runs."""
    return None if value is None else float(f"{value:.8g}")
