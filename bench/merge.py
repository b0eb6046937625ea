"""Stores of several machines made one: rows that are believed, agree, and are not there yet.

A row of another store is a stranger's: it is checked whole (``bench.rows.objection``) before it is taken, and nothing
in it is executed. Two rows of one hash are one run. Equal ones stay as they are here; of different ones the row here is
kept and the difference reported; two copies of one training, scored with different metrics, are joined.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from bench.messages import one_line
from bench.rows import metric_id_of, objection
from bench.spec import RunSpec
from bench.store import MOST_BYTES, CorruptRow, Store

ARTIFACTS = ("checkpoint.safetensors", "codes.h5")

Outcome = Literal["new", "equal", "joined", "different", "refused"]


class Refused(ValueError):
    """A row or file of another store that is not taken; the message says why in one line."""


@dataclass(frozen=True)
class Finding:
    """What became of one row of another store.

    Attributes:
        path: its file.
        text: for people, in one line; empty where there is nothing to say.
        copied: artifacts that came along, or would.
        left: artifacts that were not taken, with the reason.
        other_cost: an equal row says other things of cost or provenance; those here are kept.
    """

    outcome: Outcome
    path: Path
    text: str = ""
    copied: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    other_cost: bool = False


class Merger:
    """Takes rows into one store.

    Args:
        target: the store that grows.
        artifacts: take checkpoints and codes of rows that are taken or equal, too.
        dry_run: find out, write nothing.
    """

    def __init__(self, target: Store, *, artifacts: bool = False, dry_run: bool = False) -> None:
        self.target, self.artifacts, self.dry_run = target, artifacts, dry_run
        self.planned: dict[str, dict[str, Any]] = {}  # what a dry run would have written

    def merge(self, folders: Sequence[Path]) -> Iterator[Finding]:
        """One finding for each row file below ``folders``, in the order of their paths."""
        for folder in folders:
            other = Store(folder)
            for path in sorted((folder / "rows").glob("*/*/*.json")):
                try:
                    yield self._take(other, path)
                except (Refused, CorruptRow, FileNotFoundError) as error:
                    yield Finding("refused", path, f"{path}: {str(error).removeprefix(f'{path}: ')}; not taken")

    def _take(self, other: Store, path: Path) -> Finding:
        row = read_foreign(path)
        spec = RunSpec.from_dict(row["spec"])
        if path != other.row_path(spec):
            raise Refused(f"holds the row of {other.row_path(spec).relative_to(other.root / 'rows')}")
        try:
            with nullcontext() if self.dry_run else self.target.lock(spec.hash, wait=False):
                return self._unite(other, path, spec, row)
        except BlockingIOError:
            raise Refused(f"{spec.label} is under way in {self.target.root}; merge again when it is done") from None

    def _unite(self, other: Store, path: Path, spec: RunSpec, row: dict[str, Any]) -> Finding:
        mine = self.planned.get(spec.hash) or self.target.read(spec, set_aside=False)
        outcome: Outcome = "new"
        text, other_cost = "", False
        if mine is None:
            self._write(spec, row)
        else:
            differences = list(compare(mine, row))
            joined = join(mine, row) if differences else mine
            if joined is None:
                some = "; ".join(differences[:3]) + (f"; {len(differences) - 3} more" if len(differences) > 3 else "")
                kept = self.target.row_path(spec)
                return Finding("different", path, f"{spec.label}: {kept} kept, {path} differs: {some}")
            outcome = "equal" if joined == mine else "joined"
            if outcome == "joined":
                taken = [one for one in joined["scored"] if joined["scored"][one] != mine["scored"].get(one)]
                text = f"{spec.label}: {', '.join(taken)} joined from {path}"
                self._write(spec, joined)
            other_cost = any(mine[part] != row[part] for part in ("cost", "provenance"))
        copied, left = self._copy_artifacts(other, spec.hash) if self.artifacts else ((), ())
        return Finding(outcome, path, text, copied, left, other_cost)

    def _write(self, spec: RunSpec, row: dict[str, Any]) -> None:
        if self.dry_run:
            self.planned[spec.hash] = row
        else:
            self.target.write(spec, row)

    def _copy_artifacts(self, other: Store, spec_hash: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Names copied, and names left with the reason; files that are here already stay."""
        source, target = other.artifacts(spec_hash), self.target.artifacts(spec_hash)
        copied, left = [], []
        for name in ARTIFACTS:
            if (target / name).exists():
                continue
            try:
                with open_plain(source / name, inside=other.root) as file:
                    if not self.dry_run:
                        copy_atomically(file, target / name)
                copied.append(name)
            except FileNotFoundError:
                continue
            except Refused as error:
                left.append(f"{source / name}: {error}; not copied")
        return tuple(copied), tuple(left)


def read_foreign(path: Path) -> dict[str, Any]:
    """A row of another store, checked whole.

    Raises:
        Refused: not a plain file, too large, not JSON, or something in it that cannot be believed.
    """
    with open_plain(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > MOST_BYTES:
            raise Refused(f"{size:,} bytes; a row has at most {MOST_BYTES:,}")
        text = file.read(MOST_BYTES)
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refused(f"unreadable ({one_line(' '.join(str(error).split()), 200)})") from None
    problem = objection(row)
    if problem:
        raise Refused(one_line(" ".join(problem.split()), 500))
    return row


def compare(mine: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[str]:
    """In which values two rows of one hash differ, first the numbers that tables show; nothing where they are equal.

    Compared are status, scores with their versions, the matrices behind them, the training's curve, the version of the
    data set and the fingerprint of scored codes. Cost, provenance, suite version and the words of a failure may differ.
    """
    if _codes(mine) != _codes(other):
        yield "they score other codes"
    if mine["status"] != other["status"]:
        yield f"status {mine['status']} here, {other['status']} there"
    for key in sorted(set(mine["metrics"]) | set(other["metrics"])):
        here, there = (row["metrics"].get(key) for row in (mine, other))
        if here is None or there is None:
            yield f"{key} only {'there' if here is None else 'here'}"
        elif here["version"] != there["version"]:
            yield f"{key} of version {here['version']} here, {there['version']} there"
        elif here["value"] != there["value"]:
            yield f"{key} {here['value']} here, {there['value']} there"
    for name in ("n_steps", "n_parameters"):
        if mine["training"].get(name) != other["training"].get(name):
            yield f"{name} {mine['training'].get(name)} here, {other['training'].get(name)} there"
    yield from _compare_curves(mine["training"].get("curve") or {}, other["training"].get("curve") or {})
    if (mine["training"].get("scores") or []) != (other["training"].get("scores") or []):
        yield "scores during training"
    for metric_id in sorted(set(mine["details"]) | set(other["details"])):
        if mine["details"].get(metric_id) != other["details"].get(metric_id):
            yield f"the matrices behind {metric_id}"
    if mine.get("dataset_version", 1) != other.get("dataset_version", 1):
        yield f"data set version {mine.get('dataset_version', 1)} here, {other.get('dataset_version', 1)} there"


def _compare_curves(here: Mapping[str, list[Any]], there: Mapping[str, list[Any]]) -> Iterator[str]:
    for term in sorted(set(here) | set(there)):
        a, b = here.get(term), there.get(term)
        if a is None or b is None:
            yield f"the curve {term!a} only {'there' if a is None else 'here'}"
        elif a != b:
            places = (i for i, pair in enumerate(zip(a, b, strict=False)) if pair[0] != pair[1])
            first = next(places, min(len(a), len(b)))
            yield f"the curve {term!a} from its point {first + 1} on"


def join(mine: dict[str, Any], other: Mapping[str, Any]) -> dict[str, Any] | None:
    """The row here with the scores it lacks, or has in an older version; None where the rows are not of one training.

    One training is one start of it with one curve, or one array of codes. Where both hold a score in one version it
    must be equal.
    """
    if mine["status"] != "done" or other["status"] != "done" or not _same_origin(mine, other):
        return None
    wanted = [one for one, version in other["scored"].items() if mine["scored"].get(one, 0) < version]
    held_alike = [one for one, version in other["scored"].items() if mine["scored"].get(one) == version]
    for part, of in (("metrics", metric_id_of), ("details", str)):
        for key, entry in other[part].items():
            if of(key) in held_alike and mine[part].get(key) != entry:
                return None
    joined = dict(mine)
    for part, of in (("metrics", metric_id_of), ("scored", str), ("details", str)):
        taken = {key: entry for key, entry in other[part].items() if of(key) in wanted}
        joined[part] = {key: entry for key, entry in mine[part].items() if of(key) not in wanted} | taken
    again = other["provenance"].get("scored_again")
    if wanted and again is not None:
        joined["provenance"] = mine["provenance"] | {"scored_again": again}
    return joined


def _same_origin(mine: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    if _codes(mine) is not None or _codes(other) is not None:
        return _codes(mine) == _codes(other)
    started = mine["provenance"].get("started")
    alike = mine["training"] == other["training"]
    alike = alike and mine.get("dataset_version", 1) == other.get("dataset_version", 1)
    return alike and started is not None and started == other["provenance"].get("started")


def _codes(row: Mapping[str, Any]) -> str | None:
    return (row.get("codes") or {}).get("fingerprint")


def open_plain(path: Path, inside: Path | None = None) -> BinaryIO:
    """A regular file opened for reading; no link, no device, and with ``inside`` no way out of that folder.

    Raises:
        FileNotFoundError: there is none.
        Refused: it is something else, or may not be read.
    """
    if inside is not None and not path.parent.resolve().is_relative_to(inside.resolve()):
        raise Refused(f"its folder is a link out of {inside}")
    try:
        # not blocking, or a named pipe would wait for a writer
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Refused("it is a link" if path.is_symlink() else str(error.strerror)) from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise Refused("not a plain file")
    return os.fdopen(handle, "rb")


def copy_atomically(file: BinaryIO, path: Path) -> None:
    """The rest of ``file`` at ``path``, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as copy:
            shutil.copyfileobj(file, copy, 2**20)
            copy.flush()
            os.fsync(copy.fileno())
        os.chmod(partial, 0o644)
        os.replace(partial, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(partial)
        raise
