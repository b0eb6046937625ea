"""What the static/dynamic VAEs of sequences share: networks, their two KL terms, codes, generation.

Model: p(s) = N(0, I), p(z_t|z_<t) from an LSTM, p(x_t|s, z_t) a Gaussian around the decoded frame. With the released
codes' sum of squared errors its variance is ½. All terms are sums over a sequence and means over the batch, in nats.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.api import DataSpec, Method, MethodConfig
from methods.objectives import gaussian_kl
from methods.parameters import check_at_least, check_training
from methods.sequence_networks import (
    LSTMPrior,
    Posterior,
    SharedPosterior,
    frame_decoder,
    frame_encoder,
    per_frame,
)

SIZES_NOTE = (
    "Codes are posterior means: the static one repeated over time, then the dynamic one. sample_prior gives the "
    "conditional means of a rollout whose samples are fed back, which is what the authors decode. Audio frames "
    "(features,) pass two linear layers instead of convolutions (the papers' audio networks were not found), and their "
    "squared error is summed in the same way."
)


@dataclass(frozen=True)
class SequentialConfig(MethodConfig):
    """Sizes of the released Sprites networks (C-DSVAE, S3VAE, SPYL).

    Attributes:
        batch_size: sequences.
        width: channels of the first convolution (the others follow); 64 published.
        n_features: features of a frame.
        n_hidden: units of each recurrence.
        n_static, n_dynamic: sizes of s and of each z_t.
    """

    n_steps: int = 7_000
    batch_size: int = 128
    learning_rate: float = 1e-3
    width: int = 64
    n_features: int = 128
    n_hidden: int = 256
    n_static: int = 256
    n_dynamic: int = 32

    def check(self, method: str) -> None:
        """Raise ValueError where a shared parameter is out of its range; ``method`` is named in the message."""
        check_training(method, self)
        check_at_least(method, self, 2, "batch_size")  # batch norms, and estimates from pairs of sequences
        check_at_least(method, self, 1, "width", "n_features", "n_hidden", "n_static", "n_dynamic")


class SequenceVAE(nn.Module):
    """Frame encoder, posterior, prior and frame decoder.

    Args:
        posterior: takes features (batch, time, n_features) and a generator, gives a ``Posterior``.
    """

    def __init__(self, encoder: nn.Module, posterior: nn.Module, prior: LSTMPrior, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.posterior = posterior
        self.prior = prior
        self.decoder = decoder

    def infer(self, x: Tensor, generator: torch.Generator | None = None) -> Posterior:
        """Posteriors of x (batch, time, *observation), with samples where there is a generator."""
        return self.posterior(per_frame(self.encoder, x), generator)  # type: ignore[no-any-return]

    def frames(self, static: Tensor, dynamic: Tensor) -> Tensor:
        """Frames (batch, time, *observation) of s (batch, n_static) and z (batch, time, n_dynamic)."""
        return per_frame(self.decoder, torch.cat([dynamic, over_time(static, dynamic.shape[1])], dim=-1))


def over_time(static: Tensor, n_frames: int) -> Tensor:
    """Static codes (batch, n_static) repeated: (batch, n_frames, n_static)."""
    return static[:, None].expand(-1, n_frames, -1)


def sequence_vae(config: SequentialConfig, data: DataSpec, posterior: nn.Module | None = None) -> SequenceVAE:
    """The network of C-DSVAE's released code (11,031,683 parameters as published), or with another posterior."""
    c = config
    return SequenceVAE(
        frame_encoder(data.observation_shape, c.n_features, c.width),
        posterior or SharedPosterior(c.n_features, c.n_hidden, c.n_static, c.n_dynamic),
        LSTMPrior(c.n_dynamic, c.n_hidden),
        frame_decoder(c.n_dynamic + c.n_static, data.observation_shape, c.width),
    )


class SequentialVAE(Method):
    """One ``SequenceVAE``, its codes and what it generates; a subclass sets ``model`` and adds the objective."""

    model: SequenceVAE

    def __init__(self, config: SequentialConfig, data: DataSpec) -> None:
        super().__init__()
        self.n_static = config.n_static
        self.observation_shape = data.observation_shape
        self.n_train = data.n_train

    def encode(self, x: Tensor) -> Tensor:
        """Posterior means (batch, time, n_static + n_dynamic) of x (batch, time, *observation), static first."""
        static, dynamic = self.model.infer(x)
        return torch.cat([over_time(static.mean, x.shape[1]), dynamic.mean], dim=-1)

    def parts(self, x: Tensor) -> dict[str, Tensor]:
        """``static`` (batch, n_static) and ``dynamic`` (batch, time, n_dynamic): posterior means."""
        static, dynamic = self.model.infer(x)
        return {"static": static.mean, "dynamic": dynamic.mean}

    def decode(self, codes: Tensor) -> Tensor:
        """Frames (n, *observation) of codes (n, n_static + n_dynamic): images in [0, 1]."""
        return self.generate(codes[:, : self.n_static], codes[:, None, self.n_static :])[:, 0]

    def generate(self, static: Tensor, dynamic: Tensor) -> Tensor:
        """Sequences (batch, time, *observation) of static (batch, n_static) and dynamic (batch, time, n_dynamic)."""
        return self.model.frames(static, dynamic)

    def sample_prior(self, n: int, n_frames: int, generator: torch.Generator) -> dict[str, Tensor]:
        """``static`` (n, n_static) from N(0, I) and ``dynamic`` (n, n_frames, n_dynamic), the prior's means."""
        static = torch.randn(n, self.n_static, generator=generator, device=generator.device)
        return {"static": static, "dynamic": self.model.prior.rollout(n, n_frames, generator).mean}

    def evidence_terms(self, x: Tensor, posterior: Posterior) -> dict[str, Tensor]:
        """``reconstruction``, ``kl_static`` and ``kl_dynamic``: sums over each sequence, means over the batch."""
        static, dynamic = posterior
        decoded = self.model.frames(static.sample, dynamic.sample)
        return {
            "reconstruction": squared_error(decoded, x),
            "kl_static": gaussian_kl(static.mean, static.log_var).mean(),
            "kl_dynamic": diagonal_kl(dynamic.mean, dynamic.log_var, *self.model.prior(dynamic.sample)).sum(1).mean(),
        }


def squared_error(decoded: Tensor, x: Tensor) -> Tensor:
    """Σ (decoded - x)² over each sequence, mean over the batch: -log N(x; decoded, ½) up to a constant."""
    return (decoded - x).square().sum() / len(x)


def diagonal_kl(q_mean: Tensor, q_log_var: Tensor, p_mean: Tensor, p_log_var: Tensor) -> Tensor:
    """KL(N(q_mean, exp(q_log_var)) ‖ N(p_mean, exp(p_log_var))) in nats, summed over the last axis."""
    ratio = (q_log_var - p_log_var).exp() + (q_mean - p_mean).square() * (-p_log_var).exp()
    return 0.5 * (p_log_var - q_log_var + ratio - 1).sum(-1)
