"""Is this the right file: sizes and digests as recorded, as the unpacked content has them, or as got on first use."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from bench.datasets.base import OfficialFile
from bench.locks import held
from bench.store import write_atomically

LEDGER = ".fetched.json"
FIRST_USE, BY_HAND = "first use", "accepted by hand"
_PIECE = 1 << 20
_MAX_CONTENT = 64 * 2**30


@dataclass(frozen=True)
class Received:
    """What is noted beside the data of a file that was fetched or filed.

    Attributes:
        sha256: of the file as it was got.
        basis: what it was held against when it came: "sha256", "md5", "unpacked content", ``BY_HAND`` where it was
            taken although it is not as recorded, or ``FIRST_USE`` where no digest was known and it became the measure.
        origin: address or path that it came from.
        when: ISO 8601, UTC.
        warning: how it differs from what is recorded; empty where it does not.
    """

    sha256: str
    basis: str
    origin: str
    when: str
    warning: str = ""


@dataclass(frozen=True)
class Verdict:
    """Whether a file is the right one.

    Attributes:
        basis: what it was held against, see ``Received``.
        problem: what is wrong, with what was expected and what was found; empty where nothing is.
        warning: a difference that may be, and should be known.
    """

    sha256: str
    basis: str
    problem: str = ""
    warning: str = ""


def examine(path: Path, file: OfficialFile, received: Received | None = None) -> Verdict:
    """Hold the file at ``path`` against what is known of it; reads all of it.

    Digests of the file decide; where they differ, those of its unpacked content may still agree (another compression
    run), and they alone where the file is there unpacked. Where no digest is known, the one noted when the file first
    came is expected.
    """
    if path.name == unpacked_name(file):
        file = replace(
            file, size=None, sha256=file.content_sha256, md5=file.content_md5, content_sha256="", content_md5=""
        )
    digests, size = _digests(path), path.stat().st_size
    sha256 = digests["sha256"]
    if received is not None and received.basis == BY_HAND and received.sha256 == sha256:
        return Verdict(sha256, BY_HAND, warning=received.warning)
    known = {name: getattr(file, name) for name in ("sha256", "md5") if getattr(file, name)}
    wrong = [f"{name}: expected {known[name]}, got {digests[name]}" for name in known if digests[name] != known[name]]
    if file.size is not None and size != file.size:
        wrong.insert(0, f"expected {file.size:,} bytes, got {size:,}")
    if known and not wrong:
        return Verdict(sha256, next(iter(known)))
    if file.content_sha256 or file.content_md5:
        difference = _content_difference(path, file)
        if not difference:
            return Verdict(sha256, "unpacked content")
        wrong.append(difference)
    elif not known and received is not None and received.sha256 != sha256:
        wrong.append(f"sha256: {received.sha256} when it was first got, now {sha256}")
    if wrong:
        return Verdict(sha256, "", "; ".join(wrong))
    if file.warn_md5 and file.warn_md5 == digests["md5"]:
        return Verdict(sha256, "md5")
    warning = (
        f"md5: {digests['md5']}, while {file.warn_md5} was recorded at an earlier address" if file.warn_md5 else ""
    )
    return Verdict(sha256, FIRST_USE, warning=warning)


def unpacked_name(file: OfficialFile) -> str:
    """What a .gz of known content is called once it is unpacked; empty for other files."""
    name = Path(file.name).name
    is_known = file.content_sha256 or file.content_md5
    return name.removesuffix(".gz") if is_known and name.endswith(".gz") else ""


def _content_difference(path: Path, file: OfficialFile) -> str:
    """What is wrong with the unpacked content of a .gz, or the empty string."""
    found = _content_digests(path)
    if not found:
        return "it cannot be unpacked"
    for name, wanted in (("sha256", file.content_sha256), ("md5", file.content_md5)):
        if wanted and found[name] != wanted:
            return f"{name} of its unpacked content: expected {wanted}, got {found[name]}"
    return ""


def _digests(path: Path) -> dict[str, str]:
    found = {"sha256": hashlib.sha256(), "md5": hashlib.md5(usedforsecurity=False)}
    with path.open("rb") as stream:
        while piece := stream.read(_PIECE):
            for digest in found.values():
                digest.update(piece)
    return {name: digest.hexdigest() for name, digest in found.items()}


def _content_digests(path: Path) -> dict[str, str]:
    """Digests of what a .gz unpacks to; nothing where it is no gzip, is damaged, or unpacks without end."""
    found = {"sha256": hashlib.sha256(), "md5": hashlib.md5(usedforsecurity=False)}
    total = 0
    try:
        with gzip.open(path) as stream:
            while piece := stream.read(_PIECE):
                total += len(piece)
                if total > _MAX_CONTENT:
                    return {}
                for digest in found.values():
                    digest.update(piece)
    except (OSError, EOFError, zlib.error):
        return {}
    return {name: digest.hexdigest() for name, digest in found.items()}


class Ledger:
    """What was noted of the files of one folder when they came; a damaged note counts as none."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / LEDGER

    def get(self, name: str) -> Received | None:
        entry = self._read().get(name)
        known = {field.name for field in fields(Received)}
        if not isinstance(entry, dict) or set(entry) != known or not all(isinstance(v, str) for v in entry.values()):
            return None
        return Received(**entry)

    def put(self, name: str, received: Received) -> None:
        # other files of the folder may arrive at this moment
        with held(self.path.parent.parent / ".locks" / f"{self.path.parent.name}-{LEDGER}"):
            text = json.dumps({**self._read(), name: asdict(received)}, indent=1, sort_keys=True)
            write_atomically(self.path, text + "\n")

    def _read(self) -> dict[str, object]:
        try:
            known = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return known if isinstance(known, dict) else {}
