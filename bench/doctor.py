"""Is this machine fit for a run? Versions, devices, data, disk, and a short self-test that ends in numbers.

Every check stands alone: what is broken is said with what to do about it, and the others still run.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from bench import provenance, registry
from bench.datasets.official import place
from bench.opening import Folders
from bench.registry import UsageError
from bench.store import CorruptRow, Store, read_row

DISTRIBUTION = "bench-disentanglement"
LOW_DISK_GB = 2.0  # less than a cache of rendered frames and a few checkpoints take

State = Literal["ok", "note", "broken"]


@dataclass(frozen=True)
class Check:
    """One line of the report.

    Attributes:
        state: "broken" makes the exit code 1; a "note" is worth knowing and harms nothing.
        advice: what to do about it; only where something is broken or could be better.
        facts: the same for machines.
    """

    name: str
    state: State
    text: str
    advice: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


def examine(folders: Folders, device: str = "auto", self_test: bool = True) -> Iterator[Check]:
    """Every check in turn, as it is done; what one of them raises is its own line and stops none of the others."""
    checks: list[tuple[str, Callable[[], Check]]] = [
        ("versions", check_versions),
        ("processor", check_processor),
        ("devices", check_devices),
        ("names", check_names),
        ("data", lambda: check_data(folders.data)),
        ("cache", lambda: check_cache(folders.cache)),
        ("results", lambda: check_results(folders.results)),
    ]
    if self_test:
        checks += [("metrics", check_metric), ("training", lambda: check_training(folders, device))]
    for name, check in checks:
        try:
            yield check()
        except UsageError as error:  # it says itself what to do
            yield Check(name, "broken", str(error))
        except Exception as error:  # a doctor who collapses at the first finding is no help
            what = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            advice = "install again with `make setup`, or see the message"
            yield Check(name, "broken", what, advice)


def check_versions() -> Check:
    """Python and the packages that the suite declares, against the least versions it needs."""
    versions = {"python": provenance.versions()["python"]}
    wrong = [] if sys.version_info >= (3, 11) else [f"Python {versions['python']}, needs 3.11"]
    try:
        required = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        required = []
    for text in required:
        found = re.match(r"([A-Za-z0-9_.-]+)\s*(?:>=\s*([0-9.]+))?", text)
        if found is None or "extra ==" in text:
            continue
        name, least = found.group(1), found.group(2) or "0"
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{name} is not installed, needs {least}")
            continue
        if _numbers(versions[name]) < _numbers(least):
            wrong.append(f"{name} {versions[name]}, needs {least}")
    bench = provenance.versions()["bench"]
    facts = {"bench": bench, "git_commit": provenance.git_commit(), **versions}
    if wrong:
        return Check("versions", "broken", "; ".join(wrong), "run `make setup`, or pip install -U what is named", facts)
    shown = ", ".join(f"{name} {versions[name]}" for name in ("python", "torch", "numpy", "scipy") if name in versions)
    state: State = "ok" if required else "note"
    rest = f"; {len(versions)} versions fit" if required else "; not installed as a package, so versions not compared"
    return Check("versions", state, f"bench {bench}, {shown}{rest}", facts=facts)


def check_processor() -> Check:
    """Cores, memory, threads and what bfloat16 costs here."""
    import torch

    from bench.running.grid import resolve_precision

    found = dict(provenance.hardware())
    threads = os.environ.get("OMP_NUM_THREADS")
    facts = {
        **found, "torch_threads": torch.get_num_threads(), "omp_num_threads": threads,
        "precision": resolve_precision("auto", "cpu"),
    }  # fmt: skip
    memory = f", {found['memory_gb']:g} GB memory" if "memory_gb" in found else ""
    text = (
        f"{found['processor']}, {found['cores']} cores{memory}; bench run: {found['cores']} workers of 1 thread, "
        f"{facts['precision']}"
    )
    if threads is not None and threads != "1":
        text += f"; OMP_NUM_THREADS={threads} is set, workers set their own"
    return Check("processor", "ok", text, facts=facts)


def check_devices() -> Check:
    """CUDA devices, each asked to multiply two matrices."""
    import torch

    if not torch.cuda.is_available():
        built = torch.version.cuda
        why = f"torch is built for CUDA {built}, and finds no device" if built else "torch is a CPU build"
        return Check("devices", "note", f"no CUDA device: {why}; runs use the CPU", facts={"cuda": [], "built": built})
    found, texts = [], []
    for i in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(i)
        x = torch.ones(256, 256, device=f"cuda:{i}")
        if float((x @ x)[0, 0]) != 256:
            advice = "leave it out with --devices; its driver or memory is at fault"
            return Check("devices", "broken", f"cuda:{i} multiplies matrices wrongly", advice)
        memory = properties.total_memory / 2**30
        found.append({"name": properties.name, "memory_gb": round(memory, 1)})
        texts.append(f"cuda:{i} {properties.name}, {memory:.0f} GB")
    return Check("devices", "ok", "; ".join(texts), facts={"cuda": found, "built": torch.version.cuda})


def check_names() -> Check:
    """Everything that registers a name can be imported, the user's own packages too."""
    from metrics.registry import metric_ids

    try:
        counts = {"methods": len(registry.methods()), "datasets": len(registry.datasets())}
    except UsageError as error:
        return Check("names", "broken", str(error), "its message says which package to mend or uninstall")
    counts["metrics"] = len(metric_ids())
    text = f"{counts['methods']} methods, {counts['datasets']} data sets, {counts['metrics']} metrics can be named"
    return Check("names", "ok", text, facts=counts)


def _is_users(entry: registry.Entry, root: Path) -> bool:
    """The data set takes the files that are there for the user's own, whatever the official ones are."""
    try:
        return bool(entry.card.source(entry.config(), root).kind == "user")
    except (OSError, ValueError):
        return False


def check_data(root: Path) -> Check:
    """Which data sets have their official files, by presence and size; ``bench data verify`` reads them whole."""
    complete, partial, absent, other, wrong = [], [], [], [], []
    for name, entry in registry.datasets().items():
        if not entry.card.files:
            continue
        if _is_users(entry, root):
            other.append(name)
            continue
        files = {file.name: place(name, root, file) for file in entry.card.files}
        there = [file for file in entry.card.files if files[file.name].is_file()]
        for file in there:
            size = files[file.name].stat().st_size
            has_other_forms = file.content_sha256 or file.content_md5  # another compression run has another size
            if file.size is not None and size != file.size and not has_other_forms:
                wrong.append(f"{files[file.name]} has {size:,} bytes, the official one {file.size:,}")
        needed = [file for file in entry.card.files if not file.variant]
        if not there:
            absent.append(name)
        elif len(there) == len(entry.card.files) or (needed and set(needed) <= set(there)):
            complete.append(name)
        else:
            partial.append(f"{name} {len(there)} of {len(entry.card.files)}")
    facts = {"root": str(root), "complete": complete, "partial": partial, "absent": absent, "wrong_size": wrong}
    parts = [f"{', '.join(complete) or 'no data set'} complete"]
    parts += [f"in part: {', '.join(partial)}"] if partial else []
    parts += [f"with a content of its own: {', '.join(other)}"] if other else []
    parts += [f"absent: {', '.join(absent)}"] if absent else []
    text = f"official files in {root}: {'; '.join(parts)}"
    if wrong:
        advice = "`bench data verify NAME` says more, `bench data fetch NAME` fetches it again"
        return Check("data", "broken", "; ".join(wrong), advice, facts)
    missing = "`bench data fetch NAME` gets them; generated data needs none" if absent or partial else ""
    return Check("data", "note" if missing else "ok", text, missing, facts)


def check_cache(folder: Path) -> Check:
    """Room for rendered frames and evaluation rows."""
    used = sum(path.stat().st_size for path in folder.glob("*") if path.is_file()) if folder.is_dir() else 0
    nearest = _existing(folder)
    problem = _unwritable(nearest)
    if problem:
        advice = "name a folder of your own with BENCH_CACHE=DIR"
        return Check("cache", "broken", f"{folder} cannot be written: {problem}", advice)
    free = shutil.disk_usage(nearest).free / 2**30
    text = f"{folder}: {used / 2**30:.2f} GB used, {free:.1f} GB free"
    facts = {"folder": str(folder), "used_gb": round(used / 2**30, 3), "free_gb": round(free, 2)}
    if free < LOW_DISK_GB:
        advice = f"free at least {LOW_DISK_GB:g} GB, or set BENCH_CACHE to a larger disk; the cache may be deleted"
        return Check("cache", "broken", text, advice, facts)
    return Check("cache", "ok", text, facts=facts)


def check_results(folder: Path) -> Check:
    """The store can be written, and its rows be read."""
    try:
        Store(folder).check_writable()
    except UsageError as error:
        return Check("results", "broken", str(error), "name another one with --results DIR")
    problem = _unwritable(_existing(folder))
    if problem:
        return Check("results", "broken", f"{folder}: {problem}", "name another one with --results DIR")
    counts: dict[str, int] = {}
    corrupt = []
    for path in sorted((folder / "rows").glob("*/*/*.json")):
        try:
            row = read_row(path)
        except (CorruptRow, ValueError) as error:
            corrupt.append(str(error))
        else:
            status = row["status"] if row else "gone"
            counts[status] = counts.get(status, 0) + 1
    held = ", ".join(f"{n} {status}" for status, n in sorted(counts.items())) or "none yet"
    facts = {"folder": str(folder), "rows": counts, "corrupt": corrupt}
    if corrupt:
        more = f" and {len(corrupt) - 1} more" if len(corrupt) > 1 else ""
        advice = "move it away; the same `bench run` makes it again"
        return Check("results", "broken", f"{corrupt[0]}{more}", advice, facts)
    return Check("results", "ok", f"{folder} can be written; rows: {held}", facts=facts)


def check_metric() -> Check:
    """MIG of a code that keeps one of two bits of each factor, which is 1/2 exactly."""
    import numpy as np

    from metrics.mig import mig

    grid = np.stack(np.meshgrid(range(4), range(4), indexing="ij"), -1).reshape(-1, 2)
    found = mig((grid // 2).astype(float), grid)["mig"]
    facts = {"mig": found, "expected": 0.5}
    text = f"MIG of a code that keeps one of two bits: {found:.12g}, in closed form 0.5"
    if abs(found - 0.5) > 1e-9:
        return Check("metrics", "broken", text, "numpy or scikit-learn compute wrongly; `make setup` anew", facts)
    return Check("metrics", "ok", text, facts=facts)


def check_training(folders: Folders, asked: str = "auto") -> Check:
    """Speed of SlowVAE's training steps at the quick budget, on noise of the data's shape."""
    from bench.running.estimate import seconds_per_step
    from bench.running.grid import Request, build, resolve_devices

    devices, workers = resolve_devices(asked, None, 1)
    request = Request("slowvae", "natural_sprites[source=generated]", (0,), "quick")
    (spec,) = build(request, folders, devices[0]).runs
    started = time.perf_counter()
    seconds = seconds_per_step(spec, devices[0])
    measured = time.perf_counter() - started
    n_steps, batch = spec.method_params["n_steps"], spec.method_params["batch_size"]
    facts = {
        "steps_per_second": round(1 / seconds, 2), "device": devices[0], "precision": spec.precision, "batch": batch,
        "workers": workers, "run_seconds": round(seconds * n_steps, 1), "measured_seconds": round(measured, 2),
    }  # fmt: skip
    text = (
        f"slowvae trains {1 / seconds:.1f} steps/s ({batch} pairs of 64 × 64, {spec.precision}, {devices[0]}, 1 thread)"
        f"; a quick run's {n_steps} steps: {seconds * n_steps:.0f} s"
    )
    return Check("training", "ok", text, facts=facts)


def is_sound(checks: Sequence[Check]) -> bool:
    return all(check.state != "broken" for check in checks)


def _existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder


def _unwritable(folder: Path) -> str:
    """Why no file can be made in a folder, or the empty string; asks by making one, since rights are not all."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"bench")
            file.flush()
    except OSError as error:
        return str(error.strerror or error)
    return ""


def _numbers(version: str) -> tuple[int, ...]:
    """``2.13.0+cpu`` → (2, 13, 0)."""
    return tuple(int(n) for n in re.findall(r"\d+", version.split("+")[0])[:3])
