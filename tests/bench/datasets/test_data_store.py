"""The cache of prepared arrays: what it keeps is what was built, whole or not at all."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from bench.datasets.base import DataStore

ROWS = np.arange(60, dtype=np.uint8).reshape(10, 2, 3)


def store(folder, key="a"):
    return DataStore(folder, folder / "cache", key)


@pytest.mark.parametrize("chunk", [1, 4, 10, 100])
def test_rows_built_in_pieces_are_the_array_built_at_once(tmp_path, chunk):
    asked = []

    def build(rows):
        asked.append(rows)
        return ROWS[rows]

    kept = store(tmp_path).cached_rows("rows", 10, build, chunk=chunk)
    np.testing.assert_array_equal(kept, ROWS)
    assert kept.dtype == np.uint8
    assert max(rows.stop - rows.start for rows in asked) <= chunk
    np.testing.assert_array_equal(store(tmp_path).cached("rows", lambda: pytest.fail("built again")), ROWS)


def test_another_key_is_another_array(tmp_path):
    store(tmp_path, "a").cached("x", lambda: ROWS)
    np.testing.assert_array_equal(store(tmp_path, "b").cached("x", lambda: ROWS + 1), ROWS + 1)


def test_a_build_that_fails_leaves_nothing(tmp_path):
    def build(rows):
        if rows.start > 0:
            raise KeyboardInterrupt
        return ROWS[rows]

    with pytest.raises(KeyboardInterrupt):
        store(tmp_path).cached_rows("rows", 10, build, chunk=4)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_cache_file_cut_short_is_built_again(tmp_path):
    store(tmp_path).cached("x", lambda: ROWS)
    (path,) = (tmp_path / "cache").iterdir()
    path.write_bytes(path.read_bytes()[:-7])
    np.testing.assert_array_equal(store(tmp_path).cached("x", lambda: ROWS), ROWS)


KEY = '["mpi3d",1,{"k":-1,"rate":1.0,"variant":"%s"},"official","abc"]'


def test_arrays_that_do_not_depend_on_a_parameter_are_kept_once(tmp_path):
    store(tmp_path, KEY % "real").without("k", "rate").cached("x", lambda: ROWS)
    other = store(tmp_path, (KEY % "real").replace("1.0", "5.0")).without("rate", "k")
    np.testing.assert_array_equal(other.cached("x", lambda: pytest.fail("built again")), ROWS)
    variant = store(tmp_path, KEY % "toy").without("k", "rate")
    np.testing.assert_array_equal(variant.cached("x", lambda: ROWS + 1), ROWS + 1)


def test_rows_that_do_not_fit_on_the_disk_are_refused_before_they_are_written(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=59))
    with pytest.raises(OSError, match=r"0.0 GB of prepared frames do not fit, .*BENCH_CACHE"):
        store(tmp_path).cached_rows("rows", 10, lambda rows: ROWS[rows], chunk=4)
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"PK\x03\x04" + bytes(60), id="a zip file"),
        pytest.param(b"\x80\x04" + bytes(60), id="a pickle"),
        pytest.param(ROWS.tobytes(), id="values alone"),
        pytest.param(b"more", id="a longer file"),
        pytest.param(np.zeros((9, 2, 3), np.uint8), id="another number of rows"),
    ],
)
def test_what_is_not_the_prepared_array_is_made_again(tmp_path, content):
    store(tmp_path).cached_rows("x", 10, lambda rows: ROWS[rows])
    (path,) = (tmp_path / "cache").iterdir()
    if isinstance(content, bytes):
        path.write_bytes(path.read_bytes() + content if content == b"more" else content)
    else:
        np.save(path, content)
    np.testing.assert_array_equal(store(tmp_path).cached_rows("x", 10, lambda rows: ROWS[rows]), ROWS)
