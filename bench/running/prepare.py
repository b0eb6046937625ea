"""Work done once before the runs that depend on it: rendering caches and the evaluation rows of each data set."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch

from bench import registry
from bench.evidence import swap_evidence
from bench.evidence.evaluation import evaluation_rows, kind_of
from bench.evidence.judges import judge_for
from bench.opening import Folders, data_store, describe_data, open_dataset, spec_dataset
from bench.running import metric_choice
from bench.spec import RunSpec
from metrics.protocols import protocol_named


def jobs(specs: Sequence[RunSpec], metrics: Sequence[str] | None = None) -> list[RunSpec]:
    """One spec for each different (data set, protocol, kind of rows, judge) among ``specs``; preparing it serves them.

    Args:
        metrics: ids that will be scored, None for the protocol's own.
    """
    found: dict[tuple[str, ...], RunSpec] = {}
    for spec in specs:
        judge = (spec.budget, spec.precision) if needs_judge(spec, metrics) else ()
        found.setdefault((spec.dataset_id, spec.protocol, kind_of(spec.view), *judge), spec)
    return list(found.values())


def needs_judge(spec: RunSpec, metrics: Sequence[str] | None) -> bool:
    """Whether this run's generated sequences will be judged."""
    method, info = registry.method(spec.method).target, describe_data(spec)
    wanted = metric_choice.wanted(metrics, spec.protocol, method, info)
    return any(one.startswith("swap[") for one in wanted) and "judged" in swap_evidence.offers(method, info)


def prepare(spec: RunSpec, folders: Folders, device: str = "cpu", metrics: tuple[str, ...] | None = None) -> str:
    """Open the data set of ``spec``, draw its evaluation rows and train its judge, where one will be asked.

    All of it is then in the cache. Returns the data set's name.

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
        if needs_judge(spec, metrics):
            judge_for(data, spec.dataset, spec.dataset_id, store, spec.budget, torch.device(device), spec.precision)
    return spec.dataset
