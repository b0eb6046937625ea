"""Metrics over several runs: all stored seeds of one setting, compared once the runs of a call are in.

Such a metric (its card's scope is "cell") reads the codes that each run kept, scores every run against the others, and
its number stands in each run's row like any other. It depends on which runs there were, so the row's details name them,
and all rows of the cell are scored anew when one is added or made again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.rows import is_of_codes
from bench.running import metric_choice
from bench.running.kept_codes import KeptCodes, kept_codes
from bench.running.standing import Options, is_stale
from bench.spec import RunSpec
from bench.store import CorruptRow, Store, read_row
from metrics import scoring
from metrics.protocols import protocol_named
from metrics.registry import metric

Finished = tuple[RunSpec, dict[str, Any]]

AT_LEAST = 2  # runs that can be compared
AT_MOST_ROWS = 10_000  # of each run's codes; what metrics of one run are fitted on


@dataclass(frozen=True)
class Member:
    """A finished run of a cell with what it kept."""

    spec: RunSpec
    row: dict[str, Any]
    kept: KeptCodes


def update(specs: Sequence[RunSpec], options: Options, note: Callable[[str], None]) -> None:
    """Score the cells that these runs belong to with the metrics of cells that were asked for; store each number.

    A row that another call is at, or that changes meanwhile, is left to that call.

    Args:
        note: shows one line.
    """
    store = Store(options.folders.results)
    cells = {cell_of(spec): spec for spec in specs}
    ids = metric_choice.of_scope(metric_choice.wanted(options.metrics, specs[0].protocol), "cell") if specs else []
    folders = {store.row_path(spec).parent for spec in cells.values()} if ids else set()
    for folder in sorted(folders):
        found: dict[str, list[Finished]] = {}
        for spec, row in _finished(folder):
            found.setdefault(cell_of(spec), []).append((spec, row))
        for name in cells.keys() & found.keys():
            _update_cell(store, sorted(found[name], key=lambda one: one[0].seed), ids, note)


def _update_cell(store: Store, finished: Sequence[Finished], ids: Sequence[str], note: Callable[[str], None]) -> None:
    """Score these runs of one cell where their rows are not of today's runs and metrics."""
    first = finished[0][0]
    n_rows = min(AT_MOST_ROWS, protocol_named(first.protocol).n_draw)
    members: list[Member] = []
    for spec, row in finished:
        kept = kept_codes(store.artifacts(spec.hash) / "codes.h5", n_rows)
        if kept is not None and (not members or kept.codes.shape == members[0].kept.codes.shape):
            members.append(Member(spec, row, kept))
    models = {one.spec.hash: one.row["provenance"].get("finished", "") for one in members}
    due = [one for one in ids if any(not _is_current(member.row, one, models) for member in members)]
    if not due:
        return
    where, n_omitted = f"{first.method} on {first.dataset}", len(finished) - len(members)
    omitted = f"; {n_omitted} more kept no codes here" if n_omitted else ""
    note(f"{where}: {', '.join(due)} of {len(members)} runs{omitted}")
    arrays = {
        "cell_codes": np.stack([one.kept.codes for one in members]),
        "cell_kl": np.stack([one.kept.latent_kl for one in members]),
    }
    for i, member in enumerate(members):
        if not _store(store, member, _scored(member, arrays | {"member": i}, due, models)):
            note(f"{member.spec.label}: its row is at work elsewhere; repeat the command for {', '.join(due)}")


def cell_of(spec: RunSpec) -> str:
    """A name of what runs share that differ in the seed alone."""
    return replace(spec, seed=0).hash


def refusal(spec: RunSpec, wanted: Sequence[str], n_seeds: int, store: Store) -> str:
    """Why none of the metrics can be had of this run's cell, or the empty string.

    Args:
        wanted: metric ids asked for.
        n_seeds: runs of the cell in this call; others may be stored.
    """
    ids = metric_choice.of_scope(wanted, "cell")
    if n_seeds >= AT_LEAST or not ids or len(ids) < len(wanted):
        return ""
    stored = _finished(store.row_path(spec).parent)
    if any(cell_of(other) == cell_of(spec) and other.seed != spec.seed for other, _ in stored):
        return ""
    return f"one seed leaves nothing to compare for {', '.join(ids)}; ask for --seeds {AT_LEAST} or more"


def _finished(folder: Path) -> Iterator[Finished]:
    """The runs whose rows in a folder are done and of today's data."""
    for path in sorted(folder.glob("*.json")):
        try:
            row = read_row(path)
        except CorruptRow:
            continue  # the plan has set aside what belongs to this call
        if row is None:
            continue
        spec = RunSpec.from_dict(row["spec"])
        if row["status"] == "done" and not is_of_codes(row["spec"]) and not is_stale(row, spec):
            yield spec, row


def _is_current(row: Mapping[str, Any], metric_id: str, models: Mapping[str, str]) -> bool:
    """The row holds this metric's number, of today's version and of these very runs."""
    version = metric_choice.version(metric_id)
    return row["scored"].get(metric_id) == version and row["details"].get(metric_id, {}).get("models") == models


def _scored(
    member: Member, arrays: Mapping[str, Any], ids: Sequence[str], models: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """The parts of one member's row that these metrics fill."""
    scores = scoring.score(arrays, ids, member.spec.protocol)
    values = {key: entry | {"value": _short(entry["value"])} for key, entry in scores.values.items()}
    if len(models) < AT_LEAST:
        reason = f"compares trainings of several seeds; only seed {member.spec.seed} is stored"
        values = {key: entry | {"reason": f"{key} {reason}"} for key, entry in values.items()}
    uses_kl = bool(np.isfinite(member.kept.latent_kl).all())
    details = {one: scores.details.get(one, {}) | {"models": dict(models), "uses_kl": uses_kl} for one in ids}
    return {"metrics": values, "scored": {one: metric(one).card.version for one in ids}, "details": details}


def _store(store: Store, member: Member, parts: Mapping[str, Mapping[str, Any]]) -> bool:
    """Put the numbers into the member's row as it is now; False where it is worked on or was made again."""
    try:
        with store.lock(member.spec.hash, wait=False):
            row = store.read(member.spec)
            if row is None or row["provenance"].get("finished") != member.row["provenance"].get("finished"):
                return False
            store.write(member.spec, row | {name: {**row[name], **parts[name]} for name in parts})
    except (BlockingIOError, CorruptRow):
        return False
    return True


def _short(value: float | None) -> float | None:
    """Eight significant digits, as all numbers of a row have."""
    return None if value is None else float(f"{value:.8g}")
