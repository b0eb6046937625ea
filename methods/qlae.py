"""QLAE (Hsu et al., NeurIPS 2023): an autoencoder whose every latent is one of a few scalars of its own code book.

After the authors' code, kylehkhsu/latent_quantization: strong weight decay on a deterministic autoencoder, quantised
latents by straight-through gradients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from bench.api import Batch, DataSpec, Method, MethodCard, MethodConfig
from bench.registry import register_method
from methods.image_vae import deterministic_encoder
from methods.networks import slowvae_network
from methods.parameters import check_at_least, check_one_of, check_training
from methods.style_networks import StyleDecoder, instance_norm_encoder

Network = Literal["released", "slowvae"]


@dataclass(frozen=True)
class QLAEConfig(MethodConfig):
    """Defaults are the authors' Shapes3D configuration, with 10 latents.

    Attributes:
        n_latents: the authors take twice the number of factors: 12 for Shapes3D, 14 for MPI3D.
        n_values: values per latent.
        quantize_weight, commit_weight: of the two code-book terms.
        weight_decay: decoupled, on all weights but biases and code books (0.001 for MPI3D).
        network: "released" or "slowvae" (that of the other methods of this suite).
    """

    n_steps: int = 200_000
    batch_size: int = 128
    learning_rate: float = 1e-3
    n_latents: int = 10
    n_values: int = 10
    quantize_weight: float = 0.01
    commit_weight: float = 0.01
    weight_decay: float = 0.1
    network: Network = "released"

    def __post_init__(self) -> None:
        check_training("qlae", self)
        check_at_least("qlae", self, 1, "n_latents")
        check_at_least("qlae", self, 2, "n_values")
        check_at_least("qlae", self, 0, "quantize_weight", "commit_weight", "weight_decay")
        check_one_of("qlae", self, "network", get_args(Network))


CARD = MethodCard(
    title="QLAE",
    paper="Hsu, Dorrell, Whittington, Wu & Finn, Disentanglement via Latent Quantization, NeurIPS 2023",
    summary="An autoencoder with strong weight decay whose latents take a few learned scalar values each.",
    family="static",
    view="images",
    budgets={
        # the suite's network, at the suite's batch: the released one takes seconds a step on a CPU
        "smoke": {"n_steps": 20, "batch_size": 16, "network": "slowvae"},
        "quick": {"n_steps": 900, "batch_size": 64, "network": "slowvae"},
        "standard": {"n_steps": 30_000, "batch_size": 64},
        "paper": {},
    },
    verified="Nearest values, straight-through gradient, and which term moves which parameters; groups of the "
    "optimiser. Published scores are not reproduced yet.",
    source="kylehkhsu/latent_quantization (models, configurations of Shapes3D).",
    notes="Codes are the quantised values, so they are discrete. The reconstruction is a mean over pixels in the loss "
    "(nll is logged per image, in nats). Reconstruction does not move the code books. Element-wise clipping of "
    "gradients at 1 before Adam, as released, on the decayed weights alone. smoke and quick use SlowVAE's network, "
    "which has no instance norms.",
)


@register_method("qlae", config=QLAEConfig, card=CARD)
class QLAE(Method):
    """Deterministic autoencoder with one code book of scalars per latent. Sees single frames."""

    def __init__(self, config: QLAEConfig, data: DataSpec) -> None:
        super().__init__()
        self.config = config
        shape = data.observation_shape
        self.encoder: nn.Module
        self.decoder: nn.Module
        if config.network == "slowvae":
            self.encoder = deterministic_encoder("slowvae", shape, config.n_latents)
            self.decoder = slowvae_network(shape, config.n_latents).decoder
        else:
            self.encoder = instance_norm_encoder(shape, config.n_latents)
            self.decoder = StyleDecoder(shape, config.n_latents)
        values = torch.linspace(-0.5, 0.5, config.n_values)
        self.values = nn.Parameter(values.repeat(config.n_latents, 1))
        for parameter in self._decayed():
            parameter.register_hook(lambda gradient: gradient.clamp(-1, 1))

    def _decayed(self) -> list[nn.Parameter]:
        return [p for name, p in self.named_parameters() if name != "values" and not name.endswith("bias")]

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """AdamW on the weights, Adam (no decay) on biases and code books."""
        decayed = self._decayed()
        ids = {id(p) for p in decayed}
        others = [p for p in self.parameters() if id(p) not in ids]
        groups = [
            {"params": decayed, "weight_decay": self.config.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        return {"model": torch.optim.AdamW(groups, lr=self.config.learning_rate, fused=True)}

    def quantize(self, z: Tensor) -> Tensor:
        """The nearest value of each latent's code book, for z (n, n_latents); gradients reach the code book alone."""
        nearest = (z.detach()[:, :, None] - self.values.detach()).abs().argmin(-1)
        return self.values.gather(1, nearest.T).T

    def encode(self, x: Tensor) -> Tensor:
        """Quantised codes (batch, time, n_latents) of x (batch, time, *observation)."""
        return self.quantize(self.encoder(x.flatten(0, 1)).float()).unflatten(0, x.shape[:2])

    def decode(self, codes: Tensor) -> Tensor:
        """Pixel means in [0, 1], (n, *observation), of codes (n, n_latents)."""
        return self.decoder(codes).float().sigmoid()  # type: ignore[no-any-return]

    def losses(self, batch: Batch, generator: torch.Generator, player: str = "model") -> dict[str, Tensor]:
        """``nll`` is per image in nats; ``quantize`` and ``commit`` are mean squared distances to the code books."""
        frames = batch.x.flatten(0, 1)
        z = self.encoder(frames).float()
        quantized = self.quantize(z)
        straight_through = z + (quantized - z).detach()
        bce = binary_cross_entropy_with_logits(self.decoder(straight_through).float(), frames)
        quantize = ((z.detach() - quantized) ** 2).mean()
        commit = ((z - quantized.detach()) ** 2).mean()
        loss = bce + self.config.quantize_weight * quantize + self.config.commit_weight * commit
        return {"loss": loss, "nll": bce.detach() * frames[0].numel(), "quantize": quantize, "commit": commit}
