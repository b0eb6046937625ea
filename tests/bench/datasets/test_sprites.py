"""Sprites: characters rebuilt from sheets and layers, the published split, and the drawn figures."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from opened_dataset import opened
from PIL import Image

from bench import registry
from bench.datasets.figure_renderer import ORDERS, figure_layers
from bench.datasets.sprites import (
    CELLS,
    PARTS,
    SHEETS,
    attributes,
    character_order,
    compose,
    lpc_poses,
    read_layers,
    sheet_layers,
)

REAL = Path(os.environ.get("BENCH_DATA", "/no data")) / "lpc_sprites"


def needs_artwork(test):
    there = (REAL / "layers.npz").is_file()
    return pytest.mark.data(pytest.mark.skipif(not there, reason="no artwork below BENCH_DATA")(test))


HASHES = """
ddaaca5cbc2cef5d3742748c86bca020ff5a17901edf87ec114c079e642c8a42
7b53e4497a7c7768b2270ca6bf7047315063d5a52fd60890f280c112bf17526a
e5af7f7c2e1c24dd1d3d5f9774d4f45eefcf5635361f3ca59bdf5f172e373506
a907e436367cbcd067d0325b6802e911a0508798ff4e045b4b045395d9e4cbd4
4f75c635992ef9692db3a1535d0e94df6ec54306b343bbf81e21ae6b3d724d82
8e712d62d76dc998180ae8324432cb2079bbd4fc92a6d9e69637c1e8af133604
8aabebcbc6d4b070562a073ec5cd6d7a4916fcfadb23c5d3c66690fa1c592abe
2e83d18ccf14f6b2d1ec59eb804a9a8f5a73a3dd9eb5d613d5e04a7e161fecfc
147160c0850d1ef62ddbf32fff1980876282adc71730dafa1c2c20bc8c41566d
""".split()  # noqa: SIM905


@pytest.fixture(scope="module")
def figures():
    return figure_layers()


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return opened("sprites", tmp_path_factory.mktemp("sprites"), n_train=6, n_val=2, n_test=3, source="generated")


@needs_artwork
@pytest.mark.slow
def test_every_training_sequence_equals_the_authors_bit_for_bit():
    layers = read_layers(REAL / "layers.npz")
    digests = [hashlib.sha256() for _ in HASHES]
    total = np.zeros(3)
    for n, variants in enumerate(attributes(character_order())):
        frames = compose(layers, variants)
        total += frames.sum(axis=(0, 1, 3, 4), dtype=np.int64)
        if n < 1_000:
            for digest, sequence in zip(digests, frames.transpose(0, 1, 3, 4, 2), strict=True):
                digest.update(np.ascontiguousarray(sequence))
    assert [digest.hexdigest() for digest in digests] == HASHES
    np.testing.assert_allclose(total / (1_296 * 72 * 64**2), [26.654, 21.865, 20.754], atol=6e-4)


@needs_artwork
def test_rendered_characters_of_both_splits_are_rebuilt():
    layers, sample = read_layers(REAL / "layers.npz"), np.load(REAL / "rendered_sample.npz")
    order = character_order()
    np.testing.assert_array_equal(sample["character"], np.r_[order[:24], order[1_000:1_012]])
    np.testing.assert_array_equal(sample["attributes"], attributes(sample["character"]))
    for variants, images in zip(sample["attributes"], sample["images"], strict=True):
        np.testing.assert_array_equal(compose(layers, variants), images.transpose(0, 1, 4, 2, 3))


def test_frames_are_cut_from_the_published_cells():
    assert CELLS[0].tolist() == [138, 131, 132, 133, 134, 135, 136, 137]  # walk, front
    assert CELLS[4].tolist() == [13, 14, 15, 16, 17, 18, 17, 19]  # spellcast, left
    assert CELLS[8].tolist() == [195, 196, 197, 198, 199, 200, 199, 195]  # slash, right
    assert lpc_poses()[[0, 4, 8]].tolist() == [[*range(8)], [0, 1, 2, 3, 4, 5, 4, 7], [0, 1, 2, 3, 4, 5, 4, 0]]


def test_characters_follow_the_published_permutation():
    order = character_order()
    assert order[:10].tolist() == [1116, 1135, 17, 469, 1293, 491, 869, 961, 91, 793]
    assert sorted(order) == [*range(1_296)]
    assert attributes(np.array([1116])).tolist() == [[5, 1, 0, 0]]  # 216 · 5 + 36


@pytest.mark.parametrize(
    ("config", "sizes"),
    [
        pytest.param({}, (8_100, 900, 2_664), id="validation held out"),
        pytest.param({"n_train": 1_000, "n_val": 0}, (9_000, 0, 2_664), id="as published"),
        pytest.param({"n_train": 250, "n_val": 30, "n_test": 100}, (2_250, 270, 900), id="quick"),
    ],
)
def test_splits_have_the_published_sizes_and_share_no_character(config, sizes):
    config = registry.dataset("sprites").config(**config)
    order = character_order()
    train, val = order[: config.n_train], order[1_000 - config.n_val : 1_000]
    test = order[1_000 : 1_000 + config.n_test]
    assert (9 * len(train), 9 * len(val), 9 * len(test)) == sizes
    assert len({*train, *val, *test}) == sum(sizes) // 9


def test_labels_say_what_was_drawn(drawn, figures):
    assert {name: len(drawn.every(name).x) for name in drawn.splits} == {"train": 54, "val": 18, "test": 27}
    characters = character_order()[[*range(6), 998, 999, 1000, 1001, 1002]]
    np.testing.assert_array_equal(drawn.factors[::9, 0, 1:5], attributes(characters))
    for frames, factors in zip(drawn.frames, drawn.factors, strict=True):
        action, *variants = factors[0, :5]
        assert (factors[:, :5] == factors[0, :5]).all()
        np.testing.assert_array_equal(frames, compose(figures, variants)[action])
        same = (frames[:, None] == frames[None]).all(axis=(2, 3, 4))
        np.testing.assert_array_equal(same, factors[:, None, 5] == factors[None, :, 5])
    info = drawn.info
    assert dict(zip(info.factors.names, info.factors.dynamic, strict=True)) == {
        "action": True, "body": False, "bottom": False, "top": False, "hair": False, "pose": True,
    }  # fmt: skip
    assert info.judged == ("action", "body", "bottom", "top", "hair")


def test_motions_show_the_same_drawings_so_only_their_order_tells_them_apart(figures):
    assert (np.sort(ORDERS, axis=1) == np.sort(ORDERS[0])).all()
    assert (ORDERS[1, 4], ORDERS[2, 4], ORDERS[2, 0]) == (ORDERS[1, 6], ORDERS[2, 6], ORDERS[2, 7])  # as in the sheets
    frames = compose(figures, np.array([1, 2, 3, 4])).reshape(3, 3, 8, -1)
    for direction in range(3):
        drawings = [sorted(frame.tobytes() for frame in frames[motion, direction]) for motion in range(3)]
        assert drawings[0] == drawings[1] == drawings[2]
        differ = [(frames[a, direction] != frames[b, direction]).any(1).sum() for a, b in ((0, 1), (0, 2), (1, 2))]
        assert min(differ) >= 5


def test_left_and_right_are_mirrored_and_their_outlines_differ_little(figures):
    frames = compose(figures, np.zeros(4, int))[:3]
    np.testing.assert_array_equal(frames[1], frames[2, ..., ::-1])
    front, left, right = frames.any(axis=2)
    assert 0 < (left != right).mean() < 0.2 * (front != right).mean()


@pytest.mark.parametrize("part", PARTS[:4])
def test_variants_of_a_part_differ_in_colour_and_some_in_outline(part, figures):
    cells = figures[part]
    assert len({cell.tobytes() for cell in cells}) == 6
    outlines = {(cell[..., 3] > 0).tobytes() for cell in cells}
    assert len(outlines) >= 3  # at least two variants change it


def test_a_half_transparent_pixel_is_blended_as_pillow_does(figures):
    layers = {part: np.zeros((6, 9, 8, 64, 64, 4), np.uint8) for part in PARTS}
    layers["body"][0, 0, 0, 5, 7] = 200, 100, 50, 255
    layers["topwear"][0, 0, 0, 5, 7] = 10, 20, 30, 230
    frame = compose(layers, np.zeros(4, int))[0, 0]
    mixed = [round((230 * a + 25 * b) / 255) for a, b in zip((10, 20, 30), (200, 100, 50), strict=True)]
    assert frame[:, 5, 7].tolist() == mixed
    assert frame.sum() == sum(mixed)


def test_sheets_are_cut_into_the_cells_of_each_frame(tmp_path):
    for number, file in enumerate(SHEETS):
        sheet = np.zeros((21, 64, 13, 64, 4), np.uint8)
        sheet[..., 0] = np.arange(21 * 13).reshape(21, 1, 13, 1) % 256
        sheet[..., 1], sheet[..., 3] = number, 255
        sheet[:, 0, :, 0, 2] = 9  # a corner
        path = tmp_path / file.name
        path.parent.mkdir(exist_ok=True)
        picture = Image.fromarray(sheet.reshape(1_344, 832, 4))
        (picture.convert("RGB").quantize(256) if number == 3 else picture).save(path, compress_level=1)
    layers = sheet_layers(tmp_path)
    names = [file.name for file in SHEETS]
    assert layers["shoes"].shape == (1, 9, 8, 64, 64, 4)
    for part in PARTS[:4]:
        for variant in range(6):
            number = names.index(f"{part}/{variant}.png")
            if number != 3:  # a palette has fewer colours than these cells
                np.testing.assert_array_equal(layers[part][variant, :, :, 3, 4, 0], CELLS % 256)
                assert (layers[part][variant, ..., 1] == number).all()
                assert (layers[part][variant, :, :, 0, 0, 2] == 9).all()
    Image.new("RGB", (64, 64)).save(tmp_path / "hair/2.png")
    with pytest.raises(ValueError, match=r"sprites/hair/2.png: no sheet \(is 64 × 64, wanted 832 × 1344\)"):
        sheet_layers(tmp_path)


def test_other_content_is_not_taken_for_the_artwork(tmp_path):
    path = tmp_path / "lpc_sprites/layers.npz"
    path.parent.mkdir()
    np.savez(path, body=np.zeros(3))
    with pytest.raises(ValueError, match=r"sprites: layers.npz in DATA_ROOT/lpc_sprites has other content .*\[source="):
        opened("sprites", tmp_path)
    with pytest.raises(ValueError, match=r"lpc_sprites/layers.npz: is damaged or another file"):
        read_layers(path)


def test_frames_bring_the_motion_of_their_cells(drawn):
    batch = next(drawn.batches("sequences", 5, np.random.default_rng(0), extras=("flow_cells",)))
    cells = batch.extras["flow_cells"].numpy()
    assert cells.shape == (5, 8, 2, 9)
    assert not cells[:, 0].any()
    assert (cells[:, 1:, 0].sum(axis=2) >= 1).all()  # every drawing differs from the one before


@pytest.mark.parametrize(
    ("parameter", "value", "wanted"),
    [("n_train", 901, "1 … 900"), ("n_val", 1000, "0 … 999"), ("n_test", 0, "1 … 296")],
)
def test_impossible_parameters_are_named(parameter, value, wanted):
    with pytest.raises(ValueError, match=f"sprites: {parameter} must be {wanted} characters, got {value}"):
        registry.dataset("sprites").config(**{parameter: value})
