"""Reference points: representations that learn nothing, or know everything, for every table to stand between.

None is trained by gradient. ``pca`` and ``ica`` are what linear algebra gives; ``random_codes`` and ``untrained`` are
floors; ``oracle`` is the ceiling of the metrics.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from bench.api import DataSpec, Method, MethodCard, MethodConfig
from bench.registry import register_method
from methods.image_vae import ImageVAE, ImageVAEConfig
from methods.parameters import check_at_least

if TYPE_CHECKING:  # imported where it is used: every process that knows the methods would spend seconds on it
    from sklearn import decomposition

BUDGETS: dict[str, dict[str, object]] = {"smoke": {}, "quick": {}, "standard": {}, "paper": {}}


@dataclass(frozen=True)
class ReferenceConfig(MethodConfig):
    """A reference point has only ``n_latents``; 10 as the methods beside it."""

    n_steps: int = 0
    n_latents: int = 10

    def __post_init__(self) -> None:
        check_at_least("reference point", self, 1, "n_latents")
        _check_untrained(self)


@dataclass(frozen=True)
class UntrainedConfig(ImageVAEConfig):
    """Which network stays as it was initialised."""

    n_steps: int = 0

    def __post_init__(self) -> None:
        self.check("untrained")
        _check_untrained(self)


def _check_untrained(config: MethodConfig) -> None:
    for parameter in fields(MethodConfig):
        default = 0 if parameter.name == "n_steps" else parameter.default
        if getattr(config, parameter.name) != default:
            raise ValueError(f"reference point: it is not trained, so '{parameter.name}' cannot be set")


@register_method(
    "random_codes",
    config=ReferenceConfig,
    card=MethodCard(
        title="Random codes",
        paper="none",
        summary="Standard normal codes that know nothing of the observation: the floor of every score.",
        family="reference",
        view="images",
        budgets=BUDGETS,
        verified="Moments, independence between latents and of neighbouring images, equality for equal observations.",
        source="This suite; splitmix64 finaliser of Steele, Lea & Flood (OOPSLA 2014).",
        notes="A hash of the observation's bits stands in for the noise, so that codes do not depend on the order or "
        "number of what is encoded. Observations equal to the last bit get equal codes. Seeds draw another hash.",
    ),
)
class RandomCodes(Method):
    """Independent N(0, 1) codes, a fixed function of each observation's bits and of the run's seed."""

    def __init__(self, config: ReferenceConfig, data: DataSpec) -> None:
        super().__init__()
        limits = torch.iinfo(torch.int64)
        draw = torch.randint(limits.min, limits.max, (math.prod(data.observation_shape) + config.n_latents,))
        self.multipliers: Tensor
        self.salts: Tensor
        self.register_buffer("multipliers", draw[: -config.n_latents] | 1)
        self.register_buffer("salts", draw[-config.n_latents :])

    def encode(self, x: Tensor) -> Tensor:
        """Codes (batch, time, n_latents) of x (batch, time, *observation)."""
        frames = x.flatten(0, 1).flatten(1).float().contiguous()
        # In pieces: the products are 8 bytes a pixel.
        hashes = [(piece.view(torch.int32) * self.multipliers).sum(1) for piece in frames.split(256)]
        bits = _mixed(_mixed(torch.cat(hashes))[:, None] ^ self.salts)
        uniform = ((bits & 0xFFFFFFFF).double() + 0.5) / 2**32
        return torch.special.ndtri(uniform).float().unflatten(0, x.shape[:2])


def _mixed(bits: Tensor) -> Tensor:
    """Splitmix64's finaliser: an int64 permutation in which each input bit flips each output bit half of the time."""
    bits = (bits ^ _shifted(bits, 30)) * (0xBF58476D1CE4E5B9 - 2**64)
    bits = (bits ^ _shifted(bits, 27)) * (0x94D049BB133111EB - 2**64)
    return bits ^ _shifted(bits, 31)


def _shifted(bits: Tensor, by: int) -> Tensor:
    """Logical right shift; torch's own keeps the sign."""
    return (bits >> by) & ((1 << (64 - by)) - 1)


class LinearCodes(Method):
    """Codes that are linear in the pixels: codes = (x - mean) analysisᵀ and x ≈ mean + codes synthesis."""

    def __init__(self, config: ReferenceConfig, data: DataSpec) -> None:
        super().__init__()
        self.n_latents = config.n_latents
        self.observation_shape = data.observation_shape
        n_pixels = math.prod(data.observation_shape)
        self.mean: Tensor
        self.analysis: Tensor
        self.synthesis: Tensor
        self.register_buffer("mean", torch.zeros(n_pixels))
        self.register_buffer("analysis", torch.zeros(config.n_latents, n_pixels))
        self.register_buffer("synthesis", torch.zeros(config.n_latents, n_pixels))

    def encode(self, x: Tensor) -> Tensor:
        """Codes (batch, time, n_latents) of x (batch, time, *observation)."""
        return (x.flatten(2) - self.mean) @ self.analysis.T

    def decode(self, codes: Tensor) -> Tensor:
        """Reconstructions (n, *observation) of codes (n, n_latents); images are cut to [0, 1]."""
        x = (self.mean + codes @ self.synthesis).unflatten(1, self.observation_shape)
        return x.clamp(0, 1) if len(self.observation_shape) == 3 else x

    def _fit_pca(self, x: Tensor, generator: torch.Generator) -> tuple[decomposition.PCA, np.ndarray]:
        """PCA of x (n, *observation), kept in the buffers, and the scores (n, n_latents) of x."""
        from sklearn import decomposition

        pixels = x.flatten(1).cpu().numpy()
        if min(pixels.shape) < self.n_latents:
            raise ValueError(
                f"{self.card.title}: {self.n_latents} components need as many frames and values a frame, "
                f"got {pixels.shape[0]} frames of {pixels.shape[1]} values; lower n_latents"
            )
        pca = decomposition.PCA(self.n_latents, random_state=_sklearn_seed(generator))
        scores = pca.fit_transform(pixels)
        self._keep(mean=pca.mean_, analysis=pca.components_, synthesis=pca.components_)
        return pca, scores

    def _keep(self, **arrays: np.ndarray) -> None:
        for name, array in arrays.items():
            getattr(self, name).copy_(torch.from_numpy(array))


@register_method(
    "pca",
    config=ReferenceConfig,
    card=MethodCard(
        title="PCA",
        paper="Pearson 1901; Hotelling 1933",
        summary="Leading principal components of the pixels.",
        family="reference",
        view="images",
        budgets=BUDGETS,
        verified="Against the eigenvectors of the covariance matrix.",
        source="scikit-learn PCA on at most 5,000 frames.",
        notes="Codes are scores in descending order of variance, not whitened.",
    ),
)
class PCA(LinearCodes):
    """Principal components."""

    def fit(self, x: Tensor, generator: torch.Generator) -> None:
        """Fit on x (n, *observation) in [0, 1]; ``generator`` seeds the randomised solver.

        Raises:
            ValueError: fewer frames or values a frame than latents.
        """
        self._fit_pca(x, generator)


@register_method(
    "ica",
    config=ReferenceConfig,
    card=MethodCard(
        title="ICA",
        paper="Hyvärinen & Oja, Independent component analysis: algorithms and applications, Neural Networks 2000",
        summary="Linear independent components of the leading principal components.",
        family="reference",
        view="images",
        budgets=BUDGETS,
        verified="Recovers mixed independent sources.",
        source="scikit-learn FastICA (parallel, logcosh) after PCA to n_latents, on at most 5,000 frames.",
        notes="Codes have unit variance on the fitted frames. Stops after 1,000 steps, converged or not.",
    ),
)
class ICA(LinearCodes):
    """Independent components after PCA to the same number."""

    def fit(self, x: Tensor, generator: torch.Generator) -> None:
        """Fit on x (n, *observation) in [0, 1]; ``generator`` seeds the solvers.

        Raises:
            ValueError: fewer frames or values a frame than latents.
        """
        from sklearn import decomposition
        from sklearn.exceptions import ConvergenceWarning

        pca, scores = self._fit_pca(x, generator)
        ica = decomposition.FastICA(whiten="unit-variance", max_iter=1_000, random_state=_sklearn_seed(generator))
        with warnings.catch_warnings():
            # Components that are nearly Gaussian have no rotation to converge to; the last one is as good as any.
            warnings.simplefilter("ignore", ConvergenceWarning)
            ica.fit(scores.astype(np.float64))
        # The scores have mean 0, so the two linear maps compose without an offset.
        self._keep(analysis=ica.components_ @ pca.components_, synthesis=ica.mixing_.T @ pca.components_)


def _sklearn_seed(generator: torch.Generator) -> int:
    return int(torch.randint(2**31 - 1, (), generator=generator, device=generator.device))


@register_method(
    "untrained",
    config=UntrainedConfig,
    card=MethodCard(
        title="Untrained network",
        paper="none",
        summary="A network as initialised, SlowVAE's by default: what the architecture gives before any learning.",
        family="reference",
        view="images",
        budgets=BUDGETS,
        verified="Parameter counts and initialisation of the network.",
        source="bethgelab/slow_disentanglement, scripts/model.py.",
        notes="Equal to the first step of vae, betavae and slowvae for the same seed.",
    ),
)
class Untrained(ImageVAE):
    """The network of slowvae, vae and betavae before its first step."""


@register_method(
    "oracle",
    config=ReferenceConfig,
    card=MethodCard(
        title="Oracle",
        paper="none",
        summary="The ground-truth factors themselves, beside latents of pure noise: the ceiling of every score.",
        family="reference",
        view="images",
        budgets=BUDGETS,
        verified="Factors pass unchanged; the other columns are standard normal.",
        source="This suite.",
        reads_factors=True,
        notes="Factors are as stored (class indices or values), not standardised. With more factors than n_latents "
        "there is one code per factor and no noise.",
    ),
)
class Oracle(Method):
    """Reads the factors."""

    def __init__(self, config: ReferenceConfig, data: DataSpec) -> None:
        super().__init__()
        self.n_latents = config.n_latents

    def encode_factors(self, factors: Tensor, generator: torch.Generator) -> Tensor:
        """Codes (n, n_latents) float32 of factors (n, n_factors): the factors, then N(0, 1) noise."""
        n, n_factors = factors.shape
        shape = (n, max(self.n_latents - n_factors, 0))
        noise = torch.randn(shape, generator=generator, device=generator.device)
        return torch.cat([factors.to(noise.device, torch.float32), noise], dim=1)
