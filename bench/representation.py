"""Scores of codes that were made elsewhere: arrays or files in, numbers with their floors and ceilings out. No torch.

In a notebook or a script::

    from sklearn.datasets import load_digits
    from sklearn.decomposition import PCA
    import bench

    digits = load_digits()
    codes = PCA(10, random_state=0).fit_transform(digits.data)
    bench.score(codes, digits.target)
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench import codes_file, provenance
from bench.codes_file import CodesFile
from bench.registry import UsageError, did_you_mean
from metrics import scoring
from metrics.protocols import protocol_named
from metrics.registry import output_of, resolve, split_ids
from metrics.scoring import Scores

EVIDENCE = ("codes", "factors", "codes_test", "factors_test", "factor_sizes", "grid_codes")
MANY_VALUES = 200  # of a discrete factor; more are rarely classes, and probes for each take long
FEW_VALUES = 100  # of a continuous factor that has whole numbers only


@dataclass(frozen=True)
class Labelled:
    """Codes with their factors, as a user gave them.

    Attributes:
        arrays: by name of evidence; ``codes`` without ``codes_test`` are split by ``split``.
        names: of the factors.
        discrete: a flag per factor.
        n_train: leading rows that are for fitting, None for the first two thirds.
        files: name of evidence → file it came from, for messages.
        notes: what was left out when it was read.
    """

    arrays: Mapping[str, np.ndarray]
    names: tuple[str, ...]
    discrete: tuple[bool, ...]
    n_train: int | None = None
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)
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


@dataclass(frozen=True)
class Scored(Mapping[str, float | None]):
    """The scores of one representation: a read-only dictionary from metric key to number, None where there is none.

    In a notebook it shows itself as a table; ``print`` shows the same as text.

    Attributes:
        title: what was scored: a file's name, or "codes".
        n_train, n_test: rows for fitting and for testing.
        factors: name, kind and, of discrete ones, number of values.
        notes: what to know before reading the numbers.
        reasons: metric key → why it has no number.
        fingerprints: SHA-256 of what was coded ("data": factors) and of how ("codes").
        scores: everything the scorer found, with matrices behind the numbers in ``scores.details``.
    """

    title: str
    protocol: str
    n_train: int
    n_test: int
    n_latents: int
    factors: tuple[Mapping[str, Any], ...]
    notes: tuple[str, ...]
    fingerprints: Mapping[str, str]
    scores: Scores

    def __getitem__(self, key: str) -> float | None:
        if key not in self.scores.values:
            raise KeyError(f"'{key}' was not scored; there are {', '.join(self.scores.values)}")
        return self.scores.values[key]["value"]

    def __iter__(self) -> Iterator[str]:
        return iter(self.scores.values)

    def __len__(self) -> int:
        return len(self.scores.values)

    def __repr__(self) -> str:
        from bench.report.scored import to_text

        return to_text(self)

    def _repr_html_(self) -> str:
        from bench.report.scored import to_html

        return to_html(self)

    @property
    def reasons(self) -> dict[str, str]:
        return {key: entry["reason"] for key, entry in self.scores.values.items() if entry["value"] is None}

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values; ``metrics`` maps each key to value, reason, version and how to read it."""
        entries = {}
        for key, entry in self.scores.values.items():
            how = dataclasses.asdict(output_of(key))
            bounds = how.pop("bounds")
            entries[key] = {**entry, **how, "bounds": list(bounds)}
        return {
            "schema": 1, "title": self.title, "protocol": self.protocol, "n_train": self.n_train, "n_test": self.n_test,
            "n_latents": self.n_latents, "n_constant_latents": self.scores.n_constant_latents,
            "factors": [dict(factor) for factor in self.factors],
            "dropped_factors": list(self.scores.dropped_factors), "metrics": entries, "notes": list(self.notes),
            "seconds": {name: round(value, 3) for name, value in self.scores.seconds.items()},
            "fingerprints": dict(self.fingerprints), "versions": provenance.versions(),
        }  # fmt: skip


def score(
    codes: Any,
    factors: Any,
    *,
    codes_test: Any = None,
    factors_test: Any = None,
    factor_sizes: Any = None,
    grid_codes: Any = None,
    factor_names: Sequence[str] | None = None,
    discrete: Sequence[bool] | None = None,
    metrics: str | Sequence[str] | None = None,
    protocol: str = "quick",
) -> Scored:
    """How disentangled these codes are, by every metric that the arrays allow.

    Args:
        codes: (n, n_latents) numbers: an array, a data frame or a tensor.
        factors: (n, n_factors), or (n,) for one; integer columns are discrete, float ones continuous.
        codes_test, factors_test: rows for testing; without them the first two thirds are for fitting, the rest for
            testing, so rows in random order are wanted.
        factor_sizes, grid_codes: (n_factors,) and (prod(factor_sizes), n_latents): codes of every combination of
            factors in C order, for the interventional metrics of the protocols locatello2019 and slowvae2021.
        factor_names: one per factor; a data frame's columns by default.
        discrete: one flag per factor, where the dtype does not say it.
        metrics: ids such as "mig,sap[linearsvc]", or a list of them; the protocol's own by default.
        protocol: "quick", "locatello2019" or "slowvae2021".

    Raises:
        ValueError: shapes that do not fit, a number that is not finite (with row and column), a name that does not
            exist, or nothing that can be scored.
    """
    names, flags = _described(factors)
    given = {
        "codes": codes, "factors": factors, "codes_test": codes_test, "factors_test": factors_test,
        "factor_sizes": factor_sizes, "grid_codes": grid_codes,
    }  # fmt: skip
    arrays = {name: _plain(value) for name, value in given.items() if value is not None}
    return score_labelled(label(arrays, factor_names or names, discrete or flags), metrics, protocol)


def score_files(
    path: Path,
    factors_path: Path | None = None,
    *,
    metrics: str | Sequence[str] | None = None,
    protocol: str = "quick",
    discrete: Sequence[str] = (),
) -> Scored:
    """The same for a file that holds codes, with factors in it or in a second one.

    Args:
        discrete: names of factors to read as classes although they are written as floats; "all" for all of them.

    Raises:
        UsageError: a file that cannot be read or scored; one line with its name and the place.
    """
    return score_labelled(load(path, factors_path, discrete), metrics, protocol, title=path.name)


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
    _check_complete(first, arrays, factors_path)
    if any(file.is_split for file, _ in files) and "codes_test" not in arrays:
        raise UsageError(f"{path} has rows for fitting and none for testing; add codes_test, or call it codes")
    notes = tuple(note for file, _ in files for note in file.notes)
    try:
        labelled = label(arrays, names, flags, first.n_train, origin, notes)
        return _with_discrete(labelled, discrete) if discrete else labelled
    except scoring.BadEvidence as error:
        raise UsageError(_placed(str(error), origin, str(path))) from None


def _check_complete(first: CodesFile, arrays: Mapping[str, np.ndarray], factors_path: Path | None) -> None:
    where = first.path if factors_path is None else f"neither {first.path} nor {factors_path}"
    holds = "holds no" if factors_path is None else "holds"
    if "grid_codes" in arrays and "factor_sizes" in arrays and "codes" not in arrays:
        return
    if "codes" not in arrays:
        raise UsageError(f"{where} {holds} codes; wanted codes and factors, as {codes_file.HOW} writes them")
    if "factors" not in arrays:
        is_text = "" in first.arrays and first.factor_names is not None
        how = "or begin the column names with codes_ and factors_" if is_text else f"or save both with {codes_file.HOW}"
        raise UsageError(f"{where} {holds} factors; name a second file with --factors FILE, {how}")


def label(
    arrays: Mapping[str, np.ndarray],
    names: Sequence[str] | None = None,
    discrete: Sequence[bool] | None = None,
    n_train: int | None = None,
    files: Mapping[str, str] | None = None,
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
    names = names or [f"factor {i}" for i in range(n_factors)]
    scoring.prepare(found, factor_names=names, discrete=discrete)
    if "codes" in found and "codes_test" not in found:
        n_rows = len(found["codes"])
        if n_train is not None and not 0 < n_train < n_rows:
            raise scoring.BadEvidence(f"n_train: rows for fitting, wanted 1 … {n_rows - 1} of {n_rows}, got {n_train}")
        if n_rows < 3:
            raise scoring.BadEvidence(f"codes: two thirds of the rows are for fitting, wanted 3 or more, got {n_rows}")
    return Labelled(found, tuple(map(str, names)), tuple(map(bool, discrete)), n_train, files or {}, notes)


def split(labelled: Labelled) -> dict[str, np.ndarray]:
    """Evidence with rows for fitting and for testing: as given, else the first two thirds and the rest."""
    arrays = dict(labelled.arrays)
    if "codes" in arrays and "codes_test" not in arrays:
        cut = labelled.n_train or 2 * len(arrays["codes"]) // 3
        for name in ("codes", "factors"):
            arrays[name], arrays[f"{name}_test"] = arrays[name][:cut], arrays[name][cut:]
    return arrays


def score_labelled(
    labelled: Labelled, metrics: str | Sequence[str] | None = None, protocol: str = "quick", title: str = "codes"
) -> Scored:
    """Scores of checked arrays; see ``score``."""
    asked = split_ids(metrics) if isinstance(metrics, str) else metrics
    if asked is not None and not asked:
        raise UsageError("metrics: none are named; leave it out for the protocol's own set")
    arrays = split(labelled)
    wanted = _scorable(protocol) if asked is None else list(asked)
    found = scoring.score(arrays, wanted, protocol, factor_names=labelled.names, discrete=labelled.discrete)
    if all(entry["value"] is None for entry in found.values.values()):
        key, entry = next(iter(found.values.items()))
        raise UsageError(f"{title}: nothing can be scored; {key}: {entry['reason']}")
    codes = arrays.get("codes", arrays.get("grid_codes"))
    assert codes is not None
    return Scored(
        title, protocol, len(arrays.get("codes", ())), len(arrays.get("codes_test", ())), codes.shape[1],
        tuple(_facts(labelled)), (*labelled.notes, *_notes(labelled, arrays, found, protocol, asked is None)),
        {
            "data": labelled.fingerprint("factors", "factors_test", "factor_sizes"),
            "codes": labelled.fingerprint("codes", "codes_test", "grid_codes"),
        },
        found,
    )  # fmt: skip


def _scorable(protocol: str) -> list[str]:
    """The protocol's metrics that arrays of codes and factors can feed: no reconstructions, no model."""
    return [
        one.id
        for one in resolve(protocol_named(protocol).metrics)
        if all(set(need.split("|")) & set(EVIDENCE) for need in one.needs)
    ]


def _facts(labelled: Labelled) -> Iterator[dict[str, Any]]:
    factors = labelled.arrays.get("factors")
    for i, (name, is_discrete) in enumerate(zip(labelled.names, labelled.discrete, strict=True)):
        n_values = int(labelled.arrays["factor_sizes"][i]) if factors is None else len(np.unique(factors[:, i]))
        yield {"name": name, "kind": "discrete" if is_discrete else "continuous", "n_values": n_values}


def _notes(
    labelled: Labelled, arrays: Mapping[str, np.ndarray], found: Scores, protocol: str, own_metrics: bool
) -> Iterator[str]:
    """What a reader must know to read the numbers right."""
    yield from found.notes
    if found.dropped_factors:
        yield f"left out, one value only: {', '.join(found.dropped_factors)}"
    if found.n_constant_latents:
        yield f"{found.n_constant_latents} of the latents never change"
    yield from advice(labelled, arrays)
    settings = protocol_named(protocol)
    n_train = len(arrays.get("codes", ()))
    if n_train > settings.n_draw or len(arrays.get("codes_test", ())) > settings.n_test:
        yield (
            f"protocol {protocol} scores at most {settings.n_draw:,} rows for fitting and {settings.n_test:,} for "
            "testing: a fixed random choice of those given"
        )
    if own_metrics and "grid_codes" in arrays and protocol == "quick":
        yield "grid_codes are read by the protocols locatello2019 and slowvae2021; quick draws its votes from the rows"


def advice(labelled: Labelled, arrays: Mapping[str, np.ndarray]) -> Iterator[str]:
    """Signs that the factors are not what they were meant to be."""
    if "factors" not in arrays:
        return
    for i, fact in enumerate(_facts(labelled)):
        name, n_values = fact["name"], fact["n_values"]
        train = arrays["factors"][:, i]
        if fact["kind"] == "continuous":
            if n_values <= FEW_VALUES and (train == np.round(train)).all():
                yield f"{name} has {n_values} whole numbers but is written as floats, so it counts as continuous"
            continue
        if n_values > MANY_VALUES:
            yield f"{name} is discrete with {n_values:,} values; if it is a measurement, write it as floats"
        unseen = np.setdiff1d(arrays["factors_test"][:, i], train)
        if len(unseen):
            yield f"{name}: {len(unseen)} of its {n_values} values are in the rows for testing alone; shuffle the rows"


def _with_discrete(labelled: Labelled, names: Sequence[str]) -> Labelled:
    for name in names:
        if name != "all" and name not in labelled.names:
            near = did_you_mean(name, labelled.names)
            raise UsageError(f"--discrete: no factor '{name}'.{near} There are {', '.join(labelled.names)}")
    flags = [
        flag or "all" in names or name in names for name, flag in zip(labelled.names, labelled.discrete, strict=True)
    ]
    return label(labelled.arrays, labelled.names, flags, labelled.n_train, labelled.files, labelled.notes)


def _described(factors: Any) -> tuple[list[str] | None, list[bool] | None]:
    """Names and flags of a data frame's columns."""
    columns, dtypes = getattr(factors, "columns", None), getattr(factors, "dtypes", None)
    if columns is None or dtypes is None:
        return None, None
    return [str(name) for name in columns], [getattr(dtype, "kind", "O") in "iub" for dtype in dtypes]


def _plain(values: Any) -> np.ndarray:
    """An array of what may be a tensor on any device."""
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)


def _matrix(name: str, values: np.ndarray) -> np.ndarray:
    """Rows by columns in this machine's byte order; half and extended precision as float64."""
    values = np.asarray(values)
    if name == "factor_sizes":
        if values.ndim != 1 or values.dtype.kind not in "iu" or not values.size or values.min() < 1:
            raise scoring.BadEvidence(
                f"factor_sizes: one whole number ≥ 1 per factor, got {values.dtype} {values.shape}"
            )
        return values.astype(np.int64)
    if values.ndim == 3:
        raise scoring.BadEvidence(
            f"{name}: wanted (rows, columns), got {values.shape}; reshape(-1, {values.shape[-1]}) gives a row per frame"
        )
    if values.ndim == 1:
        values = values[:, None]
    if values.dtype.kind == "f" and values.dtype.itemsize not in (4, 8):
        values = values.astype(np.float64)
    return np.ascontiguousarray(values, values.dtype.newbyteorder("="))


def _placed(message: str, origin: Mapping[str, str], path: str) -> str:
    """The message behind the name of the file that its array came from."""
    return f"{origin.get(message.partition(':')[0], path)}: {message}"
