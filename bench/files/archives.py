"""Unpacks tar and zip archives from anywhere: nothing lands outside the folder asked for, and nothing but plain files.

A member with an absolute name, a name that climbs with ``..``, a link or a device makes the whole archive refused.
Sizes are counted as they are unpacked, whatever a header claims. The folder appears whole or not at all.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any

from bench.messages import one_line

MAX_BYTES = 200 * 2**30
MAX_MEMBERS = 1_000_000
_PIECE = 1 << 20
_READ = 4 * _PIECE  # tarfile asks for more at once only for an extended header, which it reads into memory whole
DAMAGE = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, struct.error, RuntimeError,
    NotImplementedError, gzip.BadGzipFile, UnicodeError, OverflowError, KeyError, IndexError,
)  # fmt: skip


class ArchiveRefused(ValueError):
    """An archive that is damaged, too large, or would write where it must not; the message names it and the member."""


def is_archive(path: Path) -> bool:
    """The content is a zip file or a (compressed) tar file, whatever the name says."""
    try:
        if zipfile.is_zipfile(path):
            return True
        with _tar_stream(path) as stream:
            tarfile.open(fileobj=_Guarded(stream), mode="r:").close()  # type: ignore[call-overload]
            return True
    except (OSError, ValueError, *DAMAGE):
        return False


def unpack(archive: Path, folder: Path, *, max_bytes: int = MAX_BYTES, max_members: int = MAX_MEMBERS) -> int:
    """Unpack into ``folder``, which must not exist yet; returns the number of files.

    Modes, owners and times of the archive are left out: files are made as any other of the caller's.

    Raises:
        ArchiveRefused: see the class; nothing is left behind.
        FileExistsError: ``folder`` is there.
        OSError: the disk is full, or the folder above cannot be written to.
    """
    if folder.exists():
        raise FileExistsError(f"{folder} exists; move it away to unpack {archive.name} again")
    folder.parent.mkdir(parents=True, exist_ok=True)
    target = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(target, ignore_errors=True)  # of a call that was killed
    target.mkdir()
    try:
        with _reported(archive):
            n = _unpack(archive, target, max_bytes, max_members)
        os.sync()  # or the name could outlive the content when the power fails
        target.rename(folder)
        return n
    finally:
        shutil.rmtree(target, ignore_errors=True)


def _unpack(archive: Path, target: Path, max_bytes: int, max_members: int) -> int:
    left, n_files = max_bytes, 0
    members = _zip_members(archive) if zipfile.is_zipfile(archive) else tar_members(archive, strict=True)
    for count, (name, content) in enumerate(members, 1):
        if count > max_members:
            raise ArchiveRefused(f"{archive.name}: more than {max_members:,} members")
        path = _inside(target, name, archive.name)
        try:
            if content is None:
                path.mkdir(parents=True, exist_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("xb")
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            raise ArchiveRefused(
                f"{archive.name}: '{one_line(name)}' is in it twice, or as file and as folder"
            ) from None
        with file:
            n_files += 1
            while piece := content.read(_PIECE):
                left -= len(piece)
                if left < 0:
                    raise ArchiveRefused(f"{archive.name}: more than {max_bytes:,} bytes when unpacked")
                file.write(piece)
    if not n_files:
        raise ArchiveRefused(f"{archive.name}: no files in it")
    return n_files


def _inside(target: Path, name: str, archive: str) -> Path:
    """The path below ``target`` that a member's name means."""
    pure, windows = PurePosixPath(name), PureWindowsPath(name)
    if pure.is_absolute() or windows.drive or windows.root or ".." in windows.parts:
        raise ArchiveRefused(f"{archive}: '{one_line(name)}' would be written outside its folder; nothing was unpacked")
    if "\\" in name or "\x00" in name or len(name) > 1_000:
        raise ArchiveRefused(f"{archive}: '{one_line(name)}' is no name for a file; nothing was unpacked")
    return target / pure


def _zip_members(archive: Path) -> Iterator[tuple[str, Member | None]]:
    with zipfile.ZipFile(archive) as file:
        for info in file.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _not_plain(archive, info.filename)
            if info.is_dir():
                yield info.filename, None
                continue
            with _reported(archive, OSError):  # a place before the start of the file, for instance
                content = file.open(info)
            with content:
                yield info.filename, Member(content, archive)


def tar_members(archive: Path, *, strict: bool = False) -> Iterator[tuple[str, Member | None]]:
    """Names and contents of the members of a (compressed) tar file in its order, a folder's content being None.

    A content can be read until the next member is asked for. Nothing is written, so names are given as they are.

    Args:
        strict: refuse links and devices, which are left out otherwise.

    Raises:
        ArchiveRefused: not a tar file, damaged or cut short.
    """
    with (
        _reported(archive),
        _tar_stream(archive) as stream,
        tarfile.open(fileobj=_Guarded(stream), mode="r:") as file,  # type: ignore[call-overload]
    ):
        for member in file:
            if member.isdir():
                yield member.name, None
            elif member.isreg() and not member.issparse():
                yield member.name, Member(file.extractfile(member), archive)
            elif strict:
                raise _not_plain(archive, member.name)


class Member:
    """The content of one member as a stream of bytes."""

    def __init__(self, stream: Any, archive: Path) -> None:
        self._stream, self._archive = stream, archive

    def read(self, size: int = -1) -> bytes:
        """The next bytes, at most ``size`` of them (all with -1), fewer only at the end.

        Raises:
            ArchiveRefused: damaged or cut short.
        """
        pieces, left = [], size
        with _reported(self._archive, OSError):
            while left and (piece := self._stream.read(_PIECE if left < 0 else min(left, _PIECE))):
                pieces.append(piece)
                left -= len(piece) if left > 0 else 0
        return b"".join(pieces)


@contextmanager
def _reported(archive: Path, *more: type[Exception]) -> Iterator[None]:
    """What the readers raise on a damaged archive, and ``more``, becomes one line with its name."""
    try:
        yield
    except DAMAGE + more as error:
        text = one_line(" ".join(str(error).split()), 200) or type(error).__name__
        raise ArchiveRefused(f"{archive.name}: damaged or cut short ({text})") from None


def _not_plain(archive: Path, name: str) -> ArchiveRefused:
    return ArchiveRefused(
        f"{archive.name}: '{one_line(name)}' is a link or a device; only files and folders are unpacked"
    )


@contextmanager
def _tar_stream(archive: Path) -> Iterator[IO[bytes]]:
    """The uncompressed content, told from the first bytes."""
    with archive.open("rb") as raw:
        head = raw.read(6)
        raw.seek(0)
        if head.startswith(b"\x1f\x8b"):
            with gzip.open(raw) as stream:
                yield stream  # type: ignore[misc]
        elif head.startswith(b"BZh"):
            with bz2.open(raw) as stream:
                yield stream  # type: ignore[misc]
        elif head.startswith(b"\xfd7zXZ\x00"):
            with lzma.open(raw) as stream:
                yield stream  # type: ignore[misc]
        else:
            yield raw


class _Guarded:
    """A stream that refuses the one large read that a forged extended header asks tarfile for."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _READ:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        return self._stream.read(size)
