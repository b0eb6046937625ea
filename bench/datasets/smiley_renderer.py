"""Faces of the Smiley set (Tonolini et al., UAI 2019): a white disc that may wear a bow tie, a hat, eyes and a mouth.

The lengths are those of the authors' generator (ftonolini45/Variational_Sparse_Coding, Generate_Smiley_Dataset), whose
pixel centres are 1 … 32; the drawing is our own, and so is the bow tie's outline, which theirs takes from a picture.
"""

from __future__ import annotations

import numpy as np

SIDE = 32
VARIABLES = {
    "bow_tie": ("x", "y", "width", "height"),
    "hat": ("x", "y", "brim_width", "brim_height", "crown_width", "crown_height"),
    "eyes": ("apart", "y", "radius"),
    "mouth": ("width", "height", "x", "y", "smile"),
}
NAMES = tuple(f"{attribute}_{variable}" for attribute, variables in VARIABLES.items() for variable in variables)
GROUPS = np.repeat(np.arange(len(VARIABLES)), [len(variables) for variables in VARIABLES.values()])  # of each variable

_CENTRE, _RADIUS = 16.5, 10.0
# half height of the bow tie, in half heights of its box: at its middle, what it gains towards the ends, and at most
_KNOT, _SLOPE, _WING = 0.23, 0.75, 0.76
_PLACES = np.arange(1, SIDE + 1)


def draw_faces(present: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Frames (n, 32, 32) uint8, 0 and 255, of n faces.

    Args:
        present: (n, 4) bool, which of bow tie, hat, eyes and mouth are there.
        values: (n, 18) float64, the variables of ``NAMES``; those of an absent attribute change nothing.
    """
    ends = np.cumsum([len(variables) for variables in VARIABLES.values()])[:-1]
    bow_tie, hat, eyes, mouth = (part.T for part in np.split(np.asarray(values, np.float64), ends, axis=1))
    away = np.hypot(_PLACES - _CENTRE, _PLACES[:, None] - _CENTRE)
    face = np.repeat((away <= _RADIUS)[None], len(present), axis=0)
    # in the authors' order: a hat may hide the eyes
    face |= _bow_tie(*bow_tie) & present[:, 0, None, None]
    face &= ~(_eyes(*eyes) & present[:, 2, None, None])
    face &= ~(_mouth(*mouth) & present[:, 3, None, None])
    face |= _hat(*hat) & present[:, 1, None, None]
    return face * np.uint8(255)


def _bow_tie(x: np.ndarray, y: np.ndarray, width: np.ndarray, height: np.ndarray) -> np.ndarray:
    width, height = 12 + 3 * width, 5 + 2 * height
    left, top = _round(_CENTRE + 0.5 * x - width / 2), _round(29 + y - height / 2)
    n_columns, n_rows = np.ceil(width), np.ceil(height)
    across = np.abs(2 * (_PLACES - left[:, None] + 0.5) / n_columns[:, None] - 1)  # 0 at the knot, 1 at the ends
    up = np.abs(2 * (_PLACES - top[:, None] + 0.5) / n_rows[:, None] - 1)
    half = np.where(across < 1, np.minimum(_KNOT + _SLOPE * across, _WING), -1.0)
    return up[:, :, None] <= half[:, None, :]


def _hat(
    x: np.ndarray,
    y: np.ndarray,
    brim_width: np.ndarray,
    brim_height: np.ndarray,
    crown_width: np.ndarray,
    crown_height: np.ndarray,
) -> np.ndarray:
    x, y = _CENTRE + x, 6 + y
    width, height = 15 + 3 * brim_width, 2 + 2 * brim_height
    top = _round(y - height / 2)
    brim = _box(x - width / 2, x + width / 2, top, y + height / 2)
    width, height = 10 + 2 * crown_width, 2 + crown_height
    return brim | _box(x - width / 2, x + width / 2, top - height, top)


def _eyes(apart: np.ndarray, y: np.ndarray, radius: np.ndarray) -> np.ndarray:
    # both eyes at once: columns are folded at the middle of the face
    across = np.abs(_PLACES - _CENTRE) - (4 + apart)[:, None]
    down = _PLACES - (14 + y)[:, None]
    return np.hypot(across[:, None, :], down[:, :, None]) <= (2 + radius)[:, None, None]


def _mouth(width: np.ndarray, height: np.ndarray, x: np.ndarray, y: np.ndarray, smile: np.ndarray) -> np.ndarray:
    x, y = 16 + 0.5 * x, 22 + 0.5 * y
    half_width, half_height = (4 + width) / 2, (2 + height) / 2
    mouth = _box(x - half_width, x + half_width, y - half_height, y + half_height)
    left, right = _round(x - half_width), _round(x + half_width)
    for beyond, bend in ((1, 1.0), (2, 1.4)):  # two pixels at either corner
        row = _round(y + bend * smile)
        mouth |= _box(left - beyond, left - beyond, row, row) | _box(right + beyond, right + beyond, row, row)
    return mouth


def _box(left: np.ndarray, right: np.ndarray, top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """Pixels between the ends rounded to whole pixels, both included: (n, 32, 32) bool; empty where ends cross."""
    rows, columns = _between(_round(top), _round(bottom)), _between(_round(left), _round(right))
    return rows[:, :, None] & columns[:, None, :]


def _between(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """(n, 32) bool."""
    places = np.arange(1, SIDE + 1)
    return (places >= low[:, None]) & (places <= high[:, None])


def _round(x: np.ndarray) -> np.ndarray:
    """To whole numbers, halves upwards."""
    return np.floor(x + 0.5)
