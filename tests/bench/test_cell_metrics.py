"""Metrics over the seeds of a setting: who is compared, when numbers are made anew, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from bench.opening import Folders
from bench.registry import UsageError
from bench.rows import empty_row, objection
from bench.running import cell_metrics
from bench.running.grid import Request, build
from bench.running.kept_codes import kept_codes, save_codes
from bench.running.standing import Options, is_done
from bench.running.worker import perform
from bench.spec import RunSpec
from bench.store import Store
from metrics.udr import udr

DATA = "natural_sprites[n_pairs=64]"
CODES = np.random.default_rng(0).normal(size=(4, 300, 3)).cumsum(0).astype(np.float32)  # seeds that share something


@pytest.fixture
def folders(cache: Path, tmp_path: Path) -> Folders:
    return Folders(tmp_path / "data", cache, tmp_path / "results")


def specs_of(folders: Folders, *seeds: int, method: str = "pca") -> tuple[RunSpec, ...]:
    return build(Request(method, DATA, seeds, "smoke", metrics=("mcc", "udr")), folders, "cpu").runs


def finish(folders: Folders, spec: RunSpec, codes: np.ndarray, kl: float = np.inf, at: str = "2026-01-01") -> None:
    """Store a finished run whose codes are these."""
    store = Store(folders.results)
    version = {"dataset_version": 1, "provenance": {"finished": f"{at}T00:00:{spec.seed:02}"}}
    store.write(spec, empty_row(spec, "done", None) | version)
    save_codes(store.artifacts(spec.hash) / "codes.h5", codes, codes[:, :1], 300, np.full(codes.shape[1], kl))


def update(folders: Folders, *specs: RunSpec) -> list[str]:
    notes: list[str] = []
    cell_metrics.update(specs, Options(folders, metrics=("udr[lasso]",)), notes.append)
    return notes


def scores(folders: Folders, *specs: RunSpec) -> list[float | None]:
    return [Store(folders.results).read(spec)["metrics"]["udr[lasso]"]["value"] for spec in specs]


def expected(*seeds: int) -> list[float]:
    codes = CODES[list(seeds)]
    return [udr(codes, np.full(codes.shape[::2], np.inf), i)["udr"] for i in range(len(seeds))]


def test_each_run_is_scored_against_the_other_seeds_and_its_row_names_them(folders):
    specs = specs_of(folders, 0, 1, 2)
    for spec in specs:
        finish(folders, spec, CODES[spec.seed])
    assert update(folders, *specs) == ["pca on natural_sprites: udr[lasso] of 3 runs"]
    assert scores(folders, *specs) == pytest.approx(expected(0, 1, 2))
    assert len(set(scores(folders, *specs))) == 3
    row = Store(folders.results).read(specs[1])
    assert row["scored"] == {"udr[lasso]": 1}
    assert list(row["details"]["udr[lasso]"]["models"]) == [spec.hash for spec in specs]
    assert len(row["details"]["udr[lasso]"]["pairs"]) == 2
    assert not row["details"]["udr[lasso]"]["uses_kl"]
    assert objection(row) == ""


def test_a_further_seed_scores_all_of_them_anew_and_nothing_else_does(folders):
    specs = specs_of(folders, 0, 1, 2)
    for spec in specs[:2]:
        finish(folders, spec, CODES[spec.seed])
    update(folders, *specs[:2])
    before = [Store(folders.results).row_path(spec).stat().st_mtime_ns for spec in specs[:2]]
    assert update(folders, *specs[:2]) == []
    assert [Store(folders.results).row_path(spec).stat().st_mtime_ns for spec in specs[:2]] == before
    finish(folders, specs[2], CODES[2])
    update(folders, specs[2])  # a call of the new seed alone
    assert scores(folders, *specs) == pytest.approx(expected(0, 1, 2))


def test_a_run_made_again_scores_its_cell_anew(folders):
    specs = specs_of(folders, 0, 1)
    for spec in specs:
        finish(folders, spec, CODES[spec.seed])
    update(folders, *specs)
    finish(folders, specs[1], CODES[3], at="2026-02-02")
    update(folders, *specs)
    assert scores(folders, *specs) == pytest.approx(expected(0, 3))


def test_another_setting_a_failed_run_and_a_run_without_codes_are_not_compared(folders):
    specs = specs_of(folders, 0, 1, 2, 3)
    (other,) = specs_of(folders, 0, method="pca[n_latents=3]")
    for spec in (*specs, other):
        finish(folders, spec, CODES[spec.seed])
    store = Store(folders.results)
    store.write(specs[2], empty_row(specs[2], "failed", "it broke"))
    shutil.rmtree(store.artifacts(specs[3].hash))
    assert update(folders, *specs) == ["pca on natural_sprites: udr[lasso] of 2 runs; 1 more kept no codes here"]
    assert scores(folders, *specs[:2]) == pytest.approx(expected(0, 1))
    for spec in (*specs[2:], other):
        assert store.read(spec)["metrics"] == {}


def test_a_latent_without_kl_is_left_out_of_stored_codes_too(folders):
    specs = specs_of(folders, 0, 1)
    for spec in specs:
        finish(folders, spec, CODES[spec.seed], kl=0.001)
    update(folders, *specs)
    assert scores(folders, *specs) == [0.0, 0.0]
    assert Store(folders.results).read(specs[0])["details"]["udr[lasso]"]["uses_kl"]


def test_the_only_seed_has_no_number_but_a_reason(folders):
    (spec,) = specs_of(folders, 5)
    finish(folders, spec, CODES[0])
    update(folders, spec)
    entry = Store(folders.results).read(spec)["metrics"]["udr[lasso]"]
    assert entry["value"] is None
    assert entry["reason"] == "udr[lasso] compares trainings of several seeds; only seed 5 is stored"
    assert update(folders, spec) == []


def test_a_row_that_another_call_is_at_is_left_to_it(folders):
    specs = specs_of(folders, 0, 1)
    for spec in specs:
        finish(folders, spec, CODES[spec.seed])
    with Store(folders.results).lock(specs[0].hash):
        notes = update(folders, *specs)
    assert notes[1:] == [
        "pca on natural_sprites, seed 0: its row is at work elsewhere; repeat the command for udr[lasso]"
    ]
    assert Store(folders.results).read(specs[0])["metrics"] == {}
    update(folders, *specs)
    assert scores(folders, *specs) == pytest.approx(expected(0, 1))


def test_one_seed_is_refused_before_training_unless_another_is_stored(folders):
    alone = Request("pca", DATA, (1,), "smoke", metrics=("udr",))
    message = r"^pca on natural_sprites: one seed leaves nothing to compare for udr\[lasso\], udr\[spearman\]; ask for"
    with pytest.raises(UsageError, match=message):
        build(alone, folders, "cpu")
    (stored,) = specs_of(folders, 0)
    finish(folders, stored, CODES[0])
    assert [spec.seed for spec in build(alone, folders, "cpu").runs] == [1]
    assert len(build(Request("pca", DATA, (1,), "smoke", metrics=("udr", "mcc")), folders, "cpu").runs) == 1


def test_a_real_run_is_encoded_again_where_its_codes_or_their_kl_were_not_kept(folders):
    (spec,) = specs_of(folders, 0, method="untrained")
    store, options = Store(folders.results), Options(folders, metrics=("udr[lasso]",))
    path = store.artifacts(spec.hash) / "codes.h5"
    assert perform(spec, Options(folders, metrics=("mcc",))) == "done"
    assert kept_codes(path, 10) is None  # scored without: the KL was not asked for
    with h5py.File(path) as file:
        first = file["codes"][:10]
    assert not is_done(store.read(spec), spec, options)
    assert perform(spec, options) == "done"
    again = kept_codes(path, 10)
    np.testing.assert_array_equal(again.codes, first)
    assert np.isfinite(again.latent_kl).all()
    assert is_done(store.read(spec), spec, options)
    path.unlink()
    assert not is_done(store.read(spec), spec, options)
    assert is_done(store.read(spec), spec, Options(folders, metrics=("mcc",)))


@pytest.mark.parametrize("damage", [b"", b"no HDF5", None])
def test_codes_that_cannot_be_read_are_no_codes(tmp_path, damage):
    path = tmp_path / "codes.h5"
    save_codes(path, CODES[0], CODES[0], 300, np.ones(3))
    assert kept_codes(path, 20).codes.shape == (20, 3)
    path.write_bytes(path.read_bytes()[:900] if damage is None else damage)
    assert kept_codes(path, 20) is None


def test_codes_are_not_looked_for_in_another_file(tmp_path):
    save_codes(tmp_path / "secret.h5", CODES[0], CODES[0], 300, np.ones(3))
    with h5py.File(tmp_path / "codes.h5", "w") as file:
        file["codes"] = h5py.ExternalLink("secret.h5", "/codes")
        file.attrs["latent_kl"] = np.ones(3)
    assert kept_codes(tmp_path / "codes.h5", 20) is None
