"""SlowVAE's network: its size, its initialisation, and what it refuses."""

import math

import pytest
import torch

from methods.flow_networks import flow_network
from methods.image_vae import deterministic_encoder
from methods.networks import ConvTranspose2d, FullConv2d, FullConvTranspose2d, slowvae_network
from methods.study_networks import Discriminator, study_network


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


@pytest.mark.parametrize(
    ("ours", "torchs", "arguments", "shape"),
    [
        (FullConv2d, torch.nn.Conv2d, (5, 7, (2, 3)), (4, 5, 2, 3)),
        (FullConvTranspose2d, torch.nn.ConvTranspose2d, (5, 7, (2, 3)), (4, 5, 1, 1)),
        (ConvTranspose2d, torch.nn.ConvTranspose2d, (5, 7, 4, 2, 1), (4, 5, 3, 6)),
    ],
)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_layers_and_their_gradients_equal_those_of_torch(ours, torchs, arguments, shape, memory_format):
    torch.manual_seed(0)
    plain, fast = torchs(*arguments).double(), ours(*arguments).double().to(memory_format=memory_format)
    fast.load_state_dict(plain.state_dict())
    x = torch.randn(shape, dtype=torch.float64).to(memory_format=memory_format)
    results = []
    for layer in (plain, fast):
        leaf = x.clone().requires_grad_()
        given = leaf.flatten(1) if layer is fast and ours is FullConvTranspose2d else leaf
        y = layer(given).reshape(4, 7, -1)
        y.backward(torch.linspace(-1, 1, y.numel(), dtype=torch.float64).view_as(y))
        results.append((y, leaf.grad, layer.weight.grad, layer.bias.grad))
        with torch.no_grad():
            results[-1] += (layer(given).reshape(4, 7, -1),)
    torch.testing.assert_close(results[1], results[0])


def test_network_equals_the_released_layers_under_the_same_weights():
    torch.manual_seed(0)
    network, relu = slowvae_network((1, 64, 64), 10), torch.nn.functional.relu
    x = torch.rand(3, 1, 64, 64)
    w = list(network.state_dict().values())
    h = x
    for i in range(0, 8, 2):
        h = relu(torch.nn.functional.conv2d(h, w[i], w[i + 1], 2, 1))
    h = relu(torch.nn.functional.conv2d(h, w[8], w[9])).flatten(1)
    h = torch.nn.functional.linear(h, w[10], w[11])
    mean, log_var = network.posterior(x)
    torch.testing.assert_close(torch.cat([mean, log_var], 1), h, rtol=0, atol=1e-5)

    h = relu(torch.nn.functional.linear(mean, w[12], w[13]))[:, :, None, None]
    h = relu(torch.nn.functional.conv_transpose2d(h, w[14], w[15]))
    for i in range(16, 24, 2):
        h = torch.nn.functional.conv_transpose2d(relu(h), w[i], w[i + 1], 2, 1)
    torch.testing.assert_close(network.logits(mean), h, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("channels", "encoder", "decoder"), [(1, 309_204, 381_313), (3, 310_228, 382_339)])
def test_the_studys_network_has_the_parameters_counted_from_its_code(channels, encoder, decoder):
    network = study_network((channels, 64, 64), 10)
    assert count(network.encoder) == encoder
    assert count(network.decoder) == decoder
    assert count(Discriminator(10)) == 5_018_002
    frames = torch.rand(2, channels, 64, 64)
    assert network.logits(network.posterior(frames)[0]).shape == frames.shape


def test_the_studys_network_is_drawn_xavier_uniform_each_head_alone():
    torch.manual_seed(0)
    network = study_network((1, 64, 64), 10)
    head = network.encoder[-1]
    bound = (6 / (256 + 10)) ** 0.5  # fan of one head of 10, not of both
    for half in head.weight.detach().split(10):
        assert half.abs().max() <= bound
        assert half.var().item() == pytest.approx(bound**2 / 3, rel=0.1)
    assert all(not p.any() for name, p in network.named_parameters() if name.endswith("bias"))


def test_the_studys_network_refuses_other_sides():
    with pytest.raises(ValueError, match=r"network=study needs images \(channels, 64, 64\), got .*\(1, 32, 32\)"):
        study_network((1, 32, 32), 10)


@pytest.mark.parametrize("shape", [(3, 28, 28), (1, 64, 64), (3, 12, 20)])
def test_the_flow_network_maps_multiples_of_4_and_is_published_where_latents_are_many(shape):
    network = flow_network(shape, 70)
    mean, log_var = network.posterior(torch.rand(2, *shape))
    assert mean.shape == log_var.shape == (2, 70)
    assert network.decode(mean).shape == (2, *shape)
    assert network.encoder[0].out_channels == 70
    assert flow_network(shape, 10).encoder[0].out_channels == 64
    assert deterministic_encoder("flow", shape, 5)(torch.rand(2, *shape)).shape == (2, 5)
