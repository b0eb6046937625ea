"""Time left follows the pace of this call."""

from __future__ import annotations

import json

import pytest

from bench.running.progress import clock, read, time_left

MARK = {"label": "a", "phase": "training", "fraction": 0.5, "pid": 7, "call": 3, "began": 1.5}


@pytest.mark.parametrize(
    ("running", "first", "done", "expected"),
    [
        pytest.param({}, {}, ["a"], 30.0, id="one of four equal runs in 10 s: three more"),
        pytest.param({"b": {"fraction": 0.5}}, {}, ["a"], 25 / 1.5, id="a half counts"),
        pytest.param({"b": {"fraction": 0.6}}, {"b": 0.2}, ["a"], 25 / 1.5, id="what was left of b is half done"),
    ],
)
def test_time_left(running, first, done, expected):
    per_run = dict.fromkeys("abcd", 100.0)
    assert time_left(per_run, running, first, 10.0, done) == pytest.approx(expected)


def test_no_time_left_is_guessed_without_a_pace():
    assert time_left({"a": 100.0}, {"a": {"fraction": 0.5}}, {}, 1.0, []) is None
    assert time_left({"a": 100.0}, {}, {}, 100.0, []) is None


@pytest.mark.parametrize(("seconds", "text"), [(45.2, "45 s"), (200, "3 min 20 s"), (3900, "1 h 05 min")])
def test_clock(seconds, text):
    assert clock(seconds) == text


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({}, id="as it is written"),
        pytest.param({"pid": -1}, id="every process there is"),
        pytest.param({"pid": 0}, id="the caller's own group"),
        pytest.param({"pid": True}, id="no number"),
        pytest.param({"call": "3"}, id="a call that is text"),
        pytest.param({"fraction": 1.5}, id="more than whole"),
        pytest.param({"label": None}, id="no label"),
    ],
)
def test_a_mark_that_may_end_a_process_is_believed_only_as_it_is_written(tmp_path, changed):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "progress.json").write_text(json.dumps(MARK | changed))
    assert read(tmp_path, ["run"]) == ({} if changed else {"run": MARK})
