"""R-WAE's estimate of MMD against loops and in the mean, its losses, and its critics kept apart."""

import math

import pytest
import torch

from bench.api import Batch, DataSpec
from methods.rwae import RWAE, SCALES, RWAEConfig, critic_loss, kernel, mmd
from methods.sequential_vae import squared_error

SPEC = DataSpec((1, 64, 64), n_frames=4, n_train=50)
SMALL = {"width": 4, "n_features": 16, "n_hidden": 12, "n_static": 10, "n_dynamic": 3, "batch_size": 4}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def built(**parameters):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return RWAE(RWAEConfig(**SMALL | parameters), SPEC)


def batch(n=4):
    return Batch(torch.rand(n, 4, 1, 64, 64, generator=generator(1)), torch.arange(n), 0, 10)


def test_mmd_is_the_double_loop_over_pairs_and_kernels():
    a, b = torch.randn(5, 3, generator=generator()), torch.randn(5, 3, generator=generator(1)) + 1

    def k(x, y):
        distance = sum((u - v) ** 2 for u, v in zip(x.tolist(), y.tolist(), strict=True))
        return sum(c * 6 / (c * 6 + distance) for c in (0.1, 0.2, 0.5, 1, 2, 5, 10))

    total = sum(
        k(a[i], a[j]) + k(b[i], b[j]) - k(a[i], b[j]) - k(a[j], b[i]) for i in range(5) for j in range(5) if i != j
    )
    assert mmd(a, b).item() == pytest.approx(total / 20, abs=1e-6)


def test_kernel_is_one_per_scale_at_distance_0_and_half_of_each_at_its_width():
    assert kernel(torch.tensor(0.0), 8).item() == len(SCALES)
    widths = torch.tensor([scale * 16 for scale in SCALES])
    assert (kernel(widths, 8) > 0.5).all()
    assert kernel(torch.tensor(16.0), 8).item() == pytest.approx(sum(c / (c + 1) for c in SCALES))


@pytest.mark.parametrize("dependence", [0.0, 0.9])
def test_mmd_of_equal_laws_has_mean_zero_even_where_pairs_depend_on_each_other(dependence):
    draws = generator(2)
    estimates = []
    for _ in range(1500):
        a, noise = torch.randn(2, 6, 4, generator=draws)
        b = dependence * a + math.sqrt(1 - dependence**2) * noise
        estimates.append(mmd(a, b))
    estimates = torch.stack(estimates)
    error = estimates.std() / math.sqrt(len(estimates))
    assert abs(estimates.mean().item()) < 4 * error.item()
    assert estimates.min() < 0  # a biased estimate never is


def test_mmd_of_different_laws_agrees_with_the_expected_kernels():
    draws = generator(3)

    def law(n, shift):
        return torch.randn(n, 4, generator=draws) + shift

    def expected(shift):  # of two independent draws whose means differ by shift
        return kernel((law(200_000, shift) - law(200_000, 0)).square().sum(1), 4).mean()

    exact = 2 * expected(0.0) - 2 * expected(1.0)
    estimates = torch.stack([mmd(law(50, 0.0), law(50, 1.0)) for _ in range(200)])
    # 200 estimates and 200,000 pairs: standard errors 0.006 and 0.004
    assert estimates.mean().item() == pytest.approx(exact.item(), abs=0.03)


def test_loss_of_mmd_is_error_and_weighted_gaps_frame_by_frame():
    method, seen = built(beta_static=2.0, beta_dynamic=3.0), batch()
    terms = method.losses(seen, generator(5))
    codes, priors = method._samples(seen.x, generator(5))
    decoded = method.model.frames(codes["static"], codes["dynamic"])
    static = mmd(codes["static"], priors["static"])
    dynamic = sum(mmd(codes["dynamic"][:, t], priors["dynamic"][:, t]) for t in range(4))
    torch.testing.assert_close(terms["static_gap"], static)
    torch.testing.assert_close(terms["dynamic_gap"], dynamic)
    torch.testing.assert_close(terms["loss"], squared_error(decoded, seen.x) + 2 * static + 3 * dynamic)


def test_prior_samples_follow_the_posteriors_own_past():
    method, seen = built(), batch()
    codes, priors = method._samples(seen.x, generator(5))
    mean, log_var = method.model.prior(codes["dynamic"])
    noise = (priors["dynamic"] - mean) / (0.5 * log_var).exp()
    draws = generator(5)
    for shape in ((4, 10), (4, 4, 3), (4, 10)):  # s, z, then the static prior
        torch.randn(shape, generator=draws)
    torch.testing.assert_close(noise, torch.randn(4, 4, 3, generator=draws), rtol=1e-4, atol=1e-4)


def test_losses_of_undecided_critics_are_multiples_of_log_2_per_frame():
    method = built(divergence="gan")
    with torch.no_grad():
        for network in method.critic.values():
            network[-1].weight.zero_()
            network[-1].bias.zero_()
        terms = method.losses(batch(), generator())
        critics = method.losses(batch(), generator(), "critic")["loss"].item()
    assert terms["static_gap"].item() == pytest.approx(2 * math.log(2))
    assert terms["dynamic_gap"].item() == pytest.approx(4 * 2 * math.log(2))
    assert critics == pytest.approx(5 * 2 * math.log(2))


def test_critic_loss_is_binary_cross_entropy_summed_over_frames():
    posterior, prior = torch.randn(2, 3, 5, 1, generator=generator())
    expected = -(1 - posterior.sigmoid()).log().sum() / 3 - prior.sigmoid().log().sum() / 3
    torch.testing.assert_close(critic_loss(posterior, prior), expected)


@pytest.mark.parametrize("divergence", ["mmd", "gan"])
def test_no_gradient_crosses_between_players(divergence):
    method = built(divergence=divergence)
    assert method.players == (("model",) if divergence == "mmd" else ("model", "critic"))
    for player in method.players:
        method.zero_grad()
        parameters = method.player_parameters(player)
        method.losses(batch(), generator(), player)["loss"].backward()
        reached = [p for p in method.parameters() if p.grad is not None and p.grad.any()]
        if player == "critic":
            assert {id(p) for p in reached} == {id(p) for p in parameters}
        assert {id(p) for p in parameters} <= {id(p) for p in reached}  # the LSTM prior among them
    assert set(method.optimizers()) == (set() if divergence == "mmd" else {"critic"})


def test_gradient_of_the_model_against_a_critic_pulls_codes_towards_the_prior():
    logits = torch.tensor([[-2.0], [1.0]], requires_grad=True)
    critic_loss(torch.zeros(2, 1), logits).backward()  # exchanged: codes stand where the prior stood
    assert (logits.grad < 0).all()
