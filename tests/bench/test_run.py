"""``bench run`` from the command line, with methods of an outside package: good ones, and each way of failing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from toys import TOYS, rows_of


@pytest.fixture(scope="module")
def grid(toy_grid):
    return toy_grid


def test_an_outside_method_data_set_and_metric_run(grid):
    _, done, rows = grid
    row = rows["toy_ae", 0]
    assert row["status"] == "done", done.stderr
    assert 0.3 < row["metrics"]["mcc[spearman]"]["value"] <= 1
    assert row["metrics"]["toy_largest"]["value"] > 0
    assert row["training"]["curve"]["loss"][-1] < row["training"]["curve"]["loss"][0]
    assert row["spec"]["source"] == "generated"


@pytest.mark.parametrize(
    ("method", "status", "reason"),
    [
        ("toy_raises", "failed", "RuntimeError: the toy broke on two lines"),
        ("toy_nan", "diverged", "loss became nan at step 6"),
        ("toy_killed", "failed", "killed 2 times while it ran alone"),
        ("toy_sequences", "skipped", "needs the view 'sequences'; toy_squares offers pairs, images"),
    ],
)
def test_each_failure_is_a_stored_row_with_its_reason(grid, method, status, reason):
    _, _, rows = grid
    assert rows[method, 0]["status"] == status
    assert reason in rows[method, 0]["reason"]


def test_failures_exit_with_1_and_are_named_in_one_line_each(grid):
    _, done, _ = grid
    assert done.returncode == 1
    assert "bench: toy_raises on toy_squares, seed 0: failed, RuntimeError" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_second_run_trains_nothing_and_prints_the_same_table(bench, grid):
    folder, _, rows = grid
    again = bench("run", "--methods", "toy_ae", *TOYS, "--seeds", "1", "--results", str(folder))
    assert again.returncode == 0, again.stderr
    assert "0 runs to do" in again.stderr
    assert rows_of(folder) == rows
    assert "toy_ae" in again.stdout


def test_retry_runs_failed_rows_again_and_only_those(bench, grid):
    folder, _, rows = grid
    arguments = ("run", "--methods", "toy_ae,toy_raises", *TOYS, "--seeds", "1", "--results", str(folder))
    bench(*arguments, "--retry", "failed")
    now = rows_of(folder)
    assert now["toy_ae", 0] == rows["toy_ae", 0]
    assert now["toy_raises", 0]["provenance"]["started"] > rows["toy_raises", 0]["provenance"]["started"]


def test_a_further_metric_is_scored_from_the_checkpoint_without_training(bench, grid):
    folder, _, rows = grid
    more = ("--metrics", "mcc[spearman],mcc[pearson]")
    done = bench("run", "--methods", "toy_ae", *TOYS[:-2], *more, "--seeds", "1", "--results", str(folder))
    assert done.returncode == 0, done.stderr
    now = rows_of(folder)["toy_ae", 0]
    assert now["metrics"]["mcc[pearson]"]["value"] > 0
    assert now["metrics"]["toy_largest"] == rows["toy_ae", 0]["metrics"]["toy_largest"]
    assert now["training"] == rows["toy_ae", 0]["training"]
    assert now["cost"] == rows["toy_ae", 0]["cost"]


def test_a_corrupt_row_is_reported_and_run_again(bench, grid):
    folder, _, rows = grid
    good = rows["toy_ae", 0]
    path = folder / "rows" / "toy_squares" / "toy_ae" / f"{good['hash']}.json"
    path.write_text(path.read_text()[:100])
    done = bench("run", "--methods", "toy_ae", *TOYS, "--seeds", "1", "--results", str(folder))
    assert done.returncode == 0, done.stderr
    assert "set aside" in done.stderr
    assert rows_of(folder)["toy_ae", 0]["metrics"]["mig[hist20]"] == good["metrics"]["mig[hist20]"]
    assert path.with_suffix(".json.bad").exists()


def test_a_dry_run_counts_and_writes_nothing(bench, tmp_path):
    results = tmp_path / "results"
    done = bench(
        "run", "--methods", "toy_ae,toy_sequences", *TOYS, "--seeds", "4", "--dry-run", "--results", str(results)
    )
    assert done.returncode == 0, done.stderr
    assert "4 runs to do, 0 stored already, 4 do not apply" in done.stdout
    assert "a few steps timed now" in done.stdout
    assert "not counted" not in done.stdout
    assert not results.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--methods", "toy_aa"], "unknown method 'toy_aa'. Did you mean 'toy_ae'?"),
        (["--methods", "toy_ae[n_latnts=3]"], "unknown parameter 'n_latnts'"),
        (["--methods", "toy_ae[n_latents=x]"], "must be a whole number, got 'x'"),
        (["--methods", "toy_ae[n_steps=-1]"], "parameter 'n_steps' must be ≥ 0"),
        (["--methods", "toy_sequences"], "Nothing of this selection can run"),
        (["--methods", "toy_ae", "--seeds", ""], "--seeds takes a count"),
        (["--methods", "toy_ae", "--seeds", "0"], "at least one seed"),
        (["--methods", "toy_ae", "--seeds", "9999999999"], "is a count, at most 1000"),
        (["--methods", "toy_ae", "--budget", "quik"], "--budget is one of"),
        (["--methods", "toy_ae", "--metrics", "migg"], "Did you mean 'mig'?"),
        (["--methods", "toy_ae", "--devices", "cuda:99"], "no device 'cuda:99'"),
        (["--methods", "toy_ae", "--precision", "half"], "--precision is auto, float32 or bfloat16"),
        (["--methods", "toy_ae,toy_ae"], "names 1 run(s) twice"),
        (["--methods", "toy_ae", "--sneeds", "1"], "--sneeds"),
        (["--methods", "toy_ae", "--timeout", "-1"], "-1.0 is not in the range"),
        (
            ["--methods", "toy_ae", "--timeout", "nan"],
            "takes seconds up to 100,000,000, 0 for never; got nan",
        ),
        (["--methods", "toy_ae", "--timeout", "inf"], "got inf"),
    ],
)
def test_bad_input_is_one_line_exit_2_and_nothing_written(bench_in_process, arguments, message, tmp_path):
    results = tmp_path / "results"
    if "--seeds" not in arguments:
        arguments = [*arguments, "--seeds", "1"]
    code, error = bench_in_process("run", *arguments, "--datasets", "toy_squares", "--results", str(results))
    assert code == 2
    assert message in error
    assert error.count("\n") == 1
    assert error.startswith("bench: ")
    assert not results.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--budget", "quik"], "--budget is one of"),
        (["-o", "sheet.foo"], "the name ends in .png, .svg, .pdf or .gif"),
        (["-o", "nowhere/sheet.png"], "there is no folder nowhere"),
    ],
)
def test_a_contact_sheet_that_cannot_be_is_refused_before_it_is_drawn(bench_in_process, arguments, message):
    code, error = bench_in_process("data", "show", "toy_squares", *arguments)
    assert (code, error.count("\n")) == (2, 1)
    assert message in error


def test_bench_alone_shows_its_help_as_it_is_meant_to_be_read(bench_in_process):
    code, error = bench_in_process()
    assert code == 2
    assert "\n  run " in error


def test_results_that_are_a_file_are_refused(bench_in_process, tmp_path):
    file = tmp_path / "file"
    file.write_text("kept")
    code, error = bench_in_process("run", "--methods", "toy_ae", "--datasets", "toy_squares", "--results", str(file))
    assert (code, file.read_text()) == (2, "kept")
    assert "is a file; name a folder" in error


def test_a_corrupt_checkpoint_is_reported_and_the_run_made_again(bench, grid):
    folder, _, rows = grid
    good = rows["toy_ae", 0]
    (folder / "rows" / "toy_squares" / "toy_ae" / f"{good['hash']}.json").unlink()
    checkpoint = folder / "artifacts" / good["hash"] / "checkpoint.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:200])
    done = bench("run", "--methods", "toy_ae", *TOYS, "--seeds", "1", "--results", str(folder))
    assert done.returncode == 0, done.stderr
    assert "checkpoint.safetensors: not a readable checkpoint" in done.stderr
    # alone in its processes it comes to what it came to among methods that break everything they can
    again = rows_of(folder)["toy_ae", 0]
    assert {**good["metrics"], **again["metrics"]} == good["metrics"]
    assert again["training"] == good["training"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param('id,cat_id,t_0,t_1\n1,1,"[(1, 2, 3), None, None]","[(1, 2"\n', "t_1", id="malformed cell"),
        pytest.param("", "tracks.csv", id="empty"),
        pytest.param("a,b\n1,2\n", "header", id="another file"),
    ],
)
def test_an_unreadable_data_file_is_one_line_exit_2_and_nothing_stored(bench, tmp_path, content, message):
    tracks = tmp_path / "tracks.csv"
    tracks.write_text(content)
    results = tmp_path / "results"
    done = bench(
        "run", "--methods", "oracle", "--datasets", f"natural_sprites[tracks={tracks}]", "--budget", "smoke",
        "--metrics", "mcc", "--results", str(results),
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert len([line for line in done.stderr.splitlines() if "tracks.csv" in line]) == 1
    assert not results.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=["Ctrl-C", "SIGTERM", "killed"])
def test_a_stopped_grid_leaves_checkpoints_and_no_process_and_says_how_to_go_on(outside, tmp_path, number):
    results = tmp_path / "results"
    arguments = ["run", "--methods", "toy_ae[n_steps=20000]", *TOYS, "--seeds", "1", "--results", str(results)]
    environment = {**os.environ, "PYTHONPATH": str(outside), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "bench", *arguments], env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    worker = wait_for_a_step(results)
    os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
    _, error = process.communicate(timeout=60)
    if number == signal.SIGKILL:  # then the worker stops by itself, with its checkpoint
        assert process.returncode == -signal.SIGKILL
    else:
        assert process.returncode == 1
        assert "bench: stopped with 1 run(s) to go; the same command goes on where they were" in error
    assert "Traceback" not in error
    deadline = time.monotonic() + 60
    while alive(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(worker)
    assert list(results.glob("artifacts/*/checkpoint.safetensors"))
    assert not list(results.glob("rows/*/*/*.json"))


def alive(process):
    """It is there, and no zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for_a_step(results):
    """The process id of the worker that has begun to train."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for path in results.glob("artifacts/*/progress.json"):
            facts = json.loads(path.read_text())
            if facts.get("step", 0) > 0:
                return facts["pid"]
        time.sleep(0.05)
    raise AssertionError("no run began to train")
