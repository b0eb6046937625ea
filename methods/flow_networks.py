"""Networks of the transformation methods but for potentials (KingJamesSong/latent-flow, models/vae.py, HJPDE2.py).

One width D counts channels, latents and hidden units alike, as there: 324 for 28 × 28 and 128 × 128 images, 226 for
64 × 64.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from methods.flow_potentials import Stacked
from methods.networks import ConvTranspose2d, FullConv2d, FullConvTranspose2d, GaussianVAE

UpConvolution = Callable[[int, int, int, int, int], nn.ConvTranspose2d]

_LARGE = 128  # sides from which the authors have another network: that of Falcor3D and Isaac3D


def flow_vae(
    observation_shape: tuple[int, ...], n_latents: int, width: int = 0, twice_differentiable: bool = False
) -> GaussianVAE:
    """The VAEs of latent-flow, freshly drawn: ConvVAE, for images from ``_LARGE`` pixels on the deeper ConvVAE2.

    At width 324 35.7 and 35.2 million parameters for 3 × 28 × 28, 16.0 and 16.6 million for 3 × 128 × 128.

    Args:
        width: D of the convolutions; 0 is ``n_latents``, as published.
        twice_differentiable: torch's own transposed convolutions, where a loss holds derivatives of the decoder.

    Raises:
        ValueError: the observations are no images with sides that are multiples of 4.
    """
    channels, _ = _inner_size(observation_shape)
    width = width or n_latents
    up = nn.ConvTranspose2d if twice_differentiable else ConvTranspose2d
    features, n_features = _trunk(observation_shape, channels, width)
    encoder = nn.Sequential(*features, nn.Linear(n_features, n_features), nn.Linear(n_features, 2 * n_latents))
    decode = _large_decoder if _is_large(observation_shape) else _decoder
    decoder = nn.Sequential(nn.Linear(n_latents, width), nn.ReLU(inplace=True), *decode(observation_shape, width, up))
    return GaussianVAE(encoder, decoder)


def _decoder(shape: tuple[int, ...], width: int, up: UpConvolution) -> list[nn.Module]:
    channels, inner = _inner_size(shape)
    return [
        FullConvTranspose2d(width, 2 * width, (1, 1)),
        nn.Flatten(),
        nn.ReLU(inplace=True),
        FullConvTranspose2d(2 * width, 3 * width, (1, 1)),
        nn.Flatten(),
        nn.ReLU(inplace=True),
        FullConvTranspose2d(3 * width, 2 * width, inner),
        nn.ReLU(inplace=True),
        up(2 * width, width, 4, 2, 1),
        nn.ReLU(inplace=True),
        up(width, channels, 4, 2, 1),
    ]


def _large_decoder(shape: tuple[int, ...], width: int, up: UpConvolution) -> list[nn.Module]:
    channels, height, side = shape
    layers: list[nn.Module] = []
    for _ in range(2):
        layers += [FullConvTranspose2d(width, width, (1, 1)), nn.Flatten(), nn.ReLU(inplace=True)]
    layers += [FullConvTranspose2d(width, width, (height // 16, side // 16)), nn.ReLU(inplace=True)]
    for n_out in (width, width, width, channels):
        layers += [up(width, width, 4, 2, 1), nn.ReLU(inplace=True), up(width, n_out, 3, 1, 1), nn.ReLU(inplace=True)]
    return layers[:-1]


def flow_network(observation_shape: tuple[int, ...], n_latents: int) -> GaussianVAE:
    """``flow_vae`` for the VAEs of images: published where n_latents is its width, at least 64 channels wide."""
    return flow_vae(observation_shape, n_latents, max(64, n_latents))


def stack_network(observation_shape: tuple[int, ...], n_frames: int, width: int, n_outputs: int) -> nn.Sequential:
    """Stacked frames (n, n_frames * channels, height, width) -> (n, n_outputs); infers what acts between them."""
    channels, _ = _inner_size(observation_shape)
    features, n_features = _trunk(observation_shape, n_frames * channels, width)
    return nn.Sequential(*features, nn.Linear(n_features, width), nn.Linear(width, n_outputs))


def _is_large(shape: tuple[int, ...]) -> bool:
    return all(side >= _LARGE and side % 16 == 0 for side in shape[1:])


def _trunk(shape: tuple[int, ...], channels: int, width: int) -> tuple[list[nn.Module], int]:
    """Images to features, and their number; 1 × 1 convolutions on one pixel are linear maps, drawn alike."""
    layers: list[nn.Module] = []
    if _is_large(shape):
        for n_in in (channels, width, width, width):
            layers += [nn.Conv2d(n_in, width, 4, 2, 1), nn.ReLU(inplace=True)]
            layers += [nn.Conv2d(width, width, 3, 1, 1), nn.ReLU(inplace=True)]
        layers += [FullConv2d(width, width, (shape[1] // 16, shape[2] // 16)), nn.ReLU(inplace=True)]
        return [*layers, nn.Linear(width, width), nn.ReLU(inplace=True)], width
    layers += [nn.Conv2d(channels, width, 4, 2, 1), nn.ReLU(inplace=True)]
    layers += [nn.Conv2d(width, 2 * width, 4, 2, 1), nn.ReLU(inplace=True)]
    layers += [FullConv2d(2 * width, 3 * width, _inner_size(shape)[1]), nn.ReLU(inplace=True)]
    return [*layers, nn.Linear(3 * width, 2 * width), nn.ReLU(inplace=True)], 2 * width


def _inner_size(observation_shape: tuple[int, ...]) -> tuple[int, tuple[int, int]]:
    if len(observation_shape) != 3 or any(side < 8 or side % 4 for side in observation_shape[1:]):
        raise ValueError(
            "network=flow needs images (channels, height, width) with sides that are multiples of 4, "
            f"got observations of shape {observation_shape}"
        )
    channels, height, width = observation_shape
    return channels, (height // 4, width // 4)


class RotationalFields(nn.Module):
    """``n_flows`` velocity fields r(z), each an MLP of two layers, pressed to be free of divergence by a penalty.

    210,600 parameters each at 324 latents.
    """

    def __init__(self, n_flows: int, n_latents: int) -> None:
        super().__init__()
        self.hidden = Stacked(n_flows, n_latents, n_latents)
        self.out = Stacked(n_flows, n_latents, n_latents)

    def forward(self, z: Tensor) -> Tensor:
        """r (n_flows, batch, n_latents) at z of that shape."""
        return self.out(self.hidden(z).tanh()).tanh()  # type: ignore[no-any-return]

    def divergence(self, z: Tensor) -> Tensor:
        """∇·r (n_flows, batch) at z (n_flows, batch, n_latents), exactly.

        With h and r behind tanh, ∂r_i/∂z_i = (1 - r_i²) Σ_j B_ij (1 - h_j²) A_ji; summed over i it is one bilinear
        form, where the authors' code forms the whole Jacobian of each row.
        """
        h = self.hidden(z).tanh()
        r = self.out(h).tanh()
        both = self.hidden.weight.transpose(1, 2) * self.out.weight  # [j, i]: A_ji B_ij
        return (torch.bmm(1 - h**2, both) * (1 - r**2)).sum(-1)
