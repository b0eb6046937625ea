import numpy as np
import pytest
from PIL import Image

from bench.report import traverse
from bench.report.traverse import draw_traversal, largest, ranges_around, ranges_of, traversal


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
    (path,) = draw_traversal(blob, base, RANGES, tmp_path / "t", latent_factors={2: "shade", 0: "x"}, title="slowvae")
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
        draw_traversal(lambda c: np.zeros((len(c), 2, 8, 8)), np.zeros((1, 4)), RANGES, tmp_path / "t")


def test_a_factor_of_a_latent_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(ValueError, match="latent 7 has a factor, but there are 4 latents"):
        draw_traversal(blob, np.zeros((1, 4)), RANGES, tmp_path / "t", latent_factors={7: "x"})


def test_ranges_are_widened_to_hold_zero_and_the_code_itself():
    ranges = np.array([[1.0, 2.0], [-3.0, -1.0], [-1.0, 1.0]])
    np.testing.assert_array_equal(ranges_around(ranges, np.array([5.0, -4.0, 0.5])), [[0, 5], [-4, 0], [-1, 1]])


def test_the_largest_latents_come_by_size_whatever_their_sign():
    assert largest(np.array([0.1, -3.0, 2.0, 0.0]), 2) == [1, 2]
    assert largest(np.array([0.1, -3.0]), 5) == [1, 0]


def test_only_the_latents_asked_for_are_drawn_below_the_first_row(monkeypatch, tmp_path):
    drawn = []
    monkeypatch.setattr(traverse, "save", lambda figure, stem, formats: drawn.append(figure) or [stem])
    first = [np.full((1, 32, 32), shade) for shade in (0.25, 0.75)]
    draw_traversal(
        blob, np.zeros((1, 4)), RANGES, tmp_path / "t",
        latents=[2, 0], first_row=first, latent_factors={0: "x"}, n_values=5,
    )  # fmt: skip
    axes = drawn[0].axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["2", "0: x"]
    image = np.asarray(axes.images[0].get_array())
    height, width = image.shape[0] / 3, image.shape[1] / 5
    heads = [image[int(height / 2), int((i + 0.5) * width)] for i in range(5)]
    assert heads == [0.25, 0.75, 1, 1, 1]
    assert axes.get_yticks() == pytest.approx([1.5 * height - 0.5, 2.5 * height - 0.5])


def test_long_names_and_ranges_are_not_cut_off(tmp_path):
    (path,) = draw_traversal(
        blob, np.zeros((1, 4)), 20 * RANGES, tmp_path / "t", latent_factors={1: "a_factor_with_a_long_name"},
        title="a_method on a_data_set, seed 0 (0123abcd), image 3: the 8 largest codes", n_values=7,
    )  # fmt: skip
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("L"))
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    assert (border == 255).all()
