"""Stores become one: what agrees is one row, what differs is reported, what a stranger sends is checked first."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bench
from bench.cli import main
from bench.merge import Merger, Refused, open_plain
from bench.rows import empty_row, objection
from bench.scored_row import save
from bench.spec import RunSpec
from bench.store import Store
from metrics.registry import metric

ROOT = Path(__file__).parents[2]
SPEC = RunSpec(
    "betavae", {"beta": 4.0, "n_steps": 20}, "natural_sprites", {"form": "discrete"}, "generated", "", "images",
    "smoke", 0, "quick", "float32", 1,
)  # fmt: skip
STARTED = "2026-01-01T00:00:00.000+00:00"


def row_of(seed=0, *, mig=0.25, started=STARTED, ids=("mig[hist20]", "mcc[spearman]"), seconds=3.0):
    """A finished run with scores, a curve and a matrix."""
    row = empty_row(dataclasses.replace(SPEC, seed=seed), "done", None)
    for metric_id in ids:
        row["scored"][metric_id] = metric(metric_id).card.version
        for key in metric(metric_id).keys("quick"):
            value = mig if key == "mig[hist20]" else 0.5
            row["metrics"][key] = {
                "value": value, "reason": None, "version": row["scored"][metric_id], "protocol": "quick",
            }  # fmt: skip
    if "mcc[spearman]" in ids:
        row["details"]["mcc[spearman]"] = {
            "correlation": [[0.1, 0.9], [0.4, 0.2]], "assignment": [1, 0], "factors": ["x", "y"],
        }  # fmt: skip
    row["training"] = {
        "n_steps": 20, "n_parameters": 12, "curve": {"step": [10.0, 20.0], "loss": [9.5, 3.25]}, "scores": [],
    }  # fmt: skip
    row["cost"] = {"seconds": {"training": seconds, "total": seconds + 1}, "peak_memory_mb": 100.0, "device": "cpu"}
    row["provenance"] = {"git_commit": "abc", "versions": {"torch": "2"}, "hardware": {}, "started": started}
    return row


def store_with(folder, *rows):
    store = Store(folder)
    for row in rows:
        store.write(RunSpec.from_dict(row["spec"]), row)
    return store


def merge(target, *folders, **options):
    return list(Merger(target, **options).merge([Path(folder) for folder in folders]))


def call(capsys, *arguments):
    """(exit code, lines of standard output, lines of standard error) of the command line."""
    with pytest.raises(SystemExit) as ended:
        main(["merge", *map(str, arguments)])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out.splitlines(), err.splitlines()


def files_of(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*.json"))}


def test_rows_of_two_machines_become_one_store(tmp_path, capsys):
    store_with(tmp_path / "a", row_of(0), row_of(1))
    store_with(tmp_path / "b", row_of(1), row_of(2))
    code, out, err = call(capsys, tmp_path / "a", tmp_path / "b", "--results", tmp_path / "all")
    assert (code, err) == (0, [])
    assert out == ["rows: 3 taken, 1 here already, 0 different, not taken, 0 refused"]
    assert {row["spec"]["seed"] for row in Store(tmp_path / "all").rows()} == {0, 1, 2}
    assert files_of(tmp_path / "all" / "rows").items() >= files_of(tmp_path / "a" / "rows").items()


def test_an_equal_row_with_another_cost_stays_as_it_is_here_and_that_is_said(tmp_path, capsys):
    store = store_with(tmp_path / "here", row_of(seconds=3.0))
    store_with(tmp_path / "there", row_of(seconds=99.0, started="2026-02-02"))
    before = files_of(store.root)
    code, out, _ = call(capsys, tmp_path / "there", "--results", store.root)
    assert code == 0
    assert "1 here already (1 with other cost or provenance, those here are kept)" in out[0]
    assert files_of(store.root) == before


def test_different_numbers_under_one_hash_are_reported_with_both_places_and_the_row_here_is_kept(tmp_path, capsys):
    mine, other = row_of(mig=0.25), row_of(mig=0.375, started="2026-02-02")
    other["training"]["curve"]["loss"][1] = 3.5
    store, there = store_with(tmp_path / "here", mine), store_with(tmp_path / "there", other)
    before = files_of(store.root)
    code, out, err = call(capsys, there.root, "--results", store.root)
    assert code == 1
    assert len(err) == 1
    for part in (
        str(store.row_path(SPEC)), str(there.row_path(SPEC)), "mig[hist20] 0.25 here, 0.375 there",
        "the curve 'loss' from its point 2 on",
    ):  # fmt: skip
        assert part in err[0]
    assert "1 different" in out[0]
    assert files_of(store.root) == before


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (
            lambda row: row.update(status="failed", reason="broke", metrics={}, scored={}, details={}),
            "status done here",
        ),
        (lambda row: row["training"].update(n_parameters=13), "n_parameters 12 here, 13 there"),
        (lambda row: row["details"]["mcc[spearman]"].update(assignment=[0, 1]), "the matrices behind mcc[spearman]"),
        (lambda row: row.update(dataset_version=2), "data set version 1 here, 2 there"),
        (lambda row: row["training"]["scores"].append({"step": 5, "metrics": {}}), "scores during training"),
        (lambda row: row["training"]["curve"].update(kl=[1.0, 2.0]), "the curve 'kl' only there"),
    ],
)
def test_every_part_that_decides_equality_is_compared(tmp_path, change, what):
    other = row_of(started="2026-02-02")
    change(other)
    store = store_with(tmp_path / "here", row_of())
    (finding,) = merge(store, store_with(tmp_path / "there", other).root)
    assert finding.outcome == "different"
    assert what in finding.text


def test_two_copies_of_one_training_are_joined_with_the_scores_of_both(tmp_path):
    store = store_with(tmp_path / "here", row_of(ids=("mcc[spearman]",)))
    there = store_with(tmp_path / "there", row_of(ids=("mig[hist20]", "mcc[spearman]")))
    (finding,) = merge(store, there.root)
    assert finding.outcome == "joined"
    assert "mig[hist20] joined from" in finding.text
    (row,) = store.rows()
    assert row["metrics"]["mig[hist20]"]["value"] == 0.25
    assert set(row["scored"]) == {"mig[hist20]", "mcc[spearman]"}
    assert [one.outcome for one in merge(there, store.root)] == ["equal"]


def test_scores_of_two_trainings_are_never_joined(tmp_path):
    store = store_with(tmp_path / "here", row_of(ids=("mcc[spearman]",)))
    there = store_with(tmp_path / "there", row_of(ids=("mig[hist20]", "mcc[spearman]"), started="2026-02-02"))
    (finding,) = merge(store, there.root)
    assert finding.outcome == "different"
    assert "mig[hist20] only there" in finding.text


def test_copies_that_disagree_in_a_score_are_not_joined(tmp_path):
    store = store_with(tmp_path / "here", row_of(mig=0.25, ids=("mig[hist20]",)))
    there = store_with(tmp_path / "there", row_of(mig=0.375))
    assert merge(store, there.root)[0].outcome == "different"


def test_a_dry_run_finds_what_a_real_one_does_and_writes_nothing(tmp_path):
    folders = [
        store_with(tmp_path / "a", row_of(0), row_of(1)).root,
        store_with(tmp_path / "b", row_of(0, mig=0.375, started="2026-02-02"), row_of(1)).root,
    ]
    target = Store(tmp_path / "all")
    dry = [finding.outcome for finding in merge(target, *folders, dry_run=True, artifacts=True)]
    assert not target.root.exists()
    assert dry == [finding.outcome for finding in merge(target, *folders, artifacts=True)]
    assert sorted(dry) == ["different", "equal", "new", "new"]


def set_metric(row, **entry):
    row["metrics"]["mig[hist20]"].update(entry)


def rehash(row):
    row["hash"] = RunSpec.from_dict(row["spec"]).hash


DAMAGES = {
    "another spec than was hashed": (lambda row: row["spec"].update(seed=7), "hashes to"),
    "a newer schema": (lambda row: row.update(schema=99), "newer"),
    "a missing part": (lambda row: row.pop("training"), "'training' is missing"),
    "an unknown status": (lambda row: row.update(status="great"), "unknown status"),
    "a score above its bound": (lambda row: set_metric(row, value=1.5), "mig[hist20] is 1.5, outside [0"),
    "a score below its bound": (lambda row: set_metric(row, value=-0.1), "outside [0"),
    "a score that is text": (lambda row: set_metric(row, value="0.5"), "not a number"),
    "a score that is true": (lambda row: set_metric(row, value=True), "not a number"),
    "no score and no reason": (lambda row: set_metric(row, value=None), "neither a value nor a reason"),
    "NaN": (lambda row: set_metric(row, value=float("nan")), "the number nan"),
    "infinity in a curve": (lambda row: row["training"]["curve"]["loss"].append(float("inf")), "the number inf"),
    "a number of 100 digits": (lambda row: row["cost"].update(peak_memory_mb=10**100), "more than 63 bits"),
    "a metric of tomorrow": (
        lambda row: (set_metric(row, version=99), row["scored"].update({"mig[hist20]": 99})), "version 99, this bench",
    ),
    "another protocol": (lambda row: set_metric(row, protocol="slowvae2021"), "is of protocol"),
    "a version it was not scored in": (lambda row: row["scored"].update({"mig[hist20]": 9}), "has version 1"),
    "a metric scored without its number": (lambda row: row["metrics"].pop("mig[hist20]"), "without its number"),
    "an unknown metric": (
        lambda row: row["metrics"].update(migg=row["metrics"].pop("mig[hist20]")), "unknown metric 'migg'",
    ),
    "an unknown number": (
        lambda row: row["metrics"].update({"mcc[spearman]/x": row["metrics"]["mcc[spearman]"]}), "is not a number of",
    ),
    "an unknown method": (
        lambda row: (row["spec"].update(method="betavea"), rehash(row)), "Did you mean 'betavae'",
    ),
    "an unknown data set": (lambda row: (row["spec"].update(dataset="cars"), rehash(row)), "unknown data set 'cars'"),
    "an unknown parameter": (
        lambda row: (row["spec"]["method_params"].update(betta=1), rehash(row)), "no parameter 'betta'",
    ),
    "a path for a name": (lambda row: (row["spec"].update(method="../../x"), rehash(row)), "cannot be a folder's name"),
    "an unknown protocol": (lambda row: (row["spec"].update(protocol="x"), rehash(row)), "unknown protocol"),
    "an unknown budget": (lambda row: (row["spec"].update(budget="huge"), rehash(row)), "budget is one of"),
    "a seed below 0": (lambda row: (row["spec"].update(seed=-1), rehash(row)), "seed is -1"),
    "a seed that is text": (lambda row: (row["spec"].update(seed="0"), rehash(row)), "seed is '0'"),
    "a parameter with structure": (
        lambda row: (row["spec"]["method_params"].update(beta={"a": 1}), rehash(row)), "neither a value nor a list",
    ),
    "a failure without a reason": (lambda row: row.update(status="failed"), "without a reason"),
    "a failure with scores": (lambda row: row.update(status="failed", reason="x"), "failed with scores"),
    "a correlation above 1": (
        lambda row: row["details"]["mcc[spearman]"].update(correlation=[[2.0]]), "from 0 to 1",
    ),
    "an assignment out of range": (
        lambda row: row["details"]["mcc[spearman]"].update(assignment=[0, 2]), "do not fit the correlations",
    ),
    "curves of two lengths": (lambda row: row["training"]["curve"]["loss"].pop(), "differ in length"),
    "time below 0": (lambda row: row["cost"]["seconds"].update(total=-1), "numbers ≥ 0"),
    "half a character": (lambda row: row.update(suite="\ud800"), "no Unicode"),
    "another's codes": (lambda row: row.update(codes={"fingerprint": "x"}), "fingerprint of a user's codes"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_strangers_row_is_refused_in_one_line_and_nothing_is_written(tmp_path, damage):
    row = row_of()
    change, what = DAMAGES[damage]
    change(row)
    path = tmp_path / "there" / "rows" / "natural_sprites" / "betavae" / f"{row['hash']}.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(row))
    target = Store(tmp_path / "here")
    (finding,) = merge(target, tmp_path / "there")
    assert finding.outcome == "refused"
    assert what in finding.text
    assert finding.text.startswith(f"{path}: ")
    assert finding.text.isprintable()
    assert not (target.root / "rows").exists()


@pytest.mark.parametrize(
    ("content", "what"),
    [
        pytest.param(b"{", "unreadable", id="cut short"),
        pytest.param(b"[" * 200_000, "unreadable", id="nested 200,000 deep"),
        pytest.param(b"\xff\xfe\x00", "unreadable", id="no text"),
        pytest.param(b'{"schema": ' + b"9" * 5000 + b"}", "unreadable", id="a number of 5,000 digits"),
        pytest.param(b"null", "not a row", id="nothing"),
        pytest.param(b"{}", "'schema' is missing", id="empty"),
    ],
)
def test_a_file_that_is_no_row_is_refused(tmp_path, content, what):
    path = tmp_path / "there" / "rows" / "d" / "m" / "0.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    (finding,) = merge(Store(tmp_path / "here"), tmp_path / "there")
    assert finding.outcome == "refused"
    assert what in finding.text


def test_a_row_file_of_10_gigabytes_is_refused_unread(tmp_path):
    path = tmp_path / "there" / "rows" / "d" / "m" / "0.json"
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        file.truncate(10 * 2**30)
    (finding,) = merge(Store(tmp_path / "here"), tmp_path / "there")
    assert "a row has at most" in finding.text


def test_links_and_pipes_are_not_read(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("{}")
    (tmp_path / "link").symlink_to(secret)
    os.mkfifo(tmp_path / "pipe")
    for name, what in (("link", "it is a link"), ("pipe", "not a plain file"), (".", "not a plain file")):
        with pytest.raises(Refused, match=what):
            open_plain(tmp_path / name)


def test_a_row_in_the_place_of_another_is_refused(tmp_path):
    store = store_with(tmp_path / "there", row_of(0))
    path = store.row_path(SPEC)
    path.rename(path.with_name("0123456789abcdef.json"))
    (finding,) = merge(Store(tmp_path / "here"), store.root)
    assert "holds the row of natural_sprites/betavae/" in finding.text


def test_a_run_under_way_here_is_left_alone(tmp_path):
    target = Store(tmp_path / "here")
    there = store_with(tmp_path / "there", row_of())
    with target.lock(SPEC.hash):
        (finding,) = merge(target, there.root)
    assert "is under way in" in finding.text
    assert not list(target.rows())


def test_a_corrupt_row_here_is_neither_overwritten_nor_set_aside(tmp_path):
    target, there = store_with(tmp_path / "here", row_of()), store_with(tmp_path / "there", row_of())
    target.row_path(SPEC).write_text("{")
    (finding,) = merge(target, there.root)
    assert (finding.outcome, target.row_path(SPEC).read_text()) == ("refused", "{")
    assert str(target.row_path(SPEC)) in finding.text


def with_artifacts(store):
    folder = store.artifacts(SPEC.hash)
    folder.mkdir(parents=True)
    for name in ("checkpoint.safetensors", "codes.h5", "evil.py"):
        (folder / name).write_bytes(name.encode() * 1000)
    return folder


def test_checkpoints_and_codes_come_along_only_when_asked_for_and_nothing_else_does(tmp_path):
    there = store_with(tmp_path / "there", row_of())
    source = with_artifacts(there)
    target = Store(tmp_path / "here")
    assert merge(target, there.root)[0].copied == ()
    assert not target.artifacts(SPEC.hash).exists()
    assert merge(target, there.root, artifacts=True)[0].copied == ("checkpoint.safetensors", "codes.h5")
    taken = {path.name: path.read_bytes() for path in target.artifacts(SPEC.hash).iterdir()}
    assert taken == {name: (source / name).read_bytes() for name in ("checkpoint.safetensors", "codes.h5")}
    assert merge(target, there.root, artifacts=True)[0].copied == ()


def test_artifacts_of_a_different_row_stay_where_they_are(tmp_path):
    there = store_with(tmp_path / "there", row_of(mig=0.375, started="2026-02-02"))
    with_artifacts(there)
    target = store_with(tmp_path / "here", row_of())
    assert merge(target, there.root, artifacts=True)[0].outcome == "different"
    assert not target.artifacts(SPEC.hash).exists()


@pytest.mark.parametrize("of_folder", [False, True], ids=["a linked file", "a linked folder"])
def test_artifacts_that_lead_out_of_their_store_are_not_copied(tmp_path, capsys, of_folder):
    there = store_with(tmp_path / "there", row_of())
    folder = with_artifacts(there)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "checkpoint.safetensors").write_text("private")
    if of_folder:
        folder.rename(tmp_path / "unused")
        folder.symlink_to(outside)
    else:
        (folder / "checkpoint.safetensors").unlink()
        (folder / "checkpoint.safetensors").symlink_to(outside / "checkpoint.safetensors")
    target = Store(tmp_path / "here")
    code, _, err = call(capsys, there.root, "--artifacts", "--results", target.root)
    assert code == 1
    assert "checkpoint.safetensors: it" in err[0]
    assert "not copied" in err[0]
    assert not (target.artifacts(SPEC.hash) / "checkpoint.safetensors").exists()
    assert len(list(target.rows())) == 1


def test_every_committed_row_is_believed_and_merges_byte_for_byte(tmp_path):
    target = Store(tmp_path / "here")
    findings = merge(target, ROOT / "results")
    assert len(findings) >= 21
    assert [finding.text for finding in findings if finding.outcome != "new"] == []
    assert files_of(target.root / "rows") == files_of(ROOT / "results" / "rows")


def test_rows_of_scored_codes_merge_too_and_their_scores_join(tmp_path):
    rng = np.random.default_rng(0)
    factors = rng.integers(4, size=(300, 2))
    codes = factors + 0.1 * rng.normal(size=(300, 2))
    for folder, metrics in (("here", "mcc"), ("there", "mcc,mig")):
        save(bench.score(codes, factors, metrics=metrics), tmp_path / folder, "mine", "toys")
    target = Store(tmp_path / "here")
    (finding,) = merge(target, tmp_path / "there")
    assert (finding.outcome, finding.text.split(":")[1]) == ("joined", f" mig[hist20] joined from {finding.path}")
    (row,) = target.rows()
    assert objection(row) == ""
    save(bench.score(codes + 1e-3 * factors**2, factors, metrics="mcc"), tmp_path / "other", "mine", "toys")
    assert "they score other codes" in merge(target, tmp_path / "other")[0].text


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["nowhere"], "nowhere is not a folder; name a results folder"),
        (["empty"], "holds no folder rows/; name a results folder"),
        (["there/rows"], "did you mean there?"),
        (["here", "--results", "here"], "is the store that --results here names"),
        (["there", "--results", "file"], "is a file; name a folder"),
        ([], "DIR"),
    ],
)
def test_what_cannot_be_merged_is_one_line_and_exit_2(tmp_path, capsys, monkeypatch, arguments, what):
    monkeypatch.chdir(tmp_path)
    store_with(tmp_path / "there", row_of())
    store_with(tmp_path / "here", row_of())
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    code, _, err = call(capsys, *arguments)
    assert (code, len(err)) == (2, 1)
    assert what in err[0]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def places(value, path=()):
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*path, key))
    elif isinstance(value, list):
        for i, one in enumerate(value):
            yield from places(one, (*path, i))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_whatever_stands_in_a_row_the_answer_is_one_line(data):
    row = copy.deepcopy(row_of())
    *path, last = data.draw(st.sampled_from([place for place in places(row) if place]))
    inner = row
    for step in path:
        inner = inner[step]
    inner[last] = data.draw(JSON)
    if isinstance(row.get("spec"), dict) and data.draw(st.booleans()):
        with suppress(TypeError, ValueError):
            rehash(row)
    found = objection(row)
    assert isinstance(found, str)
    if found == "":
        json.dumps(row, allow_nan=False).encode()
