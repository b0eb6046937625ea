"""Scaling and rotation of grey images about their centre, and the hues of a pure colour.

Semantics of kornia 0.7.0, which FFRL and STA (KingJamesSong/latent-flow, datasets/transforms.py) call: the centre is
(width / 2, height / 2) in index coordinates, so (14, 14) of 28 × 28, not 13.5; bilinear, zeros outside.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import grid_sample

_CHUNK = 4_096  # images warped at once: 12.8 MB of 28 × 28, as much again for where they are sampled


def warp(images: np.ndarray, scale: np.ndarray | float = 1.0, degrees: np.ndarray | float = 0.0) -> np.ndarray:
    """Images (n, height, width) float32, enlarged by ``scale`` and turned counter-clockwise by ``degrees``.

    The value at p is that of the source at c + R(degrees)⁻¹ (p - c) / scale. What is neither enlarged nor turned comes
    back bit for bit.

    Args:
        scale, degrees: one number, or one per image (n,).
    """
    scale = np.broadcast_to(np.asarray(scale, np.float64), len(images))
    degrees = np.broadcast_to(np.asarray(degrees, np.float64), len(images))
    rows = np.flatnonzero((scale != 1) | (degrees != 0))
    warped = np.array(images, np.float32)
    for chosen in np.split(rows, range(_CHUNK, len(rows), _CHUNK)):
        if len(chosen):
            warped[chosen] = _sampled(images[chosen], scale[chosen], np.radians(degrees[chosen]))
    return warped


def _sampled(images: np.ndarray, scale: np.ndarray, angle: np.ndarray) -> np.ndarray:
    height, width = images.shape[1:]
    dy, dx = np.meshgrid(np.arange(height) - height / 2, np.arange(width) - width / 2, indexing="ij")
    cos, sin = (values[:, None, None] for values in (np.cos(angle) / scale, np.sin(angle) / scale))
    x = width / 2 + cos * dx - sin * dy
    y = height / 2 + sin * dx + cos * dy
    # grid_sample counts from -1 to 1 between the centres of the outermost pixels
    places = np.stack([2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1], axis=-1).astype(np.float32)
    source = torch.from_numpy(np.ascontiguousarray(images, np.float32))[:, None]
    return grid_sample(source, torch.from_numpy(places), align_corners=True)[:, 0].numpy()


def hue_colours(degrees: np.ndarray) -> np.ndarray:
    """Red, green and blue in [0, 1] of the pure colours (saturation and value 1) of these hues; shape (…, 3) float32.

    A grey image times such a colour is what shifting the hue of the same image in red gives.
    """
    sixths = np.mod(np.asarray(degrees, np.float64)[..., None] / 60 + [0, 4, 2], 6)
    return np.clip(np.abs(sixths - 3) - 1, 0, 1).astype(np.float32)
