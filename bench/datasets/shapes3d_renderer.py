"""A look-alike of 3D Shapes (Burgess and Kim, 2018): a small ray caster for its room, its camera and its four objects.

Constants were measured on 50 frames of the authors' notebook. Edges there move in thirds of a pixel and ring, so the
originals are taken to be drawn without anti-aliasing at three times the size and reduced with Lanczos; so are ours.

Hues only colour what the other three factors place. A channel of a fully saturated colour has one of six levels, so
each of the 480 placements is kept as what floor, wall and object add to a channel of each level, and a frame is a sum.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np

SIDE = 64
SIZES = (10, 10, 10, 8, 4, 15)  # floor_hue, wall_hue, object_hue, scale, shape, orientation
N_PLACEMENTS = SIZES[3] * SIZES[4] * SIZES[5]
SHAPES = ("cube", "cylinder", "sphere", "capsule")
SCALES = np.linspace(0.75, 1.25, 8)
ORIENTATIONS = np.linspace(-30, 30, 15)  # degrees
SKY = (153, 226, 249)

_OVERSAMPLING = 3
_REACH = 8  # sub-pixels to either side of a pixel's own three that the Lanczos kernel touches
_LEVELS = np.arange(6, dtype=np.float32) / 5
_UNIT = 64  # planes are int16 in 1/64 grey level, so that only the sum is rounded
_CHUNK = 16  # frames summed at once: what is in work stays in the processor's cache

# Lengths in tenths of the camera's distance from the object, of scale 1. At orientation 0 x points to the right and y
# into the picture; z points upwards, and the object stands in the origin.
_DISTANCE = 10.0
_CAMERA_HEIGHT = 2.934
_FOCAL = 69.85  # pixels
_PITCH = -0.0114  # radians upwards
_BACK_WALL, _SIDE_WALL, _WALL_HEIGHT = 14.36, 14.06, 7.976
_CUBE = 1.382  # half of an edge
_CYLINDER = (1.473, 2.959)  # radius, height
_SPHERE = 1.672
_CAPSULE = (1.268, 5.114)  # radius, height over all

# Light. The lamp casts the shadow; what reaches floor and walls is a polynomial of the place in tens of units, since a
# point lamp alone does not explain it. Everything but the floor is also lit along the camera's axis.
_LAMP = np.array([-5.34, 1.84, 27.52], np.float32)
_HEADLIGHT = 0.584
_AMBIENT, _LAMP_ON_OBJECT = 0.365, 0.788
_GLOSS, _GLOSS_EDGE = 0.119, 0.062  # added to all channels where the lamp shines; cosine over which it sets in
_SHADOW = 0.338
_FLOOR = {
    (0, 0): 1.092, (1, 0): -0.497, (0, 1): 0.084, (2, 0): -0.169, (1, 1): 0.068,
    (0, 2): -0.389, (3, 0): 0.110, (2, 1): 0.041, (1, 2): 0.090, (0, 3): 0.097,
}  # fmt: skip  # powers of x and y
_BACK = {(0, 0): 0.487, (1, 0): -0.059, (0, 1): -0.091, (2, 0): -0.018, (1, 1): 0.007, (0, 2): 0.042}  # of x and z
_RIGHT = {(0, 0): 0.435, (1, 0): -0.026, (0, 1): -0.050}  # of y and z
_LEFT = {(0, 0): 0.590, (1, 0): -0.115, (0, 1): -0.033}

# Planes of one placement: sky red, green, blue, then six levels each of floor, wall and object.
_FIRST_PLANE = {"sky": 0, "floor": 3, "wall": 9, "object": 15}
N_PLANES = 21


def hue_levels(hue: np.ndarray) -> np.ndarray:
    """Levels (n, 3), 0 … 5, of red, green and blue of hues (n,) 0 … 9."""
    table = np.array([np.rint(5 * np.array(colorsys.hsv_to_rgb(k / SIZES[0], 1, 1))) for k in range(SIZES[0])], int)
    return np.asarray(table[hue])


def placements(numbers: np.ndarray) -> np.ndarray:
    """Planes (n, 21, 64, 64) int16 of some of the 480 placements: cells of scale, shape, orientation in C order."""
    cells = np.stack(np.unravel_index(numbers, SIZES[3:]), axis=1)
    rooms = {turn: _Room.seen_from(ORIENTATIONS[turn]) for turn in np.unique(cells[:, 2])}
    return np.stack([_planes(rooms[turn], _Object(SHAPES[shape], SCALES[scale])) for scale, shape, turn in cells])


def compose(planes: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Frames (n, 3, 64, 64) uint8 of cells (n, 6) of the grid.

    Args:
        planes: of all placements, (480, 21, 64, 64).
    """
    return _sum(planes, placement_numbers(cells), cells)


def _sum(planes: np.ndarray, rows: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Frames of cells whose planes stand in these rows."""
    single = planes.reshape(-1, SIDE, SIDE)
    first = N_PLANES * rows[:, None]
    chosen = [first + np.arange(3)]
    for column, surface in enumerate(("floor", "wall", "object")):
        chosen.append(first + _FIRST_PLANE[surface] + hue_levels(cells[:, column]))
    frames = np.empty((len(cells), 3, SIDE, SIDE), np.uint8)
    total, part = np.empty((2, _CHUNK, 3, SIDE, SIDE), np.int16)
    for start in range(0, len(cells), _CHUNK):
        piece = slice(start, min(start + _CHUNK, len(cells)))
        total, part = total[: piece.stop - start], part[: piece.stop - start]
        # Rows are in range; the other modes of take copy what they write to ``out``.
        np.take(single, chosen[0][piece], axis=0, out=total, mode="clip")
        for numbers in chosen[1:]:
            np.take(single, numbers[piece], axis=0, out=part, mode="clip")
            total += part
        np.clip(total, 0, 255 * _UNIT, out=total)
        total += _UNIT // 2
        frames[piece] = total // _UNIT
    return frames


def render_shapes3d(cells: np.ndarray) -> np.ndarray:
    """Frames (n, 3, 64, 64) uint8 of a few cells (n, 6); makes their placements anew, 7 ms each."""
    numbers, rows = np.unique(placement_numbers(cells), return_inverse=True)
    return _sum(placements(numbers), rows, cells)


def placement_numbers(cells: np.ndarray) -> np.ndarray:
    """Number (n,) of the placement of each cell (n, 6)."""
    return np.asarray(np.ravel_multi_index(tuple(cells[:, 3:].T), SIZES[3:]))


@dataclass(frozen=True)
class _Room:
    """What the camera sees where there is no object, at every sub-pixel.

    Attributes:
        eye: (3,) the camera.
        axis: (3,) where it looks.
        rays: (3, n, n) directions, not of unit length.
        surface: (n, n) 0 floor, 1 wall, 2 sky.
        place: (3, n, n) the point that is seen.
        shade: (n, n) factor on the surface's colour; above 1 it saturates.
    """

    eye: np.ndarray
    axis: np.ndarray
    rays: np.ndarray
    surface: np.ndarray
    place: np.ndarray
    shade: np.ndarray

    @classmethod
    def seen_from(cls, degrees: float) -> _Room:
        turn = np.deg2rad(degrees)
        right = np.array([np.cos(turn), np.sin(turn), 0])
        level = np.array([-np.sin(turn), np.cos(turn), 0])
        axis = np.cos(_PITCH) * level + np.array([0, 0, np.sin(_PITCH)])
        above = -np.sin(_PITCH) * level + np.array([0, 0, np.cos(_PITCH)])
        eye = np.array([0, 0, _CAMERA_HEIGHT]) - _DISTANCE * level
        offset = ((np.arange(SIDE * _OVERSAMPLING) + 0.5) / _OVERSAMPLING - SIDE / 2) / _FOCAL
        rays = axis[:, None, None] + offset * right[:, None, None] - offset[:, None] * above[:, None, None]
        with np.errstate(divide="ignore"):
            reach = np.stack([
                np.where(rays[2] < 0, -eye[2] / rays[2], np.inf),
                np.where(rays[1] > 0, (_BACK_WALL - eye[1]) / rays[1], np.inf),
                np.where(rays[0] > 0, (_SIDE_WALL - eye[0]) / rays[0], np.inf),
                np.where(rays[0] < 0, (-_SIDE_WALL - eye[0]) / rays[0], np.inf),
            ])  # fmt: skip
        hit = reach.argmin(axis=0)
        place = eye[:, None, None] + reach.min(axis=0) * rays
        x, y, z = place / 10
        shade = np.choose(hit, [
            _polynomial(_FLOOR, x, y),
            _polynomial(_BACK, x, z) + _HEADLIGHT * axis[1],
            _polynomial(_RIGHT, y, z) + _HEADLIGHT * max(axis[0], 0.0),
            _polynomial(_LEFT, y, z) + _HEADLIGHT * max(-axis[0], 0.0),
        ])  # fmt: skip
        surface = np.where(hit == 0, 0, np.where(place[2] <= _WALL_HEIGHT, 1, 2))
        single = [array.astype(np.float32) for array in (eye, axis, rays, place, shade)]
        return cls(single[0], single[1], single[2], surface, single[3], single[4])


def _polynomial(coefficients: dict[tuple[int, int], float], a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.sum([c * a**i * b**j for (i, j), c in coefficients.items()], axis=0)


@dataclass(frozen=True)
class _Object:
    shape: str
    scale: float

    def distance(self, start: np.ndarray, ray: np.ndarray) -> np.ndarray:
        """Where rays ``start + t · ray`` (3, …) enter the object: t, inf where they miss it."""
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.shape == "cube":
                return _enter_cube(start, ray, np.float32(_CUBE * self.scale))
            if self.shape == "sphere":
                radius = np.float32(_SPHERE * self.scale)
                return _enter_ball(start, ray, radius, radius)
            radius, height = (np.float32(v * self.scale) for v in (_CYLINDER if self.shape == "cylinder" else _CAPSULE))
            if self.shape == "cylinder":
                side = _enter_tube(start, ray, radius, np.float32(0), height)
                return np.minimum(side, _enter_lid(start, ray, radius, height))
            side = _enter_tube(start, ray, radius, radius, height - radius)
            low, high = (_enter_ball(start, ray, radius, z) for z in (radius, height - radius))
            return np.minimum(side, np.minimum(low, high))

    def normal(self, place: np.ndarray) -> np.ndarray:
        """Outward unit vectors (3, n) of points (3, n) on the surface."""
        x, y, z = place
        if self.shape == "cube":
            edge = np.float32(_CUBE * self.scale)
            to_face = place - np.array([[0], [0], [edge]], np.float32)
            face = np.abs(to_face).argmax(axis=0)
            return np.where(np.arange(3)[:, None] == face, np.sign(to_face), 0)
        if self.shape == "cylinder":
            radius, height = (v * self.scale for v in _CYLINDER)
            on_lid = z > height - 1e-4
            return np.stack([np.where(on_lid, 0, x / radius), np.where(on_lid, 0, y / radius), on_lid])
        if self.shape == "sphere":
            radius = height = _SPHERE * self.scale
        else:
            radius, height = (v * self.scale for v in _CAPSULE)
        axis = np.clip(z, radius, max(height - radius, radius))
        return np.stack([x, y, z - axis]) / np.float32(radius)


def _enter_cube(start: np.ndarray, ray: np.ndarray, half: np.float32) -> np.ndarray:
    enter, leave = np.float32(-np.inf), np.float32(np.inf)
    for k, (low, high) in enumerate(((-half, half), (-half, half), (0, 2 * half))):
        a, b = (low - start[k]) / ray[k], (high - start[k]) / ray[k]
        enter, leave = np.maximum(enter, np.minimum(a, b)), np.minimum(leave, np.maximum(a, b))
    return np.where(enter < leave, enter, np.inf)


def _enter_ball(start: np.ndarray, ray: np.ndarray, radius: np.float32, height: np.float32) -> np.ndarray:
    z = start[2] - height
    a = ray[0] ** 2 + ray[1] ** 2 + ray[2] ** 2
    b = start[0] * ray[0] + start[1] * ray[1] + z * ray[2]
    c = start[0] ** 2 + start[1] ** 2 + z**2 - radius**2
    under_root = b * b - a * c
    return np.where(under_root > 0, (-b - np.sqrt(under_root)) / a, np.inf)


def _enter_tube(
    start: np.ndarray, ray: np.ndarray, radius: np.float32, low: np.float32, high: np.float32
) -> np.ndarray:
    a = ray[0] ** 2 + ray[1] ** 2
    b = start[0] * ray[0] + start[1] * ray[1]
    c = start[0] ** 2 + start[1] ** 2 - radius**2
    under_root = b * b - a * c
    t = (-b - np.sqrt(under_root)) / a
    z = start[2] + t * ray[2]
    return np.where((under_root > 0) & (z >= low) & (z <= high), t, np.inf)


def _enter_lid(start: np.ndarray, ray: np.ndarray, radius: np.float32, height: np.float32) -> np.ndarray:
    t = (height - start[2]) / ray[2]
    is_inside = (start[0] + t * ray[0]) ** 2 + (start[1] + t * ray[1]) ** 2 <= radius**2
    return np.where(is_inside, t, np.inf)


def _planes(room: _Room, thing: _Object) -> np.ndarray:
    """What each surface adds to a channel of each level: (21, 64, 64) int16."""
    start, eye = room.eye[:, None], room.eye[:, None, None]
    distance = thing.distance(eye, room.rays)
    is_object = np.isfinite(distance)
    shade = room.shade.copy()
    on_floor = (room.surface == 0) & ~is_object
    shade[on_floor] = np.where(_is_shadowed(room.place[:, on_floor], thing), np.float32(_SHADOW), shade[on_floor])

    planes = np.empty((N_PLANES, SIDE, SIDE), np.float32)
    sky = _reduce(((room.surface == 2) & ~is_object).astype(np.float32))
    planes[:3] = sky * (np.array(SKY, np.float32) / 255)[:, None, None]
    for surface, name in enumerate(("floor", "wall")):
        seen = (room.surface == surface) & ~is_object
        planes[_FIRST_PLANE[name] :][:6] = _all_levels(seen, shade[seen], np.float32(0))
    rays = room.rays[:, is_object]
    diffuse, gloss = _light(start + distance[is_object] * rays, thing, room.axis)
    planes[_FIRST_PLANE["object"] :] = _all_levels(is_object, diffuse, gloss)
    return np.rint(255 * _UNIT * planes).astype(np.int16)


def _all_levels(seen: np.ndarray, shade: np.ndarray, gloss: np.ndarray | np.float32) -> np.ndarray:
    """What a surface adds to a channel of each level: (6, 64, 64) float32.

    Args:
        seen: (n, n) sub-pixels that show it.
        shade, gloss: factor and addend there, (n_seen,).
    """

    def reduced(values: np.ndarray | np.float32) -> np.ndarray:
        canvas = np.zeros(seen.shape, np.float32)
        canvas[seen] = values
        return _reduce(canvas)

    planes = _LEVELS[:, None, None] * reduced(shade)
    if np.any(gloss):
        planes += reduced(gloss)
    for plane, level in zip(planes, _LEVELS, strict=True):
        light = level * shade + gloss
        if light.size and light.max() > 1:
            plane[:] = reduced(np.minimum(light, 1))
    return np.asarray(planes)


def _is_shadowed(place: np.ndarray, thing: _Object) -> np.ndarray:
    """Whether the object stands between points (3, n) and the lamp."""
    distance = thing.distance(place, _LAMP[:, None] - place)
    return (distance > 0) & (distance < 1)


def _light(place: np.ndarray, thing: _Object, axis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Factor on the colour, and what is added to it, at points (3, n) of the object."""
    normal = thing.normal(place)
    to_lamp = _LAMP[:, None] - place
    lamp = (normal * to_lamp).sum(axis=0) / np.sqrt((to_lamp**2).sum(axis=0))
    camera = -(normal * axis[:, None]).sum(axis=0)
    diffuse = _AMBIENT + _HEADLIGHT * np.maximum(camera, 0) + _LAMP_ON_OBJECT * np.maximum(lamp, 0)
    return diffuse, _GLOSS * np.clip(lamp / _GLOSS_EDGE + 0.5, 0, 1)


def _reduce(canvas: np.ndarray) -> np.ndarray:
    """Pixels (64, 64) float32 of sub-pixels (192, 192), as Pillow's Lanczos makes them.

    A plain sum in a fixed order: a matrix product would differ in its last bits between machines.
    """
    for _ in range(2):
        padded = np.pad(canvas, ((_REACH, _REACH), (0, 0)))
        rows = np.zeros((SIDE, canvas.shape[1]), np.float32)
        for k, weights in enumerate(_TAPS.T):
            rows += weights[:, None] * padded[k : k + SIDE * _OVERSAMPLING : _OVERSAMPLING]
        canvas = np.ascontiguousarray(rows.T)
    return canvas


def _lanczos_taps() -> np.ndarray:
    """Weights (64, 19) float32 of the sub-pixels around each pixel; those beyond the border count nothing."""
    place = np.arange(SIDE)[:, None] * _OVERSAMPLING + np.arange(_OVERSAMPLING + 2 * _REACH) - _REACH
    distance = (place + 0.5) / _OVERSAMPLING - (np.arange(SIDE)[:, None] + 0.5)
    weights = np.where(np.abs(distance) < 3, np.sinc(distance) * np.sinc(distance / 3), 0)
    weights[(place < 0) | (place >= SIDE * _OVERSAMPLING)] = 0
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


_TAPS = _lanczos_taps()
