"""What files of codes and factors hold, whatever their format: the keys that are known, and the checks all pass."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench.files import judged_files, npy
from bench.messages import listed, one_line
from bench.registry import UsageError

MAX_BYTES = 2 * 2**30  # of all arrays that are read from one file, eight for each number as they are scored
KEYS = {
    "codes": "codes", "codes_train": "codes", "codes_test": "codes_test",
    "latents": "codes", "latents_train": "codes", "latents_test": "codes_test",
    "factors": "factors", "factors_train": "factors", "factors_test": "factors_test",
    "factor_sizes": "factor_sizes", "grid_codes": "grid_codes",
}  # fmt: skip
"""Key in a file → name of the evidence it holds."""
ABOUT = ("factor_names", "discrete", "n_train")
MAX_NAMES, MAX_NAME = 10_000, 1_000  # names of factors, and characters in one
HOW = "np.savez('codes.npz', codes=codes, factors=factors)"

# What zipfile and h5py raise on damaged files; the last few come up through them from what they build on.
_DAMAGE = (
    OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, RuntimeError, EOFError, OverflowError,
    NotImplementedError, MemoryError, zipfile.BadZipFile, zlib.error, struct.error,
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


@contextmanager
def damage(path: Path, form: str) -> Iterator[None]:
    """Whatever goes wrong inside becomes one line about the file."""
    try:
        yield
    except UsageError:
        raise
    except _DAMAGE as error:
        text = one_line(" ".join(str(error).split()), 200) or type(error).__name__
        raise UsageError(f"{path}: damaged, cut short or not {form} ({text})") from None


def check_plausible(path: Path, key: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Raise UsageError unless this is an array of plain numbers (or names) that fits in memory."""
    where = f"{path}: {one_line(key)}"
    if dtype.hasobject:
        raise UsageError(f"{where} holds Python objects, which are never read; save plain numbers (or dtype=str)")
    if dtype.kind not in ("US" if key == "factor_names" else "fiub"):
        wanted = "text" if key == "factor_names" else "real numbers"
        raise UsageError(f"{where} holds {one_line(dtype, 40)}; wanted {wanted}")
    if key == "factor_names" and (len(shape) != 1 or shape[0] > MAX_NAMES or dtype.itemsize > 4 * MAX_NAME):
        raise UsageError(
            f"{where} has shape {shape}, type {dtype}; wanted at most {MAX_NAMES:,} names of {MAX_NAME:,} letters"
        )
    n_bytes = npy.count_bytes(shape, dtype)
    if n_bytes > MAX_BYTES:
        raise UsageError(f"{where} claims {n_bytes:,} bytes in shape {shape}; at most {MAX_BYTES:,} are read")


def check_size(path: Path, arrays: Sequence[np.ndarray]) -> None:
    """Raise UsageError where arrays that are small each are too many, or grow when they are scored as float64."""
    n_bytes = 8 * sum(array.size for array in arrays)
    if n_bytes > MAX_BYTES:
        raise UsageError(f"{path} holds numbers of {n_bytes:,} bytes in all; at most {MAX_BYTES:,} are read")


def collect(path: Path, keys: Sequence[str], load: Callable[[str], np.ndarray], n_train: Any = None) -> CodesFile:
    """The known keys of a file by the names of evidence they hold; ``load`` reads one."""
    judged = judged_files.keys_among(keys)
    known = [key for key in keys if key in KEYS or key in judged]
    others = [key for key in keys if key not in known and key not in ABOUT]
    if not known and len(others) == 1:
        arrays, others = {"": load(others[0])}, []
        check_size(path, [arrays[""]])
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
        notes=(f"not read from {path.name}: {listed(others)}",) if others else (),
    )


def _named(path: Path, known: list[str], others: list[str], load: Callable[[str], np.ndarray]) -> dict[str, np.ndarray]:
    if not known and {"representations", "kl"} & set(others):
        raise UsageError(
            f"{path} holds several representations, which UDR compares; UDR is not there yet. "
            "To score one of them, store it as codes, with factors"
        )
    if not known:
        raise UsageError(f"{path} holds {listed(others) or 'nothing'}; wanted codes and factors, as {HOW} writes them")
    arrays: dict[str, np.ndarray] = {}
    origin: dict[str, str] = {}
    for key in known:
        name = KEYS.get(key, key)
        if name in arrays:
            raise UsageError(f"{path} holds {origin[name]} and {key}, which are two names of one thing; keep one")
        arrays[name], origin[name] = load(key), key
        check_size(path, list(arrays.values()))
    return arrays


def _text(name: str | bytes) -> str:
    """A factor's name for tables and messages."""
    return one_line(name.decode("utf-8", "replace") if isinstance(name, bytes) else name, MAX_NAME)
