"""What happens to a row that is there already, and to runs whose workers die."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from joblib.externals.loky.process_executor import BrokenProcessPool

from bench import executor, registry, worker
from bench.grid import Request, build
from bench.opening import Folders
from bench.store import Store
from bench.worker import Options, empty_row, is_done, perform


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
