"""Official files of the data sets, damaged or forged: idx, NORB, MATLAB and npz arrays, zip and lists of CelebA."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
import zlib

import numpy as np
import pytest
from guard import effort, outcome
from hypothesis import given
from mutations import CODE, damaged
from PIL import Image
from scipy.io import savemat

from bench.datasets import celeba, mug
from bench.datasets.idx import read_idx
from bench.datasets.mat5 import read_uint8
from bench.datasets.norb import NorbMatrix
from bench.datasets.zipped_npy import NpzMember

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(256, size=(3, 4, 5), dtype=np.uint8)


@pytest.fixture
def path(tmp_path):
    folder = tmp_path / "some_set"
    folder.mkdir()
    return folder / "given.dat"


IDX = bytes((0, 0, 8, 3)) + struct.pack(">III", *IMAGES.shape) + IMAGES.tobytes()


@effort(150)
@given(content=damaged([IDX, gzip.compress(IDX), gzip.compress(IDX + bytes(1 << 20))], head=20))
def test_idx(path, content):
    path.write_bytes(content)
    array = outcome("idx", lambda: read_idx(path, 3), ValueError, folder=path.parent)
    assert isinstance(array, str) or array.nbytes <= 1 << 20


NORB = struct.pack("<ii3i", 0x1E3D4C55, 3, *IMAGES.shape) + IMAGES.tobytes()


@effort(150)
@given(content=damaged([NORB, gzip.compress(NORB)], head=24))
def test_norb_matrices(path, content):
    def read():
        with NorbMatrix(path, "uint8", IMAGES.shape) as matrix:
            return np.concatenate([matrix.read(2), matrix.read(1)])

    path.write_bytes(content)
    array = outcome("NORB matrix", read, ValueError, folder=path.parent)
    assert isinstance(array, str) or array.shape == IMAGES.shape


def mat(is_packed):
    buffer = io.BytesIO()
    savemat(buffer, {"mask": np.eye(2), "im": IMAGES}, do_compression=is_packed)
    return buffer.getvalue()


BOMB = mat(True)[:128] + struct.pack("<II", 15, len(zlib.compress(bytes(4 << 20)))) + zlib.compress(bytes(4 << 20))


@effort(300)
@given(content=damaged([mat(True), mat(False), mat(False), BOMB], head=300))
def test_matlab_matrices(path, content):
    def read():
        return read_uint8(content, "im", IMAGES.shape, 1 << 16)

    array = outcome("MATLAB matrix", read, ValueError, folder=path.parent)
    assert isinstance(array, str) or array.shape == IMAGES.shape


def npz(compression):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name in ("images", "labels"):
            member = io.BytesIO()
            np.save(member, IMAGES)
            archive.writestr(f"{name}.npy", member.getvalue())
    return buffer.getvalue()


TOKENS = [b"(9, 9)", b"'|O'", b"'<f8'", b"9" * 60, b"True ", b"{'", CODE.encode()]


@effort(300)
@given(content=damaged([npz(zipfile.ZIP_STORED), npz(zipfile.ZIP_STORED), npz(zipfile.ZIP_DEFLATED)], TOKENS, head=300))
def test_npz_members(path, content):
    def read():
        with NpzMember(path, "images", 1) as member:
            return member.read(min(member.n_items, 1_000))

    path.write_bytes(content)
    outcome("npz member", read, ValueError, folder=path.parent)


def faces():
    pictures = []
    for _ in range(2):
        buffer = io.BytesIO()
        Image.fromarray(RNG.integers(256, size=(218, 178, 3), dtype=np.uint8)).save(buffer, "JPEG", quality=10)
        pictures.append(buffer.getvalue())
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for number, picture in enumerate(pictures, 1):
            file.writestr(f"img_align_celeba/{celeba.image_name(number)}", picture)
    return archive.getvalue()


@effort(150)
@given(content=damaged([faces()], head=700))
def test_archives_of_photographs(path, content):
    def read():
        with celeba._FaceArchive(path) as archive:
            return archive.frames("square", 32, slice(0, 2))

    path.write_bytes(content)
    frames = outcome("CelebA zip", read, ValueError, folder=path.parent)
    assert isinstance(frames, str) or frames.shape == (2, 3, 32, 32)


ROWS = [f"{celeba.image_name(i)} " + " ".join(RNG.choice(["1", "-1"], 40)) for i in (1, 2)]
ATTRIBUTES = "\n".join(["2", " ".join(celeba.ATTRIBUTES), *ROWS]).encode()
PARTITION = b"000001.jpg 0\n000002.jpg 2\n"


@effort(200)
@given(attributes=damaged([ATTRIBUTES], head=20), partition=damaged([PARTITION], most=1))
def test_lists_of_attributes_and_splits(path, attributes, partition):
    celeba.N_IMAGES, kept = 2, celeba.N_IMAGES
    for file, content in zip(celeba.FILES[1:], (attributes, partition), strict=True):
        (path.parent / file.name).write_bytes(content)
    try:
        labels = outcome("CelebA lists", lambda: celeba.read_labels(path.parent), ValueError, folder=path.parent)
    finally:
        celeba.N_IMAGES = kept
    assert isinstance(labels, str) or labels.shape == (2, 41)


def photograph(width, height):
    buffer = io.BytesIO()
    Image.fromarray(RNG.integers(256, size=(height, width, 3), dtype=np.uint8)).save(buffer, "JPEG", quality=10)
    return buffer.getvalue()


@effort(120)
@given(content=damaged([photograph(64, 64), photograph(40, 70)], head=200))
def test_photographs_of_faces(path, content):
    path.write_bytes(content)
    face = outcome("photograph", lambda: mug.read_face(path, "some_set/given.dat"), ValueError, folder=path.parent)
    assert isinstance(face, str) or face.shape == (64, 64, 3)
