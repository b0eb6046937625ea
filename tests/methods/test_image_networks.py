"""SlowVAE's network: its size, its initialisation, and what it refuses."""

import math

import pytest
import torch

from methods.networks import slowvae_network


def count(module):
    return sum(p.numel() for p in module.parameters())


# By hand, weights + biases. Encoder: (16 c · 32 + 32) + (16 · 32 · 32 + 32) + (16 · 32 · 64 + 64) + (16 · 64 · 64 + 64)
# + (16 · 64 · 256 + 256) + (256 · 20 + 20), c channels. Decoder: (10 · 256 + 256) + (16 · 256 · 64 + 64)
# + (16 · 64 · 64 + 64) + (16 · 64 · 32 + 32) + (16 · 32 · 32 + 32) + (16 · 32 · c + c).
@pytest.mark.parametrize(("channels", "encoder", "decoder"), [(1, 382_932, 380_353), (3, 383_956, 381_379)])
def test_network_has_the_published_number_of_parameters(channels, encoder, decoder):
    network = slowvae_network((channels, 64, 64), 10)
    assert count(network.encoder) == encoder
    assert count(network.decoder) == decoder


def test_linear_and_convolution_weights_are_kaiming_normal_and_transposed_ones_torch_default():
    torch.manual_seed(0)
    for module in slowvae_network((3, 64, 64), 10).modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            fan_in = module.weight[0].numel()
            spread = 4 / math.sqrt(2 * module.weight.numel())  # four standard errors of a sample's deviation
            assert module.weight.std().item() == pytest.approx(math.sqrt(2 / fan_in), rel=spread)
            assert not module.bias.any()
        elif isinstance(module, torch.nn.ConvTranspose2d):
            bound = 1 / math.sqrt(module.weight[0].numel())  # uniform in ±1/√fan_in as torch counts it
            assert bound * 0.98 < module.weight.abs().max() <= bound
            assert module.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
            assert module.bias.any()


def test_network_maps_other_multiples_of_16():
    network = slowvae_network((3, 32, 48), 4)
    mean, log_var = network.posterior(torch.rand(2, 3, 32, 48))
    assert mean.shape == log_var.shape == (2, 4)
    assert network.decode(mean).shape == (2, 3, 32, 48)


@pytest.mark.parametrize("shape", [(200,), (1, 28, 28), (1, 8, 8)])
def test_network_refuses_what_it_cannot_halve_four_times(shape):
    with pytest.raises(ValueError, match="multiples of 16"):
        slowvae_network(shape, 10)
