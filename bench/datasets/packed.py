"""Official binary files, packed with gzip or plain, read piece by piece.

What a header claims is never allocated before the bytes are there.
"""

from __future__ import annotations

import dataclasses
import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from bench.datasets.base import OfficialFile
from bench.messages import one_line

_PIECE = 1 << 20
_BROKEN = (OSError, EOFError, zlib.error)


def file_label(path: Path) -> str:
    """Data set's folder and file, as messages name it."""
    return f"{path.parent.name}/{path.name}"


def as_found(name: str, root: Path, files: Sequence[OfficialFile]) -> tuple[OfficialFile, ...]:
    """The records, with the name without ``.gz`` where only the unpacked file lies in ``root/name``."""
    return tuple(_as_found(root / name, file) for file in files)


def _as_found(folder: Path, file: OfficialFile) -> OfficialFile:
    plain = file.name.removesuffix(".gz")
    is_unpacked = not (folder / file.name).is_file() and (folder / plain).is_file()
    return dataclasses.replace(file, name=plain) if is_unpacked else file


class PackedFile:
    """The content of a file, unpacked where it begins as gzip does; a context manager.

    Args:
        path: messages name it with its folder, which is the data set's name.
    """

    def __init__(self, path: Path) -> None:
        self.label = file_label(path)
        with path.open("rb") as file:
            is_packed = file.read(2) == b"\x1f\x8b"
        self._stream = gzip.open(path, "rb") if is_packed else path.open("rb")  # noqa: SIM115

    def __enter__(self) -> PackedFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    def read(self, n: int) -> bytes:
        """The next n bytes, fewer only at the end.

        Raises:
            ValueError: the packed data is damaged or cut short.
        """
        pieces, left = [], n
        try:
            while left:
                piece = self._stream.read(min(_PIECE, left))
                if not piece:
                    break
                pieces.append(piece)
                left -= len(piece)
        except _BROKEN as error:
            raise ValueError(
                f"{self.label}: is damaged or cut short ({one_line(error, 150)}); fetch it again"
            ) from None
        return b"".join(pieces)

    def read_exactly(self, n: int, what: str) -> bytes:
        """The next n bytes.

        Raises:
            ValueError: the file ends before them; ``what`` says what was read.
        """
        content = self.read(n)
        if len(content) < n:
            raise ValueError(f"{self.label}: ends {n - len(content):,} bytes before its {what} do; fetch it again")
        return content

    def check_end(self) -> None:
        """ValueError unless the content ends here; the packed form's own checksum is compared on the way."""
        if self.read(1):
            raise ValueError(f"{self.label}: goes on after the last value that its header announces; fetch it again")
