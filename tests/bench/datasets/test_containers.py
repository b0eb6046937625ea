"""Containers: what they draw, that a generator's state decides it, and what they refuse."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from bench.datasets.base import DataInfo, FactorSpace
from bench.datasets.containers import GridData, ImageData, PairData, SequenceData

SHAPE = (1, 2, 2)
SPACE = FactorSpace(("row", "column"), (3, 4), ("ordinal", "ordinal"), (True, True))
CELLS = np.stack(np.unravel_index(np.arange(12), (3, 4)), axis=1)
FRAMES = np.arange(12, dtype=np.uint8)[:, None, None, None] * np.ones(SHAPE, np.uint8)  # a frame shows its number
PAIRS = np.stack([np.arange(12), (np.arange(12) + 5) % 12], axis=1)


def info(*views, has_grid=False):
    return DataInfo(SHAPE, views, SPACE, has_grid=has_grid)


def images():
    return ImageData(info("images"), FRAMES, CELLS, {"train": np.arange(8), "test": np.arange(8, 12)})


def pairs():
    return PairData(info("pairs", "images"), FRAMES, CELLS, PAIRS)


def grid():
    return GridData(
        info("pairs", "images", has_grid=True), FRAMES, CELLS, PAIRS, lambda cells, rng: FRAMES[cells @ [4, 1]]
    )


def sequences():
    splits = {"train": np.arange(1, 4), "test": np.arange(1)}
    about = replace(info("sequences", "images"), n_frames=3, extras={"number": (2,)})
    extras = {"number": lambda: np.stack([np.arange(4), np.arange(4) ** 2], axis=1)}
    return SequenceData(about, FRAMES.reshape(4, 3, *SHAPE), CELLS.reshape(4, 3, 2), splits, extras=extras)


ALL = [(images, "images"), (pairs, "pairs"), (pairs, "images"), (grid, "pairs"), (sequences, "sequences")]


def shown(x):
    """The number that each frame shows: (batch, time)."""
    return (x[:, :, 0, 0, 0] * 255).round().long().numpy()


@pytest.mark.parametrize(("make", "view"), ALL)
def test_a_stored_generator_state_goes_on_with_the_same_batches(make, view):
    rng = np.random.default_rng(3)
    draws = make().batches(view, 6, rng)
    next(draws)
    state = rng.bit_generator.state
    expected = list(islice(draws, 4))

    again = np.random.default_rng(0)
    again.bit_generator.state = state
    for draw, old in zip(make().batches(view, 6, again), expected, strict=False):
        torch.testing.assert_close(draw.x, old.x, rtol=0, atol=0)
        torch.testing.assert_close(draw.index, old.index, rtol=0, atol=0)


@pytest.mark.parametrize(("make", "view"), ALL)
def test_batches_are_what_the_spec_says(make, view):
    spec = make().spec(view)
    draw = next(make().batches(view, 5, np.random.default_rng(0)))
    assert draw.x.shape == (5, spec.n_frames, *spec.observation_shape)
    assert draw.x.dtype == torch.float32
    assert draw.x.min() >= 0
    assert draw.x.max() <= 11 / 255
    assert draw.index.dtype == torch.int64
    many = next(make().batches(view, 2_000, np.random.default_rng(0))).index
    assert sorted(many.unique().tolist()) == list(range(spec.n_train))


@pytest.mark.parametrize("make", [pairs, grid])
def test_images_are_the_frames_of_the_same_pairs_in_order(make):
    of_pairs = make().batches("pairs", 7, np.random.default_rng(5))
    of_images = make().batches("images", 14, np.random.default_rng(5))
    for draw, single in islice(zip(of_pairs, of_images, strict=False), 3):
        torch.testing.assert_close(single.x[:, 0], draw.x.flatten(0, 1), rtol=0, atol=0)
        np.testing.assert_array_equal(single.index[::2] // 2, draw.index)


def test_an_odd_number_of_images_leaves_out_the_last_frame():
    draw = next(pairs().batches("images", 3, np.random.default_rng(5)))
    longer = next(pairs().batches("images", 4, np.random.default_rng(5)))
    torch.testing.assert_close(draw.x, longer.x[:3], rtol=0, atol=0)


def test_a_pair_shows_the_frames_of_its_index():
    draw = next(pairs().batches("pairs", 50, np.random.default_rng(0)))
    np.testing.assert_array_equal(shown(draw.x), PAIRS[draw.index.numpy()])


def test_a_sequence_shows_the_frames_of_its_index():
    draw = next(sequences().batches("sequences", 20, np.random.default_rng(0)))
    np.testing.assert_array_equal(shown(draw.x), 3 * (1 + draw.index.numpy()[:, None]) + np.arange(3))
    single = next(sequences().batches("images", 20, np.random.default_rng(0)))
    np.testing.assert_array_equal(shown(single.x)[:, 0], 3 + single.index)


@pytest.mark.parametrize(("make", "view"), ALL)
def test_labels_belong_to_their_frames(make, view):
    drawn = make().labelled(40, np.random.default_rng(0), view=view)
    np.testing.assert_array_equal(drawn.factors @ [4, 1], drawn.x[:, :, 0, 0, 0])
    assert drawn.factors.dtype == np.int64
    assert drawn.x.shape[:2] == drawn.factors.shape[:2]


def test_splits_do_not_mix():
    rng = np.random.default_rng(0)
    assert set(images().labelled(200, rng, "test").x.ravel()) == {8, 9, 10, 11}
    assert set(shown(next(images().batches("images", 200, rng)).x).ravel()) == set(range(8))


def test_labelled_images_of_a_grid_are_uniform_on_it():
    drawn = grid().labelled(12_000, np.random.default_rng(0))
    counts = np.bincount((drawn.factors[:, 0] @ [4, 1]), minlength=12)
    np.testing.assert_allclose(counts / 12_000, 1 / 12, atol=0.01)


def test_groups_of_sequences_are_their_rows():
    drawn = sequences().labelled(30, np.random.default_rng(0))
    np.testing.assert_array_equal(drawn.groups, drawn.x[:, 0, 0, 0, 0] // 3)


def test_extras_of_a_batch_belong_to_its_sequences():
    draw = next(sequences().batches("sequences", 50, np.random.default_rng(0), extras=("number",)))
    rows = draw.x[:, 0, 0, 0, 0].mul(255).round().long() // 3
    assert set(rows.tolist()) == {1, 2, 3}
    assert torch.equal(draw.extras["number"], torch.stack([rows, rows**2], dim=1))
    assert next(sequences().batches("sequences", 2, np.random.default_rng(0))).extras == {}


def test_every_sequence_of_a_split_comes_once_in_order():
    drawn = sequences().every("train")
    np.testing.assert_array_equal(drawn.groups, [1, 2, 3])
    np.testing.assert_array_equal(drawn.x[:, :, 0, 0, 0], np.arange(3, 12).reshape(3, 3))
    np.testing.assert_array_equal(drawn.factors, CELLS[3:].reshape(3, 3, 2))


def test_features_pass_unscaled():
    space = FactorSpace(("word",), (2,), ("categorical",), (False,))
    x = np.linspace(-3, 3, 24, dtype=np.float32).reshape(2, 3, 4)
    data = SequenceData(DataInfo((4,), ("sequences",), space, n_frames=3), x, np.zeros((2, 3, 1), np.int64))
    draw = next(data.batches("sequences", 8, np.random.default_rng(0)))
    np.testing.assert_array_equal(draw.x, x[draw.index])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pairs().batches("sequences", 4, np.random.default_rng(0)), "view 'sequences' is not offered"),
        (lambda: pairs().batches("pairs", 0, np.random.default_rng(0)), "batch_size must be at least 1, got 0"),
        (
            lambda: sequences().batches("sequences", 1, np.random.default_rng(0), extras=("flow",)),
            "bring no 'flow'; it has number",
        ),
        (lambda: pairs().labelled(4, np.random.default_rng(0), "test"), "split 'test' does not exist.*only train"),
        (
            lambda: grid().render(np.array([[2, 4]]), np.random.default_rng(0)),
            "'column' has values 0 … 3, got 4 in row 0",
        ),
        (lambda: grid().render(np.array([[0.5, 1]]), np.random.default_rng(0)), "class indices"),
        (lambda: ImageData(info("images"), FRAMES, CELLS[:5]), r"factors must be \(12, 2\) int64"),
        (lambda: ImageData(info("images"), FRAMES[:, 0], CELLS), "do not end in the observation shape"),
        (lambda: PairData(info("pairs"), FRAMES, CELLS, PAIRS[:0]), "pairs must be .* not empty"),
        (lambda: GridData(info("pairs"), FRAMES, CELLS, PAIRS, len), "discrete factors on a grid"),
    ],
)
def test_wrong_calls_fail_before_anything_is_drawn(call, message):
    with pytest.raises(ValueError, match=message):
        call()
