"""Tripod (Hsu et al., ICML 2024): latent quantisation, latent multi-information and a normalised Hessian penalty.

After the authors' code, kylehkhsu/tripod: a deterministic autoencoder with finite scalar quantisation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from bench.api import Batch, DataSpec, Method, MethodCard, MethodConfig
from bench.registry import register_method
from methods.objectives import LOG_2_PI
from methods.parameters import check_at_least, check_one_of, check_positive, check_training
from methods.tripod_networks import PlainDecoder, PlainEncoder, ResidualDecoder, ResidualEncoder

Network = Literal["released", "slowvae"]


@dataclass(frozen=True)
class TripodConfig(MethodConfig):
    """Defaults are the authors' Shapes3D configuration, with 10 latents.

    Attributes:
        n_latents: the authors take twice the number of factors.
        n_levels: values per latent, equally spaced in [-1, 1].
        information_weight: of the latent multi-information (MPI3D 1e-8, Falcor3D 1e-10, Isaac3D 1e-4).
        hessian_weight: of the normalised Hessian penalty (MPI3D 1e-4, Falcor3D 1e-2, Isaac3D 1e-8).
        n_perturbations: directions of each law of the penalty.
        epsilon: length of the finite differences, in standard deviations of each latent.
        network: "released" or "slowvae" (that of the other methods of this suite).
    """

    n_steps: int = 250_000
    learning_rate: float = 2e-4
    n_latents: int = 10
    n_levels: int = 12
    information_weight: float = 1e-4
    hessian_weight: float = 1e-2
    n_perturbations: int = 2
    epsilon: float = 0.1
    network: Network = "released"

    def __post_init__(self) -> None:
        check_training("tripod", self)
        check_at_least("tripod", self, 1, "n_latents")
        check_at_least("tripod", self, 2, "n_levels", "n_perturbations", "batch_size")
        check_at_least("tripod", self, 0, "information_weight", "hessian_weight")
        check_positive("tripod", self, "epsilon")
        check_one_of("tripod", self, "network", get_args(Network))


CARD = MethodCard(
    title="Tripod",
    paper="Hsu, Hamid, Burns, Finn & Wu, Tripod: Three Complementary Inductive Biases for Disentangled Representation "
    "Learning, ICML 2024",
    summary="A quantised autoencoder whose latents are pressed to independence and whose decoder to additivity.",
    family="static",
    view="images",
    budgets={
        # the suite's network: the released one takes a minute a step on a CPU. At the published rate: at 1e-3 the
        # first steps, in which all images pull the same way, drive tanh to where no gradient brings it back
        "smoke": {"n_steps": 20, "batch_size": 16, "network": "slowvae"},
        # nine decodes a step: a quarter of the frames that other methods see, or one run would take half an hour
        "quick": {"n_steps": 450, "batch_size": 32, "network": "slowvae"},
        "standard": {"n_steps": 30_000, "network": "slowvae"},
        "paper": {},
    },
    verified="Levels and straight-through gradient; multi-information against a closed form; the penalty is 0 for an "
    "additive and positive for a multiplicative map. Published scores are not reproduced yet.",
    source="kylehkhsu/tripod (objective, networks, configuration of Shapes3D).",
    notes="Codes are the quantised values, so they are discrete. The reconstruction is a mean over pixels in the loss "
    "(nll is logged per image, in nats). As released, the kernel of the marginals has the batch's standard deviation "
    "without Silverman's factor, and two perturbations make each variance (denominator 2). Element-wise clipping of "
    "gradients at 1. With network=slowvae, that of the other methods here, the encoder keeps the released head (layer "
    "norm, GELU, torch's initial weights), without which tanh is saturated before the first step; the decoder has "
    "GELUs, since second differences of ReLUs are 0 but at kinks, and the penalty acts on its hidden activations after "
    "the first layer and after each upsampling. A step decodes nine times, in float32 whatever the precision of the "
    "run.",
)


@register_method("tripod", config=TripodConfig, card=CARD)
class Tripod(Method):
    """Autoencoder with finite scalar quantisation. Sees single frames."""

    def __init__(self, config: TripodConfig, data: DataSpec) -> None:
        super().__init__()
        self.config = config
        shape = data.observation_shape
        self.encoder: nn.Module
        if config.network == "slowvae":
            self.encoder = PlainEncoder(shape, config.n_latents)
            self.decoder: PlainDecoder | ResidualDecoder = PlainDecoder(shape, config.n_latents)
        else:
            self.encoder = ResidualEncoder(shape, config.n_latents)
            self.decoder = ResidualDecoder(shape, config.n_latents)
        for parameter in self.parameters():
            parameter.register_hook(lambda gradient: gradient.clamp(-1, 1))

    def bounded(self, frames: Tensor) -> Tensor:
        """tanh of the encoder's output, (n, n_latents) in (-1, 1) float32, of frames (n, *observation) in [0, 1]."""
        return self.encoder(2 * frames - 1).float().tanh()  # type: ignore[no-any-return]

    def encode(self, x: Tensor) -> Tensor:
        """Quantised codes (batch, time, n_latents) of x (batch, time, *observation)."""
        return quantize(self.bounded(x.flatten(0, 1)), self.config.n_levels).unflatten(0, x.shape[:2])

    def decode(self, codes: Tensor) -> Tensor:
        """Pixel means in [0, 1], (n, *observation), of codes (n, n_latents)."""
        return self.decoder(codes)[-1].float().sigmoid()

    def losses(self, batch: Batch, generator: torch.Generator, player: str = "model") -> dict[str, Tensor]:
        """``nll`` is per image in nats, ``information`` in nats, ``hessian`` a sum of ratios of variances."""
        frames = batch.x.flatten(0, 1)
        bounded = self.bounded(frames)
        z = bounded + (quantize(bounded, self.config.n_levels) - bounded).detach()
        scale = bounded.std(0, correction=0) + 1e-6
        # second differences of activations do not survive bfloat16
        with torch.autocast(z.device.type, enabled=False):
            activations = self.decoder(z)
            hessian = self.hessian_penalty(z, scale, activations[:-1], generator)
        bce = binary_cross_entropy_with_logits(activations[-1], frames)
        information = multi_information(z, scale)
        loss = bce + self.config.information_weight * information + self.config.hessian_weight * hessian
        nll = bce.detach() * frames[0].numel()
        return {"loss": loss, "nll": nll, "information": information, "hessian": hessian}

    def hessian_penalty(self, z: Tensor, scale: Tensor, centre: list[Tensor], generator: torch.Generator) -> Tensor:
        """Σ over activations of Var[vᵀHv, Rademacher v] / Var[vᵀHv, Gaussian v], by central differences."""
        size = (self.config.n_perturbations, *z.shape)
        signs = 2 * torch.randint(2, size, generator=generator, device=z.device).to(z.dtype) - 1
        normal = torch.randn(size, generator=generator, device=z.device, dtype=z.dtype)
        off_diagonal = self._variances(z, scale, centre, signs)
        whole = self._variances(z, scale, centre, normal)
        ratios = [a / (b + 1e-10) for a, b in zip(off_diagonal, whole, strict=True)]
        return torch.stack(ratios).sum()

    def _variances(self, z: Tensor, scale: Tensor, centre: list[Tensor], directions: Tensor) -> list[Tensor]:
        """Per activation set, the mean over its units of the variance over directions of the second difference."""
        step = self.config.epsilon
        found: list[list[Tensor]] = [[] for _ in centre]
        for direction in directions:
            above, below = (self.decoder(z + sign * step * scale * direction)[:-1] for sign in (1, -1))
            for i, (up, middle, down) in enumerate(zip(above, centre, below, strict=True)):
                found[i].append((up.float() - 2 * middle.float() + down.float()) / step**2)
        return [torch.stack(one).var(0, correction=0).mean() for one in found]


def quantize(bounded: Tensor, n_levels: int) -> Tensor:
    """The nearest of ``n_levels`` equally spaced values of [-1, 1]; without a gradient of its own."""
    return torch.round((bounded.detach() + 1) / 2 * (n_levels - 1)) / (n_levels - 1) * 2 - 1


def multi_information(z: Tensor, scale: Tensor) -> Tensor:
    """Kernel estimate of the total correlation of rows z (n, k), in nats, shape ().

    Diagonal Gaussian kernels: of Silverman's bandwidth times ``scale`` for the joint density, of ``scale`` for each
    marginal.
    """
    n, k = z.shape
    bandwidth = (4 / (k + 2)) ** (1 / (k + 4)) * n ** (-1 / (k + 4))
    distance = (z[:, None] - z[None]) / scale

    def log_kernel(width: float) -> Tensor:
        return -0.5 * ((distance / width) ** 2 + LOG_2_PI) - math.log(width) - scale.log()

    joint = log_kernel(bandwidth).sum(-1).logsumexp(1) - math.log(n)
    marginals = (log_kernel(1.0).logsumexp(1) - math.log(n)).sum(-1)
    return (joint - marginals).mean()
