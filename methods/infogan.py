"""InfoGAN (Chen et al., NeurIPS 2016): a GAN whose codes can be read back from its images.

Networks and training of InfoGAN-CR's dSprites runs (fjxmlzn/InfoGAN-CR), the later and stabler recipe, without its
contrastive regulariser.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.nn.utils.parametrizations import spectral_norm

from bench.api import Batch, DataSpec, Method, MethodCard, MethodConfig
from bench.registry import register_method
from methods.networks import ConvTranspose2d
from methods.parameters import check_at_least, check_positive, check_training


@dataclass(frozen=True)
class InfoGANConfig(MethodConfig):
    """28 epochs of dSprites in batches of 64; 10 codes instead of 5, to compare with 10 latents.

    Attributes:
        n_latents: codes, uniform in (-1, 1), that the images must reveal.
        n_noise: further uniform inputs of the generator.
        info_weight: λ of the mutual information, in both players' losses.
        learning_rate, discriminator_learning_rate: of the two Adams (β1 = 0.5).
    """

    n_steps: int = 322_560
    learning_rate: float = 1e-3
    n_latents: int = 10
    n_noise: int = 5
    info_weight: float = 0.05
    discriminator_learning_rate: float = 2e-3

    def __post_init__(self) -> None:
        check_training("infogan", self)
        check_at_least("infogan", self, 1, "n_latents")
        check_at_least("infogan", self, 2, "batch_size")  # batch norms
        check_at_least("infogan", self, 0, "n_noise", "info_weight")
        check_positive("infogan", self, "discriminator_learning_rate")


CARD = MethodCard(
    title="InfoGAN",
    paper="Chen, Duan, Houthooft, Schulman, Sutskever & Abbeel, InfoGAN: Interpretable Representation Learning by "
    "Information Maximizing Generative Adversarial Nets, NeurIPS 2016",
    summary="A GAN trained so that part of the generator's input can be inferred from the image.",
    family="static",
    view="images",
    budgets={
        "smoke": {"n_steps": 20, "batch_size": 16},
        "quick": {"n_steps": 900},
        "standard": {"n_steps": 30_000},
        "paper": {},
    },
    verified="Both losses in closed form; no gradient crosses between the players. Published scores are not reproduced "
    "yet.",
    source="Eq. 6 of the paper (the bound on I(c; G(z, c)) in both losses, as in openai/InfoGAN); networks and "
    "training of fjxmlzn/InfoGAN-CR for dSprites.",
    notes="Codes are the mean of Q(c|x). Noise that no code stands for is not encoded, so at most n_latents factors "
    "can be found. Nothing trains a reconstruction: decode generates from the codes with the noise at 0, and its error "
    "says how well image, code and generator agree. Q's variance is fixed to 1.",
)


@register_method("infogan", config=InfoGANConfig, card=CARD)
class InfoGAN(Method):
    """Generator G(c, noise) against a discriminator that shares its trunk with Q(c|x). Sees single frames."""

    players = ("discriminator", "generator")

    def __init__(self, config: InfoGANConfig, data: DataSpec) -> None:
        super().__init__()
        self.config = config
        self.generator = generator_network(data.observation_shape, config.n_latents + config.n_noise)
        self.discriminator = Discriminator(data.observation_shape, config.n_latents)

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """The two Adams."""
        rates = {
            "discriminator": self.config.discriminator_learning_rate,
            "generator": self.config.learning_rate,
        }
        return {
            player: torch.optim.Adam(self.player_parameters(player), lr=rate, betas=(0.5, 0.999), fused=True)
            for player, rate in rates.items()
        }

    def encode(self, x: Tensor) -> Tensor:
        """Means of Q(c|x), (batch, time, n_latents), of x (batch, time, *observation)."""
        _, codes = self.discriminator(x.flatten(0, 1))
        return codes.unflatten(0, x.shape[:2])  # type: ignore[no-any-return]

    def decode(self, codes: Tensor) -> Tensor:
        """Images in [0, 1], (n, *observation), of codes (n, n_latents), the noise at its mean."""
        noise = torch.zeros(len(codes), self.config.n_noise, device=codes.device)
        return self.generator(torch.cat([codes, noise], 1)).float().sigmoid()  # type: ignore[no-any-return]

    def losses(self, batch: Batch, generator: torch.Generator, player: str = "model") -> dict[str, Tensor]:
        """``loss`` of the player, and ``information``: the bound on I(c; G) up to the constant entropy, in nats."""
        frames = batch.x.flatten(0, 1)
        n, n_codes = len(frames), self.config.n_latents
        inputs = 2 * torch.rand(n, n_codes + self.config.n_noise, generator=generator, device=frames.device) - 1
        fakes = self.generator(inputs).float().sigmoid()
        if player == "generator":
            logits, found = self.discriminator(fakes)
            adversarial = against(logits, 1.0)
        else:
            logits, found = self.discriminator(fakes.detach())
            real, _ = self.discriminator(frames)
            adversarial = against(real, 1.0) + against(logits, 0.0)
        information = -0.5 * ((found - inputs[:, :n_codes]) ** 2).sum(1).mean()
        return {"loss": adversarial - self.config.info_weight * information, "information": information}


def against(logits: Tensor, label: float) -> Tensor:
    """Mean cross-entropy of the discriminator's logits (n,) and one label."""
    return binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))


def generator_network(shape: tuple[int, ...], n_inputs: int) -> nn.Sequential:
    """Inputs (n, n_inputs) -> logits (n, *observation); batch norms follow the activations."""
    channels, height, width = _image(shape)
    inner = (64, height // 16, width // 16)
    size = inner[0] * inner[1] * inner[2]
    layers: list[nn.Module] = [
        nn.Linear(n_inputs, 128),
        nn.ReLU(),
        nn.BatchNorm1d(128),
        nn.Linear(128, size),
        nn.ReLU(),
        nn.BatchNorm1d(size),
        nn.Unflatten(1, inner),
    ]
    for before, after in ((64, 64), (64, 32), (32, 32)):
        layers += [ConvTranspose2d(before, after, 4, 2, 1), nn.LeakyReLU(0.2), nn.BatchNorm2d(after)]
    return nn.Sequential(*layers, ConvTranspose2d(32, channels, 4, 2, 1))


class Discriminator(nn.Module):
    """Images -> logit that they are real (n,) and means of Q(c|x) (n, n_codes), float32; spectral norms throughout."""

    def __init__(self, shape: tuple[int, ...], n_codes: int) -> None:
        super().__init__()
        channels, height, width = _image(shape)
        layers: list[nn.Module] = []
        before = channels
        for after in (32, 32, 64, 64):
            layers += [spectral_norm(nn.Conv2d(before, after, 4, 2, 1)), nn.LeakyReLU(0.2)]
            before = after
        flat = 64 * (height // 16) * (width // 16)
        self.trunk = nn.Sequential(*layers, nn.Flatten(), spectral_norm(nn.Linear(flat, 128)), nn.LeakyReLU(0.2))
        self.real = spectral_norm(nn.Linear(128, 1))
        self.codes = nn.Sequential(
            spectral_norm(nn.Linear(128, 128)), nn.LeakyReLU(0.2), spectral_norm(nn.Linear(128, n_codes))
        )

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.trunk(frames)
        return self.real(hidden).float()[:, 0], self.codes(hidden).float()


def _image(shape: tuple[int, ...]) -> tuple[int, int, int]:
    if len(shape) != 3 or any(side < 16 or side % 16 for side in shape[1:]):
        raise ValueError(
            f"needs images (channels, height, width) with sides that are multiples of 16, got observations of {shape}"
        )
    channels, height, width = shape
    return channels, height, width
