"""MNIST and Fashion-MNIST: files in idx format, known by their content; scikit-learn's digits where they are absent."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from opened_dataset import opened

from bench.datasets import fashion_mnist, mnist
from bench.datasets.class_images import framed
from bench.datasets.idx import read_files, read_idx
from bench.datasets.mnist import bundled_digits

RNG = np.random.default_rng(0)
IMAGES, LABELS = RNG.integers(256, size=(12, 28, 28), dtype=np.uint8), np.arange(12, dtype=np.uint8) % 10
N_TRAIN = 8
DATA = Path(os.environ.get("BENCH_DATA", "/nonexistent"))


def idx(array):
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


CONTENTS = [idx(IMAGES[:N_TRAIN]), idx(LABELS[:N_TRAIN]), idx(IMAGES[N_TRAIN:]), idx(LABELS[N_TRAIN:])]


def write_files(root, name="mnist", contents=CONTENTS, level=9, is_packed=True):
    """Four small files in the official layout."""
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in zip(mnist.FILES, contents, strict=True):
        path = folder / (file.name if is_packed else file.name.removesuffix(".gz"))
        path.write_bytes(gzip.compress(content, level) if is_packed else content)
    return folder


@pytest.fixture
def published(monkeypatch):
    """The records of the small files in place of the real ones."""
    digests = [hashlib.sha256(content).hexdigest() for content in CONTENTS]
    files = [dataclasses.replace(f, content_sha256=d) for f, d in zip(mnist.FILES, digests, strict=True)]
    monkeypatch.setattr(mnist, "FILES", tuple(files))


def found(root, module=mnist, **parameters):
    config = {mnist: "MNISTConfig", fashion_mnist: "FashionMNISTConfig"}[module]
    return module.find_source(getattr(module, config)(**parameters), root)


@pytest.mark.parametrize("wrapper", [{"level": 1}, {"level": 9}, {"is_packed": False}], ids=["fast", "best", "plain"])
def test_official_is_what_the_content_says_however_it_is_packed(tmp_path, published, wrapper):
    write_files(tmp_path, **wrapper)
    source = found(tmp_path, source="official")
    digests = "".join(hashlib.sha256(content).hexdigest() for content in CONTENTS)
    assert (source.kind, source.fingerprint) == ("official", hashlib.sha256(digests.encode()).hexdigest())


def test_images_come_with_their_digits_and_splits(tmp_path, published):
    write_files(tmp_path)
    data = opened("mnist", tmp_path)
    assert data.title == "MNIST, official images"
    assert data.splits == ("train", "test")
    for split, rows in (("train", slice(0, N_TRAIN)), ("test", slice(N_TRAIN, None))):
        drawn = data.labelled(100, np.random.default_rng(0), split=split)
        pairs = {(x.tobytes(), label) for x, label in zip(drawn.x[:, 0, 0], drawn.factors[:, 0, 0], strict=True)}
        expected = np.pad(IMAGES[rows], ((0, 0), (2, 2), (2, 2)))
        assert pairs == {(x.tobytes(), label) for x, label in zip(expected, LABELS[rows], strict=True)}


def test_other_content_is_the_users_own(tmp_path):
    write_files(tmp_path)
    source = found(tmp_path)
    assert (source.kind, source.note) == ("user", "own files of 8 training and 4 test items")
    assert opened("mnist", tmp_path).title == "MNIST, own files of 8 training and 4 test items"
    with pytest.raises(ValueError, match=r"other content than the published file.*mnist\[source=user\]"):
        found(tmp_path, source="official")


def test_a_fashion_file_is_official_by_its_own_checksum(tmp_path, monkeypatch):
    folder = write_files(tmp_path, "fashion_mnist")
    assert found(tmp_path, fashion_mnist).kind == "user"
    files = [
        dataclasses.replace(file, sha256=hashlib.sha256((folder / file.name).read_bytes()).hexdigest())
        for file in fashion_mnist.FILES
    ]
    monkeypatch.setattr(fashion_mnist, "FILES", tuple(files))
    assert found(tmp_path, fashion_mnist).kind == "official"


def test_without_files_mnist_is_scikit_learns_digits_and_says_so(tmp_path):
    source = found(tmp_path)
    assert source.kind == "bundled"
    assert "not MNIST" in source.note
    data = opened("mnist", tmp_path, size=28)
    assert data.title == "Digits of scikit-learn (not MNIST), bundled"
    assert [len(data._rows[split]) for split in ("train", "test")] == [1500, 297]
    assert np.bincount(data.factors[:, 0]).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_bundled_digits_fill_the_box_that_mnists_do():
    digits = bundled_digits()
    frame = digits.images.any(axis=0)
    assert not frame[:4].any()
    assert not frame[24:].any()
    assert frame[4:24, 4:24].any(axis=0).sum() >= 18
    # the enlarged digit keeps its mean grey up to what bicubic overshoot is cut off
    from sklearn.datasets import load_digits

    raw = load_digits().images.mean() * 255 / 16 * 400 / 784
    assert digits.images.mean() == pytest.approx(raw, rel=0.03)


def test_files_that_are_missing_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"fashion_mnist: train-images-idx3-ubyte.gz is not in DATA_ROOT"):
        found(tmp_path, fashion_mnist)
    with pytest.raises(FileNotFoundError, match=r"mnist: train-images-idx3-ubyte.gz is not in DATA_ROOT/mnist. Run"):
        found(tmp_path, source="official")
    folder = write_files(tmp_path)
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"mnist: t10k-labels-idx1-ubyte.gz is not in DATA_ROOT/mnist"):
        found(tmp_path)  # three of four: not silently the bundled digits
    assert found(tmp_path, source="bundled").kind == "bundled"


IMAGE_HEADER = bytes((0, 0, 8, 3))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "ends 4 bytes before its first four bytes", id="empty"),
        pytest.param(b"<!DOCTYPE html>", "begins with 3c 21 44 4f, wanted 00 00 08 03", id="a page"),
        pytest.param(idx(LABELS), "begins with 00 00 08 01", id="labels in place of images"),
        pytest.param(bytes((0, 0, 0x0D, 3)) + bytes(12), "begins with 00 00 0d 03", id="floats"),
        pytest.param(IMAGE_HEADER + struct.pack("<III", 2, 28, 28), "claims .* too many", id="little-endian"),
        pytest.param(
            IMAGE_HEADER + struct.pack(">III", *3 * [2**32 - 1]), "claims .* too many", id="claims everything"
        ),
        pytest.param(IMAGE_HEADER + struct.pack(">II", 2, 28), "before its sizes do", id="header cut"),
        pytest.param(idx(IMAGES)[:-1], "ends 1 bytes before its 12 × 28 × 28 values do", id="a byte short"),
        pytest.param(idx(IMAGES) + b"\0", "goes on after the last value", id="a byte too many"),
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "packed"])
def test_files_that_are_not_what_they_claim_are_refused(tmp_path, content, message, pack):
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(pack(content))
    with pytest.raises(ValueError, match=message) as error:
        read_idx(path, 3)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("cut", [1, 12, 200])
def test_a_packed_file_cut_short_is_refused(tmp_path, cut):
    folder = write_files(tmp_path)
    path = folder / mnist.FILES[0].name
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(ValueError, match=r"mnist/train-images-idx3-ubyte.gz: is damaged or cut short"):
        found(tmp_path)


def test_a_packed_bomb_is_refused_without_unpacking_it(tmp_path, monkeypatch):
    monkeypatch.setattr("bench.datasets.idx._MAX_BYTES", 1 << 20)
    bomb = IMAGE_HEADER + struct.pack(">III", 1, 28, 28) + bytes(8 << 20)
    write_files(tmp_path, contents=[bomb, *CONTENTS[1:]])
    with pytest.raises(ValueError, match="unpacks to more than 1,048,576 bytes"):
        found(tmp_path)


@pytest.mark.parametrize(
    ("place", "content", "message"),
    [
        (1, idx(LABELS[:5]), "has 8 images, but train-labels-idx1-ubyte.gz has 5 labels"),
        (1, idx(LABELS[:N_TRAIN] + 3), "labels are 0 … 9, found 10"),
        (0, idx(IMAGES[:N_TRAIN, :8, :8]), "wanted images of 28 × 28, found 8 × 8 × 8"),
        (2, idx(IMAGES[:0]), "wanted images of 28 × 28, found 0 × 28 × 28"),
    ],
)
def test_files_that_contradict_each_other_are_refused(tmp_path, place, content, message):
    contents = list(CONTENTS)
    contents[place] = content
    folder = write_files(tmp_path, contents=contents)
    with pytest.raises(ValueError, match=message):
        read_files(folder, mnist.FILES)


def test_frames_keep_every_pixel_at_28_and_32_and_the_mean_at_64():
    assert framed(IMAGES, 28).shape == (12, 1, 28, 28)
    np.testing.assert_array_equal(framed(IMAGES, 28)[:, 0], IMAGES)
    padded = framed(IMAGES, 32)[:, 0]
    np.testing.assert_array_equal(padded[:, 2:-2, 2:-2], IMAGES)
    assert padded.sum(dtype=int) == IMAGES.sum(dtype=int)
    doubled = framed(IMAGES, 64)[:, 0].astype(float)
    # triangle filter at twice the side: weights 3/4 and 1/4 of the two nearest pixels, each way
    middle = padded[:, 10:12, 10:12].astype(float)
    expected = np.einsum("ai,bj,nij->nab", [[0.75, 0.25], [0.25, 0.75]], [[0.75, 0.25], [0.25, 0.75]], middle)
    np.testing.assert_allclose(doubled[:, 21:23, 21:23], expected, atol=1)


@pytest.mark.parametrize("config", [mnist.MNISTConfig, fashion_mnist.FashionMNISTConfig])
def test_arguments_that_do_not_apply_are_errors(config):
    with pytest.raises(ValueError, match=r"mnist: size must be one of 28, 32, 64, got 30"):
        config(size=30)
    with pytest.raises(ValueError, match="mnist: source must be one of auto, official"):
        config(source="generated")


@pytest.mark.data
@pytest.mark.skipif(not (DATA / "mnist").is_dir(), reason="needs the MNIST files")
def test_the_real_mnist_is_known_by_its_content_and_has_the_published_statistics(tmp_path):
    assert found(DATA, source="official").kind == "official"
    files = read_files(DATA / "mnist", mnist.FILES)
    train = files.labels[: files.n_train]
    assert np.bincount(train).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert train[:5].tolist() == [5, 0, 4, 1, 9]
    assert files.labels[files.n_train :][:5].tolist() == [7, 2, 1, 0, 4]
    pixels = files.images[: files.n_train] / 255
    assert pixels.mean() == pytest.approx(0.1307, abs=5e-5)
    assert pixels.std() == pytest.approx(0.3081, abs=5e-5)


@pytest.mark.data
@pytest.mark.skipif(not (DATA / "fashion_mnist").is_dir(), reason="needs the Fashion-MNIST files")
def test_half_of_fashion_mnist_is_not_taken_for_the_whole():
    source = found(DATA, fashion_mnist)
    assert (source.kind, source.note) == ("user", "own files of 30,000 training and 10,000 test items")
    with pytest.raises(ValueError, match="other content than the published file"):
        found(DATA, fashion_mnist, source="official")
    files = read_files(DATA / "fashion_mnist", fashion_mnist.FILES)
    np.testing.assert_array_equal(files.labels, np.arange(40_000) % 10)
    pixels = files.images[: files.n_train] / 255
    assert pixels.mean() == pytest.approx(0.28612, abs=5e-6)
    assert pixels.std() == pytest.approx(0.35314, abs=5e-6)
