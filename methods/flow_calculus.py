"""Derivatives of flow fields and what they do to densities: the calculus of FFRL, STA and PoFlow.

Fields are evaluated for K flows at once: z (n_flows, batch, n_latents), potentials u (n_flows, batch). Every derivative
keeps its graph, so that losses made of it can be minimised.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

LEAST_VOLUME = 1e-6  # |1 + Δu| is kept from 0, where its logarithm ends


Potential = Callable[[Tensor, Tensor], Tensor]  # u(z, t) as ``methods.flow_networks.Potentials`` gives it


class Flow(NamedTuple):
    """Derivatives of potentials, and what they were taken with respect to.

    Attributes:
        field: ∇u, (n_flows, batch, n_latents).
        u_t: ∂u/∂t, (n_flows, batch).
        z, t: shaped like ``field`` and ``u_t``.
    """

    field: Tensor
    u_t: Tensor
    z: Tensor
    t: Tensor


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


def potential_flow(potential: Potential, z: Tensor, t: Tensor) -> Flow:
    """Derivatives of u(z, t) at z (n_flows, batch, n_latents) and t (n_flows, batch), with gradients through both."""
    z, t = tracked(z), tracked(t)
    u = potential(z, t)
    return Flow(gradient(u, z), gradient(u, t), z, t)


def rademacher(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Signs ±1 with equal chances, float32, on the generator's device."""
    return 2.0 * torch.randint(2, tuple(shape), generator=generator, device=generator.device) - 1.0


def divergence(field: Tensor, z: Tensor, probes: Tensor) -> Tensor:
    """Hutchinson's estimate of ∇·field, (…), the mean over probes of vᵀ (∂field/∂z) v; of ∇u it is the Laplacian.

    Args:
        field, z: (…, n_latents); the z that ``field`` was computed from.
        probes: (n_probes, …, n_latents) with zero mean and unit covariance, such as ``rademacher``.
    """
    estimates = [(gradient(field * v, z) * v).sum(-1) for v in probes]
    return torch.stack(estimates).mean(0)


def exact_divergence(field: Tensor, z: Tensor) -> Tensor:
    """∇·field, (…), by one derivative per latent; arguments as in ``divergence``."""
    return torch.stack([gradient(field[..., i], z)[..., i] for i in range(z.shape[-1])]).sum(0)


def hessian_row_sums(field: Tensor, z: Tensor) -> Tensor:
    """Σ_j ∂²u/∂z_i∂z_j for each i, (…, n_latents): what the released codes use where a Laplacian belongs."""
    return gradient(field, z)


def log_volume(laplacian: Tensor) -> Tensor:
    """log|1 + Δu|, what a move by ∇u takes off the log-density: -log det(I + ∇²u) to first order in ∇²u."""
    return (1 + laplacian).abs().clamp(min=LEAST_VOLUME).log()


def hamilton_jacobi(u_t: Tensor, field: Tensor, force: Tensor | float = 0.0) -> Tensor:
    """Residual ∂u/∂t + ½ ‖∇u‖² + f² of the generalised Hamilton-Jacobi equation, (…), of ``field`` (…, n_latents)."""
    return u_t + 0.5 * (field**2).sum(-1) + force**2


def sinusoids(t: Tensor, n: int) -> Tensor:
    """Embedding [sin(t ω_0), …, cos(t ω_0), …] of times t (…), (…, n), with ω_i = 10000^(-i / (n/2 - 1)); n is even."""
    half = n // 2
    rates = torch.exp(torch.arange(half, device=t.device) * (-math.log(10_000) / (half - 1)))
    angles = t[..., None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=-1)
