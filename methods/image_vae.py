"""What the VAEs of images and pairs share: a Gaussian encoder, a Bernoulli decoder, posterior means as codes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from bench.api import DataSpec, Method, MethodConfig
from methods.flow_networks import flow_network
from methods.networks import GaussianVAE, kaiming_linear_and_conv, slowvae_network
from methods.objectives import (
    LOG_2_PI,
    bernoulli_nll_per_frame,
    gaussian_kl,
    gaussian_log_density,
    sample_gaussian,
)
from methods.parameters import check_at_least, check_one_of, check_training
from methods.study_networks import study_network, xavier_uniform

Network = Literal["slowvae", "study", "flow"]
NETWORKS: dict[str, Callable[[tuple[int, ...], int], GaussianVAE]] = {
    "slowvae": slowvae_network,
    "study": study_network,
    "flow": flow_network,
}
STUDY_NOTE = (
    "network=slowvae (default) is that of bethgelab/slow_disentanglement, the same for all methods of this suite, so "
    "that a table compares objectives; network=study is that of Locatello et al., ICML 2019; network=flow is that of "
    "FFRL and STA, for images with sides that are multiples of 4."
)


@dataclass(frozen=True)
class ImageVAEConfig(MethodConfig):
    """Parameters of every VAE of images.

    Attributes:
        network: "slowvae", "study" (Locatello et al., ICML 2019) or "flow" (FFRL and STA; n_latents wide, at least 64).
    """

    n_latents: int = 10
    network: Network = "slowvae"

    def check(self, method: str) -> None:
        """Raise ValueError where a shared parameter is out of its range; ``method`` is named in the message."""
        check_training(method, self)
        check_at_least(method, self, 1, "n_latents")
        check_one_of(method, self, "network", get_args(Network))


class BernoulliVAE(Method):
    """One ``GaussianVAE`` (``model``), its posterior means as codes and its decoder; a subclass adds the objective."""

    model: GaussianVAE

    def encode(self, x: Tensor) -> Tensor:
        """Posterior means (batch, time, n_latents) of x (batch, time, *observation)."""
        return self.model.encode(x)

    def decode(self, codes: Tensor) -> Tensor:
        """Pixel means in [0, 1], (n, *observation), of codes (n, n_latents)."""
        return self.model.decode(codes)

    def gaussian_posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z|x), each (n, n_latents), of frames x (n, *observation)."""
        return self.model.posterior(x)

    def log_weights(self, x: Tensor, n_samples: int, generator: torch.Generator) -> Tensor:
        """log p(x, z) - log q(z|x) in nats, (n, n_samples), of frames x (n, *observation) and samples z ~ q(z|x)."""
        mean, log_var = self.model.posterior(x)
        found = []
        for _ in range(n_samples):
            z = sample_gaussian(mean, log_var, generator)
            prior = -0.5 * (z**2 + LOG_2_PI).sum(-1)
            likelihood = -bernoulli_nll_per_frame(self.model.logits(z), x)
            found.append(likelihood + prior - gaussian_log_density(z, mean, log_var))
        return torch.stack(found, dim=1)

    def latent_kl(self, x: Tensor) -> Tensor:
        """KL(q(z_j|x) ‖ N(0, 1)) in nats, (n, n_latents), of frames x (n, *observation)."""
        mean, log_var = self.model.posterior(x)
        return gaussian_kl(mean[..., None], log_var[..., None])


class ImageVAE(BernoulliVAE):
    """A ``BernoulliVAE`` on the network that its config names."""

    def __init__(self, config: ImageVAEConfig, data: DataSpec) -> None:
        super().__init__()
        self.model = NETWORKS[config.network](data.observation_shape, config.n_latents)


def deterministic_encoder(network: Network, observation_shape: tuple[int, ...], n_outputs: int) -> nn.Sequential:
    """The encoder of a network with ``n_outputs`` outputs instead of means and log-variances, freshly drawn."""
    encoder = NETWORKS[network](observation_shape, n_outputs).encoder
    assert isinstance(encoder, nn.Sequential)
    assert isinstance(encoder[-1], nn.Linear)
    encoder[-1] = nn.Linear(encoder[-1].in_features, n_outputs)
    if network != "flow":  # that one is drawn as torch draws layers
        encoder[-1].apply(kaiming_linear_and_conv if network == "slowvae" else xavier_uniform)
    return encoder
