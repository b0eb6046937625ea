"""Methods with bad manners: their rows say so, and their siblings come to the same numbers as without them."""

from __future__ import annotations

import math

import pytest
from toys import HOSTILE, TOYS, rows_of

OTHERWISE = ("toy_dtype", "toy_memory", "toy_mutates", "toy_leaves", "toy_unprintable")  # what does harm themselves
GLOBAL = "global generator: runs of other seeds draw the same from it"


@pytest.mark.parametrize(
    ("method", "status", "reason", "notes"),
    [
        ("toy_ae", "done", None, []),
        ("toy_prints", "done", None, ["printed 4 MB; its beginning and end are kept in artifacts/{hash}/output.txt"]),
        ("toy_seeds", "done", None, [f"seeded {whose} {GLOBAL}" for whose in ("Python's", "numpy's", "torch's")]),
        ("toy_dtype", "failed", "RuntimeError", ["changed torch's default dtype from torch.float32 to torch.float64"]),
        ("toy_threads", "done", None, ["changed torch's thread count from 1 to 2"]),
        ("toy_settings", "done", None, ["changed numpy's error handling", "changed the working directory from"]),
        ("toy_opens", "done", None, ["left 5 files open (hostile.py, hostile.py, hostile.py, …)"]),
        ("toy_memory", "failed", "MemoryError: Unable to allocate 1.00 EiB", []),
        ("toy_mutates", "done", None, ["changed its batch in place"]),
        ("toy_leaves", "failed", "SystemExit: 3", []),
        ("toy_unprintable", "failed", "Odd: (its message cannot be printed)", []),
        ("toy_killed_once", "done", None, []),
    ],
)
def test_the_row_says_what_its_method_did(toy_grid, method, status, reason, notes):
    _, done, rows = toy_grid
    row = rows[method, 0]
    assert row["status"] == status, row["reason"]
    assert row["reason"] is None if reason is None else reason in row["reason"]
    found = row.get("notes", [])
    assert len(found) == len(notes), found
    for text, expected in zip(found, notes, strict=True):
        assert text.startswith(expected.format(hash=row["hash"]))
        assert f"bench: {method} on toy_squares, seed 0: {text}" in done.stderr


@pytest.mark.parametrize("method", sorted(set(HOSTILE) - set(OTHERWISE)))
def test_the_same_training_gives_the_same_numbers_whatever_it_or_a_sibling_did(toy_grid, method):
    _, _, rows = toy_grid
    first, row = rows["toy_ae", 0], rows[method, 0]
    assert row["metrics"] == first["metrics"]
    assert row["training"] == first["training"]


def test_what_a_method_prints_does_not_reach_the_terminal(toy_grid):
    folder, done, rows = toy_grid
    assert "xxx" not in done.stdout + done.stderr
    assert "yyy" not in done.stdout + done.stderr
    text = (folder / "artifacts" / rows["toy_prints", 0]["hash"] / "output.txt").read_text()
    assert text.startswith("x" * 999 + "\n")
    assert "y" * 1000 in text
    assert "the last word" in text[-1_000_000:]
    assert len(text) < 1_100_000
    assert [path.parent.name for path in folder.glob("artifacts/*/output.txt")] == [rows["toy_prints", 0]["hash"]]


def test_what_was_printed_before_a_process_was_lost_is_noted_by_the_one_that_goes_on(bench, tmp_path):
    arguments = ("run", "--methods", "toy_prints", *TOYS[:-2], "--seeds", "1", "--results", str(tmp_path), "--metrics")
    bench(*arguments, "mig")
    (path,) = tmp_path.glob("rows/*/*/*.json")
    path.unlink()  # as if the process had been killed after its last step
    bench(*arguments, "mig")
    row = rows_of(tmp_path)["toy_prints", 0]
    output = tmp_path / "artifacts" / row["hash"] / "output.txt"
    assert row["notes"] == [f"printed 1 MB; its beginning and end are kept in artifacts/{row['hash']}/output.txt"]
    assert "the last word" in output.read_text()[-1000:]
    bench(*arguments, "mcc[pearson]")  # scored once more, and nothing printed
    now = rows_of(tmp_path)["toy_prints", 0]
    assert "mcc[pearson]" in now["metrics"]
    assert now["notes"] == row["notes"]
    assert output.is_file()


@pytest.mark.slow
def test_what_hangs_or_ends_its_process_is_ended_and_its_siblings_are_not(bench, toy_grid, tmp_path):
    methods = "toy_hangs,toy_hangs_in_c,toy_exits,toy_exits_at_once,toy_thread,toy_counts,toy_ae"
    done = bench(
        "run", "--methods", methods, *TOYS, "--seeds", "1", "--results", str(tmp_path), "--timeout", "30", timeout=900
    )
    rows = rows_of(tmp_path)
    found = {method: (row["status"], row["reason"]) for (method, _), row in rows.items()}
    assert found["toy_hangs"][0] == found["toy_hangs_in_c"][0] == "failed", done.stderr
    assert found["toy_hangs"][1].startswith("timed out after 30 s, ")
    assert found["toy_hangs_in_c"][1].endswith("(its process did not react and was killed)")
    assert found["toy_exits"] == ("failed", "its worker process ended 2 times while it ran alone (EXIT(3))")
    assert found["toy_exits_at_once"] == found["toy_exits"]
    assert rows["toy_thread", 0]["notes"][-1] == "left 1 thread running (goes on)"
    _, _, before = toy_grid
    for method in ("toy_ae", "toy_thread", "toy_counts"):
        assert rows[method, 0]["metrics"] == before["toy_ae", 0]["metrics"], method
    assert done.returncode == 1
    seconds = rows["toy_hangs", 0]["cost"]["seconds"]["total"]
    assert math.isclose(seconds, 30, abs_tol=3)
    assert not list(tmp_path.glob("artifacts/*/progress.json"))
