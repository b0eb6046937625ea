"""FFRL, weakly supervised: which transformation acts is a latent variable, inferred from the whole sequence."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bench.api import Batch, DataSpec
from bench.registry import register_method
from methods.ffrl import CARD as FFRL_CARD
from methods.flow_factors import BUDGETS, NOTES, FlowFactors, FlowFactorsConfig, uniform_kl
from methods.flow_objectives import annealed, gumbel_softmax
from methods.parameters import check_at_least, check_positive


@dataclass(frozen=True)
class FFRLWeakConfig(FlowFactorsConfig):
    """Defaults are the released weak trainer's.

    Attributes:
        n_flows: K; 0 is one per transformation of the data.
        cooling: the Gumbel temperature falls as exp(-cooling · share of training), 3e-5 · 100,000 as released.
        least_temperature: where it stays.
    """

    n_steps: int = 100_000
    n_flows: int = 0
    cooling: float = 3.0
    least_temperature: float = 0.05

    def __post_init__(self) -> None:
        self.check("ffrl_weak")
        check_at_least("ffrl_weak", self, 0, "n_flows", "cooling")
        check_positive("ffrl_weak", self, "least_temperature")


CARD = replace(
    FFRL_CARD,
    title="FFRL (weak)",
    summary="FFRL that infers which transformation acts on a sequence from all its frames, by a Gumbel-softmax.",
    supervised=False,
    budgets={**BUDGETS, "quick": {**BUDGETS["quick"], "n_steps": 2_500}},
    source="KingJamesSong/latent-flow: trainers/trainer_ot_scratch_weakly.py (objective), models/HJPDE.py "
    "(index_forward), models/vae.py (ConvEncoder3).",
    notes=f"{NOTES} Everything that depends on the transformation is mixed by one one-hot draw per sequence (straight "
    "through). objective=clean adds KL(q(k|x) ‖ uniform). objective=released adds -log of the commonest flow's share "
    "of the batch, which pulls a batch that holds one transformation into one flow and nothing apart into others; its "
    "initial condition is that of the last flow alone (overwritten, not summed). Earlier released versions compared "
    "with the true label. Which flow came to stand for which transformation is not decided in training: match flows "
    "to names before transform with named amounts; infer_amounts gives q(k|x) at every step.",
    grids={"shapes3d": ({"width": 226},), "ablation": FFRL_CARD.grids["ablation"]},
)


@register_method("ffrl_weak", config=FFRLWeakConfig, card=CARD)
class FFRLWeak(FlowFactors):
    """FFRL with a network that infers the flow."""

    config: FFRLWeakConfig

    def __init__(self, config: FFRLWeakConfig, data: DataSpec) -> None:
        super().__init__("ffrl_weak", config, data, config.n_flows, infers=True)

    def mixture(self, batch: Batch, x: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """One drawn flow per sequence, (n_moves, n_flows, batch), and the index's term."""
        config = self.config
        logits = self.index_logits(x)
        temperature = annealed(batch.step, batch.n_steps, config.cooling, config.least_temperature)
        drawn = gumbel_softmax(logits, temperature, generator)
        index = uniform_kl(logits).mean() if config.objective == "clean" else -drawn.mean(0).max().log()
        return drawn.T.expand(self.n_moves, *drawn.T.shape), {"index_kl": index}

    def infer_amounts(self, x: Tensor) -> Tensor:
        """q(k|x) at each step, (batch, time - 1, n_flows), of x (batch, time, *observation).

        It is read off the first ``n_moves`` moves, as in training.
        """
        probability = self.index_logits(x[:, : self.n_moves + 1]).softmax(-1)
        return probability[:, None].expand(-1, x.shape[1] - 1, -1)

    def released_initial(self, squares: Tensor, shares: Tensor) -> Tensor:
        """That of the last flow alone: the authors overwrite where they mean to add."""
        return shares[-1] * squares[-1]
