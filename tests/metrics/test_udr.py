"""UDR: latents that other seeds find again, in closed form, and what is refused."""

import numpy as np
import pytest

from metrics.udr import pair_scores, relative_strength, standardised, udr

RNG = np.random.default_rng(0)
HELMERT = np.linalg.qr(RNG.normal(size=(4_000, 6)) - 0.0)[0]
# six columns of mean 0 and deviation 1 without any correlation, so that a Lasso's coefficients are known
WHITE = np.linalg.qr(np.hstack([np.ones((4_000, 1)), HELMERT]))[0][:, 1:] * np.sqrt(4_000)
ALL = np.full((2, 3), np.inf)


def rotation(degrees):
    angle = np.deg2rad(degrees)
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        pytest.param(WHITE[:, [2, 0, 1]] * [-3, 1, 0.1] + 5, 0.9, id="order, sign and scale are free: 1 - alpha"),
        pytest.param(WHITE[:, 3:], 0.0, id="nothing in common"),
        pytest.param(WHITE[:, [0, 3, 4]], 0.3, id="one latent of three in common"),
        # two coefficients of √½ - alpha each in a row and in a column: max² / sum is half of one
        pytest.param(
            np.hstack([WHITE[:, :2] @ rotation(45), WHITE[:, 2:3]]),
            (2 * (np.sqrt(0.5) - 0.1) / 2 + 0.9) / 3,
            id="a rotation of two latents",
        ),
    ],
)
def test_udr_of_two_models_in_closed_form(other, expected):
    codes = np.stack([WHITE[:, :3], other])
    for member in (0, 1):
        assert udr(codes, ALL, member)["udr"] == pytest.approx(expected, abs=1e-6)


def test_relative_strength_in_closed_form():
    assert relative_strength(np.eye(4)[[2, 0, 3, 1]]) == 1.0
    assert relative_strength(np.full((3, 3), 0.5)) == pytest.approx(0.25 / 1.5)
    assert relative_strength(np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])) == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert relative_strength(np.zeros((0, 3))) == 0.0


def test_a_latent_without_kl_is_left_out_or_counts_nothing():
    codes, kl = np.stack([WHITE[:, :3]] * 2), np.array([[1.0, 1.0, 0.005]] * 2)
    assert udr(codes, kl, 0)["udr"] == pytest.approx(0.9, abs=1e-6)
    assert udr(codes, kl, 0, counts_unused=True)["udr"] == pytest.approx(0.6, abs=1e-6)


@pytest.mark.parametrize("relation", ["lasso", "spearman"])
def test_a_latent_that_never_moves_is_left_out_where_there_is_no_kl(relation):
    dead = np.column_stack([WHITE[:, :2], np.full(4_000, 0.1)])
    alive = udr(np.stack([WHITE[:, :2]] * 2), ALL[:, :2], 0, relation=relation)
    assert udr(np.stack([dead, dead]), ALL, 0, relation=relation) == pytest.approx(alive)


def test_a_collapsed_model_agrees_with_nobody():
    codes, kl = np.stack([WHITE[:, :3]] * 3), np.array([[1.0] * 3, [1.0] * 3, [0.0] * 3])
    assert [udr(codes, kl, i)["udr"] for i in range(3)] == pytest.approx([0.45, 0.45, 0.0], abs=1e-6)


def test_a_score_is_the_median_over_the_other_models():
    others = [WHITE[:, :3], WHITE[:, [0, 1, 3]], WHITE[:, 3:]]  # 0.9, 0.6 and nothing
    codes = np.stack([WHITE[:, :3], *others])
    scores = pair_scores(codes, np.full((4, 3), np.inf))
    assert scores[1:, 0] == pytest.approx([0.9, 0.6, 0.0], abs=1e-6)
    assert udr(codes, np.full((4, 3), np.inf), 0)["udr"] == pytest.approx(0.6, abs=1e-6)


def test_spearman_sees_through_monotone_maps():
    codes = np.stack([WHITE[:, :3], np.sign(WHITE[:, :3]) * WHITE[:, :3] ** 4])
    same = udr(np.stack([WHITE[:, :3]] * 2), ALL, 0, relation="spearman")["udr"]
    assert udr(codes, ALL, 0, relation="spearman")["udr"] == pytest.approx(same, abs=1e-12)
    assert udr(codes, ALL, 0)["udr"] < 0.8


def test_standardised_codes_of_unused_latents_are_zero():
    found = standardised(np.float32([[1, 5], [3, 5]]), np.array([True, False]))
    np.testing.assert_array_equal(found, [[-1, 0], [1, 0]])


@pytest.mark.parametrize(
    ("codes", "kl", "member", "message"),
    [
        (np.ones((1, 5, 2)), np.ones((1, 2)), 0, r"at least two models, .* got \(1, 5, 2\)"),
        (np.ones((2, 5, 2)), np.ones((2, 3)), 0, r"one KL per latent of each model, got codes \(2, 5, 2\) and KL"),
        (np.ones((2, 5, 2)), np.ones((2, 2)), 2, "no model 2 among 2"),
        (np.ones((2, 5, 2)), np.full((2, 2), np.nan), 0, "a code or a KL is NaN"),
    ],
)
def test_what_cannot_be_compared_is_refused(codes, kl, member, message):
    with pytest.raises(ValueError, match=f"^udr: .*{message}"):
        udr(codes, kl, member)
