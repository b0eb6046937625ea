"""Speeds of flows in STA: spikes that switch on and off in time, and slabs that say how fast.

Spikes are independent Markov chains: on with probability λ at first, then kept with probability 1 - λ. Slabs are
Laplace around 1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from methods.flow_objectives import gumbel_noise
from methods.spike_slab import bernoulli_kl


def concrete(logits: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """Relaxed draws of Bernoulli(sigmoid(logits)), in (0, 1): with logistic noise, as a binary concrete has."""
    uniform = torch.rand(logits.shape, generator=generator, device=logits.device).clamp(1e-6, 1 - 1e-6)
    return ((logits + uniform.logit()) / temperature).sigmoid()


def released_concrete(logits: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """The released relaxation, with one Gumbel draw for the noise: more on than off with chance 1 - exp(-e^logit)."""
    return ((logits + gumbel_noise(logits.shape, generator)) / temperature).sigmoid()


def sample_laplace(location: Tensor, scale: Tensor, generator: torch.Generator) -> Tensor:
    """One reparametrised draw of Laplace(location, scale)."""
    centred = torch.rand(location.shape, generator=generator, device=location.device) - 0.5
    return location - scale * centred.sign() * torch.log1p(-(2 * centred.abs()).clamp(max=1 - 1e-6))


def laplace_kl(location: Tensor, scale: Tensor, prior_location: float, prior_scale: float) -> Tensor:
    """KL(Laplace(location, scale) ‖ Laplace(prior_location, prior_scale)) in nats, element by element."""
    distance = (location - prior_location).abs()
    overlap = scale / prior_scale * torch.exp(-distance / scale)
    return overlap + distance / prior_scale + math.log(prior_scale) - scale.log() - 1


def markov_kl(on: Tensor, rate: float) -> Tensor:
    """KL of independent spikes to their Markov prior in nats, (batch, …), summed over time.

    E over the previous spike, drawn from q, of KL(q(y_t) ‖ p(y_t | y_(t-1))). That never all flows are off, as in the
    authors' data, is no part of this prior: no product of Bernoullis has it.

    Args:
        on: q(y = 1), (batch, time, …).
        rate: λ, chance of being on at first and of switching later.
    """
    first = bernoulli_kl(on[:, 0], rate)
    before, after = on[:, :-1], on[:, 1:]
    later = before * bernoulli_kl(after, 1 - rate) + (1 - before) * bernoulli_kl(after, rate)
    return first + later.sum(1)


def released_target(rate: float, n_moves: int, n_flows: int = 3) -> float:
    """Mean on-rate that the released code aims at, by its recursion with Gamma-function binomials.

    Written there for three flows. Its first value is the exact one only up to their conditioning, and the values are
    above the chain's own: 0.535 instead of 0.483 for λ = 0.1 and 8 moves.
    """
    n = float(n_flows)
    first = 1 / 3 + 2 * rate * (1 - rate) / 3 + rate**2 / 3
    values, current = [], first
    for _ in range(n_moves):
        values.append(current)
        active = n * current
        binomial = math.exp(math.lgamma(n + 1) - math.lgamma(n - active + 1) - math.lgamma(active + 1))
        all_off = binomial * rate**active * (1 - rate) ** (n - active)
        current = current * (1 - rate) + (1 - current) * rate + all_off * first
    return sum(values) / n_moves


def released_spike_term(spikes: Tensor, target: float) -> Tensor:
    """Half the KL of a two-point law with the target on-rate to one with the share of spikes that are not 0, shape ().

    Without a gradient, and since relaxed spikes are hardly ever exactly 0, a constant: no pressure to be sparse.
    """
    share = (spikes.detach() > 0).float().mean()
    found = torch.stack([share, 1 - share])
    wanted = torch.tensor([target, 1 - target], device=spikes.device)
    return (wanted * (wanted.log() - (found + 1e-20).log())).sum() / 2


def released_slab_term(slabs: Tensor, prior_scale: float) -> Tensor:
    """The released KL of one Laplace per flow, fitted to all slabs (batch, time, n_flows) of a batch, shape ()."""
    n, time = slabs.shape[:2]
    pooled = slabs.flatten(0, 1)
    variance = pooled.var(0) * (n * time - 1) / (n * max(1, time - 1))
    return laplace_kl(pooled.mean(0) + 1e-3, (0.5 * variance).sqrt() + 1e-3, 1.0, prior_scale).mean()
