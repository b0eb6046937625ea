"""Warps and hues against what they are defined by, and the three scripts."""

from __future__ import annotations

import colorsys
import math
import os
from pathlib import Path

import numpy as np
import pytest

from bench.datasets import mnist
from bench.datasets.fashion_mnist import FILES as FASHION
from bench.datasets.idx import read_files
from bench.datasets.transforming_mnist import CYCLIC_SCALES, TransformingMNISTConfig, split_rows
from bench.datasets.warps import hue_colours, warp
from bench.opening import Folders, open_dataset, resolve_source

DATA = Path(os.environ.get("BENCH_DATA", "/nonexistent"))


@pytest.fixture(scope="module")
def opened(tmp_path_factory, cache):
    folders = Folders(tmp_path_factory.mktemp("no data"), cache, tmp_path_factory.mktemp("results"))

    def call(**parameters):
        config, source = resolve_source("transforming_mnist", TransformingMNISTConfig(**parameters), folders)
        return open_dataset("transforming_mnist", config, source, folders)

    return call


def warped_pixel(image, x, y, scale, degrees):
    """One output pixel by the formula: bilinear in the source at c + R⁻¹(p - c) / s, zeros outside, c = (14, 14)."""
    a = math.radians(degrees)
    dx, dy = x - 14, y - 14
    sx = 14 + (math.cos(a) * dx - math.sin(a) * dy) / scale
    sy = 14 + (math.sin(a) * dx + math.cos(a) * dy) / scale
    total = 0.0
    for i in (math.floor(sx), math.floor(sx) + 1):
        for j in (math.floor(sy), math.floor(sy) + 1):
            if 0 <= i < 28 and 0 <= j < 28:
                total += image[j, i] * (1 - abs(sx - i)) * (1 - abs(sy - j))
    return total


@pytest.mark.parametrize(("scale", "degrees"), [(1.3, 0), (1.0, 30), (0.6, 200), (1.8, -75)])
def test_a_warp_samples_where_the_formula_says(scale, degrees):
    image = np.random.default_rng(0).random((1, 28, 28)).astype(np.float32)
    out = warp(image, scale, degrees)[0]
    for x, y in [(0, 0), (14, 14), (3, 20), (27, 27), (25, 5), (9, 13)]:
        assert out[y, x] == pytest.approx(warped_pixel(image[0], x, y, scale, degrees), abs=2e-5)  # float32 places


def test_positive_angles_turn_counter_clockwise_and_the_centre_is_14():
    image = np.zeros((1, 28, 28), np.float32)
    image[0, 14, 20] = 1  # to the right of the centre
    up = warp(image, degrees=90)[0]
    assert up[8, 14] == pytest.approx(1, abs=1e-5)
    assert up.sum() == pytest.approx(1, abs=1e-4)


def test_rows_that_nothing_acts_on_are_untouched():
    images = np.random.default_rng(0).random((3, 28, 28)).astype(np.float32)
    out = warp(images, scale=np.array([1, 1.2, 1]), degrees=np.array([0, 0, 10]))
    np.testing.assert_array_equal(out[0], images[0])
    assert not np.allclose(out[1], images[1])


def test_hues_are_those_of_colorsys():
    degrees = np.arange(-180, 400, 7.5)
    expected = [colorsys.hsv_to_rgb(d / 360 % 1, 1, 1) for d in degrees]
    np.testing.assert_allclose(hue_colours(degrees), expected, atol=1e-6)


def test_single_frames_are_absolute_transforms_of_the_red_digit(opened):
    drawn = opened(script="single").labelled(60, np.random.default_rng(0))
    assert drawn.x.shape == (60, 9, 3, 28, 28)
    first = drawn.x[:, 0]
    assert first[:, 0].max() > 0.9
    assert not first[:, 1:].any()
    kinds = drawn.amounts[:, 0].argmax(1)
    for n, kind in enumerate(kinds):
        grey = first[n, :1]
        for t in (1, 8):
            frame = drawn.x[n, t]
            if kind == 0:
                expected = np.stack([warp(grey, scale=1 + 0.1 * t)[0], *np.zeros((2, 28, 28))])
            elif kind == 1:
                expected = np.stack([warp(grey, degrees=10 * t)[0], *np.zeros((2, 28, 28))])
            else:
                colour = colorsys.hsv_to_rgb(20 * t / 360, 1, 1)
                expected = grey * np.reshape(colour, (3, 1, 1))
            np.testing.assert_allclose(frame, expected, atol=1e-6)
    assert set(kinds) == {0, 1, 2}
    np.testing.assert_array_equal(drawn.factors[np.arange(60), 8, 1 + kinds], 8)


def test_hue_at_the_last_step_is_160_degrees(opened):
    alone = np.eye(3, dtype=np.float32)[2] * np.ones((8, 1), np.float32)
    frames = opened(script="single").moved(4, alone, np.random.default_rng(0))
    bright = frames[0, 8][:, frames[0, 0, 0] > 0.9]
    hue, saturation, _ = colorsys.rgb_to_hsv(*bright[:, 0])
    assert 360 * hue == pytest.approx(160, abs=1e-4)
    assert saturation == pytest.approx(1)


def test_superposed_transforms_go_scale_then_rotation_then_hue(opened):
    frames = opened(script="single").moved(5, np.ones((3, 3)), np.random.default_rng(0), "test")
    grey = frames[:, 0, 0]
    expected = warp(warp(grey, scale=1.3), degrees=30)[:, None] * hue_colours(60.0)[:, None, None]
    np.testing.assert_allclose(frames[:, 3], expected, atol=1e-6)
    other_way = warp(warp(grey, degrees=30), scale=1.3)
    assert np.abs(frames[:, 3].max(1) - other_way).max() > 0.01  # resampled twice, so the order shows


def test_sta_warps_the_frame_before_and_its_factors_are_what_has_acted(opened):
    drawn = opened(script="sta").labelled(20, np.random.default_rng(0))
    amounts = drawn.amounts.astype(np.float64)
    grey = drawn.x.max(2)
    for t in (3, 7):
        again = warp(warp(grey[:, t], scale=1 + 0.1 * amounts[:, t, 0]), degrees=20 * amounts[:, t, 1])
        np.testing.assert_allclose(drawn.x[:, t + 1].sum((2, 3)), _coloured(again, amounts, t).sum((2, 3)), rtol=1e-4)
    np.testing.assert_allclose(drawn.factors[:, 8, 1], np.prod(1 + 0.1 * amounts[..., 0], 1), rtol=1e-6)
    np.testing.assert_allclose(drawn.factors[:, 8, 2:], 20 * amounts.sum(1)[:, 1:], rtol=1e-6, atol=1e-9)
    unit = opened(script="sta", speeds="unit").labelled(20, np.random.default_rng(0))
    np.testing.assert_array_equal(unit.factors[:, 8, 1:], unit.amounts.sum(1))
    assert unit.factors.dtype == np.int64


def _coloured(grey, amounts, t):
    """Grey frames times the hue after step t, with the largest channel as bright as the grey."""
    degrees = 20 * amounts[:, : t + 1, 2].sum(1)
    return grey[:, None] * np.array([colorsys.hsv_to_rgb(d / 360 % 1, 1, 1) for d in degrees])[:, :, None, None]


def test_cyclic_enlarges_and_turns_by_one_warp(opened):
    data = opened(script="cyclic")
    drawn = data.labelled(6, np.random.default_rng(0))
    _, scale, rotation, colouring = np.moveaxis(drawn.factors, -1, 0)
    moves = data._moves
    for n in range(6):
        # the digit itself is nowhere in a sequence: find it among those with its label by its warp
        same = moves.grey[np.flatnonzero(moves.labels == drawn.factors[n, 0, 0])].astype(np.float32) / 255
        colour = hue_colours(20.0 * colouring[n] - 180)[:, :, None, None]
        wanted = [warp(same, CYCLIC_SCALES[scale[n, t]], 20.0 * rotation[n, t])[:, None] * colour[t] for t in (0, 11)]
        errors = [np.abs(wanted[i] - drawn.x[n, t]).max((1, 2, 3)) for i, t in enumerate((0, 11))]
        assert np.maximum(*errors).min() < 1e-5


def test_cyclic_goes_once_around_one_list_from_anywhere(opened):
    data = opened(script="cyclic")
    drawn = data.labelled(300, np.random.default_rng(0))
    moving = 1 + drawn.amounts[:, 0].argmax(1)
    assert drawn.x.shape[1] == 18
    for n, column in enumerate(moving[:50]):
        still = [c for c in (1, 2, 3) if c != column]
        assert sorted(drawn.factors[n, :, column]) == list(range(18))
        assert (drawn.factors[n][:, still] == drawn.factors[n, 0, still]).all()
    assert set(drawn.factors[:, 0, 1:].ravel()) == set(range(18))
    n = int(np.flatnonzero(drawn.factors[:, 0, 1] == 17)[0])
    once_more = data.moved(1, np.zeros((1, 3)), np.random.default_rng(0))
    np.testing.assert_array_equal(once_more[:, 0], once_more[:, 1])
    assert CYCLIC_SCALES[drawn.factors[n, 0, 1]] == 1.26
    np.testing.assert_allclose(CYCLIC_SCALES, np.linspace(0.6, 1.26, 18), atol=0.006)  # two digits


def test_padding_changes_nothing_but_what_has_room(opened):
    small, large = (opened(script="cyclic", size=size).labelled(30, np.random.default_rng(1)) for size in (28, 32))
    np.testing.assert_allclose(large.x[..., 3:-3, 3:-3], small.x[..., 1:-1, 1:-1], atol=1e-5)


@pytest.mark.parametrize(("script", "sizes"), [("single", (48_000, 12_000)), ("cyclic", (48_000, 12_000, 10_000))])
def test_splits_share_no_digit(script, sizes):
    rows = split_rows(70_000, 60_000, script)
    assert tuple(map(len, rows.values())) == sizes
    every = np.concatenate(list(rows.values()))
    assert len(np.unique(every)) == len(every)
    assert (every.max() >= 60_000) == (script == "cyclic")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"script": "dual"}, "script must be one of single, sta, cyclic, got 'dual'"),
        ({"speeds": "unit"}, "speeds=unit needs script=sta"),
        ({"digits": "fashion_mnist", "source": "bundled"}, "fashion_mnist has files only"),
        ({"unseen": "svhn"}, "unseen must be one of none, digits, fashion_mnist, got 'svhn'"),
        ({"unseen": "fashion_mnist", "digits": "fashion_mnist"}, "unseen=fashion_mnist is what is trained on"),
        ({"size": 64}, "size must be 28 or 32, got 64"),
    ],
)
def test_parameters_that_cannot_be(parameters, message):
    with pytest.raises(ValueError, match=f"transforming_mnist: .*{message}"):
        TransformingMNISTConfig(**parameters)


@pytest.mark.data
@pytest.mark.skipif(not (DATA / "mnist").is_dir(), reason="BENCH_DATA names no folder with mnist")
def test_official_digits_begin_where_their_files_say(tmp_path, cache):
    folders = Folders(DATA, cache, tmp_path)
    config, source = resolve_source("transforming_mnist", TransformingMNISTConfig(), folders)
    data = open_dataset("transforming_mnist", config, source, folders)
    assert source.kind == "official"
    assert data.spec("transformations").n_train == 48_000
    drawn = data.labelled(4_000, np.random.default_rng(0), "test", "images")
    counts = np.bincount(drawn.factors[:, 0, 0], minlength=10) / 4_000
    np.testing.assert_allclose(counts, np.full(10, 0.1), atol=0.025)


@pytest.mark.data
@pytest.mark.skipif(not (DATA / "fashion_mnist").is_dir(), reason="BENCH_DATA names no folder with fashion_mnist")
@pytest.mark.parametrize(("unseen", "n"), [("digits", 1_797), ("fashion_mnist", 10_000)])
def test_unseen_observations_are_a_split_of_their_own(tmp_path, cache, unseen, n):
    folders = Folders(DATA, cache, tmp_path)
    opened, sources = {}, {}
    for one in ("none", unseen):
        config, sources[one] = resolve_source("transforming_mnist", TransformingMNISTConfig(unseen=one), folders)
        opened[one] = open_dataset("transforming_mnist", config, sources[one], folders)
    assert opened[unseen].splits == ("train", "test", "unseen")
    assert len(opened[unseen]._moves.rows["unseen"]) == n
    assert (sources[unseen].fingerprint != sources["none"].fingerprint) == (unseen == "fashion_mnist")
    for split in ("train", "test"):  # what is trained and tested on stays as it was
        one, other = (opened[key].labelled(20, np.random.default_rng(0), split).x for key in ("none", unseen))
        np.testing.assert_array_equal(one, other)
    first = opened[unseen].moved(200, np.zeros((1, 3)), np.random.default_rng(0), "unseen")[:, 0, 0]
    known = mnist.bundled_digits().images if unseen == "digits" else read_files(DATA / unseen, FASHION).images[-n:]
    known = {image.tobytes() for image in known}
    assert all(np.rint(255 * image).astype(np.uint8).tobytes() in known for image in first)
