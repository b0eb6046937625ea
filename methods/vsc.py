"""Variational Sparse Coding (Tonolini, Jensen & Murray-Smith, UAI 2019): a VAE with spike-and-slab latents.

The prior is the posterior of one of a few trained pseudo-inputs, picked per image by a selector; sparsity is asked of
the pseudo-inputs' spikes. We follow the authors' code (ftonolini45/Variational_Sparse_Coding, models/VSC_model.py and
models/vae_ss_ss_vamp_ept_sp.py) and name where the paper's supplement differs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from bench.api import Batch, DataSpec, Method, MethodCard, MethodConfig
from bench.registry import register_method
from methods.objectives import LOG_2_PI
from methods.parameters import check_at_least, check_one_of, check_positive, check_training
from methods.spike_slab import MARGIN, Spike, bernoulli_kl, sample_spike_slab, spike_probability, spike_slab_kl
from methods.vsc_networks import Network, unit_norm, vsc_networks

Selector = Literal["released", "paper"]


@dataclass(frozen=True)
class VSCConfig(MethodConfig):
    """Defaults are the authors' Fashion-MNIST notebook.

    Attributes:
        n_hidden: width of the dense network.
        n_pseudo_inputs: number of pseudo-inputs, K.
        alpha: share of active latents that is asked of the pseudo-inputs.
        slope, slope_end: of the switches while training, linear per step; the supplement has 50 and 200.
        prior_slope: of the switches of the pseudo-inputs, ν.
        warm_up_start, warm_up_end: shares of training between which the slab's λ goes from 0 to 1; at 0 every slab is
            a standard normal draw, so that spikes alone carry information.
        slow_after: share of training after which the learning rate is a tenth.
        selector: "released" or "paper" (supplement A.3: almost one-hot).
        spike: "relu" (released) or "sigmoid".
        network: "dense" (the authors') or "conv" (the reproduction's).
        unit_norm: divide each image by its own L2 norm, as the authors do.
    """

    n_steps: int = 100_000
    batch_size: int = 500
    learning_rate: float = 5e-4
    n_latents: int = 60
    n_hidden: int = 3000
    n_pseudo_inputs: int = 10
    alpha: float = 0.01
    slope: float = 100.0
    slope_end: float = 100.0
    prior_slope: float = 10.0
    warm_up_start: float = 0.45
    warm_up_end: float = 0.5
    slow_after: float = 0.45
    selector: Selector = "released"
    spike: Spike = "relu"
    network: Network = "dense"
    unit_norm: bool = True

    def __post_init__(self) -> None:
        check_training("vsc", self)
        check_at_least("vsc", self, 1, "n_latents", "n_hidden", "n_pseudo_inputs")
        check_positive("vsc", self, "alpha", "slope", "slope_end", "prior_slope")
        check_at_least("vsc", self, 0, "warm_up_start", "slow_after")
        if self.alpha >= 1:
            raise ValueError(f"vsc: parameter 'alpha' must be < 1, got {self.alpha!r}")
        if not self.warm_up_start < self.warm_up_end <= 1:
            raise ValueError(
                f"vsc: parameter 'warm_up_end' must be > warm_up_start ({self.warm_up_start}) and <= 1, "
                f"got {self.warm_up_end!r}"
            )
        check_one_of("vsc", self, "selector", get_args(Selector))
        check_one_of("vsc", self, "spike", get_args(Spike))
        check_one_of("vsc", self, "network", get_args(Network))


CARD = MethodCard(
    title="VSC",
    paper="Tonolini, Jensen & Murray-Smith, Variational Sparse Coding, UAI 2019",
    summary="A VAE whose latents are off with learned probabilities, under a prior of trained pseudo-inputs.",
    family="static",
    view="images",
    budgets={
        "smoke": {"n_steps": 20, "batch_size": 16, "learning_rate": 1e-3, "n_hidden": 64},
        # its steps are cheap; on MNIST, 900 of them or a third of the rate rebuild no better than the mean image
        "quick": {"n_steps": 2_000, "batch_size": 64, "learning_rate": 3e-3, "n_hidden": 400},
        "standard": {"n_steps": 20_000, "batch_size": 128, "n_hidden": 1000},
        "paper": {},
    },
    verified="Spike-and-slab KL against Monte Carlo and in its limits; law of the switches; schedules per step; "
    "weights of the selector. Published scores are not reproduced yet.",
    source="ftonolini45/Variational_Sparse_Coding: models/vae_ss_ss_vamp_ept_sp.py (objective), models/VSC_model.py "
    "(schedules), fashionMNIST_example.ipynb (parameters); supplement A to D of the paper.",
    notes="Codes are γ · mean, the mean of the spike-and-slab posterior, where the authors return a sample. The "
    "supplement raises the slope from 50 to 200 (slope=50, slope_end=200); the code holds 100. The supplement's KL "
    "misses the squares on σ; the code has them. γ is 1 without gradient wherever its output is ≥ 0 (spike=sigmoid "
    "mends that). At a tenth of the learning rate the authors start a second Adam with empty moments; here the moments "
    "go on. The authors add 1e-6 to variances in the KL too. The likelihood is a Gaussian with a variance per pixel, "
    "so its density, and nll, can pass any bound on constant pixels. Pixels are rebuilt at the mean norm of the "
    "training images seen. The plain prior with convolutions is convvsc. grid=smiley is their Smiley notebook but for "
    "its 200,000 steps.",
    grids={
        "smiley": ({"alpha": 0.003, "warm_up_start": 0.375, "warm_up_end": 0.4, "slow_after": 0.3},),
    },
)


@register_method("vsc", config=VSCConfig, card=CARD)
class VSC(Method):
    """Spike-and-slab VAE with a prior of pseudo-inputs. Sees single frames."""

    def __init__(self, config: VSCConfig, data: DataSpec) -> None:
        super().__init__()
        self.config = config
        shape = data.observation_shape
        self.encoder, self.decoder = vsc_networks(
            config.network, shape, config.n_latents, config.n_hidden, has_variance=True
        )
        n_pixels = int(torch.Size(shape).numel())
        pseudo_inputs = torch.empty(config.n_pseudo_inputs, n_pixels)
        self.pseudo_inputs = nn.Parameter(nn.init.xavier_uniform_(pseudo_inputs).unflatten(1, shape).clone())
        self.selector = nn.Linear(n_pixels, config.n_pseudo_inputs)
        nn.init.xavier_uniform_(self.selector.weight)
        nn.init.zeros_(self.selector.bias)
        # what decoded pixels are multiplied by, and how many batches it is the mean of
        self.norm: Tensor
        self.n_batches: Tensor
        self.register_buffer("norm", torch.ones(()))
        self.register_buffer("n_batches", torch.zeros(()))

    def posterior(self, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean, log-variance and γ of q(z|x), each (n, n_latents) float32, of frames as ``_prepared`` gives them."""
        mean, log_var, spike = self.encoder(frames)
        return mean, log_var, spike_probability(spike, self.config.spike)

    def encode(self, x: Tensor) -> Tensor:
        """γ · mean, (batch, time, n_latents), of x (batch, time, *observation)."""
        frames, _ = self._prepared(x.flatten(0, 1))
        mean, _, gamma = self.posterior(frames)
        return (gamma * mean).unflatten(0, x.shape[:2])

    def decode(self, codes: Tensor) -> Tensor:
        """Pixel means in [0, 1], (n, *observation), of codes (n, n_latents)."""
        logits, _ = self.decoder(codes)
        return (logits.sigmoid() * self.norm).clamp(0, 1)  # type: ignore[no-any-return]

    def losses(self, batch: Batch, generator: torch.Generator, player: str = "model") -> dict[str, Tensor]:
        """``nll``, ``kl`` and ``sparsity`` are means over frames, in nats; ``active`` is the mean of γ."""
        config = self.config
        frames, norm = self._prepared(batch.x.flatten(0, 1))
        if self.training:
            self.n_batches += 1
            self.norm += (norm.mean() - self.norm) / self.n_batches
        mean, log_var, gamma = self.posterior(frames)
        prior = self.posterior(self.pseudo_inputs)
        prior_gamma = (config.prior_slope * (prior[2] - 0.5)).sigmoid()
        slab, slope = self.schedules(batch.step, batch.n_steps)
        z = sample_spike_slab(slab * mean, slab * log_var, gamma, slope, generator)
        logits, pixel_log_var = self.decoder(z)
        nll = gaussian_nll(logits.sigmoid(), pixel_log_var, frames)

        weights = self.select(frames)
        to_each = spike_slab_kl(mean[:, None], log_var[:, None], gamma[:, None], prior_gamma, prior[0], prior[1])
        kl = (weights * to_each.sum(-1)).sum(-1).mean()
        wanted = (weights * prior_gamma.mean(-1)).sum(-1)
        sparsity = config.n_latents * bernoulli_kl(wanted, config.alpha).mean()
        return {"loss": nll + kl + sparsity, "nll": nll, "kl": kl, "sparsity": sparsity, "active": gamma.mean()}

    def schedules(self, step: int, n_steps: int) -> tuple[float, float]:
        """λ of the slab, 0 to 1, and the slope of the switches, at a step."""
        config, share = self.config, step / n_steps
        risen = (share - config.warm_up_start) / (config.warm_up_end - config.warm_up_start)
        return min(1.0, max(0.0, risen)), config.slope + (config.slope_end - config.slope) * share

    def learning_rate_factor(self, step: int, n_steps: int) -> float:
        """A tenth once ``slow_after`` of training is over."""
        return 0.1 if step > self.config.slow_after * n_steps else 1.0

    def select(self, frames: Tensor) -> Tensor:
        """Weights (n, n_pseudo_inputs) of the pseudo-inputs for each frame; rows sum to 1."""
        scores = self.selector(frames.flatten(1)).float().sigmoid()
        weights = scores / scores.sum(1, keepdim=True)
        if self.config.selector == "paper":
            scores = (60 * (weights - 0.5)).sigmoid()
            weights = scores / scores.sum(1, keepdim=True)
        return weights  # type: ignore[no-any-return]

    def _prepared(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        if self.config.unit_norm:
            return unit_norm(frames)
        return frames, torch.ones(len(frames), device=frames.device)


def gaussian_nll(mean: Tensor, log_var: Tensor, frames: Tensor) -> Tensor:
    """-log N(frames; mean, exp(log_var)), shape (), summed over pixels, averaged over frames; variances + 1e-6."""
    variance = log_var.exp() + MARGIN
    return 0.5 * ((frames - mean) ** 2 / variance + variance.log() + LOG_2_PI).sum() / len(frames)
