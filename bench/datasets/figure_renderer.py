"""Walking, casting and slashing figures: the drawn stand-in for the LPC Sprites, as layers of the same shape.

A figure of capsules and ellipses has six poses, seen from the front, the left and the right. Each of the three motions
shows the same eight drawings (two poses twice) in an order of its own, so the set of frames, and with it the mean
frame, says nothing of the motion: it can only be read from the order. Left and right are mirrored, and arms and legs
swing evenly to both sides, so that eye, nose, toes and hair alone tell them apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

SIDE = 64
POSES = "stand", "reach", "left step", "right step", "arms up", "lunge"
# pose of each frame; as in the LPC sheets, spellcast shows its fifth drawing again as its seventh, slash its fifth and
# its first as its last two
ORDERS = np.array(
    [
        [1, 2, 0, 3, 1, 5, 0, 4],  # walk
        [4, 0, 2, 5, 1, 0, 1, 3],  # spellcast
        [0, 5, 3, 2, 1, 4, 1, 0],  # slash
    ]
)
N_DIRECTIONS = 3  # front, left, right
N_VARIANTS = 6

# degrees from hanging: arms, legs (the near one; the far one swings as far the other way); pixels: how much lower
_SIDEWAYS = ((10, 4, 0), (85, 6, 0), (-35, -28, 1), (35, 28, 1), (150, 0, -1), (60, 20, 2))
# degrees outwards: right arm, left arm; pixels: how far the right and the left foot are lifted, how much lower
_FRONTAL = ((8, 8, 0, 0, 0), (85, 85, 0, 0, 0), (10, 35, 5, 0, 1), (35, 10, 0, 5, 1), (155, 155, 0, 0, -1),
            (75, 25, 2, 0, 2))  # fmt: skip

_MIDDLE = (SIDE - 1) / 2
_SHOULDER, _HIP, _ANKLE, _HEAD = 31, 45, 58, 19
_FAR = 0.68  # far limbs are darker, and so is every outline
_Y, _X = np.mgrid[:SIDE, :SIDE].astype(np.float64)

_SKIN = ((246, 205, 170), (226, 165, 120), (172, 112, 72), (110, 72, 52), (150, 190, 150), (150, 150, 190))
_BOTTOM = ((225, 225, 225), (200, 165, 60), (180, 40, 50), (110, 115, 125), (30, 130, 130), (60, 45, 110))
_TOP = ((130, 30, 45), (40, 90, 190), (235, 235, 225), (120, 130, 140), (125, 80, 40), (40, 140, 60))
_HAIR = ((70, 160, 60), (50, 90, 200), (235, 205, 110), (245, 245, 245), (190, 40, 40), (130, 60, 160))
_BOOTS = (200, 150, 40)


class _Canvas:
    """One RGBA cell; later shapes cover earlier ones."""

    def __init__(self) -> None:
        self.pixels = np.zeros((SIDE, SIDE, 4), np.uint8)

    def fill(self, mask: np.ndarray, colour: Iterable[int], shade: float = 1.0) -> None:
        """Paint a mask, its outline darker."""
        inner = mask.copy()
        for axis, step in ((0, 1), (0, -1), (1, 1), (1, -1)):
            inner &= np.roll(mask, step, axis)
        tone = shade * np.asarray(list(colour))
        self.pixels[mask] = [*(_FAR * tone).astype(np.uint8), 255]
        self.pixels[inner] = [*tone.astype(np.uint8), 255]

    def dot(self, x: float, y: float, colour: Iterable[int]) -> None:
        """Two pixels, one above the other."""
        column, row = int(np.floor(x)), int(y)
        self.pixels[row : row + 2, column] = [*colour, 255]


def _ellipse(x: float, y: float, half_width: float, half_height: float) -> np.ndarray:
    return ((_X - x) / half_width) ** 2 + ((_Y - y) / half_height) ** 2 <= 1


def _box(x: float, y: float, half_width: float, half_height: float) -> np.ndarray:
    return (np.abs(_X - x) <= half_width) & (np.abs(_Y - y) <= half_height)


def _capsule(x0: float, y0: float, x1: float, y1: float, radius: float) -> np.ndarray:
    dx, dy = x1 - x0, y1 - y0
    along = np.clip(((_X - x0) * dx + (_Y - y0) * dy) / (dx**2 + dy**2), 0, 1)
    return np.hypot(_X - x0 - along * dx, _Y - y0 - along * dy) <= radius


class _Figure:
    """Where the parts of one figure are.

    Attributes:
        lower: pixels by which all above the hips is lowered.
        arms, legs: (x, y of the joint, x, y of hand or ankle), the farther one first.
        is_side: seen from the side, looking right.
    """

    def __init__(self, pose: int, is_side: bool) -> None:
        self.is_side = is_side
        if is_side:
            arm, leg, self.lower = _SIDEWAYS[pose]
            self.arms = [self._limb(0, self._shoulder, angle, 14) for angle in (-arm, arm)]
            self.legs = [self._limb(0, _HIP, angle, _ANKLE - _HIP) for angle in (-leg, leg)]
        else:
            right, left, lift_right, lift_left, self.lower = _FRONTAL[pose]
            self.arms = [
                self._limb(-7.5, self._shoulder, -right, 14),
                self._limb(7.5, self._shoulder, left, 14),
            ]
            self.legs = [
                (_MIDDLE + side, _HIP, _MIDDLE + side, _ANKLE - lift)
                for side, lift in ((-3.5, lift_right), (3.5, lift_left))
            ]

    @property
    def _shoulder(self) -> float:
        return _SHOULDER + self.lower

    @property
    def head(self) -> float:
        return _HEAD + self.lower

    @staticmethod
    def _limb(x: float, y: float, angle: float, length: float) -> tuple[float, float, float, float]:
        turn = np.deg2rad(angle)
        return _MIDDLE + x, y, _MIDDLE + x + length * np.sin(turn), y + length * np.cos(turn)

    def shades(self) -> tuple[float, float]:
        return (_FAR, 1.0) if self.is_side else (1.0, 1.0)

    def torso(self, widen: float = 0.0, down_to: float = _HIP) -> np.ndarray:
        top = self._shoulder - 2
        return _box(_MIDDLE, (top + down_to) / 2, (5 if self.is_side else 7) + widen, (down_to - top) / 2)


def _body(canvas: _Canvas, figure: _Figure, variant: int) -> None:
    skin, thick = _SKIN[variant], 3.4 if variant == 5 else 2.5
    for limb, shade in zip(figure.legs, figure.shades(), strict=True):
        canvas.fill(_capsule(*limb, 2.6), skin, shade)
    canvas.fill(_capsule(*figure.arms[0], thick), skin, figure.shades()[0])
    canvas.fill(figure.torso(), skin)
    canvas.fill(_capsule(*figure.arms[1], thick), skin)
    y = figure.head
    if variant == 4:  # pointed ears
        canvas.fill(_box(_MIDDLE, y - 1, 11.5, 1.5) | _box(_MIDDLE, y - 3, 12.5, 1), skin)
    canvas.fill(_ellipse(_MIDDLE, y, 8.6, 9.4), skin)
    if figure.is_side:
        canvas.fill(_box(_MIDDLE + 8.5, y + 2, 1, 1.5), skin)  # nose
        canvas.dot(_MIDDLE + 5, y, (20, 20, 40))
    else:
        for side in (-1, 1):
            canvas.dot(_MIDDLE + 0.5 + 4 * side, y, (20, 20, 40))


def _bottom(canvas: _Canvas, figure: _Figure, variant: int) -> None:
    colour = _BOTTOM[variant]
    for (x0, y0, x1, y1), shade in zip(figure.legs, figure.shades(), strict=True):
        part = 0.5 if variant == 4 else 0.95  # shorts
        wide = 4.3 if variant == 3 else 3.1
        canvas.fill(_capsule(x0, y0, x0 + part * (x1 - x0), y0 + part * (y1 - y0), wide), colour, shade)
    canvas.fill(_box(_MIDDLE, _HIP, 5.5 if figure.is_side else 7, 2.5), colour)
    if variant == 5:  # skirt
        skirt = (np.abs(_X - _MIDDLE) <= 7 + 0.4 * (_Y - _HIP)) & (np.abs(_Y - _HIP - 3) <= 5)
        canvas.fill(skirt, colour)


def _top(canvas: _Canvas, figure: _Figure, variant: int) -> None:
    colour = _TOP[variant]
    sleeve = {1: 0.4, 3: 0.4, 4: 0.0}.get(variant, 0.8)
    torso = figure.torso(widen=0.6, down_to=_HIP + 5 if variant == 2 else _HIP - 1)  # 2 is a long coat
    for i, (x0, y0, x1, y1) in enumerate(figure.arms):
        if sleeve:
            arm = _capsule(x0, y0, x0 + sleeve * (x1 - x0), y0 + sleeve * (y1 - y0), 3.2)
            canvas.fill(arm, colour, figure.shades()[i])
        if i == 0:
            canvas.fill(torso, colour)
    if variant == 5:  # shoulder plates
        x, y = (0, figure.arms[0][1]) if figure.is_side else (8, figure.arms[0][1])
        for side in (-1, 1):
            canvas.fill(_ellipse(_MIDDLE + side * x, y - 1, 4.6, 3.2), (210, 190, 90))


def _hair(canvas: _Canvas, figure: _Figure, variant: int) -> None:
    colour, y = _HAIR[variant], figure.head
    brow = y - 3
    cap = _ellipse(_MIDDLE, y - 1, 9.6, 10) & (brow > _Y)
    if figure.is_side:  # falls lower behind
        cap |= _ellipse(_MIDDLE, y - 1, 9.6, 10) & (_MIDDLE - 5 > _X) & (y + 4 > _Y)
    if variant == 1:  # long
        back = _box(_MIDDLE - 5, y + 6, 4, 10) if figure.is_side else _box(_MIDDLE, y + 5, 9.5, 9)
        face = _ellipse(_MIDDLE + 2, y + 2, 7, 9) if figure.is_side else _ellipse(_MIDDLE, y + 4, 6, 12)
        cap |= back & ~face
    if variant == 3:  # knot on top
        cap |= _ellipse(_MIDDLE, y - 12, 3.6, 3.4)
    if variant == 4:  # crest
        cap = (np.abs(_X - _MIDDLE) <= (8 if figure.is_side else 2)) & (y - 14 <= _Y) & (brow > _Y)
    if variant == 5:  # wide curls
        cap |= (_ellipse(_MIDDLE - 8, y - 4, 5, 6) | _ellipse(_MIDDLE + 8, y - 4, 5, 6)) & (y + 1 > _Y)
        cap &= ~(_ellipse(_MIDDLE, y + 3, 7, 6) & (brow < _Y))
    canvas.fill(cap, colour)


def _shoes(canvas: _Canvas, figure: _Figure, variant: int) -> None:
    for (_, _, x, y), shade in zip(figure.legs, figure.shades(), strict=True):
        toe = 1.5 if figure.is_side else 0.0
        canvas.fill(_box(x + toe, y + 1, 3.5, 2.2), _BOOTS, shade)


PARTS: dict[str, tuple[Callable[[_Canvas, _Figure, int], None], int]] = {
    "body": (_body, N_VARIANTS),
    "bottomwear": (_bottom, N_VARIANTS),
    "topwear": (_top, N_VARIANTS),
    "hair": (_hair, N_VARIANTS),
    "shoes": (_shoes, 1),
}


def figure_layers() -> dict[str, np.ndarray]:
    """Cells (n_variants, 9, 8, 64, 64, 4) uint8 RGBA of every part, alpha 0 or 255.

    Axes as in the LPC layers: variant, action (3 · motion + direction), frame.
    """
    figures = [[_Figure(pose, is_side) for pose in range(len(POSES))] for is_side in (False, True)]
    return {part: _cells(draw, n, figures) for part, (draw, n) in PARTS.items()}


def _cells(draw: Callable[[_Canvas, _Figure, int], None], n_variants: int, figures: list[list[_Figure]]) -> np.ndarray:
    drawn = np.zeros((n_variants, N_DIRECTIONS, len(POSES), SIDE, SIDE, 4), np.uint8)
    for variant in range(n_variants):
        for pose in range(len(POSES)):
            front, right = _Canvas(), _Canvas()
            draw(front, figures[0][pose], variant)
            draw(right, figures[1][pose], variant)
            drawn[variant, :, pose] = front.pixels, right.pixels[:, ::-1], right.pixels
    ordered = drawn[:, :, ORDERS]  # variant, direction, motion, frame, …
    return np.ascontiguousarray(ordered.swapaxes(1, 2)).reshape(n_variants, 9, 8, SIDE, SIDE, 4)
