"""Every test gets a cache of its own session and no data folder unless BENCH_DATA names one."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from toys import HOSTILE, TOYS, rows_of


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared arrays of this test session; the user's own cache is left alone."""
    folder = tmp_path_factory.mktemp("prepared")
    os.environ["BENCH_CACHE"] = str(folder)
    return folder


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str]):
    """One command line in this process: (exit code, standard output, standard error), both without their ends."""
    from bench.cli import main

    def call(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([*map(str, arguments)])
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out.strip(), err.strip()

    return call


@pytest.fixture(scope="module")
def train(cache: Path, tmp_path_factory: pytest.TempPathFactory):
    """Trains what is named, seed 0 of budget ``smoke``, into a store of its own."""
    from bench.opening import Folders
    from bench.running.grid import Request, build
    from bench.running.standing import Options
    from bench.running.worker import perform
    from bench.store import Store

    def run(methods: str, dataset: str, *metrics: str) -> Store:
        home = tmp_path_factory.mktemp("trained")
        folders = Folders(home / "data", cache, home / "results")
        for spec in build(Request(methods, dataset, (0,), "smoke", metrics=metrics), folders, "cpu").runs:
            assert perform(spec, Options(folders, metrics=metrics)) == "done"
        return Store(folders.results)

    return run


@pytest.fixture(scope="session")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package ``toybench`` installed by pip, to be put on PYTHONPATH."""
    source = Path(__file__).parent / "outside" / "toybench"
    folder = tmp_path_factory.mktemp("outside")
    wheel = folder / "toybench-1.0-py3-none-any.whl"
    info = "toybench-1.0.dist-info"
    entry_points = (
        "[bench.methods]\ntoy = toybench.methods\ntoy_hostile = toybench.hostile\n"
        "toy_sequences = toybench.sequences\n\n"
        "[bench.datasets]\ntoy = toybench.data\ntoy_sequences = toybench.sequences\n\n"
        "[bench.metrics]\ntoy = toybench.metric\n"
    )
    with zipfile.ZipFile(wheel, "w") as archive:
        for path in sorted(source.glob("*.py")):
            archive.write(path, f"toybench/{path.name}")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: toybench\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/entry_points.txt", entry_points)
        archive.writestr(f"{info}/RECORD", "")
    target = folder / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(target)]
    subprocess.run([*pip, str(wheel)], check=True)
    return target


@pytest.fixture(scope="session")
def bench(outside: Path, tmp_path_factory: pytest.TempPathFactory):
    """Runs the command line in a process of its own, with ``toybench`` installed; returns the finished process."""
    home = tmp_path_factory.mktemp("cwd")

    def call(*arguments: str, timeout: float = 240, cwd: Path = home) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(outside), "OMP_NUM_THREADS": "1"}
        environment.pop("BENCH_DATA", None)
        command = [sys.executable, "-m", "bench", *arguments]
        return subprocess.run(
            command, env=environment, cwd=cwd, capture_output=True, text=True, timeout=timeout, check=False
        )

    return call


@pytest.fixture(scope="session")
def toy_grid(bench, tmp_path_factory: pytest.TempPathFactory):
    """One grid with a method that works and one of each kind that does not: store, finished process, rows."""
    folder = tmp_path_factory.mktemp("grid") / "results"
    methods = ",".join(["toy_ae", "toy_raises", "toy_nan", "toy_killed", "toy_sequences", *HOSTILE])
    done = bench("run", "--methods", methods, *TOYS, "--seeds", "1", "--results", str(folder))
    return folder, done, rows_of(folder)


@pytest.fixture
def bench_in_process(outside: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """The command line without a process of its own, for calls that end before anything trains: (code, stderr)."""
    from bench import registry
    from bench.cli import main
    from metrics import registry as metric_registry

    monkeypatch.syspath_prepend(str(outside))
    monkeypatch.setattr(registry, "_loaded", set())
    monkeypatch.setattr(registry, "_METHODS", dict(registry.methods()))
    monkeypatch.setattr(registry, "_DATASETS", dict(registry.datasets()))
    monkeypatch.setattr(registry, "_loaded", set())
    monkeypatch.setattr(metric_registry, "_loaded", set())
    metric_registry.cards()
    registered = dict(metric_registry._REGISTERED)
    monkeypatch.setattr(metric_registry, "_REGISTERED", registered)

    def call(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        return int(ended.value.code or 0), capsys.readouterr().err

    return call
