"""Pillow's Lanczos reduction of a black and white canvas, bit for bit, at a fraction of its cost.

Pillow spends nine tenths of a frame's time on multiplying canvas pixels by filter weights. On a row of two grey levels
the sum of weights under white is a difference of cumulative weights at each edge, so only edges cost anything.
Fixed-point numbers as in Pillow's 8-bit resampling: weights in units of 2^-22, each pass rounded and cut to 0 … 255.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numba
import numpy as np

REACH = 3  # zeros of the filter to either side, in pixels of the result
_BITS = 22


def _compiled(function: Callable[..., None]) -> Callable[..., None]:
    try:
        return numba.njit(cache=True)(function)
    except RuntimeError:
        # No folder at all can be written: compile in every process.
        return numba.njit(function)


def lanczos_weights(size: int, factor: int) -> np.ndarray:
    """Fixed-point weights (size, size * factor) int32 of canvas pixels in each of ``size`` pixels of the result."""
    canvas = size * factor
    distance = (np.arange(canvas) + 0.5 - (np.arange(size)[:, None] + 0.5) * factor) / factor
    weights = np.where(np.abs(distance) < REACH, np.sinc(distance) * np.sinc(distance / REACH), 0.0)
    weights /= weights.sum(axis=1, keepdims=True)
    return np.floor(np.abs(weights) * 2**_BITS + 0.5).astype(np.int32) * np.sign(weights).astype(np.int32)


class Reduction:
    """Reduces square black and white canvases of ``size * factor`` to ``size`` pixels a side."""

    def __init__(self, size: int, factor: int) -> None:
        self._weights = lanczos_weights(size, factor)
        # Row c: the weights of all canvas columns before c, times white.
        self._area = np.zeros((size * factor + 1, size), np.int32)
        self._area[1:] = 255 * np.cumsum(self._weights.T, axis=0)
        self._factor = factor

    def reduce(self, part: np.ndarray, corner: Sequence[int], frame: np.ndarray, box: Sequence[int]) -> None:
        """Write the pixels of ``box`` into ``frame``.

        Args:
            part: (rows, columns) uint8, 0 and 255: all of the canvas that is not black; columns a multiple of 8.
            corner: row and column of ``part`` on the canvas.
            frame: (size, size) uint8.
            box: left, low, right, high in frame pixels, the last two exclusive.
        """
        _reduce(part, *corner, frame, *box, self._weights, self._area, self._factor)


@_compiled
def _reduce(
    part: np.ndarray,
    top: int,
    start: int,
    frame: np.ndarray,
    left: int,
    low: int,
    right: int,
    high: int,
    weights: np.ndarray,
    area: np.ndarray,
    factor: int,
) -> None:
    half = np.int32(1 << (_BITS - 1))
    n_rows, n_columns = part.shape
    words = part.view(np.uint64)  # eight pixels at once: most lie inside a run of one level
    width = right - left
    narrow = np.zeros((n_rows, width), np.uint8)
    total = np.empty(width, np.int32)
    for row in range(n_rows):
        before = np.uint8(0)
        run = np.uint64(0)
        total[:] = half
        for word in range(n_columns // 8):
            if words[row, word] == run:
                continue
            for column in range(8 * word, 8 * word + 8):
                if part[row, column] != before:
                    before = part[row, column]
                    edge = area[start + column, left:right]
                    if before:
                        for i in range(width):
                            total[i] -= edge[i]
                    else:
                        for i in range(width):
                            total[i] += edge[i]
            run = np.uint64(0xFFFFFFFFFFFFFFFF) if before else np.uint64(0)
        if before:
            edge = area[start + n_columns, left:right]
            for i in range(width):
                total[i] += edge[i]
        line = narrow[row]
        for i in range(width):
            line[i] = min(max(total[i] >> _BITS, 0), 255)
    for y in range(low, high):
        total[:] = half
        for row in range(max(0, (y - REACH) * factor - top), min(n_rows, (y + REACH + 1) * factor - top)):
            weight = weights[y, top + row]
            line = narrow[row]
            for i in range(width):
                total[i] += weight * np.int32(line[i])
        line = frame[y, left:right]
        for i in range(width):
            line[i] = min(max(total[i] >> _BITS, 0), 255)
