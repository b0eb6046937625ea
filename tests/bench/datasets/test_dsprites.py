"""dSprites: the drawn frames against real ones and against other ways to draw them; the official archive, right and
wrong."""

from __future__ import annotations

import dataclasses
import math
import os
import pickle
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from matplotlib.path import Path as Outline

from bench.datasets import dsprites as module
from bench.datasets import dsprites_archive, dsprites_renderer
from bench.datasets.base import DataStore
from bench.datasets.dsprites import ARCHIVE, CARD, DSpritesConfig, dsprites
from bench.datasets.dsprites_archive import official_bits, unpack
from bench.datasets.dsprites_renderer import CENTRES, ORIENTATIONS, SCALES, SIZES, render_dsprites

REAL = Path(os.environ.get("BENCH_DATA", "/nonexistent"), "dsprites_frames", "dsprites_frames.npz")
TINY = (3, 2, 3, 4, 5)
BASE = ARCHIVE.name.removesuffix(".hdf5")


def cells_of(sizes):
    return np.stack(np.unravel_index(np.arange(math.prod(sizes)), sizes), axis=1)


def opened(folder, **parameters):
    """The data set with its source resolved, as the runner opens it."""
    config = DSpritesConfig(**parameters)
    config = dataclasses.replace(config, source=CARD.source(config, folder).kind)
    return dsprites(config, DataStore(folder, folder / "cache", repr(config)))


# Drawn frames


@pytest.mark.parametrize(
    ("shape", "areas"),
    [
        pytest.param(0, [100, 144, 196, 256, 324, 400], id="square"),
        pytest.param(1, [76, 104, 144, 184, 228, 288], id="ellipse"),
        pytest.param(2, [58, 84, 108, 140, 180, 222], id="heart, 182 for scale 4: the frame of 254 that is not met"),
    ],
)
def test_upright_sprites_in_the_corner_have_the_official_areas(shape, areas):
    frames = render_dsprites(np.array([[shape, scale, 0, 0, 0] for scale in range(6)]))
    assert frames.sum(axis=(1, 2)).tolist() == areas


def test_the_largest_square_in_the_corner_covers_rows_and_columns_6_to_25():
    (frame,) = render_dsprites(np.array([[0, 5, 0, 0, 0]]))
    assert (np.argwhere(frame).min(0).tolist(), np.argwhere(frame).max(0).tolist()) == ([6, 6], [25, 25])


def test_the_last_orientation_is_the_first():
    cells = np.random.default_rng(0).integers(SIZES, size=(300, 5))
    first, last = cells.copy(), cells.copy()
    first[:, 2], last[:, 2] = 0, 39
    np.testing.assert_array_equal(render_dsprites(first), render_dsprites(last))


def test_orientation_turns_the_heart_anticlockwise():
    down, right = render_dsprites(np.array([[2, 5, 0, 16, 16], [2, 5, 10, 16, 16]]))
    rows, columns = np.flatnonzero(down.any(1)), np.flatnonzero(right.any(0))
    assert down[rows[-1]].sum() <= 2 < down[rows[0]].sum()  # the tip is one or two pixels wide
    assert right[:, columns[-1]].sum() <= 2 < right[:, columns[0]].sum()


@pytest.mark.parametrize(
    ("column", "axis"), [pytest.param(3, 1, id="posX, right"), pytest.param(4, 0, id="posY, down")]
)
def test_position_moves_the_sprite_by_32_31sts_of_a_pixel(column, axis):
    cells = np.tile([1, 5, 7, 16, 16], (32, 1))
    cells[:, column] = range(32)
    frames = render_dsprites(cells).astype(float)
    centre = (frames.sum(axis=2 - axis) @ (np.arange(64) + 0.5)) / frames.sum(axis=(1, 2))
    np.testing.assert_allclose(centre, 16 + np.arange(32) * 32 / 31, atol=0.2)


def test_the_window_around_each_sprite_is_large_enough(monkeypatch):
    cells = np.array([[s, 5, o, x, (x + 7 * o) % 32] for s in range(3) for o in range(40) for x in range(32)])
    frames = render_dsprites(cells)
    monkeypatch.setattr(dsprites_renderer, "_WINDOWS", dict.fromkeys(dsprites_renderer.SHAPES, 31))
    np.testing.assert_array_equal(render_dsprites(cells), frames)


def outline(shape):
    """Corners of a shape of scale 1 around its centre, x to the right, y down: (n, 2)."""
    t = np.linspace(0, 2 * np.pi, 2_000, endpoint=False)
    if shape == 0:
        return 9.598 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    if shape == 1:
        return np.stack([12.766 * np.cos(t), 7.214 * np.sin(t)], axis=1)
    height = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([9.594 * np.sin(t) ** 3, -0.6622 * height - 1.4365], axis=1)


def test_frames_are_the_pixels_whose_centre_an_outline_holds():
    cells = np.random.default_rng(1).integers(SIZES, size=(90, 5))
    centres = np.stack(np.meshgrid(np.arange(64) + 0.5, np.arange(64) + 0.5), -1).reshape(-1, 2)
    for cell, frame in zip(cells, render_dsprites(cells), strict=True):
        turn = ORIENTATIONS[cell[2]]
        rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])  # y counts downwards
        corners = SCALES[cell[1]] * outline(cell[0]) @ rotation.T + CENTRES[cell[3:]]
        expected = Outline(corners, closed=False).contains_points(centres).reshape(64, 64)
        assert (frame != expected).sum() == 0, cell


@pytest.mark.data
@pytest.mark.skipif(not REAL.is_file(), reason="BENCH_DATA has no dsprites_frames")
def test_drawn_frames_equal_the_real_ones():
    with np.load(REAL) as real:
        frames, classes = real["imgs"], real["latents_classes"][:, 1:]
    _, distinct = np.unique(frames.reshape(len(frames), -1), axis=0, return_index=True)
    wrong = (render_dsprites(classes) != frames).sum(axis=(1, 2))[distinct]
    assert len(distinct) == 254
    assert (wrong == 0).sum() >= 253  # 220 were asked for
    assert wrong.max() <= 2  # 4


@pytest.mark.data
@pytest.mark.skipif(not REAL.is_file(), reason="BENCH_DATA has no dsprites_frames")
def test_the_geometry_is_the_measured_one():
    """The square's half side is known to 0.003 pixels: each real frame tells which pixels it must and must not hold."""
    with np.load(REAL) as real:
        frames, classes = real["imgs"], real["latents_classes"][:, 1:]
    inside, outside = [], []
    for frame, (shape, scale, turn, x, y) in zip(frames, classes, strict=True):
        if shape == 0:
            dx = np.arange(64) + 0.5 - CENTRES[x]
            dy = (np.arange(64) + 0.5 - CENTRES[y])[:, None]
            cos, sin = np.cos(ORIENTATIONS[turn]), np.sin(ORIENTATIONS[turn])
            distance = np.maximum(abs(cos * dx - sin * dy), abs(sin * dx + cos * dy)) / SCALES[scale]
            inside.append(distance[frame == 1].max())
            outside.append(distance[frame == 0].min())
    assert 9.596 < max(inside) < 9.598 < min(outside) < 9.6


# The grid


def test_observations_are_black_and_white_and_show_their_cells(tmp_path):
    data = opened(tmp_path, source="generated")
    drawn = data.labelled(50, np.random.default_rng(0), view="pairs")
    assert drawn.x.shape == (50, 2, 1, 64, 64)
    np.testing.assert_array_equal(
        drawn.x[:, :, 0], 255 * render_dsprites(drawn.factors.reshape(-1, 5)).reshape(50, 2, 64, 64)
    )
    assert data.spec("pairs").n_train == 737_280


def test_lap_holds_the_shape_and_says_so(tmp_path):
    data = opened(tmp_path, transitions="lap")
    factors = data.labelled(2_000, np.random.default_rng(0), view="pairs").factors
    np.testing.assert_array_equal(factors[:, 0, 0], factors[:, 1, 0])
    assert data.info.factors.dynamic == (False, True, True, True, True)
    moved = opened(tmp_path, transitions="uni").labelled(2_000, np.random.default_rng(0), view="pairs").factors
    assert (moved[:, 0, 0] != moved[:, 1, 0]).mean() == pytest.approx(0.5, abs=0.05)


def test_packed_frames_are_the_rendered_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SIZES", TINY)
    packed, rendered = (opened(tmp_path, source="generated", frames=way) for way in ("packed", "rendered"))
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(packed.render(cells_of(TINY), rng), rendered.render(cells_of(TINY), rng))


def test_all_pair_laws_share_one_packed_grid(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SIZES", TINY)
    for law in ({"transitions": "uni"}, {"transitions": "lap"}, {"rate": 2.0}):
        opened(tmp_path, frames="packed", **law)
    assert len(list((tmp_path / "cache").iterdir())) == 1


@pytest.mark.slow
def test_the_whole_packed_grid_is_the_rendered_one(tmp_path):
    data = opened(tmp_path, frames="packed")
    cells = np.random.default_rng(0).integers(SIZES, size=(5_000, 5))
    np.testing.assert_array_equal(data.render(cells, np.random.default_rng(0))[:, 0], 255 * render_dsprites(cells))
    (kept,) = (tmp_path / "cache").iterdir()
    assert kept.stat().st_size == pytest.approx(737_280 * 512, abs=200)


# The official archive


class Touch:
    """Pickled, it creates a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def tiny_arrays(folder):
    """What the archive of a small grid holds; frames are distinct noise, so that a mixed-up order shows."""
    classes = np.hstack([np.zeros((math.prod(TINY), 1), np.int64), cells_of(TINY)])
    images = np.random.default_rng(0).integers(2, size=(len(classes), 64, 64), dtype=np.uint8)
    metadata = np.array(Touch(folder / "executed"), dtype=object)
    return {"imgs": images, "latents_values": classes.astype(float), "latents_classes": classes, "metadata": metadata}


def write(path, **changes):
    """An archive of the official layout, with some arrays exchanged or, by None, left out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {k: v for k, v in {**tiny_arrays(path.parent), **changes}.items() if v is not None}
    if path.suffix == ".npz":
        np.savez_compressed(path, **arrays)
        return path
    with h5py.File(path, "w") as file:
        names = {"latents_values": "latents/values", "latents_classes": "latents/classes"}
        arrays.pop("metadata")
        for name, array in arrays.items():
            is_image = array.ndim == 3 and array.size
            chunks = (min(113, len(array)), 2, 4) if is_image else None  # thin columns, as the official one has
            file.create_dataset(
                names.get(name, name), data=array, chunks=chunks, compression="gzip" if chunks else None
            )
    return path


@pytest.mark.parametrize("ending", [".npz", ".hdf5"])
@pytest.mark.parametrize("rows", [7, 360, 4_096])
def test_the_archive_is_read_bit_for_bit(tmp_path, monkeypatch, ending, rows):
    monkeypatch.setattr(dsprites_archive, "_ROWS", rows)
    path = write(tmp_path / "dsprites" / (BASE + ending))
    bits = official_bits(path, DataStore(tmp_path, tmp_path / "cache", "k"), TINY)
    assert bits.shape == (360, 512)
    np.testing.assert_array_equal(unpack(bits), tiny_arrays(tmp_path)["imgs"])
    assert not (path.parent / "executed").exists()


def test_the_archive_is_what_the_grid_shows(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SIZES", TINY)
    write(tmp_path / "dsprites" / ARCHIVE.name)
    data = opened(tmp_path)
    assert "official frames" in data.title
    frames = data.render(cells_of(TINY), np.random.default_rng(0))
    np.testing.assert_array_equal(frames[:, 0], 255 * tiny_arrays(tmp_path)["imgs"])


def test_either_archive_is_found_and_the_checked_one_comes_first(tmp_path):
    write(tmp_path / "dsprites" / f"{BASE}.npz")
    first = CARD.source(DSpritesConfig(), tmp_path)
    write(tmp_path / "dsprites" / f"{BASE}.hdf5")
    second = CARD.source(DSpritesConfig(source="official"), tmp_path)
    assert (first.kind, second.kind) == ("official", "official")
    assert first.fingerprint != second.fingerprint
    assert CARD.source(DSpritesConfig(source="generated"), tmp_path).kind == "generated"


def test_without_an_archive_frames_are_generated_or_asked_for(tmp_path):
    source = CARD.source(DSpritesConfig(), tmp_path)
    assert source.kind == "generated"
    assert "253 of 254 real frames" in source.note
    with pytest.raises(FileNotFoundError, match=r"hdf5 is not in DATA_ROOT/dsprites. Run `bench data fetch dsprites`"):
        CARD.source(DSpritesConfig(source="official"), tmp_path)


def swapped(folder):
    classes = tiny_arrays(folder)["latents_classes"]
    classes[[40, 41]] = classes[[41, 40]]
    return classes


def two(folder):
    images = tiny_arrays(folder)["imgs"]
    images[17, 5, 6] = 2
    return images


BOTH = [".npz", ".hdf5"]
WRONG = [
    pytest.param(BOTH, lambda f: {"imgs": None}, "has no array 'imgs'", id="no images"),
    pytest.param(BOTH, lambda f: {"latents_classes": None}, r"has no array 'latents.classes'", id="no classes"),
    pytest.param(
        BOTH, lambda f: {"imgs": np.zeros((359, 64, 64), np.uint8)},
        r"'imgs' is \(359, 64, 64\) uint8, the official one \(360, 64, 64\) uint8", id="an image is missing",
    ),
    pytest.param(
        BOTH, lambda f: {"imgs": np.zeros((360, 64, 64), np.float32)}, r"float32, the official one", id="floats"
    ),
    pytest.param(
        BOTH, lambda f: {"latents_classes": np.zeros((360, 5), int)},
        r"classes' is \(360, 5\) int64, the official one \(360, 6\)", id="no colour",
    ),
    pytest.param(
        BOTH, lambda f: {"latents_classes": swapped(f)},
        r"image 40 has the classes \[0, 0, 0, 2, 0, 1\], in the official order it has \[0, 0, 0, 2, 0, 0\]",
        id="another order",
    ),
    pytest.param(BOTH, lambda f: {"imgs": two(f)}, "image 17 has the value 2, wanted 0 and 1", id="grey"),
    pytest.param(
        [".npz"], lambda f: {"imgs": np.array(Touch(f / "executed"), dtype=object)}, "is pickled", id="pickled images"
    ),
    pytest.param(
        [".npz"], lambda f: {"imgs": np.zeros((360, 64, 64), np.uint8, order="F")}, "Fortran", id="Fortran order"
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("ending", "changes", "message"),
    [pytest.param(e, *p.values[1:], id=f"{p.id} {e}") for p in WRONG for e in p.values[0]],
)
def test_an_archive_with_other_content_is_refused(tmp_path, ending, changes, message):
    path = write(tmp_path / "dsprites" / (BASE + ending), **changes(tmp_path))
    refused(path, message, tmp_path)
    assert not (tmp_path / "executed").exists()


def refused(path, message, folder, sizes=TINY):
    with pytest.raises(ValueError, match=message) as caught:
        official_bits(path, DataStore(folder, folder / "cache", "k"), sizes)
    assert str(caught.value).startswith(f"dsprites/{path.name}: ")
    assert "\n" not in str(caught.value)
    assert not list((folder / "cache").glob("*"))


@pytest.mark.parametrize("ending", BOTH)
def test_an_archive_of_another_size_is_not_the_official_one(tmp_path, ending):
    path = write(tmp_path / "dsprites" / (BASE + ending))
    refused(path, r"\(360, 6\) int64, the official one \(737280, 6\)", tmp_path, SIZES)


@pytest.mark.parametrize("ending", BOTH)
@pytest.mark.parametrize("share", [0, 0.3, 0.7, 0.99])
def test_an_archive_cut_short_is_refused(tmp_path, ending, share):
    path = write(tmp_path / "dsprites" / (BASE + ending))
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    refused(path, "fetch it again", tmp_path)


@pytest.mark.parametrize("ending", BOTH)
def test_what_is_no_archive_is_refused(tmp_path, ending):
    path = tmp_path / "dsprites" / (BASE + ending)
    path.parent.mkdir()
    path.write_bytes(pickle.dumps(Touch(tmp_path / "executed")))
    refused(path, "fetch it again", tmp_path)
    assert not (tmp_path / "executed").exists()


def test_a_damaged_image_is_refused(tmp_path):
    path = write(tmp_path / "dsprites" / f"{BASE}.npz")
    content = bytearray(path.read_bytes())
    content[5_000] ^= 0xFF
    path.write_bytes(content)
    refused(path, "'imgs' is damaged", tmp_path)


@pytest.mark.parametrize(
    ("place", "value"),
    [pytest.param(6, 200, id="a version of zip to come"), pytest.param(45, 255, id="a place outside the file")],
)
def test_a_damaged_list_of_contents_is_refused(tmp_path, place, value):
    path = write(tmp_path / "dsprites" / f"{BASE}.npz")
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + place] = value
    path.write_bytes(content)
    refused(path, "fetch (it|the file) again", tmp_path)


def test_a_header_that_claims_terabytes_is_refused_before_it_is_believed(tmp_path):
    path = tmp_path / "dsprites" / f"{BASE}.npz"
    write(path)
    header = "{'descr': '|u1', 'fortran_order': False, 'shape': (360, 1000000000, 64), }"
    claim = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()
    with zipfile.ZipFile(path) as old:
        kept = {name: old.read(name) for name in old.namelist() if name != "imgs.npy"}
    with zipfile.ZipFile(path, "w") as new:
        for name, content in kept.items():
            new.writestr(name, content)
        new.writestr("imgs.npy", claim + b"\0" * 1_000)
    refused(path, r"claims 23,040,000,000,\d+ bytes", tmp_path)


def test_hdf5_arrays_that_lie_elsewhere_or_unpack_to_gigabytes_are_refused(tmp_path):
    path = write(tmp_path / "dsprites" / f"{BASE}.hdf5")
    other = write(tmp_path / "dsprites" / "other.hdf5")
    with h5py.File(path, "a") as file:
        del file["imgs"]
        file["imgs"] = h5py.ExternalLink(str(other), "imgs")
    refused(path, "'imgs' lies in another file", tmp_path)
    layout = h5py.VirtualLayout((360, 64, 64), np.uint8)
    layout[:] = h5py.VirtualSource(str(other), "imgs", (360, 64, 64))
    with h5py.File(path, "a") as file:
        del file["imgs"]
        file.create_virtual_dataset("imgs", layout)
    refused(path, "'imgs' lies in another file", tmp_path)
    with h5py.File(path, "a") as file:
        del file["imgs"]
        file.create_dataset("imgs", (360, 64, 64), np.uint8, external=[("/etc/hostname", 0, 360 * 4096)])
    refused(path, "'imgs' lies in another file", tmp_path)
    with h5py.File(path, "a") as file:
        del file["imgs"]
        file.create_dataset("imgs", (360, 64, 64), np.uint8, maxshape=(None, None, None), chunks=(1 << 15, 64, 64))
    refused(path, "too large to unpack", tmp_path)


# Parameters


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"frames": "cached"}, "dsprites: frames must be one of auto, rendered, packed, got 'cached'"),
        ({"frames": "rendered", "source": "official"}, "frames=rendered needs source=generated"),
        ({"transitions": "natural"}, "dsprites: transitions must be one of lap, uni, locatello, got 'natural'"),
        ({"transitions": "uni", "k": 6}, "dsprites: k must be 1 … 5"),
    ],
)
def test_arguments_that_do_not_apply_are_errors(parameters, message):
    with pytest.raises(ValueError, match=message):
        DSpritesConfig(**parameters)


def test_the_constant_colour_is_no_factor():
    info = CARD.describe(DSpritesConfig())
    assert info.factors.names == ("shape", "scale", "orientation", "posX", "posY")
    assert info.factors.sizes == (3, 6, 40, 32, 32)
    assert min(info.factors.sizes) > 1
    assert (info.has_grid, info.render_is_random) == (True, False)


def test_every_budget_is_a_config():
    assert {name: DSpritesConfig(**values).frames for name, values in CARD.budgets.items()} == {
        "smoke": "auto", "quick": "auto", "standard": "packed", "paper": "packed",
    }  # fmt: skip
