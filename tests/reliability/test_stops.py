"""Ctrl-C, SIGTERM and an impatient second Ctrl-C at random moments: a clean end within seconds, and a way to go on."""

from __future__ import annotations

import os
import random
import signal
import statistics
import time

import pytest
from grids import N_RUNS, TOYS, Call, flaws, processes_of, rows

N_STOPS = int(os.environ.get("BENCH_STOPS", "12"))
SECONDS_TO_STOP = 20.0  # on a busy machine; three are given to workers that write checkpoints


def press_ctrl_c(call):
    os.killpg(call.process.pid, signal.SIGINT)  # as a terminal does: to the whole group


def terminate(call):
    call.process.terminate()


def press_twice(call, rng=random.Random(0)):  # noqa: B008 - one sequence of pauses for all
    press_ctrl_c(call)
    time.sleep(rng.uniform(0, 1.5))
    if call.runs():
        press_ctrl_c(call)


@pytest.mark.slow
@pytest.mark.parametrize("stop", [press_ctrl_c, terminate, press_twice])
def test_a_stopped_grid_ends_within_seconds_says_how_to_go_on_and_goes_on(outside, tmp_path, figure, stop):
    rng = random.Random(3)
    calm = Call(TOYS, tmp_path / "calm", tmp_path / "cache", outside)
    assert calm.wait() == 0, calm.text()
    seconds: list[float] = []
    number = 0
    while len(seconds) < N_STOPS:
        number += 1
        folder = tmp_path / f"grid-{number}"
        ended = False
        while not ended:
            call = Call(TOYS, folder, tmp_path / "cache", outside)
            if len(seconds) < N_STOPS:
                _wait_for_a_moment(call, rng)
            if call.runs() and len(seconds) < N_STOPS:
                started = time.monotonic()
                stop(call)
                code = call.wait()
                seconds.append(time.monotonic() - started)
                if code:
                    _ended_cleanly(call)
            ended = call.wait() == 0
        assert flaws(call.results, tmp_path / "cache", rows(calm.results)) == []
    figure(
        f"{stop.__name__}: {N_STOPS} stops over {number} grids of {N_RUNS[TOYS]} runs; seconds to the end: "
        f"median {statistics.median(seconds):.1f}, longest {max(seconds):.1f}"
    )
    assert max(seconds) < SECONDS_TO_STOP


def _wait_for_a_moment(call, rng):
    """Any time from the first second on, half of them while something trains or is scored."""
    moment = time.monotonic() + rng.uniform(1, 12)
    phase = rng.choice(["", "training", "encoding", "metrics"])
    while call.runs() and time.monotonic() < moment:
        if phase and phase in call.phases().values():
            return
        time.sleep(0.02)


def _ended_cleanly(call):
    error = call.text()
    # Python itself ends by the signal where it hits some moments of its imports, or of its exit (pressed twice)
    assert call.process.returncode in (1, -signal.SIGINT), call.process.returncode
    assert "Traceback" not in error, error
    assert "bench: stopped" in error.splitlines()[-1], error
    deadline = time.monotonic() + 10
    while processes_of(call.process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not processes_of(call.process.pid)


@pytest.mark.slow
def test_two_calls_on_one_store_do_each_run_once(outside, tmp_path, figure):
    """Both are handed the same runs; each trains what the other does not."""
    rng, n_runs, n_tries = random.Random(5), 6, 3
    arguments = (
        "--methods", "toy_counts[n_steps=300]", "--datasets", "toy_squares", "--metrics", "mcc,mig",
        "--seeds", str(n_runs), "--budget", "smoke", "--no-figures",
    )  # fmt: skip
    trainings = outside / "toybench" / "trainings"
    shares = []
    for number in range(n_tries):
        trainings.unlink(missing_ok=True)
        first = Call(arguments, tmp_path / str(number), tmp_path / "cache", outside)
        parents: dict[int, str] = {}
        time.sleep(rng.uniform(0, 2))
        second = Call(arguments, tmp_path / str(number), tmp_path / "cache", outside, log="second")
        while first.runs() or second.runs():
            for name, call in (("first", first), ("second", second)):
                parents |= dict.fromkeys(call.workers(), name)
            time.sleep(0.05)
        assert (first.wait(), second.wait()) == (0, 0), first.text() + second.text()
        began = trainings.read_text().split()
        assert len(began) == n_runs
        assert len(rows(first.results)) == n_runs
        shares.append([sum(parents.get(int(one)) == name for one in began) for name in ("first", "second")])
    figure(f"two calls at once: {n_tries} times {n_runs} runs, each trained once; runs of the two calls: {shares}")
    assert sum(second for _, second in shares)
