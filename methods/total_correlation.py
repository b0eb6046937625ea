"""Estimates of log q(z) and Σ log q(z_j) of the aggregate posterior from one batch (Chen et al., NeurIPS 2018).

M[j, i, l] = log N(z_jl; mean_il, σ²_il) for codes j and posteriors i of the batch. All in nats.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from methods.objectives import LOG_2_PI


def pairwise_log_density(z: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    """M (batch, batch, n_latents): row j is a code, column i a posterior."""
    squared = (z[:, None] - mean[None]) ** 2 * (-log_var[None]).exp()
    return -0.5 * (squared + log_var[None] + LOG_2_PI)


def weighted_sampling(pairwise: Tensor, n_data: int) -> tuple[Tensor, Tensor]:
    """Minibatch-weighted sampling: log q(z) and Σ log q(z_l), each (batch,)."""
    constant = math.log(n_data * len(pairwise))
    joint = pairwise.sum(-1).logsumexp(1) - constant
    marginals = (pairwise.logsumexp(1) - constant).sum(-1)
    return joint, marginals


def stratified_sampling(pairwise: Tensor, log_weights: Tensor) -> tuple[Tensor, Tensor]:
    """Minibatch-stratified sampling with log W (batch, batch): log q(z) and Σ log q(z_l), each (batch,)."""
    joint = (log_weights + pairwise.sum(-1)).logsumexp(1)
    marginals = (log_weights[..., None] + pairwise).logsumexp(1).sum(-1)
    return joint, marginals


def stratified_log_weights(batch: int, n_data: int, device: torch.device | str = "cpu") -> Tensor:
    """log W (batch, batch): 1/N where i = j, (N - M)/(N M) for one other i of each row, 1/M elsewhere; M = batch - 1.

    Rows sum to 1.

    Raises:
        ValueError: fewer than two in the batch, or a batch larger than the data.
    """
    _check(batch, n_data)
    n, m = n_data, batch - 1
    weights = torch.full((batch, batch), 1 / m, dtype=torch.float64, device=device)
    rows = torch.arange(batch, device=device)
    weights[rows, (rows + 1) % batch] = (n - m) / (n * m)
    weights[rows, rows] = 1 / n
    return weights.log().float()


def published_log_weights(batch: int, n_data: int, device: torch.device | str = "cpu") -> Tensor:
    """log W as the authors' code fills it, by strides of ``batch`` on a batch × batch matrix.

    1/N lands in column 0 and the stratum's weight in column 1 of every row, so a code's own posterior is weighted like
    any other's; one corner is mended. Kept to compare with what was published.
    """
    _check(batch, n_data)
    n, m = n_data, batch - 1
    stratum = (n - m) / (n * m)
    weights = torch.full((batch, batch), 1 / m, dtype=torch.float64, device=device)
    weights[:, 0] = 1 / n
    weights[:, 1] = stratum
    weights[m - 1, 0] = stratum
    return weights.log().float()


def _check(batch: int, n_data: int) -> None:
    if batch < 2 or n_data < batch:
        raise ValueError(
            f"stratified sampling needs 2 ≤ batch ≤ number of training items, got batch {batch} and {n_data} items"
        )
