"""SmallNORB: the matrix format, the join of both halves, the two filters, the two ways with instances."""

from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest
from opened_dataset import opened

from bench.datasets import smallnorb as module
from bench.datasets.norb import NorbMatrix
from bench.datasets.smallnorb import FILES, SmallNORBConfig, find_source, read_frames

SIZES = (2, 4, 2, 3, 2)
N_CELLS = 96
MAGIC = {"uint8": 0x1E3D4C55, "int32": 0x1E3D4C54}
RNG = np.random.default_rng(0)


def norb(array, magic=None):
    """The bytes of a matrix file: sizes of vectors are filled up to three with ones."""
    sizes = [*array.shape, *[1] * (3 - array.ndim)]
    head = struct.pack(f"<ii{len(sizes)}i", magic or MAGIC[array.dtype.name], array.ndim, *sizes)
    return head + array.astype(array.dtype.newbyteorder("<")).tobytes()


@pytest.fixture(autouse=True)
def small_grid(monkeypatch):
    monkeypatch.setattr(module, "SIZES", SIZES)


def halves():
    """Arrays of the six files: instances 2, 3 in the training half, 0, 1 in the other, rows in random order."""
    cells = np.stack(np.unravel_index(RNG.permutation(N_CELLS), SIZES), axis=1)
    for instances in ((2, 3), (0, 1)):
        rows = cells[np.isin(cells[:, 1], instances)]
        images = np.full((len(rows), 2, 96, 96), 255, np.uint8)  # the right camera is white
        images[:, 0] = 2 * np.ravel_multi_index(rows.T, SIZES)[:, None, None]
        info = rows[:, 1:] * [1, 1, 2, 1]  # azimuth is stored as 0, 2, 4
        yield from (images, rows[:, 0].astype(np.int32), info.astype(np.int32))


def write(root, arrays=None, is_packed=True, **changes):
    """Six small files in the official layout; ``changes`` replace the content of one by its place in FILES."""
    folder = root / "smallnorb"
    folder.mkdir(parents=True, exist_ok=True)
    contents = [norb(array) for array in (arrays or halves())]
    for place, content in changes.items():
        contents[int(place[1:])] = content
    for file, content in zip(FILES, contents, strict=True):
        name = file.name if is_packed else file.name.removesuffix(".gz")
        (folder / name).write_bytes(gzip.compress(content, 1) if is_packed else content)
    return folder


@pytest.mark.parametrize("is_packed", [True, False], ids=["packed", "plain"])
def test_left_images_of_both_halves_stand_at_their_labels(tmp_path, is_packed):
    write(tmp_path, is_packed=is_packed)
    data = opened("smallnorb", tmp_path)
    cells = np.stack(np.unravel_index(np.arange(N_CELLS), SIZES), axis=1)
    frames = data.render(cells, RNG)
    assert frames.shape == (N_CELLS, 1, 64, 64)
    assert (frames == (2 * np.arange(N_CELLS))[:, None, None, None]).all()


def reduced(image, kind):
    """96 to 64 pixels by the filter's definition: its support widens by the factor 1.5."""
    reach = {"bilinear": 1, "lanczos": 3}[kind]
    distance = (np.arange(96) + 0.5 - (np.arange(64)[:, None] + 0.5) * 1.5) / 1.5
    shape = np.sinc(distance) * np.sinc(distance / 3) if kind == "lanczos" else 1 - np.abs(distance)
    weights = np.where(np.abs(distance) < reach, shape, 0.0)
    weights /= weights.sum(axis=1, keepdims=True)
    narrow = np.clip(np.round(image @ weights.T), 0, 255)
    return np.clip(np.round(weights @ narrow), 0, 255)


@pytest.mark.parametrize("kind", ["bilinear", "lanczos"])
def test_each_filter_is_what_its_name_says(tmp_path, kind):
    arrays = list(halves())
    arrays[0][:, 0] = RNG.integers(256, size=(48, 96, 96))
    frames = read_frames(write(tmp_path, arrays), kind)
    cells = np.column_stack([arrays[1], arrays[2] // [1, 1, 2, 1]])
    for row in (0, 17, 47):
        found = frames[np.ravel_multi_index(cells[row], SIZES), 0]
        np.testing.assert_allclose(found, reduced(arrays[0][row, 0].astype(float), kind), atol=1)


def test_the_filters_differ_and_are_kept_apart(tmp_path):
    arrays = list(halves())
    arrays[0][:, 0] = RNG.integers(256, size=(48, 96, 96))
    write(tmp_path, arrays)
    cell = np.array([[0, 2, 0, 0, 0]])
    a, b = (opened("smallnorb", tmp_path, resize=kind).render(cell, RNG) for kind in ("bilinear", "lanczos"))
    assert np.abs(a.astype(int) - b).mean() > 5


def test_a_random_instance_is_no_factor_and_is_drawn_from_the_callers_generator(tmp_path):
    write(tmp_path)
    data = opened("smallnorb", tmp_path, instance="random")
    assert data.info.render_is_random
    assert data.info.factors.names == ("category", "elevation", "azimuth", "lighting")
    assert data.info.factors.sizes == (2, 2, 3, 2)
    cells = np.tile([1, 0, 2, 1], (200, 1))
    frames = data.render(cells, np.random.default_rng(0))
    seen = frames[:, 0, 0, 0] // 2
    assert set(seen) == {np.ravel_multi_index((1, i, 0, 2, 1), SIZES) for i in range(4)}
    np.testing.assert_array_equal(frames, data.render(cells, np.random.default_rng(0)))
    assert (frames != data.render(cells, np.random.default_rng(1))).any()


@pytest.mark.parametrize(("instance", "held"), [("factor", (0, 1)), ("random", (0,))])
def test_lap_holds_category_and_instance(tmp_path, instance, held):
    write(tmp_path)
    drawn = opened("smallnorb", tmp_path, instance=instance).labelled(300, np.random.default_rng(0), view="pairs")
    moved = (drawn.factors[:, 0] != drawn.factors[:, 1]).any(axis=0)
    assert [i for i, some in enumerate(moved) if not some] == list(held)


def test_missing_files_are_named(tmp_path):
    folder = write(tmp_path)
    (folder / FILES[4].name).unlink()
    with pytest.raises(
        FileNotFoundError, match=r"smallnorb: smallnorb-5x01235x.*-testing-cat.mat.gz is not in DATA_ROOT"
    ):
        find_source(SmallNORBConfig(), tmp_path)


GOOD = norb(np.zeros((48, 2, 96, 96), np.uint8))
LABELS = np.zeros(48, np.int32)


@pytest.mark.parametrize(
    ("place", "content", "message"),
    [
        pytest.param(0, b"", "ends 8 bytes before its header do", id="empty"),
        pytest.param(
            0, b"MATLAB 5.0 MAT-file, Platform", "is not a NORB matrix: it begins with 0x4c54414d", id="MATLAB"
        ),
        pytest.param(0, GOOD[:4][::-1] + GOOD[4:], "is not a NORB matrix", id="big-endian"),
        pytest.param(
            0, norb(np.zeros((48, 2, 96, 96), np.uint8), 0x1E3D4C52), "is not a NORB matrix", id="packed type"
        ),
        pytest.param(0, struct.pack("<ii", MAGIC["uint8"], 2**31 - 1), "claims 2147483647 axes", id="many axes"),
        pytest.param(0, struct.pack("<ii", MAGIC["uint8"], -1), "claims -1 axes", id="negative axes"),
        pytest.param(
            0, struct.pack("<ii4i", MAGIC["uint8"], 4, *[2**31 - 1] * 4), "header claims 2147483647 ×", id="terabytes"
        ),
        pytest.param(0, norb(np.zeros((48, 2, 32, 32), np.uint8)), "wanted 48 × 2 × 96 × 96 uint8", id="other size"),
        pytest.param(0, norb(np.zeros((48, 2, 96, 96), np.int32)), "header claims .* int32", id="other type"),
        pytest.param(0, GOOD[:-1], "ends 1 bytes before its 48 × 2 × 96 × 96 values do", id="a byte short"),
        pytest.param(0, GOOD + b"\0", "goes on after the last value", id="a byte too many"),
        pytest.param(1, norb(LABELS), "96 combinations once; .* are missing", id="labels of one category"),
        pytest.param(1, norb(LABELS + 2), "category is 0 … 1, found 2 … 2", id="a category too many"),
        pytest.param(1, norb(LABELS - 1), "category is 0 … 1, found -1 … -1", id="negative label"),
        pytest.param(2, norb(np.ones((48, 4), np.int32)), "azimuths are 0, 2, … 4, found an odd one", id="odd azimuth"),
        pytest.param(2, norb(np.full((48, 4), 8, np.int32)), "azimuth is 0 … 4, found 8", id="large azimuth"),
    ],
)
def test_files_that_are_not_what_they_claim_are_refused(tmp_path, place, content, message):
    folder = write(tmp_path, **{f"_{place}": content})
    with pytest.raises(ValueError, match=message) as error:
        read_frames(folder, "bilinear")
    assert str(error.value).startswith("smallnorb")
    assert "\n" not in str(error.value)


def test_a_packed_file_cut_short_is_refused(tmp_path):
    folder = write(tmp_path)
    path = folder / FILES[3].name
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"testing-dat.mat.gz: is damaged or cut short"):
        read_frames(folder, "bilinear")


def test_vectors_have_two_sizes_that_mean_nothing(tmp_path):
    values = np.arange(5, dtype=np.int32)
    (tmp_path / "cat.mat").write_bytes(norb(values))
    assert len(norb(values)) == 8 + 12 + 20
    with NorbMatrix(tmp_path / "cat.mat", "int32", (5,)) as matrix:
        np.testing.assert_array_equal(np.concatenate([matrix.read(2), matrix.read(3)]), values)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"resize": "nearest"}, "resize must be one of bilinear, lanczos, got 'nearest'"),
        ({"instance": "fixed"}, "instance must be one of factor, random, got 'fixed'"),
        ({"source": "generated"}, "source must be one of auto, official, got 'generated'"),
        ({"instance": "random", "transitions": "uni", "k": 5}, "k must be 1 … 4 with instance=random, got 5"),
    ],
)
def test_arguments_that_do_not_apply_are_errors(parameters, message):
    with pytest.raises(ValueError, match=f"smallnorb: {message}"):
        SmallNORBConfig(**parameters)
