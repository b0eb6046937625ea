"""Checks that every metric makes of its arrays, with one wording."""

from __future__ import annotations

import numpy as np


def check_rows(name: str, codes: np.ndarray, factors: np.ndarray, *, n_latents: int = 1) -> None:
    """Two matrices with one row each per observation.

    Raises:
        ValueError: not (n, n_latents) and (n, n_factors), rows differ, no rows, or fewer latents than needed.
    """
    if codes.ndim != 2 or factors.ndim != 2 or len(codes) != len(factors) or not len(codes):
        raise ValueError(
            f"{name}: one row of factors per row of codes, got codes {codes.shape} and factors {factors.shape}"
        )
    if codes.shape[1] < n_latents:
        raise ValueError(f"{name}: needs at least {n_latents} latents, got codes {codes.shape}")
    if not factors.shape[1]:
        raise ValueError(f"{name}: needs at least one factor that varies, got factors {factors.shape}")


def class_indices(name: str, factors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Factors (n, k) relabelled to 0 … size - 1 in the order of their values, and the sizes (k,).

    Raises:
        ValueError: factors are not integers, or a column has a single value.
    """
    check_discrete(name, factors)
    labels = np.empty(factors.shape, np.int64)
    sizes = np.empty(factors.shape[1], np.int64)
    for i, column in enumerate(factors.T):
        values, labels[:, i] = np.unique(column, return_inverse=True)
        sizes[i] = len(values)
        if sizes[i] < 2:
            raise ValueError(f"{name}: factor {i} is constant in this sample; drop it or sample more rows")
    return labels, sizes


def check_discrete(name: str, factors: np.ndarray) -> None:
    """Raise ValueError unless the factors are integers, one class index each."""
    if factors.dtype.kind not in "iub":
        raise ValueError(f"{name}: needs discrete factors (integers), got {factors.dtype}")


def check_varies(name: str, factors: np.ndarray) -> None:
    """Raise ValueError where a factor has a single value."""
    constant = np.flatnonzero(factors.min(0) == factors.max(0))
    if len(constant):
        raise ValueError(f"{name}: factor {constant[0]} is constant in this sample; drop it or sample more rows")
