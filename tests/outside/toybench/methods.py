"""A linear autoencoder, and methods that fail in the ways that real ones do."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

import torch
from torch import nn

from bench.api import Method, MethodCard, MethodConfig
from bench.registry import register_method


@dataclass(frozen=True)
class ToyConfig(MethodConfig):
    n_steps: int = 30
    batch_size: int = 16
    learning_rate: float = 1e-2
    n_latents: int = 4


def card(view="images", **more):
    return MethodCard(
        title="Toy", paper="none", summary="A linear autoencoder.", family="static", view=view,
        budgets={"smoke": {}, "quick": {}, "standard": {}, "paper": {}}, verified="by its own test", source="none",
        **more,
    )  # fmt: skip


class Linear(Method):
    def __init__(self, config, data):
        super().__init__()
        self.shape = data.observation_shape
        n = data.observation_shape[0] * data.observation_shape[1] * data.observation_shape[2]
        self.encoder, self.decoder = nn.Linear(n, config.n_latents), nn.Linear(config.n_latents, n)

    def encode(self, x):
        return self.encoder(x.flatten(2))

    def decode(self, codes):
        return self.decoder(codes).sigmoid().unflatten(1, self.shape)

    def losses(self, batch, generator, player="model"):
        frames = batch.x.flatten(0, 1)
        noise = torch.randn(len(frames), self.encoder.out_features, generator=generator, device=generator.device)
        codes = self.encoder(frames.flatten(1)).float()
        logits = self.decoder(codes + 0.01 * noise).float()
        loss = nn.functional.binary_cross_entropy_with_logits(logits, frames.flatten(1), reduction="sum") / len(frames)
        return {"loss": loss}


@register_method("toy_ae", config=ToyConfig, card=card())
class ToyAE(Linear):
    """Behaves."""


@register_method("toy_raises", config=ToyConfig, card=card())
class Raises(Linear):
    def losses(self, batch, generator, player="model"):
        if batch.step == 3:
            raise RuntimeError("the toy broke\non two lines")
        return super().losses(batch, generator)


@register_method("toy_nan", config=ToyConfig, card=card())
class Nan(Linear):
    def losses(self, batch, generator, player="model"):
        loss = super().losses(batch, generator)["loss"]
        return {"loss": loss * (float("nan") if batch.step >= 5 else 1.0)}


@register_method("toy_killed", config=ToyConfig, card=card())
class Killed(Linear):
    def losses(self, batch, generator, player="model"):
        if batch.step == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().losses(batch, generator)


@register_method("toy_sequences", config=ToyConfig, card=card(view="sequences"))
class Sequences(Linear):
    """Needs a view that toy_squares does not offer."""
