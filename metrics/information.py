"""Plug-in mutual information of binned codes and class labels, in nats; shared by MIG and modularity."""

from __future__ import annotations

import numpy as np


def binned(codes: np.ndarray, n_bins: int) -> np.ndarray:
    """Codes (n, n_latents) cut into ``n_bins`` equal-width bins over each column's range: int64 in [0, n_bins).

    Edges keep the dtype of the codes, as the reference's do: float64 edges move points that sit on one.
    """
    cut = np.empty(codes.shape, np.int64)
    for j, column in enumerate(codes.T):
        edges = np.histogram_bin_edges(column, n_bins)
        cut[:, j] = np.digitize(column, edges[:-1]) - 1
    return cut


def mutual_information(bins: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """I(bins_j; labels_i) in nats, (n_latents, n_factors), from indices (n, n_latents) and (n, n_factors) ≥ 0."""
    n = len(bins)
    n_bins, n_classes = bins.max(0) + 1, labels.max(0) + 1
    information = np.empty((bins.shape[1], labels.shape[1]))
    for j, i in np.ndindex(*information.shape):
        cells = np.bincount(bins[:, j] * n_classes[i] + labels[:, i], minlength=n_bins[j] * n_classes[i])
        joint = cells.reshape(n_bins[j], n_classes[i]) / n
        outer = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
        seen = joint > 0
        information[j, i] = (joint[seen] * np.log(joint[seen] / outer[seen])).sum()
    # Rounding must not pass for knowledge: a constant latent knows exactly nothing.
    return np.where(information < 1e-14, 0.0, information)


def entropy(labels: np.ndarray) -> np.ndarray:
    """Entropy in nats of each column of class indices (n, n_factors)."""
    entropies = np.empty(labels.shape[1])
    for i, column in enumerate(labels.T):
        share = np.bincount(column) / len(column)
        share = share[share > 0]
        entropies[i] = -(share * np.log(share)).sum()
    return entropies
