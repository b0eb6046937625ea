"""FFRL whose flows are inferred by a network that labels teach: the authors' weak form before March 2024."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from bench.api import Batch, DataSpec
from bench.registry import register_method
from methods.ffrl import CARD as FFRL_CARD
from methods.ffrl_weak import CARD as WEAK_CARD
from methods.ffrl_weak import InferredFlow, InferredFlowConfig
from methods.flow_factors import NOTES


@dataclass(frozen=True)
class FFRLTaughtConfig(InferredFlowConfig):
    """Defaults are the released weak trainer's."""

    def __post_init__(self) -> None:
        self.check("ffrl_taught")


CARD = replace(
    FFRL_CARD,
    title="FFRL (weak, taught)",
    summary="FFRL that infers which transformation acts from all frames, by a network whose target is the true one.",
    budgets=WEAK_CARD.budgets,
    source="KingJamesSong/latent-flow before commit 47c209f (2024-03-21): trainers/trainer_ot_scratch_weakly.py "
    "(objective), models/HJPDE.py (index_forward), models/vae.py (ConvEncoder3).",
    notes=f"{NOTES} The weak form that the repository had when the paper came out, so probably the one of its tables "
    "(an inference: which commit made them is not known). It is told the transformation: the true one is the target of "
    "q(k|x), while flows are mixed by a one-hot draw per sequence (straight through). Theirs is KL(true ‖ draw + "
    "1e-20), without a useful gradient where the draw misses; here it is the cross-entropy of q(k|x) itself, in both "
    "objectives. As there, the released initial condition is that of the last flow alone. transform takes amounts by "
    "name.",
    grids={"shapes3d": ({"width": 226},)},
)


@register_method("ffrl_taught", config=FFRLTaughtConfig, card=CARD)
class FFRLTaught(InferredFlow):
    """FFRL with a network that infers the flow and is told which one was right."""

    config: FFRLTaughtConfig

    def __init__(self, config: FFRLTaughtConfig, data: DataSpec) -> None:
        super().__init__("ffrl_taught", config, data)

    def index_terms(self, logits: Tensor, drawn: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Cross-entropy; where several transformations act, the target is the share of each in all that did."""
        if batch.transformation is None:
            raise ValueError(f"{self.name}: batches bring no transformation")
        acted = batch.transformation[:, : self.n_moves].abs().sum(1)
        share = acted / acted.sum(1, keepdim=True).clamp(min=1e-6)
        return {"label_nll": -(share * logits.log_softmax(-1)).sum(-1).mean()}
