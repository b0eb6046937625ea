"""Derivatives of potentials by automatic differentiation: what closed forms are held against."""

from typing import NamedTuple

import torch

from methods.flow_calculus import gradient, tracked


class Flow(NamedTuple):
    """∇u (n_flows, batch, n_latents) and ∂u/∂t (n_flows, batch), and what they were taken with respect to."""

    field: torch.Tensor
    u_t: torch.Tensor
    z: torch.Tensor
    t: torch.Tensor


def potential_flow(potential, z, t):
    """Derivatives of u(z, t) at z (n_flows, batch, n_latents) and t (n_flows, batch)."""
    z, t = tracked(z), tracked(t)
    u = potential(z, t)
    return Flow(gradient(u, z), gradient(u, t), z, t)


def exact_divergence(field, z):
    """∇·field, (…), by one derivative per latent; of ∇u it is the Laplacian."""
    return torch.stack([gradient(field[..., i], z)[..., i] for i in range(z.shape[-1])]).sum(0)
