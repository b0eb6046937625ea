"""The npy format, read as data: a header that lies gives one error, and no array gets what the file does not hold."""

from __future__ import annotations

import io
import tokenize
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

_PIECE = 1 << 20  # bytes read at once
_MAX_AXES = 32
_MAX_HEADER = 10_000

# What numpy, and the Python parser below it, raise on headers that are none.
_NO_HEADER = (
    ValueError, TypeError, KeyError, IndexError, AttributeError, SyntaxError, EOFError, OverflowError, RecursionError,
    MemoryError, tokenize.TokenError,
)  # fmt: skip


@dataclass(frozen=True)
class Header:
    """What an npy header claims.

    Attributes:
        is_fortran: the values are in Fortran order.
    """

    shape: tuple[int, ...]
    is_fortran: bool
    dtype: np.dtype[Any]

    @property
    def n_bytes(self) -> int:
        return count_bytes(self.shape, self.dtype)


def count_bytes(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    """Bytes of an array of any claimed shape."""
    count = dtype.itemsize
    for length in shape:
        count *= int(length)  # Python integers: a product of claimed lengths must not wrap around
    return count


def read_header(stream: BinaryIO) -> Header:
    """The header at the start of a stream, which then stands at the first value; nothing is allocated.

    Raises:
        ValueError: one line: another format, another version, or a header that describes no array.
    """
    raw = _raw_header(stream)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice to whoever wrote the file, about Python 2 and odd literals
        try:
            read = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}[raw[6]]
            shape, is_fortran, dtype = read(io.BytesIO(raw[8:]))
        except _NO_HEADER as error:
            raise ValueError(" ".join(str(error).split()) or type(error).__name__) from None
    header = Header(tuple(map(int, shape)), bool(is_fortran), dtype)
    least = count_bytes(tuple(length or 1 for length in header.shape), dtype)  # numpy multiplies in 63 bits
    if any(length < 0 for length in shape) or len(shape) > _MAX_AXES or (least >= 2**63 and not header.n_bytes):
        raise ValueError(f"claims shape {str(shape)[:80]}")
    return header


def _raw_header(stream: BinaryIO) -> bytes:
    """Magic, version, length and text of a header; a claimed length costs nothing."""
    raw = stream.read(8)
    if len(raw) < 8 or not raw.startswith(np.lib.format.MAGIC_PREFIX):
        raise ValueError("no npy header")
    if tuple(raw[6:]) not in ((1, 0), (2, 0)):
        raise ValueError(f"written in npy version {raw[6]}.{raw[7]}; wanted 1.0 or 2.0")
    length = stream.read(2 * raw[6])
    size = int.from_bytes(length, "little")
    if size > _MAX_HEADER:
        raise ValueError(f"claims a header of {size:,} bytes")
    return raw + length + stream.read(size)


def mapped(path: Path) -> np.memmap:
    """The array of an npy file that holds nothing else, memory-mapped read-only.

    Raises:
        ValueError: another format, Python objects, or a file longer or shorter than its header says.
    """
    with path.open("rb") as stream:
        header, offset = read_header(stream), stream.tell()
    if header.dtype.kind not in "fiubUS":
        raise ValueError(f"{path}: holds {header.dtype}, not plain values")
    size = path.stat().st_size
    if offset + header.n_bytes != size:
        raise ValueError(f"{path}: claims {offset + header.n_bytes:,} bytes and has {size:,}")
    order: Literal["F", "C"] = "F" if header.is_fortran else "C"
    return np.memmap(path, header.dtype, "r", offset, header.shape, order)


def read_values(stream: BinaryIO, header: Header) -> np.ndarray:
    """The array whose header was just read.

    Memory is touched only as far as the stream has bytes for it.

    Raises:
        EOFError: the stream ends before the array does.
        ValueError: Python objects, which are never read.
    """
    if header.dtype.hasobject:
        raise ValueError("holds Python objects, which are never read")
    flat = np.empty(header.n_bytes, np.uint8)
    view, done = memoryview(flat), 0  # type: ignore[arg-type]
    while done < len(flat):
        piece = stream.read(min(_PIECE, len(flat) - done))
        if not piece:
            raise EOFError(f"ends {len(flat) - done:,} bytes before the array does")
        view[done : done + len(piece)] = piece
        done += len(piece)
    if header.dtype.kind == "b":
        flat = flat != 0  # any other byte would be a third truth value
    array = np.ndarray(header.shape, header.dtype, flat, order="F" if header.is_fortran else "C")
    return np.ascontiguousarray(array) if header.shape else array
