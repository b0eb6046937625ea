"""Spike-and-slab latents (Tonolini et al., UAI 2019, supplements B and C): γ N(mean, σ²) + (1 - γ) δ(0) per latent."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import relu

Spike = Literal["relu", "sigmoid"]
MARGIN = 1e-6  # the released codes keep γ this far from 0 and 1 inside logarithms


def spike_probability(v: Tensor, spike: Spike) -> Tensor:
    """γ in (0, 1] of the network's output v: exp(-relu(-v)), released, or the logistic function of v.

    The released form is 1, with no gradient, wherever v ≥ 0.
    """
    return (-relu(-v)).exp() if spike == "relu" else v.sigmoid()


def sample_spike_slab(mean: Tensor, log_var: Tensor, gamma: Tensor, slope: float, generator: torch.Generator) -> Tensor:
    """One relaxed sample S(c (u - 1 + γ)) (mean + σ ε) with c = ``slope``; u and ε come from ``generator``.

    The share of switches that are more on than off is γ whatever c is; c → ∞ makes them binary.
    """
    uniform = torch.rand(gamma.shape, generator=generator, device=gamma.device, dtype=gamma.dtype)
    noise = torch.randn(mean.shape, generator=generator, device=mean.device, dtype=mean.dtype)
    return (slope * (uniform - 1 + gamma)).sigmoid() * (mean + (0.5 * log_var).exp() * noise)


def draw_spike_slab(mean: Tensor, log_var: Tensor, gamma: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """One sample of γ N(mean, σ²) + (1 - γ) δ(0) per latent, and which latents are on."""
    is_on = torch.rand(gamma.shape, generator=generator, device=gamma.device, dtype=gamma.dtype) < gamma
    noise = torch.randn(mean.shape, generator=generator, device=mean.device, dtype=mean.dtype)
    return torch.where(is_on, mean + (0.5 * log_var).exp() * noise, 0.0), is_on


def spike_slab_log_ratio(
    z: Tensor, is_on: Tensor, mean: Tensor, log_var: Tensor, gamma: Tensor, prior_gamma: float
) -> Tensor:
    """log p(z) - log q(z|x) per latent of samples, under the prior γ₀ N(0, 1) + (1 - γ₀) δ(0).

    Densities of what is on are compared, and point masses of what is off.
    """
    gamma = gamma.clamp(MARGIN, 1 - MARGIN)
    prior = torch.as_tensor(prior_gamma, dtype=gamma.dtype, device=gamma.device).clamp(MARGIN, 1 - MARGIN)
    slab = 0.5 * ((z - mean) ** 2 * (-log_var).exp() + log_var - z**2)
    return torch.where(is_on, (prior / gamma).log() + slab, ((1 - prior) / (1 - gamma)).log())


def spike_slab_kl(
    mean: Tensor,
    log_var: Tensor,
    gamma: Tensor,
    prior_gamma: Tensor | float,
    prior_mean: Tensor | float = 0.0,
    prior_log_var: Tensor | float = 0.0,
) -> Tensor:
    """KL of two spike-and-slab laws per latent, in nats, arguments broadcast against each other.

    Exact: the point mass is invisible to the continuous part and the other way round.
    """
    difference = log_var - prior_log_var
    scale = torch.exp(-torch.as_tensor(prior_log_var, dtype=mean.dtype, device=mean.device))
    slab = 0.5 * (difference.exp() + (mean - prior_mean) ** 2 * scale - 1 - difference)
    return gamma * slab + bernoulli_kl(gamma, prior_gamma)


def bernoulli_kl(gamma: Tensor, prior_gamma: Tensor | float) -> Tensor:
    """KL(Bernoulli(γ) ‖ Bernoulli(prior γ)) in nats, element by element."""
    gamma = gamma.clamp(MARGIN, 1 - MARGIN)
    prior = torch.as_tensor(prior_gamma, dtype=gamma.dtype, device=gamma.device).clamp(MARGIN, 1 - MARGIN)
    return (1 - gamma) * ((1 - gamma) / (1 - prior)).log() + gamma * (gamma / prior).log()
