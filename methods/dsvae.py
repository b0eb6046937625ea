"""DSVAE (Li & Mandt, ICML 2018): a sequential VAE with one static code and a dynamic code for each frame.

p(s) = N(0, I), p(z_t|z_<t) from an LSTM fed the code before it (z_0 = 0), p(x_t|s, z_t) around the decoded frame;
loss = E[Σ (x - x̂)²] + KL(q(s|x) ‖ p(s)) + Σ_t KL(q(z_t) ‖ p(z_t|z_<t)).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from bench.api import Batch, DataSpec, MethodCard
from bench.registry import register_method
from methods.dsvae_networks import kaiming_with_raised_norms, wide_decoder, wide_encoder
from methods.parameters import check_at_least, check_one_of
from methods.sequence_networks import FactorisedPosterior, FullPosterior, LSTMPrior, SharedPosterior
from methods.sequential_vae import SIZES_NOTE, SequenceVAE, SequentialConfig, SequentialVAE, sequence_vae

PosteriorName = Literal["full", "factorised", "shared"]
Network = Literal["dcgan", "reimplementation"]
POSTERIORS: dict[str, type[FullPosterior] | type[FactorisedPosterior] | type[SharedPosterior]] = {
    "full": FullPosterior,
    "factorised": FactorisedPosterior,
    "shared": SharedPosterior,
}
# the settings of yatindandi/Disentangled-Sequential-Autoencoder: 200 epochs of 7,560 sequences
REIMPLEMENTATION = {
    "network": "reimplementation",
    "width": 256,
    "n_features": 2048,
    "n_hidden": 512,
    "batch_size": 25,
    "learning_rate": 2e-4,
    "n_steps": 60_480,
}


@dataclass(frozen=True)
class DSVAEConfig(SequentialConfig):
    """Sizes and training of C-DSVAE's released Sprites run, so that a table compares objectives.

    Attributes:
        posterior: q of the dynamic codes: "full" q(z_t|x, s), "factorised" q(z_t|x_t), or "shared" q(z_t|x) from one
            bi-LSTM for both codes, C-DSVAE's network.
        network: "dcgan" (that of C-DSVAE, S3VAE and SPYL) or "reimplementation" (a public one of DSVAE;
            grid=reimplementation sets its sizes too).
        kl_weight: of both KL terms; 1 is the evidence bound.
    """

    posterior: PosteriorName = "full"
    network: Network = "dcgan"
    kl_weight: float = 1.0

    def __post_init__(self) -> None:
        self.check("dsvae")
        check_one_of("dsvae", self, "posterior", get_args(PosteriorName))
        check_one_of("dsvae", self, "network", get_args(Network))
        check_at_least("dsvae", self, 0, "kl_weight")


CARD = MethodCard(
    title="DSVAE",
    paper="Li & Mandt, Disentangled Sequential Autoencoder, ICML 2018",
    summary="A VAE of sequences with one static code, a dynamic code for each frame, and an LSTM prior.",
    family="sequential",
    view="sequences",
    budgets={
        "smoke": {"n_steps": 20, "batch_size": 8, "width": 8},
        "quick": {"n_steps": 2_400, "batch_size": 8, "learning_rate": 2e-3, "width": 16},
        "standard": {"n_steps": 7_000, "batch_size": 32, "width": 32},
        "paper": {},
    },
    verified="KL terms against torch.distributions and Monte Carlo; the teacher-forced prior against a loop over "
    "LSTM cells; parameter counts of both networks. Published scores are not reproduced yet.",
    source="The model as C-DSVAE's paper and Li & Mandt give it; plain sums, weights 1. Networks and training of "
    "JunwenBai/C-DSVAE (network=dcgan), or of yatindandi/Disentangled-Sequential-Autoencoder "
    "(network=reimplementation). The authors' own code was not found.",
    notes="dsvae[posterior=shared] is C-DSVAE's network with its contrastive and mutual-information terms at 0. The "
    "prior of the KL is fed the posterior's samples; the re-implementation lets it run free, which is not "
    "p(z_t|z_<t), and is not followed. It puts a LeakyReLU(0.2) on the static mean and log-variance against its own "
    "description; so does C-DSVAE's network (posterior=shared), while full and factorised on network=dcgan have plain "
    "linear heads. network=reimplementation has its pixels in [-1, 1], so its squared error counts four times; its "
    "recurrent prior has one layer. grid=sizes shows how much of a split a small z_t owes to its size alone. "
    "A step at budget quick takes 0.07 s on one core on Sprites. "
    f"{SIZES_NOTE}",
    grids={
        "posteriors": ({"posterior": "full"}, {"posterior": "factorised"}, {"posterior": "shared"}),
        "sizes": tuple({"posterior": "shared", "n_dynamic": n} for n in (4, 8, 32, 256)),
        "reimplementation": (
            REIMPLEMENTATION,
            {**REIMPLEMENTATION, "posterior": "factorised", "n_steps": 151_200},  # the trainer's own 500 epochs
        ),
    },
)


@register_method("dsvae", config=DSVAEConfig, card=CARD)
class DSVAE(SequentialVAE):
    """The evidence lower bound and nothing else."""

    def __init__(self, config: DSVAEConfig, data: DataSpec) -> None:
        super().__init__(config, data)
        self.kl_weight = config.kl_weight
        self.reconstruction_weight = 1.0 if config.network == "dcgan" else 4.0  # (2x - 1)² instead of x²
        self.model = dsvae_network(config, data)

    def losses(self, batch: Batch, generator: torch.Generator, player: str = "model") -> dict[str, Tensor]:
        """``reconstruction``, ``kl_static`` and ``kl_dynamic``: sums over a sequence, means over the batch."""
        terms = self.evidence_terms(batch.x, self.model.infer(batch.x, generator))
        kl = terms["kl_static"] + terms["kl_dynamic"]
        return {"loss": self.reconstruction_weight * terms["reconstruction"] + self.kl_weight * kl, **terms}


def dsvae_network(config: DSVAEConfig, data: DataSpec) -> SequenceVAE:
    """The network that the config names, freshly drawn."""
    c = config
    is_rectified = c.network == "reimplementation" or c.posterior == "shared"
    posterior: nn.Module = POSTERIORS[c.posterior](c.n_features, c.n_hidden, c.n_static, c.n_dynamic, is_rectified)
    if c.network == "dcgan":
        return sequence_vae(c, data, posterior)
    network = SequenceVAE(
        wide_encoder(data.observation_shape, c.n_features, c.width),
        posterior,
        LSTMPrior(c.n_dynamic, c.n_hidden, n_layers=1),
        wide_decoder(c.n_dynamic + c.n_static, data.observation_shape, c.n_features, c.width),
    )
    return network.apply(kaiming_with_raised_norms)
