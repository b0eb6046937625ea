"""What flow fields do to densities, and the equations that they obey: the calculus of FFRL, STA and PoFlow."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

LEAST_VOLUME = 1e-6  # |1 + Δu| is kept from 0, where its logarithm ends


def tracked(x: Tensor) -> Tensor:
    """x as something derivatives can be taken with respect to; its own graph, if it has one, goes on through it."""
    return x if x.requires_grad else x.clone().requires_grad_()


def gradient(values: Tensor, at: Tensor) -> Tensor:
    """∂ Σ values / ∂ at, shaped like ``at``: the gradient of each value where values do not share entries of ``at``.

    Zero where ``values`` do not depend on ``at``.
    """
    if not values.requires_grad:
        return torch.zeros_like(at)
    (found,) = torch.autograd.grad(values.sum(), at, create_graph=True, allow_unused=True, materialize_grads=True)
    return found


def rademacher(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Signs ±1 with equal chances, float32, on the generator's device."""
    return 2.0 * torch.randint(2, tuple(shape), generator=generator, device=generator.device) - 1.0


def log_volume(laplacian: Tensor) -> Tensor:
    """log|1 + Δu|, what a move by ∇u takes off the log-density: -log det(I + ∇²u) to first order in ∇²u."""
    return (1 + laplacian).abs().clamp(min=LEAST_VOLUME).log()


def hamilton_jacobi(u_t: Tensor, field: Tensor, force: Tensor | float = 0.0) -> Tensor:
    """Residual ∂u/∂t + ½ ‖∇u‖² + f² of the generalised Hamilton-Jacobi equation, (…), of ``field`` (…, n_latents)."""
    return u_t + 0.5 * (field**2).sum(-1) + force**2


def sinusoid_rates(n: int, device: torch.device) -> Tensor:
    """ω_i = 10000^(-i / (n/2 - 1)), i = 0 … n/2 - 1, (n/2,)."""
    half = n // 2
    return torch.exp(torch.arange(half, device=device) * (-math.log(10_000) / (half - 1)))


def sinusoids(t: Tensor, n: int) -> Tensor:
    """Embedding [sin(t ω_0), …, cos(t ω_0), …] of times t (…), (…, n); n is even."""
    angles = t[..., None] * sinusoid_rates(n, t.device)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)
