"""Rows of an array that is larger than memory, read by position."""

from __future__ import annotations

import math
import os
from typing import cast

import numpy as np


class RowFile:
    """A memory-mapped array whose rows are read from its file: ``rows[index]`` for an array of row numbers.

    Every page touched through a map counts as resident memory of the process until the system takes it back, so a long
    training would seem to hold the whole file. Reading by position leaves the pages with the system's own cache.

    Args:
        array: what ``DataStore.cached`` or ``cached_rows`` gives, or ``np.load`` with ``mmap_mode="r"``.

    Attributes:
        shape, dtype, ndim: of the array.
    """

    def __init__(self, array: np.ndarray) -> None:
        if not isinstance(array, np.memmap) or array.filename is None or not array.flags.c_contiguous:
            raise TypeError(f"RowFile: needs a memory-mapped array in C order, got {type(array).__name__}")
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim
        self._path = str(array.filename)
        self._file = open(self._path, "rb", buffering=0)  # noqa: SIM115  (as long as this object)
        self._offset = array.offset

    def __len__(self) -> int:
        return self.shape[0]

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()

    def __getitem__(self, index: np.ndarray) -> np.ndarray:
        """Rows (*index.shape, *row) of an integer array of row numbers.

        Raises:
            IndexError: a number is not a row.
            OSError: the file was cut short after it was opened.
        """
        numbers = np.asarray(index)
        if numbers.dtype.kind not in "iu":
            raise IndexError(f"RowFile: rows are chosen by an array of row numbers, got {numbers.dtype}")
        if numbers.size and not 0 <= numbers.min() <= numbers.max() < len(self):
            raise IndexError(f"RowFile: rows are 0 … {len(self) - 1}, got {numbers.min()} … {numbers.max()}")
        n_bytes = math.prod(self.shape[1:]) * self.dtype.itemsize
        rows = np.empty((numbers.size, n_bytes), np.uint8)
        places = [self._offset + number * n_bytes for number in numbers.ravel().tolist()]
        self._announce(places, n_bytes)
        for row, place in zip(rows, places, strict=True):
            if os.preadv(self._file.fileno(), [cast(bytearray, row)], place) != n_bytes:
                raise OSError(f"{self._path}: was cut short while in use; delete it, it is made again")
        return rows.view(self.dtype).reshape(*numbers.shape, *self.shape[1:])

    def _announce(self, places: list[int], n_bytes: int) -> None:
        """Tell the system what comes, so that a disk works on all rows at once."""
        if hasattr(os, "posix_fadvise"):
            for place in places:
                os.posix_fadvise(self._file.fileno(), place, n_bytes, os.POSIX_FADV_WILLNEED)
