"""Potentials u(z, t) of FFRL, STA and PoFlow, and their derivatives in closed form.

The objectives hold second derivatives of potentials (Hessians, ∂²u/∂t²) and are minimised by first-order gradients of
those. Written out layer by layer these are plain products of matrices: one pass of automatic differentiation is left
where there would be three, and a Laplacian is exact at the cost of one more product.
"""

from __future__ import annotations

import math
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from methods.flow_calculus import rademacher, sinusoid_rates, sinusoids


class Stacked(nn.Module):
    """``n`` linear maps of their own, applied side by side: x (n, rows, n_in) -> (n, rows, n_out), drawn as torch's."""

    def __init__(self, n: int, n_in: int, n_out: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(n_in)
        self.weight = nn.Parameter(torch.empty(n, n_in, n_out).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(n, 1, n_out).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.bias, x, self.weight)


class Potentials(nn.Module):
    """``n_flows`` potentials u(z, t) in (-1, 1), each an MLP of its own of width ``n_latents``; also the forces.

    421,525 parameters each at 324 latents. The embedding of time needs an even number of latents.
    """

    def __init__(self, n_flows: int, n_latents: int) -> None:
        super().__init__()
        self.n_latents = n_latents
        self.position = Stacked(n_flows, n_latents, n_latents)
        self.time_in = Stacked(n_flows, n_latents, n_latents)
        self.time_out = Stacked(n_flows, n_latents, n_latents)
        self.fusion = Stacked(n_flows, n_latents, n_latents)
        self.out = Stacked(n_flows, n_latents, 1)

    def forward(self, z: Tensor, t: Tensor) -> Tensor:
        """u (n_flows, batch) at z (n_flows, batch, n_latents) and times t (n_flows, batch), or (n_flows, 1) for all."""
        time = self.time_out(gelu(self.time_in(sinusoids(t, self.n_latents))))
        mixed = self.fusion(self.position(z).tanh() + time).tanh()
        return self.out(mixed).tanh().squeeze(-1)

    def flow(self, z: Tensor, t: Tensor) -> PotentialFlow:
        """Derivatives of u at z and t, shaped as in ``forward``."""
        return PotentialFlow(self, z, t)


class PotentialFlow:
    """Derivatives of u_k(z, t), all differentiable by z, t and the weights.

    With h = tanh(A z + a), m = tanh(F (h + e(t)) + b) and u = tanh(w·m + c); subscripts are derivatives.

    Attributes:
        z, t: (n_flows, batch, n_latents), and (n_flows, batch) or (n_flows, 1).
        field: ∇u, shaped like z.
    """

    def __init__(self, potentials: Potentials, z: Tensor, t: Tensor) -> None:
        self.z, self.t = z, t
        self._potentials = potentials
        self._into, self._mixing = potentials.position.weight, potentials.fusion.weight
        self._h = potentials.position(z).tanh()
        time = potentials.time_out(gelu(self._time_in))
        self._m = potentials.fusion(self._h + time).tanh()
        self._u = potentials.out(self._m).tanh()
        self._h_slope, self._m_slope, self._u_slope = (1 - a**2 for a in (self._h, self._m, self._u))
        # of what the last tanh takes: by what the other two take, by h, and by z
        self._by_m_in = potentials.out.weight.transpose(1, 2) * self._m_slope
        self._by_h = torch.bmm(self._by_m_in, self._mixing.transpose(1, 2))
        self._gradient = torch.bmm(self._by_h * self._h_slope, self._into.transpose(1, 2))
        self.field = self._u_slope * self._gradient

    @cached_property
    def _sinusoids(self) -> Tensor:
        return sinusoids(self.t, self._potentials.n_latents)

    @cached_property
    def _time_in(self) -> Tensor:
        return self._potentials.time_in(self._sinusoids)  # type: ignore[no-any-return]

    @cached_property
    def _sinusoids_t(self) -> Tensor:
        """∂/∂t of the embedding: rates times the other half."""
        sines, cosines = self._sinusoids.chunk(2, dim=-1)
        return torch.cat([cosines, -sines], dim=-1) * self._rates

    @cached_property
    def _rates(self) -> Tensor:
        return sinusoid_rates(self._potentials.n_latents, self.t.device).repeat(2)

    @cached_property
    def _m_in_t(self) -> Tensor:
        """∂/∂t of F (h + e(t)) + b, (n_flows, batch or 1, n_latents)."""
        time_in_t = torch.bmm(self._sinusoids_t, self._potentials.time_in.weight)
        slope = _gelu_slope(self._time_in)
        return torch.bmm(torch.bmm(slope * time_in_t, self._potentials.time_out.weight), self._mixing)

    @cached_property
    def u_t(self) -> Tensor:
        """∂u/∂t, (n_flows, batch)."""
        return (self._u_slope * (self._by_m_in * self._m_in_t).sum(-1, keepdim=True)).squeeze(-1)

    @cached_property
    def u_tt(self) -> Tensor:
        """∂²u/∂t², (n_flows, batch)."""
        networks = self._potentials
        rate = torch.bmm(self._sinusoids_t, networks.time_in.weight)
        change = torch.bmm(-self._sinusoids * self._rates**2, networks.time_in.weight)
        bent = _gelu_curvature(self._time_in) * rate**2 + _gelu_slope(self._time_in) * change
        m_in_tt = torch.bmm(torch.bmm(bent, networks.time_out.weight), self._mixing)
        first = (self._by_m_in * self._m_in_t).sum(-1, keepdim=True)
        second = (self._by_m_in * (m_in_tt - 2 * self._m * self._m_in_t**2)).sum(-1, keepdim=True)
        return (self._u_slope * (second - 2 * self._u * first**2)).squeeze(-1)

    def hessian_product(self, direction: Tensor) -> Tensor:
        """(∇²u) v, shaped like z, of v ``direction`` shaped like z, or with one row for all."""
        h_in = torch.bmm(direction, self._into)
        h_change = self._h_slope * h_in
        m_change = self._m_slope * torch.bmm(h_change, self._mixing)
        by_m_in = -2 * self._potentials.out.weight.transpose(1, 2) * self._m * m_change
        by_h = torch.bmm(by_m_in, self._mixing.transpose(1, 2))
        by_h_in = by_h * self._h_slope - 2 * self._by_h * self._h * h_change
        change = torch.bmm(by_h_in, self._into.transpose(1, 2))
        along = (self._gradient * direction).sum(-1, keepdim=True)
        return self._u_slope * (change - 2 * self._u * along * self._gradient)

    def row_sums(self) -> Tensor:
        """Σ_j ∂²u/∂z_i∂z_j for each i, shaped like z: what the released codes use where a Laplacian belongs."""
        return self.hessian_product(torch.ones_like(self.z[:, :1]))

    def laplacian(self, n_probes: int, generator: torch.Generator) -> Tensor:
        """Δu, (n_flows, batch): exact for ``n_probes`` = 0, else Hutchinson's estimate with Rademacher probes."""
        if n_probes == 0:
            return self.exact_laplacian()
        probes = rademacher((n_probes, *self.z.shape), generator).to(self.z)
        return torch.stack([(self.hessian_product(v) * v).sum(-1) for v in probes]).mean(0)

    def exact_laplacian(self) -> Tensor:
        """Δu, (n_flows, batch), from the Jacobian of what the second tanh takes: n_latents³ products a row."""
        n_flows, batch, n = self.z.shape
        of_h = -2 * self._h * self._h_slope * (self._into**2).sum(1, keepdim=True)
        # the Jacobian of F h by z, A diag(h') F, as one product for all rows
        rows = self._h_slope.transpose(1, 2)[..., None] * self._mixing[:, :, None]
        jacobian = torch.bmm(self._into, rows.reshape(n_flows, n, batch * n))
        steepness = (jacobian**2).sum(1).view(n_flows, batch, n)
        inner = (self._by_h * of_h).sum(-1) - 2 * (self._by_m_in * self._m * steepness).sum(-1)
        squares = (self._gradient**2).sum(-1)
        return self._u_slope.squeeze(-1) * (inner - 2 * self._u.squeeze(-1) * squares)


def _gelu_slope(x: Tensor) -> Tensor:
    """Derivative of x Φ(x)."""
    return _normal_share(x) + x * _normal_density(x)


def _gelu_curvature(x: Tensor) -> Tensor:
    return (2 - x**2) * _normal_density(x)


def _normal_share(x: Tensor) -> Tensor:
    return 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def _normal_density(x: Tensor) -> Tensor:
    return torch.exp(-0.5 * x**2) / math.sqrt(2 * math.pi)
