"""SM-MNIST: the authors' loader step by step, frames as it adds them up, and splits that share no glyph."""

import gzip
import struct

import numpy as np
import pytest
from opened_dataset import opened
from PIL import Image

from bench import registry
from bench.datasets.sm_mnist import (
    MovingDigits,
    bundled_glyphs,
    enlarged,
    labels,
    pair_number,
    paths,
    trajectories,
)


@pytest.fixture(scope="module")
def bundled(tmp_path_factory):
    return opened("sm_mnist", tmp_path_factory.mktemp("sm"), n_train=60, n_val=20, n_test=30, source="bundled")


def loader(uniform, deterministic):
    """One digit's corners (row, column) as edenton/svg's moving_mnist.py walks, from given uniform numbers."""

    def randint(low, high, u):
        return low + int(u * (high - low))

    start, rest = uniform[:4], uniform[4:].reshape(15, 2, 2)
    sx, sy = (randint(0, 64 - 32, u) for u in start[:2])
    dx, dy = (randint(-4, 5, u) for u in start[2:])
    corners = []
    for t in range(15):
        (first, second), (third, fourth) = rest[t]
        if sy < 0:
            sy = 0
            dy, dx = (-dy, dx) if deterministic else (randint(1, 5, first), randint(-4, 5, second))
        elif sy >= 64 - 32:
            sy = 64 - 32 - 1
            dy, dx = (-dy, dx) if deterministic else (randint(-4, 0, first), randint(-4, 5, second))
        if sx < 0:
            sx = 0
            dx, dy = (-dx, dy) if deterministic else (randint(1, 5, third), randint(-4, 5, fourth))
        elif sx >= 64 - 32:
            sx = 64 - 32 - 1
            dx, dy = (-dx, dy) if deterministic else (randint(-4, 0, third), randint(-4, 5, fourth))
        corners.append((sy, sx))
        sy += dy
        sx += dx
    return corners


@pytest.mark.parametrize("deterministic", [False, True])
def test_digits_walk_as_the_authors_loader_lets_them(deterministic):
    uniform = np.random.default_rng(0).random((400, 64))
    expected = [loader(numbers, deterministic) for numbers in uniform]
    np.testing.assert_array_equal(paths(uniform, not deterministic), expected)


def test_places_are_always_within_the_frame_and_reach_its_edges():
    digits = np.arange(50) % 10
    for split in range(3):
        tracks = trajectories(split, 2_000, digits)
        assert (tracks[..., 1:].min(), tracks[..., 1:].max()) == (0, 31)
        assert tracks[..., 0].min() >= 0
        assert tracks[..., 0].max() < 50


def test_starts_and_speeds_are_uniform():
    places = trajectories(0, 6_000, np.zeros(50, int))[..., 1:].reshape(-1, 15, 2)
    starts = np.bincount(places[:, 0].ravel(), minlength=32) / (2 * len(places))
    np.testing.assert_allclose(starts, 1 / 32, atol=0.004)  # four standard deviations
    inner = places[(abs(places[:, 0] - 15.5) < 11).all(axis=1)]
    speeds = np.bincount((inner[:, 1] - inner[:, 0]).ravel() + 4, minlength=9) / (2 * len(inner))
    np.testing.assert_allclose(speeds, 1 / 9, atol=0.012)
    rests = (places == places[:, :1]).all(axis=(1, 2)).mean()
    assert rests == pytest.approx(1 / 81, abs=0.004)  # zero velocity is possible


def test_a_sequence_depends_on_its_split_and_number_alone():
    digits = np.arange(40) % 10
    few, many = trajectories(0, 5, digits), trajectories(0, 50, digits)
    np.testing.assert_array_equal(few, many[:5])
    assert len({track.tobytes() for split in range(3) for track in trajectories(split, 50, digits)}) == 150


def test_frames_are_what_float_sums_cut_off_at_one_would_be(bundled):
    glyphs, digits, _ = bundled_glyphs()
    tracks = trajectories(0, 20, digits[:1_048])
    frames = MovingDigits(glyphs, tracks)[np.arange(20)]
    for sequence, digits_of_it in zip(frames, tracks, strict=True):
        canvas = np.zeros((15, 64, 64), np.float32)
        for glyph, *places in digits_of_it:
            for frame, (row, column) in zip(canvas, np.reshape(places, (15, 2)), strict=True):
                frame[row : row + 32, column : column + 32] += glyphs[glyph].astype(np.float32) / 255
        np.testing.assert_array_equal(np.round(255 * np.minimum(canvas, 1)), sequence[:, 0])
    np.testing.assert_array_equal(bundled.frames[np.arange(20)], frames)


def test_frames_are_given_by_rows_and_by_rows_with_times(bundled):
    rows, times = np.array([3, 50, 3]), np.array([0, 14, 7])
    whole = bundled.frames[rows]
    assert whole.shape == (3, 15, 1, 64, 64)
    np.testing.assert_array_equal(bundled.frames[rows, times], whole[np.arange(3), times])
    np.testing.assert_array_equal(bundled.frames[2:5], bundled.frames[np.arange(2, 5)])
    np.testing.assert_array_equal(bundled.frames[rows[:, None], times], whole[:, times])


def test_labels_name_the_digits_and_where_they_are(bundled):
    glyphs, digits, _ = bundled_glyphs()
    drawn = bundled.every("test")
    pair, a, b = drawn.factors[..., :3].transpose(2, 0, 1)
    assert (a <= b).all()
    assert (drawn.factors[..., :3] == drawn.factors[:, :1, :3]).all()
    np.testing.assert_array_equal(pair, pair_number(a, b))
    for x, factors in zip(drawn.x[:10, :, 0], drawn.factors[:10], strict=True):
        boxes = np.zeros((15, 64, 64), bool)
        for t, (row_a, column_a, row_b, column_b) in enumerate(factors[:, 3:]):
            for row, column in ((row_a, column_a), (row_b, column_b)):
                boxes[t, row : row + 32, column : column + 32] = True
        assert not x[~boxes].any()
    assert glyphs[:, :, :].max() == 255
    assert set(digits) == set(range(10))


def test_positions_can_be_had_in_fewer_classes():
    tracks = trajectories(0, 30, np.arange(10))
    fine, coarse = labels(tracks, np.arange(10)), labels(tracks, np.arange(10), 8)
    np.testing.assert_array_equal(coarse[..., 3:], fine[..., 3:] // 4)
    np.testing.assert_array_equal(coarse[..., :3], fine[..., :3])


def test_pairs_are_numbered_once_each():
    a, b = np.triu_indices(10)
    assert sorted(pair_number(a, b)) == [*range(55)]
    assert [int(pair_number(*np.array(p))) for p in ((0, 0), (0, 9), (1, 1), (9, 9))] == [0, 9, 10, 54]


def write_idx(path, array):
    header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes()))


def test_files_of_mnists_layout_are_read_and_no_glyph_is_in_two_splits(tmp_path):
    folder = tmp_path / "mnist"
    folder.mkdir()
    rng = np.random.default_rng(0)
    images = {"train": rng.integers(256, size=(60, 28, 28), dtype=np.uint8),
              "t10k": rng.integers(256, size=(20, 28, 28), dtype=np.uint8)}  # fmt: skip
    for name, pictures in images.items():
        write_idx(folder / f"{name}-images-idx3-ubyte.gz", pictures)
        write_idx(folder / f"{name}-labels-idx1-ubyte.gz", (np.arange(len(pictures)) % 10).astype(np.uint8))
    data = opened("sm_mnist", tmp_path, n_train=200, n_val=100, n_test=100)
    assert "own files" in data.title
    shown = {name: set(data.frames._chosen[data._rows[name]].ravel()) for name in data.splits}
    assert shown["train"] == {*range(50)}
    assert shown["val"] == {*range(50, 60)}
    assert shown["test"] == {*range(60, 80)}
    glyph = np.asarray(Image.fromarray(images["t10k"][3]).resize((32, 32), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(data.frames._glyphs[63], glyph)


def test_bundled_glyphs_fill_the_range_of_grey_and_keep_to_their_splits(bundled):
    glyphs, digits, ends = bundled_glyphs()
    assert (len(glyphs), ends) == (1_797, (0, 1_048, 1_257, 1_797))
    assert (glyphs.min(axis=(1, 2)) == 0).all()
    assert (glyphs.max(axis=(1, 2)) == 255).all()
    for name, low, high in (("train", 0, 1_048), ("val", 1_048, 1_257), ("test", 1_257, 1_797)):
        chosen = bundled.frames._chosen[bundled._rows[name]]
        assert low <= chosen.min()
        assert chosen.max() < high
        assert set(digits[low:high]) == set(range(10))
    assert (
        enlarged(np.full((1, 8, 8), 7, np.uint8), Image.Resampling.BICUBIC).tolist() == np.full((1, 32, 32), 7).tolist()
    )


def test_digits_bring_the_motion_of_their_cells(bundled):
    batch = next(bundled.batches("sequences", 8, np.random.default_rng(0), extras=("flow_cells",)))
    assert batch.extras["flow_cells"].shape == (8, 15, 2, 9)
    assert batch.extras["flow_cells"][:, 1:, 0].sum() > 100


@pytest.mark.parametrize(
    ("parameter", "value", "words"),
    [
        ("n_val", 0, "must be at least 1"),
        ("bounces", "none", "must be"),
        ("source", "generated", "must be"),
        ("places", 5, "must be"),
    ],
)
def test_impossible_parameters_are_named(parameter, value, words):
    with pytest.raises(ValueError, match=f"sm_mnist: {parameter} {words}.*, got '?{value}"):
        registry.dataset("sm_mnist").config(**{parameter: value})
