"""PoFlow (Song, Keller, Sebe & Welling, ICML 2023): latents that travel along potentials which obey a wave equation.

The form that trains a VAE, told which transformation acts. After KingJamesSong/PDETraversal, lib/WavePDE.py and
lib/trainer_vae_scratch.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from bench.api import Batch, DataSpec, MethodCard
from bench.registry import register_method
from methods.flow_method import FlowConfig, FlowMethod
from methods.flow_objectives import member_mean, released_wave
from methods.flow_potentials import PotentialFlow
from methods.objectives import bernoulli_nll, gaussian_kl, sample_gaussian
from methods.parameters import check_at_least


@dataclass(frozen=True)
class PoFlowConfig(FlowConfig):
    """Defaults are the released MNIST script's, but for its moves (5 of its own sequences; all of the data's here).

    Attributes:
        pde_weight: of the wave equation, its initial condition and the Jacobian term.
    """

    n_steps: int = 100_000
    batch_size: int = 256
    pde_weight: float = 1.0

    def __post_init__(self) -> None:
        self.check("poflow")
        check_at_least("poflow", self, 0, "pde_weight")


CARD = MethodCard(
    title="PoFlow",
    paper="Song, Keller, Sebe & Welling, Latent Traversals in Generative Models as Potential Flows, ICML 2023",
    summary="A VAE whose latents follow the gradients of potentials that obey wave equations, told which one acts.",
    family="transformation",
    view="transformations",
    supervised=True,
    budgets={
        "smoke": {"n_steps": 20, "batch_size": 8, "learning_rate": 1e-3, "width": 16},
        "quick": {"n_steps": 1_500, "batch_size": 16, "learning_rate": 1e-3, "width": 64},
        "standard": {"n_steps": 30_000, "batch_size": 64, "learning_rate": 2e-4, "width": 128},
        "paper": {},
    },
    verified="Residual of the wave equation on a plane wave; the Jacobian term against finite differences of the "
    "decoder; parameter counts. Published scores are not reproduced.",
    source="KingJamesSong/PDETraversal: lib/WavePDE.py, lib/trainer_vae_scratch.py, scripts/mnist_scratch.sh.",
    notes="As the baseline of FFRL: one flow per transformation (the script has 16 for 3, which its own transformer "
    "does not define). A step draws one time s of each sequence (the authors: one of each batch) and compares frames "
    "0, s and s + 1, s at most T - 2 as there: the last frame and the move at time T, which the scores count and the "
    "authors' evaluation leaves out, are never trained (compare equivariance_error/without_last). Times of the moves "
    "are 0, 1, …; the initial condition keeps the move at time 0 small, and "
    "transform leaves it out: z_t = z_(t-1) + ∇u(z_(t-1), t). objective=released keeps row sums of the Hessian for "
    "the Laplacian, derivatives in time summed over the batch and means over latents; objective=clean has the "
    "exact Laplacian (n_probes > 0: Hutchinson's), derivatives per row and ‖∇u‖² at time 0. The Jacobian term rewards "
    "change of the image, "
    "mean over pixels, without a bound, in both. The decoder runs in float32 there. The classifier of the frozen "
    "generators plays no part in this form. How many moves FFRL's baseline had is not known.",
    grids={"shapes3d": ({"width": 226},), "published": ({"n_moves": 5},)},
)


@register_method("poflow", config=PoFlowConfig, card=CARD)
class PoFlow(FlowMethod):
    """A VAE with potentials that obey u_tt = c² Δu, a speed c for each."""

    def __init__(self, config: PoFlowConfig, data: DataSpec) -> None:
        super().__init__("poflow", config, data, twice_differentiable=True)
        self.config = config
        if self.n_moves < 2:
            raise ValueError(f"poflow: needs sequences of at least 3 frames, got {self.n_moves + 1}")
        self.wave_speed = nn.Parameter(torch.ones(self.n_flows, 1))

    def losses(self, batch: Batch, generator: torch.Generator, player: str = "model") -> dict[str, Tensor]:
        """``nll`` and ``kl`` sum those of the first and the moved frame; ``latent`` matches moved and encoded codes.

        ``wave`` is the squared residual, mean over times; ``initial`` its condition at time 0; ``jacobian`` the mean
        square of the decoder's change along the next move, which is maximised.
        """
        if batch.transformation is None:
            raise ValueError("poflow: batches bring no transformation")
        x, rows = batch.x, torch.arange(len(batch.x), device=batch.x.device)
        step = torch.randint(self.n_moves - 1, (len(x),), generator=generator, device=x.device)
        frames = torch.stack([x[:, 0], x[rows, step], x[rows, step + 1]], dim=1)
        mean, log_var = (part.unflatten(0, (-1, 3)) for part in self.model.posterior(frames.flatten(0, 1)))
        z, z_s, z_next = sample_gaussian(mean, log_var, generator).unbind(1)
        weights = batch.transformation[:, : self.n_moves].permute(1, 2, 0)
        with torch.autocast(x.device.type, enabled=False):
            at_s, moved, flow_terms = self.travel(z, weights, step, generator)
        logits = self.model.logits(torch.stack([z, moved], dim=1).flatten(0, 1))
        nll = 2 * bernoulli_nll(logits, frames[:, [0, 2]].flatten(0, 1))
        kl = 2 * gaussian_kl(mean[:, [0, 2]], log_var[:, [0, 2]]).mean()
        latent = ((z_next - z_s + at_s - moved) ** 2).mean() + ((z_s - at_s) ** 2).mean()
        wave = flow_terms["wave"] + flow_terms["initial"] - flow_terms["jacobian"]
        loss = nll + kl + latent + self.config.pde_weight * wave
        return {"loss": loss, "nll": nll, "kl": kl, "latent": latent, **flow_terms}

    def travel(
        self, z: Tensor, weights: Tensor, step: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Latents after the move at time ``step`` and after the next, each (batch, n_latents), and the flows' terms.

        Args:
            weights: how much each flow acts, (n_moves, n_flows, batch).
            step: time of each row, (batch,).
        """
        rows = torch.arange(len(z), device=z.device)
        # the move at time 0 stands before the first frame's; it belongs to the transformation that acts there
        weights = torch.cat([weights[:1], weights[:-1]])
        path = self.path(z, weights, first=0)
        flow = self.flows(path[:-1], first=0)
        at_s, moved = (path[step + ahead, rows] for ahead in (1, 2))
        terms = {
            "wave": self.wave(flow, weights, generator),
            "initial": self.initial_condition(self.every_move(flow.field)[0], weights[0]),
            "jacobian": image_change(self.model.decode, at_s, moved - at_s),
        }
        return at_s, moved, terms

    def wave(self, flow: PotentialFlow, weights: Tensor, generator: torch.Generator) -> Tensor:
        """Squared residual of u_tt = c² Δu, mean over moves, shape (); ``weights`` (n_moves, n_flows, batch)."""
        u_tt = self.every_move(flow.u_tt)
        if self.config.objective == "released":
            members = (weights > 0).to(weights.dtype)
            squares = released_wave(u_tt, self.every_move(flow.row_sums()), self.wave_speed, members)
            return (weights.mean(-1) * squares).sum(1).mean()
        laplacians = self.every_move(flow.laplacian(self.config.n_probes, generator))
        return (weights * (u_tt - self.wave_speed**2 * laplacians) ** 2).sum(1).mean()

    def initial_condition(self, field: Tensor, weight: Tensor) -> Tensor:
        """‖∇u‖² at time 0, shape (); a mean over latents as released."""
        if self.config.objective == "clean":
            return (weight * (field**2).sum(-1)).sum(0).mean()
        members = (weight > 0).to(weight.dtype)
        return (weight.mean(-1) * member_mean((field**2).mean(-1), members)).sum()


def image_change(decode: Callable[[Tensor], Tensor], z: Tensor, direction: Tensor) -> Tensor:
    """Mean square of the Jacobian-vector product of ``decode`` at z along ``direction``, shape ()."""
    with forward_ad.dual_level():
        image = decode(forward_ad.make_dual(z, direction))
        change = forward_ad.unpack_dual(image).tangent
    return (change**2).mean()
