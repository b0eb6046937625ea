"""Terms that objectives share, in nats and in closed form.

Notation of the sheets: q = N(mean, exp(log_var)) with a diagonal covariance; every term is summed over the last axis
(the latents) and keeps the leading ones. Arguments are what networks return cast to float32 (float64 in tests).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

LOG_2_PI = math.log(2 * math.pi)


def sample_gaussian(mean: Tensor, log_var: Tensor, generator: torch.Generator) -> Tensor:
    """One reparametrised sample of N(mean, exp(log_var)); the noise comes from ``generator``."""
    noise = torch.randn(mean.shape, generator=generator, device=mean.device, dtype=mean.dtype)
    return mean + (0.5 * log_var).exp() * noise


def bernoulli_nll_per_frame(logits: Tensor, frames: Tensor) -> Tensor:
    """-log p(frame | logits) of each frame, (n,): what ``bernoulli_nll`` is the mean of."""
    return binary_cross_entropy_with_logits(logits, frames, reduction="none").flatten(1).sum(1)


def bernoulli_nll(logits: Tensor, frames: Tensor) -> Tensor:
    """-log p(frames | logits) of shape (), summed over each frame's channels and pixels, averaged over frames.

    Values between 0 and 1 count as probabilities, as all released VAE code does with grey and colour images.
    """
    return binary_cross_entropy_with_logits(logits, frames, reduction="sum") / len(frames)


def gaussian_kl(mean: Tensor, log_var: Tensor) -> Tensor:
    """KL(N(mean, exp(log_var)) ‖ N(0, I))."""
    return 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum(-1)


def gaussian_log_density(z: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    """log N(z; mean, exp(log_var))."""
    return -0.5 * ((z - mean) ** 2 * (-log_var).exp() + log_var + LOG_2_PI).sum(-1)


def gaussian_entropy(log_var: Tensor) -> Tensor:
    """Entropy of N(·, exp(log_var)): Σ ½ log(2πe σ²)."""
    return 0.5 * (1 + LOG_2_PI + log_var).sum(-1)


def gaussian_cross_entropy(mean: Tensor, log_var: Tensor) -> Tensor:
    """Cross-entropy of N(mean, exp(log_var)) against N(0, I): Σ ½ (mean² + σ² + log 2π)."""
    return 0.5 * (mean**2 + log_var.exp() + LOG_2_PI).sum(-1)


def laplace_cross_entropy(shift: Tensor, log_var: Tensor, rate: float) -> Tensor:
    """Cross-entropy of N(mean, exp(log_var)) against a Laplace of density (λ/2) exp(-λ |z - centre|).

    ``shift`` is mean - centre (only its size matters) and ``rate`` is λ > 0. The expected distance is the mean of a
    folded normal: E|z - centre| = σ √(2/π) exp(-d²/2σ²) + d erf(d / σ√2) with d = shift.
    """
    sigma = (0.5 * log_var).exp()
    # Past 40 standard deviations both functions are at their limits to the last bit; the clamp keeps 0 · inf out of
    # the gradient there.
    ratio = (shift * (-0.5 * log_var).exp()).clamp(-40.0, 40.0)
    distance = math.sqrt(2 / math.pi) * sigma * (-0.5 * ratio**2).exp() + shift * torch.erf(ratio / math.sqrt(2))
    return (rate * distance - math.log(rate / 2)).sum(-1)
