"""`bench doctor` measures a sound machine, and names what is broken with what to do about it."""

from __future__ import annotations

import dataclasses
import errno
import json
import shutil
import tempfile
from types import SimpleNamespace

import pytest

from bench import doctor, registry
from bench.cli import main
from bench.datasets.base import OfficialFile
from bench.opening import Folders


@pytest.fixture(autouse=True)
def no_official_files(monkeypatch, tmp_path_factory):
    """What lies in the data folder of this machine is no part of these tests."""
    monkeypatch.setenv("BENCH_DATA", str(tmp_path_factory.mktemp("no data")))


def call(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main(["doctor", *map(str, arguments)])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def test_a_sound_machine_passes_with_numbers_from_training_and_a_metric(capsys, tmp_path):
    code, out, err = call(capsys, "--json", "--devices", "cpu", "--results", tmp_path)
    found = json.loads(out)
    facts = {check["name"]: check["facts"] for check in found["checks"]}
    assert (code, found["ok"], err) == (0, True, "")
    assert facts["metrics"] == {"mig": 0.5, "expected": 0.5}
    assert facts["training"]["steps_per_second"] > 0
    assert facts["training"]["batch"] == 32  # slowvae's at the quick budget
    assert facts["versions"]["torch"]
    assert facts["results"]["rows"] == {}
    assert not list(tmp_path.iterdir())


def test_plain_output_has_no_escape_codes_and_ends_with_a_verdict(capsys, tmp_path):
    code, out, _ = call(capsys, "--no-self-test", "--results", tmp_path, "--data-root", tmp_path)
    assert code == 0
    assert "\x1b" not in out
    assert out.splitlines()[-1].startswith("all sound (")
    assert f"official files in {tmp_path}: no data set complete" in out


def test_a_store_that_is_a_file_is_exit_1_with_a_way_out(capsys, tmp_path):
    file = tmp_path / "file"
    file.write_text("kept")
    code, out, _ = call(capsys, "--no-self-test", "--results", file)
    assert code == 1
    assert f"--results {file} is a file" in out
    assert "→ name another one with --results DIR" in out
    assert out.splitlines()[-1].startswith("broken: results (")


def test_a_corrupt_row_is_named(tmp_path):
    path = tmp_path / "rows" / "d" / "m" / "0.json"
    path.parent.mkdir(parents=True)
    path.write_text("{")
    found = doctor.check_results(tmp_path)
    assert found.state == "broken"
    assert str(path) in found.text
    assert path.read_text() == "{"


@pytest.fixture
def one_set(monkeypatch):
    """The registry with one data set of two official files of known size, one of them for a variant only."""
    entry = next(iter(registry.datasets().values()))
    files = (OfficialFile("a.bin", size=3), OfficialFile("b.bin", size=3, variant="form=big"))
    card = dataclasses.replace(entry.card, files=files)
    monkeypatch.setattr(doctor.registry, "datasets", lambda: {"cars": dataclasses.replace(entry, card=card)})


@pytest.mark.parametrize(
    ("files", "state", "what"),
    [
        ({}, "note", "absent: cars"),
        ({"a.bin": b"abc"}, "ok", "cars complete"),
        ({"b.bin": b"abc"}, "note", "in part: cars 1 of 2"),
        ({"a.bin": b"abcd"}, "broken", "has 4 bytes, the official one 3"),
    ],
    ids=["none", "all that are always needed", "only a variant's", "one of another size"],
)
def test_official_files_are_found_by_name_and_size(one_set, tmp_path, files, state, what):
    (tmp_path / "cars").mkdir()
    for name, content in files.items():
        (tmp_path / "cars" / name).write_bytes(content)
    found = doctor.check_data(tmp_path)
    assert (found.state, what in found.text) == (state, True), found.text
    assert ("bench data" in found.advice) == (state != "ok")


@pytest.mark.parametrize(
    ("required", "what"),
    [
        (["numpy>=99"], "needs 99"),
        (["no-such-package>=1.5"], "no-such-package is not installed, needs 1.5"),
        (["numpy>=1.26", "no-such-package; extra == 'dev'"], ""),
        (["numpy"], ""),
    ],
)
def test_versions_are_held_against_what_the_package_declares(monkeypatch, required, what):
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: required)
    found = doctor.check_versions()
    assert found.state == ("broken" if what else "ok")
    assert what in found.text


def test_a_full_disk_is_found_by_writing(monkeypatch, tmp_path):
    def full(**_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    for check in (doctor.check_cache, doctor.check_results):
        found = check(tmp_path)
        assert (found.state, "No space left on device" in found.text) == ("broken", True)


def test_little_room_is_broken_with_the_numbers(monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=2**30))
    found = doctor.check_cache(tmp_path / "not" / "there")
    assert found.state == "broken"
    assert "1.0 GB free" in found.text
    assert "BENCH_CACHE" in found.advice


def test_a_metric_that_computes_wrongly_is_broken(monkeypatch):
    import metrics.mig

    monkeypatch.setattr(metrics.mig, "mig", lambda *_: {"mig": 0.51})
    found = doctor.check_metric()
    assert (found.state, "0.51, in closed form 0.5" in found.text) == ("broken", True)


def test_a_check_that_raises_is_a_line_and_the_others_still_run(monkeypatch, tmp_path):
    def breaks():
        raise ImportError("libcuda.so is of\nanother version")

    monkeypatch.setattr(doctor, "check_devices", breaks)
    found = {check.name: check for check in doctor.examine(Folders(tmp_path, tmp_path, tmp_path), self_test=False)}
    assert found["devices"].text == "ImportError: libcuda.so is of another version"
    assert found["devices"].state == "broken"
    assert found["results"].state == "ok"
    assert not doctor.is_sound(list(found.values()))


def test_an_outside_package_that_cannot_be_loaded_is_broken(monkeypatch):
    def breaks():
        raise registry.UsageError("the installed package 'x' cannot be loaded (no module y); mend or uninstall it")

    monkeypatch.setattr(doctor.registry, "methods", breaks)
    found = doctor.check_names()
    assert (found.state, "'x' cannot be loaded" in found.text) == ("broken", True)


def test_an_unknown_device_is_one_line_and_exit_2(capsys, tmp_path):
    code, out, err = call(capsys, "--devices", "cuda:99", "--results", tmp_path)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "no device 'cuda:99' here" in err
