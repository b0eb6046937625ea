"""One array of an .npz file, read from front to back in pieces: official files unpack to more than memory holds.

The header is checked before anything is allocated, nothing is unpickled, and no piece is larger than what was asked
for, so a file that claims terabytes costs nothing. Rows kept on disk are best read with ``bench.datasets.row_file``.
"""

from __future__ import annotations

import lzma
import math
import struct
import warnings
import zipfile
import zlib
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np

from bench.messages import listed, one_line

_PIECE = 1 << 20  # bytes inflated at once
_MAX_AXES = 32
# OSError: a place before the beginning of the file; UnicodeError, struct.error: the directory's names and extra fields
_BROKEN = (
    zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, OSError, UnicodeError, struct.error,
    lzma.LZMAError,
)  # fmt: skip


class NpzMember:
    """The array called ``key`` of an .npz file as a stream of items; a context manager.

    Args:
        path: the .npz file; messages name it with its folder, which is the data set's name.
        key: name of the array, without ``.npy``.
        item_ndim: how many of the last axes make one item; the axes before them are flattened in C order.

    Attributes:
        shape, dtype: of the whole array.
        n_items, item_shape: of the flattened stream.

    Raises:
        ValueError: not a zip file, no such array, a pickled one, or a header that contradicts the stored length.
    """

    def __init__(self, path: Path, key: str, item_ndim: int) -> None:
        self._name = f"{path.parent.name}/{path.name}"
        self._key = key
        self._read = 0
        try:
            self._archive = zipfile.ZipFile(path)
        except (FileNotFoundError, PermissionError):
            raise
        except _BROKEN:
            raise ValueError(f"{self._name}: is not a zip file, or is cut short; fetch it again") from None
        try:
            self._stream = self._open()
            self.shape, self.dtype = self._header(self._stream)
            self._check_length()
            split = len(self.shape) - item_ndim
            if split < 1:
                raise ValueError(
                    f"{self._name}: '{key}' has shape {one_line(self.shape)}, one item alone has {item_ndim} axes"
                )
        except BaseException:
            self._archive.close()
            raise
        self.n_items, self.item_shape = math.prod(self.shape[:split]), self.shape[split:]

    def __enter__(self) -> NpzMember:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()
        self._archive.close()

    def read(self, n: int) -> np.ndarray:
        """The next n items, (n, *item_shape).

        Raises:
            ValueError: fewer are left, the compressed data is damaged, or its checksum differs at the end.
        """
        if not 0 <= n <= self.n_items - self._read:
            raise ValueError(
                f"{self._name}: asked for {n} items of '{self._key}', {self.n_items - self._read} are left"
            )
        items = np.empty((n, *self.item_shape), self.dtype)
        target = items.reshape(-1).view(np.uint8).data
        done = 0
        try:
            while done < len(target):
                piece = self._stream.read(min(_PIECE, len(target) - done))
                if not piece:
                    raise EOFError
                target[done : done + len(piece)] = piece
                done += len(piece)
        except _BROKEN as error:
            raise self._damaged(error) from None
        self._read += n
        return items

    def _open(self) -> IO[bytes]:
        try:
            self._info = self._archive.getinfo(f"{self._key}.npy")
        except KeyError:
            found = listed(name.removesuffix(".npy") for name in self._archive.namelist()) or "nothing"
            raise ValueError(f"{self._name}: has no array '{self._key}', only {found}") from None
        try:
            return self._archive.open(self._info)
        except _BROKEN as error:
            raise self._damaged(error) from None

    def _header(self, stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
        """Shape and dtype; the stream then stands at the first item."""
        try:
            if np.lib.format.read_magic(stream) != (1, 0):  # later ones may claim a header of 4 GB, and numpy reads it
                raise ValueError
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of headers that Python 2 wrote
                shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(stream)
        except _BROKEN as error:
            raise self._damaged(error) from None
        except Exception:  # numpy parses the header as Python text and raises whatever its tokenizer does
            raise ValueError(f"{self._name}: '{self._key}' has no valid array header; fetch the file again") from None
        if dtype.hasobject:
            raise ValueError(f"{self._name}: '{self._key}' is pickled, which is not loaded: it could run code")
        if is_fortran and len(shape) > 1:
            raise ValueError(f"{self._name}: '{self._key}' is in Fortran order, wanted C order")
        if any(not 0 <= size < 1 << 63 for size in shape) or len(shape) > _MAX_AXES:
            raise ValueError(f"{self._name}: '{self._key}' claims the shape {one_line(shape)}")
        return shape, dtype

    def _check_length(self) -> None:
        """What the header claims and what the archive stores must be the same number of bytes."""
        claimed = self._stream.tell() + math.prod(self.shape) * self.dtype.itemsize
        if claimed != self._info.file_size:
            raise ValueError(
                f"{self._name}: '{self._key}' claims {one_line(f'{claimed:,}')} bytes for shape "
                f"{one_line(self.shape)} {one_line(self.dtype)}, "
                f"the archive holds {self._info.file_size:,}"
            )

    def _damaged(self, error: Exception) -> ValueError:
        detail = one_line(error, 150) or "it ends too early"
        return ValueError(f"{self._name}: '{self._key}' is damaged ({detail}); fetch the file again")
