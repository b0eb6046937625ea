"""Rows of a store: changed, contradictory, endless; what is read can be shown in every form."""

from __future__ import annotations

import json
import os
import zlib

import pytest
from guard import Broken, effort, outcome
from hypothesis import given
from mutations import alter, damage_json, damaged_json, made, to_json

from bench import merge
from bench.cli.results import defaults_of
from bench.report import figures, frame, render, run_page, tables
from bench.rows import empty_row
from bench.running import progress
from bench.running.estimate import expected_seconds
from bench.running.standing import Options, is_done
from bench.spec import RunSpec
from bench.store import CorruptRow, Store, read_row

SPEC = RunSpec(
    "betavae", {"beta": 4.0, "n_steps": 10, "n_latents": 3}, "natural_sprites", {"form": "discrete"}, "generated", "",
    "images", "smoke", 0, "quick", "float32", 1,
)  # fmt: skip


def done_row():
    """A small row of a finished run with everything that reports read."""
    row = empty_row(SPEC, "done", None)
    numbers = {"mcc[spearman]": 0.5, "mig[hist20]": 0.1, "dci[gbt]/disentanglement": None, "not_known_here": 2.0}
    row["metrics"] = {
        key: {"value": value, "reason": None if value else "too few rows", "version": 1, "protocol": "quick"}
        for key, value in numbers.items()
    }
    row["scored"] = {"mcc[spearman]": 1, "mig[hist20]": 1, "dci[gbt]": 1, "not_known_here": 1}
    row["details"] = {
        "mcc[spearman]": {
            "correlation": [[0.9, 0.1, 0.2], [0.1, 0.8, 0.3]],
            "assignment": [0, 1],
            "factors": ["x", "y"],
        }
    }
    row["training"] = {
        "n_steps": 10, "n_parameters": 7, "curve": {"step": [5.0, 10.0], "loss": [3.0, 2.5], "kl": [1.0, None]},
        "scores": [{"step": 5, "metrics": {"mig[hist20]": 0.05}}],
    }  # fmt: skip
    row["cost"] = {
        "seconds": {"training": 4.0, "total": 6.0}, "frames_per_second": 100.0, "peak_memory_mb": 500.0,
        "device": "cpu",
    }  # fmt: skip
    row["judge"] = {"hash": "ab12", "accuracy": {"action": 0.9}, "mean_accuracy": 0.9, "threshold": 0.99}
    row["provenance"] = {
        "git_commit": "abc", "versions": {"torch": "2", "bench": "0"}, "hardware": {"processor": "x"},
        "started": "2026-01-01T00:00:00", "finished": "2026-01-01T00:00:06",
    }  # fmt: skip
    return row


GOOD = [done_row(), empty_row(SPEC, "failed", "ValueError: it broke"), empty_row(SPEC, "skipped", "needs pairs")]


def rehashed(row):
    """The row with the hash of the spec that it now has: only its content is wrong."""
    try:
        return row | {"hash": RunSpec.from_dict(row["spec"]).hash}
    except (TypeError, ValueError, KeyError, AttributeError, RecursionError):
        return row


def contents(rng):
    """Bytes of a row file."""
    if rng.random() < 0.2:
        return damage_json(rng, GOOD)
    row = alter(rng, rng.choice([GOOD[0], GOOD[0], *GOOD]))
    return to_json(rehashed(row) if isinstance(row, dict) else row)


def placed(folder, content):
    path = folder / "rows" / "natural_sprites" / "betavae" / f"{SPEC.hash}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report([GOOD[0]])  # imports what is imported late
    return tmp_path


@effort(150)
@given(content=made(contents))
def test_a_row_is_read_or_refused_in_one_line(folder, content):
    path = placed(folder, content)
    row = outcome("rows", lambda: read_row(path), CorruptRow, folder=folder)
    if not isinstance(row, str):
        drawn = folder if zlib.crc32(content) % 200 == 0 else None
        call = lambda: report([row, GOOD[0]], drawn)  # noqa: E731
        outcome("rows: reported", call, (), folder=folder, writes=drawn is not None)


def report(rows, folder=None):
    """Everything that is made from rows; figures only where there is a folder for them, as drawing takes a second."""
    for form in ("text", "md", "csv", "latex"):
        render.render(tables.tables(rows, defaults=defaults_of), form)  # type: ignore[arg-type]
    frame.load(rows, defaults_of)
    for group in frame.groups(rows, defaults_of):
        assert group.slug == frame.slugify(group.slug)
        if folder is not None:
            figures.draw_all(group.rows, folder / "figures", defaults=defaults_of, formats=("png",))
    run_page.render(rows[0], rows, defaults=defaults_of)
    for row in rows:
        is_done(row, SPEC, Options(None, retry_before="2026-01-01"))  # type: ignore[arg-type]
    expected_seconds([], _Held(rows), "cpu")
    json.dumps(rows, allow_nan=False).encode()


class _Held:
    """A store of these rows."""

    def __init__(self, rows):
        self.rows = lambda: rows


@effort(80)
@given(content=made(contents))
def test_a_strangers_row_is_taken_or_refused_in_one_line(folder, content):
    other, target = folder / "other", Store(folder / "target")
    placed(other, content)
    findings = outcome(
        "rows: merged", lambda: list(merge.Merger(target, dry_run=True).merge([other])), (), folder=folder
    )
    assert len(findings) == 1
    if findings[0].outcome == "refused":
        outcome("rows: merged, words", lambda: _raise(findings[0].text), ValueError, folder=folder)


def _raise(text):
    raise ValueError(text)


MARK = {
    "label": "a", "phase": "training", "fraction": 0.5, "pid": 7, "call": 7, "began": 1.5, "step": 5, "n_steps": 9,
}  # fmt: skip


@effort(150)
@given(content=damaged_json([MARK]))
def test_marks_of_progress_are_whole_or_ignored(folder, content):
    mark = folder / "artifacts" / "abc" / "progress.json"
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.write_bytes(content)
    found = outcome("progress", lambda: progress.read(folder / "artifacts", ["abc"]), (), folder=folder)
    for facts in found.values():
        if not (isinstance(facts["label"], str) and 0 <= facts["fraction"] <= 1 and facts["pid"] > 0):
            raise Broken(f"progress: believed {facts}")


def test_a_named_pipe_is_no_row(folder):
    path = placed(folder, b"")
    path.unlink()
    os.mkfifo(path)
    assert "not a file" in outcome("rows", lambda: read_row(path), CorruptRow, folder=folder)
