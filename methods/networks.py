"""Encoders and decoders of image VAEs, and the pair of them that methods train.

The networks hold no precision and no memory format of their own: under autocast they run in the loop's precision, and
they keep the format their weights were given. What ``GaussianVAE`` returns is float32 whatever ran inside.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class GaussianVAE(nn.Module):
    """An encoder that gives means and log-variances side by side, and a decoder that gives Bernoulli logits.

    Args:
        encoder: frames (n, *observation) -> (n, 2 * n_latents), means first.
        decoder: z (n, n_latents) -> logits (n, *observation).
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def posterior(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z|x), each (n, n_latents) float32, of frames (n, *observation)."""
        mean, log_var = self.encoder(frames).float().chunk(2, dim=-1)
        return mean, log_var

    def logits(self, z: Tensor) -> Tensor:
        """Logits of the pixels, (n, *observation) float32, of z (n, n_latents)."""
        return self.decoder(z).float()

    def encode(self, x: Tensor) -> Tensor:
        """Posterior means (batch, time, n_latents) of x (batch, time, *observation)."""
        mean, _ = self.posterior(x.flatten(0, 1))
        return mean.unflatten(0, x.shape[:2])

    def decode(self, codes: Tensor) -> Tensor:
        """Pixel means in [0, 1], (n, *observation), of codes (n, n_latents)."""
        return self.logits(codes).sigmoid()


def slowvae_network(observation_shape: tuple[int, ...], n_latents: int) -> GaussianVAE:
    """The network of SlowVAE's released code (bethgelab/slow_disentanglement, scripts/model.py), freshly drawn.

    Published for 64×64 images. Other sides that are multiples of 16 change the kernel of the innermost layers, which
    spans what four halvings leave: 4×4 at 64×64.

    Raises:
        ValueError: the observations are not images of such a size.
    """
    if len(observation_shape) != 3 or any(side < 16 or side % 16 for side in observation_shape[1:]):
        raise ValueError(
            f"the convolutional network needs images (channels, height, width) with sides that are multiples of 16, "
            f"got observations of shape {observation_shape}"
        )
    channels, height, width = observation_shape
    inner = (height // 16, width // 16)
    encoder = nn.Sequential(
        nn.Conv2d(channels, 32, 4, 2, 1),
        nn.ReLU(inplace=True),
        nn.Conv2d(32, 32, 4, 2, 1),
        nn.ReLU(inplace=True),
        nn.Conv2d(32, 64, 4, 2, 1),
        nn.ReLU(inplace=True),
        nn.Conv2d(64, 64, 4, 2, 1),
        nn.ReLU(inplace=True),
        nn.Conv2d(64, 256, inner),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Linear(256, 2 * n_latents),
    )
    decoder = nn.Sequential(
        nn.Linear(n_latents, 256),
        nn.ReLU(inplace=True),
        nn.Unflatten(1, (256, 1, 1)),
        nn.ConvTranspose2d(256, 64, inner),
        nn.ReLU(inplace=True),
        nn.ConvTranspose2d(64, 64, 4, 2, 1),
        nn.ReLU(inplace=True),
        nn.ConvTranspose2d(64, 32, 4, 2, 1),
        nn.ReLU(inplace=True),
        nn.ConvTranspose2d(32, 32, 4, 2, 1),
        nn.ReLU(inplace=True),
        nn.ConvTranspose2d(32, channels, 4, 2, 1),
    )
    network = GaussianVAE(encoder, decoder)
    network.apply(kaiming_linear_and_conv)
    return network


@torch.no_grad()
def kaiming_linear_and_conv(module: nn.Module) -> None:
    """Kaiming-normal weights (fan in, gain √2) and zero biases for linear layers and convolutions.

    Transposed convolutions keep torch's default: the released code's test for the layer type does not match them.
    """
    if isinstance(module, nn.Linear | nn.Conv2d):
        nn.init.kaiming_normal_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
