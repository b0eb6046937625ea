"""MPI3D: the array's length decides the factor sizes, the pixels are streamed, wrong files are refused in one line."""

from __future__ import annotations

import numpy as np
import pytest
from opened_dataset import opened

from bench.datasets import mpi3d as module
from bench.datasets.base import DataStore
from bench.datasets.mpi3d import FILES, MPI3DConfig, describe, find_source

PUBLISHED, REDUCED = (3, 3, 2, 2, 2, 2, 2), (2, 2, 2, 2, 2, 2, 2)  # 288 and 128 images
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def small_grids(monkeypatch):
    releases = {"real": (PUBLISHED,), "toy": (PUBLISHED, REDUCED), "complex": (REDUCED,)}
    monkeypatch.setattr(module, "VARIANTS", releases)
    monkeypatch.setattr(module, "_CHUNK", 50)


def numbered(n):
    """n frames, channels last: red their number modulo 251, green a ramp down the rows, blue one along the columns."""
    images = np.empty((n, 64, 64, 3), np.uint8)
    images[..., 0] = (np.arange(n) % 251)[:, None, None]
    images[..., 1] = np.arange(64)[:, None]
    images[..., 2] = 100 + np.arange(64)
    return images


def write(root, variant="real", **arrays):
    folder = root / "mpi3d"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILES[variant].name
    np.savez_compressed(path, **(arrays or {"images": numbered(288)}))
    return path


@pytest.mark.parametrize("shape", [(288,), PUBLISHED], ids=["one axis", "an axis per factor"])
def test_frames_stand_at_their_cells_with_channels_first(tmp_path, shape):
    write(tmp_path, images=numbered(288).reshape(*shape, 64, 64, 3))
    data = opened("mpi3d", tmp_path)
    cells = np.array([[0, 0, 0, 0, 0, 0, 0], [2, 2, 1, 1, 1, 1, 1], [1, 0, 1, 0, 0, 1, 0]])
    frames = data.render(cells, RNG)
    np.testing.assert_array_equal(frames[:, 0, 5, 9], np.ravel_multi_index(cells.T, PUBLISHED) % 251)
    assert (frames[:, 1, 5, 9] == 5).all()
    assert (frames[:, 2, 5, 9] == 109).all()


@pytest.mark.parametrize(
    ("variant", "n", "sizes", "note"),
    [
        ("real", 288, PUBLISHED, ""),
        ("toy", 288, PUBLISHED, ""),
        ("toy", 128, REDUCED, "the challenge's release of 128 images"),
        ("complex", 128, REDUCED, ""),
    ],
)
def test_the_number_of_images_decides_the_factor_sizes(tmp_path, variant, n, sizes, note):
    write(tmp_path, variant, images=numbered(n))
    source = find_source(MPI3DConfig(variant=variant), tmp_path)
    assert (source.kind, source.note) == ("official", note)
    data = opened("mpi3d", tmp_path, variant=variant)
    assert data.info.factors.sizes == sizes
    assert ("challenge's release" in data.title) == bool(note)


def test_published_grids_have_the_published_numbers_of_images(monkeypatch):
    monkeypatch.undo()
    for variant, n in (("real", 1_036_800), ("toy", 1_036_800), ("realistic", 1_036_800), ("complex", 460_800)):
        assert np.prod(describe(MPI3DConfig(variant=variant)).factors.sizes) == n
    assert [int(np.prod(sizes)) for sizes in module.VARIANTS["realistic"]] == [1_036_800, 460_800]


def test_lap_holds_the_shape_alone(tmp_path):
    write(tmp_path)
    drawn = opened("mpi3d", tmp_path).labelled(400, np.random.default_rng(0), view="pairs")
    moved = (drawn.factors[:, 0] != drawn.factors[:, 1]).any(axis=0)
    assert moved.tolist() == [True, False, True, True, True, True, True]
    red = np.ravel_multi_index(drawn.factors.reshape(-1, 7).T, PUBLISHED) % 251
    np.testing.assert_array_equal(drawn.x.reshape(-1, 3, 64, 64)[:, 0, 0, 0], red)


def test_the_file_is_read_in_pieces_and_only_once_for_all_laws(tmp_path, monkeypatch):
    write(tmp_path)
    asked = []
    read = module.NpzMember.read
    monkeypatch.setattr(module.NpzMember, "read", lambda self, n: asked.append(n) or read(self, n))
    opened("mpi3d", tmp_path)
    opened("mpi3d", tmp_path, transitions="uni", k=2)
    opened("mpi3d", tmp_path, rate=-1.0)
    assert asked == [50, 50, 50, 50, 50, 38]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        pytest.param({"images": numbered(128)}, r"variant=real has 288 images .* this file's are \(128,", id="complex"),
        pytest.param({"images": numbered(3)}, r"has 288 images", id="a few"),
        pytest.param({"images": np.zeros((288, 3, 64, 64), np.uint8)}, r"are \(288, 3, 64, 64\)", id="channels first"),
        pytest.param({"images": np.zeros((288, 64, 64, 3), np.float32)}, r"float32", id="floats"),
        pytest.param({"imgs": np.zeros(3)}, r"has no array 'images', only imgs", id="dsprites"),
        pytest.param({"images": np.array([{}])}, r"pickled, which is not loaded", id="pickle"),
    ],
)
def test_files_without_the_variants_images_are_refused_before_anything_is_written(tmp_path, arrays, message):
    write(tmp_path, **arrays)
    with pytest.raises(ValueError, match=message) as error:
        find_source(MPI3DConfig(), tmp_path)
    assert str(error.value).startswith("mpi3d/mpi3d_real.npz: ")
    assert not (tmp_path / "cache").exists()


def test_a_file_cut_short_is_refused_and_leaves_nothing_behind(tmp_path):
    path = write(tmp_path)
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0xFF
    path.write_bytes(content)
    config = MPI3DConfig(source="official")
    key = '["mpi3d",1,{"k":-1,"rate":1.0,"source":"official","transitions":"lap","variant":"real"},"official",""]'
    with pytest.raises(ValueError, match="'images' is damaged"):
        module.mpi3d(config, DataStore(tmp_path, tmp_path / "cache", key))
    assert list((tmp_path / "cache").iterdir()) == []
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="is not a zip file, or is cut short"):
        find_source(config, tmp_path)


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        ("real", "mpi3d: mpi3d_real.npz is not in DATA_ROOT/mpi3d. Run `bench data fetch mpi3d"),
        ("complex", "mpi3d: mpi3d_complex.npz is not in DATA_ROOT/mpi3d. It must be obtained by hand"),
    ],
)
def test_a_missing_file_is_named(tmp_path, variant, message):
    with pytest.raises(FileNotFoundError, match=message):
        find_source(MPI3DConfig(variant=variant), tmp_path)


def test_an_unknown_variant_is_an_error():
    with pytest.raises(ValueError, match="mpi3d: variant must be one of real, toy, complex, got 'reel'"):
        MPI3DConfig(variant="reel")
