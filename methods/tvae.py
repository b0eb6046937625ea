"""TVAE (Keller & Welling, NeurIPS 2021): Student-t latents in capsules that roll as a sequence goes on.

t = (z + β) / √(W u²): W sums squares over neighbours in time and capsule position, so that what is active in one
frame is expected one position further in the next. After akandykeller/TopographicVAE.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor, nn

from bench.api import Batch, DataSpec, Method, MethodCard, MethodConfig
from bench.registry import register_method
from methods.networks import FullConvTranspose2d
from methods.objectives import (
    LOG_2_PI,
    bernoulli_nll,
    bernoulli_nll_per_frame,
    gaussian_kl,
    gaussian_log_density,
    sample_gaussian,
)
from methods.parameters import check_at_least, check_one_of, check_positive, check_training
from methods.topography import neighbours, rolled, shared_variance

Coherence = Literal["shifting", "stationary", "none"]
Optimizer = Literal["sgd", "adam"]


@dataclass(frozen=True)
class TVAEConfig(MethodConfig):
    """Steps, batch, rate and width are those of the released MNIST runs (100 epochs of 6,000 batches).

    Attributes:
        batch_size: sequences.
        width: units of t; as many whole capsules as fit, each as large as a sequence has frames. 324 for MNIST, 225 for
            dSprites (frames of 15).
        kernel: neighbours in time and in capsule position that share a variance, as L = kernel / 2 frames around.
        n_off: how far from a pace of one position per frame neighbours may lie; where coherence is stationary, how far
            from the unit's own position.
        coherence: "shifting", "stationary" (``kernel`` frames by 2 n_off + 1 positions without a pace: BubbleVAE) or
            "none" (a plain VAE on z).
        cyclic: whether time wraps around, as it does in the authors' full cycles.
        mean_init: β at first. epsilon: added to the shared variance.
        optimizer: "sgd" (with ``momentum``, released) or "adam".
    """

    n_steps: int = 600_000
    batch_size: int = 8
    width: int = 324
    kernel: int = 5
    n_off: int = 1
    coherence: Coherence = "shifting"
    cyclic: bool = False
    mean_init: float = 30.0
    epsilon: float = 1e-6
    optimizer: Optimizer = "sgd"
    momentum: float = 0.9

    def __post_init__(self) -> None:
        check_training("tvae", self)
        check_at_least("tvae", self, 1, "width", "kernel")
        check_at_least("tvae", self, 0, "n_off", "momentum")
        check_positive("tvae", self, "epsilon")
        check_one_of("tvae", self, "coherence", get_args(Coherence))
        check_one_of("tvae", self, "optimizer", get_args(Optimizer))


CARD = MethodCard(
    title="TVAE",
    paper="Keller & Welling, Topographic VAEs Learn Equivariant Capsules, NeurIPS 2021",
    summary="A VAE with Student-t latents arranged in capsules, whose variances are shared along one roll per frame.",
    family="transformation",
    view="transformations",
    budgets={
        "smoke": {"n_steps": 20, "batch_size": 8, "learning_rate": 1e-3, "width": 24, "optimizer": "adam"},
        "quick": {"n_steps": 10_000, "batch_size": 8, "learning_rate": 1e-3, "width": 90, "optimizer": "adam"},
        "standard": {"n_steps": 60_000, "learning_rate": 5e-4, "optimizer": "adam"},
        "paper": {},
    },
    verified="Neighbourhood of the window (13 for kernel 5 and n_off 1; 5 × 3 for BubbleVAE) against the authors' "
    "masked transposed convolution; rolls exactly; KL terms as in vae. Published scores are not reproduced.",
    source="akandykeller/TopographicVAE: containers/grouper.py (Chi_Squared_Capsules_from_Gaussian_1d), tvae.py and "
    "encoder.py, models/mlp.py, experiments/tvae_Lpartial_mnist.py (optimiser, batch, epochs).",
    notes="β is added and learned, W is ones, as released; the paper has √2 (Z - μ) / √(ν W U²). Sequences here need "
    "not be full cycles, so by default frames beyond the ends count as 0 (cyclic=true wraps time as released; use it "
    "on cyclic sequences, with kernel=13 or 18 for 18 frames), and a capsule is as long as a sequence: 36 of 9 where "
    "the authors had 18 of 18. coherence=stationary is BubbleVAE, 5 frames by 3 positions as on MNIST (n_off=2 on "
    "dSprites); with kernel=1 it is TVAE with L = 0. How FFRL adapted TVAE to 9 frames is not known. Codes are "
    "capsules t at the means of z and of u². An image alone is completed by its own rolls, which is what the prior "
    "expects of frames not seen. "
    "transform rolls the capsules of the first frame by one position per unit of amount, whatever acts; several "
    "transformations at once add up. Which one acts is never told. Other budgets than paper use Adam: at SGD's 1e-4 "
    "they would not get far.",
    grids={
        "cyclic": tuple({"cyclic": True, "kernel": kernel} for kernel in (5, 13, 18)),
        "published": (
            {"cyclic": True, "coherence": "none"},
            {"cyclic": True, "coherence": "stationary"},
            {"cyclic": True, "coherence": "stationary", "kernel": 1},
            *({"cyclic": True, "kernel": kernel} for kernel in (5, 13, 18)),
        ),
        "coherence": ({"coherence": "none"}, {"coherence": "stationary"}, {"coherence": "shifting"}),
    },
)


@register_method("tvae", config=TVAEConfig, card=CARD)
class TVAE(Method):
    """Capsules of Student-t units that roll in time."""

    part_names: ClassVar[tuple[str, ...]] = ("capsules",)
    n_flows: ClassVar[int] = 1  # whatever acts is a roll

    def __init__(self, config: TVAEConfig, data: DataSpec) -> None:
        super().__init__()
        self.config = config
        self.size = data.n_frames
        self.n_capsules = config.width // self.size
        if self.size < 2 or self.n_capsules < 1:
            raise ValueError(f"tvae: width={config.width} holds no capsule as long as a sequence ({self.size} frames)")
        if len(data.observation_shape) != 3:
            raise ValueError(f"tvae: needs images, got observations of shape {data.observation_shape}")
        n_units, self.shape = self.n_capsules * self.size, data.observation_shape
        self.z_encoder = _encoder(self.shape, n_units)
        self.u_encoder = _encoder(self.shape, n_units) if config.coherence != "none" else None
        self.decoder = _decoder(self.shape, n_units)
        self.beta = nn.Parameter(torch.tensor(config.mean_init)) if config.coherence != "none" else None
        if config.coherence == "shifting":
            self.window = neighbours(config.kernel, config.kernel, config.n_off)
        else:
            self.window = neighbours(config.kernel, 2 * config.n_off + 1, None)

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """SGD with momentum, as released, unless the config asks for Adam."""
        config = self.config
        if config.optimizer == "adam":
            return {}
        return {"model": torch.optim.SGD(self.parameters(), lr=config.learning_rate, momentum=config.momentum)}

    def posterior(self, encoder: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance, each (batch, time, n_units) float32, of x (batch, time, *observation)."""
        mean, log_var = encoder(x.flatten(2)).float().chunk(2, dim=-1)
        return mean, log_var

    def student_t(self, z: Tensor, squares: Tensor | None) -> Tensor:
        """t (batch, time, n_units) of z and squares of u, each (batch, time, n_units); z itself without squares."""
        if squares is None or self.beta is None:
            return z
        each = squares.unflatten(-1, (self.n_capsules, self.size))
        if each.shape[1] == 1:
            ahead = torch.arange(self.size, device=z.device).expand(len(z), -1)
            each = rolled(each[:, 0], ahead)
        variance = shared_variance(each, self.window, self.config.cyclic)[:, : z.shape[1]].flatten(-2)
        return (z + self.beta) / (variance + self.config.epsilon).sqrt()

    def logits(self, t: Tensor) -> Tensor:
        """Logits of the pixels, (…, *observation) float32, of t (…, n_units)."""
        return self.decoder(t.flatten(0, -2)).float().unflatten(0, t.shape[:-1])  # type: ignore[no-any-return]

    def encode(self, x: Tensor) -> Tensor:
        """Capsules (batch, time, n_units) of x (batch, time, *observation), at the means of z and u²."""
        mean, _ = self.posterior(self.z_encoder, x)
        if self.u_encoder is None:
            return mean
        u_mean, u_log_var = self.posterior(self.u_encoder, x)
        return self.student_t(mean, u_mean**2 + u_log_var.exp())

    def capsules(self, x: Tensor) -> Tensor:
        """The codes of x as capsules: (batch, time, n_capsules, size)."""
        return self.encode(x).unflatten(-1, (self.n_capsules, self.size))

    def parts(self, x: Tensor) -> dict[str, Tensor]:
        """``capsules``: (batch, time, n_units), one capsule of ``size`` positions after the other."""
        return {"capsules": self.encode(x)}

    def decode(self, codes: Tensor) -> Tensor:
        """Pixel means in [0, 1], (n, *observation), of capsules (n, n_units)."""
        return self.logits(codes).sigmoid()

    def transform(self, x0: Tensor, amounts: Tensor) -> Tensor:
        """x0 (batch, *observation) with its capsules rolled by all that acted, (batch, n_steps + 1, *observation).

        ``amounts`` (batch, n_steps, n_transformations): one position per unit, linear between positions.
        """
        capsules = self.capsules(x0[:, None])[:, 0]
        acted = amounts.sum(-1).cumsum(1)
        shifts = torch.cat([torch.zeros_like(acted[:, :1]), acted], dim=1)
        return self.logits(rolled(capsules, shifts).flatten(-2)).sigmoid()

    def losses(self, batch: Batch, generator: torch.Generator, player: str = "model") -> dict[str, Tensor]:
        """``nll``, ``kl_z`` and ``kl_u`` are means over frames, in nats."""
        x = batch.x
        mean, log_var = self.posterior(self.z_encoder, x)
        z, squares, kl_u = sample_gaussian(mean, log_var, generator), None, torch.zeros((), device=x.device)
        if self.u_encoder is not None:
            u_mean, u_log_var = self.posterior(self.u_encoder, x)
            squares = sample_gaussian(u_mean, u_log_var, generator) ** 2
            kl_u = gaussian_kl(u_mean, u_log_var).mean()
        nll = bernoulli_nll(self.logits(self.student_t(z, squares)).flatten(0, 1), x.flatten(0, 1))
        kl_z = gaussian_kl(mean, log_var).mean()
        return {"loss": nll + kl_z + kl_u, "nll": nll, "kl_z": kl_z, "kl_u": kl_u}

    def log_weights(self, x: Tensor, n_samples: int, generator: torch.Generator) -> Tensor:
        """log p(x, z, u) - log q(z, u|x) in nats, (n, n_samples), of frames x (n, *observation), each alone."""
        found = []
        posteriors = [self.posterior(e, x[:, None]) for e in (self.z_encoder, self.u_encoder) if e is not None]
        for _ in range(n_samples):
            drawn = [sample_gaussian(mean, log_var, generator) for mean, log_var in posteriors]
            squares = drawn[1] ** 2 if len(drawn) > 1 else None
            weight = -bernoulli_nll_per_frame(self.logits(self.student_t(drawn[0], squares))[:, 0], x)
            for value, (mean, log_var) in zip(drawn, posteriors, strict=True):
                prior = -0.5 * (value**2 + LOG_2_PI).sum(-1)
                weight = weight + (prior - gaussian_log_density(value, mean, log_var))[:, 0]
            found.append(weight)
        return torch.stack(found, dim=1)


def _encoder(shape: tuple[int, ...], n_units: int) -> nn.Sequential:
    """The released MLP of images, its first layer a convolution there that spans them: 3 n, 2 n hidden, 2 n out."""
    n_pixels = int(torch.Size(shape).numel())
    return nn.Sequential(
        nn.Linear(n_pixels, 3 * n_units),
        nn.ReLU(inplace=True),
        nn.Linear(3 * n_units, 2 * n_units),
        nn.ReLU(inplace=True),
        nn.Linear(2 * n_units, 2 * n_units),
    )


def _decoder(shape: tuple[int, ...], n_units: int) -> nn.Sequential:
    """The released MLP to images, of transposed convolutions from one pixel, which torch draws by what they give."""
    channels, height, width = shape
    return nn.Sequential(
        FullConvTranspose2d(n_units, 2 * n_units, (1, 1)),
        nn.Flatten(),
        nn.ReLU(inplace=True),
        FullConvTranspose2d(2 * n_units, 3 * n_units, (1, 1)),
        nn.Flatten(),
        nn.ReLU(inplace=True),
        FullConvTranspose2d(3 * n_units, channels, (height, width)),
    )
