"""Capsules of the topographic VAE: who shares a variance, exact rolls, and frames decoded apart."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from bench.api import Batch, DataSpec
from methods.topography import neighbours, rolled, shared_variance
from methods.tvae import TVAE, TVAEConfig

SPEC = DataSpec((1, 8, 8), 9, 10, transformations=("a", "b"))


def squares(n_capsules=2, n_frames=9, size=9, seed=0):
    return torch.rand(3, n_frames, n_capsules, size, generator=torch.Generator().manual_seed(seed))


def released_variance(u2, kernel, n_off):
    """The authors' masked transposed convolution over circularly padded (time, position), capsule by capsule."""
    even = 1 - kernel % 2
    layer = nn.ConvTranspose3d(1, 1, (kernel, kernel, 1), padding=(2 * (kernel // 2) - even,) * 2 + (0,), bias=False)
    band = torch.ones(kernel, kernel) if n_off is None else torch.triu(torch.ones(kernel, kernel), -n_off)
    layer.weight.data[0, 0, :, :, 0] = band * band.t()
    maps = u2.permute(0, 2, 1, 3).flatten(0, 1)[:, None, :, :, None]
    low, high = kernel // 2 - even, kernel // 2
    v = layer(functional.pad(maps, (0, 0, low, high, low, high), mode="circular"))
    return v[:, 0, :, :, 0].unflatten(0, (len(u2), -1)).permute(0, 2, 1, 3).detach()


@pytest.mark.parametrize(("kernel", "n_off"), [(5, 1), (3, 0), (4, 1), (9, 1), (5, None), (6, None)])
def test_shared_variances_equal_the_authors_convolution(kernel, n_off):
    u2 = squares()
    window = neighbours(kernel, kernel, n_off)
    torch.testing.assert_close(shared_variance(u2, window, cyclic=True), released_variance(u2, kernel, n_off))


def test_a_kernel_of_five_with_one_off_has_thirteen_neighbours_and_even_ones_reach_further_ahead():
    window = neighbours(5, 5, 1)
    assert len(window) == 13
    assert {place - time for time, place in window} == {-1, 0, 1}
    assert {time for time, _ in neighbours(18, 18, 1)} == set(range(-8, 10))


def test_windows_without_a_pace_are_those_of_the_authors_runs():
    bubble, flat = small("stationary").window, TVAE(TVAEConfig(width=20, kernel=1, coherence="stationary"), SPEC).window
    assert set(bubble) == {(time, place) for time in range(-2, 3) for place in (-1, 0, 1)}  # bubbles_mnist: (5, 3)
    assert set(flat) == {(0, place) for place in (-1, 0, 1)}  # tvae_L0_mnist: (1, 3)


def test_without_a_cycle_frames_beyond_the_ends_count_as_nothing():
    u2, window = squares(), neighbours(5, 5, 1)
    padded = functional.pad(u2, (0, 0, 0, 0, 2, 2))
    whole = shared_variance(padded, window, cyclic=True)[:, 2:-2]
    torch.testing.assert_close(shared_variance(u2, window, cyclic=False), whole)
    single = shared_variance(u2[:, :1], window, cyclic=False)
    expected = u2[:, :1] + u2[:, :1].roll(1, -1) + u2[:, :1].roll(-1, -1)
    torch.testing.assert_close(single, expected)


def test_whole_shifts_are_exact_rolls_and_halves_lie_between():
    capsules = torch.randn(3, 2, 9, generator=torch.Generator().manual_seed(0))
    shifts = torch.tensor([[0.0, 1.0, 2.5], [0.0, 8.0, 9.0], [-1.0, 20.0, 0.25]])
    found = rolled(capsules, shifts)
    for i in range(3):
        for j, shift in enumerate(shifts[i].tolist()):
            low, share = int(shift // 1), shift % 1
            expected = (1 - share) * capsules[i].roll(low, -1) + share * capsules[i].roll(low + 1, -1)
            torch.testing.assert_close(found[i, j], expected)


def small(coherence="shifting", **values):
    config = TVAEConfig(width=20, coherence=coherence, kernel=5, **values)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return TVAE(config, SPEC)


def test_transform_rolls_the_capsules_of_the_first_frame():
    tvae = small()
    x0 = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    amounts = torch.zeros(4, 3, 2)
    amounts[:, 0, 0] = amounts[:, 1, 1] = amounts[:, 2, 0] = amounts[:, 2, 1] = 1
    with torch.no_grad():
        capsules = tvae.capsules(x0[:, None])[:, 0]
        found = tvae.transform(x0, amounts)
        for time, shift in enumerate([0, 1, 2, 4]):  # both at once are two positions
            expected = tvae.decode(capsules.roll(shift, -1).flatten(1))
            torch.testing.assert_close(found[:, time], expected)


def test_capsules_of_frames_that_roll_roll():
    tvae = small(cyclic=True)
    z = torch.randn(2, 1, 18, generator=torch.Generator().manual_seed(0))
    u2 = squares(2, 1)[:2].flatten(-2)
    steps = torch.arange(9.0).expand(2, -1)
    rolling_z = rolled(z[:, 0].unflatten(-1, (2, 9)), steps).flatten(-2)
    rolling_u = rolled(u2[:, 0].unflatten(-1, (2, 9)), steps).flatten(-2)
    with torch.no_grad():
        t = tvae.student_t(rolling_z, rolling_u).unflatten(-1, (2, 9))
        alone = tvae.student_t(z, u2).unflatten(-1, (2, 9))
    for time in range(9):
        torch.testing.assert_close(t[:, time], t[:, 0].roll(time, -1))
    torch.testing.assert_close(alone[:, 0], t[:, 0])  # an image alone is completed by its own rolls


def test_frames_are_decoded_apart_and_share_variances_alone():
    tvae = small()
    t = torch.randn(2, 9, 18, generator=torch.Generator().manual_seed(0))
    changed = t.clone()
    changed[:, 4] += 1
    with torch.no_grad():
        differs = (tvae.logits(t) != tvae.logits(changed)).flatten(2).any(-1)
    assert differs.any(0).tolist() == [time == 4 for time in range(9)]


def test_without_coherence_it_is_a_vae_on_z():
    tvae = small("none")
    x = torch.rand(2, 9, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    terms = tvae.losses(Batch(x, torch.arange(2), 0, 10), torch.Generator().manual_seed(0))
    assert terms["kl_u"].item() == 0
    mean, _ = tvae.posterior(tvae.z_encoder, x)
    assert torch.equal(tvae.encode(x), mean)
    assert tvae.u_encoder is None


def test_published_widths():
    with torch.device("meta"):
        tvae = TVAE(TVAEConfig(), DataSpec((3, 28, 28), 18, 10))
    assert (tvae.n_capsules, tvae.size) == (18, 18)
    assert [tvae.z_encoder[i].out_features for i in (0, 2, 4)] == [972, 648, 648]
    assert isinstance(small(optimizer="sgd").optimizers()["model"], torch.optim.SGD)
