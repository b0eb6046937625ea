"""Arrays in a user's file (npz, npy or HDF5), read in pieces: images may be larger than memory.

Nothing is unpickled and no link out of a file is followed; what a header claims costs nothing until it is read.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.datasets.zipped_npy import NpzMember
from bench.files import npy
from bench.messages import one_line
from bench.registry import UsageError

PIECE = 1 << 26  # bytes of rows read at once
_MAX_CHUNK = 1 << 30  # of an HDF5 chunk, which is unpacked into memory as a whole
_MAX_TEXT = 4_096  # bytes of one text
HOW = "np.savez('mine.npz', images=images, factors=factors)"


@dataclass(frozen=True)
class StoredArray:
    """An array that has not been read yet.

    Attributes:
        label: file and key, for messages.
        rows: (rows at once) -> the array along its first axis, from front to back; can be called again.
        problem: why it cannot be read: said when it is asked for, since a file may hold others that are good.
    """

    label: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    rows: Callable[[int], Iterator[np.ndarray]]
    problem: str = ""

    def checked(self) -> StoredArray:
        """Itself; raises UsageError with its problem where it has one."""
        if self.problem:
            raise UsageError(self.problem)
        return self

    def pieces(self) -> Iterator[np.ndarray]:
        """The array in pieces of about 64 MB; none of an array without values, which may still claim many rows."""
        if not math.prod(self.shape):
            return iter(())
        row = max(1, math.prod(self.shape[1:]) * self.dtype.itemsize)
        return self.rows(max(1, PIECE // row))

    def read(self, most: int = 1 << 31) -> np.ndarray:
        """All of it.

        Raises:
            UsageError: it has more than ``most`` bytes.
        """
        size = math.prod(self.shape) * self.dtype.itemsize
        if size > most or max(self.shape, default=0) >= 2**40:  # without values, any length can be claimed
            raise UsageError(f"{self.label} claims {size:,} bytes in shape {self.shape}; at most {most:,} are read")
        pieces = list(self.pieces())
        return np.concatenate(pieces) if pieces else np.zeros(self.shape, self.dtype)


def from_array(label: str, values: Any) -> StoredArray:
    """What is in memory already, as a ``StoredArray``."""
    array = np.asarray(values)
    if array.ndim == 0:
        raise UsageError(f"{label}: wanted an array with a row per image, got {array.dtype} without axes")
    return StoredArray(label, array.shape, array.dtype, lambda n: _slices(array, n))


def _slices(array: Any, n: int) -> Iterator[np.ndarray]:
    for start in range(0, array.shape[0], n):
        yield np.asarray(array[start : start + n])


def open_file(path: Path) -> dict[str, StoredArray]:
    """The arrays of a file by key ("" for an npy's); the format is told from the content.

    Raises:
        UsageError: no such file, another format, damaged; one line with the file.
    """
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UsageError(f"{path}: {reason.lower()}") from None
    if head.startswith(b"PK\x03\x04"):
        return _npz(path)
    if head.startswith(b"\x93NUMPY"):
        return {"": _npy(path)}
    if head == b"\x89HDF\r\n\x1a\n":
        return _hdf5(path)
    raise UsageError(f"{path} is none of npz, npy and HDF5; save with {HOW}")


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    try:
        yield
    except UsageError:
        raise
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, EOFError, SyntaxError, zipfile.BadZipFile) as error:
        text = " ".join(str(error).split())[:200] or type(error).__name__
        raise UsageError(f"{path} is damaged or cut short ({text})") from None


def _npz(path: Path) -> dict[str, StoredArray]:
    with _damage(path), zipfile.ZipFile(path) as archive:
        keys = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
    return {key: array for key in keys if (array := _npz_member(path, key)) is not None}


def _npz_member(path: Path, key: str) -> StoredArray | None:
    """One array; None for a scalar, which nothing here asks for."""
    label = f"{path.name}: {one_line(key)}"
    try:
        with NpzMember(path, key, item_ndim=0) as member:
            shape, dtype = member.shape, member.dtype
    except ValueError as error:
        return _unreadable(label, str(error))
    if not shape:
        return None

    def rows(n: int) -> Iterator[np.ndarray]:
        with _damage(path), NpzMember(path, key, item_ndim=len(shape) - 1) as member:
            for start in range(0, shape[0], n):
                yield member.read(min(n, shape[0] - start))

    return StoredArray(label, shape, dtype, rows)


def _unreadable(label: str, reason: str) -> StoredArray:
    return StoredArray(label, (0,), np.dtype("V"), lambda n: iter(()), problem=reason)


def _npy(path: Path) -> StoredArray:
    with _damage(path):
        array = npy.mapped(path)
        if not array.ndim:
            raise UsageError(f"{path} holds one number")
    return StoredArray(path.name, array.shape, array.dtype, lambda n: _slices(array, n))


def _hdf5(path: Path) -> dict[str, StoredArray]:
    import h5py

    with _damage(path), h5py.File(path, "r") as file:
        found: dict[str, StoredArray] = {}
        for key in list(file)[:1_000]:
            if isinstance(file.get(key, getlink=True), h5py.HardLink) and isinstance(file[key], h5py.Dataset):
                array = _hdf5_array(path, key, file[key])
                if array is not None:
                    found[key] = array
    return found


def _hdf5_array(path: Path, key: str, stored: Any) -> StoredArray | None:
    import h5py

    label = f"{path.name}: {one_line(key)}"
    if not stored.shape:
        return None
    if stored.is_virtual or stored.external:
        return _unreadable(label, f"{label} keeps its numbers in another file, which is not read; store the array")
    if stored.size and not stored.id.get_storage_size():
        return _unreadable(label, f"{label} claims shape {stored.shape}, but nothing was ever written to it")
    if stored.chunks and math.prod(stored.chunks) * stored.dtype.itemsize > _MAX_CHUNK:
        return _unreadable(label, f"{label} is stored in chunks of {stored.chunks}, too large to unpack")
    dtype = np.dtype("U") if h5py.check_string_dtype(stored.dtype) is not None else stored.dtype

    def rows(n: int) -> Iterator[np.ndarray]:
        with _damage(path), h5py.File(path, "r") as file:
            if dtype.kind == "U":
                from bench.files.hdf5_texts import check_texts

                check_texts(path, label, file[key], _MAX_TEXT)
            data = file[key].asstr() if dtype.kind == "U" else file[key]
            for start in range(0, stored_shape[0], n):
                piece = data[start : start + n]
                yield np.array(piece.tolist(), str) if dtype.kind == "U" else np.asarray(piece)

    stored_shape = stored.shape
    return StoredArray(label, stored_shape, dtype, rows)


def choose(
    arrays: Mapping[str, StoredArray], path: Path, what: str, names: tuple[str, ...], key: str | None, option: str
) -> StoredArray | None:
    """The array called ``key``, else the one of ``names`` that is there; None where there is none.

    Raises:
        UsageError: ``key`` is not there, or several of ``names`` are.
    """
    if key is not None:
        if key not in arrays:
            raise UsageError(f"{path} has no array '{key}' (from {option}), only {_listed(arrays)}")
        return arrays[key].checked()
    there = [name for name in names if name in arrays]
    if len(there) > 1:
        raise UsageError(f"{path} holds {' and '.join(there)}; say which are the {what} with {option}")
    return arrays[there[0]].checked() if there else None


def _listed(arrays: Mapping[str, StoredArray]) -> str:
    return ", ".join(sorted(arrays)[:10]) or "nothing"
