"""What data sets are kept in: prepared arrays, digests, users' own sets, pickles, sprites, archives."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import tarfile
import zipfile

import array_files
import h5py
import hdf5_files
import numpy as np
import pytest
from array_files import NPY_TOKENS, Trap, saved
from guard import effort, outcome
from hypothesis import given
from mutations import damage, damage_json, damaged, damaged_json, made

from bench.adding import add_dataset
from bench.datasets import added, official
from bench.datasets.array_pickle import load_arrays
from bench.datasets.base import DataStore
from bench.datasets.dsprites_archive import official_bits
from bench.datasets.kitti_masks import read_tracks
from bench.datasets.shapes3d import official_frames
from bench.files import archives as unpacking
from bench.files import array_file
from bench.registry import UsageError
from bench.running.kept_codes import kept_codes

ROWS = np.arange(24, dtype=np.uint8).reshape(6, 4)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


# What the suite itself keeps -----------------------------------------------------------------------------------------


def prepared(rng):
    good = saved(np.save, ROWS)
    damaged_ = damage(rng, [good], NPY_TOKENS, head=140)
    return rng.choice((damaged_, damaged_, array_files.npy(rng), array_files.GOOD_NPZ[0]))


@effort(100)
@given(content=made(prepared))
def test_a_prepared_array_is_used_whole_or_made_again(folder, content):
    store = DataStore(folder, folder / "cache", "key")
    store.cached_rows("rows", 6, lambda rows: ROWS[rows])
    (path,) = (folder / "cache").iterdir()
    path.write_bytes(content)
    kept = outcome(
        "cache", lambda: store.cached_rows("rows", 6, lambda rows: ROWS[rows]), (), folder=folder, writes=True
    )
    assert kept.shape[0] == 6
    assert kept.dtype.kind in "fiubUS"
    assert kept.tobytes() is not None
    assert [one.name for one in (folder / "cache").iterdir()] == [path.name]


@effort(100)
@given(content=damaged_json([{"data.bin": [3, 5, "ab" * 32], "other": [1, 2, "cd" * 32]}]))
def test_a_note_of_digests_is_believed_where_it_can_be(folder, content):
    path = folder / "data.bin"
    path.write_bytes(b"abc")
    (folder / official.MANIFEST).write_bytes(content)
    digest = outcome("manifest", lambda: official.remembered_sha256(path), (), folder=folder, writes=True)
    assert digest == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sorted(one.name for one in folder.iterdir()) == [official.MANIFEST, "data.bin"]


# A user's own set -----------------------------------------------------------------------------------------------------


@effort(100)
@given(content=made(array_files.npz, array_files.npy, hdf5_files.hdf5))
def test_a_users_arrays(folder, content):
    path = folder / "given.dat"
    path.write_bytes(content)

    def read():
        for array in array_file.open_file(path).values():
            if not array.problem and array.dtype.kind in "fiubU":
                array.read(1 << 20)

    outcome("added: arrays", read, UsageError, folder=folder)


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """An added data set: its folder, and the content of its files."""
    root = tmp_path_factory.mktemp("data")
    images = np.arange(6 * 4 * 4, dtype=np.uint8).reshape(6, 4, 4)
    add_dataset("own", images, np.arange(6) % 3, root=root)
    place = added.folders(root)["own"]
    return place, {path.name: path.read_bytes() for path in place.iterdir()}


@effort(100)
@given(rng=made(lambda rng: rng))
def test_an_added_set(own, rng):
    place, good = own
    name = rng.choice(sorted(good))
    is_card = name.endswith("json")
    content = damage_json(rng, [json.loads(good[name])]) if is_card else damage(rng, [good[name]], NPY_TOKENS, head=140)
    (place / name).write_bytes(content)
    try:
        card = outcome("added: card", lambda: added.read_card(place), ValueError, folder=place)
        if not isinstance(card, str):
            outcome("added: set", lambda: added.arrays(card), ValueError, folder=place)
    finally:
        (place / name).write_bytes(good[name])


@effort(100)
@given(content=made(hdf5_files.hdf5))
def test_codes_that_a_run_kept(folder, content):
    path = folder / "codes.h5"
    path.write_bytes(content)
    kept = outcome("kept codes", lambda: kept_codes(path, 5), (), folder=folder)
    assert kept is None or kept.codes.dtype.kind == "f"


# Official formats -----------------------------------------------------------------------------------------------------


MASKS = np.zeros((2, 64, 64), bool)
MASKS[:, 20:30, 20:30] = True
PICKLES = [
    pickle.dumps(
        {"pedestrians": [MASKS], "pedestrians_latents": [np.array([[24.5, 24.5, 100]] * 2, np.float32)]}, protocol
    )
    for protocol in (2, 4, 5)
]
OPCODES = [
    b"cos\nsystem\n", b"cbuiltins\neval\n", b"(S'touch executed'\ntR", b"R", b"b", b"i", b"o", b"\x81", b"\x93",
    b"0" * 40, b"2" * 40,
    b"]" * 30, b"(" * 30, b"(d", b"q\xff", b"r\xff\xff\xff\x7f", b"h\x00", b"\x95\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"B\xff\xff\xff\x7f",
    b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f", b"cnumpy.core.multiarray\n_reconstruct\n", b"cnumpy\ndtype\n", b".",
    b"e", b"a", b"s", b"u",
]  # fmt: skip


def program(rng):
    """A pickle of arrays, damaged, or a few instructions in a row."""
    if rng.random() < 0.7:
        return damage(rng, [*PICKLES, pickle.dumps([Trap()])], OPCODES, head=300)
    return b"\x80\x04" + b"".join(rng.choice(OPCODES) for _ in range(rng.randint(0, 9)))


@effort(100)
@given(content=made(program))
def test_a_pickle_is_taken_apart_and_never_run(folder, content):
    path = folder / "given.pickle"
    path.write_bytes(content)
    outcome("pickles", lambda: load_arrays(path), ValueError, folder=folder)
    assert not (folder / "executed").exists()


def test_a_good_pickle_is_read(folder):
    for content in PICKLES:
        (folder / "given.pickle").write_bytes(content)
        with pytest.warns(UserWarning, match="consecutive pairs"):
            assert read_tracks(folder / "given.pickle")[1].tolist() == [[24.5, 24.5, 100]] * 2


SIZES = (1, 2, 2, 1, 1)
IMAGES = np.zeros((4, 64, 64), np.uint8)
CLASSES = np.stack(np.unravel_index(np.arange(4), (1, *SIZES)), axis=1)


def _written(**members):
    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        for name, (value, options) in members.items():
            file.create_dataset(name.replace("__", "/"), data=value, **options)
    return out.getvalue()


SPRITES = [
    saved(np.savez_compressed, imgs=IMAGES, latents_classes=CLASSES),
    _written(imgs=(IMAGES, {"chunks": (2, 32, 32), "compression": "gzip"}), latents__classes=(CLASSES, {})),
]
SHAPE_SIZES = (1, 2, 1, 2, 1, 1)
SHAPES = [
    _written(
        images=(np.zeros((4, 64, 64, 3), np.uint8), {"chunks": (2, 64, 64, 3), "compression": "gzip"}),
        labels=(np.stack(np.unravel_index(np.arange(4), SHAPE_SIZES), axis=1).astype(float), {}),
    )
]


@effort(80)
@given(rng=made(lambda rng: rng))
def test_an_archive_of_sprites(folder, rng):
    kind = rng.choice(("npz", "hdf5"))
    path = folder / f"given.{kind}"
    path.write_bytes(damage(rng, [SPRITES[kind == "hdf5"]], NPY_TOKENS, head=600))
    keep = DataStore(folder, folder / "cache", "key")
    outcome(f"dsprites: {kind}", lambda: official_bits(path, keep, SIZES), ValueError, folder=folder, writes=True)
    _empty(folder / "cache")


@effort(100)
@given(content=damaged(SHAPES, [b"TREE", b"SNOD"], head=800))
def test_a_file_of_shapes(folder, content):
    path = folder / "given.h5"
    path.write_bytes(content)
    keep = DataStore(folder, folder / "cache", "key")
    outcome("shapes3d", lambda: official_frames(path, keep, SHAPE_SIZES), ValueError, folder=folder, writes=True)
    _empty(folder / "cache")


def _empty(cache):
    for path in cache.glob("*"):
        path.unlink()


def _zip():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/b.txt", b"hello" * 20)
        archive.writestr("c.txt", b"world")
    return out.getvalue()


def _tar(mode):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for name in ("a/b.txt", "c.txt"):
            info = tarfile.TarInfo(name)
            info.size = 5
            archive.addfile(info, io.BytesIO(b"hello"))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "../../outside"
        if mode == "w":
            archive.addfile(link)
    return out.getvalue()


NAMES = [
    b"../../x",
    b"/etc/x",
    b"a\\..\\x",
    b"C:/x.tx",
    b"PK\x03\x04",
    b"PK\x01\x02",
    b"ustar",
    b"\x00" * 8,
    b"2",
    b"1",
    b"L",
    b"x",
    b"7777777",
]


@effort(100)
@given(content=damaged([_zip(), _tar("w:gz"), _tar("w"), _tar("w:xz")], NAMES, head=600))
def test_an_archive_stays_in_its_folder(folder, content):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "sync", lambda: None)
        path, target = folder / "given.zip", folder / "in" / "unpacked"
        path.write_bytes(content)
        outcome(
            "archives", lambda: unpacking.unpack(path, target, max_bytes=1 << 20), unpacking.ArchiveRefused,
            folder=folder, writes=True,
        )  # fmt: skip
        found = {str(one.relative_to(folder)) for one in folder.rglob("*")}
        assert all(name in ("given.zip", "in") or name.startswith("in/unpacked") for name in found), found
        shutil.rmtree(folder / "in", ignore_errors=True)
