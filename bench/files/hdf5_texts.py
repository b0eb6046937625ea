"""Looks at the texts of an HDF5 file before the library does, which walks some damaged ones for ever."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

import h5py

from bench.registry import UsageError

_SIGNATURE = b"GCOL\x01"  # with the only version there is; another one the library refuses


def check_texts(path: Path, where: str, found: h5py.Dataset, most: int) -> None:
    """Raise UsageError unless the texts of ``found`` can be read: the library would take any memory that one claims.

    On disk a text of any length is its length (4 bytes), the address of a global heap and a number (4 bytes) in it.

    Args:
        where: file and array, for the message.
        most: bytes of one text.
    """
    kind = h5py.check_string_dtype(found.dtype)
    if kind is None or kind.length is not None or not found.size:
        return
    _check_heaps(path, where, found.file)
    width = 8 + found.file.id.get_create_plist().get_sizes()[0]
    start = found.id.get_offset()
    if start is None or found.id.get_storage_size() != found.size * width:
        raise UsageError(f"{where}: store the texts in one piece, neither in chunks nor packed")
    with path.open("rb") as opened:
        opened.seek(start)
        places = opened.read(found.size * width)
    for i in range(found.size):
        claimed = int.from_bytes(places[i * width : i * width + 4], "little")
        if claimed > most:
            raise UsageError(f"{where}: text {i} claims {claimed:,} bytes; at most {most:,} are read")


def _check_heaps(path: Path, where: str, file: h5py.File) -> None:
    """Raise UsageError where a global heap has an object that ends where it begins, or outside of its heap.

    Texts of any length lie in such heaps. An object is its number (2 bytes), a count (2), 4 bytes of nothing, its size
    and its content up to a multiple of 8; number 0 is the free rest, whose size counts all of it (HDF5 File Format
    Specification 3.0, section III.E). libhdf5 steps by that size without asking whether it is 0.
    """
    _, width = file.id.get_create_plist().get_sizes()
    with path.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if any(_is_endless(content, start, width) for start in _heaps(content)):
            raise UsageError(f"{where} is damaged: the heap of its texts has no end")


def _heaps(content: mmap.mmap) -> Iterator[int]:
    start = content.find(_SIGNATURE)
    while start >= 0:
        yield start
        start = content.find(_SIGNATURE, start + 1)


def _is_endless(content: mmap.mmap, start: int, width: int) -> bool:
    header = 8 + width
    end = start + int.from_bytes(content[start + 8 : start + header], "little")
    at = start + header + -header % 8
    header += -header % 8
    while at + header <= min(end, len(content)):
        number = int.from_bytes(content[at : at + 2], "little")
        size = int.from_bytes(content[at + 8 : at + 8 + width], "little")
        step = header + size + -size % 8 if number else size
        if not 0 < step <= end - at:
            return True
        at += step
    return False
