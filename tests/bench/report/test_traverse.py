import numpy as np
import pytest
from PIL import Image

from bench.report.traverse import draw_traversal, ranges_of, traversal


def blob(codes):
    """Frames (n, 1, 32, 32): latents 0 and 1 place a square, latent 2 shades it, latent 3 does nothing."""
    frames = np.zeros((len(codes), 1, 32, 32), np.float32)
    for frame, (x, y, shade, *_) in zip(frames, codes, strict=True):
        row, column = int(12 + 4 * y), int(12 + 4 * x)
        frame[0, max(row, 0) : row + 8, max(column, 0) : column + 8] = 0.6 + 0.15 * shade
    return frames


RANGES = np.array([[-2.0, 2.0]] * 4)


def codes_as_frames(codes):
    """A decoder whose frame is the code itself."""
    return codes[:, None, None, :]


def test_each_row_moves_its_own_latent_over_its_range_and_no_other():
    base = np.array([[10.0, 20.0, 30.0], [-1.0, -2.0, -3.0]])
    ranges = np.array([[0.0, 1.0], [0.0, 2.0], [-4.0, 4.0]])
    frames = traversal(codes_as_frames, base, ranges, n_values=5)
    assert frames.shape == (2, 3, 5, 1, 1, 3)
    for k, i in np.ndindex(2, 3):
        expected = np.tile(base[k], (5, 1))
        expected[:, i] = np.linspace(*ranges[i], 5)
        np.testing.assert_allclose(frames[k, i, :, 0, 0], expected, atol=1e-6)


def test_ranges_are_quantiles_of_each_latent():
    codes = np.stack([np.arange(101.0), 2 * np.arange(101.0)], axis=1)
    np.testing.assert_allclose(ranges_of(codes), [[5, 95], [10, 190]])


@pytest.mark.parametrize(
    ("ranges", "decode", "message"),
    [
        (RANGES[:2], blob, r"ranges must be \(4, 2\) for base codes \(1, 4\), got \(2, 2\)"),
        (RANGES, lambda codes: codes, r"decode must return frames \(36, channels, height, width\), got \(36, 4\)"),
    ],
    ids=["ranges of another size", "a decoder that returns vectors"],
)
def test_shapes_that_do_not_fit_are_named(ranges, decode, message):
    with pytest.raises(ValueError, match=message):
        traversal(decode, np.zeros((1, 4)), ranges)


def test_a_picture_has_a_band_of_frames_for_each_latent_and_base_code(tmp_path):
    base = np.zeros((2, 4))
    path = draw_traversal(blob, base, RANGES, tmp_path / "t.png", latent_factors={2: "shade", 0: "x"}, title="slowvae")
    assert path == tmp_path / "t.png"
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("L"))
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    assert (border == 255).all(), "something touches the edge of the picture"
    # frames are black but for their square, text never fills so much of a line: 9 columns, 4 latents of 2 base codes
    dark = pixels < 40
    columns = np.flatnonzero(dark.mean(0) > 0.45)
    rows = np.flatnonzero(dark[:, columns].mean(1) > 0.6)
    assert (np.diff(columns) > 1).sum() + 1 == 9
    assert (np.diff(rows) > 1).sum() + 1 == 8


def test_frames_with_two_channels_are_refused(tmp_path):
    with pytest.raises(ValueError, match="must have 1 or 3 channels to be drawn, got 2"):
        draw_traversal(lambda c: np.zeros((len(c), 2, 8, 8)), np.zeros((1, 4)), RANGES, tmp_path / "t.png")


def test_a_factor_of_a_latent_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(ValueError, match="latent 7 has a factor, but there are 4 latents"):
        draw_traversal(blob, np.zeros((1, 4)), RANGES, tmp_path / "t.png", latent_factors={7: "x"})
