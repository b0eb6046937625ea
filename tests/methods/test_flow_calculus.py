"""Derivatives of flows against closed forms and finite differences; the networks' sizes; the time embedding."""

import math

import pytest
import torch
from autograd_flows import exact_divergence, potential_flow

from methods.flow_calculus import gradient, hamilton_jacobi, log_volume, sinusoids
from methods.flow_networks import RotationalFields, flow_vae, stack_network
from methods.flow_objectives import (
    CleanDensities,
    DiffusedPrior,
    ReleasedDensities,
    annealed,
    gumbel_softmax,
    log_diffused,
    released_residual,
    released_wave,
    softmax_kl,
)
from methods.flow_potentials import Potentials
from methods.poflow import image_change

A = torch.tensor([[1.0, 2.0, -0.5], [2.0, -3.0, 0.25], [-0.5, 0.25, 0.5]], dtype=torch.float64)


def count(module):
    return sum(p.numel() for p in module.parameters())


def points(n=5, n_flows=1, n_latents=3, seed=0):
    return torch.randn(n_flows, n, n_latents, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def small_potentials(n_flows=2, n_latents=6, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Potentials(n_flows, n_latents).double()


def some_times(*values):
    return torch.tensor([values], dtype=torch.float64).expand(2, len(values)).clone().requires_grad_()


@pytest.mark.parametrize("n_latents", [4, 10])
def test_closed_forms_equal_automatic_differentiation_and_so_do_their_gradients(n_latents):
    potentials, z, t = small_potentials(2, n_latents), points(4, 2, n_latents), some_times(0.0, 1.0, 2.5, 7.0)
    found, expected = potentials.flow(z.requires_grad_(), t), potential_flow(potentials, z, t)
    pairs = {
        "field": (found.field, expected.field),
        "u_t": (found.u_t, expected.u_t),
        "u_tt": (found.u_tt, gradient(expected.u_t, t)),
        "row sums": (found.row_sums(), gradient(expected.field, z)),
        "laplacian": (found.laplacian(0, torch.Generator()), exact_divergence(expected.field, z)),
    }
    learnt = [z, t, *potentials.parameters()]
    for name, (ours, theirs) in pairs.items():
        torch.testing.assert_close(ours, theirs, msg=name)
        weights = torch.randn(ours.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        for a, b in zip(*(gradients((weights * values).sum(), learnt) for values in (ours, theirs)), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-10, msg=name)


def gradients(value, at):
    return torch.autograd.grad(value, at, retain_graph=True, allow_unused=True, materialize_grads=True)


def test_one_time_for_all_rows_gives_what_a_time_for_each_gives():
    potentials, z = small_potentials(), points(4, 2, 6)
    each, shared = (potentials.flow(z, torch.full((2, n), 3.0, dtype=torch.float64)) for n in (4, 1))
    for name in ("field", "u_t", "u_tt"):
        torch.testing.assert_close(getattr(each, name), getattr(shared, name))
    torch.testing.assert_close(each.row_sums(), shared.row_sums())


def test_hutchinson_estimates_the_exact_laplacian_without_bias():
    flow = small_potentials().flow(points(4, 2, 6), torch.full((2, 4), 3.0, dtype=torch.float64))
    exact, generator = flow.exact_laplacian(), torch.Generator().manual_seed(0)
    single = torch.stack([flow.laplacian(1, generator) for _ in range(400)])
    error = single.std(0) / math.sqrt(len(single))
    assert ((single.mean(0) - exact).abs() < 4 * error).all()
    assert (error > 0).all()
    # signs square to 1, so all of them together leave nothing of the off-diagonal entries
    every_sign = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * 6)
    estimates = [(flow.hessian_product(v.expand(2, 4, 6)) * v).sum(-1) for v in every_sign]
    torch.testing.assert_close(torch.stack(estimates).mean(0), exact)


def test_potential_derivatives_equal_finite_differences():
    potentials, z = small_potentials(), points(3, 2, 6)
    t = torch.tensor([[1.0, 2.0, 7.0]], dtype=torch.float64).expand(2, 3)
    flow = potentials.flow(z, t)
    step = 1e-5
    in_time = (potentials(z, t + step) - potentials(z, t - step)) / (2 * step)
    torch.testing.assert_close(flow.u_t, in_time, rtol=1e-6, atol=1e-9)
    for i in range(6):
        shift = step * torch.eye(6, dtype=torch.float64)[i]
        numeric = (potentials(z + shift, t) - potentials(z - shift, t)) / (2 * step)
        torch.testing.assert_close(flow.field[..., i], numeric, rtol=1e-6, atol=1e-9)
    residual = in_time + 0.5 * (flow.field**2).sum(-1) + 0.3**2
    torch.testing.assert_close(hamilton_jacobi(flow.u_t, flow.field, torch.tensor(0.3)), residual, rtol=1e-6, atol=1e-9)


def test_a_free_particles_action_solves_the_hamilton_jacobi_equation():
    # u = -‖z‖² / (2 (1 - t)) … its sign turned: u = ‖z‖² / (2 t) has u_t = -‖z‖² / (2 t²), ½‖∇u‖² = ‖z‖² / (2 t²)
    flow = potential_flow(lambda z, t: (z**2).sum(-1) / (2 * t), points(), torch.full((1, 5), 1.7, dtype=torch.float64))
    torch.testing.assert_close(hamilton_jacobi(flow.u_t, flow.field), torch.zeros(1, 5, dtype=torch.float64))


def test_each_potential_is_the_authors_network():
    potentials, z = small_potentials(2, 6), points(3, 2, 6)
    t = torch.full((2, 3), 4.0, dtype=torch.float64)
    for k in range(2):

        def layer(x, stacked, k=k):
            return x @ stacked.weight[k] + stacked.bias[k]

        time = layer(torch.nn.functional.gelu(layer(sinusoids(t[k], 6), potentials.time_in)), potentials.time_out)
        mixed = layer(layer(z[k], potentials.position).tanh() + time, potentials.fusion).tanh()
        torch.testing.assert_close(potentials(z, t)[k], layer(mixed, potentials.out).tanh().squeeze(-1))


def test_time_embedding_has_sines_then_cosines_of_falling_rates():
    found = sinusoids(torch.tensor([0.0, 3.0], dtype=torch.float64), 8)
    rates = [10_000 ** (-i / 3) for i in range(4)]
    assert found[0].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    expected = [math.sin(3 * w) for w in rates] + [math.cos(3 * w) for w in rates]
    torch.testing.assert_close(found[1], torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-6)


def test_divergence_of_the_rotational_fields_is_exact():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        fields = RotationalFields(2, 5).double()
    z = points(4, 2, 5).requires_grad_()
    found = fields.divergence(z)
    torch.testing.assert_close(found, exact_divergence(fields(z), z))
    assert found.abs().min() > 1e-3


def test_density_change_along_a_linear_field_tends_to_the_closed_form():
    # log|det(I + εA)| = ε tr A + O(ε²), and so is log|1 + ε tr A|: halving ε quarters the difference
    def error(epsilon):
        exact = torch.linalg.slogdet(torch.eye(3, dtype=torch.float64) + epsilon * A)[1]
        return (log_volume(epsilon * A.trace()) - exact).abs().item()

    assert error(1e-2) / error(5e-3) == pytest.approx(4, rel=0.1)
    one_way = torch.diag(torch.tensor([0.7, 0.0, 0.0], dtype=torch.float64))  # rank one: exact
    assert log_volume(one_way.trace()).item() == pytest.approx(
        torch.linalg.slogdet(torch.eye(3, dtype=torch.float64) + one_way)[1].item(), abs=1e-12
    )
    assert log_volume(torch.tensor(-1.0)).item() == pytest.approx(math.log(1e-6))


def test_clean_kl_follows_a_gaussian_that_is_stretched():
    # q = N(m, s²) stretched by (1 + a) along one latent of one: exactly N((1 + a) m, (1 + a)² s²)
    m, s, a = 0.4, 0.6, 0.5
    z = m + s * torch.randn(200_000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    log_var = torch.full_like(z, 2 * math.log(s))
    densities = CleanDensities("diffused", z, torch.full_like(z, m), log_var)
    ones = torch.ones(1, len(z), dtype=torch.float64)
    found = densities.kl(z[None] * (1 + a), a * ones, ones).item()
    q = torch.distributions.Normal((1 + a) * m, (1 + a) * s)
    expected = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, math.sqrt(3))).item()
    assert found == pytest.approx(expected, abs=0.01)  # Monte Carlo: deviation 0.002
    fixed = CleanDensities("fixed", z, torch.full_like(z, m), log_var).kl(z[None], 0 * ones, ones).item()
    unmoved = torch.distributions.kl_divergence(torch.distributions.Normal(m, s), torch.distributions.Normal(0.0, 1.0))
    assert fixed == pytest.approx(unmoved.item(), abs=0.01)


def test_diffused_normal_solves_the_diffusion_equation():
    z = points(4)[0].requires_grad_()
    t = torch.tensor([0.0, 0.5, 1.0, 3.0], dtype=torch.float64, requires_grad=True)
    p = log_diffused(z, t).exp()
    torch.testing.assert_close(gradient(p, t), exact_divergence(gradient(p, z), z))


def test_released_terms_by_hand():
    log_q, log_p = torch.tensor([[0.0, -1.0]]), torch.tensor([[-2.0, -0.5]])
    q, p = log_q.exp().softmax(-1), log_p.exp().softmax(-1)
    assert softmax_kl(log_q, log_p).item() == pytest.approx((p * (p / q).log()).sum().item(), abs=1e-6)

    u_t, field = torch.tensor([[1.0, 2.0, 4.0]]), torch.tensor([[[1.0, 1.0], [3.0, 1.0], [9.0, 9.0]]])
    members = torch.tensor([[1.0, 1.0, 0.0]])
    kinetic = 0.5 * (1 + 1 + 9 + 1) / 4  # a mean over rows and latents
    force = torch.tensor([[0.0, 2.0, 5.0]])
    expected = ((3 + kinetic) ** 2 + (3 + kinetic + 4) ** 2) / 2  # ∂u/∂t summed over the rows
    assert released_residual(u_t[None], field[None], force[None], members[None]).item() == pytest.approx(expected)

    row_sums = torch.tensor([[[1.0, 0.0], [2.0, 1.0], [7.0, 7.0]]])
    expected = ((3 - 4 * 1) ** 2 + 3**2 + (3 - 4 * 2) ** 2 + (3 - 4 * 1) ** 2) / 4
    assert released_wave(u_t[None], row_sums[None], torch.tensor([[2.0]]), members[None]).item() == pytest.approx(
        expected
    )

    z = torch.tensor([[0.5, -0.5]])
    densities = ReleasedDensities(z, torch.zeros_like(z), torch.zeros_like(z))
    assert densities.kl(torch.zeros(1, 1, 2), None).item() == pytest.approx(0, abs=1e-7)
    moves, prior = torch.tensor([[[1.0, -3.0]], [[0.5, 0.0]]]), torch.tensor([[1.0], [0.25]])
    normal = math.exp(-0.5 * (0.25 + math.log(2 * math.pi)))
    # the first move halves all densities; the second takes the posterior of one latent by 1.5, the prior by 1.25
    expected = softmax_kl(
        torch.tensor([[normal / 3, normal / 2]]).log(), torch.tensor([[normal / 2.5, normal / 2.5]]).log()
    )
    assert densities.kl(moves, prior).item() == pytest.approx(expected.item(), rel=1e-5)


def test_densities_of_several_moves_add_up():
    # log q falls by log 2 and then by log 3 more; the prior has diffused for 1 and then for 1.5
    z0, path = points(4)[0], torch.stack([points(4, seed=1)[0], points(4, seed=2)[0]])
    zero, ones = torch.zeros_like(z0), torch.ones(1, 4, dtype=torch.float64)
    laplacians, acted = torch.cat([ones, 2 * ones]), torch.cat([ones, 0.5 * ones])
    found = CleanDensities("diffused", z0, zero, zero).kl(path, laplacians, acted)
    log_q = torch.distributions.Normal(0.0, 1.0).log_prob(z0).sum(-1)
    log_p = [
        torch.distributions.Normal(0.0, math.sqrt(v)).log_prob(z).sum(-1) for z, v in zip(path, (3, 4), strict=True)
    ]
    expected = (log_q - math.log(2) - log_p[0] + log_q - math.log(6) - log_p[1]).mean()
    torch.testing.assert_close(found, expected)


def test_released_prior_diffuses_by_its_own_laplacians():
    prior, weights = DiffusedPrior(2, 3), torch.tensor([[1.0, 0.0], [0.0, 1.0]]).expand(3, 2, 2)
    with torch.no_grad():
        prior.sigma[:] = torch.tensor([[2.0, 1.0], [4.0, 0.5]])
    expected = torch.tensor([[1.0, 1.0], [1 / 4.00001, 1 / 1.00001], [1 / 16.00001, 1 / 0.25001]])
    torch.testing.assert_close(prior(weights), expected)


def test_plane_waves_obey_the_wave_equation():
    k, c = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64), 1.3
    rate = c * k.norm()
    flow = potential_flow(lambda z, t: (z @ k - rate * t).sin(), points(), torch.full((1, 5), 0.7, dtype=torch.float64))
    u_tt = gradient(flow.u_t, flow.t)
    torch.testing.assert_close(u_tt, c**2 * exact_divergence(flow.field, flow.z))


def test_image_change_is_the_decoders_derivative_along_a_direction():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        vae = flow_vae((1, 8, 8), 6, twice_differentiable=True).double()
    z, v = points(4, 1, 6)[0], points(4, 1, 6, seed=1)[0]
    step = 1e-6  # small enough to cross no kink of the rectifiers
    numeric = (vae.decoder(z + step * v).sigmoid() - vae.decoder(z - step * v).sigmoid()) / (2 * step)
    found = image_change(lambda at: vae.decoder(at).sigmoid(), z, v)
    assert found.item() == pytest.approx((numeric**2).mean().item(), rel=1e-4)


def test_gumbel_softmax_draws_one_hot_with_the_softmaxs_chances_and_the_relaxed_gradient():
    logits = torch.tensor([[0.0, 1.0, -1.0]]).repeat(20_000, 1).requires_grad_()
    drawn = gumbel_softmax(logits, 0.7, torch.Generator().manual_seed(0))
    assert torch.allclose(drawn.max(-1).values, torch.ones(len(drawn)))
    # 20,000 draws: deviation at most 0.0035
    torch.testing.assert_close(drawn.mean(0), logits[0].softmax(-1), rtol=0, atol=0.014)
    assert gradient(drawn[:, 0], logits).abs().sum() > 0


def test_the_temperature_is_the_released_one():
    assert annealed(0, 100_000, 3.0) == 1
    assert annealed(50_099, 100_000, 3.0) == pytest.approx(math.exp(-3e-5 * 50_000))
    assert annealed(99_999, 100_000, 3.0) == 0.05
    assert annealed(50, 100, 3.0) == 1  # renewed each hundred steps


def test_networks_have_the_published_number_of_parameters():
    assert count(Potentials(1, 324)) == 421_525
    assert count(Potentials(3, 324)) == 3 * 421_525
    assert count(RotationalFields(1, 324)) == 210_600
    with torch.device("meta"):
        mnist, shapes, falcor = (flow_vae((3, side, side), width) for side, width in ((28, 324), (64, 226), (128, 324)))
        index = [count(stack_network(shape, n, w, 3)) for shape, n, w in (((3, 28, 28), 9, 324), ((3, 64, 64), 8, 226))]
    sizes = [round(count(part) / 1e6, 1) for vae in (mnist, shapes, falcor) for part in (vae.encoder, vae.decoder)]
    assert sizes == [35.7, 35.2, 80.8, 80.6, 16.0, 16.6]
    assert [round(n / 1e6, 1) for n in index] == [35.2, 80.6]


def test_large_images_have_the_network_of_falcor3d():
    small, twice = flow_vae((3, 128, 128), 6, 4), flow_vae((3, 128, 128), 6, 4, twice_differentiable=True)
    x = torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        mean, log_var = small.posterior(x)
        assert mean.shape == log_var.shape == (2, 6)
        for vae in (small, twice):
            assert vae.logits(mean).shape == x.shape
            assert [type(layer).__name__ for layer in vae.decoder][-2:] == ["ReLU", type(vae.decoder[-1]).__name__]
        assert stack_network((3, 128, 128), 2, 4, 5)(torch.cat([x, x], 1)).shape == (2, 5)
    kernels = [layer.kernel_size[0] for layer in small.encoder if isinstance(layer, torch.nn.Conv2d)]
    assert kernels == [4, 3, 4, 3, 4, 3, 4, 3, 8]
