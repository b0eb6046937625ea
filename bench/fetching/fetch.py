"""Brings official files below the data root, from their addresses or from where a person put them, and checks them.

pooch decides whether a file must be fetched, holds it against its checksum and gives it its name; how bytes come is
``bench.fetching.download``'s part. A file that is not the right one is kept aside as ``.bad`` and never used.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

from bench.datasets.base import OfficialFile
from bench.datasets.official import note_sha256, place
from bench.fetching.checksums import BY_HAND, FIRST_USE, Ledger, Received, Verdict, examine, unpacked_name
from bench.fetching.download import (
    DiskFull,
    Patience,
    Unavailable,
    check_space,
    discard,
    disk_error,
    download,
    host,
    looks_like_a_page,
    partial_size,
    read_json,
)
from bench.files.archives import is_archive, unpack
from bench.locks import held
from bench.provenance import now

State = Literal["present", "partial", "absent"]
ZENODO = re.compile(r"(https://zenodo\.org)/records?/(\d+)/files/([^?]+)")
_PIECE = 1 << 20


class FetchError(OSError):
    """A file could not be obtained, or is not the right one; one line with what to do."""


class ByHand(FetchError):
    """A file that no program may fetch; ``instructions`` say how a person does."""

    def __init__(self, message: str, instructions: str) -> None:
        super().__init__(message)
        self.instructions = instructions


def _quiet(*_: Any) -> None:
    return None


@dataclass(frozen=True)
class Fetcher:
    """Fetches and files the official files of data sets.

    Attributes:
        root: the data root; files of a data set lie in ``root/<data set>``.
        accept: take files whose checksum differs; a warning is then noted beside the data.
        note: told in a line what is waited for or set aside.
        progress: (file, bytes there, bytes in all or None), called for every piece.
    """

    root: Path
    accept: bool = False
    note: Callable[[str], None] = _quiet
    progress: Callable[[OfficialFile, int, int | None], None] = _quiet
    patience: Patience = field(default_factory=Patience)
    sleep: Callable[[float], None] = time.sleep

    def path(self, dataset: str, file: OfficialFile) -> Path:
        """Where the file is or will be; its unpacked form where that is there instead."""
        path = place(dataset, self.root, file)
        unpacked = path.with_name(unpacked_name(file) or path.name)
        return unpacked if unpacked.is_file() and not path.is_file() else path

    def state(self, dataset: str, file: OfficialFile) -> State:
        """Whether the file is there; cheap, its content is not looked at."""
        path = self.path(dataset, file)
        if path.is_file():
            return "present"
        return "partial" if partial_size(_part(path)) else "absent"

    def to_fetch(self, dataset: str, file: OfficialFile) -> int | None:
        """Bytes still to come; None where the size of the file is not recorded."""
        if self.state(dataset, file) == "present":
            return 0
        if file.size is None:
            return None
        return max(0, file.size - partial_size(_part(self.path(dataset, file))))

    def fetch(self, dataset: str, file: OfficialFile) -> str:
        """Make the right file be there; returns in words how it came and what it was held against.

        Two calls at once, in different processes too, do the work once.

        Raises:
            ByHand: it has no address and is not there.
            FetchError: no address gives it, or none gives the right content.
            DiskFull: what was got is kept.
        """
        path = place(dataset, self.root, file)
        if not file.addresses and not self.path(dataset, file).is_file():
            raise by_hand(dataset, file, self.root)
        with self._held(path):
            there = self._check_present(dataset, self.path(dataset, file), file)
            if there is not None:
                return there
            file = with_zenodo_facts(file, self.note) if file.size is None else file
            problems = []
            for address in file.addresses:
                try:
                    return self._retrieve(dataset, path, file, address)
                except Unavailable as error:
                    problems.append(str(error))
                    if address != file.addresses[-1]:
                        self.note(f"{dataset}: {file.name}: {error}; trying the next address")
        raise FetchError(f"{dataset}: {file.name} could not be fetched. {'; '.join(problems)}{self._way_out(path)}")

    def file_away(self, dataset: str, files: Sequence[OfficialFile], where: Path) -> list[tuple[OfficialFile, str]]:
        """Copy those of ``files`` that are in ``where`` (a file or a folder) below the data root, once checked.

        A file is found by its name, or else by its size and checksum. Returns each with where it came from.

        Raises:
            FetchError: nothing of the data set is there, or a file is not the right one.
            ArchiveRefused: ``where`` is an archive that is damaged or would write where it must not.
        """
        if not where.exists():
            raise FetchError(f"--import {where}: no such file or folder")
        found = self._find(files, where)
        if not found and where.is_file() and is_archive(where):
            return self._file_unpacked(dataset, files, where)
        if not found and where.is_file() and len(files) == 1:
            found = [(files[0], where)]  # said to be wrong, with what was expected, when it is filed
        if not found:
            wanted = ", ".join(file.name for file in files[:4]) + (", …" if len(files) > 4 else "")
            raise FetchError(f"{dataset}: none of its files in {where}; wanted {wanted}")
        taken = []
        for file, source in found:
            path = place(dataset, self.root, file)
            with self._held(path):
                there = self._check_present(dataset, self.path(dataset, file), file)
                taken.append((file, there if there is not None else self._file_one(dataset, file, source, path)))
        return taken

    def verify(self, dataset: str, file: OfficialFile) -> tuple[bool, str]:
        """Whether the file that is there is the right one, and in words against what it was held; reads all of it."""
        path = self.path(dataset, file)
        received = Ledger(path.parent).get(path.name)
        verdict = examine(path, file, received)
        if verdict.problem:
            return False, verdict.problem
        note_sha256(path, verdict.sha256)
        if received is None and verdict.basis == FIRST_USE:
            size = "size as recorded, but " if file.size is not None else ""
            return True, f"{size}no checksum is recorded to hold it against{_warned(verdict)}"
        return True, _in_words(verdict, file, known=received is not None)

    def _held(self, path: Path) -> AbstractContextManager[None]:
        if path.is_file() and not os.access(path.parent, os.W_OK):
            return nullcontext()  # a read-only folder whose file is only looked at
        waiting = f"waiting for another process that fetches {path.name}"
        return held(self.root / ".locks" / self._lock_name(path), lambda: self.note(waiting))

    def _lock_name(self, path: Path) -> str:
        return "-".join(path.relative_to(self.root).parts)

    def _check_present(self, dataset: str, path: Path, file: OfficialFile) -> str | None:
        """In words what the file that is there was held against; None where there is none, or where it was wrong."""
        if not path.is_file():
            return None
        ledger = Ledger(path.parent)
        received = ledger.get(path.name)
        verdict = examine(path, file, received)
        if verdict.problem and not self.accept:
            aside = _set_aside(path, path)
            self.note(
                f"{dataset}: {path.name} was there but is not the right one ({verdict.problem}); now {aside.name}"
            )
            return None
        if (received is None or verdict.problem) and os.access(path.parent, os.W_OK):
            self._take(path, verdict, "found there")
        return f"present, {_in_words(verdict, file, known=received is not None)}"

    def _retrieve(self, dataset: str, path: Path, file: OfficialFile, address: str) -> str:
        import logging

        import pooch

        pooch.get_logger().setLevel(logging.WARNING)  # it reports in lines of its own
        ledger, outcome = Ledger(path.parent), []

        def bring(url: str, output: str, _: Any) -> None:
            part = _part(path)
            part.parent.mkdir(parents=True, exist_ok=True)
            download(
                url, part, size=None if self.accept or file.content_sha256 or file.content_md5 else file.size,
                is_checked=bool(file.sha256 or file.md5), patience=self.patience, sleep=self.sleep, note=self.note,
                progress=lambda there, total: self.progress(file, there, total),
            )  # fmt: skip
            verdict = examine(part, file, ledger.get(path.name))
            if verdict.problem and not self.accept:
                aside = _set_aside(part, path)
                discard(part)
                raise Unavailable(f"{host(url)}: not the right file ({verdict.problem}); kept as {aside.name}")
            # a second name rather than a new one: killed while pooch reads it, nothing has to be fetched again
            os.unlink(output)
            try:
                os.link(part, output)
            except OSError:  # a file system without links
                os.replace(part, output)
            outcome.append(verdict)

        strict = f"sha256:{file.sha256}" if file.sha256 else f"md5:{file.md5}" if file.md5 else None
        if self.accept or file.content_sha256 or file.content_md5:
            strict = None  # the file's own digest is not what decides
        # pooch leaves a temporary file behind when it is killed: here, where the next call removes it
        incoming = self.root / ".incoming" / self._lock_name(path)
        shutil.rmtree(incoming, ignore_errors=True)
        try:
            os.replace(pooch.retrieve(address, strict, fname=path.name, path=incoming, downloader=bring), path)
        finally:
            shutil.rmtree(incoming, ignore_errors=True)
        _sync_folder(path.parent)
        discard(_part(path))
        verdict = outcome[0]
        self._take(path, verdict, address)
        return f"fetched from {host(address)}, {_in_words(verdict, file)}"

    def _take(self, path: Path, verdict: Verdict, origin: str) -> None:
        """Note what was taken, from where, and how it differs from what is recorded."""
        ledger, name = Ledger(path.parent), path.name
        note_sha256(path, verdict.sha256)
        if verdict.problem:
            self.note(f"{name} is taken although it is not as recorded ({verdict.problem}); noted in {ledger.path}")
        elif verdict.warning:
            self.note(f"{name}: {verdict.warning}; noted in {ledger.path}")
        basis = BY_HAND if verdict.problem else verdict.basis
        ledger.put(name, Received(verdict.sha256, basis, origin, now(), verdict.problem or verdict.warning))

    def _way_out(self, path: Path) -> str:
        if _bad(path).is_file():
            return ". If another version is what you want, --accept-checksum takes it with a warning"
        return ""

    def _find(self, files: Sequence[OfficialFile], where: Path) -> list[tuple[OfficialFile, Path]]:
        paths = [where] if where.is_file() else sorted(path for path in where.rglob("*") if path.is_file())
        found: list[tuple[OfficialFile, Path]] = []
        for file in files:
            named = [path for path in paths if path.name == Path(file.name).name]
            # a browser renames a second download, and an archive may have been unpacked under other names
            alike = [path for path in paths if file.size is not None and path.stat().st_size == file.size]
            right = next((path for path in [*named, *alike] if not examine(path, file).problem), None)
            if right is None and named:
                right = named[0]  # said to be wrong, with what was expected, when it is filed
            if right is not None:
                found.append((file, right))
        return found

    def _file_unpacked(
        self, dataset: str, files: Sequence[OfficialFile], archive: Path
    ) -> list[tuple[OfficialFile, str]]:
        """``file_away`` for an archive that holds the files: unpacked beside their place, and removed again."""
        folder = self.root / dataset / f".unpacked.{os.getpid()}"
        try:
            unpack(archive, folder, max_bytes=shutil.disk_usage(_existing(folder)).free)
            return self.file_away(dataset, files, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _file_one(self, dataset: str, file: OfficialFile, source: Path, path: Path) -> str:
        with source.open("rb") as stream:
            if looks_like_a_page(stream.read(1024)):
                raise FetchError(f"{dataset}: {source} is a web page (a quota or a login?), not {file.name}")
        ledger = Ledger(path.parent)
        verdict = examine(source, file, ledger.get(path.name))
        if verdict.problem and not self.accept:
            raise FetchError(
                f"{dataset}: {source} is not the right {path.name} ({verdict.problem}). "
                "If another version is what you want, --accept-checksum takes it with a warning"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        check_space(path.parent, source.stat().st_size)
        part = _part(path)
        discard(part)
        try:
            _copy(source, part)
            os.replace(part, path)
        except BaseException:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
        self._take(path, verdict, str(source))
        return f"filed from {source}, {_in_words(verdict, file)}"


def by_hand(dataset: str, file: OfficialFile, root: Path) -> ByHand:
    """The error for a file that a person must obtain, with the whole recipe."""
    lines = [f"{file.name} must be obtained by hand:", f"  {file.by_hand or 'its authors give it on request'}"]
    if file.size is not None:
        lines.append(f"  size: {file.size:,} bytes")
    lines += [f"  {kind}: {getattr(file, kind)}" for kind in ("sha256", "md5") if getattr(file, kind)]
    lines.append(f"  then: bench data fetch {dataset} --import FILE_OR_FOLDER")
    lines.append(f"  which checks it and copies it to {place(dataset, root, file)}")
    return ByHand(f"{dataset}: {file.name} must be obtained by hand", "\n".join(lines))


def with_zenodo_facts(file: OfficialFile, note: Callable[[str], None] = _quiet) -> OfficialFile:
    """The file with the size and md5 that the record on Zenodo states; unchanged where that cannot be read."""
    for address in file.addresses:
        match = ZENODO.match(address)
        if match is None or file.sha256 or file.md5:
            continue
        base, record, name = match[1], match[2], unquote(match[3])
        try:
            entries = read_json(f"{base}/api/records/{record}")["files"]
            entry = next(one for one in entries if one["key"] == name)
            kind, _, digest = entry["checksum"].partition(":")
            if kind == "md5" and re.fullmatch(r"[0-9a-f]{32}", digest):
                return replace(file, size=int(entry["size"]), md5=digest)
        except Unavailable as error:
            note(f"the record on Zenodo, which has the checksum of {file.name}, cannot be read: {error}")
        except (LookupError, TypeError, ValueError, AttributeError, StopIteration):
            note(f"the record {record} on Zenodo does not state the checksum of {file.name}")
    return file


def check_room(fetcher: Fetcher, dataset: str, files: Iterable[OfficialFile]) -> None:
    """Raise DiskFull where the files that are still to come do not fit, before anything is fetched."""
    check_space(_existing(fetcher.root), sum(fetcher.to_fetch(dataset, file) or 0 for file in files))


def _copy(source: Path, part: Path) -> None:
    try:
        with source.open("rb") as here, part.open("wb", buffering=0) as there:
            shutil.copyfileobj(here, there, _PIECE)
            os.fsync(there.fileno())
    except OSError as error:
        raise disk_error(error, part.parent) from None


def _in_words(verdict: Verdict, file: OfficialFile, *, known: bool = False) -> str:
    """What a file was held against; ``known`` where it came at another time."""
    if verdict.problem or verdict.basis == BY_HAND:
        return f"taken with --accept-checksum{_warned(verdict)}"
    if verdict.basis == "unpacked content":
        return "its unpacked content is as recorded"
    if verdict.basis != FIRST_USE:
        return f"{verdict.basis} as recorded"
    if known:
        return f"as it was when first got{_warned(verdict)}"
    size = "size as recorded, " if file.size is not None else ""
    return f"{size}no checksum is recorded: this one is from now on{_warned(verdict)}"


def _warned(verdict: Verdict) -> str:
    return f" ({verdict.warning})" if verdict.warning else ""


def _existing(folder: Path) -> Path:
    """The nearest folder above that is there."""
    return folder if folder.exists() else _existing(folder.parent)


def _part(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


def _bad(path: Path) -> Path:
    return path.with_name(f"{path.name}.bad")


def _set_aside(path: Path, wanted: Path) -> Path:
    os.replace(path, _bad(wanted))
    return _bad(wanted)


def _sync_folder(folder: Path) -> None:
    """Make the new name outlive a power failure, where the system lets folders be synced."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


__all__ = ["ByHand", "DiskFull", "FetchError", "Fetcher", "by_hand", "check_room", "with_zenodo_facts"]
