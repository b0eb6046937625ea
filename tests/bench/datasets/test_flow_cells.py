"""Motion of cells by block matching: exact on patterns that are moved by whole pixels."""

import numpy as np
import pytest

from bench.datasets.flow_cells import REACH, displacements, flow_cells

RNG = np.random.default_rng(0)
# to the right, right and up, up, … as the bins are numbered
STEPS = [(0, 3), (-2, 2), (-4, 0), (-1, -1), (0, -2), (3, -3), (1, 0), (4, 4)]


def pasted(patch, *places):
    """Frames (1, time, 1, 64, 64) with a patch at these rows and columns, on black."""
    frames = np.zeros((1, len(places), 1, 64, 64), np.uint8)
    for t, (row, column) in enumerate(places):
        frames[0, t, 0, row : row + patch.shape[0], column : column + patch.shape[1]] = patch
    return frames


@pytest.mark.parametrize(("direction", "step"), list(enumerate(STEPS)))
@pytest.mark.parametrize("cell", [0, 4, 5])
def test_a_pattern_within_a_cell_moves_that_cell_alone_in_its_direction(direction, step, cell):
    patch = RNG.integers(60, 256, size=(8, 8), dtype=np.uint8)
    start = np.array([[4, 4], [28, 28], [28, 52]][[0, 4, 5].index(cell)])
    cells = flow_cells(pasted(patch, start, start + step, start + step))
    expected = np.zeros((3, 2, 9))
    expected[1, :, cell] = 1, direction
    np.testing.assert_array_equal(cells[0], expected)


def test_a_picture_that_moves_as_a_whole_moves_every_block_by_its_step():
    scene = RNG.integers(256, size=(80, 80)).astype(np.int16)
    before, after = scene[8:72, 8:72], scene[5:69, 10:74]  # content goes down by 3 and to the left by 2
    moved = displacements(before[None], after[None])[0]
    np.testing.assert_array_equal(moved[1:, :-1], np.broadcast_to([3, -2], (7, 7, 2)))  # the rest came from outside


def test_three_cells_at_most_move_and_the_fastest_ones():
    patch = RNG.integers(60, 256, size=(10, 10), dtype=np.uint8)
    frames = np.zeros((1, 2, 1, 64, 64), np.uint8)
    speeds = {0: 1, 2: 4, 4: 3, 6: 2, 8: 4}
    for cell, speed in speeds.items():
        row, column = 5 + 21 * (cell // 3), 4 + 21 * (cell % 3)
        frames += pasted(patch, (row, column), (row, column + speed))
    moving, direction = flow_cells(frames)[0, 1]
    assert np.flatnonzero(moving).tolist() == [2, 4, 8]
    assert not direction.any()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda x: x, id="nothing changes"),
        pytest.param(lambda x: (0.99 * x).astype(np.uint8), id="the light goes down a little"),
        pytest.param(lambda x: x + RNG.integers(0, 2, size=x.shape, dtype=np.uint8), id="noise below the threshold"),
        pytest.param(lambda x: np.zeros_like(x), id="the picture vanishes"),
    ],
)
def test_what_does_not_move_rests(change):
    scene = (200 * np.add.outer(np.sin(np.arange(64) / 5), np.cos(np.arange(64) / 7)).clip(0, 1)).astype(np.uint8)
    frames = np.stack([scene, change(scene)])[None, :, None]
    assert not flow_cells(frames).any()


def test_colours_are_matched_too_and_shapes_and_types_are_as_announced():
    patch = np.zeros((3, 8, 8), np.uint8)
    patch[0] = RNG.integers(256, size=(8, 8))
    frames = np.zeros((2, 4, 3, 64, 64), np.uint8)
    for t in range(4):
        frames[1, t, :, 28:36, 26 + 2 * t : 34 + 2 * t] = patch
    cells = flow_cells(frames)
    assert cells.shape == (2, 4, 2, 9)
    assert cells.dtype == np.float32
    assert not cells[0].any()
    np.testing.assert_array_equal(cells[1, 1:, 0, 4], 1)
    assert not cells[1, 1:, 1].any()


def test_faster_than_the_reach_is_not_followed():
    patch = RNG.integers(60, 256, size=(8, 8), dtype=np.uint8)
    before, after = pasted(patch, (24, 16), (24, 16 + REACH + 4))[0, :, 0].astype(np.int16)
    assert np.abs(displacements(before[None], after[None])).max() <= REACH


def test_slow_motion_is_seen_over_a_longer_time():
    large = np.kron(RNG.integers(60, 256, size=(6, 6)), np.ones((8, 8)))
    frames = np.zeros((1, 9, 1, 64, 64), np.uint8)
    for t in range(9):  # a quarter of a pixel per frame, to the left: drawn four times as wide
        wide = np.zeros((64, 256))
        wide[24:36, 128 - t : 176 - t] = large[:12]
        frames[0, t, 0] = wide.reshape(64, 64, 4).mean(2)
    assert not flow_cells(frames)[0, :, 0].any()
    cells = flow_cells(frames, lag=4)[0]
    assert not cells[:2].any()  # no pixel yet
    assert (cells[4:, 0, 4] == 1).all()
    assert (cells[4:, 1, 4] == 4).all()


def test_frames_before_the_lag_are_compared_with_the_first():
    """What moves there must not be told to rest."""
    patch = RNG.integers(60, 256, size=(8, 8), dtype=np.uint8)
    frames = np.zeros((1, 5, 1, 64, 64), np.uint8)
    for t in range(5):
        frames[0, t, 0, 28:36, 26 + t : 34 + t] = patch
    cells = flow_cells(frames, lag=4)[0, :, :, 4]
    np.testing.assert_array_equal(cells[:, 0], [0, 1, 1, 1, 1])
    np.testing.assert_array_equal(cells[:, 1], 0)  # to the right
