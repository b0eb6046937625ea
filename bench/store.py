"""The store: one JSON file per run under ``results/rows``, artifacts beside it, both written atomically."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bench import row_shape
from bench.messages import one_line
from bench.registry import UsageError
from bench.spec import SCHEMA_VERSION, RunSpec
from bench.whole_files import written_whole

STATUSES = ("done", "failed", "diverged", "skipped")
MOST_BYTES = 16 << 20  # of a row; the largest that runs write are a hundredth of it


class CorruptRow(ValueError):
    """A stored row that cannot be read; the message names the file and what is wrong with it."""


class Store:
    """Rows and artifacts under one folder.

    Args:
        root: created on first write.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def check_writable(self) -> None:
        """Raise UsageError where the folder cannot be used, before anything is written to it."""
        if self.root.exists() and not self.root.is_dir():
            raise UsageError(f"--results {self.root} is a file; name a folder")
        nearest = self.root
        while not nearest.exists():
            nearest = nearest.parent
        if not nearest.is_dir():
            raise UsageError(f"--results {self.root} cannot be made: {nearest} is a file")
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise UsageError(f"--results {self.root} is not writable; choose another folder with --results DIR")

    def row_path(self, spec: RunSpec) -> Path:
        return self.root / "rows" / spec.dataset / spec.method / f"{spec.hash}.json"

    def artifacts(self, spec_hash: str) -> Path:
        """Folder of a run's large files (checkpoint, codes); not part of the shared results."""
        return self.root / "artifacts" / spec_hash

    def read(self, spec: RunSpec, *, set_aside: bool = True) -> dict[str, Any] | None:
        """The stored row, or None. A corrupt one is set aside as ``*.json.bad`` and reported by raising.

        Raises:
            CorruptRow: after the file was renamed; the run counts as missing from then on.
        """
        path = self.row_path(spec)
        try:
            row = read_row(path)
            if row is not None and row["hash"] != spec.hash:
                raise CorruptRow(f"{path}: holds the row {row['hash']}")
            return row
        except CorruptRow as error:
            if not set_aside:
                raise
            aside = path.with_suffix(".json.bad")
            os.replace(path, aside)
            raise CorruptRow(f"{error}; set aside as {aside.name}, the run is done again") from None

    def write(self, spec: RunSpec, row: dict[str, Any]) -> Path:
        """Store ``row`` whole or not at all."""
        path = self.row_path(spec)
        write_atomically(path, json.dumps(row, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
        return path

    def rows(self) -> Iterator[dict[str, Any]]:
        """All readable rows in the order of their paths; corrupt ones are left alone here."""
        for path in sorted((self.root / "rows").glob("*/*/*.json")):
            with suppress(CorruptRow):
                row = read_row(path)
                if row is not None:
                    yield row

    def find(self, run: str) -> dict[str, Any]:
        """The row whose hash begins with ``run``, or the one of ``method/dataset/seed``.

        Raises:
            UsageError: none, or several.
        """
        if "/" in run:
            names = ("method", "dataset", "seed")
            found = [row for row in self.rows() if "/".join(str(row["spec"][name]) for name in names) == run]
            where = f"of '{run}', which is read as method/dataset/seed"
        else:
            found = [row for row in self.rows() if row["hash"].startswith(run)]
            where = f"with a hash that begins with '{run}'"
        if len(found) == 1:
            return found[0]
        what = "no row" if not found else f"{len(found)} rows"
        some = f" ({', '.join(row['hash'] for row in found[:3])}{', …' if len(found) > 3 else ''})" if found else ""
        raise UsageError(f"{what} in {self.root}/rows {where}{some}; `bench table --rows` lists them")

    def clean(self, spec: RunSpec) -> None:
        """Remove what killed processes of a run left half written; only for who holds its lock."""
        halves = self.row_path(spec).parent.glob(f".{spec.hash}.json.*.part")
        for path in (*halves, *self.artifacts(spec.hash).glob("*.part")):
            path.unlink(missing_ok=True)

    @contextmanager
    def lock(self, spec_hash: str, *, wait: bool = True) -> Iterator[None]:
        """Hold a run for this process. Freed by the system when the holder dies.

        Args:
            wait: while another process holds it.

        Raises:
            BlockingIOError: another process holds it and ``wait`` is False.
        """
        import fcntl

        path = self.root / "locks" / spec_hash
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            yield


def read_row(path: Path) -> dict[str, Any] | None:
    """A row file's content, or None where there is no file.

    Raises:
        CorruptRow: not JSON, not a row, or of a newer schema.
    """
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise CorruptRow(f"{path}: not a file")  # a named pipe would be waited for
        if facts.st_size > MOST_BYTES:
            raise CorruptRow(f"{path}: {facts.st_size:,} bytes; a row has at most {MOST_BYTES:,}")
        row = json.loads(path.read_bytes().decode("utf-8"))
    except FileNotFoundError:
        return None
    except CorruptRow:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise CorruptRow(f"{path}: unreadable ({one_line(error, 200)})") from None
    problem = row_problem(row)
    if problem:
        raise CorruptRow(f"{path}: {problem}")
    return row


def row_problem(row: Any) -> str:
    """What is wrong with a row's shape, its schema or its hash, in one line; the empty string where nothing is."""
    if not isinstance(row, dict):
        return "not a row"
    # numbers first: a hash cannot be made of all of them
    unstorable = row_shape.unstorable(row)
    if unstorable:
        return unstorable
    kinds = {"schema": int, "hash": str, "spec": dict, "status": str}
    kinds |= dict.fromkeys(("metrics", "scored", "details", "training", "cost", "provenance"), dict)
    for key, kind in kinds.items():
        if not isinstance(row.get(key), kind):
            return f"'{key}' is missing or not a {kind.__name__}"
    if row["schema"] > SCHEMA_VERSION:
        return f"schema {row['schema']} is newer than this version of bench reads ({SCHEMA_VERSION})"
    if row["status"] not in STATUSES:
        return f"unknown status '{one_line(row['status'])}'"
    wrong = row_shape.problem(row)
    if wrong:
        return wrong
    expected = RunSpec.from_dict(row["spec"]).hash
    return "" if expected == row["hash"] else f"its spec hashes to {expected}, not to {row_shape.shown(row['hash'])}"


def write_atomically(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` whole or not at all."""
    with written_whole(path) as partial:
        partial.write_text(text, encoding="utf-8")
