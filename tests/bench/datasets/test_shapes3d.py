"""3D Shapes: the look-alike against geometry, Pillow and real frames; the official file, right and wrong."""

from __future__ import annotations

import colorsys
import math
import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from opened_dataset import opened
from PIL import Image

from bench.datasets import shapes3d as module
from bench.datasets import shapes3d_renderer as renderer
from bench.datasets.base import DataStore
from bench.datasets.shapes3d import CARD, FILE, Shapes3DConfig, official_frames
from bench.datasets.shapes3d_renderer import SCALES, SHAPES, SIZES, SKY, render_shapes3d
from bench.opening import Folders, open_dataset, resolve_source

DATA = Path(os.environ.get("BENCH_DATA", "/nonexistent"))
REAL = DATA / "shapes3d_frames" / "shapes3d_frames.npz"
TINY = (2, 2, 3, 2, 2, 3)  # 144 images
RNG = np.random.default_rng(0)


def render(**factors):
    """Frames (n, 3, 64, 64) as whole numbers; a factor is one value or a list, or stays as it is here.

    Red floor, green wall, blue object: a sphere seen straight on.
    """
    standard = {"floor_hue": 0, "wall_hue": 3, "object_hue": 6, "scale": 4, "shape": 2, "orientation": 7}
    cells = np.stack(np.broadcast_arrays(*{**standard, **factors}.values(), [0])[:-1], axis=1)
    return render_shapes3d(cells).astype(int)


def changed(name, a, b, **factors):
    """Pixels (64, 64) that differ between two values of a factor."""
    first, second = render(**{name: [a, b]}, **factors)
    return (first != second).any(axis=0)


@pytest.fixture(scope="module")
def generated(cache, tmp_path_factory):
    folders = Folders(tmp_path_factory.mktemp("shapes3d"), cache, cache)
    return open_dataset("shapes3d", *resolve_source("shapes3d", Shapes3DConfig(source="generated"), folders), folders)


# The look-alike


@pytest.mark.parametrize(
    ("factor", "row", "column", "turn"),
    [
        pytest.param("floor_hue", 62, 61, 7, id="floor, in front to the right"),
        pytest.param("wall_hue", 25, 61, 0, id="right wall"),
        pytest.param("wall_hue", 25, 3, 14, id="left wall"),
        pytest.param("object_hue", 45, 32, 7, id="sphere, below its middle"),
    ],
)
def test_surfaces_have_the_colour_of_their_hue(factor, row, column, turn):
    pixels = render(**{factor: range(10)}, orientation=turn)[:, :, row, column]
    brightest = pixels.max(axis=1, keepdims=True)
    assert 100 < brightest.min() <= brightest.max() < 255  # not saturated
    expected = brightest * [colorsys.hsv_to_rgb(hue / 10, 1, 1) for hue in range(10)]
    np.testing.assert_allclose(pixels, expected, atol=1)


def test_the_sky_is_the_real_one_in_every_placement(generated):
    cells = RNG.integers(SIZES, size=(200, 6))
    assert (generated.render(cells, RNG)[:, :, :3] == np.array(SKY)[:, None, None]).all()


def test_each_hue_changes_its_own_surface_alone():
    floor, wall, thing = (changed(f"{name}_hue", 1, 6) for name in ("floor", "wall", "object"))
    assert np.flatnonzero(floor.any(axis=1)).min() == 37
    assert np.flatnonzero(wall.any(axis=1)).max() == 41
    # Pixels that two surfaces share lie along their border, which Lanczos spreads over 3 pixels to either side.
    assert (floor & wall)[:, :10].sum(axis=0).max() <= 6
    assert min(floor.mean(), wall.mean()) > 0.35
    rows, columns = np.nonzero(silhouette(2, 4, 7))
    around = np.zeros((64, 64), bool)
    around[rows.min() // 3 - 3 : rows.max() // 3 + 4, columns.min() // 3 - 3 : columns.max() // 3 + 4] = True
    assert not thing[~around].any()
    assert thing[33:46, 24:40].all()
    assert not (floor | wall)[33:46, 26:38].any()


def silhouette(shape, scale, orientation):
    """Sub-pixels (192, 192) that show the object."""
    room = renderer._Room.seen_from(renderer.ORIENTATIONS[orientation])
    thing = renderer._Object(SHAPES[shape], SCALES[scale])
    return np.isfinite(thing.distance(room.eye[:, None, None], room.rays))


@pytest.mark.parametrize("shape", [1, 2, 3], ids=["cylinder", "sphere", "capsule"])
def test_a_round_object_looks_the_same_from_all_sides(shape):
    straight = silhouette(shape, 5, 7)
    for orientation in (0, 4, 14):
        assert (silhouette(shape, 5, orientation) != straight).sum() <= 4  # sub-pixels cut in half by rounding


@pytest.mark.parametrize("orientation", range(7))
def test_views_from_left_and_right_are_mirrored(orientation):
    mirrored = silhouette(0, 6, 14 - orientation)[:, ::-1]
    assert (silhouette(0, 6, orientation) != mirrored).sum() <= 4
    rooms = [renderer._Room.seen_from(renderer.ORIENTATIONS[o]).surface for o in (orientation, 14 - orientation)]
    assert (rooms[0] != rooms[1][:, ::-1]).sum() <= 10  # sub-pixels on a border between wall, floor and sky


@pytest.mark.parametrize("scale", range(8))
def test_a_sphere_is_seen_under_the_angle_of_its_cone(scale):
    radius = 1.672 * SCALES[scale]
    height = radius - 2.934  # of its centre over the camera
    distance = math.hypot(10, height)
    # The projection of a sphere that is nearly straight ahead: an ellipse of nearly this radius.
    expected = 69.85 * radius / math.sqrt(distance**2 - radius**2)
    covered = silhouette(2, scale, 3)
    assert math.sqrt(covered.sum() / 9 / math.pi) == pytest.approx(expected, rel=0.02)
    rows, columns = np.nonzero(covered)
    assert columns.mean() / 3 == pytest.approx(32, abs=0.2)
    pitch = math.atan2(-height, 10) - 0.0114
    assert rows.mean() / 3 == pytest.approx(32 + 69.85 * math.tan(pitch), abs=0.3)


@pytest.mark.parametrize("shape", range(4))
def test_objects_grow_with_scale_and_stay_on_the_floor(shape):
    covered = [silhouette(shape, scale, 7) for scale in range(8)]
    areas = np.array([c.sum() for c in covered])
    assert (np.diff(areas) > 0).all()
    assert areas[-1] / areas[0] == pytest.approx((1.25 / 0.75) ** 2, rel=0.15)  # parts come nearer
    lowest = [np.flatnonzero(c.any(axis=1)).max() / 3 for c in covered]
    assert 51.5 < min(lowest) <= max(lowest) < 56.5  # 52.7 is the floor below its middle


def test_the_shadow_falls_to_the_right_and_is_evenly_dark():
    bare, shaded = render(scale=[0, 7])
    new = (shaded[0] < 0.5 * bare[0]) & (shaded[0] > 80) & (np.arange(64)[:, None] > 50)  # red is the floor alone
    assert np.nonzero(new)[1].mean() > 35  # 32 is below the object
    assert (shaded[0, 53, 38:46] == 86).all()  # 0.338 of 255


def painted(cell):
    """The frame of a cell from sub-pixels that are painted one surface at a time, reduced by Pillow."""
    floor, wall, thing = (np.array(colorsys.hsv_to_rgb(h / 10, 1, 1))[:, None] for h in cell[:3])
    room = renderer._Room.seen_from(renderer.ORIENTATIONS[cell[5]])
    shape = renderer._Object(SHAPES[cell[4]], SCALES[cell[3]])
    canvas = np.repeat(np.array(SKY)[:, None, None] / 255, 192, 1).repeat(192, 2)
    on_floor, on_wall = room.surface == 0, room.surface == 1
    shade = np.where(renderer._is_shadowed(room.place[:, on_floor], shape), 0.338, room.shade[on_floor])
    canvas[:, on_floor] = np.minimum(floor * shade, 1)
    canvas[:, on_wall] = np.minimum(wall * room.shade[on_wall], 1)
    distance = shape.distance(room.eye[:, None, None], room.rays)
    seen = np.isfinite(distance)
    diffuse, gloss = renderer._light(room.eye[:, None] + distance[seen] * room.rays[:, seen], shape, room.axis)
    canvas[:, seen] = np.minimum(thing * diffuse + gloss, 1)
    small = [Image.fromarray(c.astype(np.float32)).resize((64, 64), Image.Resampling.LANCZOS) for c in canvas]
    return np.clip(np.array(small), 0, 1) * 255


def test_a_frame_is_what_painting_it_and_reducing_it_with_pillow_gives():
    cells = RNG.integers(SIZES, size=(12, 6))
    cells[:4, 4] = range(4)
    for cell, frame in zip(cells, render_shapes3d(cells), strict=True):
        np.testing.assert_allclose(frame, painted(cell), atol=0.6, err_msg=str(cell))


@pytest.mark.data
@pytest.mark.skipif(not REAL.is_file(), reason="BENCH_DATA has no shapes3d_frames")
def test_drawn_frames_are_near_the_real_ones(generated):
    """Hues and shape of the real frames are known; scale and orientation are those that fit best."""
    with np.load(REAL) as real:
        frames = real["images"].transpose(0, 3, 1, 2).astype(int)
        known = [real["floor_hue"], real["wall_hue"], real["object_hue"]]
        shapes = [SHAPES.index(name) for name in real["shape_name"]]
    errors = np.empty((len(frames), 8 * 15))
    for i, frame in enumerate(frames):
        cells = np.array([(*(hue[i] for hue in known), s, shapes[i], o) for s in range(8) for o in range(15)])
        # Outer rows and columns of the recovered frames are damaged.
        difference = generated.render(cells, RNG).astype(int) - frame
        errors[i] = np.abs(difference)[..., 2:62, 2:62].mean(axis=(1, 2, 3))
    ranked = np.sort(errors, axis=1)
    held_out = np.arange(len(frames)) % 3 == 2  # the others gave the constants
    assert ranked[:, 0].mean() <= 1.02
    assert ranked[held_out, 0].mean() <= 1.1
    assert ranked[:, 0].max() <= 1.6
    assert (ranked[:, 1] / ranked[:, 0]).min() >= 1.5  # no frame lies between two cells


# The grid


def test_the_grid_shows_the_cells_it_names(generated):
    assert generated.spec("pairs").n_train == 480_000
    drawn = generated.labelled(30, np.random.default_rng(1), view="pairs")
    assert drawn.x.shape == (30, 2, 3, 64, 64)
    np.testing.assert_array_equal(drawn.x.reshape(-1, 3, 64, 64), render_shapes3d(drawn.factors.reshape(-1, 6)))
    assert generated.title == "3D Shapes, lap(rate=1) transitions, generated frames"


def test_all_placements_are_different(generated):
    cells = np.array([(1, 3, 5, *np.unravel_index(n, SIZES[3:])) for n in range(480)])
    assert len(np.unique(generated.render(cells, RNG).reshape(480, -1), axis=0)) == 480


def test_lap_holds_the_shape_alone_and_says_so(generated):
    factors = generated.labelled(3_000, np.random.default_rng(0), view="pairs").factors
    moved = (factors[:, 0] != factors[:, 1]).any(axis=0)
    assert moved.tolist() == [True, True, True, True, False, True]
    assert generated.info.factors.dynamic == (True, True, True, True, False, True)
    assert CARD.describe(Shapes3DConfig(transitions="uni")).factors.dynamic == (True,) * 6


def test_factors_are_those_of_the_file():
    factors = CARD.describe(Shapes3DConfig()).factors
    assert factors.names == ("floor_hue", "wall_hue", "object_hue", "scale", "shape", "orientation")
    assert math.prod(factors.sizes) == 480_000
    assert factors.kinds == ("cyclic", "cyclic", "cyclic", "ordinal", "categorical", "ordinal")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"transitions": "natural"}, "shapes3d: transitions must be one of lap, uni, locatello, got 'natural'"),
        ({"source": "user"}, "shapes3d: source must be one of auto, official, generated, got 'user'"),
        ({"transitions": "uni", "k": 7}, "shapes3d: k must be 1 … 6"),
    ],
)
def test_arguments_that_do_not_apply_are_errors(parameters, message):
    with pytest.raises(ValueError, match=message):
        Shapes3DConfig(**parameters)


# The official file


def tiny_labels():
    cells = np.stack(np.unravel_index(np.arange(math.prod(TINY)), TINY), axis=1).astype(float)
    return cells * [0.1, 0.1, 0.1, 0.07, 1, 4.3] + [0, 0, 0, 0.75, 0, -30]


def tiny_images():
    return np.random.default_rng(0).integers(256, size=(144, 64, 64, 3), dtype=np.uint8)


def write(root, chunks=(13, 8, 16, 1), **changes):
    """A file of the official layout, with some arrays exchanged or, by None, left out."""
    path = root / "shapes3d" / FILE.name
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {"images": tiny_images(), "labels": tiny_labels(), **changes}
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            if array is not None:
                is_image = array.ndim == 4 and array.size and chunks
                file.create_dataset(
                    name,
                    data=array,
                    chunks=tuple(map(min, chunks, array.shape)) if is_image else None,
                    compression="gzip" if is_image else None,
                )
    return path


def keep(folder):
    return DataStore(folder, folder / "cache", "k")


@pytest.mark.parametrize("chunks", [(13, 8, 16, 1), (1, 64, 64, 3), (100, 2, 4, 1), None])
@pytest.mark.parametrize(("rows", "most"), [(7, 50), (144, 144), (1_024, 32_768)])
def test_the_file_is_read_bit_for_bit_however_it_is_stored(tmp_path, monkeypatch, chunks, rows, most):
    monkeypatch.setattr(module, "_ROWS", rows)
    monkeypatch.setattr(module, "_MAX_ROWS", most)
    frames = official_frames(write(tmp_path, chunks), keep(tmp_path), TINY)
    assert frames.dtype == np.uint8
    np.testing.assert_array_equal(frames, tiny_images().transpose(0, 3, 1, 2))


def test_the_file_is_what_the_grid_shows_under_every_law(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SIZES", TINY)
    write(tmp_path)
    for law in ({}, {"transitions": "uni", "k": 2}, {"rate": -1.0}):
        data = opened("shapes3d", tmp_path, **law)
        cells = np.random.default_rng(2).integers(TINY, size=(40, 6))
        expected = tiny_images()[np.ravel_multi_index(tuple(cells.T), TINY)].transpose(0, 3, 1, 2)
        np.testing.assert_array_equal(data.render(cells, RNG), expected)
        assert "official frames" in data.title
    assert len(list((tmp_path / "cache").iterdir())) == 1  # one copy for all laws


def test_without_the_file_frames_are_generated_or_it_is_asked_for(tmp_path):
    source = CARD.source(Shapes3DConfig(), tmp_path)
    assert (source.kind, source.note) == ("generated", module.DRAWN)
    with pytest.raises(FileNotFoundError, match=r"3dshapes.h5 is not in DATA_ROOT/shapes3d. Run `bench data fetch sha"):
        CARD.source(Shapes3DConfig(source="official"), tmp_path)


def refused(path, message, folder, sizes=TINY):
    with pytest.raises(ValueError, match=message) as caught:
        official_frames(path, keep(folder), sizes)
    assert str(caught.value).startswith("shapes3d/3dshapes.h5: ")
    assert "\n" not in str(caught.value)
    assert not list((folder / "cache").glob("*"))


def swapped():
    labels = tiny_labels()
    labels[[40, 43]] = labels[[43, 40]]
    return labels


def not_a_number():
    labels = tiny_labels()
    labels[7, 1] = np.nan
    return labels


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"images": None}, "has no array 'images', only labels", id="no images"),
        pytest.param({"labels": None}, "has no array 'labels', only images", id="no labels"),
        pytest.param(
            {"images": np.zeros((143, 64, 64, 3), np.uint8)},
            r"'images' is \(143, 64, 64, 3\) uint8, the official one \(144, 64, 64, 3\) uint8",
            id="an image is missing",
        ),
        pytest.param({"images": np.zeros((144, 3, 64, 64), np.uint8)}, r"is \(144, 3, 64, 64\)", id="channels first"),
        pytest.param({"images": np.zeros((144, 64, 64, 3), np.float32)}, "float32, the official one", id="floats"),
        pytest.param({"labels": np.zeros((144, 5))}, r"'labels' is \(144, 5\) float64", id="a factor is missing"),
        pytest.param({"labels": tiny_labels().astype(int)}, "int64, the official one", id="whole numbers"),
        pytest.param({"labels": np.zeros((144, 6))}, "'floor_hue' has 1 values in the labels, wanted 2", id="zeros"),
        pytest.param({"labels": not_a_number()}, "'wall_hue' has 3 values in the labels, wanted 2", id="nan"),
        pytest.param(
            {"labels": swapped()},
            "image 40 has 'scale' number 1, in the official order it has 0",
            id="another order",
        ),
    ],
)
def test_a_file_with_other_content_is_refused(tmp_path, changes, message):
    refused(write(tmp_path, **changes), message, tmp_path)


def test_a_file_of_another_size_is_not_the_official_one(tmp_path):
    refused(write(tmp_path), r"'labels' is \(144, 6\) float64, the official one \(480000, 6\)", tmp_path, SIZES)


@pytest.mark.parametrize("share", [0, 0.001, 0.3, 0.7, 0.99])
def test_a_file_cut_short_is_refused(tmp_path, share):
    path = write(tmp_path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    refused(path, "is no HDF5 file, or is damaged or cut short .* fetch it again", tmp_path)


def test_damaged_pixels_are_refused(tmp_path):
    path = write(tmp_path)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 2_000] = bytes(2_000)
    path.write_bytes(content)
    refused(path, "is damaged|fetch it again", tmp_path)


def exchange(path, make):
    """Put something else in the place of the images."""
    with h5py.File(path, "a") as file:
        del file["images"]
        make(file)
    return path


SHAPE = (144, 64, 64, 3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(
            lambda f: f.__setitem__("images", h5py.ExternalLink("other.h5", "images")),
            "'images' is a link to somewhere else",
            id="link to another file",
        ),
        pytest.param(
            lambda f: f.__setitem__("images", h5py.SoftLink("/labels")),
            "'images' is a link to somewhere else",
            id="link within the file",
        ),
        pytest.param(
            lambda f: f.create_dataset("images", SHAPE, np.uint8, external=[("/etc/hostname", 0, math.prod(SHAPE))]),
            "'images' keeps its values in another file",
            id="values in another file",
        ),
        pytest.param(lambda f: f.create_group("images"), "'images' is no array, the official one", id="group"),
        pytest.param(
            lambda f: f.create_dataset("images", SHAPE, np.uint8, chunks=(10, 64, 64, 3), compression="gzip"),
            "'images' claims shape .* but nothing was ever written to it",
            id="nothing behind the claim",
        ),
        pytest.param(
            lambda f: f.create_dataset("images", SHAPE, np.uint8, chunks=(10, 64, 64, 3)).__setitem__(
                slice(0, 20), tiny_images()[:20]
            ),
            "'images' claims .* bytes",
            id="written in part",
        ),
        pytest.param(
            lambda f: f.create_dataset(
                "images", SHAPE, np.uint8, maxshape=(None,) * 4, chunks=(8_192, 64, 64, 3), compression="gzip"
            ),
            "'images' is stored in pieces of .* too large to unpack",
            id="pieces of 100 MB",
        ),
    ],
)
def test_hostile_images_are_refused(tmp_path, make, message):
    refused(exchange(write(tmp_path), make), message, tmp_path)


def test_virtual_images_are_refused(tmp_path):
    layout = h5py.VirtualLayout(SHAPE, np.uint8)
    layout[:] = h5py.VirtualSource("other.h5", "images", SHAPE)
    path = exchange(write(tmp_path), lambda f: f.create_virtual_dataset("images", layout))
    refused(path, "'images' keeps its values in another file", tmp_path)


def test_a_full_disk_is_told_before_anything_is_written(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=1_000_000))
    with pytest.raises(OSError, match=r"0.0 GB of prepared frames do not fit.*BENCH_CACHE"):
        official_frames(write(tmp_path), keep(tmp_path), TINY)
    assert not list((tmp_path / "cache").glob("*"))


@pytest.mark.data
@pytest.mark.skipif(not (DATA / "shapes3d" / FILE.name).is_file(), reason="BENCH_DATA has no shapes3d/3dshapes.h5")
def test_the_official_frames_look_like_ours(tmp_path):
    """That shapes and turns are numbered as we do is recalled, not read; this tells where the file is at hand."""
    with h5py.File(DATA / "shapes3d" / FILE.name) as file:
        numbers = np.sort(np.random.default_rng(0).choice(480_000, 20, replace=False))
        official = np.stack([file["images"][n] for n in numbers]).transpose(0, 3, 1, 2)
    ours = render_shapes3d(np.stack(np.unravel_index(numbers, SIZES), axis=1))
    assert np.abs(ours.astype(int) - official).mean(axis=(1, 2, 3)).max() < 3
