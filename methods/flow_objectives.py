"""Terms of FFRL, STA and PoFlow that flows give rise to: densities carried along, and equations that fields obey.

"clean" is the mathematics, "released" the arithmetic of KingJamesSong/latent-flow and PDETraversal, which holds one
flow and one time in a whole batch. There, a row belongs to a flow where that flow acts on it; other rows do not count.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from methods.flow_calculus import hamilton_jacobi, log_volume
from methods.objectives import LOG_2_PI, gaussian_log_density

Objective = Literal["released", "clean"]
Prior = Literal["diffused", "fixed"]


class DiffusedPrior(nn.Module):
    """The released prior's Laplacians: 1 at the first move, then 1 / (σ² + 1e-5) with a learned σ per flow and move.

    The released centres of these Gaussians are left out: nothing that is computed depends on them.
    """

    def __init__(self, n_flows: int, n_moves: int) -> None:
        super().__init__()
        self.sigma = nn.Parameter(torch.ones(n_moves - 1, n_flows)) if n_moves > 1 else None

    def forward(self, weights: Tensor) -> Tensor:
        """Laplacians (n_moves, batch) of flows mixed by ``weights`` (n_moves, n_flows, batch)."""
        each = torch.ones_like(weights[:1, :, 0])
        if self.sigma is not None:
            each = torch.cat([each, 1 / (self.sigma**2 + 1e-5)])
        return (weights * each[..., None]).sum(1)


class CleanDensities:
    """Scalar log-densities of posterior and prior along the particles z_0, z_1, …

    The posterior's changes by -log|1 + Δu| at each move. The prior is N(0, I) diffused for as long as flows acted,
    N(0, (1 + 2 time) I), or stays N(0, I).
    """

    def __init__(self, prior: Prior, z: Tensor, mean: Tensor, log_var: Tensor) -> None:
        self.prior = prior
        self.log_q = gaussian_log_density(z, mean, log_var)

    def kl(self, path: Tensor, laplacians: Tensor, acted: Tensor) -> Tensor:
        """Estimate of Σ_t KL(q(z_t) ‖ p(z_t)), shape ().

        Args:
            path: z_1, …, z_T, (n_moves, batch, n_latents).
            laplacians: Δu of the moves that lead there, (n_moves, batch).
            acted: amounts of the moves, (n_moves, batch).
        """
        log_q = self.log_q - log_volume(laplacians).cumsum(0)
        time = acted.cumsum(0) if self.prior == "diffused" else torch.zeros_like(acted)
        return (log_q - log_diffused(path, time)).mean(1).sum()


class ReleasedDensities:
    """Log-densities of each latent along the particles, each changed by its row sum of the Hessian."""

    def __init__(self, z: Tensor, mean: Tensor, log_var: Tensor) -> None:
        self.log_q = gaussian_log_density(z[..., None], mean[..., None], log_var[..., None])
        self.log_p = -0.5 * (z**2 + LOG_2_PI)

    def kl(self, row_sums: Tensor, prior_laplacians: Tensor | None) -> Tensor:
        """``softmax_kl`` after each of the moves, summed over them, shape ().

        Args:
            row_sums: of the moves, (n_moves, batch, n_latents).
            prior_laplacians: (n_moves, batch); None leaves the prior as it is.
        """
        log_q = self.log_q - log_volume(row_sums).cumsum(0)
        log_p = self.log_p.expand_as(log_q)
        if prior_laplacians is not None:
            log_p = log_p - log_volume(prior_laplacians).cumsum(0)[..., None]
        return softmax_kl(log_q.flatten(0, 1), log_p.flatten(0, 1)) * len(row_sums)


def log_diffused(z: Tensor, time: Tensor) -> Tensor:
    """Log-density, (…), of standard normal latents z (…, n) after diffusing for ``time`` (…): N(0, (1 + 2 time) I).

    The solution of ∂p/∂t = Δp from p = N(0, I), which the prior's velocity -∇ log p brings about.
    """
    variance = 1 + 2 * time
    return -0.5 * ((z**2).sum(-1) / variance + z.shape[-1] * (variance.log() + LOG_2_PI))


def softmax_kl(log_q: Tensor, log_p: Tensor) -> Tensor:
    """The released distance of posterior and prior: KL(softmax(p) ‖ softmax(q)) over latents, mean over rows.

    Args:
        log_q, log_p: log-densities of each latent, (batch, n_latents).
    """
    q, p = log_q.exp().log_softmax(-1), log_p.exp().log_softmax(-1)
    return (p.exp() * (p - q)).sum() / len(q)


def squared_residual(u_t: Tensor, field: Tensor, force: Tensor | float, weights: Tensor) -> Tensor:
    """Σ over moves of E Σ_k w_k (∂u/∂t + ½ ‖∇u‖² + f²)², shape (); arguments as in ``released_residual``."""
    return (weights * hamilton_jacobi(u_t, field, force) ** 2).sum(1).mean(1).sum()


def released_residual(u_t: Tensor, field: Tensor, force: Tensor | float, members: Tensor) -> Tensor:
    """Mean square, (n_moves, n_flows), of the released Hamilton-Jacobi residual over the rows of each flow.

    One time is shared by a batch there, so ∂u/∂t is a sum over its rows, and the kinetic term is a mean over rows and
    latents.

    Args:
        u_t: ∂u/∂t, (n_moves, n_flows, batch); field: ∇u, (n_moves, n_flows, batch, n_latents).
        force: f, shaped like ``u_t``.
        members: 1 where a row belongs to a flow, else 0, shaped like ``u_t``.
    """
    kinetic = 0.5 * member_mean((field**2).mean(-1), members)
    residual = ((members * u_t).sum(-1) + kinetic)[..., None] + force**2
    return member_mean(residual.expand_as(members) ** 2, members)


def released_wave(u_tt: Tensor, row_sums: Tensor, speed: Tensor, members: Tensor) -> Tensor:
    """Mean square, (n_moves, n_flows), of the released residual of u_tt = c² Δu over the rows of each flow.

    ∂²u/∂t² is summed over the rows that share a time, and row sums of the Hessian stand for the Laplacian.

    Args:
        u_tt: (n_moves, n_flows, batch); row_sums: (n_moves, n_flows, batch, n_latents); speed: c, (n_flows, 1).
        members: 1 where a row belongs to a flow, else 0, (n_moves, n_flows, batch).
    """
    shared = (members * u_tt).sum(-1)[..., None, None]
    return member_mean(((shared - speed[..., None] ** 2 * row_sums) ** 2).mean(-1), members)


def member_mean(values: Tensor, members: Tensor) -> Tensor:
    """Mean of values (…, batch) over the rows of each flow, (…); 0 where a flow has none."""
    return (members * values).sum(-1) / members.sum(-1).clamp(min=1)


def gumbel_noise(shape: torch.Size, generator: torch.Generator) -> Tensor:
    """Standard Gumbel draws, float32, on the generator's device."""
    uniform = torch.rand(shape, generator=generator, device=generator.device)
    return -torch.log(-torch.log(uniform + 1e-20) + 1e-20)


def gumbel_softmax(logits: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """One-hot draws (batch, n) from softmax(logits), with the gradient of the relaxed draw (straight through)."""
    soft = ((logits + gumbel_noise(logits.shape, generator)) / temperature).softmax(-1)
    hard = torch.zeros_like(soft).scatter_(-1, soft.argmax(-1, keepdim=True), 1.0)
    return hard + soft - soft.detach()


def annealed(step: int, n_steps: int, exponent: float, least: float = 0.05) -> float:
    """Temperature exp(-exponent · share of training done), at least ``least``; renewed each hundred steps.

    ``exponent`` is 3e-5 times the published number of steps, so that a shorter training cools as far.
    """
    return max(least, math.exp(-exponent * (step // 100 * 100) / n_steps))
