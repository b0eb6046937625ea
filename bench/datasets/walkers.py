"""Masks of walking people whose motion follows the published laws of KITTI Masks: its generated stand-in.

A figure of fourteen capsules walks before a window of 64 x 64 pixels. Per frame its centre of mass and its number of
pixels change by the generalised normal laws that the SlowVAE authors fitted to KITTI Masks (82,506 pairs; stored
outputs of data_analysis/data_analysis_both.ipynb in their repository). The window cuts the figure, and what is left is
cut into tracks by the rules of their ``data_generation/gen_kitti_masks.py``. What no source says, the project chose
after the real pedestrians of the KITTI tracking labels, cut by the same windows: see ``_start`` and ``PERSISTENCE``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.datasets.tracks import SIDE, draw_gennorm

MIN_AREA = 30  # pixels; a frame with fewer breaks the track

# Generalised normal fits (shape, location, scale) to consecutive pairs, in pixels of the 64-pixel window.
KITTI_X = (0.587, 0.0476, 0.169)
KITTI_Y = (0.694, 0.0102, 0.232)
KITTI_AREA = (0.455, 1.00, 1.01)

# Of sideways steps: successive ones' ranks correlate by 0.79. Boxes of real pedestrians give 0.89, but are interpolated
# between key frames; outlines are not.
PERSISTENCE = 0.8
LARGEST = 2_000  # pixels of the whole figure: about 95 rows, half of it outside the window
SMALLEST = 12
N_SWAPPED = 10  # pixels at either side of the outline, see ``_balanced``

_FILL = 0.21  # pixels of a figure over its height squared, before its own pose is known


def generate_masks(n_tracks: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Masks (n_frames, 64, 64) bool of ``n_tracks`` tracks one after the other, and their lengths (n_tracks,) int64."""
    tracks: list[np.ndarray] = []
    while len(tracks) < n_tracks:
        tracks += cut_tracks(_visit(rng))
    tracks = tracks[:n_tracks]
    return np.concatenate(tracks), np.array([len(track) for track in tracks])


def cut_tracks(masks: np.ndarray) -> list[np.ndarray]:
    """The tracks that the authors keep of one object's frames (n, 64, 64) in one window.

    Frames with fewer than 30 pixels end a track. A track is kept if it has more than two frames where such a frame ends
    it, and more than one where the object's last frame does.
    """
    is_seen = masks.reshape(len(masks), -1).sum(axis=1) >= MIN_AREA
    breaks = np.flatnonzero(~is_seen)
    tracks = []
    for start, end in zip([0, *(breaks + 1)], [*breaks, len(masks)], strict=True):
        if end - start > (1 if end == len(masks) else 2):
            tracks.append(masks[start:end])
    return tracks


def measure(masks: np.ndarray) -> np.ndarray:
    """Row and column of the centre of mass and number of pixels of masks (n, 64, 64): (n, 3) float64."""
    area = masks.sum(axis=(1, 2), dtype=np.float64)
    row = masks.sum(axis=2) @ np.arange(SIDE) / area
    column = masks.sum(axis=1) @ np.arange(SIDE) / area
    return np.stack([row, column, area], axis=1)


def _visit(rng: np.random.Generator) -> np.ndarray:
    """Frames (n, 64, 64) bool of one person before the window, from first to last."""
    path, facing = _walk(rng)
    height = np.sqrt(path[:, 2] / _FILL)
    poses = _Body.draw(rng).poses(len(path), rng) * np.array([facing, 1, facing, 1, 1, 1], np.float32)
    return _render(poses, path, height)


def _start(rng: np.random.Generator) -> tuple[float, float, float, int]:
    """x, y and area of the whole figure at first sight, and for how many frames it stays.

    So that tracks resemble real pedestrians cut by the authors' windows (15,591 frames in 523 tracks of the KITTI
    tracking labels, boxes filled to 55 %): 30 frames in the mean, visible area 96 pixels in the median and 350 at 95 %,
    18 % of the frames cut by the window; the nearer a person, the lower in the picture.
    """
    area = np.clip(np.exp(rng.normal(np.log(70), 0.6)), MIN_AREA, LARGEST)
    y = 30 + 0.4 * np.sqrt(area / _FILL) + rng.normal(0, 1.5)
    length = 2 + int(np.exp(rng.normal(np.log(35), 0.9)))
    return rng.uniform(4, SIDE - 4), y, float(area), min(length, 200)


def _walk(rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """x, y and area of the whole figure per frame, (n, 3), and its direction, 1 to the right and -1 to the left."""
    x, y, area, n = _start(rng)
    steps, direction = _sideways(n - 1, rng)
    dy, darea = (location + draw_gennorm(shape, scale, n - 1, rng) for shape, location, scale in (KITTI_Y, KITTI_AREA))
    # whole pixels from step to step: rounding their sum would blur the law's cusp
    path = np.cumsum(np.concatenate([[[x, y, np.round(area)]], np.stack([steps, dy, np.round(darea)], 1)]), axis=0)
    inside = (path[:, 2] >= SMALLEST) & (path[:, 2] <= LARGEST)
    inside &= (np.abs(path[:, :2] - SIDE / 2) < SIDE).all(axis=1)
    return (path if inside.all() else path[: np.argmin(inside)]), direction


def _sideways(n: int, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """n steps in x whose law is ``KITTI_X`` and whose ranks persist, and the direction of most of them.

    A Gaussian autoregression gives the ranks, so each single step keeps its law.
    """
    from scipy.special import gammaincinv, ndtr

    noise = rng.standard_normal(n)
    for i in range(1, n):
        noise[i] = PERSISTENCE * noise[i - 1] + np.sqrt(1 - PERSISTENCE**2) * noise[i]
    shape, location, scale = KITTI_X
    # the distribution of |step / scale|^shape is Gamma(1 / shape)
    size = scale * gammaincinv(1 / shape, np.abs(2 * ndtr(noise) - 1)) ** (1 / shape)
    return location + np.sign(noise) * size, 1 if noise.sum() >= 0 else -1


@dataclass(frozen=True)
class _Body:
    """How one person is built and walks; lengths in units of the height.

    Attributes:
        girth: of all parts.
        side_view: 1 seen from the side, 0 from the front: how much of stride and swing is seen.
        stride, swing: largest angle of thighs and arms, radians.
        cadence: cycles of two steps per frame; 0 stands.
        pack: size of what is carried on the back; 0 for nothing.
    """

    girth: float
    side_view: float
    stride: float
    swing: float
    cadence: float
    pack: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> _Body:
        return cls(
            girth=rng.uniform(0.85, 1.25),
            side_view=rng.uniform(0.25, 1.0),
            stride=rng.uniform(0.3, 0.55),
            swing=rng.uniform(0.2, 0.6),
            cadence=0.0 if rng.random() < 0.15 else rng.uniform(0.05, 0.13),  # 0.1 at 10 frames a second
            pack=rng.uniform(0.06, 0.1) if rng.random() < 0.25 else 0.0,
        )

    def poses(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Capsules (n, 14, 6) float32: both ends x, y and their radii in n frames; the hip is 0, y points down."""
        phase = 2 * np.pi * (rng.random() + self.cadence * np.arange(n))
        apart = 0.09 * (1 - self.side_view)  # of the two hips and shoulders
        zero = np.zeros(n)
        parts = [
            self._part(zero, -0.43, zero, -0.43, 0.068, 0.068, girth=1.0),  # head
            self._part(zero, -0.38, zero, -0.28, 0.03, 0.04),  # neck
            self._part(zero, -0.265, zero, -0.05, 0.08 + apart / 2, 0.08 + apart / 3),
            self._part(zero - 0.1, -0.25, zero - 0.1, -0.15, self.pack, self.pack, girth=1.0),
        ]
        for side, shift in ((1, 0.0), (-1, np.pi)):
            cycle = phase + shift
            thigh = self.side_view * self.stride * np.sin(cycle)
            shin = thigh - self.side_view * (0.1 + 1.1 * self.stride * np.maximum(0, np.cos(cycle)))
            knee_x, knee_y = side * apart + 0.25 * np.sin(thigh), 0.24 * np.cos(thigh)
            ankle_x, ankle_y = knee_x + 0.23 * np.sin(shin), knee_y + 0.23 * np.cos(shin)
            parts.append(self._part(side * apart + zero, zero, knee_x, knee_y, 0.065, 0.045))
            parts.append(self._part(knee_x, knee_y, ankle_x, ankle_y, 0.042, 0.03))
            parts.append(self._part(ankle_x, ankle_y, ankle_x + 0.08 * self.side_view, ankle_y, 0.025, 0.02))
            arm = -self.side_view * self.swing * np.sin(cycle)
            elbow_x, elbow_y = side * 2 * apart + 0.17 * np.sin(arm), -0.31 + 0.17 * np.cos(arm)
            hand_x, hand_y = elbow_x + 0.16 * np.sin(arm + 0.35), elbow_y + 0.16 * np.cos(arm + 0.35)
            parts.append(self._part(side * 2 * apart + zero, -0.31, elbow_x, elbow_y, 0.038, 0.032))
            parts.append(self._part(elbow_x, elbow_y, hand_x, hand_y, 0.03, 0.026))
        return np.stack(parts, axis=1)

    def _part(self, *ends: np.ndarray | float, girth: float | None = None) -> np.ndarray:
        scale = self.girth if girth is None else girth
        x0, y0, x1, y1, r0, r1 = np.broadcast_arrays(*ends)
        return np.stack([x0, y0, x1, y1, scale * r0, scale * r1], axis=-1).astype(np.float32)


def _render(poses: np.ndarray, path: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Masks (n, 64, 64) bool: figures with exactly the path's number of pixels, as far as the window shows them.

    The pixels deepest inside the figure are taken until there are as many as wanted, so that the area follows its law
    and not the pose. The centre of mass is brought to its place by drawing twice, by a last shift, and by
    ``_balanced``; it is then right to 0.01 pixels in the median.
    """
    wanted = path[:, 2].astype(int)
    n_rows = 2 * int(np.ceil(0.62 * height.max()) + 3)
    n_columns = 2 * int(np.ceil(0.48 * height.max()) + 3)
    corner = np.floor(path[:, [1, 0]]).astype(int) - [n_rows // 2, n_columns // 2]  # row, column of the patch
    target = path[:, [1, 0]] - corner
    covered = np.clip(_depth(poses, target, height, n_rows, n_columns) * height[:, None, None] + 0.5, 0, 1)
    depth = _depth(poses, 2 * target - _centre(covered), height, n_rows, n_columns)
    depth = _shifted(depth, target - _centre(_balanced(depth, wanted, target)))
    patches = _balanced(depth, wanted, target)
    masks = np.zeros((len(path), SIDE, SIDE), bool)
    for mask, patch, (row, column) in zip(masks, patches, corner, strict=True):
        rows, columns = _overlap(row, n_rows), _overlap(column, n_columns)
        mask[rows, columns] = patch[rows.start - row : rows.stop - row, columns.start - column : columns.stop - column]
    return masks


def _overlap(start: int, length: int) -> slice:
    """The part of ``start … start + length`` that lies in the window."""
    low = min(max(start, 0), SIDE)
    return slice(low, max(low, min(start + length, SIDE)))


def _centre(weight: np.ndarray) -> np.ndarray:
    """Row and column (n, 2) of the centres of mass of (n, rows, columns)."""
    row = weight.sum(axis=2) @ np.arange(weight.shape[1])
    column = weight.sum(axis=1) @ np.arange(weight.shape[2])
    return np.stack([row, column], axis=1) / weight.sum(axis=(1, 2))[:, None]


def _depth(poses: np.ndarray, hip: np.ndarray, height: np.ndarray, n_rows: int, n_columns: int) -> np.ndarray:
    """How far inside the figure each pixel of the patch lies, in heights: (n, n_rows, n_columns) float32."""
    y = ((np.arange(n_rows) - hip[:, :1]) / height[:, None]).astype(np.float32)[:, :, None]
    x = ((np.arange(n_columns) - hip[:, 1:]) / height[:, None]).astype(np.float32)[:, None]
    depth = np.full((len(poses), n_rows, n_columns), -np.inf, np.float32)
    for part in range(poses.shape[1]):
        x0, y0, x1, y1, r0, r1 = (poses[:, part, i, None, None] for i in range(6))
        dx, dy = x1 - x0, y1 - y0
        squared = np.maximum(dx**2 + dy**2, np.float32(1e-12))
        along = np.clip((x - x0) * (dx / squared) + (y - y0) * (dy / squared), 0, 1)
        away = np.sqrt((x - x0 - along * dx) ** 2 + (y - y0 - along * dy) ** 2)
        np.maximum(depth, r0 + along * (r1 - r0) - away, out=depth)
    return depth


def _shifted(depth: np.ndarray, by: np.ndarray) -> np.ndarray:
    """The patches moved by less than a pixel in rows and columns, ``by`` (n, 2), between neighbours linearly."""
    for axis in (1, 2):
        part = np.clip(by[:, axis - 1], -1, 1).astype(np.float32)[:, None, None]
        before, after = np.roll(depth, 1, axis), np.roll(depth, -1, axis)  # borders lie far outside the figure
        depth = depth + np.abs(part) * (np.where(part > 0, before, after) - depth)
    return depth


def _balanced(depth: np.ndarray, wanted: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Masks of the ``wanted`` (n,) deepest pixels of patches (n, rows, columns), their centres of mass at ``target``.

    Whole pixels place a centre of mass no better than 0.1 pixels, a third of the median step; so one of the pixels just
    inside the outline changes places with one just outside, the pair that leaves the least error.
    """
    n_columns = depth.shape[2]
    flat = depth.reshape(len(depth), -1)
    masks = np.zeros(flat.shape, bool)
    for mask, values, area, aim in zip(masks, flat, wanted, target, strict=True):
        low, high = area - N_SWAPPED, area + N_SWAPPED
        order = np.argpartition(-values, (low, area, high))
        mask[order[:area]] = True
        places = np.stack(np.divmod(order[:high], n_columns), axis=1)
        error = area * aim - places[:area].sum(axis=0)
        inner, outer = places[low:area], places[area:high]
        left = error - (outer[None] - inner[:, None])
        i, o = np.unravel_index(np.argmin((left**2).sum(axis=2)), left.shape[:2])
        if (left[i, o] ** 2).sum() < (error**2).sum():
            mask[order[low + i]], mask[order[area + o]] = False, True
    return masks.reshape(depth.shape)
