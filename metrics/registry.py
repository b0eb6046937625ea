"""Names to metrics: the card every metric carries, the decorator that registers it, and the ids that select it.

A selectable id is ``name[variant]``; a bare name selects the variant called ``""`` or, where there is none, the card's
defaults. ``name[variant]@part`` scores one part of the code alone (``PARTS``). Imports neither torch nor any metric.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import entry_points
from typing import Any, Literal, TypeVar

F = TypeVar("F", bound=Callable[..., dict[str, float]])

PARTS = ("static", "dynamic", "utterance", "capsules", "speeds")
"""What a part of a code may be called, in the order of tables; no protocol is called so: a key says which is which."""


class UnknownMetric(ValueError):
    """A metric id that is not registered; the message proposes the nearest one."""


@dataclass(frozen=True)
class Output:
    """How to read one reported number.

    Attributes:
        bounds: least and greatest possible value, None where there is no bound.
        higher_is_better: direction; comparisons read it, never the name.
        floor: what 10 latents of pure noise score on dSprites' factor sizes (3, 6, 40, 32, 32), None if unknown.
        ceiling: what one noisy copy per factor scores there.
        note: what floor and ceiling depend on, in words.
    """

    bounds: tuple[float | None, float | None] = (0.0, 1.0)
    higher_is_better: bool = True
    floor: float | None = None
    ceiling: float | None = None
    note: str = ""


@dataclass(frozen=True)
class MetricCard:
    """The metadata of a metric.

    Attributes:
        title: the name as papers print it.
        summary: one sentence: what the number says.
        paper: citation.
        source: equation of the paper, and the public implementation we agree with.
        needs: evidence names, each a parameter of the function; "a|b" means that one of them is enough.
        variants: variant name -> keyword arguments of the function; "" is the variant of the bare name.
        outputs: suffix -> how to read it; "" is the number under the id itself.
        blind_to: what the metric cannot see, or rewards wrongly.
        cost: what it takes, in words.
        verified: what our numbers were checked against.
        factors: "discrete" (class indices only), "any", or None for a metric that reads no factors.
        defaults: variants that a bare name selects when there is no variant "".
        variant_needs: needs of the variants that differ from ``needs``.
        variant_factors: the same for ``factors``.
        variant_outputs: outputs of the variants that differ from ``outputs``.
        drops_constant_latents: the scorer removes exactly constant latents first.
        scope: "run" (one representation) or "cell" (all seeds of a method together).
        version: raised by every change that can move a score.
        details: same arguments as the function, returns (the function's dictionary, matrices behind it as lists).
        warm_up: called before the clock starts, where something must be compiled first.
        name: filled in by ``register_metric``.
    """

    title: str
    summary: str
    paper: str
    source: str
    needs: tuple[str, ...]
    variants: Mapping[str, Mapping[str, Any]]
    outputs: Mapping[str, Output]
    blind_to: str
    cost: str
    verified: str
    factors: Literal["discrete", "any"] | None = "any"
    defaults: tuple[str, ...] = ()
    variant_needs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    variant_factors: Mapping[str, Literal["discrete", "any"]] = field(default_factory=dict)
    variant_outputs: Mapping[str, Mapping[str, Output]] = field(default_factory=dict)
    drops_constant_latents: bool = False
    scope: Literal["run", "cell"] = "run"
    version: int = 1
    details: Callable[..., tuple[dict[str, float], dict[str, Any]]] | None = None
    warm_up: Callable[[], None] | None = None
    name: str = ""


@dataclass(frozen=True)
class Metric:
    """A metric with its variant chosen.

    Attributes:
        id: ``name`` or ``name[variant]``, with ``@part`` where it scores one part: how it is selected and stored.
        function: the plain function; returns ``{name + suffix: value}``.
        keywords: what the variant fixes.
        needs, factors, outputs: of this variant.
        part: the part of the code that is scored, empty for all of it.
    """

    id: str
    name: str
    variant: str
    function: Callable[..., dict[str, float]]
    card: MetricCard
    keywords: Mapping[str, Any]
    needs: tuple[str, ...]
    factors: Literal["discrete", "any"] | None
    outputs: Mapping[str, Output]
    part: str = ""

    def evidence(self, need: str) -> str:
        """The name of the array that is passed as ``need``: ``codes`` is ``codes@static`` for a metric of that part."""
        return f"{need}@{self.part}" if self.part else need

    def keys(self, protocol: str = "quick") -> list[str]:
        """The keys under which the numbers of this metric are stored."""
        return [key(self.id, suffix, protocol) for suffix in self.outputs]


@dataclass(frozen=True)
class Alias:
    """A name that stands for other metrics and says why."""

    names: tuple[str, ...]
    note: str


ALIASES: Mapping[str, Alias] = {
    "mce": Alias(
        ("modularity", "explicitness"),
        "mce is no metric of its own: feature lists print 'MCE' where the code has modularity and explicitness "
        "(Ridgeway & Mozer 2018), so both are computed. It is not mcc.",
    )
}

_REGISTERED: dict[str, tuple[Callable[..., dict[str, float]], MetricCard]] = {}
_loaded: set[str] = set()
_NO_METRIC = {"trees"}  # its compiler takes half a second to import


def register_metric(name: str, *, card: MetricCard) -> Callable[[F], F]:
    """Decorator that makes a plain function on arrays selectable as ``name``."""
    if "" not in card.variants and not card.defaults:
        raise ValueError(f"metric '{name}': give a variant '' or say which variants a bare '{name}' selects")

    def decorate(function: F) -> F:
        old = _REGISTERED.get(name)
        if old is not None and old[0].__qualname__ != function.__qualname__:
            raise ValueError(f"metric '{name}' is registered twice: by {old[0].__module__} and {function.__module__}")
        _REGISTERED[name] = (function, replace(card, name=name))
        return function

    return decorate


def _load() -> None:
    """Import every module of this package, then what outside packages announce as entry points `bench.metrics`."""
    if _loaded:
        return
    _loaded.add("bench.metrics")
    for module in pkgutil.iter_modules(importlib.import_module("metrics").__path__):
        if module.name not in _NO_METRIC:
            importlib.import_module(f"metrics.{module.name}")
    for point in entry_points(group="bench.metrics"):
        point.load()


def cards() -> dict[str, MetricCard]:
    """The card of every metric by name, sorted."""
    _load()
    return {name: card for name, (_, card) in sorted(_REGISTERED.items())}


def metric_ids() -> list[str]:
    """Every selectable id, sorted by name, variants in the order of the card."""
    return [_id(name, variant) for name, card in cards().items() for variant in card.variants]


def metric(metric_id: str) -> Metric:
    """The metric of one full id such as ``mcc[spearman]``.

    Raises:
        UnknownMetric: no such name or variant, or a bare name that stands for several.
    """
    chosen = resolve([metric_id])
    if len(chosen) != 1:
        raise UnknownMetric(f"'{metric_id}' stands for several metrics: {', '.join(m.id for m in chosen)}")
    return chosen[0]


def resolve(names: Iterable[str]) -> list[Metric]:
    """The metrics that names, ids and aliases stand for, each once, in the order given.

    Raises:
        UnknownMetric: one line with the nearest name.
    """
    _load()
    found: dict[str, Metric] = {}
    for text in names:
        plain, at, part = text.partition("@")
        for name in ALIASES[plain].names if plain in ALIASES else (plain,):
            for one in _select(name + at + part):
                found.setdefault(one.id, one)
    return list(found.values())


def alias_notes(names: Iterable[str]) -> list[str]:
    """What to tell someone who asked for these names, where one is an alias."""
    plain = (name.partition("@")[0] for name in names)
    return [ALIASES[name].note for name in plain if name in ALIASES]


def split_ids(text: str) -> list[str]:
    """``"mcc[spearman,matched],mig"`` -> its ids: cut at the commas outside brackets."""
    pieces, depth, start = [], 0, 0
    for i, letter in enumerate(text):
        depth += (letter == "[") - (letter == "]")
        if letter == "," and depth == 0:
            pieces.append(text[start:i])
            start = i + 1
    return [piece.strip() for piece in [*pieces, text[start:]] if piece.strip()]


def key(metric_id: str, suffix: str = "", protocol: str = "quick") -> str:
    """The key a number is stored under: id, suffix, part and, where it is not "quick", the protocol.

    ``dci[gbt]@static`` with suffix ``/completeness`` in slowvae2021: ``dci[gbt]/completeness@static@slowvae2021``.
    """
    plain, at, part = metric_id.partition("@")
    return plain + suffix + at + part + ("" if protocol == "quick" else f"@{protocol}")


def output_of(result_key: str) -> Output:
    """How to read the number stored under a key such as ``dci[gbt]/disentanglement@slowvae2021``.

    Raises:
        UnknownMetric: no such metric or no such number.
    """
    metric_id, suffix = split_key(result_key)
    outputs = metric(metric_id).outputs
    if suffix not in outputs:
        known = ", ".join(key(metric_id, s) for s in outputs)
        raise UnknownMetric(f"'{result_key}' is not a number of {metric_id}, which reports {known}")
    return outputs[suffix]


def split_key(result_key: str) -> tuple[str, str]:
    """``dci[gbt]/completeness@static@slowvae2021`` → ``dci[gbt]@static`` and ``/completeness``."""
    plain, *marks = result_key.split("@")
    part = f"@{marks[0]}" if marks and marks[0] in PARTS else ""
    start = plain.find("/", plain.find("]") + 1)
    return (plain + part, "") if start < 0 else (plain[:start] + part, plain[start:])


def _id(name: str, variant: str) -> str:
    return f"{name}[{variant}]" if variant else name


def _select(text: str) -> list[Metric]:
    text, at, part = text.partition("@")
    if at and part not in PARTS:
        raise UnknownMetric(
            f"'{text}@{part}': a code has no part '{part}'.{_did_you_mean(part, PARTS)} "
            f"Parts are called {', '.join(PARTS)}."
        )
    name, bracket, rest = text.partition("[")
    if name not in _REGISTERED or (bracket and not rest.endswith("]")):
        known: Sequence[str] = [*_REGISTERED, *ALIASES, *metric_ids()]
        raise UnknownMetric(
            f"unknown metric '{text}'.{_did_you_mean(text, known)} `bench list metrics` shows all of them."
        )
    function, card = _REGISTERED[name]
    if bracket:
        variants: tuple[str, ...] = (rest[:-1].replace(" ", ""),)
    else:
        variants = ("",) if "" in card.variants else card.defaults
    for variant in variants:
        if variant not in card.variants:
            known = [_id(name, v) for v in card.variants]
            raise UnknownMetric(
                f"unknown variant '{text}'.{_did_you_mean(text, known)} {name} is offered as {', '.join(known)}."
            )
    return [
        Metric(
            id=_id(name, variant) + at + part,
            name=name,
            variant=variant,
            function=function,
            card=card,
            keywords=card.variants[variant],
            needs=card.variant_needs.get(variant, card.needs),
            factors=card.variant_factors.get(variant, card.factors),
            outputs=card.variant_outputs.get(variant, card.outputs),
            part=part,
        )
        for variant in variants
    ]


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean '{near[0]}'?" if near else ""
