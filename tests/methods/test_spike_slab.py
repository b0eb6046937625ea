"""Spike-and-slab latents and the two methods built on them."""

import math

import pytest
import torch
from torch.testing import assert_close

from bench.api import Batch, DataSpec
from methods import convvsc, vsc
from methods.objectives import bernoulli_nll, bernoulli_nll_per_frame, gaussian_kl, gaussian_log_density
from methods.spike_slab import (
    draw_spike_slab,
    sample_spike_slab,
    spike_probability,
    spike_slab_kl,
    spike_slab_log_ratio,
)

SPEC = DataSpec((1, 32, 32), n_frames=1, n_train=100)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def batch(step=0, n_steps=100, n=5):
    return Batch(torch.rand(n, 1, 1, 32, 32, generator=generator(3)), torch.zeros(n), step, n_steps)


@pytest.mark.parametrize(
    ("q", "p"),
    [
        pytest.param((0.7, 0.3, 0.6), (0.0, 1.0, 0.1), id="against the sparse standard prior"),
        pytest.param((-1.0, 1.5, 0.2), (0.5, 0.8, 0.7), id="against another spike and slab"),
    ],
)
def test_kl_agrees_with_monte_carlo(q, p):
    (mean, sd, gamma), (prior_mean, prior_sd, prior_gamma) = q, p
    n = 400_000
    is_on = torch.rand(n, generator=generator(1)) < gamma
    z = mean + sd * torch.randn(n, 1, generator=generator(2))

    def log_slab(centre, scale):
        return gaussian_log_density(z, torch.tensor(centre), torch.tensor(2 * math.log(scale)))

    on = math.log(gamma / prior_gamma) + log_slab(mean, sd) - log_slab(prior_mean, prior_sd)
    ratio = torch.where(is_on, on, torch.tensor(math.log((1 - gamma) / (1 - prior_gamma))))
    arguments = (torch.tensor([mean]), torch.tensor([2 * math.log(sd)]), torch.tensor([gamma]))
    exact = spike_slab_kl(*arguments, prior_gamma, prior_mean, 2 * math.log(prior_sd))
    assert exact.item() == pytest.approx(ratio.mean().item(), abs=4 * ratio.std().item() / n**0.5)


def test_kl_is_zero_at_the_prior_and_positive_elsewhere():
    at = torch.tensor([0.01])
    assert spike_slab_kl(torch.zeros(1), torch.zeros(1), at, 0.01).item() == pytest.approx(0.0, abs=1e-7)
    mean, log_var, v = torch.randn(3, 1000, generator=generator())
    assert (spike_slab_kl(mean, log_var, v.sigmoid(), 0.01) > 0).all()


def test_with_every_spike_on_the_kl_is_the_gaussian_one():
    mean, log_var = torch.randn(2, 7, 4, generator=generator())
    assert_close(spike_slab_kl(mean, log_var, torch.ones(7, 4), 1.0).sum(-1), gaussian_kl(mean, log_var))


def test_the_share_of_open_switches_is_gamma_at_any_slope():
    gamma = torch.full((200_000, 2), 0.3)
    ones, tiny = torch.ones_like(gamma), torch.full_like(gamma, -60.0)
    for slope in (5.0, 50.0, 200.0):
        z = sample_spike_slab(ones, tiny, gamma, slope, generator())
        assert (z > 0.5).float().mean(0).tolist() == pytest.approx([0.3, 0.3], abs=0.005)


def test_the_released_spike_is_certain_and_without_gradient_where_its_output_is_positive():
    v = torch.tensor([-1.0, 0.5], requires_grad=True)
    gamma = spike_probability(v, "relu")
    gamma.sum().backward()
    assert_close(gamma, torch.tensor([math.exp(-1.0), 1.0]))
    assert_close(v.grad, torch.tensor([math.exp(-1.0), 0.0]))


@pytest.mark.parametrize("prior", [0.01, 0.5])
def test_log_ratios_of_drawn_codes_average_to_minus_the_kl(prior):
    # the standard error of 200,000 draws is below 0.007 nats here
    mean, log_var = torch.tensor([0.8, -1.5, 0.0]), torch.tensor([-1.0, 0.4, 0.0])
    gamma = torch.tensor([0.3, 0.9, 0.5])
    many = [one.expand(200_000, 3) for one in (mean, log_var, gamma)]
    z, is_on = draw_spike_slab(*many, generator())
    assert_close(is_on.float().mean(0), gamma, rtol=0, atol=0.005)
    assert (z[~is_on] == 0).all()
    ratio = spike_slab_log_ratio(z, is_on, *many, prior).mean(0)
    assert_close(-ratio, spike_slab_kl(mean, log_var, gamma, prior), rtol=0, atol=0.03)


def test_weights_of_convvsc_average_to_its_elbo():
    torch.manual_seed(0)
    method = convvsc.ConvVSC(
        convvsc.ConvVSCConfig(alpha=0.5, n_latents=4, network="dense", n_hidden=16, spike="sigmoid"), SPEC
    )
    x = batch().x.flatten(0, 1)
    with torch.no_grad():
        weights = method.log_weights(x, 300, generator())
        mean, log_var, gamma = method.posterior(x)
        same = generator()  # the same draws: what is left beside the likelihood must average to the KL
        drawn = [draw_spike_slab(mean, log_var, gamma, same)[0] for _ in range(300)]
        likelihood = torch.stack([-bernoulli_nll_per_frame(method.decoder(z)[0], x) for z in drawn], dim=1)
    assert weights.shape == (len(x), 300)
    kl = spike_slab_kl(mean, log_var, gamma, 0.5).sum(-1)
    assert_close((likelihood - weights).mean(1), kl, rtol=0, atol=0.3)  # standard errors below 0.1


def test_convvsc_with_all_spikes_on_is_a_beta_vae():
    torch.manual_seed(0)
    method = convvsc.ConvVSC(convvsc.ConvVSCConfig(alpha=1.0, beta=3.0, n_latents=6), SPEC)
    torch.nn.init.zeros_(method.encoder.spike.weight)
    torch.nn.init.ones_(method.encoder.spike.bias)
    frames = batch()
    terms = method.losses(frames, generator())
    x = frames.x.flatten(0, 1)
    mean, log_var, _ = method.posterior(x)
    assert_close(terms["kl"], gaussian_kl(mean, log_var).mean())
    z = sample_spike_slab(mean, log_var, torch.ones_like(mean), 50.0, generator())
    assert_close(terms["loss"], bernoulli_nll(method.decoder(z)[0], x) + 3 * terms["kl"])
    assert_close(method.encode(frames.x)[:, 0], mean)


@pytest.mark.parametrize(("step", "slope"), [(0, 50.0), (1, 50.15), (500, 125.0), (999, 199.85)])
def test_the_slope_rises_per_step(step, slope):
    method = convvsc.ConvVSC(convvsc.ConvVSCConfig(slope=50.0, slope_end=200.0), SPEC)
    assert method.slope(step, 1000) == pytest.approx(slope)
    assert vsc.VSC(vsc.VSCConfig(n_hidden=8, slope=50.0, slope_end=200.0), SPEC).schedules(step, 1000)[1] == (
        pytest.approx(slope)
    )


@pytest.mark.parametrize(("step", "slab"), [(0, 0.0), (45_000, 0.0), (47_500, 0.5), (50_000, 1.0), (99_999, 1.0)])
def test_vsc_warms_its_slab_up_as_in_the_notebook(step, slab):
    method = vsc.VSC(vsc.VSCConfig(n_hidden=8), SPEC)
    assert method.schedules(step, 100_000)[0] == pytest.approx(slab)
    assert method.learning_rate_factor(step, 100_000) == (0.1 if step > 45_000 else 1.0)


def test_before_the_warm_up_only_spikes_carry_information():
    torch.manual_seed(0)
    method = vsc.VSC(vsc.VSCConfig(n_hidden=8, n_latents=3), SPEC)
    terms = method.losses(batch(step=0), generator())
    terms["nll"].backward()
    assert method.encoder.mean.weight.grad.abs().sum() == 0
    assert method.encoder.log_var.weight.grad.abs().sum() == 0
    assert method.encoder.spike.weight.grad.abs().sum() > 0


def test_selector_weights_sum_to_one_and_the_papers_are_almost_one_hot():
    torch.manual_seed(0)
    released = vsc.VSC(vsc.VSCConfig(n_hidden=8, n_pseudo_inputs=2), SPEC)
    paper = vsc.VSC(vsc.VSCConfig(n_hidden=8, n_pseudo_inputs=2, selector="paper"), SPEC)
    paper.load_state_dict(released.state_dict())
    x = batch().x.flatten(0, 1)
    scores = released.selector(x.flatten(1)).sigmoid()
    assert_close(released.select(x), scores / scores.sum(1, keepdim=True))
    assert_close(paper.select(x).sum(1), torch.ones(5))
    assert (paper.select(x).max(1).values >= released.select(x).max(1).values).all()


def test_vsc_terms_against_a_loop_over_images_and_pseudo_inputs():
    torch.manual_seed(0)
    config = vsc.VSCConfig(n_hidden=8, n_latents=3, n_pseudo_inputs=4, alpha=0.05)
    method = vsc.VSC(config, SPEC)
    frames = batch(step=99)
    terms = method.losses(frames, generator())
    x = frames.x.flatten(0, 1)
    x = x / x.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    mean, log_var, gamma = method.posterior(x)
    prior_mean, prior_log_var, prior_gamma = method.posterior(method.pseudo_inputs)
    prior_gamma = torch.sigmoid(10 * (prior_gamma - 0.5))
    weights = method.select(x)
    kl, sparsity = 0.0, 0.0
    for b in range(5):
        for k in range(4):
            one = spike_slab_kl(
                mean[b], log_var[b], gamma[b], prior_gamma[k], prior_mean[k], prior_log_var[k]
            ).sum()  # fmt: skip
            kl += weights[b, k] * one / 5
        share = sum(weights[b, k] * prior_gamma[k].mean() for k in range(4))
        sparsity += 3 * ((1 - share) * ((1 - share) / 0.95).log() + share * (share / 0.05).log()) / 5
    assert_close(terms["kl"], kl)
    assert_close(terms["sparsity"], sparsity)
    assert_close(terms["loss"], terms["nll"] + kl + sparsity)


def test_vsc_scores_gamma_times_mean_and_rebuilds_at_the_images_norm():
    torch.manual_seed(0)
    method = vsc.VSC(vsc.VSCConfig(n_hidden=8, n_latents=3), SPEC)
    frames = batch()
    method.losses(frames, generator())
    norms = frames.x.flatten(1).norm(dim=1)
    assert method.norm.item() == pytest.approx(norms.mean().item(), rel=1e-5)
    mean, _, gamma = method.posterior(frames.x[:, 0] / norms.view(-1, 1, 1, 1))
    assert_close(method.encode(frames.x)[:, 0], gamma * mean)
    with torch.no_grad():
        assert method.decode(torch.zeros(1, 3)).max() <= 1


def test_the_gaussian_likelihood_is_torchs():
    mean, log_var, x = torch.randn(3, 2, 1, 4, 4, generator=generator())
    expected = -torch.distributions.Normal(mean, (log_var.exp() + 1e-6).sqrt()).log_prob(x).sum() / 2
    assert_close(vsc.gaussian_nll(mean, log_var, x), expected)


def test_dense_weights_start_as_in_the_authors_code_and_torchs_own_in_the_reproductions():
    def biases(module, config):
        torch.manual_seed(0)
        method = module(config, SPEC)
        layers = [m for m in [*method.encoder.modules(), *method.decoder.modules()] if isinstance(m, torch.nn.Linear)]
        return [layer.bias.abs().max().item() for layer in layers]

    assert set(biases(vsc.VSC, vsc.VSCConfig(n_hidden=8))) == {0.0}
    assert min(biases(convvsc.ConvVSC, convvsc.ConvVSCConfig(network="dense", n_hidden=8))) > 0
