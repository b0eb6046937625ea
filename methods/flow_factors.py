"""What both forms of FFRL share: potentials, one per transformation, that latents follow, and what they must obey."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from bench.api import Batch, DataSpec
from methods.flow_method import OUT_OF_SEQUENCE, FlowConfig, FlowMethod, times
from methods.flow_networks import stack_network
from methods.flow_objectives import (
    CleanDensities,
    DiffusedPrior,
    Prior,
    ReleasedDensities,
    member_mean,
    released_residual,
    released_wave,
    squared_residual,
)
from methods.flow_potentials import PotentialFlow, Potentials
from methods.objectives import gaussian_kl, sample_gaussian
from methods.parameters import check_at_least, check_one_of

PDE = Literal["hj", "wave", "none"]

BUDGETS = {
    "smoke": {"n_steps": 20, "batch_size": 8, "learning_rate": 1e-3, "width": 16},
    "quick": {"n_steps": 3_500, "batch_size": 16, "learning_rate": 1e-3, "width": 64, "n_decoded": 3},
    "standard": {"n_steps": 30_000, "batch_size": 64, "learning_rate": 2e-4, "width": 128},
    "paper": {},
}
NOTES = (
    "objective=released keeps the authors' arithmetic: row sums of the Hessian where a Laplacian belongs, ∂u/∂t summed "
    "over the batch (one time is shared), the kinetic term ½ mean(g²) instead of ½‖g‖², and a KL of softmaxes over "
    "latents in the direction prior to posterior; one learned σ per flow and move in the prior's Laplacian. A batch of "
    "theirs holds one transformation; where ours holds several, each counts over its own rows. objective=clean has "
    "∂u/∂t per row, ½‖∇u‖², the exact Laplacian (n_probes > 0: Hutchinson's) and log q(z_t) - log p(z_t) with scalar "
    "densities, where p(z_t) is N(0, I) after diffusing for the time that flows acted, N(0, (1 + 2 time) I): the "
    "paper's own form could not be "
    "read, so this is our choice. Its sum counts the posterior's divergence once more at each frame, so it presses "
    "latents about as β = T + 1 would. Few probes bias log|1 + Δu| and squares of Δu; the exact one costs width³ "
    "products a row. At budget quick a step decodes three frames of a sequence (n_decoded). The clean density change "
    "-log|1 + Δu| is of first order in ∇²u, as theirs. "
    f"{OUT_OF_SEQUENCE} transform starts from the posterior mean, where the authors sample. Several transformations "
    "at once add their velocities. On Shapes3D: width=226. Images of 128 × 128 (Falcor3D, Isaac3D) have the deeper "
    "network that the authors give them, ConvVAE2; networks that infer what acts are released for smaller images alone "
    "and follow its encoder there. The paper's text, tables and equation numbers were not at hand."
)


@dataclass(frozen=True)
class FlowFactorsConfig(FlowConfig):
    """Parameters of both forms.

    Attributes:
        pde: the equation that potentials shall obey: "hj" (Hamilton-Jacobi, of optimal transport), "wave" or "none".
        force: whether the Hamilton-Jacobi equation has the external force -f², f an MLP like the potential.
        prior: "diffused" (its density evolves by the diffusion equation) or "fixed".
        n_decoded: frames of each sequence that a step decodes, drawn anew at each; 0 is all. The likelihood of so many
            stands for that of all, with the same mean and less work.
    """

    pde: PDE = "hj"
    force: bool = True
    prior: Prior = "diffused"
    n_decoded: int = 0

    def check(self, method: str) -> None:
        super().check(method)
        check_at_least(method, self, 0, "n_decoded")
        check_one_of(method, self, "pde", get_args(PDE))
        check_one_of(method, self, "prior", get_args(Prior))


class FlowFactors(FlowMethod):
    """Flows along gradients of potentials; a subclass says how much each acts (``mixture``)."""

    def __init__(
        self, name: str, config: FlowFactorsConfig, data: DataSpec, n_flows: int = 0, infers: bool = False
    ) -> None:
        super().__init__(name, config, data, n_flows)
        self.config, n_flows = config, self.n_flows
        has_force = config.force and config.pde == "hj"
        self.forces = Potentials(n_flows, config.width) if has_force else None
        learns_prior = config.objective == "released" and config.prior == "diffused"
        self.diffused = DiffusedPrior(n_flows, self.n_moves) if learns_prior else None
        self.wave_speed = nn.Parameter(torch.ones(n_flows, 1)) if config.pde == "wave" else None
        self.index_network: nn.Module | None = None
        if infers:
            self.index_network = stack_network(data.observation_shape, self.n_moves + 1, config.width, n_flows)

    def mixture(self, batch: Batch, x: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """How much each flow acts, (n_moves, n_flows, batch), and the terms of its inference."""
        raise NotImplementedError

    def losses(self, batch: Batch, generator: torch.Generator, player: str = "model") -> dict[str, Tensor]:
        """``nll``, ``kl`` and ``continuity`` are sums over time in nats, means over sequences.

        ``continuity`` is what the densities carried along add, ``hamilton_jacobi`` (or ``wave``) the squared residual
        summed over time, ``initial`` the initial condition; ``index_kl`` (and ``label_nll``) where flows are inferred.
        """
        x = batch.x[:, : self.n_moves + 1]
        weights, index_terms = self.mixture(batch, x, generator)
        mean, log_var = self.model.posterior(x[:, 0])
        z = sample_gaussian(mean, log_var, generator)
        with torch.autocast(x.device.type, enabled=False):
            path, flow_terms = self.follow(z, mean, log_var, weights, generator)
        nll = self.path_nll(path, x, self.config.n_decoded, generator)
        terms = {"nll": nll, "kl": gaussian_kl(mean, log_var).mean(), **flow_terms, **index_terms}
        return {"loss": torch.stack(list(terms.values())).sum(), **terms}

    def index_logits(self, x: Tensor) -> Tensor:
        """Logits (batch, n_flows) of q(k | x_0, …, x_T), float32."""
        assert self.index_network is not None
        if x.shape[1] != self.n_moves + 1:
            raise ValueError(f"{self.name}: sequences of {self.n_moves + 1} frames expected, got {x.shape[1]}")
        return self.index_network(x.flatten(1, 2)).float()  # type: ignore[no-any-return]

    def follow(
        self, z: Tensor, mean: Tensor, log_var: Tensor, weights: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Latents of all frames, (batch, n_moves + 1, n_latents), and the terms that the flows add to the loss."""
        config = self.config
        path = self.path(z, weights)
        flow = self.flows(path[:-1])
        if config.objective == "clean":
            curvature = self.every_move(flow.laplacian(config.n_probes, generator))
            clean = CleanDensities(config.prior, z, mean, log_var)
            continuity = clean.kl(path[1:], (weights * curvature).sum(1), weights.sum(1))
        else:
            curvature = self.every_move(flow.row_sums())
            prior = None if self.diffused is None else self.diffused(weights)
            released = ReleasedDensities(z, mean, log_var)
            continuity = released.kl((weights[..., None] * curvature).sum(1), prior)
        terms = {"continuity": continuity}
        if config.pde == "wave":
            terms["wave"] = self._wave(flow, curvature, weights)
        elif config.pde == "hj":
            terms["hamilton_jacobi"] = self._hamilton_jacobi(flow, weights)
        if config.pde != "none":
            terms["initial"] = self.initial_condition(z, weights[0])
        return path.transpose(0, 1), terms

    def _hamilton_jacobi(self, flow: PotentialFlow, weights: Tensor) -> Tensor:
        """Squared residual of the Hamilton-Jacobi equation, summed over moves, shape ()."""
        force = 0.0 if self.forces is None else self.every_move(self.forces(flow.z, flow.t))
        u_t, field = self.every_move(flow.u_t), self.every_move(flow.field)
        if self.config.objective == "clean":
            return squared_residual(u_t, field, force, weights)
        return (self.shares(weights) * released_residual(u_t, field, force, self.members(weights))).sum()

    def _wave(self, flow: PotentialFlow, curvature: Tensor, weights: Tensor) -> Tensor:
        assert self.wave_speed is not None
        u_tt = self.every_move(flow.u_tt)
        if self.config.objective == "clean":
            return (weights * (u_tt - self.wave_speed**2 * curvature) ** 2).sum(1).mean(1).sum()
        squares = released_wave(u_tt, curvature, self.wave_speed, self.members(weights))
        return (self.shares(weights) * squares).sum()

    def initial_condition(self, z: Tensor, weight: Tensor) -> Tensor:
        """No velocity and no force at time 0, shape (): ‖∇u‖² + f² of the flows that act."""
        at = self.beside(z)
        flow = self.potentials.flow(at, times(at, 0))
        force = 0.0 if self.forces is None else self.forces(flow.z, flow.t)
        if self.config.objective == "clean":
            return (weight * ((flow.field**2).sum(-1) + force**2)).sum(0).mean()
        squares = member_mean((flow.field**2).mean(-1) + force**2, self.members(weight))
        return self.released_initial(squares, self.shares(weight))

    def released_initial(self, squares: Tensor, shares: Tensor) -> Tensor:
        """The released initial condition, shape (), of mean squares and shares of each flow, (n_flows,)."""
        return (shares * squares).sum()

    def members(self, weight: Tensor) -> Tensor:
        """Rows that count for each flow in the released arithmetic: those it acts on, all where it is inferred."""
        return torch.ones_like(weight) if self.index_network is not None else (weight > 0).to(weight.dtype)

    def shares(self, weight: Tensor) -> Tensor:
        """How much of the batch each flow acts on, (…, n_flows), of weights (…, n_flows, batch)."""
        return weight.mean(-1)


def uniform_kl(logits: Tensor) -> Tensor:
    """KL(softmax(logits) ‖ uniform) in nats, (batch,)."""
    log_q = logits.log_softmax(-1)
    return (log_q.exp() * log_q).sum(-1) + torch.log(torch.tensor(float(logits.shape[-1]), device=logits.device))
