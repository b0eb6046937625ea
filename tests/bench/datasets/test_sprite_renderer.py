"""Sprites: equal to Pillow on the full canvas, to spriteworld's own renders, and to geometry."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from bench.datasets.sprite_renderer import SHAPES, canvas_outline, polygon, render_sprites

REFERENCE = Path(os.environ.get("BENCH_DATA", "/nonexistent"), "spriteworld_renders", "spriteworld_renders.npz")


def draw_on_full_canvas(x, y, scale, degrees, shape):
    """The published recipe step by step, for one sprite."""
    outline = canvas_outline(SHAPES[shape], *(np.array([v]) for v in (x, y, scale, degrees)))
    canvas = Image.new("L", (320, 320))
    ImageDraw.Draw(canvas).polygon(outline.ravel().tolist(), fill=255)
    return np.asarray(canvas.resize((64, 64), Image.Resampling.LANCZOS))[::-1]


@pytest.mark.parametrize("shape", range(4))
def test_frames_are_those_of_the_full_canvas_bit_for_bit(shape):
    rng = np.random.default_rng(shape)
    n = 300
    x, y = rng.uniform(-0.3, 1.3, size=(2, n))  # also cut by the border, or outside altogether
    scale, degrees = rng.uniform(0.01, 0.9, size=n), rng.uniform(0, 360, size=n)
    frames = render_sprites(x, y, scale, degrees, np.full(n, shape))
    expected = [draw_on_full_canvas(*row, shape) for row in zip(x, y, scale, degrees, strict=True)]
    np.testing.assert_array_equal(frames, expected)


@pytest.mark.data
@pytest.mark.skipif(not REFERENCE.is_file(), reason="BENCH_DATA has no spriteworld_renders")
def test_frames_agree_with_spriteworld():
    stored = np.load(REFERENCE)
    frames = render_sprites(*(stored[key] for key in ("x", "y", "scale", "angle_deg", "shape")))
    difference = np.abs(frames.astype(int) - stored["images"])
    # Pillow's own versions differ by this much; with the version of the renders the difference is 0.
    assert difference.max() <= 12
    assert (difference > 0).mean() < 1e-3


@pytest.mark.parametrize("shape", SHAPES)
def test_outlines_have_unit_area_around_their_centre(shape):
    x, y = polygon(shape).T
    after_x, after_y = np.roll(x, -1), np.roll(y, -1)
    cross = x * after_y - after_x * y
    assert cross.sum() / 2 == pytest.approx(1, abs=1e-12)
    assert ((x + after_x) * cross).sum() == pytest.approx(0, abs=1e-12)
    assert ((y + after_y) * cross).sum() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("shape", range(4))
def test_sprites_lie_where_their_factors_say(shape):
    frame = render_sprites(*([v] for v in (0.25, 0.7, 0.3, 36, shape)))[0] / 255
    row, column = np.indices((64, 64))
    assert (frame * (column + 0.5)).sum() / frame.sum() == pytest.approx(0.25 * 64, abs=0.25)
    assert (frame * (63.5 - row)).sum() / frame.sum() == pytest.approx(0.7 * 64, abs=0.25)  # counted from below
    assert frame.sum() == pytest.approx((0.3 * 64) ** 2, rel=0.06)
