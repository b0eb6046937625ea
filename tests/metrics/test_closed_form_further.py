"""IRS, MIG's relatives, linear scores, unsupervised scores: answers that can be worked out by hand."""

import numpy as np
import pytest

from metrics.independence import latent_information, sparsity, total_correlation, wasserstein_correlation
from metrics.infomec import infomec
from metrics.information_gaps import dcimig, jemmig, mig_sup
from metrics.irs import irs
from metrics.likelihood import elbo, latent_kl
from metrics.linear import linear_r2, mcc_held_out, mcc_linear

GRID = np.stack(np.meshgrid(range(4), range(4), indexing="ij"), -1).reshape(-1, 2)  # all pairs, once
CODES = GRID.astype(float)
RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        pytest.param(CODES, 1.0, id="nothing is left once its factor is held"),
        pytest.param(CODES[:, :1] + 4 * CODES[:, 1:], 1 - 1.5 / 7.5, id="holding the heavier of two leaves the other"),
    ],
)
def test_irs_in_closed_form(codes, expected):
    assert irs(codes, GRID, quantile=1.0)["irs"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("codes", "sup", "dci"),
    [
        pytest.param(CODES, 1.0, 1.0, id="each latent knows one factor"),
        pytest.param(np.hstack([CODES, CODES]), 1.0, 1.0, id="copies do not mix"),
        pytest.param(4 * CODES[:, :1] + CODES[:, 1:], 0.0, 0.0, id="one latent knows both equally"),
        pytest.param(GRID // 2 * 1.0, 0.5, 0.5, id="one of two bits kept"),
    ],
)
def test_gaps_between_factors_in_closed_form(codes, sup, dci):
    n_bins = 16
    assert mig_sup(codes, GRID, n_bins=n_bins)["mig_sup"] == pytest.approx(sup, abs=1e-12)
    assert dcimig(codes, GRID, n_bins=n_bins)["dcimig"] == pytest.approx(dci, abs=1e-12)


def test_jemmig_of_a_perfect_code_and_of_copies():
    # H(z, v) = 2 bits, I1 = 2, I2 = 0 of at most H(v) + log 4 = 4 bits; with copies I2 = 2
    assert jemmig(CODES, GRID, n_bins=4)["jemmig"] == pytest.approx(1.0)
    assert jemmig(np.hstack([CODES, CODES]), GRID, n_bins=4)["jemmig"] == pytest.approx(0.5)


def test_linear_scores_see_through_an_invertible_mixture():
    mixed = CODES @ np.array([[2.0, 1.0, 0.5], [-1.0, 1.0, 3.0]]) + 7
    assert linear_r2(mixed, GRID)["linear_r2"] == pytest.approx(1.0)
    assert mcc_linear(mixed, GRID)["mcc_linear"] == pytest.approx(1.0)


def test_linear_r2_of_one_lost_factor_is_a_half():
    assert linear_r2(CODES[:, :1], GRID)["linear_r2"] == pytest.approx(0.5)
    assert mcc_linear(CODES[:, :1], GRID)["mcc_linear"] == pytest.approx(0.5)


def test_held_out_mcc_scores_the_assignment_of_the_other_half():
    factors = RNG.normal(size=(400, 2))
    swapped = np.vstack([factors[:200], factors[200:, ::-1]])  # latents change places between the halves
    assert mcc_held_out(factors, factors, correlation="pearson")["mcc_held_out"] == pytest.approx(1.0)
    assert mcc_held_out(swapped, factors, correlation="pearson")["mcc_held_out"] < 0.2


def correlated(rho, n=200_000):
    z = RNG.normal(size=(n, 2))
    z[:, 1] = rho * z[:, 0] + np.sqrt(1 - rho**2) * z[:, 1]
    return z


def test_total_and_wasserstein_correlation_of_a_gaussian_pair():
    rho = 0.6
    z = correlated(rho)
    assert total_correlation(z)["total_correlation"] == pytest.approx(-0.5 * np.log(1 - rho**2), abs=0.01)
    # S = [[1, ρ], [ρ, 1]] has eigenvalues 1 ± ρ; the distance to the identity is Σ (√λ - 1)²
    expected = (np.sqrt(1 + rho) - 1) ** 2 + (np.sqrt(1 - rho) - 1) ** 2
    found = wasserstein_correlation(z)
    assert found["wasserstein_correlation"] == pytest.approx(expected, abs=0.01)
    assert found["wasserstein_correlation/normalised"] == pytest.approx(expected / 2, abs=0.01)


def test_information_between_latents_is_their_entropy_for_copies_and_0_on_a_grid():
    assert latent_information(CODES)["latent_information"] == pytest.approx(0.0, abs=1e-12)
    assert latent_information(np.hstack([CODES[:, :1], CODES[:, :1]]))["latent_information"] == pytest.approx(np.log(4))


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        pytest.param(np.vstack([np.eye(4), -np.eye(4)]), 1.0, id="one active latent in every row"),
        pytest.param(np.array([[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]]), 0.0, id="all equally large"),
        pytest.param(np.array([[3.0, 0.1], [-3.0, -0.1], [3.0, -0.1], [-3.0, 0.1]]), 0.0, id="scale does not count"),
    ],
)
def test_sparsity_in_closed_form(codes, expected):
    assert sparsity(codes)["sparsity"] == pytest.approx(expected)


def test_a_latent_that_is_hardly_used_counts_as_sparse_only_in_raw_codes():
    codes = np.array([[3.0, 0.001], [-3.0, -0.001], [3.0, -0.001], [-3.0, 0.001]])
    assert sparsity(codes)["sparsity"] == pytest.approx(0.0)
    expected = (2**0.5 - 3.001 / np.hypot(3, 0.001)) / (2**0.5 - 1)
    assert sparsity(codes, normalised=False)["sparsity"] == pytest.approx(expected)


@pytest.mark.parametrize("metric", [irs, mig_sup, dcimig, jemmig, linear_r2, mcc_linear, mcc_held_out])
def test_a_constant_factor_is_named(metric):
    factors = np.column_stack([GRID[:, 0], np.ones(16, int)])
    with pytest.raises(ValueError, match="factor 1 is constant"):
        metric(CODES, factors)


@pytest.mark.parametrize("metric", [total_correlation, wasserstein_correlation, latent_information, sparsity])
def test_one_latent_has_no_dependence_to_speak_of(metric):
    with pytest.raises(ValueError, match=rf"{metric.__name__}: needs at least two rows of at least two latents"):
        metric(np.ones((5, 1)))


@pytest.mark.parametrize(
    ("codes", "modularity", "compactness"),
    [
        pytest.param(CODES, 1.0, 1.0, id="one latent per factor"),
        pytest.param(np.hstack([CODES, CODES]), 1.0, 1 / 3, id="two latents per factor: (1/2 - 1/4) / (1 - 1/4)"),
        pytest.param(
            np.column_stack([4 * GRID[:, 0] + GRID[:, 1], GRID[:, 0]]) * 1.0, 0.5, 0.5, id="one latent knows both"
        ),
    ],
)
def test_infomec_of_quantised_codes_in_closed_form(codes, modularity, compactness):
    found = infomec(codes, GRID, is_discrete=True, rng=np.random.default_rng(0))
    assert found["infomec/modularity"] == pytest.approx(modularity)
    assert found["infomec/compactness"] == pytest.approx(compactness)
    assert found["infomec/explicitness"] == pytest.approx(1.0, abs=0.01)


def test_infomec_leaves_out_latents_of_a_twentieth_of_the_largest_range():
    codes = np.hstack([CODES, CODES[:, :1] / 21])
    assert infomec(codes, GRID, rng=np.random.default_rng(0))["infomec/active"] == 2


def test_bounds_of_a_linear_gaussian_model():
    # z ~ N(0, 1), x = z + N(0, 1) noise, q(z|x) = N(x / 2, s²): log p(x) = log N(x; 0, 2), ELBO = log p(x) - KL(q ‖ p)
    def log_normal(x, mean, variance):
        return -0.5 * (np.log(2 * np.pi * variance) + (x - mean) ** 2 / variance)

    x, s2 = RNG.normal(size=(400, 1)) * np.sqrt(2), 1.0
    z = x / 2 + np.sqrt(s2) * RNG.normal(size=(400, 2_000))
    weights = log_normal(x, z, 1.0) + log_normal(z, 0.0, 1.0) - log_normal(z, x / 2, s2)
    evidence = log_normal(x, 0.0, 2.0).mean()
    gap = 0.5 * (s2 / 0.5 - 1 - np.log(s2 / 0.5))  # the exact posterior has variance 1/2
    found = elbo(weights)
    assert found["elbo"] == pytest.approx(evidence - gap, abs=0.01)
    assert found["elbo/weighted"] == pytest.approx(evidence, abs=0.01)


def test_kl_of_latents_counts_those_in_use():
    kl = np.array([[1.0, 0.0, 0.02], [3.0, 0.01, 0.0]])
    assert latent_kl(kl) == {"latent_kl/total": pytest.approx(2.015), "latent_kl/active": 1.0}
