"""Spikes and slabs of STA: their laws, their KL terms, and what the released code aims at."""

import itertools
import math

import pytest
import torch

from methods.speeds import (
    concrete,
    laplace_kl,
    markov_kl,
    released_concrete,
    released_slab_term,
    released_spike_term,
    released_target,
    sample_laplace,
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def chain_marginals(rate, n_flows, n_moves):
    """On-rates of the authors' simulated chain, by enumeration; all off is drawn again, each on at ``rate``."""
    states = list(itertools.product((0, 1), repeat=n_flows))

    def chance(after, on_rates):
        return math.prod(p if y else 1 - p for y, p in zip(after, on_rates, strict=True))

    fresh = {y: chance(y, [rate] * n_flows) for y in states}
    off = states[0]
    law = {y: p / (1 - fresh[off]) for y, p in fresh.items() if y != off}
    found = []
    for _ in range(n_moves):
        found.append(sum(p * sum(y) for y, p in law.items()) / n_flows)
        after = dict.fromkeys(law, 0.0)
        for before, p in law.items():
            stay = [1 - rate if y else rate for y in before]
            for y in law:
                after[y] += p * (chance(y, stay) + chance(off, stay) * fresh[y] / (1 - fresh[off]))
        law = after
    return found


def test_the_released_target_lies_above_the_chain_that_makes_the_data():
    exact = chain_marginals(0.1, 3, 8)
    assert exact == pytest.approx([0.369, 0.422, 0.461, 0.490, 0.511, 0.526, 0.538, 0.546], abs=6e-4)
    assert sum(exact) / 8 == pytest.approx(0.483, abs=6e-4)
    means = [released_target(0.1, n) for n in range(1, 9)]
    values = [n * m - (n - 1) * before for n, m, before in zip(range(1, 9), means, [0, *means], strict=False)]
    assert values == pytest.approx([0.397, 0.486, 0.529, 0.553, 0.568, 0.577, 0.583, 0.587], abs=6e-4)
    assert means[-1] == pytest.approx(0.535, abs=6e-4)


def test_the_data_of_script_sta_follow_the_exact_chain():
    import numpy as np

    from bench.datasets.transformation_data import switching_amounts

    amounts = switching_amounts(8, 3, 0.1, 0.0)(20_000, np.random.default_rng(0))
    # 60,000 correlated draws at each step: deviation below 0.003
    assert amounts.mean((0, 2)) == pytest.approx(chain_marginals(0.1, 3, 8), abs=0.01)


def test_markov_kl_is_that_of_the_paths():
    on, rate = torch.tensor([[[0.3], [0.8], [0.5]]], dtype=torch.float64), 0.1
    expected = 0.0
    for path in itertools.product((0, 1), repeat=3):
        q = math.prod(p if y else 1 - p for y, p in zip(path, on[0, :, 0].tolist(), strict=True))
        p = rate if path[0] else 1 - rate
        for before, after in itertools.pairwise(path):
            p *= 1 - rate if before == after else rate
        expected += q * math.log(q / p)
    assert markov_kl(on, rate).item() == pytest.approx(expected, abs=1e-9)


def test_sparse_spikes_are_cheaper_than_dense_ones_and_steady_ones_than_flickering_ones():
    def cost(*on):
        return markov_kl(torch.tensor(on)[None, :, None], 0.1).item()

    assert cost(0.0, 0.0, 0.0, 0.0) < cost(1.0, 1.0, 1.0, 1.0) < cost(1.0, 0.0, 1.0, 0.0)


def test_laplace_kl_against_monte_carlo_and_at_equality():
    q, p = torch.distributions.Laplace(0.7, 0.3), torch.distributions.Laplace(1.0, 0.1)
    drawn = sample_laplace(torch.full((400_000,), 0.7), torch.full((400_000,), 0.3), seeded())
    estimate = (q.log_prob(drawn) - p.log_prob(drawn)).mean().item()
    assert laplace_kl(torch.tensor(0.7), torch.tensor(0.3), 1.0, 0.1).item() == pytest.approx(estimate, abs=0.02)
    assert laplace_kl(torch.tensor(1.0), torch.tensor(0.1), 1.0, 0.1).item() == pytest.approx(0, abs=1e-6)
    assert drawn.mean().item() == pytest.approx(0.7, abs=0.003)
    assert (drawn - 0.7).abs().mean().item() == pytest.approx(0.3, abs=0.003)


@pytest.mark.parametrize(
    ("draw", "chance"),
    [
        pytest.param(concrete, lambda logit: 1 / (1 + math.exp(-logit)), id="logistic noise: a Bernoulli"),
        pytest.param(released_concrete, lambda logit: 1 - math.exp(-math.exp(logit)), id="one Gumbel: biased to on"),
    ],
)
def test_relaxed_spikes_are_more_on_than_off_with_the_chance_of_their_noise(draw, chance):
    for logit in (-1.0, 0.0, 0.5):
        drawn = draw(torch.full((100_000,), logit), 0.5, seeded())
        assert (drawn > 0.5).float().mean().item() == pytest.approx(chance(logit), abs=0.007)  # 4 deviations


def test_the_released_spike_term_is_a_constant_without_a_gradient():
    soft = torch.rand(4, 8, 3, generator=seeded()).requires_grad_()
    found = released_spike_term(soft, 0.535)
    # target log target + (1 - target)(log(1 - target) - log 1e-20), halved by "batchmean" over the two points
    expected = 0.5 * (0.535 * math.log(0.535) + 0.465 * (math.log(0.465) + 20 * math.log(10)))
    assert found.item() == pytest.approx(expected, rel=1e-5)
    assert not found.requires_grad
    assert released_spike_term(0.01 * soft, 0.535).item() == found.item()  # no softness changes it


def test_the_released_slab_term_fits_one_laplace_to_the_batch():
    slabs = 1 + 0.3 * torch.randn(6, 4, 2, generator=seeded(), dtype=torch.float64)
    pooled = slabs.reshape(24, 2)
    variance = pooled.var(0) / 6 / 3 * 23
    scale, location = (0.5 * variance).sqrt() + 1e-3, pooled.mean(0) + 1e-3
    q = torch.distributions.Laplace(location, scale)
    p = torch.distributions.Laplace(torch.ones(2, dtype=torch.float64), torch.full((2,), 0.1, dtype=torch.float64))
    expected = torch.distributions.kl_divergence(q, p).mean()
    torch.testing.assert_close(released_slab_term(slabs, 0.1), expected)
