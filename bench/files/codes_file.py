"""Reads codes and factors that any program wrote: npz, npy, csv or HDF5.

Such files come from anywhere. Nothing is unpickled, no link out of a file is followed, and the size that a header
claims is held against the file before memory is asked for.
"""

from __future__ import annotations

import stat
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from bench.files import npy
from bench.files.codes_contents import HOW, CodesFile, check_plausible, check_size, collect, damage
from bench.messages import one_line
from bench.registry import UsageError

_MOST_DEFLATED = 1_032  # bytes that one byte of deflated data can become


def read(path: Path) -> CodesFile:
    """Everything in ``path`` that scoring can use; the format is told from the content, not from the ending.

    Raises:
        UsageError: no such file, another format, damaged, too large, or not numbers; one line with file and place.
    """
    try:
        is_file, head = stat.S_ISREG(path.stat().st_mode), b""
        if is_file:
            with path.open("rb") as file:
                head = file.read(512)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UsageError(f"{path}: {reason.lower()}") from None
    if not is_file:
        raise UsageError(f"{path} is a folder or a device; name a file")
    if not head:
        raise UsageError(f"{path} is empty")
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _npz(path)
    if head.startswith(b"\x93NUMPY"):
        with damage(path, "npy"), path.open("rb") as stream:
            array = _npy_array(path, "the array", stream, path.stat().st_size)
            check_size(path, [array])
            return CodesFile(path, {"": array})
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        from bench.files import hdf5_codes

        return hdf5_codes.read(path)
    if head.startswith(b"\x80") and b"\x00" not in head[:2]:
        raise UsageError(f"{path} looks like a pickle, which can run code when it is read; save with {HOW}")
    if b"\x00" in head:
        raise UsageError(f"{path} is none of npz, npy, csv and HDF5; save with {HOW}")
    from bench.files import csv_codes

    return csv_codes.read(path)


def _npz(path: Path) -> CodesFile:
    with damage(path, "npz"), zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(".npy")]
        if not names:
            raise UsageError(f"{path} is a zip file without arrays (a checkpoint?); save with {HOW}")
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise UsageError(f"{path} holds {one_line(twice[0])} twice; which one counts?")
        members = {name.removesuffix(".npy"): archive.getinfo(name) for name in names}

        def load(key: str) -> np.ndarray:
            info = members[key]
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise UsageError(f"{path}: {one_line(key)} is compressed as numpy never does; save with {HOW}")
            # the table of a zip file may lie as well as a header
            stored = min(info.compress_size, path.stat().st_size)
            size = min(info.file_size, stored if info.compress_type == zipfile.ZIP_STORED else stored * _MOST_DEFLATED)
            with archive.open(info) as stream:
                return _npy_array(path, key, stream, size)

        return collect(path, list(members), load)


def _npy_array(path: Path, key: str, stream: Any, size: int) -> np.ndarray:
    """The array of an npy stream of at most ``size`` bytes, once its header was found to tell the truth."""
    try:
        header = npy.read_header(stream)
    except ValueError as error:
        raise UsageError(f"{path}: {one_line(key)}: {one_line(error, 200)}") from None
    check_plausible(path, key, header.shape, header.dtype)
    there = size - stream.tell()
    if header.n_bytes > there:
        raise UsageError(
            f"{path}: {one_line(key)} claims {header.n_bytes:,} bytes in shape {header.shape}, "
            f"the file holds {max(there, 0):,} of it"
        )
    return npy.read_values(stream, header)
