"""The networks of Locatello et al., ICML 2019 (google-research/disentanglement_lib, methods/shared/architectures.py).

TensorFlow's defaults are set explicitly: Xavier-uniform weights and zero biases, "same" padding (1 for kernels of 4, 0
for kernels of 2).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from methods.networks import ConvTranspose2d, GaussianVAE

SIDE = 64


def study_network(observation_shape: tuple[int, ...], n_latents: int) -> GaussianVAE:
    """Encoder and decoder of the study, freshly drawn; 309,204 and 381,313 parameters for one channel, 10 latents.

    Raises:
        ValueError: the observations are not images of 64 × 64.
    """
    if len(observation_shape) != 3 or observation_shape[1:] != (SIDE, SIDE):
        raise ValueError(
            f"network=study needs images (channels, 64, 64), got observations of shape {observation_shape}; "
            "use network=slowvae"
        )
    channels = observation_shape[0]
    encoder = nn.Sequential(
        nn.Conv2d(channels, 32, 4, 2, 1),
        nn.ReLU(inplace=True),
        nn.Conv2d(32, 32, 4, 2, 1),
        nn.ReLU(inplace=True),
        nn.Conv2d(32, 64, 2, 2),
        nn.ReLU(inplace=True),
        nn.Conv2d(64, 64, 2, 2),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Linear(1024, 256),
        nn.ReLU(inplace=True),
        nn.Linear(256, 2 * n_latents),
    )
    decoder = nn.Sequential(
        nn.Linear(n_latents, 256),
        nn.ReLU(inplace=True),
        nn.Linear(256, 1024),
        nn.ReLU(inplace=True),
        nn.Unflatten(1, (64, 4, 4)),
        ConvTranspose2d(64, 64, 4, 2, 1),
        nn.ReLU(inplace=True),
        ConvTranspose2d(64, 32, 4, 2, 1),
        nn.ReLU(inplace=True),
        ConvTranspose2d(32, 32, 4, 2, 1),
        nn.ReLU(inplace=True),
        ConvTranspose2d(32, channels, 4, 2, 1),
    )
    network = GaussianVAE(encoder, decoder)
    network.apply(xavier_uniform)
    # the study has two linear heads; one of both is the same map, but its fan differs, so each half is drawn alone
    head = encoder[-1]
    assert isinstance(head, nn.Linear)
    with torch.no_grad():
        for half in head.weight.split(n_latents):
            nn.init.xavier_uniform_(half)
    return network


class Discriminator(nn.Sequential):
    """FactorVAE's critic in the study: z (n, n_latents) -> two logits, "joint" first; 5,018,002 parameters for 10."""

    def __init__(self, n_latents: int, width: int = 1000, n_hidden: int = 6) -> None:
        layers: list[nn.Module] = []
        for i in range(n_hidden):
            layers += [nn.Linear(n_latents if i == 0 else width, width), nn.LeakyReLU(0.2)]
        super().__init__(*layers, nn.Linear(width, 2))
        self.apply(xavier_uniform)

    def forward(self, z: Tensor) -> Tensor:
        """Logits (n, 2) float32."""
        return super().forward(z).float()  # type: ignore[no-any-return]


@torch.no_grad()
def xavier_uniform(module: nn.Module) -> None:
    """Xavier-uniform weights and zero biases for every linear and convolutional layer, transposed ones included."""
    if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
