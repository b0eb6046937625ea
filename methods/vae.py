"""VAE (Kingma & Welling, ICLR 2014) on single images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.api import Batch, MethodCard
from bench.registry import register_method
from methods.image_vae import STUDY_NOTE, ImageVAE, ImageVAEConfig
from methods.objectives import bernoulli_nll, gaussian_kl, sample_gaussian

BUDGETS = {
    "smoke": {"n_steps": 20, "batch_size": 16, "learning_rate": 1e-3},
    "quick": {"n_steps": 900, "learning_rate": 1e-3},
    "standard": {"n_steps": 30_000, "learning_rate": 5e-4},
    "paper": {},
}


@dataclass(frozen=True)
class VAEConfig(ImageVAEConfig):
    """Steps, batch and learning rate are those of the SlowVAE paper's β-VAE: 64 frames, 300,000 steps, Adam at 1e-4."""

    def __post_init__(self) -> None:
        self.check("vae")


CARD = MethodCard(
    title="VAE",
    paper="Kingma & Welling, Auto-Encoding Variational Bayes, ICLR 2014",
    summary="Maximises the evidence lower bound of single images; the floor that disentangling terms must beat.",
    family="static",
    view="images",
    budgets=BUDGETS,
    verified="ELBO terms against closed forms, torch.distributions and finite differences; parameter counts of the "
    "network. Published scores are not reproduced yet.",
    source="Eq. 10 of the paper with a Bernoulli decoder; network, batch and optimiser of bethgelab/"
    "slow_disentanglement, scripts/model.py and main.py, so that it differs from slowvae by the objective alone.",
    notes="The same as betavae[beta=1]. Codes are posterior means. Grey and colour values count as Bernoulli "
    f"probabilities. Other image sides than 64 change the innermost kernels (methods/networks.py). {STUDY_NOTE}",
)


@register_method("vae", config=VAEConfig, card=CARD)
class VAE(ImageVAE):
    """VAE with a Bernoulli decoder, -log p(x|z) + β · KL(q(z|x) ‖ N(0, I)) per image with β = 1."""

    beta = 1.0

    def losses(self, batch: Batch, generator: torch.Generator, player: str = "model") -> dict[str, Tensor]:
        """``nll`` and ``kl`` are means over frames, in nats; ``loss`` is nll + β kl."""
        frames = batch.x.flatten(0, 1)
        mean, log_var = self.model.posterior(frames)
        nll = bernoulli_nll(self.model.logits(sample_gaussian(mean, log_var, generator)), frames)
        kl = gaussian_kl(mean, log_var).mean()
        return {"loss": nll + self.beta * kl, "nll": nll, "kl": kl}
