"""Networks of QLAE (kylehkhsu/latent_quantization): instance norms, and a decoder driven as a style generator."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import instance_norm

WIDTHS = (32, 32, 32, 64, 64, 64, 128, 128, 128, 256, 256, 256)
KERNELS, STRIDES = (3, 3, 4), (1, 1, 2)
SIDE = 64


def _check(shape: tuple[int, ...]) -> None:
    if len(shape) != 3 or shape[1:] != (SIDE, SIDE):
        raise ValueError(
            f"network=released needs images (channels, 64, 64), got observations of shape {shape}; use network=slowvae"
        )


def instance_norm_encoder(shape: tuple[int, ...], n_outputs: int) -> nn.Sequential:
    """Twelve convolutions, each with an affine instance norm and a leaky ReLU, then two hidden linear layers.

    Raises:
        ValueError: the observations are not images of 64 × 64.
    """
    _check(shape)
    layers: list[nn.Module] = []
    before = shape[0]
    for i, width in enumerate(WIDTHS):
        layers += [
            nn.Conv2d(before, width, KERNELS[i % 3], STRIDES[i % 3], 1, bias=False),
            nn.InstanceNorm2d(width, eps=1e-6, affine=True),
            nn.LeakyReLU(0.2),
        ]
        before = width
    layers += [nn.Flatten(), nn.Linear(4096, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(256, n_outputs))


class StyleDecoder(nn.Module):
    """A learned 4 × 4 constant, upsampled by twelve transposed convolutions whose channels z scales and shifts."""

    def __init__(self, shape: tuple[int, ...], n_latents: int) -> None:
        super().__init__()
        _check(shape)
        self.style = nn.Sequential(nn.Linear(n_latents, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU())
        self.constant = nn.Parameter(torch.full((256, 4, 4), 0.1))
        widths = WIDTHS[::-1]
        self.convolutions, self.modulations = nn.ModuleList(), nn.ModuleList()
        before = 256
        for i, width in enumerate(widths):
            kernel, stride = KERNELS[i % 3], STRIDES[i % 3]
            self.convolutions.append(nn.ConvTranspose2d(before, width, kernel, stride, 1, bias=False))
            self.modulations.append(nn.Linear(256, 2 * width))
            before = width
        self.last = nn.Conv2d(before, shape[0], 3, 1, 1, bias=False)

    def forward(self, z: Tensor) -> Tensor:
        """Logits (n, *observation) of z (n, n_latents)."""
        style = self.style(z)
        x = self.constant.expand(len(z), -1, -1, -1)
        for convolution, modulation in zip(self.convolutions, self.modulations, strict=True):
            scale, shift = modulation(style).relu()[:, :, None, None].chunk(2, dim=1)
            x = instance_norm(nn.functional.leaky_relu(convolution(x), 0.2)) * scale + shift
        return self.last(x)  # type: ignore[no-any-return]
