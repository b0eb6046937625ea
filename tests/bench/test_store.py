"""Specs hash by value; rows are whole or absent; what is corrupt is set aside."""

from __future__ import annotations

import dataclasses
import json
import os
import re

import pytest

from bench.registry import UsageError
from bench.running.worker import empty_row
from bench.spec import RunSpec
from bench.store import CorruptRow, Store, read_row, write_atomically

SPEC = RunSpec(
    "betavae", {"beta": 4.0, "n_steps": 10}, "toy", {"form": "discrete"}, "generated", "", "images", "smoke", 0,
    "quick", "float32", 1,
)  # fmt: skip


def test_hash_is_a_function_of_every_field_and_of_nothing_else():
    changed = {
        "method": "vae", "method_params": {"beta": 5.0, "n_steps": 10}, "dataset": "other", "dataset_params": {},
        "source": "user", "fingerprint": "ab", "view": "pairs", "budget": "quick", "seed": 1, "protocol": "slowvae2021",
        "precision": "bfloat16", "threads": 2, "score_every": 5, "schema": 2,
    }  # fmt: skip
    assert set(changed) == {field.name for field in dataclasses.fields(RunSpec)}
    hashes = {dataclasses.replace(SPEC, **{key: value}).hash for key, value in changed.items()}
    assert len(hashes | {SPEC.hash}) == len(changed) + 1
    reordered = dataclasses.replace(SPEC, method_params={"n_steps": 10, "beta": 4.0})
    assert reordered.hash == SPEC.hash


def test_hash_survives_json():
    assert RunSpec.from_dict(json.loads(json.dumps(SPEC.to_dict()))).hash == SPEC.hash


def test_hash_of_a_known_spec_never_changes():
    # A change here orphans every stored row: raise SCHEMA_VERSION and say how old rows are read.
    assert SPEC.hash == "2d5cca1bf5f4bd0e"


def test_rows_come_back_as_written(tmp_path):
    store = Store(tmp_path)
    row = empty_row(SPEC, "failed", "because")
    path = store.write(SPEC, row)
    assert path == tmp_path / "rows" / "toy" / "betavae" / f"{SPEC.hash}.json"
    assert store.read(SPEC) == row
    assert list(store.rows()) == [row]
    assert store.find(SPEC.hash[:6]) == row
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda text: text[: len(text) // 2], "unreadable"),
        (lambda text: "", "unreadable"),
        (lambda text: "\udcff".encode("utf-8", "surrogateescape").decode("latin1") + text, "unreadable"),
        (lambda text: "[" * 100_000, "unreadable"),
        (lambda text: "[1]", "not a row"),
        (lambda text: text.replace('"failed"', '"fine"'), "unknown status"),
        (lambda text: text.replace('"seed": 0', '"seed": 1'), "hashes to"),
        (lambda text: text.replace('"schema": 1,\n "suite"', '"schema": 99,\n "suite"'), "newer"),
        (lambda text: text.replace('"view"', '"vew"'), "lacks fields"),
        (lambda text: re.sub(r'"score_every": \d+,', "", text), "lacks fields"),
        (lambda text: text.replace('"seed": 0', '"seed": ' + "9" * 5_000), "unreadable"),
        (lambda text: text.replace('"seed": 0', '"seed": 1e999'), "the number inf"),
        (lambda text: text.replace('"seed": 0', '"seed": [0]'), "seed is .* not a int"),
        (lambda text: text.replace('"toy"', '"../toy"'), "cannot be a folder's name"),
        (lambda text: text.replace('"form": "discrete"', '"form": ' + "[" * 200 + "]" * 200), "deeper than"),
        (lambda text: text.replace('"because"', r'"\ud800"'), "no Unicode"),
        (lambda text: text.replace('"because"', "7"), "reason is neither text nor null"),
        (lambda text: text.replace('"metrics": {}', '"metrics": {"mig": 0.5}'), "lacks its value"),
        (lambda text: text.replace('"seconds": {}', '"seconds": {"total": "1"}'), "seconds are not"),
        (lambda text: text + " " * (16 << 20), "at most 16,777,216"),
    ],
)
def test_a_corrupt_row_is_set_aside_and_reported(tmp_path, damage, what):
    store = Store(tmp_path)
    path = store.write(SPEC, empty_row(SPEC, "failed", "because"))
    path.write_text(damage(path.read_text()), encoding="utf-8")
    with pytest.raises(CorruptRow, match=what) as caught:
        store.read(SPEC)
    assert "set aside" in str(caught.value)
    assert store.read(SPEC) is None
    assert path.with_suffix(".json.bad").exists()
    assert list(store.rows()) == []


def test_a_row_under_another_hash_is_not_believed(tmp_path):
    store = Store(tmp_path)
    other = dataclasses.replace(SPEC, seed=1)
    path = store.write(SPEC, empty_row(SPEC, "done", None))
    os.replace(path, store.row_path(other))
    with pytest.raises(CorruptRow, match="holds the row"):
        store.read(other)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "row.json"
    write_atomically(path, "old")

    def full(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_rows_hold_no_nan(tmp_path):
    row = empty_row(SPEC, "done", None) | {"metrics": {"mig": {"value": float("nan")}}}
    with pytest.raises(ValueError, match="JSON"):
        Store(tmp_path).write(SPEC, row)
    assert not list(tmp_path.rglob("*.json"))


def test_a_store_that_cannot_be_is_refused(tmp_path):
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(UsageError, match="is a file"):
        Store(file).check_writable()
    with pytest.raises(UsageError, match="cannot be made"):
        Store(file / "results").check_writable()


def test_an_ambiguous_or_unknown_prefix_is_refused(tmp_path):
    store = Store(tmp_path)
    with pytest.raises(UsageError, match="no row"):
        store.find("00")
    for seed in range(2):
        spec = dataclasses.replace(SPEC, seed=seed)
        store.write(spec, empty_row(spec, "done", None))
    with pytest.raises(UsageError, match="2 rows"):
        store.find("")


def test_reading_what_is_not_there_is_none(tmp_path):
    assert read_row(tmp_path / "none.json") is None
