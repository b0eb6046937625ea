"""Cars3D: the archive's layout, the order of list.txt, the reduction, and archives that are not what they should be."""

from __future__ import annotations

import io
import tarfile
import zlib

import numpy as np
import pytest
from opened_dataset import opened
from scipy.io import savemat

from bench.datasets import cars3d as module
from bench.datasets.cars3d import FILES, Cars3DConfig, find_source, read_archive
from bench.datasets.lanczos import lanczos_weights
from bench.datasets.mat5 import read_uint8

CARS = ("car_007_mesh", "car_002_mesh")  # not in alphabetical order
RNG = np.random.default_rng(0)


def mat(im, **more):
    """A .mat file as MATLAB 7 writes it: compressed, with the masks beside the images."""
    buffer = io.BytesIO()
    savemat(buffer, {"im": im, "mask": np.zeros((128, 128, 24, 4), np.uint8), **more}, do_compression=True)
    return buffer.getvalue()


def flat_car(number):
    """Every frame of one colour: its azimuth, its elevation, the car."""
    im = np.empty((128, 128, 3, 24, 4), np.uint8)
    im[:, :, 0] = 10 * np.arange(24)[:, None]
    im[:, :, 1] = 60 * np.arange(4)
    im[:, :, 2] = number
    return im


@pytest.fixture(scope="module")
def contents():
    """Members of a small archive; car 0 of list.txt is the second in it."""
    random = flat_car(1)
    random[..., 5, 2] = RNG.integers(256, size=(128, 128, 3), dtype=np.uint8)
    return {
        "data/shapes48.mat": b"something else",
        "data/cars/car_002_mesh.mat": mat(random),
        "data/cars/list.txt": "\n".join(CARS).encode() + b"\n",
        "data/cars/car_007_mesh.mat": mat(flat_car(0)),
        "data/cars/extra/car_002_mesh.mat": b"a namesake elsewhere",
    }


@pytest.fixture(autouse=True)
def two_cars(monkeypatch):
    monkeypatch.setattr(module, "N_CARS", len(CARS))


def write(root, contents):
    folder = root / "cars3d"
    folder.mkdir()
    with tarfile.open(folder / FILES[0].name, "w:gz", compresslevel=1) as archive:
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return folder / FILES[0].name


def test_frames_stand_where_elevation_azimuth_and_car_of_the_list_say(tmp_path, contents):
    write(tmp_path, contents)
    data = opened("cars3d", tmp_path)
    cells = np.array([[0, 0, 0], [3, 0, 1], [1, 23, 0], [2, 6, 1]])
    frames = data.render(cells, RNG)
    assert frames.shape == (4, 3, 64, 64)
    expected = np.stack([10 * cells[:, 1], 60 * cells[:, 0], cells[:, 2]], axis=1)
    np.testing.assert_array_equal(frames[:, :, 0, 0], expected)
    assert (frames == frames[:, :, :1, :1]).all()  # a flat frame stays flat under the filter


def test_reduction_is_lanczos_to_the_last_bit(tmp_path, contents):
    frames = read_archive(write(tmp_path, contents)).reshape(4, 24, 2, 3, 64, 64)
    raw = np.random.default_rng(0).integers(256, size=(128, 128, 3), dtype=np.uint8).astype(np.int64)
    weights = lanczos_weights(64, 2).astype(np.int64)  # columns first, each pass rounded, as Pillow does
    half, bits = 1 << 21, 22
    narrow = np.clip((np.einsum("jw,hwc->hjc", weights, raw) + half) >> bits, 0, 255)
    expected = np.clip((np.einsum("ih,hjc->ijc", weights, narrow) + half) >> bits, 0, 255)
    np.testing.assert_array_equal(frames[2, 5, 1].transpose(1, 2, 0), expected)


@pytest.mark.parametrize("is_packed", [True, False], ids=["packed", "plain"])
def test_mat_files_of_scipy_are_read_whatever_else_is_in_them(is_packed):
    im = RNG.integers(256, size=(3, 4, 5), dtype=np.uint8)
    buffer = io.BytesIO()
    savemat(buffer, {"a": "text", "mask": np.eye(3), "im": im, "z": {"b": 1}}, do_compression=is_packed)
    np.testing.assert_array_equal(read_uint8(buffer.getvalue(), "im", (3, 4, 5), 1 << 20), im)
    with pytest.raises(ValueError, match="has no array 'pixels', only a, im, mask, z"):
        read_uint8(buffer.getvalue(), "pixels", (3, 4, 5), 1 << 20)


def test_lap_holds_the_car_and_uni_does_not(tmp_path, contents):
    write(tmp_path, contents)
    drawn = opened("cars3d", tmp_path).labelled(300, np.random.default_rng(0), view="pairs")
    moved = (drawn.factors[:, 0] != drawn.factors[:, 1]).mean(axis=0)
    assert moved[2] == 0
    assert (moved[:2] > 0.3).all()
    np.testing.assert_array_equal(drawn.x[..., 2, 30, 30] > 0, drawn.factors[..., 2] > 0)
    uni = opened("cars3d", tmp_path, transitions="uni", k=3).labelled(50, np.random.default_rng(0), view="pairs")
    assert (uni.factors[:, 0] != uni.factors[:, 1]).all()


def test_one_conversion_serves_all_transition_laws(tmp_path, contents, monkeypatch):
    write(tmp_path, contents)
    opened("cars3d", tmp_path)
    monkeypatch.setattr(module, "read_archive", lambda path: pytest.fail("converted again"))
    opened("cars3d", tmp_path, transitions="locatello")
    opened("cars3d", tmp_path, rate=3.0)


def test_without_the_archive_there_is_no_data_set_and_the_message_says_so(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"cars3d: nips2015-analogy-data.tar.gz is not in DATA_ROOT/cars3d. Run"
    ):
        find_source(Cars3DConfig(), tmp_path)
    with pytest.raises(ValueError, match="source must be one of auto, official, got 'generated'"):
        Cars3DConfig(source="generated")


def bomb():
    """A small car whose compressed part unpacks to 16 MB."""
    packed = zlib.compress(bytes(16 << 20))
    return mat(np.zeros((1, 1), np.uint8))[:128] + np.array([15, len(packed)], "<u4").tobytes() + packed


CAR = "data/cars/car_007_mesh.mat"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"data/cars/list.txt": None}, "has no data/cars/list.txt", id="no list"),
        pytest.param(
            {"data/cars/list.txt": b"car_007_mesh"}, "names 1 different cars in 1 lines, wanted 2", id="short"
        ),
        pytest.param({"data/cars/list.txt": b"a\na"}, "names 1 different cars in 2 lines, wanted 2", id="twice"),
        pytest.param({CAR: None}, "1 cars of list.txt are missing, the first is car_007_mesh.mat", id="no car"),
        pytest.param({CAR: b""}, "car_007_mesh.mat: cannot be read .not a MATLAB 5 file", id="empty"),
        pytest.param({CAR: b"MATLAB 7.3 MAT-file" + bytes(600)}, "cannot be read .a MATLAB 7.3 file", id="HDF5"),
        pytest.param({CAR: lambda car: car[: len(car) // 2]}, "cannot be read .*cut short", id="truncated"),
        pytest.param({CAR: lambda car: car[:150] + bytes(30) + car[180:]}, "cannot be read", id="damaged"),
        pytest.param({CAR: lambda car: bomb()}, "unpacks to more than 12,582,912", id="bomb"),
        pytest.param({CAR: lambda car: car + bytes(12 << 20)}, "is larger than 12,582,912 bytes", id="large"),
        pytest.param(
            {CAR: mat(np.zeros((64, 64, 3, 24, 4), np.uint8))}, r"wanted 'im' of shape .*\(64, 64.* uint8", id="size"
        ),
        pytest.param({CAR: mat(np.zeros((2, 2)))}, "found .*double", id="dtype"),
    ],
)
def test_archives_that_are_not_what_they_should_be_are_refused(tmp_path, contents, monkeypatch, changes, message):
    monkeypatch.setattr(module, "_MAX_MAT", 12 << 20)
    changed = {**contents, **{k: v(contents[k]) if callable(v) else v for k, v in changes.items()}}
    path = write(tmp_path, {name: content for name, content in changed.items() if content is not None})
    with pytest.raises(ValueError, match=message) as error:
        read_archive(path)
    assert str(error.value).startswith("cars3d/nips2015-analogy-data.tar.gz")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("keep", [0, 40, 0.5, 0.99])
def test_an_archive_cut_short_is_refused(tmp_path, contents, keep):
    path = write(tmp_path, contents)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole)) if keep < 1 else keep])
    with pytest.raises(
        ValueError, match=r"cars3d/nips2015-analogy-data.tar.gz.*(damaged|cut short|is missing|missing)"
    ):
        read_archive(path)


def test_names_that_climb_are_never_written_anywhere(tmp_path, contents):
    path = write(tmp_path, {**contents, "../outside": b"x", "/tmp/outside_cars3d": b"x", "data/cars/../../up": b"x"})
    read_archive(path)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["cars3d", FILES[0].name]
