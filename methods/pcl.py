"""PCL (Hyvärinen & Morioka, AISTATS 2017): tell true neighbours in time from permuted ones, latent by latent.

The form that was trained beside SlowVAE: bethgelab/slow_disentanglement, branch ``baselines``, scripts/solver.py and
model.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from bench.api import Batch, DataSpec, Method, MethodCard
from bench.registry import register_method
from methods.image_vae import STUDY_NOTE, ImageVAEConfig, deterministic_encoder
from methods.parameters import check_at_least
from methods.slowvae import CARD as SLOWVAE_CARD


@dataclass(frozen=True)
class PCLConfig(ImageVAEConfig):
    """32 pairs a step, 300,000 steps, Adam at 1e-4, as SlowVAE.

    Attributes:
        batch_size: pairs.
    """

    batch_size: int = 32

    def __post_init__(self) -> None:
        self.check("pcl")
        check_at_least("pcl", self, 2, "batch_size")


CARD = MethodCard(
    title="PCL",
    paper="Hyvärinen & Morioka, Nonlinear ICA of Temporally Dependent Stationary Sources, AISTATS 2017",
    summary="An encoder trained to tell consecutive frames from permuted ones through a sum of per-latent functions.",
    family="temporal",
    view="pairs",
    budgets=SLOWVAE_CARD.budgets,
    verified="The logit in closed form; recovery of linearly mixed Laplace "
    "autoregressive sources. Published scores are not reproduced yet.",
    source="bethgelab/slow_disentanglement, branch baselines: scripts/solver.py, scripts/model.py (that the published "
    "rows came from this code is an inference).",
    notes="There is no decoder, so no reconstruction and no traversals. The quadratic term has the fixed weight 1 and "
    "reads the second frame alone; the original PCL code trains that weight and has another network, optimiser and "
    f"data. Negatives permute the first frames within the batch, fixed points included. Codes are h(x). {STUDY_NOTE}",
)


@register_method("pcl", config=PCLConfig, card=CARD)
class PCL(Method):
    """An encoder h and the logistic regression r(h1, h0) = -Σ |a h1 + b h0 + c| + Σ h1² + e on it."""

    def __init__(self, config: PCLConfig, data: DataSpec) -> None:
        super().__init__()
        if data.n_frames != 2:
            raise ValueError(f"trains on pairs (2 frames an item), got {data.n_frames} frames an item")
        self.encoder = deterministic_encoder(config.network, data.observation_shape, config.n_latents)
        self.a = nn.Parameter(torch.ones(config.n_latents))
        self.b = nn.Parameter(-torch.ones(config.n_latents))
        self.c = nn.Parameter(torch.zeros(config.n_latents))
        self.e = nn.Parameter(torch.zeros(()))

    def encode(self, x: Tensor) -> Tensor:
        """h(x), (batch, time, n_latents), of x (batch, time, *observation)."""
        return self.encoder(x.flatten(0, 1)).float().unflatten(0, x.shape[:2])  # type: ignore[no-any-return]

    def logit(self, second: Tensor, first: Tensor) -> Tensor:
        """r(h1, h0), shape (n,), of embeddings (n, n_latents) of second and first frames."""
        return -(self.a * second + self.b * first + self.c).abs().sum(-1) + (second**2).sum(-1) + self.e

    def losses(self, batch: Batch, generator: torch.Generator, player: str = "model") -> dict[str, Tensor]:
        """``loss`` is the mean cross-entropy over true and permuted pairs, ``accuracy`` the share told apart."""
        first, second = self.encode(batch.x).unbind(1)
        permutation = torch.randperm(len(first), generator=generator, device=first.device)
        logits = torch.cat([self.logit(second, first), self.logit(second, first[permutation])])
        labels = torch.cat([torch.ones_like(logits[: len(first)]), torch.zeros_like(logits[len(first) :])])
        accuracy = ((logits.detach() > 0) == (labels > 0)).float().mean()
        return {"loss": binary_cross_entropy_with_logits(logits, labels), "accuracy": accuracy}
