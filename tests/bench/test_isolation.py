"""What a run does to its process is noticed and put back; what it prints goes to a file of bounded size."""

from __future__ import annotations

import ctypes
import gc
import os
import random
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch

from bench import provenance
from bench.randomness import global_states, seeded_global_state, set_global_states
from bench.running import isolation, output
from bench.running.isolation import Leftovers, isolated
from bench.running.output import KEPT_BYTES, bound, captured
from bench.running.stopping import TimedOut, time_limit


@pytest.mark.parametrize(
    ("change", "value", "fault"),
    [
        (lambda: torch.set_num_threads(3), torch.get_num_threads, "torch's thread count from 1 to 3"),
        (
            lambda: torch.set_default_dtype(torch.float64), torch.get_default_dtype,
            "torch's default dtype from torch.float32 to torch.float64",
        ),
        (lambda: torch.set_default_device("meta"), torch.get_default_device, "torch's default device from cpu to meta"),
        (lambda: torch.set_grad_enabled(False), torch.is_grad_enabled, "torch's gradient mode from True to False"),
        (lambda: np.seterr(all="raise"), np.geterr, "numpy's error handling"),
        (lambda: os.chdir("/"), os.getcwd, "the working directory from"),
        (lambda: sys.setrecursionlimit(500), sys.getrecursionlimit, "the recursion limit from"),
        (gc.disable, gc.isenabled, "the garbage collector from True to False"),
    ],
    ids=["threads", "dtype", "device", "gradients", "numpy errors", "folder", "recursion", "gc"],
)  # fmt: skip
def test_a_changed_setting_is_noted_and_put_back(change, value, fault):
    before = value()
    with isolated(1) as guard:
        change()
        guard.put_back()
        change()  # noted once, however often
    assert value() == before
    assert len(guard.faults) == 1
    assert guard.faults[0].startswith(f"changed {fault}")


def test_generators_and_environment_are_put_back_silently(monkeypatch):
    monkeypatch.setenv("KEPT", "as it was")

    def draws():
        state = global_states(torch.device("cpu"))
        drawn = random.random(), float(np.random.rand()), float(torch.rand(()))  # noqa: NPY002
        set_global_states(state, torch.device("cpu"))
        return drawn

    before = draws()
    with isolated(1) as guard:
        random.seed(1), np.random.seed(1), torch.manual_seed(1)  # noqa: NPY002
        random.gauss(0, 1), np.random.randn()  # noqa: NPY002 - each keeps the second of a pair for the next call
        os.environ["KEPT"] = "no"
        os.environ["NEW"] = "no"
    assert draws() == before
    assert (os.environ["KEPT"], os.environ.get("NEW"), guard.faults) == ("as it was", None, [])


def test_states_of_generators_come_back_with_the_half_of_a_pair():
    random.gauss(0, 1), np.random.randn()  # noqa: NPY002
    states = global_states(torch.device("cpu"))
    first = random.gauss(0, 1), np.random.randn(), random.random()  # noqa: NPY002
    set_global_states(states, torch.device("cpu"))
    assert (random.gauss(0, 1), np.random.randn(), random.random()) == first  # noqa: NPY002


def test_seeding_a_global_generator_is_told_and_drawing_is_not():
    told = []
    with seeded_global_state(7, told.append):
        random.random(), np.random.rand(), torch.rand(())  # noqa: NPY002
        with seeded_global_state(8), seeded_global_state(9, told.append):  # the suite's own, inside what it watches
            pass
        assert not told
        np.random.seed(0)  # noqa: NPY002
        torch.manual_seed(0)
    assert [text.split()[1] for text in told] == ["numpy's", "torch's"]
    np.random.seed(np.random.randint(2**31))  # noqa: NPY002
    assert len(told) == 2


def test_threads_and_files_left_behind_are_named_and_a_thread_spoils_the_process(tmp_path):
    before = Leftovers()
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait, name="goes on")
    file = (tmp_path / "kept.txt").open("w")
    assert before.since() == [] if not sys.platform.startswith("linux") else ["left 1 file open (kept.txt)"]
    assert not before.spoil()
    thread.start()
    assert before.since()[0] == "left 1 thread running (goes on)"
    assert before.spoil()
    stop.set(), thread.join(), file.close()
    assert before.since() == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_that_is_kept_spoils_the_process_and_memory_that_is_freed_does_not(monkeypatch):
    monkeypatch.setattr(isolation, "MEMORY_ALLOWED", 100e6 / (os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")))
    before = Leftovers()
    kept = [np.ones(1_000) for _ in range(30_000)]  # 240 MB in small blocks, which the C library does not give back
    assert before.spoil()
    del kept
    assert not before.spoil()


def test_gpu_memory_is_recorded_for_the_device_of_the_run_alone(monkeypatch):
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", {"cuda:1": 3 << 20}.__getitem__)
    assert provenance.peak_memory("cuda:1")["peak_gpu_memory_mb"] == 3.0
    assert set(provenance.peak_memory("cpu")) == {"peak_memory_mb"}


def test_what_is_printed_from_anywhere_goes_to_the_file_in_order(tmp_path, capfd):
    path = tmp_path / "run" / "output.txt"
    with captured(path) as printed:
        sys.stdout.write("from Python\n")
        ctypes.CDLL(None).puts(b"from C")
        ctypes.CDLL(None).fflush(None)
        subprocess.run(["sh", "-c", "echo from a process; echo and its errors >&2"], check=True)
        sys.stderr.write("\udcff is no Unicode\n")
    sys.stdout.write("outside\n")
    lines = ["from Python", "from C", "from a process", "and its errors", "\\udcff is no Unicode"]
    assert path.read_text().splitlines() == lines
    assert printed.note() == f"printed {path.stat().st_size} bytes; kept in artifacts/run/output.txt"
    assert capfd.readouterr().out == "outside\n"


def test_what_an_earlier_process_of_a_run_printed_stays_where_the_run_goes_on(tmp_path):
    path = tmp_path / "run" / "output.txt"
    path.parent.mkdir()
    path.write_text("from the process that was killed\n")
    with captured(path, goes_on=True) as printed:
        sys.stdout.write("and from the next\n")
    assert path.read_text() == "from the process that was killed\nand from the next\n"
    assert (printed.n_before, printed.n_bytes) == (33, 51)
    with captured(path) as printed:
        pass
    assert (path.exists(), printed.note()) == (False, "")


def test_nothing_printed_leaves_no_file_and_no_note(tmp_path):
    with captured(tmp_path / "output.txt") as printed:
        pass
    assert (list(tmp_path.iterdir()), printed.note()) == ([], "")


def test_of_much_output_both_ends_are_kept(tmp_path):
    path = tmp_path / "output.txt"
    with captured(path) as printed:
        sys.stdout.write("first\n")
        for _ in range(50):
            sys.stdout.write("x" * 100_000)
        sys.stdout.write("\nlast\n")
    text = path.read_text()
    assert KEPT_BYTES <= len(text) <= KEPT_BYTES + 100
    assert text.startswith("first\nxxx")
    assert text.endswith("xxx\nlast\n")
    assert "\n… 3 MB left out …\n" in text
    assert printed.note().startswith("printed 5 MB; its beginning and end are kept in")


def test_the_file_of_a_run_under_way_is_bounded_and_all_of_it_still_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(output, "DISK_BYTES", 2 << 20)
    path = tmp_path / "output.txt"
    with captured(path) as printed:
        for _ in range(30):
            os.write(1, b"x" * 1_000_000)
            bound(path)
            assert path.stat().st_blocks * 512 < 5_000_000
        os.write(1, b"last")
    assert printed.n_bytes == 30_000_004
    assert path.read_bytes().endswith(b"last")
    assert path.stat().st_size < KEPT_BYTES + 100


def hangs():
    while True:
        try:
            threading.Event().wait(10)
        except Exception:  # which a time limit must not be caught by
            continue


def test_a_time_limit_ends_python_code_and_leaves_no_clock_running():
    with pytest.raises(TimedOut), time_limit(0.05):
        hangs()
    with time_limit(0.05):
        pass
    threading.Event().wait(0.1)
