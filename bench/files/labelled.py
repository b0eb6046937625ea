"""Codes with their factors: put together from files or arrays, checked as given, split for fitting and testing."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.files import codes_file, judged_files
from bench.files.codes_contents import HOW, CodesFile
from bench.messages import listed, one_line
from bench.registry import UsageError, did_you_mean
from metrics import scoring

MANY_VALUES = 200  # of a discrete factor; more are rarely classes, and probes for each take long
FEW_VALUES = 100  # of a continuous factor that has whole numbers only
MAX_CELLS = 2**40  # combinations of factors; more cannot have a code each


@dataclass(frozen=True)
class Labelled:
    """Codes with their factors, as a user gave them.

    Attributes:
        arrays: by name of evidence; ``codes`` without ``codes_test`` are split by ``split``. In place of codes and
            factors what ``bench.files.judged_files`` reads; there are then no names.
        names: of the factors.
        discrete: a flag per factor.
        n_train: leading rows that are for fitting, None for the first two thirds.
        notes: what was left out when it was read.
    """

    arrays: Mapping[str, np.ndarray]
    names: tuple[str, ...]
    discrete: tuple[bool, ...]
    n_train: int | None = None
    notes: tuple[str, ...] = ()

    def fingerprint(self, *names: str) -> str:
        """SHA-256 over the values of these arrays and the kinds of the factors; equal in every file format."""
        digest = hashlib.sha256(repr(self.discrete).encode())
        for name in names:
            if name in self.arrays:
                values = np.ascontiguousarray(self.arrays[name], "<f8")
                digest.update(f"{name}{values.shape}".encode())
                digest.update(values.tobytes())
        return digest.hexdigest()


def load(path: Path, factors_path: Path | None = None, discrete: Sequence[str] = ()) -> Labelled:
    """Codes and factors of one or two files, checked; see ``score_files``."""
    first = codes_file.read(path)
    files = [(first, "codes")] + ([(codes_file.read(factors_path), "factors")] if factors_path is not None else [])
    arrays: dict[str, np.ndarray] = {}
    origin: dict[str, str] = {}
    names, flags = None, None
    for file, nameless in files:
        for key, array in file.arrays.items():
            name = key or nameless
            if name in arrays:
                raise UsageError(f"{file.path}: {name} is in {origin[name]} already; leave one of them out")
            arrays[name], origin[name] = array, str(file.path)
        if "factors" in file.arrays or nameless == "factors" or (file.factor_names and "" not in file.arrays):
            names, flags = file.factor_names or names, file.discrete or flags
    if judged_files.keys_among(arrays):
        return _judged(arrays, origin, str(path), discrete, [note for file, _ in files for note in file.notes])
    _check_complete(first, arrays, factors_path)
    if any(file.is_split for file, _ in files) and "codes_test" not in arrays:
        raise UsageError(f"{path} has rows for fitting and none for testing; add codes_test, or call it codes")
    notes = tuple(note for file, _ in files for note in file.notes)
    try:
        labelled = label(arrays, names, flags, first.n_train, notes)
        return _with_discrete(labelled, discrete) if discrete else labelled
    except scoring.BadEvidence as error:
        raise UsageError(_placed(str(error), origin, str(path))) from None


def _judged(
    arrays: Mapping[str, np.ndarray],
    origin: Mapping[str, str],
    path: str,
    discrete: Sequence[str],
    notes: Sequence[str],
) -> Labelled:
    """Outputs of a judge, or vectors with their speakers."""
    if discrete:
        raise UsageError(f"--discrete names factors, and {path} has none: it holds {', '.join(sorted(arrays))}")
    try:
        return Labelled(judged_files.checked(arrays), (), (), notes=tuple(notes))
    except scoring.BadEvidence as error:
        raise UsageError(_placed(str(error), origin, path)) from None


def _check_complete(first: CodesFile, arrays: Mapping[str, np.ndarray], factors_path: Path | None) -> None:
    where = first.path if factors_path is None else f"neither {first.path} nor {factors_path}"
    holds = "holds no" if factors_path is None else "holds"
    if "grid_codes" in arrays and "factor_sizes" in arrays and "codes" not in arrays:
        return
    if "codes" not in arrays:
        raise UsageError(f"{where} {holds} codes; wanted codes and factors, as {HOW} writes them")
    if "factors" not in arrays:
        is_text = "" in first.arrays and first.factor_names is not None
        how = "or begin the column names with codes_ and factors_" if is_text else f"or save both with {HOW}"
        raise UsageError(f"{where} {holds} factors; name a second file with --factors FILE, {how}")


def label(
    arrays: Mapping[str, np.ndarray],
    names: Sequence[str] | None = None,
    discrete: Sequence[bool] | None = None,
    n_train: int | None = None,
    notes: tuple[str, ...] = (),
) -> Labelled:
    """Arrays in one form (rows by columns, native numbers) and checked as they were given, before any split.

    Raises:
        BadEvidence: see ``metrics.scoring.score``; rows count from 0 in the array that the message names.
    """
    found = {name: _matrix(name, values) for name, values in arrays.items()}
    for one, other in (("codes_test", "factors_test"), ("factors_test", "codes_test"), ("grid_codes", "factor_sizes")):
        if one in found and other not in found:
            raise scoring.BadEvidence(f"{one} without {other}: give both")
    n_factors = found["factors"].shape[1] if "factors" in found else len(found["factor_sizes"])
    if discrete is None:
        discrete = [found["factors"].dtype.kind in "iub" if "factors" in found else True] * n_factors
    names = [f"factor {i}" for i in range(n_factors)] if names is None else names
    scoring.prepare(found, factor_names=names, discrete=discrete)
    if "codes" in found and "codes_test" not in found:
        n_rows = len(found["codes"])
        if n_train is not None and not 0 < n_train < n_rows:
            raise scoring.BadEvidence(f"n_train: rows for fitting, wanted 1 … {n_rows - 1} of {n_rows}, got {n_train}")
        if n_rows < 3:
            raise scoring.BadEvidence(f"codes: two thirds of the rows are for fitting, wanted 3 or more, got {n_rows}")
    return Labelled(found, tuple(map(str, names)), tuple(map(bool, discrete)), n_train, notes)


def split(labelled: Labelled) -> dict[str, np.ndarray]:
    """Evidence with rows for fitting and for testing: as given, else the first two thirds and the rest."""
    arrays = dict(labelled.arrays)
    if "codes" in arrays and "codes_test" not in arrays:
        cut = labelled.n_train or 2 * len(arrays["codes"]) // 3
        for name in ("codes", "factors"):
            arrays[name], arrays[f"{name}_test"] = arrays[name][:cut], arrays[name][cut:]
    return arrays


def facts_of(labelled: Labelled) -> Iterator[dict[str, Any]]:
    """Name, kind and number of values of each factor."""
    factors = labelled.arrays.get("factors")
    for i, (name, is_discrete) in enumerate(zip(labelled.names, labelled.discrete, strict=True)):
        n_values = int(labelled.arrays["factor_sizes"][i]) if factors is None else len(np.unique(factors[:, i]))
        yield {"name": name, "kind": "discrete" if is_discrete else "continuous", "n_values": n_values}


def advice(labelled: Labelled, arrays: Mapping[str, np.ndarray]) -> Iterator[str]:
    """Signs that the factors are not what they were meant to be."""
    if "factors" not in arrays:
        return
    whole = []
    for i, fact in enumerate(facts_of(labelled)):
        name, n_values = fact["name"], fact["n_values"]
        train = arrays["factors"][:, i]
        if fact["kind"] == "continuous":
            whole += [name] if n_values <= FEW_VALUES and (train == np.round(train)).all() else []
            continue
        if n_values > MANY_VALUES:
            yield f"{name} is discrete with {n_values:,} values; if it is a measurement, write it as floats"
        unseen = np.setdiff1d(arrays["factors_test"][:, i], train)
        if len(unseen):
            yield f"{name}: {len(unseen)} of its {n_values} values are in the rows for testing alone; shuffle the rows"
    if whole:
        yield (
            f"whole numbers written as floats count as continuous: {', '.join(whole)}; if they are classes, write "
            "integers, or say --discrete all (discrete=[True, …] in Python)"
        )


def _with_discrete(labelled: Labelled, names: Sequence[str]) -> Labelled:
    for name in names:
        if name != "all" and name not in labelled.names:
            near = did_you_mean(name, labelled.names)
            raise UsageError(f"--discrete: no factor '{one_line(name)}'.{near} There are {listed(labelled.names)}")
    flags = [
        flag or "all" in names or name in names for name, flag in zip(labelled.names, labelled.discrete, strict=True)
    ]
    return label(labelled.arrays, labelled.names, flags, labelled.n_train, labelled.notes)


def _matrix(name: str, values: np.ndarray) -> np.ndarray:
    """Rows by columns in this machine's byte order; half and extended precision as float64."""
    values = np.asarray(values)
    if name == "factor_sizes":
        if values.ndim != 1 or values.dtype.kind not in "iu" or not values.size or values.min() < 1:
            raise scoring.BadEvidence(
                f"factor_sizes: one whole number ≥ 1 per factor, got {values.dtype} {values.shape}"
            )
        if math.prod(values.tolist()) > MAX_CELLS:
            raise scoring.BadEvidence(f"factor_sizes: more than {MAX_CELLS:,} combinations, which nobody encodes")
        return values.astype(np.int64)
    if values.ndim == 3:
        raise scoring.BadEvidence(
            f"{name}: wanted (rows, columns), got {values.shape}; reshape(-1, {values.shape[-1]}) gives a row per frame"
        )
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2:
        raise scoring.BadEvidence(f"{name}: wanted (rows, columns), got {values.shape}")
    if values.dtype.kind == "f" and values.dtype.itemsize not in (4, 8):
        with np.errstate(over="ignore"):  # what becomes infinite is refused with its place
            values = values.astype(np.float64)
    return np.ascontiguousarray(values, values.dtype.newbyteorder("="))


def _placed(message: str, origin: Mapping[str, str], path: str) -> str:
    """The message behind the name of the file that its array came from."""
    return f"{origin.get(message.partition(':')[0], path)}: {message}"
