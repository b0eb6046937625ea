"""The contact sheet: right frames at the right places, for every kind of container."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from bench.datasets.base import DataInfo, FactorSpace
from bench.datasets.contact_sheet import _factor_lines, _stretches, contact_sheet
from bench.datasets.containers import ImageData, PairData, SequenceData

SPACE = FactorSpace(("hue", "size"), (4, 0), ("categorical", "continuous"), (False, True))


def labels(*shape):
    return np.random.default_rng(0).uniform(size=(*shape, 2)).round(2)


def pairs():
    frames = np.stack([np.full((1, 32, 32), 90, np.uint8), np.full((1, 32, 32), 230, np.uint8)])
    rows = np.tile([0, 1], (5, 1))
    return PairData(DataInfo((1, 32, 32), ("pairs", "images"), SPACE), frames, labels(2), rows, title="Two greys")


def colours():
    frames = np.zeros((3, 3, 16, 16), np.uint8)
    frames[:, 0] = 200
    return ImageData(DataInfo((3, 16, 16), ("images",), SPACE), frames, labels(3))


def features():
    frames = np.random.default_rng(0).normal(size=(3, 12, 20)).astype(np.float32)
    return SequenceData(DataInfo((20,), ("sequences",), SPACE, n_frames=12), frames, labels(3, 12))


def faces():
    names = tuple(f"attribute_{i}" for i in range(40))
    space = FactorSpace(names, 40 * (2,), 40 * ("categorical",), 40 * (False,))
    factors = np.stack([np.ones(40, np.int64), np.arange(40) // 37])
    return ImageData(DataInfo((3, 16, 16), ("images",), space), np.full((2, 3, 16, 16), 90, np.uint8), factors)


def test_of_many_yes_or_no_factors_those_that_hold_are_named():
    data = faces()
    every, some = (_factor_lines(data.info.factors, row[None]) for row in data.factors)
    assert [text for text, _ in some] == ["attribute_37", "attribute_38", "attribute_39"]
    assert [text for text, _ in every][-2:] == ["attribute_10", "… and 29"]


@pytest.mark.parametrize("make", [pairs, colours, features, faces])
@pytest.mark.parametrize("n", [1, 6])
def test_every_container_can_be_drawn(tmp_path, make, n):
    contact_sheet(make(), tmp_path / "sheet.png", np.random.default_rng(0), n=n)
    picture = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB"))
    assert picture.shape[1] > 1_000
    for edge in (picture[0], picture[-1], picture[:, 0], picture[:, -1]):
        assert edge.min() == 255  # nothing is cut off


def test_a_pair_is_its_first_frame_then_its_second(tmp_path):
    contact_sheet(pairs(), tmp_path / "sheet.png", np.random.default_rng(0), n=1)
    grey = np.asarray(Image.open(tmp_path / "sheet.png").convert("L")).astype(int)
    first, second = (np.argwhere(abs(grey - value) <= 1) for value in (90, 230))
    assert len(first) > 10_000
    assert np.median(first[:, 1]) < np.median(second[:, 1])
    assert abs(np.median(first[:, 0]) - np.median(second[:, 0])) < 5


def test_a_spectrogram_names_each_stretch_once():
    phones = np.repeat([30, 2, 30, 7], [5, 3, 10, 2])[:, None]
    assert _stretches(phones).tolist() == [0, 5, 8, 18]
    space = FactorSpace(("phone",), (39,), ("categorical",), (True,))
    assert _factor_lines(space, phones[_stretches(phones)]) == [("phone 30 2 30 7", True)]
    assert _stretches(np.arange(20)[:, None]).tolist() == [0, 3, 6, 10, 13, 16, 19]  # no room for all
    assert _stretches(np.ones((20, 2))).tolist() == [0]


def test_a_factor_that_comes_back_is_shown_to_have_changed():
    lines = _factor_lines(SPACE, np.array([[0, 0.5], [3, 0.5], [0, 0.5]]))
    assert lines == [("hue 0 3 0", True), ("size 0.500", False)]
    assert _factor_lines(SPACE, np.array([[0, 0.5], [3, 0.25]])) == [("hue 0 → 3", True), ("size 0.500 → 0.250", True)]


def test_a_gif_shows_one_frame_after_the_other(tmp_path):
    shades = np.array([40, 140, 240], np.uint8)
    frames = np.broadcast_to(shades[None, :, None, None, None], (2, 3, 1, 16, 16)).copy()
    info = DataInfo((1, 16, 16), ("sequences",), SPACE, n_frames=3)
    contact_sheet(SequenceData(info, frames, labels(2, 3)), tmp_path / "sheet.gif", np.random.default_rng(0), n=2)
    with Image.open(tmp_path / "sheet.gif") as moving:
        assert moving.n_frames == 3
        for t, shade in enumerate(shades):
            moving.seek(t)
            grey = np.asarray(moving.convert("L")).astype(int)
            for other in shades:
                assert ((abs(grey - other) <= 2).sum() > 5_000) == (other == shade)


def test_what_does_not_move_gives_no_gif(tmp_path):
    with pytest.raises(ValueError, match="has no moving pictures"):
        contact_sheet(colours(), tmp_path / "sheet.gif", np.random.default_rng(0))
