"""The binary matrices of NORB (LeCun, Huang, Bottou, CVPR 2004): called ``.mat``, but nothing of MATLAB's.

Little-endian: int32 magic number, int32 number of axes, then max(3, axes) int32 sizes of which the unused are 1, then
the values, last axis fastest.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path
from types import TracebackType

import numpy as np

from bench.datasets.packed import PackedFile

_TYPES = {0x1E3D4C55: "uint8", 0x1E3D4C54: "int32", 0x1E3D4C56: "int16", 0x1E3D4C51: "float32", 0x1E3D4C53: "float64"}
_MAX_AXES = 8


class NorbMatrix:
    """A matrix file, packed with gzip or not, read from front to back; a context manager.

    Args:
        path: the file.
        dtype, shape: what it must hold; anything else is refused before values are read.

    Raises:
        ValueError: another magic number, type or shape.
    """

    def __init__(self, path: Path, dtype: str, shape: tuple[int, ...]) -> None:
        self._file = PackedFile(path)
        self._dtype, self._shape, self._read = np.dtype(dtype).newbyteorder("<"), shape, 0
        try:
            found = self._header()
            if found != (dtype, shape):
                raise ValueError(
                    f"{self._file.label}: wanted {_words(dtype, shape)}, its header claims {_words(*found)}"
                )
        except BaseException:
            self._file.__exit__(None, None, None)
            raise

    def __enter__(self) -> NorbMatrix:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.__exit__(kind, error, trace)

    def read(self, n: int) -> np.ndarray:
        """The next n entries of the first axis, in native byte order; the last ones also check that the file ends.

        Raises:
            ValueError: the file is damaged, ends early or goes on too long.
        """
        entry = self._shape[1:]
        n_bytes = n * math.prod(entry) * self._dtype.itemsize
        content = self._file.read_exactly(n_bytes, f"{' × '.join(map(str, self._shape))} values")
        self._read += n
        if self._read == self._shape[0]:
            self._file.check_end()
        return np.frombuffer(content, self._dtype).reshape(n, *entry).astype(self._dtype.newbyteorder("="), copy=False)

    def _header(self) -> tuple[str, tuple[int, ...]]:
        magic, n_axes = struct.unpack("<ii", self._file.read_exactly(8, "header"))
        if magic not in _TYPES:
            raise ValueError(f"{self._file.label}: is not a NORB matrix: it begins with 0x{magic & 0xFFFFFFFF:08x}")
        if not 1 <= n_axes <= _MAX_AXES:
            raise ValueError(f"{self._file.label}: its header claims {n_axes} axes")
        sizes = struct.unpack(f"<{max(3, n_axes)}i", self._file.read_exactly(4 * max(3, n_axes), "header"))
        return _TYPES[magic], sizes[:n_axes]


def _words(dtype: str, shape: tuple[int, ...]) -> str:
    return f"{' × '.join(map(str, shape))} {dtype}"
