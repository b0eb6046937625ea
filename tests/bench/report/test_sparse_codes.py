"""Bars of codes beside images."""

import numpy as np
import pytest
from PIL import Image

from bench.report import sparse_codes
from bench.report.sparse_codes import active_above, draw_codes
from bench.report.style import style


def drawn(monkeypatch, codes, usual=None, channels=1):
    kept = []
    monkeypatch.setattr(sparse_codes, "save", lambda figure, stem, formats: kept.append(figure) or [])
    frames = np.random.default_rng(0).random((len(codes), channels, 8, 8))
    with style():
        draw_codes(frames, frames / 2, codes, codes if usual is None else usual, None, title="vsc on smiley")
        (figure,) = kept
        figure.draw_without_rendering()
    return figure


def test_a_tenth_of_the_usual_largest_code_counts_as_active():
    codes = np.zeros((100, 10))
    codes[:, :3] = -2.0
    assert active_above(codes) == pytest.approx(0.2)


def test_each_image_has_its_codes_as_bars_and_counts_the_active_ones(monkeypatch):
    codes = np.array([[2.0, 0.1, -1.0, 0.0], [0.0, 0.0, 0.3, 0.0]])
    usual = np.array([[2.0, 0.1, -1.0, 0.0]] * 50)
    figure = drawn(monkeypatch, codes, usual)
    first, second = figure.axes[2], figure.axes[5]
    for axes, row, count in ((first, codes[0], 2), (second, codes[1], 1)):
        bars = {round(bar.get_x() + bar.get_width() / 2): bar.get_height() for bar in axes.patches}
        assert bars == dict(enumerate(row.tolist()))
        dark = {round(b.get_x() + b.get_width() / 2) for b in axes.patches if sum(b.get_facecolor()[:3]) < 1.5}
        assert dark == set(np.flatnonzero(np.abs(row) > 0.2).tolist())
        assert axes.get_title(loc="left") == f"{count} of 4 active"
    assert first.get_ylim() == second.get_ylim()
    assert "active in 50 images: 50 % of 4 latents" in figure.get_suptitle().replace("\n", " ")


def test_images_stand_beside_their_reconstructions(monkeypatch):
    figure = drawn(monkeypatch, np.ones((2, 3)), channels=3)
    image, rebuilt = (axes.images[0].get_array() for axes in figure.axes[:2])
    assert image.shape == (8, 8, 3)
    np.testing.assert_allclose(rebuilt, image / 2)


@pytest.mark.parametrize(("n_latents", "scale"), [(1, 1e-6), (10, 3.0), (300, 4_000.0)])
def test_nothing_of_the_picture_is_cut_off(tmp_path, n_latents, scale):
    codes = scale * np.random.default_rng(1).normal(size=(6, n_latents))
    frames = np.zeros((6, 1, 16, 16))
    (path,) = draw_codes(frames, frames, codes, codes, tmp_path / "c", title="vsc on smiley", formats=("png",))
    pixels = np.asarray(Image.open(path).convert("L"))
    for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
        assert (edge == 255).all()


@pytest.mark.parametrize(
    ("frames", "codes", "message"),
    [
        (np.zeros((2, 2, 4, 4)), np.zeros((2, 3)), "must be .n, 1 or 3, height, width. to be drawn"),
        (np.zeros((3, 1, 4, 4)), np.zeros((2, 3)), "do not fit"),
    ],
)
def test_what_cannot_be_drawn_is_named(tmp_path, frames, codes, message):
    with pytest.raises(ValueError, match=message):
        draw_codes(frames, frames, codes, codes, tmp_path / "c")
