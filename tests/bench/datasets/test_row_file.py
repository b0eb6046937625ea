"""Rows read by position: the same values as the map, and not one page of the file held by the process."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from bench.datasets.row_file import RowFile

ROWS = np.random.default_rng(0).integers(256, size=(20, 3, 4, 5), dtype=np.uint8)


def mapped(folder, array=ROWS):
    np.save(folder / "rows.npy", array)
    return np.load(folder / "rows.npy", mmap_mode="r")


@pytest.mark.parametrize("index", [[3], [[19, 0], [7, 7]], []], ids=["one", "pairs", "none"])
def test_rows_are_those_of_the_map(tmp_path, index):
    index = np.array(index, np.int64)
    np.testing.assert_array_equal(RowFile(mapped(tmp_path))[index], ROWS[index])


def test_other_dtypes_are_read_too(tmp_path):
    values = ROWS[..., 0].astype(np.float32)
    np.testing.assert_array_equal(RowFile(mapped(tmp_path, values))[np.array([1, 5])], values[[1, 5]])


@pytest.mark.parametrize("index", [np.array([20]), np.array([-1]), np.array([0.5]), np.array([True])])
def test_what_is_no_row_is_an_index_error(tmp_path, index):
    with pytest.raises(IndexError, match="RowFile: rows are"):
        RowFile(mapped(tmp_path))[index]


def test_a_file_cut_short_while_in_use_is_an_error_and_not_a_crash(tmp_path):
    rows = RowFile(mapped(tmp_path))
    os.truncate(tmp_path / "rows.npy", 1000)
    with pytest.raises(OSError, match=r"rows\.npy: was cut short while in use"):
        rows[np.array([19])]


def test_an_array_in_memory_is_refused():
    with pytest.raises(TypeError, match="needs a memory-mapped array"):
        RowFile(ROWS)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_reading_everything_holds_nothing(tmp_path):
    n = 4_000  # 49 MB of frames
    rows = np.lib.format.open_memmap(tmp_path / "big.npy", "w+", np.uint8, (n, 3, 64, 64))
    rows[:] = 1
    rows.flush()
    program = (
        "import sys, numpy as np\n"
        "from bench.datasets.row_file import RowFile\n"
        "def held():\n"
        "    return int(next(l for l in open('/proc/self/status') if l.startswith('VmRSS')).split()[1])\n"
        "rows = RowFile(np.load(sys.argv[1], mmap_mode='r'))\n"
        "before = held()\n"
        "total = sum(int(rows[np.arange(i, i + 100)].sum()) for i in range(0, len(rows), 100))\n"
        "print(total, held() - before)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "big.npy")]
    total, grown = map(int, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())
    assert total == n * 3 * 64 * 64
    assert grown < 10_000  # kB; the file's 49 MB would show
