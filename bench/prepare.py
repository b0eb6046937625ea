"""Work done once before the runs that depend on it: rendering caches and the evaluation rows of each data set."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from bench.evaluation import evaluation_rows, kind_of
from bench.opening import Folders, data_store, open_dataset, spec_dataset
from bench.spec import RunSpec
from metrics.protocols import protocol_named


def jobs(specs: Sequence[RunSpec]) -> list[RunSpec]:
    """One spec for each different (data set, protocol, kind of rows) among ``specs``; preparing it serves them."""
    found: dict[tuple[str, str, str], RunSpec] = {}
    for spec in specs:
        found.setdefault((spec.dataset_id, spec.protocol, kind_of(spec.view)), spec)
    return list(found.values())


def prepare(spec: RunSpec, folders: Folders) -> str:
    """Open the data set of ``spec`` and draw its evaluation rows, so that both are in the cache; returns its name.

    Locked, so that two calls at once do the work once.
    """
    import fcntl

    folders.cache.mkdir(parents=True, exist_ok=True)
    name = hashlib.sha256(spec.dataset_id.encode()).hexdigest()[:20]
    with (folders.cache / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        config, source = spec_dataset(spec)
        data = open_dataset(spec.dataset, config, source, folders)
        store = data_store(spec.dataset, config, source, folders)
        evaluation_rows(data, spec.dataset_id, store, protocol_named(spec.protocol), spec.view)
    return spec.dataset
