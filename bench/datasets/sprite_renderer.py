"""White sprites on black, drawn as the Natural Sprites loader draws them with spriteworld 1.0.2 (DeepMind).

A polygon of unit area is scaled, turned and moved, filled on a canvas of five times the image's side, and resized with
Lanczos; rows count upwards. Our own implementation of the published formulas, checked against 200 renders of the
package itself.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from bench.datasets.lanczos import REACH, Reduction

SIDE = 64
OVERSAMPLING = 5  # canvas pixels per image pixel, "anti-aliasing" in spriteworld
SHAPES = ("square", "triangle", "star_4", "spoke_4")

_CANVAS = SIDE * OVERSAMPLING
_REDUCTION = Reduction(SIDE, OVERSAMPLING)


def polygon(shape: str) -> np.ndarray:
    """Outline of a sprite with area 1 and its centre at 0: (n_vertices, 2) float64, x before y, y upwards."""
    if shape == "square":
        return _regular(4, first_degrees=45)
    if shape == "triangle":
        return _regular(3, first_degrees=90)
    if shape == "star_4":
        return _star(4, height=1.0, first_degrees=45)
    if shape == "spoke_4":
        return _spokes(4, height=1.0, first_degrees=45)
    raise ValueError(f"sprite renderer: unknown shape '{shape}', it draws {', '.join(SHAPES)}")


def _unit(angles: np.ndarray) -> np.ndarray:
    return np.stack([np.cos(angles), np.sin(angles)], axis=-1)


def _regular(n_sides: int, first_degrees: float) -> np.ndarray:
    theta = 2 * np.pi / n_sides
    corners = _unit(np.arange(n_sides) * theta + np.deg2rad(first_degrees))
    return corners / np.sqrt(n_sides * np.sin(theta / 2) * np.cos(theta / 2))


def _star(n_points: int, height: float, first_degrees: float) -> np.ndarray:
    theta = 2 * np.pi / n_points
    turn = np.deg2rad(first_degrees)
    inner = _unit(np.arange(n_points) * theta + turn)
    outer = (1 + height) * _unit((np.arange(n_points) + 0.5) * theta + turn)
    outline = np.stack([inner, outer], axis=1).reshape(-1, 2)
    return outline / np.sqrt((1 + height) * n_points * np.sin(theta / 2))


def _spokes(n_spokes: int, height: float, first_degrees: float) -> np.ndarray:
    theta = 2 * np.pi / n_spokes
    turn = np.deg2rad(first_degrees)
    i = np.arange(n_spokes)
    corner = _unit(i * theta + turn)
    before = corner + height * _unit((i - 0.5) * theta + turn)
    after = corner + height * _unit((i + 0.5) * theta + turn)
    outline = np.stack([before, corner, after], axis=1).reshape(-1, 2)
    return outline / np.sqrt(n_spokes * np.sin(theta / 2) * (2 + np.cos(theta / 2)))


def canvas_outline(shape: str, x: np.ndarray, y: np.ndarray, scale: np.ndarray, degrees: np.ndarray) -> np.ndarray:
    """Corners of n sprites of one shape in canvas pixels, (n, n_vertices, 2) int64, y still upwards.

    Cut towards zero, as Pillow cuts the corners it is given: done here so that a row is all Pillow needs.
    """
    corners = polygon(shape)
    turn = np.deg2rad(degrees)
    cos, sin = (scale * np.cos(turn))[:, None], (scale * np.sin(turn))[:, None]
    outline = np.stack(
        [
            cos * corners[:, 0] - sin * corners[:, 1] + x[:, None],
            sin * corners[:, 0] + cos * corners[:, 1] + y[:, None],
        ],
        axis=-1,
    )
    return np.trunc(_CANVAS * outline).astype(np.int64)


def render_sprites(
    x: np.ndarray, y: np.ndarray, scale: np.ndarray, degrees: np.ndarray, shape: np.ndarray
) -> np.ndarray:
    """Frames (n, 64, 64) uint8 of n sprites, one per frame.

    Only the pixels that a sprite can touch are computed, so small sprites are cheap.

    Args:
        x: (n,) centre in fractions of the frame's side, from the left.
        y: (n,) the same, from the bottom.
        scale: (n,) square root of the sprite's area, in fractions of the side.
        degrees: (n,) anticlockwise turn.
        shape: (n,) index into ``SHAPES``.
    """
    x, y, scale, degrees = (np.asarray(v, np.float64) for v in (x, y, scale, degrees))
    shape = np.asarray(shape)
    frames = np.zeros((len(x), SIDE, SIDE), np.uint8)
    canvas = Image.new("L", (_CANVAS, _CANVAS))
    pen = ImageDraw.Draw(canvas)
    for kind in np.unique(shape):
        rows = np.flatnonzero(shape == kind)
        outlines = canvas_outline(SHAPES[kind], x[rows], y[rows], scale[rows], degrees[rows])
        drawn, touched = _extents(outlines)
        visible = (drawn[:, :2] < drawn[:, 2:]).all(axis=1)
        lists = (v[visible].tolist() for v in (rows, outlines.reshape(len(rows), -1), drawn, touched))
        for row, corners, part, box in zip(*lists, strict=True):
            pen.polygon(corners, fill=255)
            _REDUCTION.reduce(np.asarray(canvas.crop(part)), (part[1], part[0]), frames[row], box)
            canvas.paste(0, (0, 0, _CANVAS, _CANVAS))
    return frames[:, ::-1]


def _extents(outlines: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each sprite is on the canvas, and which image pixels it can change.

    Both (n, 4): left, low, right, high, the last two exclusive. On the canvas one pixel is to spare, and the columns
    are widened to multiples of 8, as ``Reduction`` wants them.
    """
    low, high = outlines.min(axis=1) - 1, outlines.max(axis=1) + 2
    low[:, 0], high[:, 0] = low[:, 0] // 8 * 8, -(-high[:, 0] // 8) * 8
    drawn = np.concatenate([low, high], axis=1).clip(0, _CANVAS)
    touched = np.concatenate([low // OVERSAMPLING - REACH, high // OVERSAMPLING + REACH + 1], axis=1).clip(0, SIDE)
    return drawn, touched
