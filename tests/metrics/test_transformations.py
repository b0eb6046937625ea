"""Equivariance error, likelihoods of frames, capsules and VP score: answers that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from metrics.capsules import CapsuleSequences, capcorr, capcorr_details, chance_distance, tvae_equivariance
from metrics.equivariance import Rollouts, equivariance_details, equivariance_error
from metrics.frame_likelihood import LOG_2_PI, LikelihoodTerms, log_likelihood
from metrics.variation_predictability import PairPredictions, vp_score


def rollouts(errors, still, unmoved=None):
    names = tuple("abcdefgh"[: len(errors)])
    return Rollouts(names, errors, still, still if unmoved is None else unmoved, "transform", ("a: flow 1",))


def test_equivariance_error_sums_steps_and_averages_sequences_then_transformations():
    errors = np.array([[[1.0, 2, 3], [3, 2, 1]], [[0, 0, 0], [1, 1, 10]]])  # two transformations, two sequences
    still = np.array([[[2.0, 4, 6], [2, 4, 6]], [[3, 3, 3], [3, 3, 3]]])
    found, details = equivariance_details(rollouts=rollouts(errors, still, still + 1))
    assert found["equivariance_error"] == pytest.approx((6 + 6) / 2)
    assert details["error"] == pytest.approx([6, 6])
    assert details["without_last"] == pytest.approx([4, 1])
    assert found["equivariance_error/relative"] == pytest.approx((6 / 12 + 6 / 9) / 2)
    assert found["equivariance_error/still"] == pytest.approx(10.5)
    assert found["equivariance_error/unmoved"] == pytest.approx(13.5)
    assert (details["rule"], details["assignment"], details["n"], details["steps"]) == (
        "transform",
        ["a: flow 1"],
        2,
        3,
    )
    assert found == equivariance_error(rollouts_switching=rollouts(errors, still, still + 1))


@pytest.mark.parametrize(("share", "relative"), [(0.0, 0.0), (1.0, 1.0), (0.25, 0.25)])
def test_relative_error_is_0_for_the_truth_and_1_for_a_still_picture(share, relative):
    still = np.random.default_rng(0).random((3, 5, 8)) * 100
    found = equivariance_error(rollouts(share * still, still))
    assert found["equivariance_error/relative"] == pytest.approx(relative)


def test_what_cannot_be_measured_is_named():
    still = np.ones((2, 3, 4))
    still[1] = 0
    with pytest.raises(ValueError, match="nothing changes along 'b'"):
        equivariance_error(rollouts(np.ones((2, 3, 4)), still))
    with pytest.raises(ValueError, match=r"errors must be \(courses, n, steps\)"):
        equivariance_error(rollouts(np.ones((2, 3, 4)), np.ones((2, 3, 5))))


def linear_gaussian(n, samples, spread, rng):
    """x = W z + noise, with q(z|x) the true posterior times ``spread`` in width; terms and the exact log p(x)."""
    d, k = 6, 2
    w = rng.normal(size=(d, k))
    x = rng.normal(size=(n, k)) @ w.T + rng.normal(size=(n, d))
    covariance = np.linalg.inv(np.eye(k) + w.T @ w)
    mean = x @ w @ covariance
    scale = spread * np.sqrt(np.diag(covariance))
    noise = rng.normal(size=(n, samples, k))
    z = mean[:, None] + scale * noise
    gaussian = -0.5 * ((x[:, None] - z @ w.T) ** 2 + LOG_2_PI).sum(-1)
    prior = -0.5 * (z**2 + LOG_2_PI).sum(-1)
    posterior = -0.5 * (noise**2 + LOG_2_PI).sum(-1) - np.log(scale).sum()
    exact = multivariate_normal(np.zeros(d), w @ w.T + np.eye(d)).logpdf(x)
    return LikelihoodTerms(gaussian, gaussian, prior, posterior, d), exact.mean()


def test_importance_weighting_finds_the_likelihood_of_a_linear_gaussian_model():
    terms, exact = linear_gaussian(400, 500, 1.3, np.random.default_rng(0))
    found = log_likelihood(terms, decoder="gaussian")
    assert found["log_likelihood"] == pytest.approx(exact, abs=0.02)
    assert found["log_likelihood/elbo"] < found["log_likelihood"]
    assert found["log_likelihood/below_limit"] == pytest.approx(-3 * LOG_2_PI - found["log_likelihood"])


def test_the_released_estimator_has_its_last_terms_the_wrong_way_around():
    terms, _ = linear_gaussian(400, 3, 1.0, np.random.default_rng(0))
    found = log_likelihood(terms, decoder="released")["log_likelihood"]
    right = (terms.gaussian + terms.prior - terms.posterior)[:, 0].mean()
    kl = (terms.posterior - terms.prior)[:, 0].mean()
    assert found == pytest.approx(right + 2 * kl)


@pytest.mark.parametrize("d", [2352, 12288])
def test_a_unit_gaussian_never_passes_its_limit(d):
    """A perfect decoder and a posterior equal to the prior: the estimate is the limit itself, and no seed passes it."""
    rng = np.random.default_rng(0)
    perfect = np.full((4, 10), -d / 2 * LOG_2_PI)
    density = rng.normal(size=(4, 10))
    at_limit = log_likelihood(LikelihoodTerms(perfect, perfect, density, density, d), decoder="gaussian")
    assert at_limit["log_likelihood"] == pytest.approx(-d / 2 * np.log(2 * np.pi))
    assert at_limit["log_likelihood"] == pytest.approx({2352: -2161.34, 12288: -11291.92}[d], abs=0.01)
    assert at_limit["log_likelihood/below_limit"] == pytest.approx(0, abs=1e-6)
    shortfall = np.abs(rng.normal(size=(4, 10)))
    worse = LikelihoodTerms(perfect - shortfall, perfect, density, density, d)
    assert log_likelihood(worse, decoder="gaussian")["log_likelihood/below_limit"] > 0


def rolled(start, time, size=6, n_capsules=4, seed=0):
    """Capsules (n, time, n_capsules, size) that roll by one a frame; the factor is at ``start`` in frame 0."""
    first = np.random.default_rng(seed).normal(size=(len(start), n_capsules, size))
    return np.stack([np.roll(first, t, axis=-1) for t in range(time)], axis=1)


def sequences(activations, start, period):
    positions = (np.asarray(start)[:, None] + np.arange(activations.shape[1])) % period
    return CapsuleSequences(activations, positions, np.zeros(len(activations), int), ("turn",))


def test_capsules_that_roll_have_no_equivariance_error_and_capcorr_1():
    start = np.arange(6)
    capsules = sequences(rolled(start, 6), start, 6)
    assert tvae_equivariance(capsules)["tvae_equivariance"] == pytest.approx(0, abs=1e-9)
    assert capcorr(capsules)["capcorr"] == pytest.approx(1)


def test_capcorr_of_a_list_that_is_passed_several_times_takes_the_nearest_pass():
    start = np.array([0, 1, 2, 0, 1, 2])
    capsules = sequences(rolled(start, 6), start, 3)  # two turns of three values in six frames
    assert capcorr(capsules)["capcorr"] == pytest.approx(1)


def test_capcorr_is_the_mean_over_what_moves_and_0_for_capsules_that_stay():
    start = np.tile(np.arange(6), 2)
    activations = rolled(start, 6)
    activations[6:] = activations[6:, :1]
    positions = (start[:, None] + np.arange(6)) % 6
    capsules = CapsuleSequences(activations, positions, np.repeat([0, 1], 6), ("turn", "grow"))
    found, details = capcorr_details(capsules)
    assert details == {"courses": ["turn", "grow"], "capcorr": pytest.approx([1, 0])}
    assert found["capcorr"] == pytest.approx(0.5)
    # which is why the error alone says little: uniform capsules that never change have none
    still = sequences(np.ones((3, 6, 4, 6)), [0, 1, 2], 6)
    assert tvae_equivariance(still)["tvae_equivariance"] == pytest.approx(0, abs=1e-9)


def test_capcorr_needs_sequences_that_begin_at_several_places():
    capsules = sequences(rolled(np.zeros(4, int), 6), np.zeros(4, int), 6)
    with pytest.raises(ValueError, match="begin at several places"):
        capcorr(capsules)


@pytest.mark.parametrize("size", [1, 2, 5, 18])
def test_distance_of_random_directions(size):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 40_000, size))
    a, b = a / np.linalg.norm(a, axis=1, keepdims=True), b / np.linalg.norm(b, axis=1, keepdims=True)
    drawn = np.abs(a - b).sum(1)
    assert chance_distance(size) == pytest.approx(drawn.mean(), abs=4 * drawn.std() / 200)


def test_unrelated_capsules_have_the_error_of_chance():
    activations = np.random.default_rng(0).normal(size=(40, 18, 18, 18))
    found = tvae_equivariance(CapsuleSequences(activations, np.zeros((40, 18)), np.zeros(40), ("turn",)))
    # the published plain VAE has 13,274
    assert found["tvae_equivariance"] == pytest.approx(153 * 18 * chance_distance(18), rel=0.005)
    assert found["tvae_equivariance"] == pytest.approx(13_271, rel=0.005)
    assert found["tvae_equivariance/relative"] == pytest.approx(1, abs=0.005)


def test_vp_score_is_the_accuracy_of_the_last_evaluation():
    labels = np.array([0, 1, 2, 3])
    predicted = np.array([[0, 1, 2, 0], [0, 0, 2, 0]])
    found = vp_score(PairPredictions(predicted, labels, 4))
    assert found["vp_score"] == 0.5
    assert found["vp_score/best"] == 0.75
    assert found["vp_score/above_chance"] == pytest.approx(1 / 3)
    with pytest.raises(ValueError, match="two or more classes"):
        vp_score(PairPredictions(predicted, labels, 1))
