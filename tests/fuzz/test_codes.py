"""Codes files of every form, read and checked as ``bench score`` does."""

from __future__ import annotations

import array_files
import hdf5_files
import pytest
from guard import Broken, check_line, effort, is_plain_numbers, outcome
from hypothesis import given
from hypothesis import strategies as st
from mutations import TEXTS, made, some_text

from bench.files import codes_file, labelled
from bench.registry import UsageError


def read(reader, path):
    """Read and check the file, and look at all that came out."""
    found = outcome(reader, lambda: codes_file.read(path), UsageError, folder=path.parent)
    if isinstance(found, str):
        return
    if not all(is_plain_numbers(array) for array in found.arrays.values()):
        raise Broken(f"{reader}: {[array.dtype for array in found.arrays.values()]}")
    for text in (*found.notes, *(found.factor_names or ())):
        check_line(text or "-")
    assert found.n_train is None or type(found.n_train) is int
    outcome(f"{reader}, checked", lambda: labelled.load(path), UsageError, folder=path.parent)


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    good = (array_files.GOOD_NPY, array_files.GOOD_NPZ, array_files.GOOD_CSV, hdf5_files.GOOD_HDF5)
    for contents in good:  # imports what is imported late
        (tmp_path / "good").write_bytes(contents[0])
        codes_file.read(tmp_path / "good")
    return tmp_path / "given.dat"


@effort(200)
@given(content=made(array_files.npy))
def test_npy(path, content):
    path.write_bytes(content)
    read("codes: npy", path)


@effort(200)
@given(content=made(array_files.npz))
def test_npz(path, content):
    path.write_bytes(content)
    read("codes: npz", path)


@effort(200)
@given(content=made(array_files.csv))
def test_csv(path, content):
    path.write_bytes(content)
    read("codes: csv", path)


@effort(200)
@given(content=made(hdf5_files.hdf5))
def test_hdf5(path, content):
    path.write_bytes(content)
    read("codes: HDF5", path)


def text(rng):
    return rng.choice((some_text(rng, 60), rng.choice(TEXTS))).encode("utf-8", "surrogatepass")


@effort(100)
@given(content=st.one_of(st.binary(max_size=300), made(text)))
def test_anything_else(path, content):
    path.write_bytes(content)
    read("codes: any bytes", path)
