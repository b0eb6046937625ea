"""Networks of Variational Sparse Coding: one hidden layer (the authors'), or the convolutions of its reproduction."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from methods.networks import ConvTranspose2d
from methods.study_networks import xavier_uniform

Network = Literal["dense", "conv"]


class Recognition(nn.Module):
    """Observations (n, *observation) -> means, log-variances and spike outputs, each (n, n_latents) float32."""

    def __init__(self, trunk: nn.Module, width: int, n_latents: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.mean = nn.Linear(width, n_latents)
        self.log_var = nn.Linear(width, n_latents)
        self.spike = nn.Linear(width, n_latents)

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        hidden = self.trunk(frames)
        return self.mean(hidden).float(), self.log_var(hidden).float(), self.spike(hidden).float()


class PixelDecoder(nn.Module):
    """z (n, n_latents) -> logits of the pixel means (n, *observation), and log-variances where it has that head."""

    def __init__(self, trunk: nn.Module, head: nn.Module, log_var: nn.Module | None, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.trunk, self.head, self.log_var, self.shape = trunk, head, log_var, shape

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor | None]:
        hidden = self.trunk(z)
        logits = self.head(hidden).float().reshape(-1, *self.shape)
        if self.log_var is None:
            return logits, None
        return logits, self.log_var(hidden).float().reshape(-1, *self.shape)


def vsc_networks(
    network: Network, shape: tuple[int, ...], n_latents: int, n_hidden: int, has_variance: bool
) -> tuple[Recognition, PixelDecoder]:
    """Encoder and decoder, freshly drawn; ``n_hidden`` is the dense network's width.

    Raises:
        ValueError: the convolutional network needs images whose sides are multiples of 16.
    """
    if network == "dense":
        return _dense(shape, n_latents, n_hidden, has_variance)
    return _conv(shape, n_latents, has_variance)


def _dense(
    shape: tuple[int, ...], n_latents: int, n_hidden: int, has_variance: bool
) -> tuple[Recognition, PixelDecoder]:
    n = math.prod(shape)
    trunk = nn.Sequential(nn.Flatten(), nn.Linear(n, n_hidden), nn.ReLU(inplace=True))
    encoder = Recognition(trunk, n_hidden, n_latents)
    trunk = nn.Sequential(nn.Linear(n_latents, n_hidden), nn.ReLU(inplace=True))
    variance = nn.Linear(n_hidden, n) if has_variance else None
    decoder = PixelDecoder(trunk, nn.Linear(n_hidden, n), variance, shape)
    if has_variance:  # the authors'; the reproduction leaves torch's own initialisation
        encoder.apply(xavier_uniform)
        decoder.apply(xavier_uniform)
    return encoder, decoder


def _conv(shape: tuple[int, ...], n_latents: int, has_variance: bool) -> tuple[Recognition, PixelDecoder]:
    """Torch's own initialisation, as the reproduction's."""
    if len(shape) != 3 or any(side < 16 or side % 16 for side in shape[1:]):
        raise ValueError(
            f"network=conv needs images (channels, height, width) with sides that are multiples of 16, "
            f"got observations of shape {shape}; use network=dense"
        )
    channels, height, width = shape
    inner = (64, height // 16, width // 16)
    trunk = nn.Sequential(
        nn.Conv2d(channels, 32, 4, 2, 1),
        nn.ReLU(inplace=True),
        nn.Conv2d(32, 32, 4, 2, 1),
        nn.ReLU(inplace=True),
        nn.Conv2d(32, 64, 4, 2, 1),
        nn.ReLU(inplace=True),
        nn.Conv2d(64, 64, 4, 2, 1),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Linear(math.prod(inner), 256),
        nn.ReLU(inplace=True),
    )
    encoder = Recognition(trunk, 256, n_latents)
    trunk = nn.Sequential(
        nn.Linear(n_latents, 256),
        nn.ReLU(inplace=True),
        nn.Linear(256, math.prod(inner)),
        nn.ReLU(inplace=True),
        nn.Unflatten(1, inner),
        ConvTranspose2d(64, 64, 4, 2, 1),
        nn.ReLU(inplace=True),
        ConvTranspose2d(64, 32, 4, 2, 1),
        nn.ReLU(inplace=True),
        ConvTranspose2d(32, 32, 4, 2, 1),
        nn.ReLU(inplace=True),
    )
    variance = ConvTranspose2d(32, channels, 4, 2, 1) if has_variance else None
    return encoder, PixelDecoder(trunk, ConvTranspose2d(32, channels, 4, 2, 1), variance, shape)


def unit_norm(frames: Tensor) -> tuple[Tensor, Tensor]:
    """Frames divided by their own L2 norm, and the norms (n,); an empty frame stays empty."""
    norm = frames.flatten(1).norm(dim=1)
    scale = torch.where(norm > 0, norm, torch.ones_like(norm))
    return frames / scale.view(-1, *[1] * (frames.ndim - 1)), norm
