"""Where and whereto pictures move: block matching from frame to frame, summed up in 3 × 3 cells.

The auxiliary signal of S3VAE (Zhu et al., CVPR 2020) for image sequences: which of nine cells move, and in which of
eight directions. The authors took it from a trained flow network, which is not at hand; their thresholds are not
published. Here a cell moves if it is among the three with the largest mean displacement and that exceeds 0.1 pixels.
"""

from __future__ import annotations

import numpy as np

N_CELLS, N_DIRECTIONS = 9, 8
BLOCK, REACH = 8, 4  # pixels: side of a block, largest displacement along each axis
N_MOVING, SLOWEST = 3, 0.1  # cells; pixels per frame
GAIN = 1.0  # grey levels per pixel by which a displacement must explain a block better than rest
TEXTURE = 30.0  # grey levels between the darkest and the brightest pixel of a block whose motion can be seen
_BLOCKS_AT_ONCE = 2_048


def flow_cells(frames: np.ndarray, lag: int = 1) -> np.ndarray:
    """Motion of each cell, as the array ``flow_cells`` that a batch of sequences can bring.

    Args:
        frames: (n, time, channels, height, width) uint8; height and width multiples of 8.
        lag: frames from the one that motion is measured from to the one that it is measured in; more than 1 for what
            moves by less than a pixel per frame.

    Returns:
        (n, time, 2, 9) float32, cells row by row: [.., 0, :] is 1 where the cell has moved since ``lag`` frames before,
        [.., 1, :] its direction 0 … 7 in steps of 45 degrees, 0 to the right and 2 upwards, 0 where it rests. Frames
        with fewer than ``lag`` before them are compared with the first one, which itself counts as at rest.
    """
    n, time = frames.shape[:2]
    grey = frames.astype(np.int16).sum(axis=2) if frames.shape[2] > 1 else frames[:, :, 0].astype(np.int16)
    cells = np.zeros((n, time, 2, N_CELLS), np.float32)
    if time > 1 and n:
        height, width = grey.shape[2:]
        before = grey[:, np.maximum(np.arange(1, time) - lag, 0)]
        moved = displacements(
            before.reshape(-1, height, width), grey[:, 1:].reshape(-1, height, width), frames.shape[2]
        )
        cells[:, 1:] = _summary(moved, height, width).reshape(n, time - 1, 2, N_CELLS)
    return cells


def displacements(before: np.ndarray, after: np.ndarray, n_channels: int = 1) -> np.ndarray:
    """How far each block of ``after`` has come: (n, rows, columns, 2) int8, pixels downwards and to the right.

    The displacement, at most ``REACH`` along each axis, with the least sum of absolute differences; of several the
    shortest. A block without change or without texture, or that no displacement explains better than rest does, rests.

    Args:
        before, after: frames (n, height, width) int16, their channels added up.
        n_channels: how many these were.
    """
    n, height, width = after.shape
    rows, columns = height // BLOCK, width // BLOCK
    blocks = after.reshape(n, rows, BLOCK, columns, BLOCK).swapaxes(2, 3).reshape(-1, BLOCK * BLOCK)
    old = before.reshape(n, rows, BLOCK, columns, BLOCK).swapaxes(2, 3).reshape(-1, BLOCK * BLOCK)
    gain = GAIN * n_channels
    has_texture = blocks.max(axis=1) - blocks.min(axis=1) > TEXTURE * n_channels
    at_rest = np.abs(blocks - old).sum(axis=1, dtype=np.int32)
    active = np.flatnonzero(has_texture & (at_rest > gain * BLOCK**2))
    # what enters from outside is not known: taken for more of the edge
    padded = np.pad(before, ((0, 0), (REACH, REACH), (REACH, REACH)), mode="edge")
    side = BLOCK + 2 * REACH
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(1, 2))[:, ::BLOCK, ::BLOCK]
    moved = np.zeros((n * rows * columns, 2), np.int8)
    for start in range(0, len(active), _BLOCKS_AT_ONCE):
        chosen = active[start : start + _BLOCKS_AT_ONCE]
        image, place = np.divmod(chosen, rows * columns)
        areas = windows[image, place // columns, place % columns]
        moved[chosen] = _matched(areas, blocks[chosen].reshape(-1, BLOCK, BLOCK), at_rest[chosen], gain)
    return moved.reshape(n, rows, columns, 2)


# shortest first, so that of equal matches the shortest is taken
_STEPS = np.array(
    sorted(np.ndindex(2 * REACH + 1, 2 * REACH + 1), key=lambda s: (s[0] - REACH) ** 2 + (s[1] - REACH) ** 2)
)


def _matched(areas: np.ndarray, blocks: np.ndarray, at_rest: np.ndarray, gain: float) -> np.ndarray:
    """Displacements (m, 2) of blocks (m, 8, 8) from their surroundings in the frame before (m, 16, 16)."""
    best = np.full(len(blocks), np.iinfo(np.int32).max, np.int32)
    found = np.zeros((len(blocks), 2), np.int8)
    for row, column in _STEPS:
        error = np.abs(areas[:, row : row + BLOCK, column : column + BLOCK] - blocks)
        total = error.reshape(len(blocks), -1).sum(axis=1, dtype=np.int32)
        better = total < best
        best[better] = total[better]
        found[better] = REACH - row, REACH - column
    found[at_rest - best <= gain * BLOCK**2] = 0
    return found


def _summary(moved: np.ndarray, height: int, width: int) -> np.ndarray:
    """(n, 2, 9) of block displacements (n, rows, columns, 2): means over the pixels of each cell."""
    down, across = _shares(height), _shares(width)
    means = np.einsum("ar,nrcd,bc->nabd", down, moved.astype(np.float64), across).reshape(-1, N_CELLS, 2)
    lengths = np.hypot(moved[..., 0], moved[..., 1], dtype=np.float64)
    speed = np.einsum("ar,nrc,bc->nab", down, lengths, across).reshape(-1, N_CELLS)
    rank = np.argsort(np.argsort(-speed, axis=1, kind="stable"), axis=1)
    moving = (rank < N_MOVING) & (speed > SLOWEST)
    angle = np.arctan2(-means[..., 0], means[..., 1])
    direction = np.round(angle / (2 * np.pi / N_DIRECTIONS)).astype(int) % N_DIRECTIONS
    return np.stack([moving, np.where(moving, direction, 0)], axis=1).astype(np.float32)


def _shares(length: int) -> np.ndarray:
    """(3, length / 8): the share that each block has in the pixels of each third."""
    edges = np.linspace(0, length, 4)
    starts = np.arange(0, length, BLOCK)
    overlap = np.minimum(edges[1:, None], starts + BLOCK) - np.maximum(edges[:-1, None], starts)
    return np.clip(overlap, 0, None) * 3 / length
