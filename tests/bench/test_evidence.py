"""The rows that scores are made from."""

from dataclasses import replace

import numpy as np
import pytest

from bench import evaluation
from bench.datasets.base import DataInfo, DataStore, FactorSpace
from bench.datasets.containers import ImageData
from metrics.protocols import protocol_named

SPACE = FactorSpace(("number",), (200,), ("ordinal",), (False,))
PROTOCOL = replace(protocol_named("quick"), n_train=30, n_test=13)


def images(splits=None):
    """200 images whose every pixel is their number."""
    numbers = np.arange(200)
    frames = np.broadcast_to(numbers.astype(np.uint8)[:, None, None, None], (200, 1, 2, 2)).copy()
    return ImageData(DataInfo((1, 2, 2), ("images",), SPACE), frames, numbers[:, None], splits)


@pytest.mark.parametrize("at_once", [7, 15_000])
def test_rows_drawn_in_pieces_keep_their_factors_and_their_split(tmp_path, monkeypatch, at_once):
    monkeypatch.setattr(evaluation, "DRAWN_AT_ONCE", at_once)
    data = images({"train": np.arange(150), "test": np.arange(150, 200)})
    data.evaluation_splits = ("train", "test")
    rows = evaluation.evaluation_rows(data, "some data", DataStore(tmp_path, tmp_path, "key"), PROTOCOL)
    x, factors = rows.x, rows.factors
    assert x.shape == (43, 1, 2, 2)
    np.testing.assert_array_equal(x[:, 0, 0, 0], factors[:, 0])
    assert factors[:30].max() < 150 <= factors[30:].min()


def test_factors_lost_from_the_cache_are_drawn_again_to_the_same_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation, "DRAWN_AT_ONCE", 7)
    store = DataStore(tmp_path, tmp_path, "key")
    first = evaluation.evaluation_rows(images(), "some data", store, PROTOCOL).factors.copy()
    for path in tmp_path.glob("*factors.npy"):
        path.unlink()
    rows = evaluation.evaluation_rows(images(), "some data", store, PROTOCOL)
    x, again = rows.x, rows.factors
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(x[:, 0, 0, 0], again[:, 0])


def test_images_with_a_test_split_are_scored_on_it(tmp_path):
    data = images({"train": np.arange(150), "test": np.arange(150, 200)})
    factors = evaluation.evaluation_rows(data, "some data", DataStore(tmp_path, tmp_path, "key"), PROTOCOL).factors
    assert factors[:30].max() < 150 <= factors[30:].min()


def test_images_that_are_warped_to_floats_are_kept_as_bytes(tmp_path):
    class Floats(ImageData):
        def labelled(self, n, rng, split="train", view="images"):
            drawn = super().labelled(n, rng, split, view)
            return replace(drawn, x=(drawn.x / 255).astype(np.float32))

    numbers = images()
    data = Floats(numbers.info, numbers.frames, numbers.factors)
    rows = evaluation.evaluation_rows(data, "some data", DataStore(tmp_path, tmp_path, "key"), PROTOCOL)
    assert rows.x.dtype == np.uint8
    np.testing.assert_array_equal(rows.x[:, 0, 0, 0], rows.factors[:, 0])
