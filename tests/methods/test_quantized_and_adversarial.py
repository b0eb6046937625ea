"""QLAE, Tripod and InfoGAN: quantisation, penalties and who moves whose parameters."""

import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from bench.api import Batch, DataSpec
from methods import infogan, qlae, tripod

SPEC = DataSpec((1, 64, 64), n_frames=1, n_train=100)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def batch(n=4):
    return Batch(torch.rand(n, 1, 1, 64, 64, generator=generator(3)), torch.zeros(n), 0, 10)


def small_qlae(**values):
    torch.manual_seed(0)
    return qlae.QLAE(qlae.QLAEConfig(network="slowvae", n_latents=3, **values), SPEC)


# QLAE


def test_each_latent_takes_the_nearest_value_of_its_own_book():
    method = small_qlae(n_values=3)
    with torch.no_grad():
        method.values.copy_(torch.tensor([[-1.0, 0.0, 1.0], [0.0, 5.0, 9.0], [2.0, 3.0, 4.0]]))
    z = torch.tensor([[0.6, 2.4, 2.6], [-9.0, 7.1, 0.0]])
    assert_close(method.quantize(z), torch.tensor([[1.0, 0.0, 3.0], [-1.0, 9.0, 2.0]]))


def gradients(method, term):
    method.zero_grad()
    method.losses(batch(), generator())[term].backward()
    reached = {name for name, p in method.named_parameters() if p.grad is not None and p.grad.any()}
    return {name.split(".")[0] for name in reached}


def test_reconstruction_passes_straight_through_and_leaves_the_code_books_alone():
    method = small_qlae(quantize_weight=0.0, commit_weight=0.0)
    assert gradients(method, "loss") == {"encoder", "decoder"}


def test_the_two_code_book_terms_move_one_side_each():
    assert gradients(small_qlae(), "quantize") == {"values"}
    assert gradients(small_qlae(), "commit") == {"encoder"}


def test_the_straight_through_gradient_is_that_of_the_identity():
    method = small_qlae(quantize_weight=0.0, commit_weight=0.0)
    seen = {}
    method.encoder.register_forward_hook(lambda m, i, out: (out.retain_grad(), seen.update(z=out))[0])
    method.decoder.register_forward_pre_hook(lambda m, i: (i[0].retain_grad(), seen.update(q=i[0]))[0])
    method.losses(batch(), generator())["loss"].backward()
    assert_close(seen["z"].grad, seen["q"].grad)
    assert_close(seen["q"], method.quantize(seen["z"]))


def test_qlae_decays_weights_but_neither_biases_nor_code_books_and_clips_gradients():
    method = small_qlae()
    decayed, others = method.optimizers()["model"].param_groups
    assert decayed["weight_decay"] == 0.1
    assert others["weight_decay"] == 0.0
    names = {id(p): name for name, p in method.named_parameters()}
    assert {names[id(p)].split(".")[-1] for p in others["params"]} == {"bias", "values"}
    weight = decayed["params"][0]
    (weight * 50).sum().backward()
    assert_close(weight.grad, torch.ones_like(weight))


# Tripod


def test_levels_are_equally_spaced_from_minus_one_to_one():
    z = torch.linspace(-1, 1, 4001)
    assert_close(tripod.quantize(z, 12).unique(), torch.linspace(-1, 1, 12))
    assert (tripod.quantize(z, 12) - z).abs().max().item() == pytest.approx(1 / 11, abs=1e-6)


def test_multi_information_of_a_gaussian_in_closed_form():
    n, rho = 3_000, 0.7
    covariance = torch.tensor([[1.0, rho], [rho, 1.0]])
    z = torch.randn(n, 2, generator=generator()) @ torch.linalg.cholesky(covariance).T
    h = (4 / 4) ** (1 / 6) * n ** (-1 / 6)  # Silverman's bandwidth in two dimensions
    smooth = covariance + h**2 * torch.eye(2)
    joint = -math.log(2 * math.pi) - 0.5 * smooth.logdet() - 0.5 * torch.linalg.solve(smooth, covariance).trace()
    marginals = 2 * (-0.5 * math.log(2 * math.pi * 2) - 0.25)  # each N(0, 1) seen through a kernel of width 1
    found = tripod.multi_information(z, torch.ones(2))
    assert found.item() == pytest.approx(joint.item() - marginals, abs=0.05)


class Map(nn.Module):
    """A 'decoder' with one activation, some function of z."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, z):
        return [self.function(z), z]


@pytest.mark.parametrize(
    ("function", "low", "high"),
    [
        pytest.param(lambda z: z**2, 0.0, 1e-6, id="additive in the latents"),
        pytest.param(lambda z: (z[:, :1] * z[:, 1:]).repeat(1, 2), 0.3, 3.0, id="a product of two latents"),
    ],
)
def test_the_hessian_penalty_tells_sums_from_products(function, low, high):
    method = tripod.Tripod(tripod.TripodConfig(n_latents=2, network="slowvae", n_perturbations=50), SPEC)
    method.decoder = Map(function)
    z = torch.randn(40, 2, generator=generator(), dtype=torch.float64)
    penalty = method.hessian_penalty(z, torch.ones(2).double(), method.decoder(z)[:1], generator())
    assert low <= penalty.item() <= high


def test_tripods_plain_network_starts_where_gradients_pass_its_tanh():
    torch.manual_seed(0)
    method = tripod.Tripod(tripod.TripodConfig(network="slowvae"), SPEC)
    for frames in (torch.zeros(4, *SPEC.observation_shape), torch.rand(4, *SPEC.observation_shape)):
        assert method.bounded(frames).abs().max() < 0.9  # nearly black frames gave 1.000 with SlowVAE's own head


def test_tripods_penalty_reads_curvature_and_not_kinks():
    torch.manual_seed(0)
    decoder = tripod.Tripod(tripod.TripodConfig(n_latents=3, network="slowvae"), SPEC).decoder.double()
    z, direction = torch.randn(2, 3, dtype=torch.float64), torch.randn(2, 3, dtype=torch.float64)

    def curvatures(step):
        above, centre, below = (decoder(z + sign * step * direction)[:-1] for sign in (1, 0, -1))
        return [(up - 2 * middle + down) / step**2 for up, middle, down in zip(above, centre, below, strict=True)]

    for coarse, fine in zip(curvatures(1e-2), curvatures(1e-3), strict=True):
        assert fine.abs().max() > 1e-4  # of ReLUs: 0
        assert_close(coarse, fine, rtol=0, atol=0.01 * fine.abs().max().item())


@pytest.mark.parametrize(("module", "config"), [(qlae.QLAE, qlae.QLAEConfig), (tripod.Tripod, tripod.TripodConfig)])
def test_released_networks_rebuild_images_of_64(module, config):
    torch.manual_seed(0)
    data = DataSpec((3, 64, 64), n_frames=1, n_train=100)
    method = module(config(n_latents=4), data)
    x = torch.rand(2, 1, 3, 64, 64, generator=generator())
    with torch.no_grad():
        codes = method.encode(x)[:, 0]
        assert method.decode(codes).shape == (2, 3, 64, 64)
    with pytest.raises(ValueError, match="use network=slowvae"):
        module(config(), DataSpec((1, 32, 32), n_frames=1, n_train=9))


# InfoGAN


def test_infogan_losses_in_closed_form():
    torch.manual_seed(0)
    method = infogan.InfoGAN(infogan.InfoGANConfig(n_latents=2, n_noise=0, info_weight=0.5), SPEC)
    logit, code = torch.tensor(0.3), torch.tensor([0.1, -0.2])
    method.discriminator.forward = lambda frames: (logit.expand(len(frames)), code.expand(len(frames), 2))
    inputs = 2 * torch.rand(4, 2, generator=generator()) - 1
    information = -0.5 * ((code - inputs) ** 2).sum(1).mean()
    for player, adversarial in (
        ("generator", math.log1p(math.exp(-0.3))),
        ("discriminator", math.log1p(math.exp(-0.3)) + math.log1p(math.exp(0.3))),
    ):
        terms = method.losses(batch(), generator(), player)
        assert_close(terms["information"], information)
        assert_close(terms["loss"], adversarial - 0.5 * information)


def test_the_discriminators_loss_has_no_gradient_in_the_generator():
    torch.manual_seed(0)
    method = infogan.InfoGAN(infogan.InfoGANConfig(), SPEC)
    method.losses(batch(), generator(), "discriminator")["loss"].backward()
    assert all(p.grad is None for p in method.generator.parameters())
    assert all(p.grad is not None for p in method.discriminator.parameters())
