"""The networks of yatindandi/Disentangled-Sequential-Autoencoder, a public re-implementation of DSVAE.

They work on pixels in [-1, 1]; here frames come and go in [0, 1].
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Scale(nn.Module):
    """x -> factor · x + offset."""

    def __init__(self, factor: float, offset: float) -> None:
        super().__init__()
        self.factor = factor
        self.offset = offset

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x + self.offset


def wide_encoder(observation_shape: tuple[int, ...], n_features: int, width: int) -> nn.Sequential:
    """Frames (n, *observation) in [0, 1] -> features (n, n_features).

    Raises:
        ValueError: the observations are not images with sides that are multiples of 8.
    """
    channels, height, width_of_image = _image(observation_shape)
    layers: list[nn.Module] = [Scale(2, -1)]
    before = channels
    for stride in (1, 2, 2, 2):
        layers += [nn.Conv2d(before, width, 5, stride, 2), nn.BatchNorm2d(width), nn.LeakyReLU(0.2)]
        before = width
    layers.append(nn.Flatten())
    before = width * (height // 8) * (width_of_image // 8)
    for after in (2 * n_features, n_features):
        layers += [nn.Linear(before, after), nn.BatchNorm1d(after), nn.LeakyReLU(0.2)]
        before = after
    return nn.Sequential(*layers)


def wide_decoder(n_inputs: int, observation_shape: tuple[int, ...], n_features: int, width: int) -> nn.Sequential:
    """Codes (n, n_inputs) -> frames (n, *observation) in [0, 1]; a batch norm stands before the tanh, as released.

    Raises:
        ValueError: as ``wide_encoder``.
    """
    channels, height, width_of_image = _image(observation_shape)
    inner = (width, height // 8, width_of_image // 8)
    size = inner[0] * inner[1] * inner[2]
    layers: list[nn.Module] = [nn.Linear(n_inputs, 2 * n_features), nn.LeakyReLU(0.2)]
    layers += [nn.Linear(2 * n_features, size), nn.LeakyReLU(0.2), nn.Unflatten(1, inner)]
    for _ in range(3):
        layers += [nn.ConvTranspose2d(width, width, 5, 2, 2, 1), nn.BatchNorm2d(width), nn.LeakyReLU(0.2)]
    layers += [nn.ConvTranspose2d(width, channels, 5, 1, 2), nn.BatchNorm2d(channels), nn.Tanh(), Scale(0.5, 0.5)]
    return nn.Sequential(*layers)


def _image(shape: tuple[int, ...]) -> tuple[int, int, int]:
    if len(shape) != 3 or any(side < 8 or side % 8 for side in shape[1:]):
        raise ValueError(
            "dsvae: network=reimplementation needs images (channels, height, width) with sides that are multiples of "
            f"8, got observations of shape {shape}; network=dcgan also takes audio frames"
        )
    channels, height, width = shape
    return channels, height, width


@torch.no_grad()
def kaiming_with_raised_norms(module: nn.Module) -> None:
    """Kaiming-normal weights of linear layers and (transposed) convolutions; batch norms start at scale 1, shift 1."""
    if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
        nn.init.kaiming_normal_(module.weight)
    elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        nn.init.ones_(module.bias)
