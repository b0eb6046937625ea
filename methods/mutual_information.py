"""Mutual information of a sequence model's codes, estimated from one batch's posteriors. All in nats.

L[b, m] = log q(code of sequence b | sequence m). The aggregate posterior of a code is estimated by the batch's mixture,
q(code_b) ≈ 1/B Σ_m exp L[b, m]. Minibatch-weighted sampling (Chen et al., NeurIPS 2018) divides by B · N instead, N the
number of training sequences: its gradients are the same, and each estimate here is its own minus log N. So no estimate
of the information between a code and the sequence exceeds log B, and with B independent sequences each approaches the
true value as B grows.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from methods.sequence_networks import CausalPosterior, Posterior
from methods.total_correlation import pairwise_log_density


def log_densities(z: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    """L (batch, batch) of codes z under independent Gaussians, each (batch, …), summed over all further axes."""
    return pairwise_log_density(z.flatten(1), mean.flatten(1), log_var.flatten(1)).sum(-1)


def causal_log_densities(posterior: CausalPosterior, features: Tensor, z: Tensor) -> Tensor:
    """L (batch, batch) of trajectories z (batch, time, n_dynamic): Σ_t log q(z_t|z_<t, x_≤t), every z with every x."""
    batch = len(z)
    mean, log_var = posterior.teacher_forced(features.repeat(batch, 1, 1), z.repeat_interleave(batch, 0))
    mean, log_var = mean.unflatten(0, (batch, batch)), log_var.unflatten(0, (batch, batch))
    squared = (z[:, None] - mean) ** 2 * (-log_var).exp()
    return -0.5 * (squared + log_var + math.log(2 * math.pi)).sum((2, 3))


def information(densities: Tensor) -> Tensor:
    """I(code; x) of L (batch, batch): mean of log q(code|x) - log q(code)."""
    return (densities.diagonal() - densities.logsumexp(1)).mean() + math.log(len(densities))


def shared_information(first: Tensor, second: Tensor) -> Tensor:
    """I(code; other code) of the L of each: mean of log q(both) - log q(one) - log q(other)."""
    gap = (first + second).logsumexp(1) - first.logsumexp(1) - second.logsumexp(1)
    return gap.mean() + math.log(len(first))


def information_terms(static: Tensor, dynamic: Tensor) -> dict[str, Tensor]:
    """``mi_static`` I(s; x), ``mi_dynamic`` I(z_1:T; x) and ``mi_static_dynamic`` I(z_1:T; s) of the L of each."""
    return {
        "mi_static": information(static),
        "mi_dynamic": information(dynamic),
        "mi_static_dynamic": shared_information(static, dynamic),
    }


def posterior_densities(posterior: Posterior) -> tuple[Tensor, Tensor]:
    """L of the static code and of the whole trajectory, for posteriors whose time steps are independent given x."""
    static, dynamic = posterior
    return (
        log_densities(static.sample, static.mean, static.log_var),
        log_densities(dynamic.sample, dynamic.mean, dynamic.log_var),
    )


def released_penalty(posterior: Posterior, n_train: int) -> Tensor:
    """The term for I(z; s) as released with S3VAE, C-DSVAE and SPYL, to be minimised.

    Three differences from the estimate above: it compares the static code with each z_t by itself; every element is cut
    at 0, but only after log(B · N) was added, so that independent codes of equal spread give log N; and the
    log-variance is handed to a density that takes log σ, which makes the variance exp(2 · log_var). With that density
    a sample may lie far from its own posterior and near a wider one, which is what brings elements to the cut.
    """
    static, dynamic = posterior
    of_static = pairwise_log_density(static.sample, static.mean, 2 * static.log_var).sum(-1)
    parts = (tensor.transpose(0, 1) for tensor in (dynamic.sample, dynamic.mean, dynamic.log_var))
    z, mean, log_var = (tensor.contiguous() for tensor in parts)
    of_dynamic = torch.stack(
        [pairwise_log_density(*step).sum(-1) for step in zip(z, mean, 2 * log_var, strict=True)]
    )  # (time, batch, batch)
    gap = (of_static + of_dynamic).logsumexp(2) - of_static.logsumexp(1) - of_dynamic.logsumexp(2)
    return (gap + math.log(len(of_static) * n_train)).relu().mean()
