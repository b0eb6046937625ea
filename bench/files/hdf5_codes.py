"""Reads codes and factors from HDF5: arrays at the top of the file that hold their own numbers, and nothing else."""

from __future__ import annotations

import math
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from bench.files import npy
from bench.files.codes_contents import MAX_NAME, MAX_NAMES, CodesFile, check_plausible, collect, damage
from bench.files.hdf5_texts import check_texts
from bench.messages import one_line
from bench.registry import UsageError

_DEFLATE, _LZF = 1, 32000
_FILTERS = {_DEFLATE, 2, 3, _LZF}  # and shuffle, fletcher32: what h5py writes without plugins
_MAX_RATIO = 1_032  # bytes that one byte of deflated (or LZF) data can become
_SMALL = 64 << 20  # bytes that a piece may become without being looked at first


def read(path: Path) -> CodesFile:
    """What ``bench.files.codes_file.read`` says, of an HDF5 file.

    Links, external and virtual storage, groups and filters that need a plugin are refused, and so is an array whose
    numbers are not all in the file.

    Raises:
        UsageError: one line with file and place.
    """
    with damage(path, "HDF5"), h5py.File(path, "r") as file:

        def load(key: str) -> np.ndarray:
            if not isinstance(file.get(key, getlink=True), h5py.HardLink):
                raise UsageError(f"{path}: {one_line(key)} is a link to somewhere else, not followed; store the array")
            found = file[key]
            if not isinstance(found, h5py.Dataset):
                raise UsageError(f"{path}: {one_line(key)} is a group; wanted an array at the top of the file")
            if found.is_virtual or found.external:
                raise UsageError(f"{path}: {one_line(key)} keeps its numbers in another file; store the array here")
            if found.shape is None:
                raise UsageError(f"{path}: {one_line(key)} is empty")
            if key == "factor_names" and h5py.check_string_dtype(found.dtype) is not None:
                return _names(path, found)
            check_plausible(path, key, found.shape, found.dtype)
            if found.size:
                check_stored(path, f"{path}: {one_line(key)}", found)
            return np.asarray(found[()])

        return collect(path, list(file), load, _n_train(path, file))


def _n_train(path: Path, file: h5py.File) -> Any:
    """The attribute ``n_train``, looked at before it is read: an attribute may be of any size."""
    if "n_train" not in file.attrs:
        return None
    attribute = file.attrs.get_id("n_train")
    if attribute.shape != () or attribute.dtype.kind not in "iu":
        raise UsageError(f"{path}: n_train: wanted one whole number, got {attribute.dtype} {attribute.shape}")
    return file.attrs["n_train"]


def _names(path: Path, found: h5py.Dataset) -> np.ndarray:
    """Names one by one: many may point to one long text, which together would fill the memory."""
    is_long = found.dtype.kind == "S" and found.dtype.itemsize > MAX_NAME
    if found.ndim != 1 or found.size > MAX_NAMES or is_long:
        raise UsageError(f"{path}: factor_names: wanted a list of at most {MAX_NAMES:,} short names")
    check_texts(path, f"{path}: factor_names", found, 4 * MAX_NAME)  # a letter has up to 4 bytes
    names = []
    for i in range(found.size):
        name = found[i]
        if len(name) > MAX_NAME:
            raise UsageError(f"{path}: factor_names: name {i} has {len(name):,} letters; at most {MAX_NAME:,} are read")
        names.append(name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name))
    return np.array(names, dtype=str)


def check_stored(path: Path, where: str, found: h5py.Dataset) -> None:
    """Raise UsageError unless the file holds all that the array claims, in a form that cannot fill the memory."""
    claimed, there = npy.count_bytes(found.shape, found.dtype), path.stat().st_size
    stored = int(found.id.get_storage_size())
    if not stored:
        raise UsageError(f"{where} claims shape {found.shape}, but nothing was ever written to it")
    plist = found.id.get_create_plist()
    filters = [plist.get_filter(i)[0] for i in range(plist.get_nfilters())]
    if not set(filters) <= _FILTERS or len(filters) > len(set(filters)) or {_DEFLATE, _LZF} <= set(filters):
        raise UsageError(f"{where} is packed by the filters {filters}; store it plain or with gzip alone")
    ratio = _MAX_RATIO if {_DEFLATE, _LZF} & set(filters) else 1
    if stored > there or claimed > stored * ratio:
        raise UsageError(f"{where} claims {claimed:,} bytes in shape {found.shape}, the file holds {stored:,} of it")
    if found.chunks is not None:
        # a piece that deflating would not have made smaller is stored as it is, and marked so
        _check_pieces(where, found, claimed, 1 << filters.index(_DEFLATE) if _DEFLATE in filters else 0)


def _check_pieces(where: str, found: h5py.Dataset, claimed: int, deflate: int) -> None:
    """The same for an array in pieces: each is there, and unpacks to its own size.

    Args:
        deflate: the bit by which a piece says that it is not deflated; 0 where none is.
    """
    size = npy.count_bytes(found.chunks, found.dtype)
    if size > max(claimed, _SMALL):
        raise UsageError(f"{where} claims {claimed:,} bytes in pieces of {size:,}; store it in smaller ones")
    wanted = math.prod(-(-length // piece) for length, piece in zip(found.shape, found.chunks, strict=True))
    if found.id.get_num_chunks() < wanted:
        raise UsageError(f"{where} is written in part: {found.id.get_num_chunks():,} of {wanted:,} pieces")
    pieces: list[Any] = []
    found.id.chunk_iter(pieces.append)
    for piece in pieces:
        if piece.size > 1.1 * size + 4096:
            raise UsageError(f"{where} is damaged: a piece of {size:,} bytes takes {piece.size:,}")
        if deflate and not piece.filter_mask & deflate and piece.size * _MAX_RATIO > _SMALL:
            # HDF5 itself would unpack to whatever size the data asks for
            _, raw = found.id.read_direct_chunk(piece.chunk_offset)
            if len(zlib.decompressobj().decompress(raw, size + 1)) > size:
                raise UsageError(f"{where} is damaged: a piece unpacks to more than its {size:,} bytes")
