"""Track files: what a good one holds, what is said of a bad one, and generated motion against its law."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from bench.datasets.tracks import (
    YOUTUBE_AREA,
    YOUTUBE_X,
    YOUTUBE_Y,
    bin_centres,
    draw_gennorm,
    filter_area,
    generate_pairs,
    nearest,
    read_pairs,
)

KITTI = Path(os.environ.get("BENCH_DATA", "/nonexistent"), "natural_sprites_kitti", "downscale_keepaspect.csv")
HEADER = "id,cat_id,t_0,t_1,t_2,t_3"
GOOD = f"""{HEADER}
7,1,"[(10.0, 20.0, 100), None, (1.5, 2.5, 7)]","[(11, 22, 110), (5, 6, 50), None]",,"[(12.0, 23.0, 120), None, None]"
8,3,,"[None, (5, 6, 50), None]","[None, (5.5, 6.25, 60), (30, 31, 200)]","[None, None, (29, 3.0e1, 190)]"
"""
GOOD_PAIRS = [  # (x, y, area) of both frames; the object of row 7 is away at t_2, so only t_0 → t_1 counts
    [[20, 10, 100], [22, 11, 110]],
    [[6, 5, 50], [6.25, 5.5, 60]],
    [[31, 30, 200], [30, 29, 190]],
]


def written(folder, text):
    path = folder / "tracks.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize("ending", [pytest.param("\n", id="unix"), pytest.param("\r\n", id="windows")])
@pytest.mark.parametrize("mark", [pytest.param("", id="plain"), pytest.param("\ufeff", id="byte order mark")])
def test_pairs_are_consecutive_columns_of_one_window(tmp_path, ending, mark):
    path = written(tmp_path, mark + GOOD.replace("\n", ending))
    np.testing.assert_array_equal(read_pairs(path), GOOD_PAIRS)


def one_cell(text):
    return f'{HEADER}\n1,1,"[(1, 2, 3), None, None]","{text}",,\n'


HERE = r"tracks\.csv: row 2, column t_1: "


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "empty file, wanted the header", id="empty"),
        pytest.param("a,b,c\n1,2,3\n", "header has 'a' where 'id' belongs", id="wrong header"),
        pytest.param("id,cat_id,t_0,t_2\n", "header has 't_2' where 't_1' belongs", id="column missing"),
        pytest.param("id,cat_id,t_0\n1,1,\n", "fewer than two time columns", id="one column"),
        pytest.param(HEADER + "\n", "no object is seen in two consecutive columns", id="no rows"),
        pytest.param(HEADER + "\n1,1,,\n", "row 2 has 4 cells, the header has 6; is the file complete", id="short row"),
        pytest.param(GOOD[:-30], "row 3 is not CSV .*is the file complete", id="cut within a cell"),
        pytest.param(HEADER.encode() + b"\n1,1,\xff\xfe,,,\n", "not UTF-8 text", id="not utf-8"),
        pytest.param(b"\x80\x04\x95" * 50, "not UTF-8 text", id="a pickle"),
        pytest.param(one_cell("[(1, 2), None, None]"), HERE + "wanted a list of 3 entries", id="short tuple"),
        pytest.param(one_cell("[(1, 2, 3), None]"), HERE + "wanted a list of 3 entries", id="two windows"),
        pytest.param(one_cell("[(1, nan, 3), None, None]"), HERE + "wanted a list of 3 entries", id="nan"),
        pytest.param(one_cell("[(1, inf, 3), None, None]"), HERE + "wanted a list of 3 entries", id="inf"),
        pytest.param(one_cell("[(1, 2e999, 3), None, None]"), HERE + "x must lie between .* got inf", id="overflow"),
        pytest.param(
            one_cell("[(1, 2, -3), None, None]"), HERE + "area must lie between 1 and 4096, got -3", id="area"
        ),
        pytest.param(one_cell("[(64.5, 2, 3), None, None]"), HERE + "y must lie between -0.5 and 64", id="outside"),
        pytest.param(one_cell("[None, (1, 2, 0), None]"), HERE + "area must lie", id="area 0 in a later window"),
        pytest.param(one_cell("[__import__('os'), None, None]"), HERE + "wanted a list of 3 entries", id="code"),
        pytest.param(
            one_cell("[None, None, None" + " " * 2_000 + "]"), HERE + "cell of 2,018 characters", id="long cell"
        ),
        pytest.param(one_cell("[" * 200_000), "row 2 is not CSV .*field limit", id="absurd cell"),
        pytest.param(f"{HEADER}\n" + "," * (8 << 20), "row 2 is longer than 8,388,608 characters", id="endless line"),
    ],
)
def test_a_bad_file_gives_one_line_with_the_place(tmp_path, text, message):
    with pytest.raises(ValueError, match=message) as error:
        read_pairs(written(tmp_path, text))
    assert "\n" not in str(error.value)
    assert "tracks.csv: " in str(error.value)
    assert len(str(error.value)) < 250 + len(str(tmp_path))


@pytest.mark.data
@pytest.mark.skipif(not KITTI.is_file(), reason="BENCH_DATA has no natural_sprites_kitti")
def test_real_motion_has_the_statistics_of_its_readme():
    pairs = read_pairs(KITTI)
    assert len(pairs) == 38_674
    moves = (pairs[:, 1] - pairs[:, 0]).T
    np.testing.assert_allclose([stats.kurtosis(move) for move in moves], [14.0, 25.1, 147.8], atol=0.06)
    np.testing.assert_allclose([move.std() for move in moves], [2.047, 0.396, 97.8], rtol=2e-3)
    shapes = [stats.gennorm.fit(move)[0] for move in moves]
    np.testing.assert_allclose(shapes, [0.411, 0.496, 0.318], atol=1e-3)


def test_area_filter_keeps_both_quantiles_of_each_slot():
    # 21 areas 1 … 21: the 5 % quantile is 2, the 95 % quantile 20. Slot 1 holds the same areas ten rows on.
    first = np.arange(1.0, 22.0)
    pairs = np.zeros((21, 2, 3))
    pairs[:, 0, 2], pairs[:, 1, 2] = first, np.roll(first, 10)
    kept = filter_area(pairs)
    expected = [a for a, b in zip(first, np.roll(first, 10), strict=True) if 2 <= a <= 20 and 2 <= b <= 20]
    assert len(expected) == 17
    np.testing.assert_array_equal(kept[:, 0, 2], expected)


def test_values_take_the_nearest_of_equal_width_bins():
    centres = bin_centres(np.array([[0.0, 64.0], [3.0, 7.5]]), 32, "x")
    np.testing.assert_allclose(centres, np.arange(1, 64, 2))
    values = np.array([0, 1.9, 2.0, 2.1, 63.9, 64.0])
    np.testing.assert_array_equal(nearest(values, centres), [0, 0, 0, 1, 31, 31])
    rng = np.random.default_rng(0)
    many = rng.uniform(0, 64, size=1_000)
    np.testing.assert_array_equal(nearest(many, centres), np.abs(many[:, None] - centres).argmin(axis=1))


def test_a_value_that_never_changes_cannot_be_binned():
    with pytest.raises(ValueError, match="natural_sprites: y is 5 in every track, so it cannot be cut into 32 bins"):
        bin_centres(np.full((4, 2), 5.0), 32, "y")


@pytest.mark.parametrize("law", [YOUTUBE_X, YOUTUBE_Y, YOUTUBE_AREA, (1.0, 2.0), (2.0, 0.5)])
def test_draws_follow_the_generalised_normal_law(law):
    drawn = draw_gennorm(*law, 50_000, np.random.default_rng(0))
    distance = stats.kstest(drawn, stats.gennorm(law[0], scale=law[1]).cdf).statistic
    assert distance < 1.63 / np.sqrt(50_000)  # the 1 % point of the Kolmogorov distribution


def test_generated_motion_has_the_published_shapes_and_stays_in_range():
    pairs = generate_pairs(40_000, np.random.default_rng(0))
    moves = (pairs[:, 1] - pairs[:, 0]).T
    for move, (shape, scale) in zip(moves, (YOUTUBE_X, YOUTUBE_Y, YOUTUBE_AREA), strict=True):
        # Redrawing what leaves the range takes off some of the tails: within the 0.05 that fits are compared with.
        assert stats.gennorm.fit(move[:15_000], floc=0)[0] == pytest.approx(shape, abs=0.05)
        median = stats.gennorm(shape, scale=scale).ppf(0.75)
        assert np.median(np.abs(move)) == pytest.approx(median, rel=0.12)
        assert stats.kurtosis(move) > 8
    assert pairs[..., :2].min() >= 12.8
    assert pairs[..., :2].max() <= 51.2
    assert pairs[..., 2].min() >= (64 / 12) ** 2
    assert pairs[..., 2].max() <= 32**2
