"""From a spec to live objects: the data set behind its cache, and the method on its device."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import registry
from bench.datasets.base import DataInfo, DataStore, Source, canonical_json
from bench.datasets.official import data_root
from bench.spec import RunSpec


@dataclass(frozen=True)
class Folders:
    """Where things are read and written.

    Attributes:
        data: official files, one folder per data set (``--data-root``, ``BENCH_DATA``).
        cache: prepared arrays (``BENCH_CACHE``); may be deleted at any time.
        results: the store.
    """

    data: Path
    cache: Path
    results: Path

    @classmethod
    def from_environment(cls, results: str | Path = "results", data: str | Path | None = None) -> Folders:
        """Defaults: the user's cache folder for data and prepared arrays, ``./results`` for the store."""
        import pooch

        home = Path(pooch.os_cache("bench"))
        return cls(data_root(data), Path(os.environ.get("BENCH_CACHE") or home / "prepared"), Path(results))

    def absolute(self) -> Folders:
        """The same folders, wherever the working directory moves."""
        return Folders(self.data.absolute(), self.cache.absolute(), self.results.absolute())


def resolve_source(name: str, config: Any, folders: Folders) -> tuple[Any, Source]:
    """The config with its ``source`` resolved (where it has one), and where the data comes from.

    Raises:
        FileNotFoundError, ValueError: one line that says what is missing and what to run.
    """
    source = registry.dataset(name).card.source(config, folders.data)
    if "source" in {field.name for field in dataclasses.fields(config)}:
        config = dataclasses.replace(config, source=source.kind)
    return config, source


def describe(name: str, config: Any) -> DataInfo:
    """What is known of the data set before it is opened."""
    return registry.dataset(name).card.describe(config)


def describe_data(spec: RunSpec) -> DataInfo:
    """What is known of a spec's data before it is opened."""
    return describe(spec.dataset, spec_dataset(spec)[0])


def open_dataset(name: str, config: Any, source: Source, folders: Folders) -> Any:
    """The container of a data set whose config is resolved; dear arrays come from the cache."""
    entry = registry.dataset(name)
    return entry.target(config, data_store(name, config, source, folders))


def data_store(name: str, config: Any, source: Source, folders: Folders) -> DataStore:
    """The files and the cache of one data set with one config."""
    entry = registry.dataset(name)
    key = canonical_json([name, entry.card.version, dataclasses.asdict(config), source.kind, source.fingerprint])
    return DataStore(folders.data, folders.cache, key)


def spec_dataset(spec: RunSpec) -> tuple[Any, Source]:
    """Config and source of a spec's data set."""
    config = registry.dataset(spec.dataset).config(**_tuples(spec.dataset_params))
    return config, Source(spec.source, spec.fingerprint)  # type: ignore[arg-type]


def spec_method(spec: RunSpec) -> tuple[type, Any]:
    """Class and config of a spec's method."""
    entry = registry.method(spec.method)
    return entry.target, entry.config(**_tuples(spec.method_params))


def _tuples(params: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has no tuples: lists of a stored spec become what the frozen configs hold."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in params.items()}
