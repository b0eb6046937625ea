"""A factor grid whose pairs are drawn for every batch: what is drawn, from which generator, and in which order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch

from bench.api import Method
from bench.datasets import grid
from bench.datasets.base import DataInfo, FactorSpace
from bench.datasets.grid import FactorGrid, GridConfig, cell_numbers, ends_function
from bench.evidence.evaluation import FrameRows
from bench.evidence.gathering import Evidence, available
from bench.running import metric_choice
from metrics.protocols import PROTOCOLS

SIZES = (3, 4, 5)
SPACE = FactorSpace(("a", "b", "c"), SIZES, ("categorical", "ordinal", "cyclic"), dynamic=(False, True, True))


@dataclass(frozen=True)
class Config(GridConfig):
    name: ClassVar[str] = "toy"
    n_factors: ClassVar[int] = 3


def show(cells, rng):
    """Frames (n, 1, 1, 3) that hold the cell itself."""
    return cells.astype(np.uint8)[:, None, None]


def show_anew(cells, rng):
    """As ``show``, with a random last pixel."""
    frames = show(cells, rng)
    frames[..., 2] = rng.integers(256, size=(len(cells), 1, 1))
    return frames


def toy(read=show, space=SPACE, random=False, **parameters):
    config = Config(**parameters)
    info = DataInfo((1, 1, 3), ("pairs", "images"), space, has_grid=True, render_is_random=random)
    return FactorGrid(info, read, ends_function(config, space, frozen=("a",)), "toy")


def drawn(batch):
    """Cells (n, time, 3) that a batch shows."""
    return np.rint(batch.x.numpy() * 255).astype(np.int64)[:, :, 0, 0]


@pytest.mark.parametrize("law", [{"transitions": "lap"}, {"transitions": "uni"}, {"transitions": "locatello"}])
@pytest.mark.parametrize("read", [show, show_anew])
@pytest.mark.parametrize("n", [1, 8, 33])
def test_images_are_the_frames_of_the_pairs_in_turn(law, read, n):
    data = toy(read, **law)
    pairs = next(data.batches("pairs", n, np.random.default_rng(4)))
    images = next(data.batches("images", 2 * n, np.random.default_rng(4)))
    np.testing.assert_array_equal(images.x.numpy(), pairs.x.flatten(0, 1)[:, None].numpy())
    odd = next(data.batches("images", 2 * n - 1, np.random.default_rng(4)))
    np.testing.assert_array_equal(drawn(odd)[..., :2], drawn(images)[:-1, ..., :2])


def test_index_is_the_cell_of_a_pairs_first_frame_and_of_an_image_its_own():
    data = toy()
    pairs = next(data.batches("pairs", 50, np.random.default_rng(0)))
    np.testing.assert_array_equal(pairs.index.numpy(), cell_numbers(drawn(pairs)[:, 0], SPACE))
    images = next(data.batches("images", 50, np.random.default_rng(0)))
    np.testing.assert_array_equal(images.index.numpy(), cell_numbers(drawn(images)[:, 0], SPACE))
    assert data.spec("pairs").n_train == data.spec("images").n_train == 60
    assert images.index.max() < 60


def test_cells_are_numbered_in_c_order():
    cells = np.stack(np.unravel_index(np.arange(60), SIZES), axis=1)
    np.testing.assert_array_equal(cell_numbers(cells, SPACE), np.arange(60))
    assert cell_numbers(np.array([[1, 2, 3]]), SPACE).tolist() == [1 * 20 + 2 * 5 + 3]


@pytest.mark.parametrize("view", ["pairs", "images"])
@pytest.mark.parametrize("read", [show, show_anew])
def test_a_run_that_goes_on_from_a_stored_state_sees_the_same_batches(view, read):
    data, rng = toy(read, rate=-1.0), np.random.default_rng(0)
    batches = data.batches(view, 16, rng)
    for _ in range(3):
        next(batches)
    state = rng.bit_generator.state
    expected = [next(batches) for _ in range(3)]
    again = np.random.default_rng(99)
    again.bit_generator.state = state
    resumed = toy(read, rate=-1.0).batches(view, 16, again)
    for batch in expected:
        other = next(resumed)
        np.testing.assert_array_equal(other.x.numpy(), batch.x.numpy())
        np.testing.assert_array_equal(other.index.numpy(), batch.index.numpy())


def test_starts_are_uniform_and_pairs_differ():
    data = toy()
    factors = data.labelled(30_000, np.random.default_rng(0), view="pairs").factors
    counts = np.bincount(cell_numbers(factors[:, 0], SPACE), minlength=60)
    assert np.abs(counts - 500).max() < 6 * np.sqrt(500)
    assert (factors[:, 0] != factors[:, 1]).any(axis=1).all()
    np.testing.assert_array_equal(factors[:, 0, 0], factors[:, 1, 0])


def test_labelled_images_are_uniform_cells_that_show_themselves():
    drawn = toy().labelled(6_000, np.random.default_rng(0))
    assert drawn.factors.shape == (6_000, 1, 3)
    assert drawn.factors.dtype == np.int64
    np.testing.assert_array_equal(drawn.x[:, 0, 0, 0], drawn.factors[:, 0])
    counts = np.bincount(cell_numbers(drawn.factors[:, 0], SPACE), minlength=60)
    assert np.abs(counts - 100).max() < 6 * np.sqrt(100)


def test_no_more_cells_are_read_at_once_than_fit(monkeypatch):
    sizes = []

    def read(cells, rng):
        sizes.append(len(cells))
        return show_anew(cells, rng)

    whole = toy(read).labelled(100, np.random.default_rng(0), view="pairs")
    monkeypatch.setattr(grid, "_CHUNK", 33)
    pieces = toy(read).labelled(100, np.random.default_rng(0), view="pairs")
    assert sizes == [200, 33, 33, 33, 33, 33, 33, 2]
    np.testing.assert_array_equal(pieces.factors, whole.factors)
    np.testing.assert_array_equal(pieces.x[..., :2], whole.x[..., :2])
    assert pieces.x.shape == whole.x.shape == (100, 2, 1, 1, 3)


def test_a_cell_outside_the_grid_is_named():
    with pytest.raises(ValueError, match=r"factor 'b' has values 0 … 3, got 4 in row 1"):
        toy().render(np.array([[0, 0, 0], [0, 4, 0]]), np.random.default_rng(0))


# What is encoded for scores


class Cells(Method):
    """Encodes a toy frame as its own pixels."""

    card = type("Card", (), {"reads_factors": False, "view": "images"})

    def encode(self, x):
        return x.flatten(2)


def evidence(data):
    rows = FrameRows(np.zeros((1, 1, 1, 3), np.uint8), np.zeros((1, 3), np.int64), 1)
    return Evidence(Cells(), data, "toy", rows, PROTOCOLS["quick"], torch.device("cpu"), 0)


def test_grid_codes_are_one_row_per_cell_in_order_and_rendered_in_pieces():
    sizes = []

    def read(cells, rng):
        sizes.append(len(cells))
        return show(cells, rng)

    big = FactorSpace(SPACE.names, (40, 30, 20), SPACE.kinds, SPACE.dynamic)
    made = evidence(toy(read, big)).gather({"grid_codes", "factor_sizes"})
    cells = np.stack(np.unravel_index(np.arange(24_000), big.sizes), axis=1)
    np.testing.assert_allclose(made["grid_codes"], cells / 255, atol=1e-6)
    assert max(sizes) <= 8_192


@pytest.mark.parametrize(("protocol", "reads_grid"), [("quick", False), ("locatello2019", True), ("slowvae2021", True)])
def test_only_the_published_protocols_encode_the_whole_grid(protocol, reads_grid):
    names = available(Cells, toy().info)
    needed = metric_choice.needs(metric_choice.wanted(None, protocol), names | {"observations", "reconstructions"})
    assert ("grid_codes" in needed) == reads_grid
    assert "sampler" not in needed  # 1.9 million renders, where the grid is encoded once


def test_a_grid_that_is_drawn_anew_offers_no_interventions():
    names = available(Cells, toy(show_anew, random=True).info)
    assert not names & {"grid_codes", "sampler", "factor_sizes"}
    assert names >= {"codes", "factors"}


# Parameters


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"transitions": "laplace"}, "toy: transitions must be one of lap, uni, locatello, got 'laplace'"),
        ({"source": "offical"}, "toy: source must be one of auto, official, generated, got 'offical'"),
        ({"transitions": "uni", "rate": 2.0}, "toy: rate=2 needs transitions=lap, got transitions=uni"),
        ({"rate": 0.0}, "toy: rate must be > 0, or -1"),
        ({"rate": -2.0}, "toy: rate must be > 0, or -1"),
        ({"rate": float("nan")}, "toy: rate must be > 0, or -1"),
        ({"rate": float("inf")}, "toy: rate must be > 0, or -1"),
        ({"k": 2}, "toy: k=2 needs transitions=uni or locatello, got transitions=lap"),
        ({"transitions": "uni", "k": 0}, "toy: k must be 1 … 3, or -1"),
        ({"transitions": "locatello", "k": 4}, "toy: k must be 1 … 3, or -1"),
    ],
)
def test_arguments_that_do_not_apply_are_errors(parameters, message):
    with pytest.raises(ValueError, match=message):
        Config(**parameters)


@pytest.mark.parametrize(
    ("parameters", "label"),
    [
        ({}, "lap(rate=1)"),
        ({"rate": 2.5}, "lap(rate=2.5)"),
        ({"rate": -1.0}, "lap(rate~U(1,10))"),
        ({"transitions": "uni"}, "uni(k=-1)"),
        ({"transitions": "locatello", "k": 2}, "locatello(k=2)"),
    ],
)
def test_the_law_is_named_with_its_parameter(parameters, label):
    assert Config(**parameters).transition_label == label


def test_a_grid_needs_discrete_factors():
    space = FactorSpace(("a",), (0,), ("continuous",), (True,))
    with pytest.raises(ValueError, match="needs discrete factors"):
        FactorGrid(DataInfo((1, 1, 3), ("pairs",), space), show, lambda start, rng: start)
