"""Reads codes and factors that any program wrote: npz, npy, csv or HDF5.

Such files come from anywhere. Nothing is unpickled, no link out of a file is followed, and the size that a header
claims is held against the file before memory is asked for.
"""

from __future__ import annotations

import lzma
import stat
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench.registry import UsageError

MAX_BYTES = 2 * 2**30  # of one array, or of a csv file
KEYS = {
    "codes": "codes", "codes_train": "codes", "codes_test": "codes_test",
    "latents": "codes", "latents_train": "codes", "latents_test": "codes_test",
    "factors": "factors", "factors_train": "factors", "factors_test": "factors_test",
    "factor_sizes": "factor_sizes", "grid_codes": "grid_codes",
}  # fmt: skip
"""Key in a file → name of the evidence it holds."""
ABOUT = ("factor_names", "discrete", "n_train")
HOW = "np.savez('codes.npz', codes=codes, factors=factors)"

# What numpy, zipfile and h5py raise on damaged files; the last few come up through them from what they build on.
_DAMAGE = (
    OSError, ValueError, TypeError, KeyError, IndexError, RuntimeError, SyntaxError, EOFError, OverflowError,
    NotImplementedError, MemoryError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, tokenize.TokenError,
)  # fmt: skip


@dataclass(frozen=True)
class CodesFile:
    """What a file holds.

    Attributes:
        arrays: evidence by name. A file with a single array under no name of ours has it under "".
        factor_names: one per column of ``factors``, or of the array under "".
        discrete: one flag per factor, where the file has them; else the dtype decides.
        n_train: leading rows of ``codes`` that are for fitting, where the file says so.
        is_split: the rows for fitting and those for testing have keys of their own.
        notes: what was left out.
    """

    path: Path
    arrays: Mapping[str, np.ndarray]
    factor_names: tuple[str, ...] | None = None
    discrete: tuple[bool, ...] | None = None
    n_train: int | None = None
    is_split: bool = False
    notes: tuple[str, ...] = field(default=())


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
        with _damage(path, "npy"), path.open("rb") as stream:
            return CodesFile(path, {"": _npy_array(path, "the array", stream, path.stat().st_size)})
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return _hdf5(path)
    if head.startswith(b"\x80") and b"\x00" not in head[:2]:
        raise UsageError(f"{path} looks like a pickle, which can run code when it is read; save with {HOW}")
    if b"\x00" in head:
        raise UsageError(f"{path} is none of npz, npy, csv and HDF5; save with {HOW}")
    from bench import csv_codes

    return csv_codes.read(path)


@contextmanager
def _damage(path: Path, form: str) -> Iterator[None]:
    try:
        yield
    except UsageError:
        raise
    except _DAMAGE as error:
        text = " ".join(str(error).split())[:200] or type(error).__name__
        raise UsageError(f"{path}: damaged, cut short or not {form} ({text})") from None


def _npz(path: Path) -> CodesFile:
    with _damage(path, "npz"), zipfile.ZipFile(path) as archive:
        members = {name.removesuffix(".npy"): name for name in archive.namelist() if name.endswith(".npy")}
        if not members:
            raise UsageError(f"{path} is a zip file without arrays (a checkpoint?); save with {HOW}")

        def load(key: str) -> np.ndarray:
            info = archive.getinfo(members[key])
            with archive.open(info) as stream:
                return _npy_array(path, key, stream, info.file_size)

        return _collect(path, list(members), load)


def _npy_array(path: Path, key: str, stream: Any, size: int) -> np.ndarray:
    """The array of an npy stream of ``size`` bytes, once its header was found to tell the truth."""
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    elif version == (2, 0):
        shape, _, dtype = np.lib.format.read_array_header_2_0(stream)
    else:
        raise UsageError(f"{path}: {key} is written in npy version {version[0]}.{version[1]}; wanted 1.0 or 2.0")
    check_plausible(path, key, shape, dtype)
    wanted, there = _n_bytes(shape, dtype), size - stream.tell()
    if wanted > there:
        raise UsageError(f"{path}: {key} claims {wanted:,} bytes in shape {shape}, the file holds {there:,} of it")
    stream.seek(0)
    return np.asarray(np.lib.format.read_array(stream, allow_pickle=False))


def check_plausible(path: Path, key: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Raise UsageError unless this is an array of plain numbers (or names) that fits in memory."""
    if dtype.hasobject:
        raise UsageError(f"{path}: {key} holds Python objects, which are never read; save plain numbers (or dtype=str)")
    if dtype.kind not in ("US" if key == "factor_names" else "fiub"):
        wanted = "text" if key == "factor_names" else "real numbers"
        raise UsageError(f"{path}: {key} holds {dtype}; wanted {wanted}")
    if any(length < 0 for length in shape):
        raise UsageError(f"{path}: {key} claims shape {shape}")
    if _n_bytes(shape, dtype) > MAX_BYTES:
        raise UsageError(
            f"{path}: {key} claims {_n_bytes(shape, dtype):,} bytes in shape {shape}; at most {MAX_BYTES:,} are read"
        )


def _n_bytes(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    count = dtype.itemsize
    for length in shape:
        count *= int(length)  # Python integers: a product of claimed lengths must not wrap around
    return count


def _hdf5(path: Path) -> CodesFile:
    import h5py

    with _damage(path, "HDF5"), h5py.File(path, "r") as file:

        def load(key: str) -> np.ndarray:
            if not isinstance(file.get(key, getlink=True), h5py.HardLink):
                raise UsageError(f"{path}: {key} is a link to somewhere else, which is not followed; store the array")
            found = file[key]
            if not isinstance(found, h5py.Dataset):
                raise UsageError(f"{path}: {key} is a group; wanted an array at the top of the file")
            if found.is_virtual or found.external:
                raise UsageError(f"{path}: {key} keeps its numbers in another file, which is not read; store the array")
            if found.shape is None:
                raise UsageError(f"{path}: {key} is empty")
            if key == "factor_names" and h5py.check_string_dtype(found.dtype) is not None and found.size < 10_000:
                return np.array(found.asstr()[()].tolist(), dtype=str)
            check_plausible(path, key, found.shape, found.dtype)
            if found.size and not found.id.get_storage_size():
                raise UsageError(f"{path}: {key} claims shape {found.shape}, but nothing was ever written to it")
            return np.asarray(found[()])

        n_train = file.attrs.get("n_train")
        return _collect(path, list(file), load, n_train)


def _collect(path: Path, keys: list[str], load: Any, n_train: Any = None) -> CodesFile:
    """The known keys of a file by the names of evidence they hold; ``load`` reads one."""
    known = [key for key in keys if key in KEYS]
    others = [key for key in keys if key not in KEYS and key not in ABOUT]
    if not known and len(others) == 1:
        arrays, others = {"": load(others[0])}, []
    else:
        arrays = _named(path, known, others, load)
    about = {key: load(key) for key in ABOUT if key in keys}
    names, discrete, n_train = about.get("factor_names"), about.get("discrete"), about.get("n_train", n_train)
    for key, found in (("factor_names", names), ("discrete", discrete)):
        if found is not None and found.ndim != 1:
            raise UsageError(f"{path}: {key}: one per factor, got shape {found.shape}")
    if n_train is not None and (np.ndim(n_train) or np.asarray(n_train).dtype.kind not in "iu"):
        raise UsageError(f"{path}: n_train: wanted one whole number, got {np.asarray(n_train).dtype}")
    return CodesFile(
        path,
        arrays,
        None if names is None else tuple(_text(name) for name in names.tolist()),
        None if discrete is None else tuple(bool(flag) for flag in discrete),
        None if n_train is None else int(n_train),
        is_split=any(key.endswith("_train") for key in known),
        notes=(f"not read from {path.name}: {', '.join(sorted(others)[:10])}",) if others else (),
    )


def _named(path: Path, known: list[str], others: list[str], load: Any) -> dict[str, np.ndarray]:
    if not known and {"representations", "kl"} & set(others):
        raise UsageError(
            f"{path} holds several representations, which UDR compares; UDR is not there yet. "
            "To score one of them, store it as codes, with factors"
        )
    if not known:
        listed = ", ".join(sorted(others)[:10]) or "nothing"
        raise UsageError(f"{path} holds {listed}; wanted codes and factors, as {HOW} writes them")
    arrays: dict[str, np.ndarray] = {}
    origin: dict[str, str] = {}
    for key in known:
        name = KEYS[key]
        if name in arrays:
            raise UsageError(f"{path} holds {origin[name]} and {key}, which are two names of one thing; keep one")
        arrays[name], origin[name] = load(key), key
    return arrays


def _text(name: str | bytes) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name
