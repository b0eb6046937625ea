"""The terms of the static and temporal methods against closed forms and the sheet's vectors."""

import math

import pytest
import torch
from torch.testing import assert_close

from bench.api import Batch, DataSpec
from methods import adagvae, annealedvae, betatcvae, dipvae, factorvae, pcl
from methods import total_correlation as tc
from methods.objectives import gaussian_kl
from methods.study_networks import Discriminator

IMAGES = DataSpec((1, 64, 64), n_frames=1, n_train=500)
PAIRS = DataSpec((1, 64, 64), n_frames=2, n_train=500)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def batch(n=6, time=1, step=0, n_steps=100):
    x = torch.rand(n, time, 1, 64, 64, generator=generator(9))
    return Batch(x, torch.zeros(n, dtype=torch.int64), step, n_steps)


# AnnealedVAE


@pytest.mark.parametrize(("step", "capacity"), [(0, 0.0), (50_000, 12.5), (100_000, 25.0), (299_999, 25.0)])
def test_capacity_grows_per_step_over_the_first_third(step, capacity):
    method = annealedvae.AnnealedVAE(annealedvae.AnnealedVAEConfig(), IMAGES)
    assert method.capacity(step, 300_000) == pytest.approx(capacity)


def test_capacity_acts_on_the_kl_of_the_batch_not_of_each_image():
    method = annealedvae.AnnealedVAE(annealedvae.AnnealedVAEConfig(gamma=3.0, c_max=1.5), IMAGES)
    frames = batch(step=60)
    mean, log_var = method.model.posterior(frames.x.flatten(0, 1))
    terms = method.losses(frames, generator())
    distance = (gaussian_kl(mean, log_var).mean() - 1.5).abs()
    assert_close(terms["distance"], distance)
    assert_close(terms["loss"], terms["nll"] + 3 * distance)


# β-TCVAE


def test_stratified_weights_put_a_codes_own_posterior_on_the_diagonal():
    n, b = 100, 5
    weights = tc.stratified_log_weights(b, n).exp()
    assert_close(weights.diagonal(), torch.full((b,), 1 / n))
    assert_close(weights.sum(1), torch.ones(b))
    stratum = (n - 4) / (n * 4)
    assert [(row - stratum).abs().lt(1e-6).sum().item() for row in weights] == [1] * b
    assert (weights - 1 / 4).abs().lt(1e-6).sum().item() == b * (b - 2)


def test_the_published_weights_hold_it_in_column_0():
    weights = tc.published_log_weights(5, 100).exp()
    assert_close(weights[[0, 1, 2, 4], 0], torch.full((4,), 1 / 100))
    assert not torch.allclose(weights, tc.stratified_log_weights(5, 100).exp())


def correlated_posteriors(n, rho=0.8, noise=0.5):
    """Posteriors whose aggregate is N(0, R + noise² I), samples of them, and its total correlation in nats."""
    root = torch.linalg.cholesky(torch.tensor([[1.0, rho], [rho, 1.0]]))
    mean = torch.randn(n, 2, generator=generator(1)) @ root.T
    log_var = torch.full((n, 2), 2 * math.log(noise))
    z = mean + noise * torch.randn(n, 2, generator=generator(2))
    exact = -0.5 * math.log(1 - (rho / (1 + noise**2)) ** 2)
    return z, mean, log_var, exact


def test_stratified_sampling_of_the_whole_set_finds_the_gaussian_total_correlation():
    z, mean, log_var, exact = correlated_posteriors(2_000)
    pairwise = tc.pairwise_log_density(z, mean, log_var)
    joint, marginals = tc.stratified_sampling(pairwise, tc.stratified_log_weights(2_000, 2_000))
    assert (joint - marginals).mean().item() == pytest.approx(exact, abs=0.03)  # ± the Monte Carlo error


def test_weighted_sampling_is_off_by_the_constant_that_its_bias_gives():
    z, mean, log_var, exact = correlated_posteriors(2_000)
    joint, marginals = tc.weighted_sampling(tc.pairwise_log_density(z, mean, log_var), 2_000)
    # each of the three densities is too small by N: once below, twice above the bar
    assert (joint - marginals).mean().item() == pytest.approx(exact + math.log(2_000), abs=0.03)


def test_the_parts_of_the_kl_add_up_to_it():
    z, mean, log_var, _ = correlated_posteriors(2_000)
    method = betatcvae.BetaTCVAE(betatcvae.BetaTCVAEConfig(estimator="mss", batch_size=2_000), IMAGES)
    total = sum(method.decompose(z, mean, log_var).values())
    assert total.item() == pytest.approx(gaussian_kl(mean, log_var).mean().item(), abs=0.05)


def test_the_studys_form_has_the_gradient_of_weighted_sampling():
    gradients = []
    z, mean, log_var, _ = correlated_posteriors(40)
    for n_data in (40, 10**6):  # the constant alone depends on it
        means = mean.clone().requires_grad_()
        joint, marginals = tc.weighted_sampling(tc.pairwise_log_density(z, means, log_var), n_data)
        gradients.append(torch.autograd.grad((joint - marginals).mean(), means)[0])
    assert_close(gradients[0], gradients[1])


@pytest.mark.parametrize("objective", ["released", "study"])
def test_total_correlation_is_weighted_as_each_objective_says(objective):
    frames, terms = batch(), {}
    for beta in (1.0, 3.0):
        torch.manual_seed(0)
        method = betatcvae.BetaTCVAE(betatcvae.BetaTCVAEConfig(beta=beta, objective=objective), IMAGES)
        terms[beta] = method.losses(frames, generator())
    difference = terms[3.0]["loss"] - terms[1.0]["loss"]
    assert_close(difference, 2 * terms[1.0]["total_correlation"], rtol=1e-3, atol=1e-3)
    if objective == "study":
        assert_close(terms[1.0]["loss"], terms[1.0]["nll"] + terms[1.0]["kl"])


# FactorVAE


def test_no_gradient_crosses_between_factorvaes_players():
    torch.manual_seed(0)
    method = factorvae.FactorVAE(factorvae.FactorVAEConfig(), IMAGES)
    method.losses(batch(), generator(), "discriminator")["loss"].backward()
    assert all(p.grad is None for p in method.model.parameters())
    assert all(p.grad is not None for p in method.discriminator.parameters())


def test_the_total_correlation_reaches_the_encoder_through_z():
    torch.manual_seed(0)
    method = factorvae.FactorVAE(factorvae.FactorVAEConfig(), IMAGES)
    method.losses(batch(), generator())["total_correlation"].backward()
    assert method.model.encoder[0].weight.grad.abs().sum() > 0
    assert all(p.grad is None for p in method.model.decoder.parameters())


def test_a_trained_discriminator_finds_the_gaussian_total_correlation():
    torch.manual_seed(0)
    z, _, _, exact = correlated_posteriors(8_000, rho=0.9, noise=0.2)
    critic = Discriminator(2, width=64, n_hidden=2)
    optimizer = torch.optim.Adam(critic.parameters(), lr=3e-3)
    rng = generator(5)
    for _ in range(300):
        rows = torch.randint(4_000, (512,), generator=rng)
        loss = factorvae.discriminator_loss(critic, z[rows], factorvae.permuted(z[rows], rng))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        found = factorvae.density_ratio(critic, z[4_000:]).mean().item()
    assert found == pytest.approx(exact, abs=0.1)


def test_permuting_keeps_each_column_and_breaks_the_rows():
    z = torch.arange(40.0).reshape(20, 2)
    mixed = factorvae.permuted(z, generator())
    assert torch.equal(mixed.sort(0).values, z)
    assert (mixed[:, 1] - mixed[:, 0]).ne(1).sum() > 10


# DIP-VAE


def test_dip_covariances_in_closed_form():
    mean, log_var = torch.tensor([[1.0, 0.0], [3.0, 4.0]]), torch.tensor([[0.0, 1.0], [2.0, -1.0]])
    of_means = torch.tensor([[1.0, 2.0], [2.0, 4.0]])  # biased: divided by 2
    first = dipvae.DIPVAE1(dipvae.DIPVAE1Config(n_latents=2), IMAGES)
    second = dipvae.DIPVAE2(dipvae.DIPVAE2Config(n_latents=2), IMAGES)
    assert_close(first.covariance(mean, log_var), of_means)
    assert_close(second.covariance(mean, log_var), of_means + log_var.exp().mean(0).diag())
    off_diagonal, diagonal = dipvae.squares(of_means)
    assert (off_diagonal.item(), diagonal.item()) == (8.0, 9.0)


def test_dip_penalty_against_finite_differences():
    mean = torch.randn(5, 3, generator=generator(), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda m: sum(dipvae.squares(dipvae.batch_covariance(m))), mean)


# Ada-GVAE and Ada-ML-VAE


def test_ada_divergence_and_averages_on_the_sheets_vector():
    mean, variance = torch.tensor([[[1.0], [3.0]]]), torch.tensor([[[0.5], [2.0]]])
    assert adagvae.divergence(mean, variance.log()).item() == pytest.approx(2.6362943611)
    gvae = adagvae.AdaGVAE(adagvae.AdaGVAEConfig(), PAIRS)
    mlvae = adagvae.AdaMLVAE(adagvae.AdaMLVAEConfig(), PAIRS)
    assert [t.item() for t in gvae.average(mean, variance)] == pytest.approx([2.0, 1.25])
    assert [t.item() for t in mlvae.average(mean, variance)] == pytest.approx([1.4, 0.8])


def posteriors_with_divergence(deltas):
    """Unit variances and shifts whose divergence, shift², is as given."""
    shift = torch.tensor(deltas).sqrt()
    return torch.stack([torch.zeros_like(shift), shift])[None], torch.zeros(1, 2, len(deltas))


@pytest.mark.parametrize(
    ("deltas", "shared"),
    [
        pytest.param([0.0, 1.0, 2.0, 5.5, 10.0], [True, True, True, False, False], id="middle of the range is 5"),
        pytest.param([0.0, 5.0, 10.0], [True, False, False], id="the middle itself has changed"),
        pytest.param([4.0, 4.0], [True, True], id="equal divergences: 0/0 shares all"),
    ],
)
def test_ada_shares_the_latents_below_the_middle_of_the_pairs_range(deltas, shared):
    assert adagvae.shared_latents(*posteriors_with_divergence(deltas))[0].tolist() == shared


def test_ada_replaces_both_frames_and_leaves_changed_latents_alone():
    torch.manual_seed(0)
    method = adagvae.AdaGVAE(adagvae.AdaGVAEConfig(n_latents=4), PAIRS)
    seen = []
    method.model.logits = lambda z: seen.append(z) or torch.zeros(len(z), 1, 64, 64)
    x = batch(3, time=2)
    mean, log_var = (t.unflatten(0, (-1, 2)) for t in method.model.posterior(x.x.flatten(0, 1)))
    is_shared = adagvae.shared_latents(mean, log_var)
    zero_noise = generator()
    method.losses(x, zero_noise)
    z = seen[0].unflatten(0, (-1, 2))
    noise = torch.randn(6, 4, generator=generator()).unflatten(0, (-1, 2))
    common = mean.mean(1) + log_var.exp().mean(1).sqrt() * noise[:, 1]
    own = mean[:, 1] + (0.5 * log_var[:, 1]).exp() * noise[:, 1]
    assert_close(z[:, 1], torch.where(is_shared, common, own))
    assert is_shared.any()
    assert not is_shared.all()


# PCL


def test_pcl_logit_in_closed_form():
    method = pcl.PCL(pcl.PCLConfig(n_latents=2), PAIRS)
    with torch.no_grad():
        method.a.copy_(torch.tensor([1.0, 2.0]))
        method.b.copy_(torch.tensor([-1.0, 0.5]))
        method.c.copy_(torch.tensor([0.0, -1.0]))
        method.e.fill_(0.25)
        logit = method.logit(torch.tensor([[3.0, -1.0]]), torch.tensor([[1.0, 2.0]]))
    # -(|3 - 1| + |-2 + 1 - 1|) + (9 + 1) + 0.25
    assert logit.item() == pytest.approx(6.25)


def test_pcl_starts_as_distance_and_energy_of_the_second_frame():
    method = pcl.PCL(pcl.PCLConfig(n_latents=3), PAIRS)
    second, first = torch.randn(2, 4, 3, generator=generator()).unbind(0)
    assert_close(method.logit(second, first), -(second - first).abs().sum(1) + (second**2).sum(1))


def test_pcl_unmixes_autoregressive_laplace_sources():
    """The model's own identifiability result, on a linear mixture with a linear encoder."""
    torch.manual_seed(0)
    n, k = 20_000, 3
    innovations = torch.distributions.Laplace(0.0, 1.0).sample((n, k))
    source = torch.zeros(n, k)
    for t in range(1, n):
        source[t] = 0.7 * source[t - 1] + innovations[t]
    source = (source - source.mean(0)) / source.std(0)
    observed = source @ torch.linalg.qr(torch.randn(k, k)).Q
    method = pcl.PCL(pcl.PCLConfig(n_latents=k), PAIRS)
    method.encoder = torch.nn.Linear(k, k)
    optimizer = torch.optim.Adam([*method.encoder.parameters(), method.a, method.b, method.c, method.e], lr=1e-2)
    rng = generator()
    for _ in range(600):
        rows = torch.randint(1, n, (256,), generator=rng)
        x = torch.stack([observed[rows - 1], observed[rows]], 1)
        loss = method.losses(Batch(x, rows, 0, 1), rng)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        codes = method.encoder(observed)
    correlation = torch.corrcoef(torch.cat([codes, source], 1).T)[:k, k:].abs()
    assert correlation.amax(0).min() > 0.95
    assert correlation.argmax(0).unique().numel() == k
