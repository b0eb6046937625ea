"""STA (Song, Keller, Yue, Perona & Welling, T-PAMI 2025): sparse transformation analysis.

Latents move along potential and rotational fields at speeds inferred from each pair of frames; speeds are spike and
slab, so that few fields act at once. Unsupervised. After KingJamesSong/latent-flow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple, get_args

import torch
from torch import Tensor

from bench.api import Batch, DataSpec, MethodCard
from bench.registry import register_method
from methods.flow_method import OUT_OF_SEQUENCE, FlowConfig, FlowMethod, times
from methods.flow_networks import RotationalFields, stack_network
from methods.flow_objectives import (
    CleanDensities,
    DiffusedPrior,
    Prior,
    ReleasedDensities,
    annealed,
    released_residual,
    squared_residual,
)
from methods.objectives import gaussian_kl, sample_gaussian
from methods.parameters import check_at_least, check_one_of, check_positive
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

Control = Literal["double", "single"]
PDE = Literal["hj", "none"]


@dataclass(frozen=True)
class STAConfig(FlowConfig):
    """Defaults are the released MNIST script.

    Attributes:
        control: "double" (potential and rotational field of a flow have spikes of their own) or "single".
        n_flows: K; 0 is one per transformation of the data.
        spike, slab: leave out either: speeds are then slabs, or spikes, alone.
        slab_after: share of training after which slabs count (75,000 of 90,000 as released).
        rate: λ, chance of a spike at first and of a switch later.
        slab_scale: of the slabs' Laplace prior around 1.
        pair_width: channels of the networks that infer speeds.
        cooling, least_temperature: of the relaxed spikes, exp(-cooling · share of training).
        prior: "diffused" or "fixed".
        pde: "hj": potentials shall obey the Hamilton-Jacobi equation and its initial condition, or "none".
        n_decoded: frames of each sequence that a step decodes, drawn anew at each; 0 is all. The likelihood of so many
            stands for that of all, with the same mean and less work.
    """

    n_steps: int = 90_000
    control: Control = "double"
    n_flows: int = 0
    spike: bool = True
    slab: bool = True
    slab_after: float = 5 / 6
    rate: float = 0.1
    slab_scale: float = 0.1
    pair_width: int = 100
    cooling: float = 2.7
    least_temperature: float = 0.05
    prior: Prior = "diffused"
    pde: PDE = "hj"
    n_decoded: int = 0

    def __post_init__(self) -> None:
        self.check("sta")
        check_one_of("sta", self, "control", get_args(Control))
        check_one_of("sta", self, "pde", get_args(PDE))
        check_one_of("sta", self, "prior", get_args(Prior))
        check_at_least("sta", self, 0, "n_flows", "n_decoded", "slab_after", "cooling")
        check_at_least("sta", self, 1, "pair_width")
        check_positive("sta", self, "rate", "slab_scale", "least_temperature")
        if self.rate >= 1:
            raise ValueError(f"sta: parameter 'rate' must be < 1, got {self.rate!r}")
        if not (self.spike or self.slab):
            raise ValueError("sta: with spike=false and slab=false no speed is left to infer; leave out one of them")


CARD = MethodCard(
    title="STA",
    paper="Song, Keller, Yue, Perona & Welling, Unsupervised Representation Learning from Sparse Transformation "
    "Analysis, T-PAMI 2025 (arXiv 2410.05564)",
    summary="A VAE whose latents move along potential and rotational fields, at sparse speeds inferred frame by frame.",
    family="transformation",
    view="transformations",
    budgets={
        "smoke": {
            "n_steps": 20,
            "batch_size": 8,
            "learning_rate": 1e-3,
            "width": 16,
            "pair_width": 8,
            "slab_after": 0.0,
        },
        "quick": {
            "n_steps": 2_500,
            "batch_size": 16,
            "learning_rate": 1e-3,
            "width": 64,
            "pair_width": 32,
            "n_decoded": 3,
        },
        "standard": {"n_steps": 30_000, "batch_size": 64, "learning_rate": 2e-4, "width": 128},
        "paper": {},
    },
    verified="KL terms of spikes and slabs against Monte Carlo; the released target of on-rates and the exact chain; "
    "divergences against automatic differentiation; the rest as ffrl. Published scores are not reproduced.",
    source="KingJamesSong/latent-flow: trainers/trainer_ot_scratch_unsuper.py (objective), models/HJPDE2.py and "
    "vae.py (ConvEncoder3_Unsuper2), scripts/mnist_unsuper_*_control.sh (parameters).",
    notes="objective=released keeps the authors' arithmetic (see ffrl for densities and equations) and its traps: the "
    "spikes' noise is one Gumbel draw, not logistic; the on-rate is an L0 norm of soft spikes, 1 until some "
    "underflow, without a gradient, so nothing presses spikes to be sparse, and in the second set all but the first "
    "step repeat the first set's spikes; the target on-rate is above the chain's; the slab's KL is of one Laplace "
    "fitted to the batch; the initial condition is that of the last flow alone. objective=clean has binary-concrete "
    "spikes with their analytic KL to the Markov prior, a Laplace slab per pair of frames with a learned scale and "
    "its KL, and equations that hold for every flow whether it acts or not. How the ELBO looks in the paper could not "
    "be read; the clean one is assembled from the graphical model. Rotational fields are free of divergence by a "
    "penalty, as released; the construction that is so exactly is not used there either. Their divergence is computed "
    "in closed form, so no Jacobian is built. The density's change leaves rotations out. Speeds are on-probability "
    "times slab; with double control infer_amounts and speeds have 2 K columns, potential fields first, and transform "
    "takes K (for both parts of a flow) or 2 K. Which flow came to stand for which transformation is not decided in "
    "training: transform with named amounts follows the flow, or the combination of flows, that is matched to each. As "
    "released one transformation is spread over several flows, at speeds that are about 0 or 1 together. The authors' "
    "own data change with the slab: transforming_mnist[script=sta] with speeds=unit is what "
    "stands before it. "
    f"{OUT_OF_SEQUENCE}",
    grids={
        "control": ({"control": "double"}, {"control": "single"}),
        "ablation": ({"spike": False}, {"slab": False}, {"pde": "none"}, {"prior": "fixed"}, {"control": "single"}, {}),
    },
)


class Speeds(NamedTuple):
    """Inferred speeds of a batch; n_controls is 2 where potential and rotational fields have their own spikes.

    Attributes:
        logits: of the spikes, (batch, time, n_controls, n_flows); None without spikes.
        location, scale: of the slabs, (batch, time, n_flows); None without slabs.
    """

    logits: Tensor | None
    location: Tensor | None
    scale: Tensor | None


@register_method("sta", config=STAConfig, card=CARD)
class STA(FlowMethod):
    """Flows along ∇u_k + r_k at speeds inferred from pairs of frames."""

    part_names: ClassVar[tuple[str, ...]] = ("speeds",)

    def __init__(self, config: STAConfig, data: DataSpec) -> None:
        super().__init__("sta", config, data, config.n_flows)
        self.config, n_flows = config, self.n_flows
        self.n_controls = 2 if config.control == "double" and config.spike else 1
        self.n_fields = self.n_controls * n_flows
        self.rotations = RotationalFields(n_flows, config.width)
        is_released = config.objective == "released"
        learns_prior = is_released and config.prior == "diffused"
        self.diffused = DiffusedPrior(n_flows, self.n_moves) if learns_prior else None
        shape, width = data.observation_shape, config.pair_width
        self.spike_network = stack_network(shape, 2, width, self.n_fields) if config.spike else None
        n_slab = n_flows if is_released else 2 * n_flows
        self.slab_network = stack_network(shape, 2, width, n_slab) if config.slab else None

    def speeds(self, x: Tensor) -> Speeds:
        """Posteriors of the speeds between the frames of x (batch, time, *observation), float32."""
        pairs = torch.cat([x[:, :-1], x[:, 1:]], dim=2).flatten(0, 1)
        lead = (len(x), x.shape[1] - 1)
        logits = location = scale = None
        if self.spike_network is not None:
            logits = self.spike_network(pairs).float().view(*lead, self.n_controls, self.n_flows)
        if self.slab_network is not None:
            found = self.slab_network(pairs).float().view(*lead, -1)
            location = 2 * found[..., : self.n_flows].sigmoid()
            if self.config.objective == "clean":
                # of the prior's own size at first
                scale = self.config.slab_scale * found[..., self.n_flows :].clamp(-8, 4).exp()
        return Speeds(logits, location, scale)

    def infer_amounts(self, x: Tensor) -> Tensor:
        """On-probability times slab, (batch, time - 1, n_fields), of x (batch, time, *observation)."""
        logits, location, _ = self.speeds(x)
        if logits is None:
            assert location is not None
            return location
        on = -torch.expm1(-logits.exp()) if self.config.objective == "released" else logits.sigmoid()
        return (on if location is None else on * location[:, :, None]).flatten(2)

    def parts(self, x: Tensor) -> dict[str, Tensor]:
        """``speeds``: what ``infer_amounts`` gives, (batch, time - 1, n_fields)."""
        return {"speeds": self.infer_amounts(x)}

    def velocities(self, z: Tensor, move: int) -> Tensor:
        """∇u_k + r_k, or with double control all ∇u_k and then all r_k: (n_fields, batch, n_latents)."""
        potential, rotation = super().velocities(z, move), self.rotations(self.beside(z))
        return potential + rotation if self.n_controls == 1 else torch.cat([potential, rotation])

    def transform(self, x0: Tensor, amounts: Tensor) -> Tensor:
        """As every flow's; with double control, ``amounts`` of n_flows columns are those of both fields of a flow."""
        if self.n_controls == 2 and amounts.shape[-1] == self.n_flows:
            amounts = amounts.repeat(1, 1, 2)
        return super().transform(x0, amounts)

    def losses(self, batch: Batch, generator: torch.Generator, player: str = "model") -> dict[str, Tensor]:
        """``nll``, ``kl``, ``continuity`` and, where clean, ``spike_kl`` and ``slab_kl`` in nats per sequence.

        ``hamilton_jacobi`` and ``divergence`` are squared residuals summed over time, ``initial`` the condition at
        time 0 (without the equation, neither it nor its condition); ``on_rate`` is the mean on-probability and is not
        minimised.
        """
        x = batch.x[:, : self.n_moves + 1]
        speeds = self.speeds(x)
        gates, speed_terms, active = self.draw(speeds, batch, generator)
        mean, log_var = self.model.posterior(x[:, 0])
        z = sample_gaussian(mean, log_var, generator)
        with torch.autocast(x.device.type, enabled=False):
            path, flow_terms = self.follow(z, mean, log_var, gates, generator)
        nll = self.path_nll(path, x, self.config.n_decoded, generator)
        terms = {"nll": nll, "kl": gaussian_kl(mean, log_var).mean(), **flow_terms, **speed_terms}
        return {"loss": torch.stack(list(terms.values())).sum(), **terms, "on_rate": active}

    def draw(
        self, speeds: Speeds, batch: Batch, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """Gates (batch, n_moves, n_controls, n_flows), their terms of the loss, and the share of spikes that are on."""
        config, (logits, location, scale) = self.config, speeds
        zero = torch.zeros((), device=batch.x.device)
        has_slab = location is not None and batch.step >= config.slab_after * batch.n_steps
        spike_kl, slab_kl, active, gates = zero, zero, zero + 1, None
        if logits is not None:
            temperature = annealed(batch.step, batch.n_steps, config.cooling, config.least_temperature)
            if config.objective == "clean":
                gates = concrete(logits, temperature, generator)
                spike_kl = markov_kl(logits.sigmoid(), config.rate).sum((1, 2)).mean()
                active = logits.sigmoid().mean()
            else:
                gates = released_concrete(logits, temperature, generator)
                spike_kl = self._released_spikes(gates)
                active = -torch.expm1(-logits.exp()).mean()
        if location is not None and (has_slab or logits is None):
            if scale is None:
                slab, slab_kl = location, released_slab_term(location, config.slab_scale)
            else:
                slab = sample_laplace(location, scale, generator)
                slab_kl = laplace_kl(location, scale, 1.0, config.slab_scale).sum((1, 2)).mean()
            gates = slab[:, :, None] if gates is None else gates * slab[:, :, None]
        assert gates is not None
        return gates, {"spike_kl": spike_kl, "slab_kl": slab_kl}, active.detach()

    def _released_spikes(self, spikes: Tensor) -> Tensor:
        target = released_target(self.config.rate, self.n_moves)
        if self.n_controls == 1:
            return released_spike_term(spikes, target)
        target = target * 2 / 3
        second = torch.cat([spikes[:, :1, 1], spikes[:, 1:, 0]], dim=1)
        return released_spike_term(spikes[:, :, 0], target) + released_spike_term(second, target)

    def follow(
        self, z: Tensor, mean: Tensor, log_var: Tensor, gates: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Latents of all frames, (batch, n_moves + 1, n_latents), and the terms that the flows add to the loss."""
        config = self.config
        gates = gates.permute(1, 2, 3, 0)  # (n_moves, n_controls, n_flows, batch)
        of_potential = gates[:, 0]
        either = of_potential if self.n_controls == 1 else of_potential + gates[:, 1] - of_potential * gates[:, 1]
        path = self.path(z, gates.flatten(1, 2))
        flow = self.flows(path[:-1])
        u_t, field = self.every_move(flow.u_t), self.every_move(flow.field)
        divergence = self.every_move(self.rotations.divergence(flow.z))
        ones = torch.ones_like(of_potential)
        if config.objective == "clean":
            curvature = (of_potential * self.every_move(flow.laplacian(config.n_probes, generator))).sum(1)
            clean = CleanDensities(config.prior, z, mean, log_var)
            continuity = clean.kl(path[1:], curvature, either.sum(1).clamp(min=0))
            equation = squared_residual(u_t, field, 0.0, ones)
            rotation = (divergence**2).sum(1).mean(1).sum()
        else:
            row_sums = (of_potential[..., None] * self.every_move(flow.row_sums())).sum(1)
            prior = None if self.diffused is None else self.diffused(either)
            continuity = ReleasedDensities(z, mean, log_var).kl(row_sums, prior)
            shares = of_potential.mean(-1)
            equation = (shares * released_residual(u_t, field, 0.0, ones)).sum()
            rotation = (shares * (divergence**2).mean(-1)).sum()
        terms = {"continuity": continuity, "divergence": rotation}
        if config.pde == "hj":
            terms |= {"hamilton_jacobi": equation, "initial": self.initial_condition(z, of_potential[0])}
        return path.transpose(0, 1), terms

    def initial_condition(self, z: Tensor, gate: Tensor) -> Tensor:
        """‖∇u‖² at time 0, shape (), of all flows; as released, a mean over latents of the last one, times its gate."""
        at = self.beside(z)
        field = self.potentials.flow(at, times(at, 0)).field
        if self.config.objective == "clean":
            return (field**2).sum(-1).sum(0).mean()
        return gate[-1].mean() * (field[-1] ** 2).mean()
