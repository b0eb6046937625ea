"""FHVAE (Hsu, Zhang & Glass, NeurIPS 2017): segments of a recording share a prior that is the recording's own vector.

Names are the paper's: z1 is a segment's own code, z2 what the segments of a recording share, μ2 its mean ("s-vector").
wnhsu/FactorizedHierarchicalVAE calls them z2, z1 and mu1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.api import Batch, DataSpec, Method, MethodCard, MethodConfig
from bench.registry import register_method
from methods.objectives import gaussian_kl, gaussian_log_density, sample_gaussian
from methods.parameters import check_at_least, check_training

SHARED_VARIANCE = 0.25  # of z2 around μ2; that of μ2 around 0 is 1


@dataclass(frozen=True)
class FHVAEConfig(MethodConfig):
    """The authors' TIMIT configuration: 500 epochs of 2,000 steps.

    Attributes:
        alpha: weight of the discriminative term; 10, or 0 for the plain model.
        width: units of each LSTM.
        n_layers: layers of each LSTM; 2 in the authors' second code.
        n_static: latents z2 that a recording's segments share.
        n_dynamic: latents z1 of a segment.
    """

    n_steps: int = 1_000_000
    batch_size: int = 256
    learning_rate: float = 1e-3
    alpha: float = 10.0
    width: int = 256
    n_layers: int = 1
    n_static: int = 32
    n_dynamic: int = 32

    def __post_init__(self) -> None:
        check_training("fhvae", self)
        check_at_least("fhvae", self, 0, "alpha")
        check_at_least("fhvae", self, 1, "width", "n_layers", "n_static", "n_dynamic")


CARD = MethodCard(
    title="FHVAE",
    paper="Hsu, Zhang & Glass, Unsupervised Learning of Disentangled and Interpretable Representations from Sequential "
    "Data, NeurIPS 2017",
    summary="A VAE of speech segments: one latent of the segment, one whose prior mean is the recording's.",
    family="sequential",
    view="sequences",
    budgets={
        "smoke": {"n_steps": 20, "batch_size": 16, "width": 32},
        "quick": {"n_steps": 1_000, "batch_size": 128},
        "standard": {"n_steps": 20_000},
        "paper": {},
    },
    verified="Every term against torch.distributions, the bound's terms against Monte Carlo, the discriminative term "
    "against an explicit loop, the MAP estimate against the maximum of its own posterior; parameter count. Published "
    "EERs are not reproduced yet: TIMIT is licensed.",
    source="Eqs. 2-7 of the paper with the configuration lstm_1L_256_lat_32_32 and e500_p50_lr1e-3_bs256_nbs2000_ad10 "
    "of wnhsu/FactorizedHierarchicalVAE (src/models); MAP estimate of wnhsu/ScalableFHVAE, fhvae/models/fhvae_fn.py.",
    notes="alpha=10 (default) adds the discriminative term over all training recordings; alpha=0 is the model that "
    "C-DSVAE's remark 'no additional loss' describes. The first code swaps the paper's names (its z1 is the paper's "
    "z2). Its L2 weight of 1e-4 acts on fully connected hidden layers alone, of which this configuration has none: no "
    "weight is decayed, in it or here. Its learning-rate decay is never called. LSTMs start as TensorFlow's: uniform "
    "Xavier weights over input and state together, forget bias 1, one bias per gate. The second code has two-layer "
    "LSTMs (n_layers=2), 500,000 steps and hierarchical sampling, which draws 2,000 or 5,000 recordings at a time to "
    "bound the table; TIMIT's 3,696 need no such bound, and it is not offered. Both stop early on the bound of a "
    "development set (patience 50 or 10 epochs); here the last step counts. Segments are those of the data set, drawn "
    "uniformly. z1 is one vector per segment: as the dynamic part it is repeated over the segment's frames. Codes are "
    "posterior means, z1's given z2's mean. The cosine between two utterance vectors does not change where means over "
    "segments stand for the MAP estimates: they are parallel. Decoding is of whole segments (generate): one frame's "
    "code does not say which frame it is. A step at budget quick takes 0.09 s on one core.",
)


@register_method("fhvae", config=FHVAEConfig, card=CARD)
class FHVAE(Method):
    """Two LSTM encoders, one LSTM decoder and a trainable table of s-vectors. Sees segments of audio features."""

    extras = ("recording", "n_segments")

    def __init__(self, config: FHVAEConfig, data: DataSpec) -> None:
        super().__init__()
        if len(data.observation_shape) != 1:
            raise ValueError(f"fhvae: needs audio features (n,), got observations of {data.observation_shape}")
        missing = [name for name in self.extras if name not in data.extras]
        if missing or not data.n_sequences:
            wanted = missing[0] if missing else "n_sequences"
            raise ValueError(f"fhvae: needs data that tell which recording a segment is of, this has no '{wanted}'")
        self.config = config
        (n_features,) = data.observation_shape
        n_static, n_dynamic, width, n_layers = config.n_static, config.n_dynamic, config.width, config.n_layers
        self.static_encoder = SegmentEncoder(n_features, width, n_layers, n_static)
        self.dynamic_encoder = SegmentEncoder(n_features + n_static, width, n_layers, n_dynamic)
        self.decoder = SegmentDecoder(n_dynamic + n_static, width, n_layers, n_features)
        self.s_vectors = nn.Parameter(torch.randn(data.n_sequences, n_static))

    def posterior(self, x: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, ...]:
        """z2, mean and log-variance of q(z2|x) and of q(z1|x, z2), each (batch, n), of segments (batch, time, n).

        z2 is a sample where a generator is given, the mean otherwise.
        """
        mean2, log_var2 = self.static_encoder(x)
        z2 = mean2 if generator is None else sample_gaussian(mean2, log_var2, generator)
        mean1, log_var1 = self.dynamic_encoder(torch.cat([x, over_time(z2, x.shape[1])], -1))
        return z2, mean2, log_var2, mean1, log_var1

    def losses(self, batch: Batch, generator: torch.Generator, player: str = "model") -> dict[str, Tensor]:
        """Means over segments in nats: ``nll`` summed over frames and features, ``kl_dynamic`` of z1, ``kl_static`` of
        z2 to N(μ2, ¼), ``s_vector_nll`` = -log N(μ2; 0, I) / n_segments and ``recording_nll`` = -log p(recording|z2).
        """
        x, recording = batch.x, batch.extras["recording"]
        z2, mean2, log_var2, mean1, log_var1 = self.posterior(x, generator)
        z1 = sample_gaussian(mean1, log_var1, generator)
        x_mean, x_log_var = self.decoder(torch.cat([z1, z2], -1), x.shape[1])
        s_vectors = self.s_vectors[recording]

        nll = -gaussian_log_density(x, x_mean, x_log_var).sum(1).mean()
        kl_dynamic = gaussian_kl(mean1, log_var1).mean()
        kl_static = kl_to_s_vector(mean2, log_var2, s_vectors).mean()
        s_vector_nll = -(standard_log_density(s_vectors) / batch.extras["n_segments"]).mean()
        recording_nll = -log_recording(mean2, self.s_vectors, recording).mean()
        loss = nll + kl_dynamic + kl_static + s_vector_nll + self.config.alpha * recording_nll
        return {
            "loss": loss,
            "nll": nll,
            "kl_dynamic": kl_dynamic,
            "kl_static": kl_static,
            "s_vector_nll": s_vector_nll,
            "recording_nll": recording_nll,
        }

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Adam with the authors' β1 = 0.95."""
        parameters, rate = self.player_parameters("model"), self.config.learning_rate
        return {"model": torch.optim.Adam(parameters, lr=rate, betas=(0.95, 0.999), fused=True)}

    def parts(self, x: Tensor) -> dict[str, Tensor]:
        """Posterior means: "static" of z2 (batch, n_static), "dynamic" of z1 (batch, time, n_dynamic), repeated."""
        _, static, _, dynamic, _ = self.posterior(x)
        return {"static": static, "dynamic": over_time(dynamic, x.shape[1])}

    def encode(self, x: Tensor) -> Tensor:
        """Static, then dynamic codes (batch, time, n_static + n_dynamic) of segments x (batch, time, n_features)."""
        parts = self.parts(x)
        return torch.cat([over_time(parts["static"], x.shape[1]), parts["dynamic"]], -1)

    def generate(self, static: Tensor, dynamic: Tensor) -> Tensor:
        """Mean features (batch, time, n_features) of z2 (batch, n_static) and z1 (batch, time, n_dynamic).

        A segment has one z1: the mean of ``dynamic`` over time.
        """
        mean, _ = self.decoder(torch.cat([dynamic.mean(1), static], -1), dynamic.shape[1])
        return mean  # type: ignore[no-any-return]

    def sample_prior(self, n: int, n_frames: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Segments of n new recordings: μ2 ~ N(0, I), z2 ~ N(μ2, ¼), z1 ~ N(0, I) repeated over the frames."""
        n_static, n_dynamic = self.config.n_static, self.config.n_dynamic
        noise = torch.randn(n, 2 * n_static + n_dynamic, generator=generator, device=generator.device)
        s_vectors, around, dynamic = noise.split([n_static, n_static, n_dynamic], 1)
        return {"static": s_vectors + math.sqrt(SHARED_VARIANCE) * around, "dynamic": over_time(dynamic, n_frames)}

    def utterance_vector(self, means: Tensor) -> Tensor:
        """MAP estimate of μ2, (n_static,), from the posterior means of z2 of a recording's segments (n, n_static)."""
        return map_s_vector(means)


class SegmentEncoder(nn.Module):
    """Segments (batch, time, n_inputs) -> mean and log-variance, each (batch, n_latents) float32.

    Both are linear in the last states of all LSTM layers.
    """

    def __init__(self, n_inputs: int, width: int, n_layers: int, n_latents: int) -> None:
        super().__init__()
        self.lstm = tensorflow_lstm(n_inputs, width, n_layers)
        self.mean, self.log_var = xavier_linear(n_layers * width, n_latents), xavier_linear(n_layers * width, n_latents)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        _, (last, _) = self.lstm(x)
        hidden = last.transpose(0, 1).flatten(1)
        return self.mean(hidden).float(), self.log_var(hidden).float()


class SegmentDecoder(nn.Module):
    """Latents (batch, n_latents), given to an LSTM at each step -> mean and log-variance (batch, time, n_features)."""

    def __init__(self, n_latents: int, width: int, n_layers: int, n_features: int) -> None:
        super().__init__()
        self.lstm = tensorflow_lstm(n_latents, width, n_layers)
        self.mean, self.log_var = xavier_linear(width, n_features), xavier_linear(width, n_features)

    def forward(self, z: Tensor, n_frames: int) -> tuple[Tensor, Tensor]:
        hidden, _ = self.lstm(over_time(z, n_frames))
        return self.mean(hidden).float(), self.log_var(hidden).float()


def tensorflow_lstm(n_inputs: int, width: int, n_layers: int) -> nn.LSTM:
    """An LSTM with the initial weights and the number of parameters of TensorFlow 1's ``BasicLSTMCell``."""
    lstm = nn.LSTM(n_inputs, width, n_layers, batch_first=True)
    with torch.no_grad():
        for layer in range(n_layers):
            weights = getattr(lstm, f"weight_ih_l{layer}"), getattr(lstm, f"weight_hh_l{layer}")
            bound = math.sqrt(6 / (weights[0].shape[1] + width + 4 * width))  # one matrix over input and state
            for weight in weights:
                weight.uniform_(-bound, bound)
            bias, second = getattr(lstm, f"bias_ih_l{layer}"), getattr(lstm, f"bias_hh_l{layer}")
            bias.zero_()[width : 2 * width].fill_(1.0)  # torch orders the gates input, forget, cell, output
            second.zero_().requires_grad_(False)
    return lstm


def xavier_linear(n_inputs: int, n_outputs: int) -> nn.Linear:
    """A linear layer with uniform Xavier weights and zero biases."""
    layer = nn.Linear(n_inputs, n_outputs)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def over_time(codes: Tensor, n_frames: int) -> Tensor:
    """Codes (batch, n) repeated over time, (batch, n_frames, n)."""
    return codes[:, None].expand(-1, n_frames, -1)


def standard_log_density(z: Tensor) -> Tensor:
    """log N(z; 0, I) summed over the last axis."""
    return gaussian_log_density(z, torch.zeros_like(z), torch.zeros_like(z))


def kl_to_s_vector(mean: Tensor, log_var: Tensor, s_vectors: Tensor) -> Tensor:
    """KL(N(mean, exp(log_var)) ‖ N(s_vectors, ¼ I)), summed over the last axis."""
    # a divergence does not change where both sides are shifted and scaled alike
    return gaussian_kl((mean - s_vectors) / math.sqrt(SHARED_VARIANCE), log_var - math.log(SHARED_VARIANCE))


def log_recording(mean: Tensor, s_vectors: Tensor, recording: Tensor) -> Tensor:
    """log p(recording | z̄2), (batch,): a softmax over the densities N(z̄2; μ2, ¼ I) of all rows of the table.

    Args:
        mean: posterior means z̄2 (batch, n_static).
        s_vectors: (n_recordings, n_static).
        recording: row of each segment's recording, (batch,) int64.
    """
    with torch.autocast(mean.device.type, enabled=False):
        # |z̄2|² is the same for all rows: the softmax does not see it
        logits = (mean @ s_vectors.T - 0.5 * (s_vectors**2).sum(1)) / SHARED_VARIANCE
    return logits.log_softmax(1).gather(1, recording[:, None])[:, 0]


def map_s_vector(means: Tensor) -> Tensor:
    """argmax of log N(μ2; 0, I) + Σ_n log N(z̄2_n; μ2, ¼ I), (n_static,), for means z̄2 (n, n_static)."""
    return means.sum(0) / (len(means) + SHARED_VARIANCE)
