"""AnnealedVAE, CCI-VAE (Burgess et al., 2018): the KL is held at a capacity that grows during training."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.api import Batch, DataSpec, MethodCard
from bench.registry import register_method
from methods.image_vae import STUDY_NOTE, ImageVAE, ImageVAEConfig
from methods.objectives import bernoulli_nll, gaussian_kl, sample_gaussian
from methods.parameters import check_at_least, check_positive
from methods.vae import BUDGETS


@dataclass(frozen=True)
class AnnealedVAEConfig(ImageVAEConfig):
    """γ = 1000 and the third of training that anneals are the study's, C = 25 nats the paper's.

    Attributes:
        gamma: weight of the distance between KL and capacity.
        c_max: the capacity reached, in nats.
        annealed_share: share of training in which the capacity grows from 0, linearly per step; 100,000 of 300,000.
    """

    gamma: float = 1000.0
    c_max: float = 25.0
    annealed_share: float = 1 / 3

    def __post_init__(self) -> None:
        self.check("annealedvae")
        check_at_least("annealedvae", self, 0, "gamma", "c_max")
        check_positive("annealedvae", self, "annealed_share")


CARD = MethodCard(
    title="AnnealedVAE",
    paper="Burgess, Higgins, Pal, Matthey, Watters, Desjardins & Lerchner, Understanding disentangling in β-VAE, 2018 "
    "(arXiv 1804.03599)",
    summary="A VAE whose KL is pressed to a capacity that grows linearly, so that latents open one after another.",
    family="static",
    view="images",
    budgets=BUDGETS,
    verified="The capacity per step and the distance on the batch's mean KL in closed form. Published scores are not "
    "reproduced yet.",
    source="nll + γ |KL - C| of the paper, as in google-research/disentanglement_lib, "
    "methods/unsupervised/vae.py (AnnealedVAE): |·| acts on the batch's mean KL, not on each image's.",
    notes="Other codes take |KL_i - C| per image and let C grow by epoch: another model. "
    f"Codes are posterior means. {STUDY_NOTE}",
    grids={"study": tuple({"c_max": c, "network": "study"} for c in (5.0, 10.0, 25.0, 50.0, 75.0, 100.0))},
)


@register_method("annealedvae", config=AnnealedVAEConfig, card=CARD)
class AnnealedVAE(ImageVAE):
    """VAE with nll + γ |KL - C(step)|. Sees single frames."""

    def __init__(self, config: AnnealedVAEConfig, data: DataSpec) -> None:
        super().__init__(config, data)
        self.config = config

    def capacity(self, step: int, n_steps: int) -> float:
        """C at a step, in nats: 0 at the first, ``c_max`` from ``annealed_share`` of training on."""
        return self.config.c_max * min(1.0, step / (self.config.annealed_share * n_steps))

    def losses(self, batch: Batch, generator: torch.Generator, player: str = "model") -> dict[str, Tensor]:
        """``nll`` and ``kl`` are means over frames, in nats; ``distance`` is |kl - C|."""
        frames = batch.x.flatten(0, 1)
        mean, log_var = self.model.posterior(frames)
        nll = bernoulli_nll(self.model.logits(sample_gaussian(mean, log_var, generator)), frames)
        kl = gaussian_kl(mean, log_var).mean()
        distance = (kl - self.capacity(batch.step, batch.n_steps)).abs()
        return {"loss": nll + self.config.gamma * distance, "nll": nll, "kl": kl, "distance": distance}
