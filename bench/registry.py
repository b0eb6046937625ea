"""Names to methods and data sets: built-in files, and outside packages through entry points.

Registration is a decorator; importing this module imports neither torch nor any method.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from bench.api import MethodCard
    from bench.datasets.base import DatasetCard

T = TypeVar("T")

FOLDER_NAME = r"[A-Za-z0-9][A-Za-z0-9._=+-]{0,79}"  # what a method or data set is called in the store's paths


class UsageError(ValueError):
    """The caller asked for something that does not exist or cannot be; the message says what to type instead."""


@dataclass(frozen=True)
class Entry:
    """One registered thing.

    Attributes:
        target: the method class, or the function that opens the data set.
        config: its frozen dataclass of parameters.
    """

    name: str
    target: Any
    config: type
    card: Any


_METHODS: dict[str, Entry] = {}
_DATASETS: dict[str, Entry] = {}
_loaded: set[str] = set()


def _add(table: dict[str, Entry], entry: Entry, kind: str) -> None:
    if not re.fullmatch(FOLDER_NAME, entry.name):
        raise UsageError(f"{kind} '{entry.name}' names a folder: at most 80 letters, digits and ._=+-")
    old = table.get(entry.name)
    if old is not None and _place(old) != _place(entry):
        raise UsageError(
            f"{kind} '{entry.name}' is registered twice: by {old.target.__module__} and {entry.target.__module__}"
        )
    table[entry.name] = entry


def _place(entry: Entry) -> tuple[str, str]:
    return entry.target.__module__, entry.target.__qualname__


def register_method(name: str, *, config: type, card: MethodCard) -> Callable[[type[T]], type[T]]:
    """Class decorator that makes a ``Method`` selectable as ``name`` on the command line."""

    def decorate(cls: type[T]) -> type[T]:
        cls.card = card  # type: ignore[attr-defined]
        _add(_METHODS, Entry(name, cls, config, card), "method")
        return cls

    return decorate


def register_dataset(name: str, *, config: type, card: DatasetCard) -> Callable[[T], T]:
    """Decorator for the function ``(config, store) -> container`` that opens a data set."""

    def decorate(function: T) -> T:
        _add(_DATASETS, Entry(name, function, config, card), "data set")
        return function

    return decorate


def _load(group: str, package: str) -> None:
    """Import every module of our own package, then whatever outside packages announce under the entry-point group."""
    if group in _loaded:
        return
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        importlib.import_module(f"{package}.{module.name}")
    for point in entry_points(group=group):
        try:
            point.load()
        except (ImportError, AttributeError, SyntaxError, NameError, TypeError) as error:
            package = f"the installed package '{point.dist.name if point.dist else point.value}'"
            raise UsageError(f"{package} cannot be loaded ({error}); mend or uninstall it") from None
    _loaded.add(group)


def methods() -> dict[str, Entry]:
    """All methods by name, sorted."""
    _load("bench.methods", "methods")
    return dict(sorted(_METHODS.items()))


def datasets() -> dict[str, Entry]:
    """All data sets by name, sorted: registered ones, and those that the user added below the data root."""
    _load("bench.datasets", "bench.datasets")
    from bench.datasets.added import entries
    from bench.datasets.official import data_root

    return dict(sorted({**entries(data_root()), **_DATASETS}.items()))


def is_registered_dataset(name: str) -> bool:
    """The name belongs to the suite or to an installed package, so a user cannot add a data set under it."""
    _load("bench.datasets", "bench.datasets")
    return name in _DATASETS


def method(name: str) -> Entry:
    """The method called ``name``; raises UsageError with the nearest name."""
    return lookup(methods(), name, "method", "bench list methods")


def dataset(name: str) -> Entry:
    """The data set called ``name``; raises UsageError with the nearest name."""
    return lookup(datasets(), name, "data set", "bench list datasets")


def lookup(table: dict[str, T], name: str, kind: str, command: str, also: Iterable[str] = ()) -> T:
    """``table[name]``, or a UsageError that proposes the nearest name (or one of ``also``) and what lists them."""
    if name in table:
        return table[name]
    near = did_you_mean(name, [*table, *also])
    raise UsageError(f"unknown {kind} '{name}'.{near} `{command}` shows all of them.")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` or the empty string."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean '{near[0]}'?" if near else ""
