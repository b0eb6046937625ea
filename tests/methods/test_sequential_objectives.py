"""Terms of C-DSVAE, S3VAE and SPYL against closed forms, direct sums and the released formulas."""

import math

import pytest
import torch
from torch.distributions import Normal
from torch.testing import assert_close

from bench.api import Batch, DataSpec
from methods import cdsvae, s3vae, spyl
from methods import mutual_information as mi
from methods.sequence_networks import CausalPosterior, Gaussian, Posterior

EXTRAS = {"flow_cells": (8, 2, 9)}
SPRITES = DataSpec((3, 64, 64), n_frames=8, n_train=9000, extras=EXTRAS)
AUDIO = DataSpec((200,), n_frames=20, n_train=500, extras={"voice_changed": (20, 200), "volume": (20,)})
SMALL = {"width": 4, "n_features": 16, "n_hidden": 12, "n_static": 10, "n_dynamic": 3, "batch_size": 4}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed))


def batch(data=SPRITES, n=4, step=0, n_steps=10):
    x = torch.rand(n, data.n_frames, *data.observation_shape, generator=generator(9))
    cells = torch.stack([torch.rand(n, 8, 9).gt(0.6).float(), torch.randint(8, (n, 8, 9)).float()], dim=2)
    extras = {"flow_cells": cells, "voice_changed": normal(n, 20, 200), "volume": normal(n, 20).exp()}
    return Batch(x, torch.arange(n), step, n_steps, extras={name: extras[name] for name in data.extras})


def livelier(module, seed=0):
    """The module with weights large enough for posteriors of different sequences to differ."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.4 * normal(*parameter.shape, seed=seed))
    return module


def posterior_of(b=5, time=4, n_static=3, n_dynamic=2, seed=0):
    def gaussian(*shape, seed):
        mean, log_var = normal(*shape, seed=seed), 0.5 * normal(*shape, seed=seed + 1)
        return Gaussian.drawn((mean, log_var), generator(seed + 2))

    return Posterior(gaussian(b, n_static, seed=seed), gaussian(b, time, n_dynamic, seed=seed + 3))


# Contrasts


def test_nt_xent_has_the_golden_value_of_the_released_code():
    eye = torch.eye(2)
    assert cdsvae.nt_xent(eye, eye, 0.5).item() == pytest.approx(math.log(1 + 2 * math.exp(-2)), abs=1e-6)
    assert math.log(1 + 2 * math.exp(-2)) == pytest.approx(0.2395448, abs=1e-7)


def test_nt_xent_is_the_released_formula():
    first, second = normal(5, 7), normal(5, 7, seed=1)
    rows = torch.cat([first, second])
    norms = rows.norm(dim=1)
    similarity = (rows @ rows.T / (norms[:, None] * norms) / 0.5).exp()
    pair = ((first * second).sum(1) / (first.norm(dim=1) * second.norm(dim=1)) / 0.5).exp().repeat(2)
    released = -(pair / (similarity.sum(1) - math.exp(1 / 0.5))).log().mean()
    assert_close(cdsvae.nt_xent(first, second, 0.5), released, rtol=1e-5, atol=0)


def test_spyl_contrasts_with_the_negatives_of_largest_kl():
    anchor = Gaussian(torch.tensor([[1.0, 0.0]]), torch.zeros(1, 2), torch.zeros(1, 2))
    means = torch.tensor([[1.0, 1.0], [0.0, 3.0], [-4.0, 0.0], [1.0, 0.0]])
    bank = Gaussian(means, torch.zeros(4, 2), means)
    # the two farthest have cosines 0 and -1 to the anchor, the positive has 1
    expected = math.log(1 + (1 + math.exp(-2)) / math.exp(2))
    found = spyl.contrast(anchor, torch.tensor([[2.0, 0.0]]), bank, 2, 0.5)
    assert found.item() == pytest.approx(expected, abs=1e-6)


# Mutual information


def test_pairwise_densities_are_those_of_torch_distributions():
    dynamic = posterior_of().dynamic
    found = mi.log_densities(dynamic.sample, dynamic.mean, dynamic.log_var)
    for b in range(5):
        for m in range(5):
            law = Normal(dynamic.mean[m], (0.5 * dynamic.log_var[m]).exp())
            assert_close(found[b, m], law.log_prob(dynamic.sample[b]).sum())


def test_densities_of_the_causal_posterior_feed_each_trajectory_to_each_sequence():
    posterior = livelier(CausalPosterior(6, 5, 4, 3))
    features = normal(3, 7, 6)
    z = posterior(features, generator(1)).dynamic.sample
    found = mi.causal_log_densities(posterior, features, z)
    for b in range(3):
        for m in range(3):
            mean, log_var = posterior.teacher_forced(features[m : m + 1], z[b : b + 1])
            assert_close(found[b, m], Normal(mean, (0.5 * log_var).exp()).log_prob(z[b : b + 1]).sum())


def test_estimates_approach_the_mutual_information_of_a_gaussian_channel():
    """x ~ N(0, 1); s and z are x plus noise of variances 0.5 and 0.25."""
    n, s_noise, z_noise = 3000, 0.5, 0.25
    x = normal(n, 1)

    def densities(noise, seed):
        sample = x + noise**0.5 * normal(n, 1, seed=seed)
        return mi.log_densities(sample, x, torch.full((n, 1), math.log(noise)))

    terms = mi.information_terms(densities(s_noise, 1), densities(z_noise, 2))
    correlation2 = 1 / ((1 + s_noise) * (1 + z_noise))
    # three standard errors of a mean of 3000 log ratios, each of standard deviation about 1
    tolerance = 3 / n**0.5
    assert terms["mi_static"].item() == pytest.approx(0.5 * math.log(1 + 1 / s_noise), abs=tolerance)
    assert terms["mi_dynamic"].item() == pytest.approx(0.5 * math.log(1 + 1 / z_noise), abs=tolerance)
    assert terms["mi_static_dynamic"].item() == pytest.approx(-0.5 * math.log(1 - correlation2), abs=tolerance)


def test_estimates_are_direct_sums_over_the_batch():
    posterior = posterior_of()
    static, dynamic = mi.posterior_densities(posterior)
    q_s, q_z = static.double().exp(), dynamic.double().exp()
    terms = mi.information_terms(static.double(), dynamic.double())
    assert_close(terms["mi_static"], (q_s.diagonal() / q_s.mean(1)).log().mean())
    assert_close(terms["mi_dynamic"], (q_z.diagonal() / q_z.mean(1)).log().mean())
    both = (q_s * q_z).mean(1) / (q_s.mean(1) * q_z.mean(1))
    assert_close(terms["mi_static_dynamic"], both.log().mean())


def test_information_of_separate_posteriors_is_the_log_of_the_batch():
    far = 100 * torch.eye(6)
    densities = mi.log_densities(far, far, torch.zeros(6, 6))
    assert mi.information(densities).item() == pytest.approx(math.log(6))
    assert mi.shared_information(densities, densities).item() == pytest.approx(math.log(6))


def test_the_released_penalty_is_its_formula_element_by_element():
    posterior, n_train = posterior_of(), 7
    static, dynamic = posterior

    def log_density(z, mean, log_sigma):  # what the code is handed for log_sigma is a log-variance
        return Normal(mean.double(), log_sigma.double().exp()).log_prob(z.double()).sum()

    def of_z(b, m, t):
        return log_density(dynamic.sample[b, t], dynamic.mean[m, t], dynamic.log_var[m, t])

    elements = []
    for t in range(4):
        for b in range(5):
            l_s = torch.stack([log_density(static.sample[b], static.mean[m], static.log_var[m]) for m in range(5)])
            l_z = torch.stack([of_z(b, m, t) for m in range(5)])
            gap = (l_s + l_z).logsumexp(0) - l_s.logsumexp(0) - l_z.logsumexp(0)
            elements.append(max(gap.item() + math.log(5 * n_train), 0.0))
    assert mi.released_penalty(posterior, n_train).item() == pytest.approx(sum(elements) / 20, rel=1e-5)


@pytest.mark.parametrize(("spread", "expected"), [(0.0, math.log(9000)), (100.0, math.log(4 * 9000))])
def test_the_released_penalty_of_posteriors_of_unit_variance_spans_from_log_n_to_log_bn(spread, expected):
    """All sequences alike (no shared information), and all far apart."""
    mean = spread * torch.eye(4)
    code = Gaussian(mean, torch.zeros(4, 4), mean + normal(4, 4))
    posterior = Posterior(code, Gaussian(*(tensor[:, None] for tensor in code)))
    assert mi.released_penalty(posterior, 9000).item() == pytest.approx(expected, abs=1e-4)


def test_the_clean_penalty_of_s3vae_is_the_mean_over_frames():
    posterior = posterior_of()
    static, dynamic = posterior
    of_static = mi.log_densities(*[static[i] for i in (2, 0, 1)])
    frames = [mi.log_densities(dynamic.sample[:, t], dynamic.mean[:, t], dynamic.log_var[:, t]) for t in range(4)]
    expected = sum(mi.shared_information(of_static, frame) for frame in frames) / 4
    assert_close(s3vae.information_per_frame(posterior), expected)


# C-DSVAE


def cdsvae_method(data=SPRITES, **parameters):
    method = cdsvae.CDSVAE(cdsvae.CDSVAEConfig(**SMALL, **parameters), data).train()
    livelier(method.model.posterior)
    return method


def test_the_released_loss_is_the_weighted_sum_of_the_authors_terms():
    terms = cdsvae_method().losses(batch(), generator())
    expected = terms["reconstruction"] + terms["kl_static"] + terms["kl_dynamic"] + terms["penalty"]
    expected = expected + 10 * terms["contrast_static"] + 10 * terms["contrast_dynamic"]
    assert_close(terms["loss"], expected)


def test_the_clean_loss_is_the_negative_of_equation_6():
    terms = cdsvae_method(objective="clean", alpha=0.9, beta=2.0, gamma=0.5).losses(batch(), generator())
    gained = 2 * math.log(2 * 4 - 1) - terms["contrast_static"] - terms["contrast_dynamic"]
    evidence = -terms["reconstruction"] - 0.9 * (terms["kl_static"] + terms["kl_dynamic"])
    assert_close(-terms["loss"], evidence + 2 * gained - 0.5 * terms["mi_static_dynamic"])
    assert "penalty" not in terms


def test_the_clean_loss_by_weighted_sampling_needs_no_augmentation():
    method = cdsvae_method(objective="clean", beta=2.0, estimate="mws", content_aug="off", motion_aug="off")
    terms = method.losses(batch(), generator())
    evidence = -terms["reconstruction"] - terms["kl_static"] - terms["kl_dynamic"]
    information = 2 * (terms["mi_static"] + terms["mi_dynamic"]) - terms["mi_static_dynamic"]
    assert_close(-terms["loss"], evidence + information)


@pytest.mark.parametrize("objective", ["released", "clean"])
@pytest.mark.parametrize(("content", "motion"), [("off", "on"), ("reverse", "off"), ("off", "off")])
def test_what_is_switched_off_leaves_the_loss_and_the_curves(objective, content, motion):
    method = cdsvae_method(objective=objective, content_aug=content, motion_aug=motion)
    terms = method.losses(batch(), generator())
    assert ("contrast_static" in terms) == (content != "off")
    assert ("contrast_dynamic" in terms) == (motion != "off")
    assert {"mi_static", "mi_dynamic", "mi_static_dynamic"} <= set(terms)


def reached(method, term):
    """Names of the modules' parameters that a term's gradient reaches."""
    method.zero_grad()
    term.backward(retain_graph=True)
    return {name for name, p in method.named_parameters() if p.grad is not None and p.grad.any()}


def test_contrasts_reach_the_encoder_and_the_mean_of_their_own_code_only():
    method = cdsvae_method()
    terms = method.losses(batch(), generator())
    static, dynamic = reached(method, terms["contrast_static"]), reached(method, terms["contrast_dynamic"])
    for found in (static, dynamic):
        assert any(name.startswith("model.encoder") for name in found)
        assert not any(name.startswith(("model.decoder", "model.prior")) or "log_var" in name for name in found)
    assert any(name.startswith("model.posterior.static.mean") for name in static)
    assert not any(name.startswith(("model.posterior.dynamic", "model.posterior.rnn")) for name in static)
    assert any(name.startswith("model.posterior.dynamic.mean") for name in dynamic)
    assert not any(name.startswith("model.posterior.static") for name in dynamic)


def test_estimates_of_the_released_objective_are_for_the_curves_alone():
    terms = cdsvae_method().losses(batch(), generator())
    assert not terms["mi_static"].requires_grad
    assert not terms["mi_dynamic"].requires_grad


def test_the_clean_contrast_takes_the_trajectory_of_means():
    method = cdsvae_method(objective="clean", content_aug="off").eval()
    x = batch()
    with torch.no_grad():
        found = method.losses(x, generator(2))["contrast_dynamic"]
        again = generator(2)
        method.model.infer(x.x, again)  # the same draws as the loss makes before it augments
        look = method.other_look(x, again)
        means = [method.model.infer(y).dynamic.mean.flatten(1) for y in (x.x, look)]
    assert_close(found, cdsvae.nt_xent(*means, 0.5))


def test_audio_takes_its_other_look_from_the_changed_voice():
    method = cdsvae_method(AUDIO)
    assert method.extras == ("voice_changed",)
    x = batch(AUDIO)
    assert torch.equal(method.other_look(x, generator()), x.extras["voice_changed"])
    assert torch.isfinite(method.losses(x, generator())["loss"])


def test_audio_without_a_changed_voice_is_refused_unless_it_is_not_needed():
    plain = DataSpec((200,), n_frames=20, n_train=500)
    with pytest.raises(ValueError, match="cdsvae: needs the extra 'voice_changed'"):
        cdsvae.CDSVAE(cdsvae.CDSVAEConfig(**SMALL), plain)
    assert cdsvae.CDSVAE(cdsvae.CDSVAEConfig(**SMALL, motion_aug="off"), plain).extras == ()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"estimate": "mws"}, "add objective=clean"),
        ({"estimate": "mws", "objective": "clean"}, "add content_aug=off,motion_aug=off"),
        ({"motion_aug": "reverse"}, "'motion_aug' must be one of on, off, got 'reverse'"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        cdsvae.CDSVAEConfig(**parameters)


# S3VAE


def test_static_consistency_is_the_triplet_loss_of_the_next_sequence():
    mean, shuffled = normal(4, 6), normal(4, 6, seed=1)
    near, far = (mean - shuffled).norm(dim=1), (mean - mean.roll(1, 0)).norm(dim=1)
    # torch adds 1e-6 to each difference
    assert_close(s3vae.static_consistency(mean, shuffled, 1.0), (near - far + 1).clamp_min(0).mean(), rtol=1e-4, atol=0)


def test_flow_losses_count_moving_cells_only_and_areas_from_the_second_frame():
    area, direction = normal(2, 5, 9), normal(2, 5, 9, 8, seed=1)
    moves = normal(2, 5, 9, seed=2).gt(0.5).float()
    bins = torch.randint(8, (2, 5, 9), generator=generator(3))
    found = s3vae.flow_losses(area, direction, torch.stack([moves, bins.float()], dim=2))
    areas, directions = [], []
    for b, t, cell in torch.cartesian_prod(torch.arange(2), torch.arange(5), torch.arange(9)).tolist():
        p = area[b, t, cell].sigmoid()
        if t > 0:
            areas.append(-(p if moves[b, t, cell] else 1 - p).log())
        if moves[b, t, cell]:
            directions.append(-direction[b, t, cell].softmax(0)[bins[b, t, cell]].log())
    assert_close(found["area"], torch.stack(areas).mean())
    assert_close(found["direction"], torch.stack(directions).mean())
    rest = torch.zeros(2, 5, 2, 9)
    assert s3vae.flow_losses(area, direction, rest)["direction"] == 0


def test_loudness_is_predicted_in_standard_deviations():
    volume = 3 + 0.1 * normal(4, 20)
    standard = (volume - volume.mean()) / volume.std()
    assert_close(s3vae.volume_loss(standard, volume).item(), 0.0, rtol=0, atol=1e-6)
    assert s3vae.volume_loss(torch.zeros(4, 20), volume).item() == pytest.approx(79 / 80, abs=1e-4)


def test_s3vae_weighs_its_terms_as_released():
    method = s3vae.S3VAE(s3vae.S3VAEConfig(**SMALL), SPRITES).train()
    livelier(method.model.posterior)
    t = method.losses(batch(), generator())
    expected = t["reconstruction"] + t["kl_static"] + t["kl_dynamic"] + 100 * t["triplet"] + 0.01 * t["penalty"]
    assert_close(t["loss"], expected + 0.1 * t["area"] + 0.1 * t["direction"])
    found = reached(method, t["triplet"])
    assert not any(name.startswith(("model.posterior.dynamic", "model.decoder", "heads")) for name in found)
    assert not any(name.startswith("model.posterior.static") for name in reached(method, t["area"] + t["direction"]))


def test_s3vae_of_audio_predicts_loudness():
    method = s3vae.S3VAE(s3vae.S3VAEConfig(**SMALL), AUDIO).train()
    assert method.extras == ("volume",)
    terms = method.losses(batch(AUDIO), generator())
    assert "volume" in terms
    assert "area" not in terms


def test_s3vae_names_the_signal_that_the_data_lacks():
    with pytest.raises(ValueError, match="needs the extra 'flow_cells'"):
        s3vae.S3VAE(s3vae.S3VAEConfig(**SMALL), DataSpec((1, 64, 64), n_frames=15, n_train=100))


# SPYL


def spyl_method(**parameters):
    method = spyl.SPYL(spyl.SPYLConfig(**SMALL, **parameters), SPRITES).train()
    livelier(method.model.posterior)
    return method


def test_spyl_weighs_its_terms_as_released_and_contrasts_after_a_twentieth():
    method = spyl_method()
    for step, is_on in ((4, False), (5, True)):
        t = method.losses(batch(step=step, n_steps=100), generator())
        expected = 10 * t["reconstruction"] + 5 * t["kl_static"] + t["kl_dynamic"] + t["penalty"]
        assert_close(t["loss"], expected + t["contrast_static"] + t["contrast_dynamic"])
        assert (t["contrast_static"] > 0) == is_on


def test_spyl_contrasts_reach_the_decoder_and_the_prior_that_made_their_positives():
    method = spyl_method()
    t = method.losses(batch(step=9), generator())
    static, dynamic = reached(method, t["contrast_static"]), reached(method, t["contrast_dynamic"])
    assert any(name.startswith("model.decoder") for name in static & dynamic)
    assert any(name.startswith("model.prior") for name in static)  # its dynamic codes are drawn from it
    assert not any(name.startswith("model.prior") for name in dynamic)


def test_static_heads_are_plain_in_spyl_and_rectified_in_cdsvae():
    assert spyl_method().model.posterior.static.activation(torch.tensor(-1.0)).item() == -1
    assert cdsvae_method().model.posterior.static.activation(torch.tensor(-1.0)).item() == pytest.approx(-0.2)
