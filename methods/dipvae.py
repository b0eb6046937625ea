"""DIP-VAE I and II (Kumar et al., ICLR 2018): the covariance of the codes is pressed to the identity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bench.api import Batch, DataSpec, MethodCard
from bench.registry import register_method
from methods.image_vae import STUDY_NOTE, ImageVAE, ImageVAEConfig
from methods.objectives import bernoulli_nll, gaussian_kl, sample_gaussian
from methods.parameters import check_at_least
from methods.vae import BUDGETS

STRENGTHS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0)


@dataclass(frozen=True)
class DIPVAE1Config(ImageVAEConfig):
    """λ_od = 10 and λ_d = 10 λ_od, within the study's sweep.

    Attributes:
        lambda_od: weight of the squared covariances.
        lambda_d: weight of the squared distances of the variances from 1.
    """

    lambda_od: float = 10.0
    lambda_d: float = 100.0

    def __post_init__(self) -> None:
        self.check("dipvae1")
        check_at_least("dipvae1", self, 0, "lambda_od", "lambda_d")
        check_at_least("dipvae1", self, 2, "batch_size")


@dataclass(frozen=True)
class DIPVAE2Config(DIPVAE1Config):
    """λ_od = λ_d = 10, within the study's sweep."""

    lambda_d: float = 10.0

    def __post_init__(self) -> None:
        self.check("dipvae2")
        check_at_least("dipvae2", self, 0, "lambda_od", "lambda_d")
        check_at_least("dipvae2", self, 2, "batch_size")


def card(version: str, covariance: str, ratio: float) -> MethodCard:
    """The card of one of the two, which differ in the covariance and in the sweep's λ_d / λ_od."""
    points: tuple[Mapping[str, Any], ...] = tuple(
        {"lambda_od": strength, "lambda_d": ratio * strength, "network": "study"} for strength in STRENGTHS
    )
    return MethodCard(
        title=f"DIP-VAE-{version}",
        paper="Kumar, Sattigeri & Balakrishnan, Variational Inference of Disentangled Latent Concepts from Unlabeled "
        "Observations, ICLR 2018",
        summary=f"A VAE that presses {covariance} to the identity.",
        family="static",
        view="images",
        budgets=BUDGETS,
        verified="Covariance and penalty in closed form; gradients against finite differences. Published scores are "
        "not reproduced yet.",
        source="Eq. 5 to 7 of the paper, as in google-research/disentanglement_lib, methods/unsupervised/vae.py "
        "(DIPVAE), with the biased covariance of the batch.",
        notes=f"Codes are posterior means. {STUDY_NOTE}",
        grids={"study": points},
    )


class DIPVAE(ImageVAE):
    """VAE with nll + KL + λ_od Σ_{i≠j} C_ij² + λ_d Σ_i (C_ii - 1)². Sees single frames."""

    def __init__(self, config: DIPVAE1Config, data: DataSpec) -> None:
        super().__init__(config, data)
        self.config = config

    def covariance(self, mean: Tensor, log_var: Tensor) -> Tensor:
        """C (n_latents, n_latents) of a batch of posteriors, each (batch, n_latents)."""
        raise NotImplementedError

    def losses(self, batch: Batch, generator: torch.Generator, player: str = "model") -> dict[str, Tensor]:
        """``nll`` and ``kl`` are means over frames, in nats; ``off_diagonal``, ``diagonal`` the sums of squares."""
        frames = batch.x.flatten(0, 1)
        mean, log_var = self.model.posterior(frames)
        nll = bernoulli_nll(self.model.logits(sample_gaussian(mean, log_var, generator)), frames)
        kl = gaussian_kl(mean, log_var).mean()
        off_diagonal, diagonal = squares(self.covariance(mean, log_var))
        loss = nll + kl + self.config.lambda_od * off_diagonal + self.config.lambda_d * diagonal
        return {"loss": loss, "nll": nll, "kl": kl, "off_diagonal": off_diagonal, "diagonal": diagonal}


@register_method("dipvae1", config=DIPVAE1Config, card=card("I", "the covariance of the posterior means", 10.0))
class DIPVAE1(DIPVAE):
    """C = Cov[mean]."""

    def covariance(self, mean: Tensor, log_var: Tensor) -> Tensor:
        """Covariance of the posterior means over the batch."""
        return batch_covariance(mean)


@register_method("dipvae2", config=DIPVAE2Config, card=card("II", "the covariance of the sampled codes", 1.0))
class DIPVAE2(DIPVAE):
    """C = Cov[mean] + E[diag(σ²)]: the covariance of z by the law of total covariance."""

    def covariance(self, mean: Tensor, log_var: Tensor) -> Tensor:
        """Covariance of the posterior means over the batch, with the mean variances added to its diagonal."""
        return batch_covariance(mean) + log_var.exp().mean(0).diag()


def batch_covariance(values: Tensor) -> Tensor:
    """Biased covariance (k, k) of rows (n, k)."""
    centred = values - values.mean(0)
    # not a matrix product: autocast would take it in bfloat16
    return (centred[:, :, None] * centred[:, None, :]).mean(0)


def squares(covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Σ_{i≠j} C_ij² and Σ_i (C_ii - 1)²."""
    diagonal = covariance.diagonal()
    return (covariance**2).sum() - (diagonal**2).sum(), ((diagonal - 1) ** 2).sum()
