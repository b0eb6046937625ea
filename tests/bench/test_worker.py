"""What happens to a row that is there already, and to runs whose workers die."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from joblib.externals.loky.process_executor import BrokenProcessPool

from bench import registry
from bench.opening import Folders
from bench.rows import empty_row
from bench.running import executor, worker
from bench.running.grid import Request, build
from bench.running.standing import Options, is_done
from bench.running.worker import HELD, perform
from bench.store import Store


def grid_of(folders: Folders, seeds: tuple[int, ...] = (0,)):
    return build(Request("pca", "natural_sprites[n_pairs=64]", seeds, "smoke", metrics=("mcc",)), folders, "cpu")


@pytest.fixture
def scored(cache: Path, tmp_path: Path):
    """A store with one run that was scored by MCC alone."""
    folders = Folders(tmp_path / "data", cache, tmp_path / "results")
    (spec,) = grid_of(folders).runs
    assert perform(spec, Options(folders, metrics=("mcc",))) == "done"
    return spec, folders, Store(folders.results)


def test_a_skipped_row_does_not_stop_a_run_that_applies_now(scored):
    spec, folders, _ = scored
    assert not is_done(empty_row(spec, "skipped", "none of the metrics applied"), spec, Options(folders))


def test_a_metric_that_breaks_leaves_the_stored_row(scored, monkeypatch):
    spec, folders, store = scored
    before = store.read(spec)

    def breaks(*arguments, **keywords):
        raise RuntimeError("the metric broke")

    monkeypatch.setattr(worker.scoring, "score", breaks)
    assert perform(spec, Options(folders, metrics=("mig",))) == "failed"
    assert store.read(spec) == before
    assert "the metric broke" in (store.artifacts(spec.hash) / "warnings").read_text()


def test_without_its_checkpoint_a_row_is_made_again_whole(scored):
    spec, folders, store = scored
    first = store.read(spec)
    elsewhere = {key: value | {"value": 0.123} for key, value in first["metrics"].items()}
    store.write(spec, first | {"metrics": elsewhere})
    shutil.rmtree(store.artifacts(spec.hash))

    assert perform(spec, Options(folders, metrics=("mig",))) == "done"
    row = store.read(spec)
    assert set(row["metrics"]) > set(first["metrics"])
    assert {key: row["metrics"][key] for key in first["metrics"]} == first["metrics"]
    assert row["provenance"]["started"] > first["provenance"]["finished"]


def test_with_its_checkpoint_only_the_further_metric_is_scored(scored):
    spec, folders, store = scored
    first = store.read(spec)
    assert perform(spec, Options(folders, metrics=("mig",))) == "done"
    row = store.read(spec)
    assert row["metrics"]["mig[hist20]"]["value"] > 0
    assert row["cost"] == first["cost"]
    assert row["provenance"]["started"] == first["provenance"]["started"]


def test_a_pool_that_never_starts_ends_in_failed_rows(cache, tmp_path, monkeypatch):
    folders = Folders(tmp_path / "data", cache, tmp_path / "results")
    specs = grid_of(folders, (0, 1)).runs

    def never_starts(*arguments):
        raise BrokenProcessPool("killed while importing")
        yield

    monkeypatch.setattr(executor, "run_parallel", never_starts)
    ended = dict(executor.execute(specs, Options(folders), workers=2))
    assert ended == {spec.hash: "failed" for spec in specs}
    assert [row["status"] for row in Store(folders.results).rows()] == ["failed", "failed"]


def test_a_row_of_an_older_data_set_version_is_trained_again(scored, monkeypatch):
    spec, folders, store = scored
    first = store.read(spec)
    entry = registry.dataset(spec.dataset)
    newer = replace(entry, card=replace(entry.card, version=entry.card.version + 1))
    monkeypatch.setitem(registry._DATASETS, spec.dataset, newer)
    options = Options(folders, metrics=("mcc",))
    assert not is_done(first, spec, options)
    assert perform(spec, options) == "done"
    row = store.read(spec)
    assert row["dataset_version"] == entry.card.version + 1
    assert row["provenance"]["started"] > first["provenance"]["finished"]
    assert is_done(row, spec, options)


def test_a_run_that_hangs_is_ended_by_its_clock_and_says_where_it_was(cache, tmp_path, monkeypatch):
    folders = Folders(tmp_path / "data", cache, tmp_path / "results")
    (spec,) = grid_of(folders).runs

    def hangs(*arguments):
        while True:
            time.sleep(0.01)

    monkeypatch.setattr(registry.method("pca").target, "fit", hangs)
    started = time.monotonic()
    assert perform(spec, Options(folders, metrics=("mcc",), timeout=1.5)) == "failed"
    assert time.monotonic() - started < 30
    (row,) = Store(folders.results).rows()
    assert row["reason"].startswith("timed out after 2 s, in phase '")
    assert row["provenance"]["started"]
    assert not (Store(folders.results).artifacts(spec.hash) / "progress.json").exists()


def test_a_run_that_another_call_holds_is_left_to_it_and_waited_for(cache, tmp_path, monkeypatch):
    folders = Folders(tmp_path / "data", cache, tmp_path / "results")
    specs = grid_of(folders, (0, 1)).runs
    options, store = Options(folders, metrics=("mcc",)), Store(folders.results)
    calls = []

    def in_process(function, given, workers, threads):
        calls.append([spec.seed for spec, _ in given])
        for call in given:
            yield worker_result(*call)

    def worker_result(spec, options):
        status = perform(spec, options)
        if spec.seed == 1:
            other.close()  # the other call leaves the first run
        return spec.hash, status

    other = ExitStack()
    other.enter_context(store.lock(specs[0].hash))
    assert perform(specs[0], options) == HELD
    monkeypatch.setattr(executor, "run_parallel", in_process)
    ended = list(executor.execute(specs, options, workers=2))
    assert ended == [(specs[1].hash, "done"), (specs[0].hash, "done")]
    assert calls == [[0, 1], [0]]


@pytest.mark.parametrize(
    ("dead", "suspects"),
    [({11}, [0]), ({12}, [1]), ({99}, [0, 1]), (set(), [0, 1])],
    ids=["the first", "the second", "nobody known", "unseen"],
)
def test_the_run_of_the_dead_worker_is_suspected_and_none_of_another_call(cache, tmp_path, dead, suspects):
    folders = Folders(tmp_path / "data", cache, tmp_path / "results")
    specs = grid_of(folders, (0, 1, 2, 3)).runs
    store, here = Store(folders.results), os.getpid()
    queue = executor._Queue(specs, Options(folders))
    for spec, mark in zip(specs, (f"{here} 11", f"{here} 12", f"{here + 1} 99", ""), strict=True):
        store.artifacts(spec.hash).mkdir(parents=True)
        if mark:
            (store.artifacts(spec.hash) / "under-way").write_text(mark)
    queue.dead = dead
    assert list(queue.broken(BrokenProcessPool("one died"), [spec.hash for spec in specs])) == []
    assert queue.suspects == [specs[i].hash for i in suspects]
    assert queue.chosen() == [spec for i, spec in enumerate(specs) if i not in suspects]
    assert (store.artifacts(specs[2].hash) / "under-way").exists()
    for spec in queue.chosen():
        queue.back(spec.hash, "done")
    assert queue.chosen() == [specs[suspects[0]]]  # alone, when all else is done


def test_what_cannot_be_stored_is_a_failed_row(cache, tmp_path, monkeypatch):
    folders = Folders(tmp_path / "data", cache, tmp_path / "results")
    (spec,) = grid_of(folders).runs
    score = worker.scoring.score

    def scores_with_nan(*arguments, **keywords):
        scores = score(*arguments, **keywords)
        scores.details["mcc[spearman]"] = {"correlation": [[float("nan")]]}
        return scores

    monkeypatch.setattr(worker.scoring, "score", scores_with_nan)
    assert perform(spec, Options(folders, metrics=("mcc",))) == "failed"
    (row,) = Store(folders.results).rows()
    assert row["reason"].startswith("its results cannot be stored: ValueError")


def test_half_written_files_of_a_killed_process_are_removed(cache, tmp_path):
    folders = Folders(tmp_path / "data", cache, tmp_path / "results")
    (spec,) = grid_of(folders).runs
    store = Store(folders.results)
    halves = [
        store.row_path(spec).with_name(f".{spec.hash}.json.host.1.x.part"),
        store.artifacts(spec.hash) / "checkpoint.part",
        store.artifacts(spec.hash) / "codes.part",
    ]
    for path in halves:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("half")
    assert perform(spec, Options(folders, metrics=("mcc",))) == "done"
    assert not list(folders.results.rglob("*.part"))
