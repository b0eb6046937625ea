"""The container of moving observations: what its views show, what decides a batch, and the laws of amounts."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import torch

from bench.datasets.base import DataInfo, FactorSpace
from bench.datasets.transformation_data import (
    TransformationData,
    at_times,
    single_amounts,
    switching_amounts,
    totals,
)

N_STEPS, KINDS = 4, ("once", "tenfold")
SIZES = {"train": 5, "test": 2}
VIEWS = ("transformations", "pairs", "images")
INFO = DataInfo(
    (2, 1, 1),
    VIEWS,
    FactorSpace(("row", *KINDS), (7, 5, 5), ("ordinal",) * 3, (False, True, True)),
    n_frames=N_STEPS + 1,
    transformations=KINDS,
)


class Counters:
    """A frame shows its row in one channel and once + 10 tenfold in the other."""

    def begin(self, amounts, split, rng):
        index = rng.integers(SIZES[split], size=len(amounts))
        return index, index + (5 if split == "test" else 0)

    def run(self, start, amounts, times):
        gone = at_times(totals(amounts), times).astype(np.int64)
        rows = np.broadcast_to(start[:, None], times.shape)
        frames = np.stack([rows, gone @ [1, 10]], axis=-1).astype(np.uint8)[..., None, None]
        return frames, np.concatenate([rows[..., None], gone], axis=-1)


def counters(shares_amounts=False):
    return TransformationData(INFO, Counters(), single_amounts(N_STEPS, 2), SIZES, shares_amounts)


def shown(x):
    return (x[..., 0, 0] * 255).round().long().numpy()


def test_a_sequence_shows_its_row_and_what_acted():
    draw = next(counters().batches("transformations", 40, np.random.default_rng(0)))
    assert draw.x.shape == (40, N_STEPS + 1, 2, 1, 1)
    assert draw.transformation.shape == (40, N_STEPS, 2)
    assert draw.transformation.dtype == torch.float32
    np.testing.assert_array_equal(shown(draw.x)[:, :, 0], draw.index[:, None].expand(-1, N_STEPS + 1))
    np.testing.assert_array_equal(shown(draw.x)[:, :, 1], totals(draw.transformation.numpy()) @ [1, 10])
    assert set(draw.transformation.sum(1).flatten().tolist()) == {0.0, N_STEPS}


def test_pairs_are_neighbours_of_sequences_of_their_own():
    draw = next(counters().batches("pairs", 400, np.random.default_rng(0)))
    pairs, step = shown(draw.x), draw.transformation.numpy()
    assert step.shape == (400, 1, 2)
    np.testing.assert_array_equal(pairs[:, 1, 1] - pairs[:, 0, 1], step[:, 0] @ [1, 10])
    np.testing.assert_array_equal(draw.index // N_STEPS, pairs[:, 0, 0])
    assert set(pairs[:, 0, 1]) == {0, 1, 2, 3, 10, 20, 30}


def test_images_are_any_frame():
    draw = next(counters().batches("images", 400, np.random.default_rng(0)))
    assert draw.transformation is None
    assert set(shown(draw.x)[:, 0, 1]) == {0, 1, 2, 3, 4, 10, 20, 30, 40}
    assert set(draw.index.tolist()) == set(range(SIZES["train"] * (N_STEPS + 1)))


@pytest.mark.parametrize("view", VIEWS)
def test_a_stored_generator_state_goes_on_with_the_same_batches(view):
    rng = np.random.default_rng(3)
    draws = counters().batches(view, 6, rng)
    next(draws)
    state = rng.bit_generator.state
    expected = list(islice(draws, 3))
    again = np.random.default_rng(0)
    again.bit_generator.state = state
    for draw, old in zip(counters().batches(view, 6, again), expected, strict=False):
        assert torch.equal(draw.x, old.x)
        assert torch.equal(draw.index, old.index)
        assert view == "images" or torch.equal(draw.transformation, old.transformation)


@pytest.mark.parametrize("view", VIEWS)
def test_the_spec_counts_what_the_index_counts(view):
    spec = counters().spec(view)
    index = next(counters().batches(view, 2_000, np.random.default_rng(0))).index
    assert sorted(index.unique().tolist()) == list(range(spec.n_train))
    assert (spec.n_frames, spec.transformations, spec.n_sequences) == (INFO.frames_of(view), KINDS, 5)


def test_the_sequences_of_a_batch_move_alike_where_the_authors_do_so_but_labelled_ones_do_not():
    data = counters(shares_amounts=True)
    kinds = set()
    for draw in islice(data.batches("transformations", 20, np.random.default_rng(0)), 12):
        assert len(draw.transformation.unique(dim=0)) == 1
        assert len(draw.index.unique()) > 1
        kinds.add(draw.transformation[0, 0].argmax().item())
    assert kinds == {0, 1}
    assert len(np.unique(data.labelled(20, np.random.default_rng(0)).amounts, axis=0)) == 2
    assert len(next(data.batches("pairs", 40, np.random.default_rng(0))).transformation.unique(dim=0)) == 2


@pytest.mark.parametrize("view", VIEWS)
def test_labels_belong_to_their_frames(view):
    drawn = counters().labelled(50, np.random.default_rng(0), "test", view)
    np.testing.assert_array_equal(drawn.factors[..., 0], drawn.x[:, :, 0, 0, 0])
    np.testing.assert_array_equal(drawn.factors[..., 1:] @ [1, 10], drawn.x[:, :, 1, 0, 0])
    assert set(drawn.factors[:, 0, 0]) == {5, 6}
    if view == "images":
        assert drawn.amounts is None
    else:
        np.testing.assert_array_equal(np.diff(drawn.factors[..., 1:], axis=1), drawn.amounts)


def test_moved_does_what_it_is_told():
    switch = np.array([[1, 0], [2, 0], [0, 1], [1, 1]], np.float32)
    frames = counters().moved(30, switch, np.random.default_rng(0), "test")
    np.testing.assert_array_equal(frames[:, :, 1, 0, 0], np.tile([0, 1, 3, 13, 24], (30, 1)))
    assert set(frames[:, :, 0].ravel()) == {5, 6}
    each = np.stack([switch[:2], 0 * switch[:2]])
    frames = counters().moved(2, each, np.random.default_rng(0))
    np.testing.assert_array_equal(frames[:, :, 1, 0, 0], [[0, 1, 3], [0, 0, 0]])


@pytest.mark.parametrize(
    ("amounts", "message"),
    [
        (np.ones((4, 3)), r"amounts must be \(n_steps, 2\) or \(6, n_steps, 2\), got \(4, 3\)"),
        (np.ones((5, 4, 2)), r"got \(5, 4, 2\)"),
        (np.full((4, 2), np.nan), "must be finite"),
    ],
)
def test_moved_refuses_other_amounts(amounts, message):
    with pytest.raises(ValueError, match=message):
        counters().moved(6, amounts, np.random.default_rng(0))


def test_spikes_have_the_marginals_of_their_chain():
    """Exact rates of the chain over the seven states that are not all off, from its transition matrix."""
    states = np.array([[i >> 2 & 1, i >> 1 & 1, i & 1] for i in range(1, 8)])
    fresh = np.prod(np.where(states, 0.1, 0.9), axis=1)
    kept = np.prod(np.where(states[:, None] == states, 0.9, 0.1), axis=2)
    switch = kept + (1 - kept.sum(1, keepdims=True)) * fresh / fresh.sum()
    rates, p = [], fresh / fresh.sum()
    for _ in range(8):
        rates.append((p @ states).mean())
        p = p @ switch
    # as computed elsewhere for the same chain, to three digits
    np.testing.assert_allclose(rates, [0.369, 0.422, 0.461, 0.490, 0.511, 0.526, 0.538, 0.546], atol=6e-4)
    drawn = switching_amounts(8, 3, 0.1, 0.0)(40_000, np.random.default_rng(0))
    assert set(np.unique(drawn)) == {0, 1}
    assert (drawn.sum(2) > 0).all()
    np.testing.assert_allclose(drawn.mean((0, 2)), rates, atol=0.005)  # three standard errors: 0.0043


def test_speeds_are_absolute_laplace_draws_where_something_acts():
    drawn = switching_amounts(8, 3, 0.1, 0.1)(10_000, np.random.default_rng(0))
    speeds = drawn[drawn > 0]
    assert np.median(speeds) == pytest.approx(1, abs=0.002)
    assert np.abs(speeds - 1).mean() == pytest.approx(0.1, abs=0.002)
    assert (drawn >= 0).all()
