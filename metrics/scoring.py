"""Scores evidence: runs every metric whose needs are met, with one policy for degenerate input.

Constant factors are dropped before any metric and listed; constant latents are dropped where a metric's card says so;
what still fails is stored as null with its reason. NaN and infinite codes are refused.
"""

from __future__ import annotations

import hashlib
import inspect
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from metrics.protocols import Protocol, protocol_named
from metrics.registry import PARTS, Metric, alias_notes, key, resolve

CODES = ("codes", "codes_test", "grid_codes")
INTERVENTIONS = ("grid_codes", "sampler")


class BadEvidence(ValueError):
    """Arrays that no metric can score: the message names the array, the first offending place and what is wanted."""


@dataclass(frozen=True)
class Scores:
    """What scoring leaves.

    Attributes:
        values: key -> {"value": float or None, "reason": str or None, "version": int, "protocol": str}.
        dropped_factors: names of the factors with a single value.
        n_constant_latents: latents with a single value in ``codes``.
        details: metric id -> matrices behind its number, as plain lists, with the names of the "factors" scored.
        seconds: metric id -> wall seconds.
        factor_names: names of the factors that were scored.
        notes: what the asker should know (aliases, rows left out).
    """

    values: dict[str, dict[str, Any]] = field(default_factory=dict)
    dropped_factors: tuple[str, ...] = ()
    n_constant_latents: int = 0
    details: dict[str, dict[str, Any]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    factor_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def score(
    evidence: Mapping[str, Any],
    metrics: Sequence[str] | None = None,
    protocol: str = "quick",
    *,
    rng_seed: int = 0,
    factor_names: Sequence[str] | None = None,
    discrete: Sequence[bool] | None = None,
) -> Scores:
    """Every metric that the evidence allows, by key.

    Args:
        evidence: arrays by name. ``codes`` (n, n_latents) with ``factors`` (n, n_factors), integer for discrete ones;
            ``codes_test`` and ``factors_test``; for interventions ``factor_sizes`` (n_factors,) with ``grid_codes``
            (prod(sizes), n_latents) in C order of the factor tuple, or with ``sampler(factors (m, n_factors), rng)
            -> codes (m, n_latents)``; ``observations`` and ``reconstructions`` of one shape; others by the name of the
            parameter that reads them. ``codes@static`` and so on: what metrics of one part (``mig@static``) read.
        metrics: ids, names or aliases; None for the protocol's own set.
        protocol: "quick", "locatello2019" or "slowvae2021".
        rng_seed: each metric draws from a stream of its own, so adding one never changes another's number.
        factor_names: one per factor; else "factor 0", "factor 1", ….
        discrete: one flag per factor where ``factors`` is a float array with class indices in some columns.

    Returns:
        Numbers, and a null with its reason for every metric that did not apply or failed.

    Raises:
        UnknownMetric: a name of a metric or protocol that does not exist.
        BadEvidence: shapes that do not fit together, or a NaN or infinite number (with its first row and column).
    """
    settings = protocol_named(protocol)
    asked = settings.metrics if metrics is None else tuple(metrics)
    of_part = {
        part: prepare(arrays, factor_names=factor_names, discrete=discrete)
        for part in ("", *PARTS)
        if (arrays := _of_part(evidence, part)) or not part
    }
    scores = Scores(
        dropped_factors=of_part[""].dropped_factors,
        n_constant_latents=of_part[""].n_constant_latents,
        factor_names=of_part[""].factor_names,
        notes=tuple(alias_notes(asked)),
    )
    for metric in resolve(asked):
        prepared = of_part.get(metric.part, of_part[""])
        reason = unmet(metric, evidence.keys(), prepared.continuous)
        values: dict[str, float] = {}
        if reason is None:
            if metric.card.warm_up is not None:
                metric.card.warm_up()
            start = time.perf_counter()
            try:
                values, details = _measure(metric, prepared, settings, rng_seed)
            except (ValueError, np.linalg.LinAlgError) as error:
                reason = str(error)
            else:
                if details:
                    names = {"factors": list(prepared.factor_names)} if prepared.factor_names else {}
                    scores.details[metric.id] = details | names
            scores.seconds[metric.id] = time.perf_counter() - start
        for suffix in metric.outputs:
            value = values.get(metric.name + suffix)
            finite = value is not None and bool(np.isfinite(value))
            scores.values[key(metric.id, suffix, protocol)] = {
                "value": float(value) if value is not None and finite else None,
                "reason": None if finite else reason or _absence(metric, suffix, value),
                "version": metric.card.version,
                "protocol": protocol,
            }
    return scores


def applicable(
    available: Collection[str],
    factors_discrete: bool,
    metrics: Sequence[str] | None = None,
    *,
    protocol: str = "quick",
    continuous: Sequence[str] = (),
) -> tuple[list[str], dict[str, str]]:
    """Which metric ids the evidence will allow, and the reason for each that it will not; decided before training.

    Args:
        available: names of the evidence that will exist.
        factors_discrete: every factor has finitely many values.
        metrics: ids, names or aliases; None for the protocol's own set.
        continuous: names of the continuous factors, for the message.
    """
    asked = protocol_named(protocol).metrics if metrics is None else metrics
    names = () if factors_discrete else tuple(continuous) or ("some",)
    possible, refused = [], {}
    for metric in resolve(asked):
        reason = unmet(metric, available, names)
        if reason is None:
            possible.append(metric.id)
        else:
            refused[metric.id] = reason
    return possible, refused


def unmet(metric: Metric, available: Collection[str], continuous: Sequence[str]) -> str | None:
    """Why the metric cannot run on this evidence, or None where it can."""
    missing = [
        need for need in metric.needs if not {metric.evidence(name) for name in need.split("|")} & set(available)
    ]
    if missing and metric.part:
        known = [part for part in PARTS if f"codes@{part}" in available]
        if metric.part not in known:
            has = f"has {', '.join(known)}" if known else "has no parts"
            return f"{metric.id} needs a code with the part '{metric.part}'; this one {has}"
        return f"{metric.id} needs {', '.join(f'{need}@{metric.part}' for need in missing)}"
    if missing and metric.card.scope == "cell":
        return f"{metric.id} compares trainings of several seeds; `bench run --metrics {metric.name}` computes it"
    if metric.factors == "discrete" and continuous:
        are = "is" if len(continuous) == 1 else "are"
        return f"{metric.id} needs discrete factors; {', '.join(continuous)} {are} continuous"
    if missing:
        wanted = ", ".join(need.replace("|", " or ") for need in missing)
        pooled = f"{metric.name}[pool]"
        instead = ""
        if set(INTERVENTIONS) & set("|".join(missing).split("|")) and "pool" in metric.card.variants:
            instead = f"; {pooled} works on labelled rows"
        return f"{metric.id} needs {wanted}{instead}"
    return None


def _of_part(evidence: Mapping[str, Any], part: str) -> dict[str, Any]:
    """The arrays of one part under the names of a metric's parameters; the empty part: those of no part."""
    if not part:
        return {name: array for name, array in evidence.items() if "@" not in name}
    return {name.removesuffix(f"@{part}"): array for name, array in evidence.items() if name.endswith(f"@{part}")}


def _absence(metric: Metric, suffix: str, value: float | None) -> str:
    """Why a metric that ran has no number under this suffix: its card's note says what the number takes."""
    if value is None:
        return f"{metric.id}{suffix} was left out: {metric.outputs[suffix].note}"
    return f"{metric.id}{suffix} is {value}"


@dataclass(frozen=True)
class Prepared:
    """Checked evidence without its constant factors."""

    arrays: dict[str, Any]
    factor_names: tuple[str, ...]
    dropped_factors: tuple[str, ...]
    continuous: tuple[str, ...]
    n_constant_latents: int


def prepare(
    evidence: Mapping[str, Any],
    *,
    factor_names: Sequence[str] | None = None,
    discrete: Sequence[bool] | None = None,
) -> Prepared:
    """Evidence checked, its discrete factors as integers, its constant factors dropped; see ``score``."""
    arrays = dict(evidence)
    _check_codes(arrays)
    n_factors = _count_factors(arrays)
    names = tuple(factor_names) if factor_names is not None else tuple(f"factor {i}" for i in range(n_factors))
    for what, given in (("factor_names", names), ("discrete", discrete)):
        if given is not None and len(given) != n_factors:
            raise BadEvidence(f"{what}: one per factor, got {len(given)} for {n_factors} factors")

    flags = _discrete_flags(arrays, n_factors, discrete)
    for name in ("factors", "factors_test"):
        if name in arrays and all(flags):
            arrays[name] = _as_integers(name, np.asarray(arrays[name]))
    keep = _varying_factors(arrays, n_factors)
    _drop_factors(arrays, keep)
    codes = arrays.get("codes", arrays.get("grid_codes"))
    return Prepared(
        arrays=arrays,
        factor_names=tuple(n for n, k in zip(names, keep, strict=True) if k),
        dropped_factors=tuple(n for n, k in zip(names, keep, strict=True) if not k),
        continuous=tuple(n for n, flag, k in zip(names, flags, keep, strict=True) if k and not flag),
        n_constant_latents=0 if codes is None else int((codes.min(0) == codes.max(0)).sum()),
    )


def _check_codes(arrays: dict[str, Any]) -> None:
    for name in CODES:
        if name not in arrays:
            continue
        codes = np.asarray(arrays[name])
        if codes.ndim != 2 or not codes.size:
            raise BadEvidence(f"{name}: wanted (rows, latents), at least one of each, got {codes.shape}")
        if codes.dtype.kind not in "fiub":
            raise BadEvidence(f"{name}: wanted numbers, got {codes.dtype}")
        _check_finite(name, codes)
        # One memory layout, so that equal numbers give equal bits.
        arrays[name] = np.ascontiguousarray(codes, None if codes.dtype.kind == "f" else np.float64)
        partner = {"codes": "factors", "codes_test": "factors_test"}.get(name)
        if partner in arrays:
            _check_factors(partner, np.asarray(arrays[partner]), name, codes)
    widths = {name: arrays[name].shape[1] for name in CODES if name in arrays}
    if len(set(widths.values())) > 1:
        raise BadEvidence("as many latents everywhere, got " + ", ".join(f"{n} with {w}" for n, w in widths.items()))


def _check_factors(name: str, factors: np.ndarray, codes_name: str, codes: np.ndarray) -> None:
    if factors.ndim != 2 or len(factors) != len(codes):
        raise BadEvidence(
            f"{name}: one row per row of {codes_name}, wanted ({len(codes)}, factors), got {factors.shape}"
        )
    if factors.dtype.kind not in "fiub":
        raise BadEvidence(f"{name}: wanted integers (discrete) or floats (continuous), got {factors.dtype}")
    _check_finite(name, factors)


def _check_finite(name: str, array: np.ndarray) -> None:
    finite = np.isfinite(array)
    if not finite.all():
        row, column = (int(i) for i in np.argwhere(~finite)[0])
        count = int((~finite).sum())
        raise BadEvidence(
            f"{name}: {array[row, column]} at row {row}, column {column} ({count} such numbers); every number is finite"
        )


def _count_factors(arrays: Mapping[str, Any]) -> int:
    counts = {name: np.asarray(arrays[name]).shape[1] for name in ("factors", "factors_test") if name in arrays}
    if "factor_sizes" in arrays:
        counts["factor_sizes"] = len(arrays["factor_sizes"])
    if len(set(counts.values())) > 1:
        raise BadEvidence("as many factors everywhere, got " + ", ".join(f"{n} with {c}" for n, c in counts.items()))
    if "grid_codes" in arrays and "factor_sizes" in arrays:
        cells = int(np.prod(np.asarray(arrays["factor_sizes"], np.int64)))
        if len(arrays["grid_codes"]) != cells:
            raise BadEvidence(
                f"grid_codes: one row per cell of the grid, wanted {cells} for factor_sizes "
                f"{tuple(int(s) for s in arrays['factor_sizes'])}, got {len(arrays['grid_codes'])}"
            )
    return next(iter(counts.values()), 0)


def _discrete_flags(arrays: Mapping[str, Any], n_factors: int, discrete: Sequence[bool] | None) -> list[bool]:
    if discrete is not None:
        return [bool(flag) for flag in discrete]
    if "factors" in arrays:
        return [np.asarray(arrays["factors"]).dtype.kind in "iub"] * n_factors
    return [True] * n_factors


def _as_integers(name: str, factors: np.ndarray) -> np.ndarray:
    """Class indices as int64; floats that stand for classes must be whole numbers."""
    with np.errstate(invalid="ignore"):  # what no integer holds differs from whatever comes out
        whole = factors.astype(np.int64)
    if (whole != factors).any():
        row, column = (int(i) for i in np.argwhere(whole != factors)[0])
        raise BadEvidence(
            f"{name}: column {column} is discrete, so whole numbers are wanted, got {factors[row, column]} in row {row}"
        )
    return whole


def _varying_factors(arrays: Mapping[str, Any], n_factors: int) -> np.ndarray:
    keep = np.ones(n_factors, bool)
    if "factors" in arrays and len(arrays["factors"]):
        factors = np.asarray(arrays["factors"])
        keep &= factors.min(0) < factors.max(0)
    elif "factor_sizes" in arrays:
        keep &= np.asarray(arrays["factor_sizes"]) > 1
    return keep


def _drop_factors(arrays: dict[str, Any], keep: np.ndarray) -> None:
    """Remove the columns; a grid and a sampler lose them too, so that no intervention is labelled with them."""
    if keep.all():
        return
    for name in ("factors", "factors_test"):
        if name in arrays:
            arrays[name] = np.ascontiguousarray(np.asarray(arrays[name])[:, keep])
    if "factor_sizes" not in arrays:
        return
    sizes = np.asarray(arrays["factor_sizes"], np.int64)
    arrays["factor_sizes"] = sizes[keep]
    if "grid_codes" in arrays:
        # A factor that never varied in the rows but has several cells is held at its first value.
        cells = np.arange(int(sizes.prod())).reshape(sizes)
        held = cells[tuple(slice(None) if k else 0 for k in keep)]
        arrays["grid_codes"] = arrays["grid_codes"][held.ravel()]
    if "sampler" in arrays:
        sampler = arrays["sampler"]

        def without_constant(factors: np.ndarray, rng: np.random.Generator) -> np.ndarray:
            whole = np.zeros((len(factors), len(keep)), np.int64)
            whole[:, keep] = factors
            return np.asarray(sampler(whole, rng))

        arrays["sampler"] = without_constant


def _measure(
    metric: Metric, prepared: Prepared, settings: Protocol, rng_seed: int
) -> tuple[dict[str, float], dict[str, Any]]:
    """Call the metric with its evidence and its own generator."""
    arrays = _rows(metric, prepared.arrays, settings, rng_seed)
    if metric.card.drops_constant_latents and "codes" in arrays:
        varies = arrays["codes"].min(0) < arrays["codes"].max(0)
        arrays |= {name: arrays[name][:, varies] for name in ("codes", "codes_test") if name in arrays}
    # A metric gets what its variant needs and nothing else of the evidence, so that `[pool]` never sees a grid.
    offered = {name: arrays[name] for need in metric.needs for name in need.split("|") if name in arrays}
    offered |= {
        "rng": np.random.default_rng([rng_seed, _number(metric.id)]),
        "n_train_votes": settings.n_train_votes,
        "n_test_votes": settings.n_test_votes,
        "votes_batch": settings.votes_batch,
    }
    known = inspect.signature(metric.function).parameters
    given = {name: value for name, value in offered.items() if name in known}
    function = metric.card.details or metric.function
    found = function(**given, **metric.keywords)
    return found if isinstance(found, tuple) else (found, {})


def _rows(metric: Metric, arrays: Mapping[str, Any], settings: Protocol, rng_seed: int) -> dict[str, Any]:
    """The evidence with no more labelled rows than the protocol gives this metric: a fixed random choice of them."""
    chosen = dict(arrays)
    for suffix, limit in (("", settings.rows_for), ("_test", settings.test_rows_for)):
        codes = arrays.get("codes" + suffix)
        if codes is None:
            continue
        n_rows = limit(metric.name, codes.shape[1])
        if len(codes) > n_rows:
            rng = np.random.default_rng([rng_seed, _number("rows" + suffix)])
            index = np.sort(rng.permutation(len(codes))[:n_rows])
            chosen["codes" + suffix] = codes[index]
            if "factors" + suffix in arrays:
                chosen["factors" + suffix] = arrays["factors" + suffix][index]
    return chosen


def _number(word: str) -> int:
    """A fixed 64-bit number of a word, to tell random streams apart."""
    return int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "little")
