"""MoCoGAN's networks against the released sizes, its losses in closed form, and its players kept apart."""

import math

import pytest
import torch
from torch import nn

from bench.api import Batch, DataSpec
from methods.mocogan import (
    MoCoGAN,
    MoCoGANConfig,
    VideoConv,
    discriminator_loss,
    image_discriminator,
    kernels_in_time,
    random_frames,
    video_discriminator,
)

SMALL = {"width": 4, "batch_size": 4, "video_batch": 2}


def built(n_frames=8, channels=1, **parameters):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        spec = DataSpec((channels, 64, 64), n_frames, n_train=10)
        return MoCoGAN(MoCoGANConfig(**SMALL | parameters), spec)


def batch(n_frames=8):
    x = torch.rand(4, n_frames, 1, 64, 64, generator=torch.Generator().manual_seed(1))
    return Batch(x, torch.arange(4), 0, 10)


@pytest.mark.parametrize(
    ("n_frames", "kernels", "n_logits"),
    [(8, (2, 2, 2, 2), 1), (15, (4, 4, 4, 3), 1), (16, (4, 4, 4, 4), 1), (4, (1, 1, 1, 1), 1), (18, (4, 4, 4, 4), 3)],
)
def test_video_discriminator_ends_in_one_logit_for_up_to_16_frames(n_frames, kernels, n_logits):
    assert kernels_in_time(n_frames) == kernels
    logits = video_discriminator(3, 2, n_frames, 0.0)(torch.zeros(2, 3, n_frames, 64, 64), torch.Generator())
    assert logits.shape == (2, 1, n_logits, 1, 1)


def test_video_convolution_is_torchs_in_either_memory_format():
    layer = VideoConv(3, 5, 2, 2, 1)
    reference = nn.Conv3d(3, 5, (2, 4, 4), (1, 2, 2), (0, 1, 1), bias=False)
    with torch.no_grad():
        reference.weight.copy_(layer.weight.unflatten(1, (3, 2)))
    x = torch.rand(2, 3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    expected = reference(x)
    torch.testing.assert_close(layer(x), expected)
    torch.testing.assert_close(layer.to(memory_format=torch.channels_last)(x), expected)


def test_image_discriminator_judges_4_by_4_patches():
    assert image_discriminator(3, 2, 0.0)(torch.zeros(5, 3, 64, 64), torch.Generator()).shape == (5, 1, 4, 4)


def test_published_networks_have_the_released_number_of_parameters():
    method = built(16, 3, width=64)
    counts = {player: sum(p.numel() for p in method.player_parameters(player)) for player in method.players}
    norms = 2 * (512 + 256 + 128 + 64)
    assert counts == {
        "generator": 60 * 512 * 16 + (512 * 256 + 256 * 128 + 128 * 64 + 64 * 3) * 16 + norms + 6 * (10 * 10 + 10),
        "image_discriminator": (3 * 64 + 64 * 128 + 128 * 256 + 256) * 16 + 2 * (128 + 256),
        "video_discriminator": (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 512) * 64 + 2 * (128 + 256 + 512),
    }


@pytest.mark.parametrize("player", MoCoGAN.players)
def test_no_gradient_crosses_between_players(player):
    method = built()
    loss = method.losses(batch(), torch.Generator().manual_seed(0), player)["loss"]
    loss.backward()
    reached = {name.split(".")[0] for name, p in method.named_parameters() if p.grad is not None and p.grad.any()}
    # a discriminator's fakes carry no graph; the generator's loss passes through both, and the training loop asks for
    # the generator's gradients alone
    assert reached == (set(MoCoGAN.players) if player == "generator" else {player})


def test_losses_of_an_undecided_discriminator_are_multiples_of_log_2():
    method = built()
    with torch.no_grad():
        method.image_discriminator.blocks[-1].weight.zero_()
        method.video_discriminator.last.weight.zero_()
        found = [method.losses(batch(), torch.Generator(), player)["loss"].item() for player in method.players]
    assert found == pytest.approx([2 * math.log(2)] * 3, rel=1e-6)


def test_discriminator_loss_is_the_sum_of_both_cross_entropies():
    class Shift(nn.Module):
        def forward(self, x, generator):
            return x + 1

    real, fake = torch.tensor([0.5, -2.0]), torch.tensor([0.1, 1.0])
    expected = -(real + 1).sigmoid().log().mean() - (1 - (fake + 1).sigmoid()).log().mean()
    torch.testing.assert_close(discriminator_loss(Shift(), real, fake, torch.Generator()), expected)


def test_motion_is_the_path_of_a_recurrent_cell_started_from_noise():
    generator = built().generator
    path = generator.motion(2, 3, torch.Generator().manual_seed(5))
    noise = torch.randn(4, 2, 10, generator=torch.Generator().manual_seed(5))
    first = generator.recurrent(noise[1], noise[0])
    second = generator.recurrent(noise[2], first)
    torch.testing.assert_close(path, torch.stack([first, second, generator.recurrent(noise[3], second)], 1))


def test_content_holds_for_the_whole_video_and_samples_lie_in_the_unit_interval():
    method = built()  # batch norms over the batch: a fresh network's running ones let nothing through
    codes = method.sample_prior(2, 8, torch.Generator().manual_seed(0))
    still = codes["dynamic"][:, :1].expand(-1, 8, -1)
    with torch.no_grad():
        moving, at_rest = method.generate(codes["static"], codes["dynamic"]), method.generate(codes["static"], still)
    assert moving.shape == (2, 8, 1, 64, 64)
    assert moving.min() >= 0
    assert moving.max() <= 1
    torch.testing.assert_close(at_rest[:, 0], at_rest[:, 7], rtol=0, atol=1e-6)
    assert (moving[:, 0] - moving[:, 7]).abs().max() > 0.01
    assert not torch.allclose(moving[0], moving[1])


def test_random_frames_are_one_of_each_item_and_all_times_occur():
    x = torch.arange(400 * 3).reshape(400, 3)
    found = random_frames(x, torch.Generator().manual_seed(0))
    assert torch.equal(found // 3, torch.arange(400))
    # binomial counts of 400 draws with p = 1/3: standard deviation 9.4
    assert (found % 3).bincount().tolist() == pytest.approx([400 / 3] * 3, abs=38)


def test_noise_reaches_both_discriminators_and_comes_from_the_generator():
    quiet, noisy = built(), built(noise=0.5)
    noisy.load_state_dict(quiet.state_dict())
    x = torch.rand(2, 1, 64, 64)
    videos = torch.rand(2, 1, 8, 64, 64)
    for player, observed in (("image_discriminator", x), ("video_discriminator", videos)):
        seen = [getattr(m, player).eval()(observed, torch.Generator().manual_seed(2)) for m in (quiet, noisy, noisy)]
        assert torch.equal(seen[1], seen[2])
        assert not torch.allclose(seen[0], seen[1])


def test_initial_weights_are_those_of_the_authors_torch():
    method = built(width=16)
    inner = method.generator.frames[3].weight  # 128 → 64 channels, kernel 4: bounded by the number of inputs
    assert inner.abs().max().item() == pytest.approx(1 / math.sqrt(128 * 16), rel=1e-3)
    scales = method.generator.frames[1].weight
    assert 0.35 < scales.mean().item() < 0.65  # uniform in [0, 1]: mean of 128 has standard deviation 0.026
    assert scales.min() >= 0


@pytest.mark.parametrize(
    ("shape", "n_frames", "message"),
    [((200,), 20, "64 × 64"), ((3, 32, 32), 8, "64 × 64"), ((1, 64, 64), 3, "4 frames")],
)
def test_data_that_cannot_serve_are_refused(shape, n_frames, message):
    with pytest.raises(ValueError, match=f"mocogan: .*{message}"):
        MoCoGAN(MoCoGANConfig(), DataSpec(shape, n_frames, 10))


def test_more_videos_than_sequences_are_refused():
    with pytest.raises(ValueError, match="'video_batch' must be at most batch_size = 4, got 5"):
        MoCoGANConfig(batch_size=4, video_batch=5)


@pytest.mark.slow
def test_training_moves_samples_to_the_brightness_of_the_data():
    method, draws = (
        built(n_frames=4, width=6, learning_rate=2e-3, batch_size=6, video_batch=3),
        torch.Generator().manual_seed(0),
    )
    optimizers = method.optimizers()
    for step in range(200):
        shades = 0.15 + 0.1 * torch.rand(6, 1, 1, 1, 1, generator=draws)  # -0.6 in the generator's range
        seen = Batch(shades.expand(-1, 4, 1, 64, 64), torch.arange(6), step, 200)
        for player, optimizer in optimizers.items():
            optimizer.zero_grad()
            method.losses(seen, draws, player)["loss"].backward(inputs=method.player_parameters(player))
            optimizer.step()
    with torch.no_grad():
        samples = method.generate(**method.sample_prior(16, 4, draws))
    assert samples.mean().item() < 0.4  # 0.5 before
