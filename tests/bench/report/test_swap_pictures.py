"""Grids of swaps, still and animated."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from bench.report.swap_pictures import draw_swaps, swap_mosaic

RNG = np.random.default_rng(0)


def grid(n, m, *shape):
    return RNG.random((n, *shape)), RNG.random((m, *shape)), RNG.random((n, m, *shape))


@pytest.mark.parametrize("channels", [1, 3])
def test_the_animation_shows_every_frame_of_every_cell_where_it_belongs(channels, tmp_path):
    contents, motions, generated = (np.round(one) for one in grid(2, 3, 6, channels, 16, 16))
    still, animated = draw_swaps(contents, motions, generated, tmp_path / "swaps", title="a method")
    assert still.suffix == ".png"
    with Image.open(animated) as gif:
        assert gif.n_frames == 6
        gif.seek(4)
        # zoomed twice; a gap of 1 pixel behind each cell, of 4 behind the sources
        pixels = np.asarray(gif.convert("RGB"), float)[::2, ::2].transpose(2, 0, 1) / 255
    assert pixels.shape == (3, 20 + 2 * 17, 20 + 3 * 17)
    np.testing.assert_allclose(pixels[:, 37:53, 54:70], np.broadcast_to(generated[1, 2, 4], (3, 16, 16)), atol=0.02)
    np.testing.assert_allclose(pixels[:, :16, 37:53], np.broadcast_to(motions[1, 4], (3, 16, 16)), atol=0.02)
    np.testing.assert_allclose(pixels[:, 20:36, :16], np.broadcast_to(contents[0, 4], (3, 16, 16)), atol=0.02)
    assert pixels[:, :16, :16].min() > 0.98


def test_equal_grids_are_equal_files(tmp_path):
    given = grid(2, 2, 3, 1, 16, 16)
    one, other = (draw_swaps(*given, tmp_path / name) for name in "ab")
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in other]


def test_spectrograms_are_not_animated(tmp_path):
    (made,) = draw_swaps(*grid(2, 1, 20, 40), tmp_path / "sound")
    assert made.read_bytes()[1:4] == b"PNG"


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((2, 3, 1, 8, 8), (2, 3, 1, 8, 8), (2, 1, 3, 1, 8, 8)), "do not fit"),
        (((2, 3, 2, 8, 8), (1, 3, 2, 8, 8), (2, 1, 3, 2, 8, 8)), "grey, RGB or features"),
    ],
)
def test_what_cannot_be_drawn_is_refused(shapes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        draw_swaps(*(np.zeros(shape) for shape in shapes), tmp_path / "swaps")


@pytest.mark.parametrize("channels", [1, 3])
def test_the_gallerys_grid_is_one_small_picture_with_the_sources_above_and_on_the_left(channels):
    contents, motions = np.zeros((2, 5, channels, 16, 16)), np.full((3, 5, channels, 16, 16), 0.5)
    generated = np.broadcast_to(np.arange(6).reshape(2, 3, 1, 1, 1, 1) / 5, (2, 3, 5, channels, 16, 16))
    pixels = decoded(swap_mosaic(contents, motions, generated, n_frames=2))
    # columns: one frame of content, then two of each motion, a pixel between, three after what is above or on the left
    assert pixels.shape == (16 + 3 + 2 * 17, 16 + 3 + 3 * 33, channels + 1)
    assert (pixels[:16, :16, -1] == 0).all(), "the corner is clear"
    assert (pixels[:16, 19:51, 0] == 128).all()
    assert (pixels[19:35, :16, 0] == 0).all()
    shades = [[pixels[20 + 17 * i, 20 + 33 * j, 0] for j in range(3)] for i in range(2)]
    assert shades == [[0, 51, 102], [153, 204, 255]]


def test_spectrograms_of_the_gallery_stand_with_the_first_feature_below():
    sound = np.broadcast_to(np.linspace(0, 1, 8), (1, 20, 8))
    pixels = decoded(swap_mosaic(sound, sound, sound[None]))
    assert pixels[-2, 0, 0] < pixels[-9, 0, 0]
    assert pixels.shape[1] == 20 + 3 + 20 + 1


def test_spectrograms_of_many_features_are_wider_than_high():
    sound = np.zeros((1, 20, 200))
    height, width, _ = decoded(swap_mosaic(sound, sound, sound[None])).shape
    assert 1 < width / height < 2
    assert height < 200


def decoded(address):
    head, _, text = address.partition(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))
