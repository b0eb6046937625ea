"""Official files below the data root: are they there, and which content do they have."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

from bench.datasets.base import OfficialFile, Source, file_sha256

MANIFEST = ".fingerprints.json"


def official_source(name: str, root: Path, files: Sequence[OfficialFile], asked: str) -> Source | None:
    """The official source where every file is there, None where one is missing and something else may be used.

    Args:
        name: the data set; its files lie in ``root/name``.
        asked: the config's ``source``; "official" makes a missing file an error, "generated" never looks.

    Raises:
        FileNotFoundError: official files were asked for and one is missing; says how to get it.
    """
    if asked not in ("auto", "official"):
        return None
    missing = [file for file in files if not (root / name / file.name).is_file()]
    if not missing:
        return Source("official", fingerprint([root / name / file.name for file in files]))
    if asked == "official":
        raise missing_file(name, missing[0])
    return None


def missing_file(name: str, file: OfficialFile) -> FileNotFoundError:
    """The error for an official file that is not there, with the way to obtain it."""
    how = f"Run `bench data fetch {name}`, or put the file there."
    if not file.addresses:
        how = f"It must be obtained by hand: `bench data fetch {name}` says how."
    return FileNotFoundError(f"{name}: {file.name} is not in DATA_ROOT/{name}. {how}")


def fingerprint(paths: Sequence[Path]) -> str:
    """sha256 of the files' content, one digest for all; the file's own where there is one file."""
    digests = [_remembered_sha256(path) for path in paths]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def _remembered_sha256(path: Path) -> str:
    """Content digest, read from a note beside the file while size and time of change are the noted ones.

    Some sets are many gigabytes, and every command asks.
    """
    stat = path.stat()
    stamp = [stat.st_size, stat.st_mtime_ns]
    note = path.parent / MANIFEST
    try:
        known = json.loads(note.read_text(encoding="utf-8"))
        if known[path.name][:2] == stamp:
            return str(known[path.name][2])
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        known = {}
    digest = file_sha256(path)
    try:
        partial = note.with_name(f"{MANIFEST}.{os.getpid()}")
        partial.write_text(json.dumps({**known, path.name: [*stamp, digest]}, indent=1), encoding="utf-8")
        os.replace(partial, note)
    except OSError:
        pass  # a read-only data folder: the digest is made each time
    return digest
