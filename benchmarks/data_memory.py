"""Peak memory and waiting for data on the largest data sets, measured on whole ``bench run`` calls.

Where an official file is absent, a stand-in of its exact shape, size and layout is written: pixels are zeros, so it
takes megabytes on disk and gigabytes where a reader unpacks it, as the original would. Each data set is run twice: the
first call converts the file, the second reads what was kept, with the system's cache of it dropped before. Memory is
the resident size of the command and all processes it started, summed every few milliseconds; libraries that processes
share are counted in each of them.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

LIMIT_GB, MOST_WAITING = 2.0, 0.1
_PAGE = os.sysconf("SC_PAGE_SIZE")
_PIECE = 1 << 24


@dataclass(frozen=True)
class Case:
    """One measurement.

    Attributes:
        selection: what ``--datasets`` gets.
        write: makes the official file in the folder it is given; None where nothing is read.
        disk_gb: what file and prepared frames need together.
    """

    selection: str
    write: Callable[[Path], None] | None
    disk_gb: float

    @property
    def name(self) -> str:
        return self.selection.partition("[")[0]


def write_npz(path: Path, **arrays: np.ndarray | tuple[int, ...]) -> None:
    """An .npz of arrays, and of zeros uint8 where only a shape is given, which are never held in memory."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                if isinstance(array, np.ndarray):
                    np.lib.format.write_array(member, array, allow_pickle=False)
                    continue
                header = {"descr": "|u1", "fortran_order": False, "shape": array}
                np.lib.format.write_array_header_1_0(member, header)
                left, zeros = math.prod(array), bytes(_PIECE)
                while left:
                    left -= member.write(zeros[:left])


def write_dsprites(folder: Path) -> None:
    """737,280 black frames, 3 GB, with the class indices in the archive's order."""
    sizes = (1, 3, 6, 40, 32, 32)
    classes = np.stack(np.unravel_index(np.arange(np.prod(sizes)), sizes), axis=1)
    name = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
    write_npz(folder / name, imgs=(len(classes), 64, 64), latents_classes=classes, latents_values=classes + 0.0)


def write_shapes3d(folder: Path) -> None:
    """480,000 black frames, 5.9 GB, with the labels in the file's order."""
    import h5py

    hues = np.arange(10) / 10
    values = (hues, hues, hues, np.linspace(0.75, 1.25, 8), np.arange(4.0), np.linspace(-30, 30, 15))
    labels = np.stack(np.meshgrid(*values, indexing="ij"), axis=-1).reshape(-1, len(values))
    chunk = (64, 64, 64, 3)
    packed = zlib.compress(bytes(math.prod(chunk)))
    with h5py.File(folder / "3dshapes.h5", "w") as file:
        file.create_dataset("labels", data=labels)
        images = file.create_dataset("images", (len(labels), *chunk[1:]), np.uint8, chunks=chunk, compression="gzip")
        for start in range(0, len(labels), chunk[0]):
            images.id.write_direct_chunk((start, 0, 0, 0), packed)


def write_mpi3d(folder: Path) -> None:
    """1,036,800 black frames, 12.7 GB."""
    write_npz(folder / "mpi3d_real.npz", images=(1_036_800, 64, 64, 3))


CASES = {
    case.selection: case
    for case in (
        Case("dsprites[source=generated]", None, 1),
        Case("dsprites[source=official]", write_dsprites, 1),
        Case("shapes3d[source=generated]", None, 7),
        Case("shapes3d[source=official]", write_shapes3d, 7),
        Case("mpi3d", write_mpi3d, 14),
    )
}


@contextmanager
def watched() -> Iterator[dict[str, float]]:
    """Peak of the summed resident size of this process's descendants, in bytes, and that of the largest of them."""
    peak = {"sum": 0.0, "largest": 0.0}
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            sizes = _descendants(os.getpid())
            peak["sum"] = max(peak["sum"], sum(sizes))
            peak["largest"] = max([peak["largest"], *sizes])

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


def _descendants(root: int) -> list[int]:
    """Resident bytes of every process below ``root``."""
    parents, resident = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                stat = (entry / "stat").read_text()
                resident[int(entry.name)] = int((entry / "statm").read_text().split()[1]) * _PAGE
            except (OSError, IndexError):
                continue  # ended meanwhile
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    found: set[int] = set()
    while new := {pid for pid, parent in parents.items() if parent in found | {root}} - found:
        found |= new
    return [resident[pid] for pid in found]


def drop_from_cache(folder: Path) -> None:
    """Make the system forget what it holds of the files, so that the next reader waits for the disk."""
    os.sync()
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def bench_run(case: Case, folder: Path, seed: int, method: str, n_steps: int) -> dict[str, Any]:
    """One run in processes of its own: its peak memory in GB, share of time spent waiting for data, and seconds."""
    command = [
        sys.executable, "-m", "bench", "run", "--datasets", case.selection, "--methods", f"{method}[n_steps={n_steps}]",
        "--budget", "quick", "--metrics", "mcc", "--seeds", f"{seed},", "--workers", "1", "--no-figures",
        "--results", str(folder / "results"),
    ]  # fmt: skip
    environment = {**os.environ, "BENCH_DATA": str(folder / "data"), "BENCH_CACHE": str(folder / "cache")}
    started = time.perf_counter()
    with watched() as peak:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"bench run ended with {done.returncode}: {(done.stderr or done.stdout)[-500:]}")
    rows = [json.loads(path.read_text()) for path in (folder / "results").glob("rows/*/*/*.json")]
    cost = next(row["cost"] for row in rows if row["spec"]["seed"] == seed)
    return {
        "sum_gb": peak["sum"] / 1e9,
        "largest_gb": peak["largest"] / 1e9,
        "waiting_for_data": cost["waiting_for_data"],
        "seconds": time.perf_counter() - started,
    }


def measure(case: Case, folder: Path, method: str, n_steps: int) -> dict[str, Any]:
    """Both runs of a data set; everything written for it is deleted afterwards."""
    try:
        if case.write:
            official = folder / "data" / case.name
            official.mkdir(parents=True)
            case.write(official)
        first = bench_run(case, folder, 0, method, n_steps)
        drop_from_cache(folder)
        second = bench_run(case, folder, 1, method, n_steps)
        kept = sum(path.stat().st_size for path in (folder / "cache").rglob("*") if path.is_file())
        return {"first": first, "second": second, "prepared_gb": kept / 1e9}
    finally:
        for part in ("data", "cache", "results"):
            shutil.rmtree(folder / part, ignore_errors=True)


def run(
    selections: Sequence[str] = tuple(CASES), place: str | None = None, method: str = "slowvae", n_steps: int = 200
) -> dict[str, Any]:
    """Figures of each data set; a line saying why where its files do not fit on the disk."""
    found: dict[str, Any] = {}
    for selection in selections:
        case = CASES[selection]
        with tempfile.TemporaryDirectory(dir=place, prefix="bench-data-memory-") as folder:
            free = shutil.disk_usage(folder).free / 1e9
            if free < 1.5 * case.disk_gb:
                found[selection] = f"left out: needs {1.5 * case.disk_gb:.0f} GB of disk, {free:.0f} GB are free"
                continue
            found[selection] = measure(case, Path(folder), method, n_steps)
    return found


def report(found: dict[str, Any]) -> str:
    """The figures as lines."""
    lines = [f"{'peak memory (all processes; the largest), waiting for data':<62} prepared"]
    for selection, figures in found.items():
        lines.append(selection)
        if isinstance(figures, str):
            lines.append(f"  {figures}")
            continue
        for label, one in (("with conversion", figures["first"]), ("from a cold disk", figures["second"])):
            memory = f"{one['sum_gb']:.2f} GB ({one['largest_gb']:.2f})"
            is_within = one["sum_gb"] <= LIMIT_GB and one["waiting_for_data"] <= MOST_WAITING
            lines.append(
                f"  {label:<17} {memory}  waiting {one['waiting_for_data']:6.1%}  {one['seconds']:4.0f} s  "
                f"{figures['prepared_gb']:6.2f} GB{'' if is_within else '   over the limit'}"
            )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.data_memory", description=__doc__)
    parser.add_argument("datasets", nargs="*", default=list(CASES), help=f"any of {', '.join(CASES)}; all by default")
    parser.add_argument("--place", help="folder for the stand-ins and prepared frames; up to 21 GB")
    parser.add_argument("--method", default="slowvae")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(arguments)
    unknown = [name for name in asked.datasets if name not in CASES]
    if unknown:
        parser.error(f"'{unknown[0]}' is none of {', '.join(CASES)}")
    found = run(asked.datasets, asked.place, asked.method, asked.steps)
    sys.stdout.write((json.dumps(found, indent=1) if asked.json else report(found)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
