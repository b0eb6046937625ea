"""From what was selected to the list of runs, with everything that cannot apply found before anything trains."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench import registry, selection, sweeps
from bench.api import DataSpec
from bench.datasets.base import DataInfo, Source
from bench.evidence.gathering import available, has_codes
from bench.opening import Folders, describe, resolve_source
from bench.randomness import seeded_global_state
from bench.registry import UsageError
from bench.running import cell_metrics, metric_choice
from bench.spec import BUDGETS, RunSpec
from bench.store import Store
from metrics import scoring


@dataclass(frozen=True)
class Request:
    """What the command line asks for, as text and plain values."""

    methods: str
    datasets: str
    seeds: tuple[int, ...]
    budget: str = "quick"
    protocol: str = ""
    metrics: tuple[str, ...] | None = None
    precision: str = "auto"
    threads: int = 1
    score_every: int = 0


@dataclass(frozen=True)
class Grid:
    """The runs of a request.

    Attributes:
        runs: what can be trained and scored, in the order typed, seeds outermost so that a table fills evenly.
        skipped: (spec, reason) for each pair that does not apply; one per seed.
    """

    runs: tuple[RunSpec, ...]
    skipped: tuple[tuple[RunSpec, str], ...]


def build(request: Request, folders: Folders, device: str) -> Grid:
    """Resolve a request.

    Raises:
        UsageError: anything that cannot be, in one line: names, parameters, files, or nothing that applies.
    """
    if request.budget not in BUDGETS:
        raise UsageError(f"--budget is one of {', '.join(BUDGETS)}; got '{request.budget}'")
    protocol = request.protocol or ("quick" if request.budget in ("smoke", "quick") else "locatello2019")
    try:
        metric_choice.wanted(request.metrics, protocol)
    except ValueError as error:
        raise UsageError(str(error)) from None
    precision = resolve_precision(request.precision, device)
    methods = resolved_methods(request.methods, request.budget)
    datasets = _datasets(request, folders)
    runs, skipped, store = [], [], Store(folders.results)
    pairs = []  # the network is built once, not once a seed
    for data in datasets:
        for one in methods:
            ids = metric_choice.wanted(request.metrics, protocol, registry.method(one[0]).target, data[3])
            pairs.append((data, one, ids, refusal(*one, data[0], data[3], ids)))
    for seed in request.seeds:
        for (name, config, source, _), (method, method_config), ids, reason in pairs:
            view = registry.method(method).card.view
            spec = RunSpec(
                method, dataclasses.asdict(method_config), name, dataclasses.asdict(config), source.kind,
                source.fingerprint, view, request.budget, seed, protocol, precision, request.threads,
                request.score_every if method_config.n_steps else 0,
            )  # fmt: skip
            reason = reason or cell_metrics.refusal(spec, ids, len(request.seeds), store)
            if reason:
                skipped.append((spec, reason))
            else:
                runs.append(spec)
    if not runs:
        spec, reason = skipped[0]
        raise UsageError(f"{spec.method} on {spec.dataset}: {reason}. Nothing of this selection can run.")
    repeated = len(runs) + len(skipped) - len({spec.hash for spec in runs} | {spec.hash for spec, _ in skipped})
    if repeated:
        raise UsageError(f"the selection names {repeated} run(s) twice: {request.methods} on {request.datasets}")
    return Grid(tuple(runs), tuple(skipped))


def refusal(method: str, config: Any, dataset: str, info: DataInfo, wanted: Sequence[str]) -> str:
    """Why this method cannot run on this data set, or the empty string."""
    entry = registry.method(method)
    if entry.card.view not in info.views:
        return f"needs the view '{entry.card.view}'; {dataset} offers {', '.join(info.views)}"
    n_frames = info.frames_of(entry.card.view)
    data = DataSpec(info.observation_shape, n_frames, 1, 1, info.extras, info.transformations)
    try:
        with seeded_global_state(0):
            entry.target(config, data)
    except ValueError as error:
        return str(error).removeprefix(f"{method}: ")
    except (MemoryError, RuntimeError) as error:  # torch's word for a network that does not fit in memory
        return f"its network cannot be built: {' '.join(str(error).split())[:200]}"
    ids, refused = scoring.applicable(
        available(entry.target, info), info.factors.is_discrete, wanted, continuous=info.factors.continuous_names
    )
    if not ids and hasattr(entry.target, "sample_prior") and not has_codes(entry.target):
        return ""  # a method that only generates is trained for its samples, whatever can be scored
    if not ids and not info.factors.names:
        return f"what it offers is scored against factors, and {dataset} has none"
    if not ids:
        return "none of the metrics applies: " + "; ".join(sorted(set(refused.values())))
    return ""


def resolve_precision(asked: str, device: str) -> str:
    """``auto`` is bfloat16 where the device has instructions for it, else float32.

    Raises:
        UsageError: another word.
    """
    if asked in ("float32", "bfloat16"):
        return asked
    if asked != "auto":
        raise UsageError(f"--precision is auto, float32 or bfloat16; got '{asked}'")
    import torch

    if device.startswith("cuda"):
        return "bfloat16" if torch.cuda.get_device_capability(device) >= (8, 0) else "float32"
    # without these instructions bfloat16 is emulated, slower than float32
    fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bfloat16" if fast else "float32"


def resolve_devices(asked: str, workers: int | None, threads: int) -> tuple[tuple[str, ...], int]:
    """Devices and number of workers of ``--devices auto|cpu|cuda:0,cuda:1``.

    Raises:
        UsageError: a device that is not there.
    """
    import torch

    from bench.provenance import n_cores

    n_cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if asked == "auto":
        names = tuple(f"cuda:{i}" for i in range(n_cuda)) or ("cpu",)
    else:
        names = tuple(name.strip() for name in asked.split(","))
    for name in names:
        known = name == "cpu" or (name.startswith("cuda:") and name[5:].isdigit() and int(name[5:]) < n_cuda)
        if not known:
            there = ", ".join(["cpu", *(f"cuda:{i}" for i in range(n_cuda))])
            raise UsageError(f"--devices: no device '{name}' here; there is {there}")
    if len({name.split(":")[0] for name in names}) > 1:
        raise UsageError(f"--devices mixes kinds: '{asked}'; rows of one table come from one kind of device")
    if len(set(names)) < len(names):
        raise UsageError(f"--devices names a device twice: '{asked}'")
    if workers and workers > len(names) and names != ("cpu",):
        raise UsageError(f"--workers {workers}: each device takes one worker, and --devices {asked} has {len(names)}")
    if names == ("cpu",):
        return names, workers or max(1, n_cores() // threads)
    return names, workers or len(names)


def resolved_methods(text: str, budget_name: str, option: str = "--methods") -> list[tuple[str, Any]]:
    """(name, config) of every method that ``text`` selects, sweeps included, its parameters resolved for the budget.

    Raises:
        UsageError: an unknown name or parameter, or a value out of its range.
    """
    found = []
    named = selection.parse(text, option)
    for selected in [one for item in named for one in sweeps.expanded(item)]:
        entry = registry.lookup(registry.methods(), selected.name, "method", "bench list methods", also=sweeps.SWEEPS)
        budget = entry.card.budgets.get(budget_name, {})
        selected, points = _named_grid(entry, selected)
        for point in points:
            config = selection.resolve_config(entry.config, {**budget, **point}, selected, option)
            for field, least in {"n_steps": 0, "batch_size": 1}.items():
                value = getattr(config, field, least)
                if value < least:
                    raise UsageError(
                        f"{selected.name}: parameter '{field}' must be ≥ {least}, got {value} (from {option})"
                    )
            found.append((selected.name, config))
    return found


def _named_grid(entry: registry.Entry, selected: selection.Selected) -> tuple[selection.Selected, Sequence[Any]]:
    """``NAME[grid=study]`` → the selection without ``grid``, and the parameters of each point of that sweep."""
    grids = entry.card.grids
    params = dict(selected.params)
    if "grid" not in params or "grid" in {field.name for field in dataclasses.fields(entry.config)}:
        return selected, ({},)
    name = params.pop("grid")
    if name not in grids:
        known = f"it has {', '.join(grids)}" if grids else "it has none"
        raise UsageError(f"{selected.name}: no sweep is called '{name}' (from --methods {selected.text}); {known}")
    fixed = sorted({key for point in grids[name] for key in point} & set(params))
    if fixed:
        raise UsageError(f"{selected.name}: grid={name} sets '{fixed[0]}' itself (from --methods {selected.text})")
    return dataclasses.replace(selected, params=params), grids[name]


def _datasets(request: Request, folders: Folders) -> list[tuple[str, Any, Source, DataInfo]]:
    found = []
    for selected in selection.parse(request.datasets, "--datasets"):
        entry = registry.dataset(selected.name)
        budget = entry.card.budgets.get(request.budget, {})
        config = selection.resolve_config(entry.config, budget, selected, "--datasets")
        try:
            config, source = resolve_source(selected.name, config, folders)
        except (OSError, ValueError) as error:
            raise UsageError(str(error)) from None
        found.append((selected.name, config, source, describe(selected.name, config)))
    return found
