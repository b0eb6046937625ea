"""Official files below the data root: are they there, and which content do they have."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from bench.datasets.base import OfficialFile, Source, file_sha256

MANIFEST = ".fingerprints.json"
_TREE = "."  # in the manifest: all files of a corpus
ADDED = "added"  # below the data root: data sets that a user added, see bench.datasets.added


def data_root(given: str | Path | None = None) -> Path:
    """The folder of data: the one given, else ``BENCH_DATA``, else one in the user's cache folder."""
    given = given or os.environ.get("BENCH_DATA")
    if given:
        return Path(given)
    import pooch

    return Path(pooch.os_cache("bench")) / "data"


def place(name: str, root: Path, file: OfficialFile) -> Path:
    """Where the file of the data set called ``name`` lies below the data root."""
    return root / (file.folder or name) / file.name


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
    missing = [file for file in files if not place(name, root, file).is_file()]
    if not missing:
        return Source("official", fingerprint([place(name, root, file) for file in files]))
    if asked == "official":
        raise missing_file(name, missing[0])
    return None


def missing_file(name: str, file: OfficialFile) -> FileNotFoundError:
    """The error for an official file that is not there, with the way to obtain it."""
    how = f"Run `bench data fetch {name}`, or put the file there."
    if not file.addresses:
        how = f"It must be obtained by hand: `bench data fetch {name}` says how."
    return FileNotFoundError(f"{name}: {file.name} is not in DATA_ROOT/{file.folder or name}. {how}")


def fingerprint(paths: Sequence[Path]) -> str:
    """sha256 of the files' content, one digest for all; the file's own where there is one file."""
    digests = [remembered_sha256(path) for path in paths]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def remembered_sha256(path: Path) -> str:
    """Content digest, read from a note beside the file while size and time of change are the noted ones.

    Some sets are many gigabytes, and every command asks.
    """
    stat = path.stat()
    stamp = [stat.st_size, stat.st_mtime_ns]
    noted = _notes(path).get(path.name)
    if isinstance(noted, list) and len(noted) == 3 and noted[:2] == stamp and _is_digest(noted[2]):
        return str(noted[2])
    digest = file_sha256(path)
    note_sha256(path, digest)
    return digest


def remembered_tree_sha256(folder: Path, names: Sequence[PurePosixPath]) -> str:
    """One digest of names and contents of many files below ``folder``, noted beside them as long as none is changed."""
    listing = hashlib.sha256()
    for name in names:
        stat = (folder / name).stat()
        listing.update(f"{name}|{stat.st_size}|{stat.st_mtime_ns}\n".encode())
    stamp = listing.hexdigest()
    noted = _notes(folder / MANIFEST).get(_TREE)
    if isinstance(noted, list) and len(noted) == 2 and noted[0] == stamp and _is_digest(noted[1]):
        return str(noted[1])
    content = hashlib.sha256()
    for name in names:
        content.update(f"{name}|{file_sha256(folder / name)}\n".encode())
    _note(folder / MANIFEST, _TREE, [stamp, content.hexdigest()])
    return content.hexdigest()


def note_sha256(path: Path, digest: str) -> None:
    """Remember the digest of a file as it is now; a read-only folder is left as it is."""
    stat = path.stat()
    _note(path.parent / MANIFEST, path.name, [stat.st_size, stat.st_mtime_ns, digest])


def _note(note: Path, name: str, value: list[Any]) -> None:
    known = {**_notes(note), name: value}
    partial = note.with_name(f"{MANIFEST}.{os.getpid()}")
    try:
        partial.write_text(json.dumps(known, indent=1), encoding="utf-8")
        os.replace(partial, note)
    except OSError:
        pass


def _notes(path: Path) -> dict[str, Any]:
    """What is noted of the files in the folder of ``path``; nothing where the note is damaged or not ours."""
    try:
        known = json.loads((path.parent / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) else {}


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef")
