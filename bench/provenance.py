"""What a row says of the machine, the versions and the moment it was made."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import bench

PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "numba", "pillow", "pandas")


def now() -> str:
    """The moment in ISO 8601, UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@cache
def versions() -> dict[str, str]:
    """Versions of the suite, Python, and the packages that scores depend on."""
    found = {"bench": bench.__version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found


@cache
def git_commit() -> str:
    """The commit of the suite's own checkout, with ``+`` where it has uncommitted changes; empty when installed."""
    home = Path(bench.__file__).parent.parent
    if not (home / ".git").exists():
        return ""
    git = ["git", "-C", str(home)]
    code = ["--", "bench", "methods", "metrics"]  # new rows under results/ do not make the code another one
    try:
        head = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run([*git, "status", "--porcelain", *code], capture_output=True, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return head.stdout.strip() + ("+" if changed.stdout else "")


@cache
def hardware() -> dict[str, Any]:
    """Processor model, cores this process may use, memory, and CUDA devices if torch is already loaded."""
    model = platform.processor() or platform.machine()
    for line in _lines("/proc/cpuinfo"):
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    found: dict[str, Any] = {"processor": model, "cores": n_cores(), "system": platform.system()}
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemTotal"):
            found["memory_gb"] = round(int(line.split()[1]) / 2**20, 1)
            break
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        found["cuda"] = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return found


def n_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def reset_peak_memory(device: str = "cpu") -> None:
    """Start measuring peak memory afresh, where the system allows it (Linux), and that of a CUDA device."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    if device.startswith("cuda"):
        import torch

        torch.cuda.init()
        torch.cuda.empty_cache()  # what the last run in this process kept
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: str = "cpu") -> dict[str, float]:
    """Entries of a row's cost in MB: of this process, and what torch allocated on a CUDA device; since the reset."""
    found = {"peak_memory_mb": peak_memory_mb()}
    if device.startswith("cuda"):
        import torch

        found["peak_gpu_memory_mb"] = round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    return found


def peak_memory_mb() -> float:
    """Peak resident memory of this process in MB, since ``reset_peak_memory`` on Linux."""
    for line in _lines("/proc/self/status"):
        if line.startswith("VmHWM"):
            return round(int(line.split()[1]) / 1024, 1)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 1024), 1)


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
