"""Networks of static/dynamic sequence models and the terms of their evidence bound."""

import pytest
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence
from torch.testing import assert_close

from bench.api import Batch, DataSpec
from methods import sequence_networks as networks
from methods.dsvae import DSVAE, DSVAEConfig
from methods.sequential_vae import SequentialConfig, diagonal_kl, sequence_vae

SPRITES = DataSpec((3, 64, 64), n_frames=8, n_train=9000)
AUDIO = DataSpec((200,), n_frames=20, n_train=500)
SMALL = {"width": 4, "n_features": 16, "n_hidden": 12, "n_static": 10, "n_dynamic": 3, "batch_size": 4}
POSTERIORS = [
    networks.SharedPosterior,
    networks.FactorisedPosterior,
    networks.FullPosterior,
    networks.CausalPosterior,
]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def n_parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


def livelier(module, seed=0):
    """The module with weights large enough for every path through it to show in its outputs."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator(seed)))
    return module


# Sizes


def test_the_released_cdsvae_network_has_its_parameter_count():
    assert n_parameters(sequence_vae(SequentialConfig(), SPRITES)) == 11_031_683


def test_the_judge_made_of_its_parts_has_its_parameter_count():
    encoder = networks.frame_encoder((3, 64, 64), 128)
    lstm = nn.LSTM(128, 256, bidirectional=True)
    heads = sum(512 * 256 + 256 + 257 * n for n in (9, 6, 6, 6, 6))
    assert n_parameters(encoder) + n_parameters(lstm) + heads == 5_263_073


@pytest.mark.parametrize("posterior", ["full", "factorised"])
def test_the_reimplementation_of_dsvae_has_the_sizes_of_its_layer_list(posterior):
    def conv(i, o):
        return 25 * i * o + o

    def linear(i, o):
        return i * o + o

    def lstm(i, h):
        return 4 * h * (i + h + 2)

    encoder = conv(3, 256) + 3 * conv(256, 256) + 4 * 512 + linear(16384, 4096) + linear(4096, 2048) + 2 * (4096 + 2048)
    decoder = linear(288, 4096) + linear(4096, 16384) + 3 * (conv(256, 256) + 512) + conv(256, 3) + 2 * 3
    static = 2 * lstm(2048, 512) + 2 * linear(1024, 256)
    prior = lstm(32, 512) + 2 * linear(512, 32)
    full = 2 * lstm(2304, 512) + 512 * (1024 + 512 + 2) + 2 * linear(512, 32)
    factorised = linear(2048, 512) + 2 * linear(512, 32)
    dynamic = full if posterior == "full" else factorised
    config = DSVAEConfig(**{**DSVAE.card.grids["reimplementation"][0], "posterior": posterior})
    with torch.device("meta"):
        network = DSVAE(config, SPRITES)
    assert n_parameters(network) == encoder + decoder + static + prior + dynamic


def test_initial_weights_are_those_of_the_released_code():
    network = sequence_vae(SequentialConfig(), SPRITES)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            assert module.weight.std().item() == pytest.approx(0.01, rel=0.1)
            assert not module.bias.any()
        elif isinstance(module, nn.ConvTranspose2d):  # torch's default: uniform, bound 1/√fan_in
            fan_in = module.weight[0].numel()
            assert module.weight.abs().max().item() == pytest.approx(fan_in**-0.5, rel=0.02)


@pytest.mark.parametrize("shape", [(3, 60, 64), (64, 64)])
def test_other_observations_are_refused_by_their_shape(shape):
    with pytest.raises(ValueError, match="got observations of shape"):
        networks.frame_encoder(shape, 8)


# Posteriors


@pytest.mark.parametrize("kind", POSTERIORS)
def test_posteriors_without_a_generator_give_their_means_for_samples(kind):
    posterior = livelier(kind(6, 5, 4, 3))
    static, dynamic = posterior(torch.randn(2, 7, 6, generator=generator()))
    assert torch.equal(static.sample, static.mean)
    assert torch.equal(dynamic.sample, dynamic.mean)
    assert static.mean.shape == (2, 4)
    assert dynamic.mean.shape == dynamic.log_var.shape == (2, 7, 3)


# (frame 5 changed: does z_3's posterior move? s changed: does z's?)
REACH = {
    networks.SharedPosterior: (True, False),
    networks.FactorisedPosterior: (False, False),
    networks.FullPosterior: (True, True),
    networks.CausalPosterior: (False, False),
}


@pytest.mark.parametrize("kind", POSTERIORS)
def test_dynamic_posteriors_see_what_their_factorisation_says(kind):
    posterior = livelier(kind(6, 5, 4, 3))
    x = torch.randn(2, 7, 6, generator=generator())
    later, earlier = x.clone(), x.clone()
    later[:, 5] += 1
    earlier[:, 1] += 1
    mean = posterior(x).dynamic.mean
    sees_later, sees_static = REACH[kind]
    assert (not torch.equal(posterior(later).dynamic.mean[:, 3], mean[:, 3])) == sees_later
    sees_earlier = kind is not networks.FactorisedPosterior
    assert (not torch.equal(posterior(earlier).dynamic.mean[:, 3], mean[:, 3])) == sees_earlier
    with torch.no_grad():
        posterior.static.mean.bias.add_(1)
    assert (not torch.equal(posterior(x).dynamic.mean, mean)) == sees_static


def test_static_codes_come_from_the_last_forward_and_the_first_backward_state():
    posterior = livelier(networks.SharedPosterior(6, 5, 4, 3))
    x = torch.randn(2, 7, 6, generator=generator())
    _, (final, _) = posterior.lstm(x)  # torch's own: last step of each direction
    mean, log_var = posterior.static(torch.cat([final[0], final[1]], dim=-1))
    static = posterior(x).static
    assert_close(static.mean, mean)
    assert_close(static.log_var, log_var)
    assert (static.mean < 0).any()  # LeakyReLU, not ReLU


def test_the_causal_posterior_forced_with_its_own_sample_is_itself():
    posterior = livelier(networks.CausalPosterior(6, 5, 4, 3))
    x = torch.randn(2, 7, 6, generator=generator())
    dynamic = posterior(x, generator(1)).dynamic
    mean, log_var = posterior.teacher_forced(x, dynamic.sample)
    assert_close(mean, dynamic.mean)
    assert_close(log_var, dynamic.log_var)
    moved, _ = posterior.teacher_forced(x, dynamic.sample + 1)
    assert torch.equal(moved[:, 0], mean[:, 0])  # z_0 = 0 whatever z is
    assert (moved[:, 1:] - mean[:, 1:]).abs().min() > 0


# Prior


def cells(prior):
    """The prior's two layers as LSTM cells."""
    found = []
    for layer in range(2):
        weight = getattr(prior.lstm, f"weight_ih_l{layer}")
        cell = nn.LSTMCell(weight.shape[1], prior.lstm.hidden_size)
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            getattr(cell, name).data.copy_(getattr(prior.lstm, f"{name}_l{layer}").data)
        found.append(cell)
    return found


def test_the_teacher_forced_prior_is_a_loop_over_two_lstm_cells():
    prior = livelier(networks.LSTMPrior(3, 5))
    z = torch.randn(4, 6, 3, generator=generator())
    first, second = cells(prior)
    h1 = c1 = h2 = c2 = torch.zeros(4, 5)
    before, means, log_vars = torch.zeros(4, 3), [], []
    for t in range(6):
        h1, c1 = first(before, (h1, c1))
        h2, c2 = second(h1, (h2, c2))
        means.append(prior.head.mean(h2))
        log_vars.append(prior.head.log_var(h2))
        before = z[:, t]
    mean, log_var = prior(z)
    assert_close(mean, torch.stack(means, 1))
    assert_close(log_var, torch.stack(log_vars, 1))


def test_rollouts_feed_back_samples_and_report_the_means_that_gave_them():
    prior = livelier(networks.LSTMPrior(3, 5))
    rollout = prior.rollout(4, 6, generator())
    mean, log_var = prior(rollout.sample)
    assert_close(rollout.mean, mean)
    assert_close(rollout.log_var, log_var)
    noise = (rollout.sample - mean) * (-0.5 * log_var).exp()
    assert 0.7 < noise.std() < 1.3


# Terms


def test_kl_of_diagonal_gaussians_agrees_with_torch_distributions_and_monte_carlo():
    q_mean, q_log_var, p_mean, p_log_var = torch.randn(4, 5, 3, generator=generator(), dtype=torch.float64)
    q, p = Normal(q_mean, (0.5 * q_log_var).exp()), Normal(p_mean, (0.5 * p_log_var).exp())
    kl = diagonal_kl(q_mean, q_log_var, p_mean, p_log_var)
    assert_close(kl, kl_divergence(q, p).sum(-1))
    z = q_mean + (0.5 * q_log_var).exp() * torch.randn(200_000, 5, 3, generator=generator(1), dtype=torch.float64)
    ratio = (q.log_prob(z) - p.log_prob(z)).sum(-1)
    # five standard errors
    assert ((ratio.mean(0) - kl).abs() < 5 * ratio.std(0) / 200_000**0.5).all()


@pytest.mark.parametrize("posterior", ["full", "factorised", "shared"])
@pytest.mark.parametrize("data", [SPRITES, AUDIO], ids=["video", "audio"])
def test_dsvae_minimises_the_sampled_evidence_bound_of_its_samples(posterior, data):
    method = DSVAE(DSVAEConfig(posterior=posterior, **SMALL), data).eval()
    livelier(method.model.posterior)
    x = torch.rand(4, data.n_frames, *data.observation_shape, generator=generator())
    with torch.no_grad():
        terms = method.losses(Batch(x, torch.arange(4), 0, 10), generator(3))
        q = method.model.infer(x, generator(3))
        decoded = method.generate(q.static.sample, q.dynamic.sample)
        prior = method.model.prior(q.dynamic.sample)
    static = kl_divergence(Normal(q.static.mean, (q.static.log_var / 2).exp()), Normal(0.0, 1.0))
    dynamic = kl_divergence(
        Normal(q.dynamic.mean, (q.dynamic.log_var / 2).exp()), Normal(prior[0], (prior[1] / 2).exp())
    )
    expected = ((decoded - x) ** 2).sum() / 4 + static.sum() / 4 + dynamic.sum() / 4
    assert_close(terms["loss"], expected)
    assert_close(terms["kl_dynamic"], dynamic.sum() / 4)


def test_the_reimplementations_squared_error_is_that_of_pixels_from_minus_1_to_1():
    method = DSVAE(DSVAEConfig(network="reimplementation", **SMALL), SPRITES).train()
    x = torch.rand(4, 8, 3, 64, 64, generator=generator())
    terms = method.losses(Batch(x, torch.arange(4), 0, 10), generator())
    assert_close(terms["loss"], 4 * terms["reconstruction"] + terms["kl_static"] + terms["kl_dynamic"])


# What a sequential method offers


@pytest.mark.parametrize("data", [SPRITES, AUDIO], ids=["video", "audio"])
def test_codes_parts_decode_and_generate_agree(data):
    method = DSVAE(DSVAEConfig(**SMALL), data).eval()
    livelier(method.model.posterior)
    x = torch.rand(3, data.n_frames, *data.observation_shape, generator=generator())
    with torch.no_grad():
        codes, parts = method.encode(x), method.parts(x)
        assert parts["static"].shape == (3, 10)
        assert parts["dynamic"].shape == (3, data.n_frames, 3)
        assert_close(codes[:, 2, :10], parts["static"])
        assert_close(codes[..., 10:], parts["dynamic"])
        assert_close(method.decode(codes.flatten(0, 1)).unflatten(0, x.shape[:2]), method.generate(**parts))
        prior = method.sample_prior(5, 11, generator())
        assert method.generate(**prior).shape == (5, 11, *data.observation_shape)


def test_sampled_dynamics_are_the_means_of_a_rollout():
    method = DSVAE(DSVAEConfig(**SMALL), SPRITES)
    livelier(method.model.prior)
    drawn = method.sample_prior(5, 11, generator(4))
    again = generator(4)
    torch.randn(5, 10, generator=again)  # the static codes
    assert_close(drawn["dynamic"], method.model.prior.rollout(5, 11, again).mean)
