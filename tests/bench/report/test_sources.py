"""The matrix of |correlations| of |factors| and |codes|, and its order."""

import numpy as np
import pytest
from PIL import Image

from bench.datasets.smiley import draw_factors
from bench.report.sources import LEAST, draw_sources, source_matrix

FACTORS = draw_factors(4_000, 0.5, np.random.default_rng(0))


def test_values_are_correlations_of_absolute_values():
    rng = np.random.default_rng(1)
    factors, codes = rng.normal(size=(300, 3)), rng.normal(size=(300, 5)).astype(np.float32)
    codes[:, 2] += np.float32(2) * np.abs(factors[:, 1])
    matrix = source_matrix(codes, factors)
    expected = np.abs(np.corrcoef(np.abs(factors).T, np.abs(codes).T)[:3, 3:])
    np.testing.assert_allclose(matrix.values, expected[:, matrix.latents], atol=1e-6)


def test_one_latent_of_random_sign_per_factor_is_found_in_the_factors_order():
    rng = np.random.default_rng(2)
    order = rng.permutation(18)
    codes = np.zeros((len(FACTORS), 20))
    codes[:, :18] = FACTORS[:, order] * rng.choice([-1, 1], size=(len(FACTORS), 18))
    codes[:, 19] = 3.0  # and two that never change
    matrix = source_matrix(codes, FACTORS)
    assert order[matrix.latents[:18]].tolist() == list(range(18))
    assert sorted(matrix.latents[18:]) == [18, 19]
    assert matrix.n_assigned == 18
    np.testing.assert_allclose(np.diag(matrix.values), 1)
    np.testing.assert_array_equal(matrix.values[:, 18:], 0)


def test_factors_absent_together_are_one_attribute_and_codes_of_attributes_are_a_block_matrix():
    present = (FACTORS[:, [0, 4, 10, 13]] != 0).astype(float)
    matrix = source_matrix(present[:, [2, 0, 3, 1]], FACTORS)
    assert matrix.attributes.tolist() == [0] * 4 + [1] * 6 + [2] * 3 + [3] * 5
    assert matrix.latents.tolist() == [1, 3, 0, 2]
    inside, even = matrix.inside
    assert inside > 0.93
    assert even == pytest.approx(np.mean([4, 6, 3, 5]) / 18)
    blurred = source_matrix(present @ np.ones((4, 4)) + present, FACTORS)
    assert even < blurred.inside[0] < inside


def test_factors_that_are_never_absent_have_no_attributes_to_compare():
    codes = np.random.default_rng(3).normal(size=(100, 4))
    matrix = source_matrix(codes, 1 + np.abs(codes[:, :2]))
    assert matrix.inside is None
    assert not matrix.has_attributes
    assert matrix.values.min() < LEAST


def test_other_rows_are_refused():
    with pytest.raises(ValueError, match="need the same rows, at least two"):
        source_matrix(np.zeros((3, 2)), np.zeros((4, 2)))


@pytest.mark.parametrize("n_latents", [3, 100])
def test_nothing_of_the_picture_is_cut_off(tmp_path, n_latents):
    codes = np.random.default_rng(4).normal(size=(len(FACTORS), n_latents))
    names = [f"an_attribute_with_{i}" for i in range(18)]
    (path,) = draw_sources(codes, FACTORS, names, tmp_path / "s", title="convvsc on smiley", formats=("png",))
    pixels = np.asarray(Image.open(path).convert("L"))
    assert pixels.shape[1] == pytest.approx(945, abs=1)  # one column of a paper
    for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
        assert (edge == 255).all()
