"""dSprites frames from geometry measured on real ones: a pixel is on where its centre lies inside the shape.

The authors drew vector shapes with LÖVE, without anti-aliasing; their drawing code is not published. The lengths below
were measured on 320 frames of the repository's animation (DeepMind, Apache 2.0) and are checked against them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

SIDE = 64
SHAPES = ("square", "ellipse", "heart")
SIZES = (3, 6, 40, 32, 32)  # shape, scale, orientation, posX, posY
SCALES = np.linspace(0.5, 1.0, 6)
ORIENTATIONS = np.linspace(0.0, 2 * np.pi, 40)  # both ends, so the first and the last are one picture
CENTRES = 16.0 + 32.0 * np.linspace(0.0, 1.0, 32)  # of posX from the left and posY from the top, in pixels

_HALF_SQUARE = 9.598
_ELLIPSE = (12.766, 7.214)
_HEART_HALF_WIDTH, _HEART_UNIT, _HEART_RISE = 9.594, 0.6622, 1.4365
_BLOCK = 64  # frames drawn at once: their windows stay in a core's own cache
# Pixels on a side of the window that holds a shape: twice its radius at scale 1 (13.57, 12.77, 11.26), rounded up.
_WINDOWS = {"square": 28, "ellipse": 26, "heart": 23}


def render_dsprites(factors: np.ndarray) -> np.ndarray:
    """Frames (n, 64, 64) uint8, 0 or 1, of class indices (n, 5): shape, scale, orientation, posX, posY."""
    shape, scale, orientation, x, y = np.asarray(factors).T
    frames = np.zeros((len(shape), SIDE, SIDE), np.uint8)
    for kind, name in enumerate(SHAPES):
        of_kind = np.flatnonzero(shape == kind)
        for start in range(0, len(of_kind), _BLOCK):
            rows = of_kind[start : start + _BLOCK]
            _draw(frames, rows, name, SCALES[scale[rows]], ORIENTATIONS[orientation[rows]], x[rows], y[rows])
    return frames


def _draw(
    frames: np.ndarray, rows: np.ndarray, name: str, scale: np.ndarray, turn: np.ndarray, x: np.ndarray, y: np.ndarray
) -> None:
    """Set the pixels of one shape in these rows of ``frames``; only the window around each centre is looked at."""
    window = _WINDOWS[name]
    left, dx = _offsets(CENTRES[x], window)
    top, dy = _offsets(CENTRES[y], window)
    cos, sin = (np.cos(turn) / scale)[:, None], (np.sin(turn) / scale)[:, None]
    # Anticlockwise on the screen, where rows count downwards.
    u = (cos * dx)[:, None, :] - (sin * dy)[:, :, None]
    v = (sin * dx)[:, None, :] + (cos * dy)[:, :, None]
    windows = sliding_window_view(frames, (window, window), axis=(1, 2), writeable=True)
    windows[rows, top, left] = _INSIDE[name](u, v)


def _offsets(centre: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """First pixel of each window along one axis (n,), and the pixels' distances from the centre (n, window)."""
    first = np.rint(centre - window / 2).astype(np.int64)
    return first, first[:, None] + np.arange(window) + 0.5 - centre[:, None]


def _in_square(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.maximum(np.abs(u), np.abs(v)) < _HALF_SQUARE


def _in_ellipse(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return (u / _ELLIPSE[0]) ** 2 + (v / _ELLIPSE[1]) ** 2 < 1


def _in_heart(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Inside the curve (sin³ t, 13 cos t - 5 cos 2t - 2 cos 3t - cos 4t), scaled.

    A column |u| meets the curve at two angles, t and π - t, whose heights lie equally far from their mean.
    """
    sine = np.cbrt(np.minimum(np.abs(u) / _HEART_HALF_WIDTH, 1.0))
    s, c = sine**2, 1 - sine**2
    height = -(v + _HEART_RISE) / _HEART_UNIT
    mean = 8 * s * c - 1 - 5 * (1 - 2 * s)
    reach = np.sqrt(c) * (19 - 8 * c)
    return np.abs(height - mean) < reach


_INSIDE: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "square": _in_square,
    "ellipse": _in_ellipse,
    "heart": _in_heart,
}
