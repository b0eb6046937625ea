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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench import provenance
from bench.files import judged_files
from bench.files.labelled import Labelled, advice, facts_of, label, load, split
from bench.registry import UsageError
from metrics import scoring
from metrics.protocols import protocol_named
from metrics.registry import output_of, resolve, split_ids
from metrics.scoring import Scores

EVIDENCE = ("codes", "factors", "codes_test", "factors_test", "factor_sizes", "grid_codes")


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
        what: what was scored where it is not codes and factors.
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
    what: str = ""

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
    return score_labelled(
        label(arrays, names if factor_names is None else factor_names, flags if discrete is None else discrete),
        metrics,
        protocol,
    )


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


def score_labelled(
    labelled: Labelled, metrics: str | Sequence[str] | None = None, protocol: str = "quick", title: str = "codes"
) -> Scored:
    """Scores of checked arrays; see ``score``."""
    asked = split_ids(metrics) if isinstance(metrics, str) else metrics
    if asked is not None and not asked:
        raise UsageError("metrics: none are named; leave it out for the protocol's own set")
    arrays = split(labelled)
    what = judged_files.described(arrays)
    own = judged_files.default_metrics(arrays) if what else _scorable(protocol)
    wanted = own if asked is None else list(asked)
    found = scoring.score(
        arrays,
        wanted,
        protocol,
        factor_names=None if what else labelled.names,
        discrete=None if what else labelled.discrete,
    )
    if all(entry["value"] is None for entry in found.values.values()):
        raise UsageError(f"{title}: nothing can be scored; {_why_nothing(labelled, arrays, found, protocol)}")
    if what:
        main = next(arrays[key] for key in judged_files.MAIN if key in arrays)
        n_train, n_test, n_latents = 0, len(main), main.shape[1]
    else:
        codes = arrays.get("codes", arrays.get("grid_codes"))
        assert codes is not None
        n_train, n_test, n_latents = len(arrays.get("codes", ())), len(arrays.get("codes_test", ())), codes.shape[1]
    return Scored(
        title, protocol, n_train, n_test, n_latents,
        tuple(facts_of(labelled)), (*labelled.notes, *_notes(labelled, arrays, found, protocol, asked is None)),
        {
            "data": labelled.fingerprint("factors", "factors_test", "factor_sizes", *judged_files.BESIDE),
            "codes": labelled.fingerprint("codes", "codes_test", "grid_codes", *judged_files.MAIN),
        },
        found,
        what,
    )  # fmt: skip


def _why_nothing(labelled: Labelled, arrays: Mapping[str, np.ndarray], found: Scores, protocol: str) -> str:
    """The first metric's reason, or what lies behind all of them, and the way out where there is one."""
    if labelled.names and not found.factor_names:
        return f"each factor has one value only ({', '.join(labelled.names)})"
    reason = str(next(iter(found.values.values()))["reason"])
    if "grid_codes" in arrays and protocol == "quick":
        return f"{reason}; for a grid of codes use the protocol locatello2019 or slowvae2021"
    return "; ".join([reason, *advice(labelled, arrays)])


def _scorable(protocol: str) -> list[str]:
    """The protocol's metrics that arrays of codes and factors can feed: no reconstructions, no model."""
    return [
        one.id
        for one in resolve(protocol_named(protocol).metrics)
        if all(set(need.split("|")) & set(EVIDENCE) for need in one.needs)
    ]


def _notes(
    labelled: Labelled, arrays: Mapping[str, np.ndarray], found: Scores, protocol: str, own_metrics: bool
) -> Iterator[str]:
    """What a reader must know to read the numbers right."""
    yield from found.notes
    if found.dropped_factors:
        yield f"left out, one value only: {', '.join(found.dropped_factors)}"
    if found.n_constant_latents:
        n_latents = arrays["codes" if "codes" in arrays else "grid_codes"].shape[1]
        yield f"constant latents: {found.n_constant_latents} of {n_latents}"
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


def _described(factors: Any) -> tuple[list[str] | None, list[bool] | None]:
    """Names and flags of a data frame's columns."""
    columns, dtypes = getattr(factors, "columns", None), getattr(factors, "dtypes", None)
    if columns is None or dtypes is None:
        return None, None
    return [str(name) for name in columns], [getattr(dtype, "kind", "O") in "iub" for dtype in dtypes]


def _plain(values: Any) -> np.ndarray:
    """An array of what may be a tensor on any device."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = values.float() if "bfloat16" in str(values.dtype) else values  # numpy has no such type
    return np.asarray(values)
