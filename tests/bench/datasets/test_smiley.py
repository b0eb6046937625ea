"""Smiley: faces drawn at the published lengths, and the law of their attributes."""

import numpy as np
import pytest

from bench import registry
from bench.datasets.smiley import draw_factors, faces
from bench.datasets.smiley_renderer import GROUPS, NAMES, draw_faces
from bench.opening import Folders, open_dataset, resolve_source

BOW_TIE, HAT, EYES, MOUTH = range(4)


def drawn(values=None, *attributes):
    """One face (32, 32) of 0 and 1 with these attributes."""
    present = np.zeros((1, 4), bool)
    present[0, list(attributes)] = True
    return draw_faces(present, np.zeros((1, 18)) if values is None else values[None])[0] // 255


def slow_face(present, values):
    """Pixel by pixel, columns and rows 1 … 32, as the generator's lengths say; without a bow tie."""
    v = dict(zip(NAMES, values, strict=True))
    whole = lambda x: int(np.floor(x + 0.5))  # noqa: E731
    face = np.zeros((32, 32), np.uint8)
    for row in range(1, 33):
        for column in range(1, 33):
            on = (row - 16.5) ** 2 + (column - 16.5) ** 2 <= 100
            if present[EYES]:
                for side in (-1, 1):
                    x, y = 16.5 + side * (4 + v["eyes_apart"]), 14 + v["eyes_y"]
                    radius = 2 + v["eyes_radius"]
                    on &= not ((row - y) ** 2 + (column - x) ** 2) ** 0.5 <= radius
            if present[MOUTH]:
                x, y = 16 + v["mouth_x"] / 2, 22 + v["mouth_y"] / 2
                left, right = whole(x - 2 - v["mouth_width"] / 2), whole(x + 2 + v["mouth_width"] / 2)
                top, bottom = whole(y - 1 - v["mouth_height"] / 2), whole(y + 1 + v["mouth_height"] / 2)
                on &= not (left <= column <= right and top <= row <= bottom)
                near, far = whole(y + v["mouth_smile"]), whole(y + 1.4 * v["mouth_smile"])
                on &= not (row == near and column in (left - 1, right + 1))
                on &= not (row == far and column in (left - 2, right + 2))
            if present[HAT]:
                x, y = 16.5 + v["hat_x"], 6 + v["hat_y"]
                half, tall = 7.5 + 1.5 * v["hat_brim_width"], 1 + v["hat_brim_height"]
                top = whole(y - tall)
                on |= whole(x - half) <= column <= whole(x + half) and top <= row <= whole(y + tall)
                half = 5 + v["hat_crown_width"]
                is_crown = whole(top - 2 - v["hat_crown_height"]) <= row <= top
                on |= is_crown and whole(x - half) <= column <= whole(x + half)
            face[row - 1, column - 1] = on
    return face


def test_faces_without_a_bow_tie_agree_with_the_lengths_pixel_by_pixel():
    rng = np.random.default_rng(0)
    present = rng.random((30, 4)) < 0.7
    present[:, BOW_TIE] = False
    values = 0.6 * rng.standard_normal((30, 18))
    expected = np.stack([slow_face(p, v) for p, v in zip(present, values, strict=True)])
    np.testing.assert_array_equal(draw_faces(present, values) // 255, expected)


def test_a_bow_tie_is_narrow_at_its_knot_and_keeps_to_its_box():
    tie = drawn(None, BOW_TIE)[26:]  # below the disc
    rows, columns = np.nonzero(tie)
    assert (columns.min() + 1, columns.max() + 1) == (11, 22)  # 12 wide around 16.5
    assert (rows.min() + 27, rows.max() + 27) == (28, 30)
    heights = tie.sum(axis=0)[10:22].tolist()
    assert heights == heights[::-1]
    assert heights[5] == 1
    assert heights[0] == 3


def test_each_variable_moves_its_own_attribute_and_no_other():
    for i, group in enumerate(GROUPS):
        changed = -1.2 * np.eye(18)[i]
        others = [attribute for attribute in range(4) if attribute != group]
        np.testing.assert_array_equal(drawn(changed, *others), drawn(None, *others), err_msg=NAMES[i])
        assert (drawn(changed, group) != drawn(None, group)).any(), NAMES[i]


@pytest.mark.parametrize("alpha", [0.2, 0.5])
def test_attributes_are_present_together_with_probability_alpha_and_values_spread_by_a_half(alpha):
    factors = draw_factors(20_000, alpha, np.random.default_rng(0))
    there = factors != 0
    for group in range(4):
        own = there[:, group == GROUPS]
        assert (own.all(axis=1) == own.any(axis=1)).all()
        assert own[:, 0].mean() == pytest.approx(alpha, abs=0.015)
    assert factors[there].std() == pytest.approx(0.5, abs=0.01)
    assert np.corrcoef(there[:, 0], there[:, -1])[0, 1] == pytest.approx(0, abs=0.03)


def test_training_images_are_those_of_their_factors_and_scored_ones_are_new(tmp_path, cache):
    folders = Folders(tmp_path, cache, tmp_path)
    entry = registry.dataset("smiley")
    config, source = resolve_source("smiley", entry.config(n_images=300), folders)
    data = open_dataset("smiley", config, source, folders)
    assert source.kind == "generated"
    np.testing.assert_array_equal(data.frames, faces(np.asarray(data.factors)))
    scored = data.labelled(50, np.random.default_rng(0))
    np.testing.assert_array_equal(scored.x[:, 0], faces(scored.factors[:, 0]))
    assert not set(map(tuple, scored.factors[:, 0])) & set(map(tuple, data.factors)) - {(0.0,) * 18}


@pytest.mark.parametrize(("parameter", "value"), [("alpha", 0.0), ("alpha", 1.5), ("n_images", 0)])
def test_impossible_parameters_are_named(parameter, value):
    with pytest.raises(ValueError, match=f"smiley: {parameter} must be .*, got {value:g}"):
        registry.dataset("smiley").config(**{parameter: value})
