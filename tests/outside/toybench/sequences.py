"""Sequences of a square that walks, or of features, with an extra array; and methods that see whole sequences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from bench.api import Method, MethodCard, MethodConfig
from bench.datasets.base import DataInfo, DatasetCard, FactorSpace, Source
from bench.datasets.containers import SequenceData
from bench.registry import register_dataset, register_method

N_FRAMES = 5


@dataclass(frozen=True)
class ToyWalksConfig:
    n_sequences: int = 90
    features: bool = False  # frames of 12 numbers in place of images
    volume: bool = True  # an extra of each batch


def describe(config):
    factors = FactorSpace(("shade", "place"), (3, 4), ("ordinal", "cyclic"), (False, True))
    shape = (12,) if config.features else (1, 8, 8)
    extras = {"volume": (N_FRAMES,)} if config.volume else {}
    return DataInfo(shape, ("sequences", "images"), factors, n_frames=N_FRAMES, extras=extras)


DATA_CARD = DatasetCard(
    title="Toy walks", paper="none", summary="A square that walks.", license="generated", describe=describe,
    source=lambda config, root: Source("generated"), budgets={}, verified="by its own test",
)  # fmt: skip


@register_dataset("toy_walks", config=ToyWalksConfig, card=DATA_CARD)
def toy_walks(config, store):
    rng = np.random.default_rng(0)
    n = config.n_sequences
    shade = np.repeat(rng.integers(3, size=(n, 1)), N_FRAMES, axis=1)
    place = (rng.integers(4, size=(n, 1)) + np.arange(N_FRAMES)) % 4
    if config.features:
        frames = rng.normal(size=(n, N_FRAMES, 12)).astype(np.float32) * 0.1
        frames[..., 0] += shade
        frames[..., 1] += place
    else:
        frames = np.zeros((n, N_FRAMES, 1, 8, 8), np.uint8)
        for i, j in np.ndindex(n, N_FRAMES):
            frames[i, j, 0, 2 * place[i, j] : 2 * place[i, j] + 2, :] = 85 * (shade[i, j] + 1)
    splits = {"train": np.arange(n // 3, n), "test": np.arange(n // 3)}
    volume = frames.reshape(n, N_FRAMES, -1).mean(-1).astype(np.float32)
    factors = np.stack([shade, place], axis=-1)
    extras = {"volume": lambda: volume} if config.volume else {}
    return SequenceData(describe(config), frames, factors, splits, extras=extras)


@dataclass(frozen=True)
class ToyStaticDynamicConfig(MethodConfig):
    n_steps: int = 40
    batch_size: int = 8
    learning_rate: float = 1e-2
    n_static: int = 2
    n_dynamic: int = 3


def card():
    return MethodCard(
        title="Toy", paper="none", summary="Linear, with a static part.", family="sequential", view="sequences",
        budgets={"smoke": {}, "quick": {}, "standard": {}, "paper": {}}, verified="by its own test", source="none",
    )  # fmt: skip


class Generator(Method):
    """Decodes [static, dynamic] of each frame by a linear map, and samples from a normal prior."""

    def __init__(self, config, data):
        super().__init__()
        if "volume" not in data.extras:
            raise ValueError("toy_static_dynamic: needs the extra 'volume' with each batch")
        self.extras = ("volume",)
        self.config, self.shape = config, data.observation_shape
        self.decoder = nn.Linear(config.n_static + config.n_dynamic, int(np.prod(self.shape)))

    def generate(self, static, dynamic):
        codes = torch.cat([static[:, None].expand(-1, dynamic.shape[1], -1), dynamic], dim=-1)
        x = self.decoder(codes.flatten(0, 1)).float().unflatten(1, self.shape).unflatten(0, codes.shape[:2])
        return x.sigmoid() if len(self.shape) == 3 else x

    def sample_prior(self, n, n_frames, generator):
        static = torch.randn(n, self.config.n_static, generator=generator, device=generator.device)
        dynamic = torch.randn(n, n_frames, self.config.n_dynamic, generator=generator, device=generator.device)
        return {"static": static, "dynamic": dynamic}


@register_method("toy_static_dynamic", config=ToyStaticDynamicConfig, card=card())
class StaticDynamic(Generator):
    def __init__(self, config, data):
        super().__init__(config, data)
        self.encoder = nn.Linear(int(np.prod(self.shape)), config.n_static + config.n_dynamic)

    def parts(self, x):
        codes = self.encoder(x.flatten(2)).float()
        return {"static": codes[..., : self.config.n_static].mean(1), "dynamic": codes[..., self.config.n_static :]}

    def encode(self, x):
        parts = self.parts(x)
        return torch.cat([parts["static"][:, None].expand(-1, x.shape[1], -1), parts["dynamic"]], dim=-1)

    def decode(self, codes):
        return self.generate(codes[:, : self.config.n_static], codes[:, None, self.config.n_static :])[:, 0]

    def log_weights(self, x, n_samples, generator):
        error = (self.generate(**self.parts(x)) - x).square().flatten(1).sum(1)
        return -error[:, None] + 0.01 * torch.randn(len(x), n_samples, generator=generator, device=x.device)

    def losses(self, batch, generator, player="model"):
        static, dynamic = self.parts(batch.x).values()
        dynamic = dynamic + 0.01 * torch.randn(dynamic.shape, generator=generator, device=generator.device)
        nll = (self.generate(static, dynamic) - batch.x).square().flatten(1).sum(1).mean()
        volume = (batch.extras["volume"] - batch.x.flatten(2).mean(2)).abs().mean().detach()
        return {"loss": nll + volume, "nll": nll, "volume": volume}


@register_method("toy_generates", config=ToyStaticDynamicConfig, card=card())
class Generates(Generator):
    """Has no code: its samples' mean is drawn to the data's."""

    def losses(self, batch, generator, player="model"):
        drawn = self.generate(**self.sample_prior(len(batch.x), batch.x.shape[1], generator))
        return {"loss": (drawn.mean(0) - batch.x.mean(0)).square().sum()}
