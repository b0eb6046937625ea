"""Networks of Tripod (kylehkhsu/tripod): residual encoder and decoder, and the plain decoder in the same form.

A decoder returns the hidden activations that the Hessian penalty reads, and the logits last.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, instance_norm, interpolate, pixel_unshuffle

from methods.networks import slowvae_network

SIDE = 64


def _check(shape: tuple[int, ...]) -> None:
    if len(shape) != 3 or shape[1:] != (SIDE, SIDE):
        raise ValueError(
            f"network=released needs images (channels, 64, 64), got observations of shape {shape}; use network=slowvae"
        )


class PlainEncoder(nn.Module):
    """SlowVAE's encoder with the released head: layer norm, GELU and a linear layer as torch draws it.

    With that network's own head the tanh is saturated before the first step, and no gradient passes it.
    """

    def __init__(self, shape: tuple[int, ...], n_outputs: int) -> None:
        super().__init__()
        network = slowvae_network(shape, n_outputs).encoder
        assert isinstance(network, nn.Sequential)
        self.layers = network[:-2]
        n_hidden = network[-1].in_features
        assert isinstance(n_hidden, int)
        self.head = nn.Sequential(nn.LayerNorm(n_hidden), nn.GELU(), nn.Linear(n_hidden, n_outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(x))  # type: ignore[no-any-return]


class PlainDecoder(nn.Module):
    """SlowVAE's decoder with GELUs, and its activations after the first layer and after each upsampling but the last.

    Second differences of a network of ReLUs are 0 but where a kink lies between the three points: the Hessian penalty
    would read nothing else.
    """

    def __init__(self, shape: tuple[int, ...], n_latents: int) -> None:
        super().__init__()
        network = slowvae_network(shape, n_latents).decoder
        assert isinstance(network, nn.Sequential)
        self.layers = nn.ModuleList(layer for layer in network if not isinstance(layer, nn.ReLU))

    def forward(self, z: Tensor) -> list[Tensor]:
        """Five activations, then logits (n, *observation), of z (n, n_latents)."""
        found, x = [], z
        for layer in self.layers[:-1]:
            x = gelu(layer(x))
            found.append(x)
        return [*found, self.layers[-1](x)]


class ResidualConv(nn.Module):
    """Two convolutions, each with an affine instance norm and a GELU, beside a skip connection."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList([nn.Conv2d(before, after, 3, 1, 1), nn.Conv2d(after, after, 3, 1, 1)])
        self.norms = nn.ModuleList([nn.InstanceNorm2d(after, affine=True) for _ in range(2)])
        self.skip = nn.Identity() if before == after else nn.Conv2d(before, after, 1)

    def forward(self, x: Tensor) -> Tensor:
        hidden = x
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            hidden = gelu(norm(convolution(hidden)))
        return hidden + self.skip(x)  # type: ignore[no-any-return]


class ResidualEncoder(nn.Module):
    """Frames (n, channels, 64, 64) in [-1, 1] -> (n, n_outputs)."""

    def __init__(self, shape: tuple[int, ...], n_outputs: int) -> None:
        super().__init__()
        _check(shape)
        widths = (32, 64, 128, 256, 512)
        self.blocks, self.reductions = nn.ModuleList(), nn.ModuleList()
        before = shape[0]
        for width, after in itertools.pairwise(widths):
            self.blocks.append(nn.Sequential(ResidualConv(before, width), ResidualConv(width, width)))
            self.reductions.append(nn.Conv2d(4 * width, after, 1))
            before = after
        self.hidden = nn.Sequential(nn.Linear(512, 512), nn.LayerNorm(512), nn.GELU())
        self.head = nn.Linear(512, n_outputs)

    def forward(self, x: Tensor) -> Tensor:
        for block, reduction in zip(self.blocks, self.reductions, strict=True):
            x = reduction(pixel_unshuffle(block(x), 2))
        return self.head(self.hidden(x.mean((2, 3))))  # type: ignore[no-any-return]


class StyledBlock(nn.Module):
    """A residual block whose two instance norms are scaled and shifted by the conditioning vector."""

    def __init__(self, width: int, n_style: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList([nn.Conv2d(width, width, 3, 1, 1) for _ in range(2)])
        self.modulations = nn.ModuleList([nn.Linear(n_style, 2 * width) for _ in range(2)])

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        hidden = x
        for convolution, modulation in zip(self.convolutions, self.modulations, strict=True):
            scale, shift = modulation(style)[:, :, None, None].chunk(2, dim=1)
            hidden = gelu(instance_norm(convolution(hidden)) * (1 + scale) + shift)
        return x + hidden


class ResidualDecoder(nn.Module):
    """A trained 4 × 4 array, four styled stages up to 64 × 64; the first three and the style are penalised."""

    def __init__(self, shape: tuple[int, ...], n_latents: int) -> None:
        super().__init__()
        _check(shape)
        widths = (512, 256, 128, 64, shape[0])
        self.style = nn.Sequential(
            nn.Linear(n_latents, 256),
            nn.LayerNorm(256),
            nn.GELU(),
            nn.Linear(256, 256),
            nn.LayerNorm(256),
            nn.GELU(),
        )
        self.constant = nn.Parameter(torch.ones(512, 4, 4))
        self.blocks, self.convolutions = nn.ModuleList(), nn.ModuleList()
        for width, after in itertools.pairwise(widths):
            self.blocks.append(nn.ModuleList([StyledBlock(width, 256), StyledBlock(width, 256)]))
            self.convolutions.append(nn.Conv2d(width, after, 3, 1, 1))

    def forward(self, z: Tensor) -> list[Tensor]:
        """The style, three stages, then logits (n, *observation), of z (n, n_latents)."""
        style = self.style(z)
        found = [style]
        x = self.constant.expand(len(z), -1, -1, -1)
        for blocks, convolution in zip(self.blocks, self.convolutions, strict=True):
            for block in blocks:  # type: ignore[attr-defined]
                x = block(x, style)
            x = convolution(interpolate(x, scale_factor=2))
            found.append(x)
        return found
