"""Closed forms of the shared terms, against independent computations of the same quantities."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch.distributions import Laplace, Normal, kl_divergence

from bench.api import Batch, DataSpec
from methods.objectives import (
    bernoulli_nll,
    gaussian_cross_entropy,
    gaussian_entropy,
    gaussian_kl,
    laplace_cross_entropy,
    sample_gaussian,
)
from methods.slowvae import SlowVAE, SlowVAEConfig, pair_terms
from methods.vae import VAE, VAEConfig


def draws(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# The Laplace's rate, distance of its centre in units of the latent, sigma; cross-entropy, KL. Sheet "temporal", §11.
CHECK_VECTORS = [
    (6, 0.0, 1.0, 3.688695, 2.269757),
    (6, 0.5, 0.3, 1.972763, 1.757798),
    (6, -0.5, 0.3, 1.972763, 1.757798),
    (6, 1.0, 0.05, 4.901388, 6.478181),
    (6, 3.0, 0.01, 16.901388, 20.087619),
    (1, 2.0, 1.0, 2.710129, 1.291190),
    (1, 0.0, 1.0, 1.491032, 0.072093),
]


def shift_and_log_var(shift, sigma):
    return torch.tensor([shift], dtype=torch.float64), torch.tensor([2 * math.log(sigma)], dtype=torch.float64)


@pytest.mark.parametrize(("rate", "shift", "sigma", "cross_entropy", "kl"), CHECK_VECTORS)
def test_laplace_cross_entropy_equals_the_check_vectors(rate, shift, sigma, cross_entropy, kl):
    shift, log_var = shift_and_log_var(shift, sigma)
    value = laplace_cross_entropy(shift, log_var, rate)
    assert value.item() == pytest.approx(cross_entropy, abs=6e-7)  # the vectors have six decimals
    assert (value - gaussian_entropy(log_var)).item() == pytest.approx(kl, abs=6e-7)


@pytest.mark.parametrize(("rate", "shift", "sigma"), [row[:3] for row in CHECK_VECTORS])
def test_laplace_cross_entropy_equals_quadrature(rate, shift, sigma):
    def integrand(z):
        return -stats.norm.pdf(z, shift, sigma) * stats.laplace.logpdf(z, 0, 1 / rate)

    low, high = shift - 12 * sigma, shift + 12 * sigma
    expected, _ = integrate.quad(integrand, low, high, points=[0.0] if low < 0 < high else None, limit=200)
    value = laplace_cross_entropy(*shift_and_log_var(shift, sigma), rate)
    assert value.item() == pytest.approx(expected, abs=1e-8)


def test_laplace_cross_entropy_equals_monte_carlo():
    mean, log_var = draws(4), draws(4, seed=1)
    q = Normal(mean, (0.5 * log_var).exp())
    z = mean + q.stddev * draws(400_000, 4, seed=2)
    sampled = -Laplace(0.0, 1 / 6).log_prob(z).sum(-1)
    error = sampled.std() / len(sampled) ** 0.5
    assert abs(sampled.mean() - laplace_cross_entropy(mean, log_var, 6.0)) < 4 * error


def test_laplace_cross_entropy_is_even_in_the_shift():
    shift, log_var = draws(20, 10), draws(20, 10, seed=1)
    torch.testing.assert_close(laplace_cross_entropy(shift, log_var, 6.0), laplace_cross_entropy(-shift, log_var, 6.0))


def test_laplace_cross_entropy_and_its_gradient_stay_finite_when_sigma_vanishes():
    shift = torch.tensor([[1.0, 0.0, -2.0]], requires_grad=True)
    log_var = torch.tensor([[-95.0, -95.0, -60.0]], requires_grad=True)
    value = laplace_cross_entropy(shift, log_var, 6.0)
    value.sum().backward()
    assert value.item() == pytest.approx(6 * 3 - 3 * math.log(3), rel=1e-6)
    assert shift.grad.tolist() == [[6.0, 0.0, -6.0]]
    assert log_var.grad.abs().max() < 1e-6


def test_gaussian_terms_agree_with_torch_distributions():
    mean, log_var = draws(7, 3), draws(7, 3, seed=1)
    q, p = Normal(mean, (0.5 * log_var).exp()), Normal(0.0, 1.0)
    torch.testing.assert_close(gaussian_kl(mean, log_var), kl_divergence(q, p).sum(-1))
    torch.testing.assert_close(gaussian_entropy(log_var), q.entropy().sum(-1))
    torch.testing.assert_close(gaussian_cross_entropy(mean, log_var), (kl_divergence(q, p) + q.entropy()).sum(-1))


def test_bernoulli_nll_sums_over_pixels_and_averages_over_frames():
    logits, frames = draws(5, 3, 4, 4), draws(5, 3, 4, 4, seed=1).sigmoid()
    p = logits.sigmoid()
    expected = -(frames * p.log() + (1 - frames) * (1 - p).log()).flatten(1).sum(1).mean()
    torch.testing.assert_close(bernoulli_nll(logits, frames), expected)


def test_samples_have_the_posterior_moments():
    mean, log_var = draws(4), draws(4, seed=1)
    z = sample_gaussian(mean.expand(200_000, 4), log_var.expand(200_000, 4), torch.Generator().manual_seed(0))
    torch.testing.assert_close(z.mean(0), mean, atol=0.02, rtol=0)
    torch.testing.assert_close(z.var(0), log_var.exp(), atol=0, rtol=0.02)


@pytest.mark.parametrize("objective", ["released", "elbo"])
def test_gradients_of_the_terms_equal_finite_differences(objective):
    mean, log_var = draws(3, 2, 4).requires_grad_(), draws(3, 2, 4, seed=1).requires_grad_()
    config = SlowVAEConfig(objective=objective)

    def terms(mean, log_var):
        parts = pair_terms(mean, log_var, config)
        return (gaussian_kl(mean, log_var), *parts.values())

    assert torch.autograd.gradcheck(terms, (mean, log_var))
    logits, frames = draws(2, 1, 3, 3, seed=2).requires_grad_(), draws(2, 1, 3, 3, seed=3).sigmoid()
    assert torch.autograd.gradcheck(lambda logits: bernoulli_nll(logits, frames), (logits,))


def one_pair():
    """The pair of the sheet "temporal", §11."""
    mean = torch.tensor([[[0.3, -1.0], [0.3, 0.5]]], dtype=torch.float64)
    log_var = torch.tensor([[[-2.0, 0.0], [-1.0, -3.0]]], dtype=torch.float64)
    return mean, log_var


def test_released_regulariser_equals_the_check_vector():
    terms = pair_terms(*one_pair(), SlowVAEConfig(beta=1, gamma=10, rate=6))
    assert terms["entropy"].item() == pytest.approx(1.3378770664, abs=1e-9)
    assert (terms["kl"] + terms["entropy"]).item() == pytest.approx(2.5836275146, abs=1e-9)
    assert terms["laplace_cross_entropy"].item() == pytest.approx(18.6220330228, abs=1e-9)
    assert terms["kl"].item() == pytest.approx(1.2457504482, abs=1e-9)
    assert terms["regulariser"].item() == pytest.approx(174.0873100121, abs=1e-9)


def test_elbo_regulariser_equals_the_check_vector():
    terms = pair_terms(*one_pair(), SlowVAEConfig(beta=1, gamma=10, rate=6, objective="elbo"))
    assert terms["regulariser"].item() == pytest.approx(80.9771448981, abs=1e-9)
    true_kl = terms["laplace_cross_entropy"] - 2 * terms["entropy"]
    assert true_kl.item() == pytest.approx(15.9462788900, abs=1e-9)


@pytest.mark.parametrize(
    ("objective", "sigma"),
    [
        pytest.param("released", 0.5 * math.sqrt(math.pi / 2) / 6, id="released code halves the entropy's weight"),
        pytest.param("elbo", math.sqrt(math.pi / 2) / 6, id="evidence lower bound"),
    ],
)
def test_the_transition_term_is_least_at_the_sigma_of_its_objective(objective, sigma):
    config = SlowVAEConfig(beta=0, gamma=1, rate=6, objective=objective)
    grid = np.linspace(0.05, 0.4, 35_001)
    log_var = torch.from_numpy(2 * np.log(grid)).requires_grad_()
    pairs = log_var[:, None, None].expand(-1, 2, 1)
    pair_terms(torch.zeros_like(pairs), pairs, config)["regulariser"].backward()
    crossing = grid[(log_var.grad > 0).numpy().argmax()]
    assert crossing == pytest.approx(sigma, abs=2e-5)


def test_the_shift_pulls_both_means():
    mean, log_var = one_pair()
    mean.requires_grad_()
    pair_terms(mean, log_var, SlowVAEConfig(beta=0))["laplace_cross_entropy"].backward()
    first, second = mean.grad[0]
    torch.testing.assert_close(first, -second)
    assert first[1] < -10  # about -2 λ per pair: nearly two whole sigmas apart, in both orders


def test_the_loss_is_twice_the_reconstruction_plus_the_regulariser():
    torch.manual_seed(0)
    method = SlowVAE(SlowVAEConfig(), DataSpec((1, 16, 16), n_frames=2, n_train=9))
    x = torch.rand(3, 2, 1, 16, 16)
    terms = method.losses(Batch(x, torch.arange(3), 0, 1), torch.Generator().manual_seed(5))
    frames = x.reshape(6, 1, 16, 16)  # x0, x1, x0', x1', …
    mean, log_var = method.model.posterior(frames)
    z = sample_gaussian(mean, log_var, torch.Generator().manual_seed(5))
    nll = bernoulli_nll(method.model.logits(z), frames)
    kl = gaussian_kl(mean, log_var).mean()
    laplace = laplace_cross_entropy(mean[::2] - mean[1::2], log_var[::2], 6.0)
    laplace = laplace + laplace_cross_entropy(mean[1::2] - mean[::2], log_var[1::2], 6.0)
    loss = 2 * nll + kl + 10 * (laplace.mean() - gaussian_entropy(log_var).mean())
    torch.testing.assert_close(terms["loss"], loss)
    torch.testing.assert_close(terms["nll"], nll)


def test_terms_ignore_autocast():
    mean, log_var, logits = draws(4, 2, 10).float(), draws(4, 2, 10, seed=1).float(), draws(8, 1, 16, 16).float()
    frames = logits.sigmoid().flip(0)

    def terms():
        return {"nll": bernoulli_nll(logits, frames), **pair_terms(mean, log_var, SlowVAEConfig())}

    expected = terms()
    with torch.autocast("cpu", torch.bfloat16):
        inside = terms()
    for name, value in expected.items():
        assert inside[name].dtype == torch.float32
        assert torch.equal(inside[name], value), name


def test_log_weights_average_to_the_elbo_of_the_loss():
    torch.manual_seed(0)
    vae = VAE(VAEConfig(n_latents=3), DataSpec((1, 64, 64), n_frames=1, n_train=9))
    x = torch.rand(4, 1, 64, 64)
    with torch.no_grad():
        weights = vae.log_weights(x, 200, torch.Generator().manual_seed(1))
        losses = [
            vae.losses(Batch(x[:, None], torch.arange(4), 0, 1), torch.Generator().manual_seed(seed))["loss"]
            for seed in range(50)
        ]
        mean, log_var = vae.model.posterior(x)
        torch.testing.assert_close(vae.latent_kl(x).sum(1), gaussian_kl(mean, log_var))
    assert weights.shape == (4, 200)
    assert weights.mean().item() == pytest.approx(-torch.stack(losses).mean().item(), abs=1.0)
