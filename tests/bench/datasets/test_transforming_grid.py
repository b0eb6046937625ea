"""Sequences over grids: exactly what is told to move moves, splits do not mix, and folders of PNG images."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench import registry
from bench.datasets import falcor3d, isaac3d
from bench.datasets.base import FactorSpace
from bench.datasets.png_grid import PngGrid, read_image, reduced
from bench.datasets.transforming_dsprites import TransformingDSpritesConfig, kept_values
from bench.datasets.transforming_grid import Course, GridMoves, TransformingGrid, grid_info, hashed
from bench.opening import Folders, open_dataset, resolve_source

DATA = Path(os.environ.get("BENCH_DATA", "/nonexistent"))
FRAMES = DATA / "nvidia_highres_frames"
SIZES = (6, 5, 7)
SPACE = FactorSpace(("hue", "kind", "size"), SIZES, ("cyclic", "categorical", "ordinal"), (True, False, True))
FORWARD = Course(("hue", "size"), 4)
AROUND = Course(("hue", "size"), 6, is_cyclic=True)


def read(cells):
    """A frame shows its cell in three channels."""
    return cells.astype(np.uint8)[:, :, None, None]


def grid(course=FORWARD):
    return TransformingGrid(grid_info((3, 1, 1), SPACE, course), course, read)


def test_one_factor_moves_from_its_first_value_by_one_a_step():
    drawn = grid().labelled(200, np.random.default_rng(0))
    np.testing.assert_array_equal(drawn.x[..., 0, 0], drawn.factors)
    kinds = drawn.amounts[:, 0].argmax(1)
    for n, kind in enumerate(kinds):
        column = (0, 2)[kind]
        assert drawn.factors[n, :, column].tolist() == [0, 1, 2, 3, 4]
        still = np.delete(drawn.factors[n], column, axis=1)
        assert (still == still[0]).all()
    assert set(kinds) == {0, 1}
    assert set(drawn.factors[kinds == 0, 0, 2]) == set(range(7))  # what does not move is anywhere


def test_cyclic_courses_begin_anywhere_and_go_around():
    drawn = grid(AROUND).labelled(300, np.random.default_rng(0))
    moving = drawn.factors[drawn.amounts[:, 0, 1] == 1][..., 2]
    assert set(moving[:, 0]) == set(range(7))
    np.testing.assert_array_equal(np.diff(moving, axis=1) % 7, 1)


@pytest.mark.parametrize("course", [FORWARD, AROUND])
def test_sequences_of_one_transformation_share_no_frame_across_splits(course):
    data = grid(course)
    seen = {}
    for split in ("train", "test"):
        drawn = data.labelled(2_000, np.random.default_rng(0), split)
        numbers = np.ravel_multi_index(np.moveaxis(drawn.factors, -1, 0), SIZES)
        seen[split] = [set(numbers[drawn.amounts[:, 0, k] == 1].ravel()) for k in (0, 1)]
    for train, test in zip(seen["train"], seen["test"], strict=True):
        assert test
        assert not train & test


def test_a_fifth_of_the_cells_is_for_testing():
    assert (hashed(np.arange(480_000)) % 5 == 0).mean() == pytest.approx(0.2, abs=0.002)  # three standard errors
    assert int(hashed(np.array([1]))[0]) == 0xE220A8397B1DCDAF  # SplitMix64's well-known first output
    sizes = grid().spec("transformations").n_train
    assert sizes == len(GridMoves(SPACE, FORWARD, read).cells["train"])


def test_switching_and_superposing_are_amounts():
    path = np.array([[1, 0], [1, 0], [0, 2], [1, 1]])
    cells = grid().moved(40, path, np.random.default_rng(0))[..., 0, 0]
    np.testing.assert_array_equal(cells[:, :, 0], np.tile([0, 1, 2, 2, 3], (40, 1)))
    np.testing.assert_array_equal(cells[:, :, 2], np.tile([0, 0, 0, 2, 3], (40, 1)))
    around = grid().moved(40, np.tile([1, 0], (8, 1)), np.random.default_rng(0))[..., 0, 0, 0]
    np.testing.assert_array_equal(around[0], [0, 1, 2, 3, 4, 5, 0, 1, 2])  # hues lie on a circle


@pytest.mark.parametrize(
    ("amounts", "message"),
    [
        (np.full((2, 2), 0.5), "whole numbers"),
        (np.tile([0, 1], (7, 1)), "'size' has values 0 … 6; these amounts reach 7"),
        (np.array([[0, -1]]), "'size' has values 0 … 6; these amounts reach -1"),
    ],
)
def test_what_a_grid_cannot_do(amounts, message):
    with pytest.raises(ValueError, match=message):
        grid().moved(3, amounts, np.random.default_rng(0))


def test_a_split_without_a_cell_to_begin_says_so():
    few = FactorSpace(("a", "b"), (2, 2), ("ordinal", "ordinal"), (True, True))
    course = Course(("a", "b"), 1)
    data = TransformingGrid(grid_info((2, 1, 1), few, course), course, read)
    without = "train" if hashed(np.array([0]))[0] % 5 == 0 else "test"
    with pytest.raises(ValueError, match=f"the split '{without}' has no sequences in which all of a, b move"):
        data.moved(3, np.ones((1, 2)), np.random.default_rng(0), without)


@pytest.mark.parametrize(("script", "n"), [("tvae", 50_625), ("poflow", 7_680)])
def test_dsprites_scripts_keep_as_many_images_as_the_authors(script, n):
    config = TransformingDSpritesConfig(script=script)
    values = kept_values(config)
    assert np.prod([len(v) for v in values]) == n
    assert values[2].tolist() == list(range(0, 29, 2 if script == "tvae" else 4))
    assert values[1].tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("name", ["transforming_shapes3d", "transforming_dsprites"])
def test_frames_are_those_of_the_set_they_come_from(name, cache, tmp_path):
    folders = Folders(tmp_path, cache, tmp_path)
    parts = {}
    for one in (name, name.removeprefix("transforming_")):
        config, source = resolve_source(one, registry.dataset(one).config(), folders)
        parts[one] = open_dataset(one, config, source, folders)
    drawn = parts[name].labelled(10, np.random.default_rng(0))
    cells = drawn.factors.reshape(-1, drawn.factors.shape[-1])
    if name == "transforming_dsprites":
        cells = cells * [1, 1, 2, 2, 2] + [0, 1, 0, 0, 0]
    whole = parts[name.removeprefix("transforming_")].render(cells, np.random.default_rng(0))
    np.testing.assert_array_equal(drawn.x.reshape(whole.shape), whole)
    assert len(list(cache.glob("*-placements.npy"))) <= 1  # what is dear to make is made once for both


TOY = PngGrid("toy", "toy/images", "no-id", (2, 3))


@pytest.fixture
def folder(tmp_path):
    """Images whose four quarters tell their number."""
    (tmp_path / "toy" / "toy" / "images").mkdir(parents=True)
    for number in range(6):
        pixels = np.full((128, 128, 3), 10 * number, np.uint8)
        pixels[0, 0] = (255, 0, 3)
        Image.fromarray(pixels).save(tmp_path / "toy" / "toy" / "images" / f"{number:06d}.png")
    return tmp_path


@pytest.mark.parametrize("size", [64, 128])
def test_images_come_in_the_order_of_their_numbers(folder, tmp_path, size):
    from bench.datasets.base import DataStore

    rows = TOY.frames(DataStore(folder, tmp_path / "cache", f"key {size}"), size)
    assert rows.shape == (6, 3, size, size)
    np.testing.assert_array_equal(rows[np.arange(6)][:, 1, -1, -1], 10 * np.arange(6))
    corner = rows[np.array([5])][0, :, 0, 0]
    assert corner.tolist() == ([255, 0, 3] if size == 128 else [101, 38, 38])  # means of four, halves up


def test_a_source_is_known_by_its_content_and_must_be_whole(folder):
    images = folder / "toy" / "toy" / "images"
    first = TOY.source(folder)
    assert first.kind == "official"
    (images / "000000.png").write_bytes((images / "000001.png").read_bytes())
    assert TOY.source(folder).fingerprint != first.fingerprint
    (images / "000004.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"^toy: 000004.png is not in .*which has 5 of 6 images; unpack"):
        TOY.source(folder)


def test_no_folder_says_how_to_get_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="It must be obtained by hand: `bench data fetch falcor3d` says how"):
        falcor3d.GRID.source(tmp_path)


@pytest.mark.parametrize("damage", ["cut", "small", "text"])
def test_damaged_images_are_named(folder, damage):
    path = folder / "toy" / "toy" / "images" / "000002.png"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:60])
    elif damage == "small":
        Image.new("RGB", (64, 64)).save(path)
    else:
        path.write_text("<html>")
    with pytest.raises(ValueError, match=r"^toy/000002.png: is (no PNG image, or damaged|64 × 64)"):
        read_image(path)


def test_means_of_blocks_round_half_up():
    pixels = np.array([[0, 1, 255, 255], [0, 1, 255, 254]], np.uint8)[..., None]
    assert reduced(pixels, 2).ravel().tolist() == [1, 255]


STRIDES = {
    "falcor3d": (46656, 7776, 1296, 216, 36, 6, 1),
    "isaac3d": (245760, 30720, 6144, 1536, 384, 96, 16, 4, 1),
}


@pytest.mark.parametrize("module", [falcor3d, isaac3d], ids=["falcor3d", "isaac3d"])
def test_official_grids_have_the_published_strides_and_single_factor_sequences(module):
    sizes = module.GRID.sizes
    assert len(module.GRID) == {"falcor3d": 233_280, "isaac3d": 737_280}[module.NAME]
    strides = [int(np.prod(sizes[i + 1 :])) for i in range(len(sizes))]
    assert tuple(strides) == STRIDES[module.NAME]
    info = module.describe(registry.dataset(module.NAME).config())
    moves = GridMoves(info.factors, module.COURSE, lambda cells: np.zeros((len(cells), 1, 1, 1), np.uint8))
    n_kinds = len(info.transformations)
    amounts = np.repeat(np.eye(n_kinds)[np.arange(600) % n_kinds][:, None], info.n_frames - 1, axis=1)
    _, start = moves.begin(amounts, "train", np.random.default_rng(0))
    times = np.tile(np.arange(info.n_frames), (600, 1))
    _, factors = moves.run(start, amounts, times)
    numbers = np.ravel_multi_index(np.moveaxis(factors, -1, 0), sizes)
    for n in range(600):
        name = info.transformations[n % n_kinds]
        column = info.factors.names.index(name)
        assert ((np.diff(factors[n], axis=0) != 0).sum(0) > 0).nonzero()[0].tolist() == [column]
        assert factors[n, :, column].tolist() == list(range(info.n_frames))
        assert (np.diff(numbers[n]) == strides[column]).all()


@pytest.mark.data
@pytest.mark.skipif(not FRAMES.is_dir(), reason="BENCH_DATA names no folder with nvidia_highres_frames")
@pytest.mark.parametrize("module", [falcor3d, isaac3d], ids=["falcor3d", "isaac3d"])
def test_factors_are_those_of_the_authors_traversals(module, tmp_path):
    """Each strip as the folder of a grid of one factor: read back through the reader, it moves as it was drawn."""
    with np.load(FRAMES / f"{module.NAME}_traversals_128.npz") as found:
        arrays = dict(found)
    assert tuple(arrays["factor_names"]) == tuple(module.SIZES)
    assert tuple(arrays["factor_sizes"]) == module.GRID.sizes
    for i, (name, size) in enumerate(module.SIZES.items()):
        strip = arrays["images"][arrays["varied_factor"] == i]
        assert arrays["value"][arrays["varied_factor"] == i].tolist() == list(range(size))
        small = PngGrid("strip", f"{i}/images", "no-id", (size,))
        folder = tmp_path / "strip" / str(i) / "images"
        folder.mkdir(parents=True)
        for number, image in enumerate(strip):
            Image.fromarray(image).save(folder / f"{number:06d}.png")
        space = FactorSpace((name,), (size,), ("ordinal",), (True,))
        course = Course((name,), size - 1)
        frames = np.stack([read_image(folder / f"{n:06d}.png") for n in range(size)])
        assert small.source(tmp_path).kind == "official"
        data = TransformingGrid(grid_info((3, 128, 128), space, course), course, lambda c, f=frames: f[c[:, 0]])
        split = "train" if hashed(np.array([0]))[0] % 5 else "test"
        moved = data.moved(1, np.ones((size - 1, 1)), np.random.default_rng(0), split)[0]
        np.testing.assert_array_equal(moved.transpose(0, 2, 3, 1), strip)
        assert (np.abs(np.diff(strip.astype(int), axis=0)).mean((1, 2, 3)) > 0.1).all()
