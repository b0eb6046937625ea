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
class InferredFlowConfig(FlowFactorsConfig):
    """Defaults are the released weak trainer's.

    Attributes:
        cooling: the Gumbel temperature falls as exp(-cooling · share of training), 3e-5 · 100,000 as released.
        least_temperature: where it stays.
    """

    n_steps: int = 100_000
    cooling: float = 3.0
    least_temperature: float = 0.05

    def check(self, method: str) -> None:
        super().check(method)
        check_at_least(method, self, 0, "cooling")
        check_positive(method, self, "least_temperature")


@dataclass(frozen=True)
class FFRLWeakConfig(InferredFlowConfig):
    """Further parameters.

    Attributes:
        n_flows: K; 0 is one per transformation of the data.
    """

    n_flows: int = 0

    def __post_init__(self) -> None:
        self.check("ffrl_weak")
        check_at_least("ffrl_weak", self, 0, "n_flows")


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
    "initial condition is that of the last flow alone (overwritten, not summed). q(k|x) tends to name one flow for "
    "everything within a few dozen steps, and the others are then never used (docs/findings.md). Until March 2024 the "
    "authors' term compared with the true label, which is ffrl_taught here. "
    "Which flow came to stand for which transformation is not decided in training: match flows "
    "to names before transform with named amounts; infer_amounts gives q(k|x) at every step.",
    grids={"shapes3d": ({"width": 226},), "ablation": FFRL_CARD.grids["ablation"]},
)


class InferredFlow(FlowFactors):
    """FFRL with a network that infers the flow; a subclass says what teaches it (``index_terms``)."""

    config: InferredFlowConfig

    def __init__(self, name: str, config: InferredFlowConfig, data: DataSpec, n_flows: int = 0) -> None:
        super().__init__(name, config, data, n_flows, infers=True)

    def index_terms(self, logits: Tensor, drawn: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Terms of the loss that shape q(k|x), in nats, of its logits and one-hot draws (batch, n_flows)."""
        raise NotImplementedError

    def mixture(self, batch: Batch, x: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """One drawn flow per sequence, (n_moves, n_flows, batch), and the index's term."""
        logits = self.index_logits(x)
        temperature = annealed(batch.step, batch.n_steps, self.config.cooling, self.config.least_temperature)
        drawn = gumbel_softmax(logits, temperature, generator)
        return drawn.T.expand(self.n_moves, *drawn.T.shape), self.index_terms(logits, drawn, batch)

    def infer_amounts(self, x: Tensor) -> Tensor:
        """q(k|x) at each step, (batch, time - 1, n_flows), of x (batch, time, *observation).

        It is read off the first ``n_moves`` moves, as in training.
        """
        probability = self.index_logits(x[:, : self.n_moves + 1]).softmax(-1)
        return probability[:, None].expand(-1, x.shape[1] - 1, -1)

    def released_initial(self, squares: Tensor, shares: Tensor) -> Tensor:
        """That of the last flow alone: the authors overwrite where they mean to add."""
        return shares[-1] * squares[-1]


@register_method("ffrl_weak", config=FFRLWeakConfig, card=CARD)
class FFRLWeak(InferredFlow):
    """FFRL whose flows stand for whatever helps the likelihood."""

    config: FFRLWeakConfig

    def __init__(self, config: FFRLWeakConfig, data: DataSpec) -> None:
        super().__init__("ffrl_weak", config, data, config.n_flows)

    def index_terms(self, logits: Tensor, drawn: Tensor, batch: Batch) -> dict[str, Tensor]:
        """KL to the uniform distribution, or as released -log of the commonest flow's share of the batch."""
        is_clean = self.config.objective == "clean"
        return {"index_kl": uniform_kl(logits).mean() if is_clean else -drawn.mean(0).max().log()}
