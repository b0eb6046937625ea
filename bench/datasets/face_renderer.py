"""Drawn faces that change their expression: the generated stand-in for MUG.

A person is a fixed vector of colours and lengths; an expression moves brows, lids and mouth towards one of six targets
and back. Lengths are pixels of a 128 × 128 frame, which is then halved. Two pairs of expressions
share two of their six offsets, and faces at rest differ in the very lengths that expressions move, so that a change
tells an expression better than one frame does.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

SIDE, SCALE = 64, 2
N_PEOPLE = 52
EXPRESSIONS = "anger", "disgust", "happiness", "fear", "sadness", "surprise"
OFFSETS = "brow_inner", "brow_outer", "lid", "mouth_width", "mouth_open", "mouth_corner"
# downwards for brows; wider open for lids and mouth; upwards for the corners
TARGETS = np.array(
    [
        [6.5, -4.0, -2.2, -5.0, 0.0, -1.5],  # anger
        [6.5, 4.0, -2.2, 3.5, 5.0, -6.5],  # disgust: brow_inner and lid as anger
        [0.0, 0.0, -1.2, 7.5, 5.0, 7.5],  # happiness
        [-6.0, 2.5, 3.0, 5.0, 4.0, -4.0],  # fear
        [-5.0, 5.0, -1.8, -2.5, 0.0, -7.5],  # sadness
        [-6.0, -6.0, 3.0, -5.0, 12.0, 0.0],  # surprise: brow_inner and lid as fear
    ]
)
SHORTEST, LONGEST = 50, 160  # frames of a recording
NOISE = 0.02  # standard deviation, of 1
_RAMP = 0.4  # share of a recording that the onset takes, and the offset
_PEOPLE_SEED = 2_010

_Y, _X = np.mgrid[: SCALE * SIDE, : SCALE * SIDE].astype(np.float32)
_MIDDLE = (SCALE * SIDE - 1) / 2


@dataclass(frozen=True)
class People:
    """Fixed vectors of n people; every attribute is (n,) or, for colours (red, green, blue in [0, 1]), (n, 3)."""

    skin: np.ndarray
    hair: np.ndarray
    lips: np.ndarray
    iris: np.ndarray
    background: np.ndarray
    half_width: np.ndarray
    half_height: np.ndarray
    hairline: np.ndarray
    has_long_hair: np.ndarray
    eye_apart: np.ndarray
    eye_width: np.ndarray
    eye_open: np.ndarray
    brow_thickness: np.ndarray
    brow_height: np.ndarray
    brow_angle: np.ndarray
    nose_length: np.ndarray
    nose_width: np.ndarray
    mouth_width: np.ndarray
    mouth_curve: np.ndarray
    lip_thickness: np.ndarray
    has_glasses: np.ndarray
    gain: np.ndarray  # (n, 6): how strongly a person moves each offset

    def __getitem__(self, index: np.ndarray) -> People:
        return People(*(getattr(self, field.name)[index] for field in fields(self)))


def people(n: int = N_PEOPLE) -> People:
    """The first n of the people that all recordings show."""
    rows = [_person(np.random.default_rng((_PEOPLE_SEED, i))) for i in range(n)]
    return People(*(np.array([row[field.name] for row in rows], np.float32) for field in fields(People)))


def _person(rng: np.random.Generator) -> dict[str, object]:
    pale, dark = np.array([0.98, 0.84, 0.74]), np.array([0.42, 0.27, 0.20])
    tone = rng.random()
    hairs = ((0.08, 0.06, 0.05), (0.30, 0.18, 0.10), (0.78, 0.62, 0.34), (0.55, 0.25, 0.12), (0.62, 0.62, 0.62))
    skin = (1 - tone) * pale + tone * dark + rng.normal(0, 0.015, 3)
    return {
        "skin": skin,
        "hair": np.clip(np.array(hairs[rng.integers(len(hairs))]) * rng.uniform(0.8, 1.2), 0, 1),
        "lips": skin * [0.85, rng.uniform(0.45, 0.65), rng.uniform(0.5, 0.7)],
        "iris": (((0.25, 0.15, 0.08), (0.2, 0.4, 0.6), (0.25, 0.4, 0.2)))[rng.integers(3)],
        "background": rng.uniform(0.35, 0.85),
        "half_width": rng.uniform(29, 36),
        "half_height": rng.uniform(39, 46),
        "hairline": rng.uniform(0.45, 0.75),
        "has_long_hair": rng.random() < 0.45,
        "eye_apart": rng.uniform(12, 16),
        "eye_width": rng.uniform(5, 7),
        "eye_open": rng.uniform(2.4, 4.8),
        "brow_thickness": rng.uniform(1.4, 3.6),
        "brow_height": rng.uniform(9, 12),
        "brow_angle": rng.uniform(-2.25, 2.25),
        "nose_length": rng.uniform(12, 18),
        "nose_width": rng.uniform(3, 5.5),
        "mouth_width": rng.uniform(9, 13.5),
        "mouth_curve": rng.uniform(-2.5, 2.5),
        "lip_thickness": rng.uniform(1.4, 3),
        "has_glasses": rng.random() < 0.25,
        "gain": rng.uniform(0.75, 1.25, len(OFFSETS)),
    }


@dataclass(frozen=True)
class Clips:
    """What happens in the frames of n clips.

    Attributes:
        person, expression: (n,) int64.
        amount: (n, time) how far the expression has gone, 0 … 1.
        sway: (n, time, 2) rows and columns by which the head has moved, pixels of the large frame.
        light: (n, time) what all colours are multiplied by.
    """

    person: np.ndarray
    expression: np.ndarray
    amount: np.ndarray
    sway: np.ndarray
    light: np.ndarray


def draw_clip(number: int, n_frames: int, stride: int, n_people: int = N_PEOPLE) -> dict[str, np.ndarray]:
    """What happens in clip ``number``, as ``Clips`` holds it; a function of the number alone.

    A recording has 50 to 160 frames: onset, apex and offset take 40, 20 and 40 % of it. The clip is ``n_frames`` of
    them, ``stride`` apart, from a random start.
    """
    rng = np.random.default_rng((_PEOPLE_SEED, 1, number))
    length = int(rng.integers(SHORTEST, LONGEST + 1))
    start = int(rng.integers(length - n_frames * stride + 1))
    time = (start + stride * np.arange(n_frames)) / (length - 1)
    rise = np.clip(np.minimum(time, 1 - time) / _RAMP, 0, 1)
    frames = start + stride * np.arange(n_frames)
    turns = rng.uniform(0, 2 * np.pi, 2) + frames[:, None] * rng.uniform(0.03, 0.09, 2)
    return {
        "person": np.asarray(number % n_people),
        "expression": np.asarray(rng.integers(len(EXPRESSIONS))),
        "amount": rng.uniform(0.5, 1) * (1 - np.cos(np.pi * rise)) / 2,
        "sway": rng.normal(0, 1.5, 2) + rng.uniform(0.3, 1.5, 2) * np.sin(turns),
        "light": rng.uniform(0.94, 1.06) + rng.uniform(-0.05, 0.05) * np.linspace(-1, 1, n_frames),
    }


def draw_clips(numbers: range, n_frames: int, stride: int, n_people: int = N_PEOPLE) -> Clips:
    """What happens in these clips."""
    drawn = [draw_clip(number, n_frames, stride, n_people) for number in numbers]
    return Clips(**{field.name: np.array([clip[field.name] for clip in drawn]) for field in fields(Clips)})


def render(clips: Clips, rng: np.random.Generator) -> np.ndarray:
    """Frames (n, time, 3, 64, 64) uint8 of clips; ``rng`` draws the noise of the camera."""
    n, time = clips.amount.shape
    who = np.repeat(clips.person, time)
    everyone = people(int(clips.person.max()) + 1)[who]
    offsets = clips.amount.reshape(-1, 1) * TARGETS[np.repeat(clips.expression, time)] * everyone.gain
    frames = np.empty((n * time, 3, SIDE, SIDE), np.uint8)
    step = 30
    for start in range(0, len(frames), step):
        part = np.s_[start : start + step]
        large = _faces(everyone[np.arange(len(frames))[part]], offsets[part], clips.sway.reshape(-1, 2)[part])
        small = large.reshape(-1, 3, SIDE, SCALE, SIDE, SCALE).mean(axis=(3, 5))
        small *= clips.light.reshape(-1, 1, 1, 1)[part]
        small += NOISE * rng.standard_normal(small.shape, np.float32)
        frames[part] = np.round(255 * np.clip(small, 0, 1)).astype(np.uint8)
    return frames.reshape(n, time, 3, SIDE, SIDE)


def _faces(p: People, offsets: np.ndarray, sway: np.ndarray) -> np.ndarray:
    """Large frames (n, 3, 128, 128) float32 in [0, 1] of n people with their offsets (n, 6) and sway (n, 2)."""
    picture = np.empty((len(offsets), 3, *_Y.shape), np.float32)
    picture[:] = p.background[:, None, None, None]
    x0, y0 = _wide(_MIDDLE + sway[:, 1]), _wide(_MIDDLE + 4 + sway[:, 0])
    half_width, half_height = _wide(p.half_width), _wide(p.half_height)
    _paint(picture, _shirt(x0, y0, half_height), np.array([[0.25, 0.3, 0.4]], np.float32), slice(96, None))
    top = _ellipse(x0, y0 - 4, half_width + 4, half_height + 3)
    long_hair = _box(x0, y0 + 10, half_width + 4, half_height - 2) * _wide(p.has_long_hair)
    _paint(picture, np.maximum(top * (y0 + 6 > _Y), long_hair), p.hair)
    neck = _box(x0, y0 + half_height, 0.45 * half_width, _wide(np.array([14])))
    _paint(picture, neck, 0.88 * p.skin)
    face = _ellipse(x0, y0, half_width, half_height)
    _paint(picture, face, p.skin)
    line = y0 - _wide(p.hairline) * half_height
    _paint(picture, top * np.clip(line - _Y + 0.1 * (_X - x0) + 0.5, 0, 1), p.hair)
    _features(picture, p, offsets.astype(np.float32), x0, y0)
    return picture


def _features(picture: np.ndarray, p: People, offsets: np.ndarray, x0: np.ndarray, y0: np.ndarray) -> None:
    inner, outer, lid, widen, gap, corner = (_wide(column) for column in offsets.T)
    eye_y, iris = y0 - 6, _wide(np.array([2.8]))
    rows = slice(28, 80)
    for side in (-1, 1):
        across = side * (_X[rows] - x0) - _wide(p.eye_apart)  # grows outwards from the middle of the eye
        down = _Y[rows] - eye_y
        eye_open = np.maximum(_wide(p.eye_open) + lid, 0.5)
        eye = _ellipse_at(across, down, _wide(p.eye_width), eye_open)
        _paint(picture, eye, np.array([[0.96, 0.96, 0.96]], np.float32), rows)
        _paint(picture, eye * _ellipse_at(across, down, iris, iris), p.iris, rows)
        reach = _wide(p.eye_width) + 1.5
        part = np.clip((across + reach) / (2 * reach), 0, 1)  # 0 at the inner end of the brow, 1 at the outer
        tilt = _wide(p.brow_angle)
        brow = down + _wide(p.brow_height) - (1 - part) * (inner + tilt) - part * (outer - tilt) - 2 * (part - 0.5) ** 2
        inside = _soft(reach - np.abs(across)) * _soft(_wide(p.brow_thickness) / 2 - np.abs(brow))
        _paint(picture, inside, 0.7 * p.hair, rows)
        ring = np.abs(np.hypot(across, down - 1) - 8.5)
        _paint(picture, _soft(0.8 - ring) * _wide(p.has_glasses), np.array([[0.1, 0.1, 0.1]], np.float32), rows)
    rows = slice(50, 96)
    across, down = np.abs(_X[rows] - x0), _Y[rows] - eye_y - _wide(p.nose_length)
    wide = _wide(p.nose_width)
    nose = _soft(wide - across) * _soft(1 - np.abs(down + (across / wide) ** 2))
    _paint(picture, nose, 0.72 * p.skin, rows)
    rows = slice(70, 126)
    half = _wide(p.mouth_width) + widen
    across = (_X[rows] - x0) / half
    arch = np.sqrt(np.clip(1 - across**2, 0, 1))
    lift = _wide(p.mouth_curve) + corner
    line = _Y[rows] - (y0 + 21) + lift * (across**2 - 0.4) - 0.3 * gap
    ends = _soft(half - np.abs(_X[rows] - x0))
    lips = _soft((_wide(p.lip_thickness) + np.maximum(gap, 0) / 2) * (0.4 + 0.6 * arch) - np.abs(line)) * ends
    _paint(picture, lips, p.lips, rows)
    hole = _soft((np.maximum(gap, 0) / 2 + 0.4) * arch - np.abs(line)) * ends
    _paint(picture, hole, np.array([[0.22, 0.08, 0.08]], np.float32), rows)


def _wide(values: np.ndarray) -> np.ndarray:
    return np.asarray(values, np.float32)[:, None, None]


def _soft(depth: np.ndarray) -> np.ndarray:
    """Share of a pixel that is inside, from how deep its middle lies inside."""
    return np.clip(depth + 0.5, 0, 1)


def _ellipse(x: np.ndarray, y: np.ndarray, half_width: np.ndarray, half_height: np.ndarray) -> np.ndarray:
    return _ellipse_at(_X - x, _Y - y, half_width, half_height)


def _ellipse_at(across: np.ndarray, down: np.ndarray, half_width: np.ndarray, half_height: np.ndarray) -> np.ndarray:
    away = np.sqrt((across / half_width) ** 2 + (down / half_height) ** 2)
    return _soft((1 - away) * np.minimum(half_width, half_height))


def _box(x: np.ndarray, y: np.ndarray, half_width: np.ndarray, half_height: np.ndarray) -> np.ndarray:
    return _soft(half_width - np.abs(_X - x)) * _soft(half_height - np.abs(_Y - y))


def _shirt(x: np.ndarray, y: np.ndarray, half_height: np.ndarray) -> np.ndarray:
    return _soft(_Y[96:] - y - half_height - 4 - 0.012 * (_X[96:] - x) ** 2)


def _paint(picture: np.ndarray, cover: np.ndarray, colour: np.ndarray, rows: slice = slice(None)) -> None:
    """Lay a colour (n, 3) over the picture's rows where ``cover`` (n, rows, 128) says."""
    part = picture[:, :, rows]
    part += cover[:, None] * (colour[:, :, None, None] - part)
