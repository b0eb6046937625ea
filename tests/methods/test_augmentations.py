"""Augmentations of sequences: each operation against its definition, and one set of parameters for all frames."""

import colorsys

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from methods import augmentations as aug


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def images(batch=4, time=3, channels=3, side=8, seed=0):
    return torch.rand(batch, time, channels, side, side, generator=generator(seed))


def test_hue_turns_as_in_colorsys():
    x = images()
    x[0, 0, :, 0, :3] = torch.tensor([[0.2, 0.5, 1.0], [0.2, 0.5, 0.5], [0.2, 0.5, 0.5]])  # grey, grey, red is largest
    turns = torch.tensor([0.0, 0.15, -0.2, 0.5])
    found = aug.rotate_hue(x, turns)
    for i, t in np.ndindex(4, 3):
        for row, column in np.ndindex(8, 8):
            h, s, v = colorsys.rgb_to_hsv(*x[i, t, :, row, column].tolist())
            expected = colorsys.hsv_to_rgb((h + turns[i].item()) % 1, s, v)
            assert found[i, t, :, row, column].tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("turns", [0.0, 1.0])
def test_whole_turns_of_hue_leave_everything_as_it_is(turns):
    x = images()
    assert_close(aug.rotate_hue(x, torch.full((4,), turns)), x, rtol=0, atol=1e-5)


def test_brightness_contrast_and_saturation_blend_with_black_the_mean_and_grey():
    x, factor = images(), torch.tensor([0.2, 0.7, 1.0, 1.8])
    wide = factor[:, None, None, None, None]
    shade = 0.2989 * x[:, :, 0] + 0.587 * x[:, :, 1] + 0.114 * x[:, :, 2]
    assert_close(aug.adjust_brightness(x, factor), (x * wide).clamp(0, 1))
    mean = shade.mean((1, 2, 3))[:, None, None, None, None]
    assert_close(aug.adjust_contrast(x, factor), (wide * x + (1 - wide) * mean).clamp(0, 1))
    assert_close(aug.adjust_saturation(x, factor), (wide * x + (1 - wide) * shade[:, :, None]).clamp(0, 1))


def test_blur_is_a_convolution_with_a_normalised_gaussian():
    x, sigma = images(1, 1, 1), torch.tensor([0.8])
    weights = np.exp(-(np.arange(-1, 2) ** 2) / (2 * 0.8**2))
    kernel = np.outer(weights, weights) / weights.sum() ** 2
    padded = np.pad(x[0, 0, 0].numpy(), 1, mode="reflect")
    expected = [(padded[i : i + 3, j : j + 3] * kernel).sum() for i, j in np.ndindex(8, 8)]
    assert_close(aug.blur(x, sigma).flatten().numpy(), np.array(expected, np.float32))


def test_crop_stretches_its_box_and_the_whole_frame_is_itself():
    ramp = (torch.arange(64) + 0.5).expand(2, 1, 1, 64, 64) / 64
    left, top, width, height = (torch.tensor(v) for v in ([0.0, 0.25], [0.0, 0.1], [1.0, 0.5], [1.0, 0.9]))
    found = aug.crop(ramp, left, top, width, height)
    assert_close(found[0], ramp[0], rtol=0, atol=1e-5)
    assert_close(found[1], 0.25 + 0.5 * ramp[1], rtol=0, atol=1e-5)


def test_boxes_lie_in_the_frame_and_keep_their_share_of_it():
    area, ratio, across, down = (torch.rand(1000, generator=generator(i)) for i in range(4))
    area, ratio = 0.8 + 0.2 * area, 0.75 + 0.583 * ratio
    left, top, width, height = aug.box(area, ratio, across, down)
    assert min(left.min(), top.min()) >= 0
    assert max((left + width).max(), (top + height).max()) <= 1 + 1e-6
    uncut = (width < 1) & (height < 1)
    assert uncut.sum() > 100
    assert_close((width * height)[uncut], area[uncut])
    assert_close((width / height)[uncut], ratio[uncut])


@pytest.mark.parametrize("channels", [1, 3])
def test_restyling_changes_all_frames_of_a_sequence_alike_and_stays_in_the_unit_interval(channels):
    x = images(64, 1, channels, 16).expand(-1, 5, -1, -1, -1)
    found = aug.restyled(x, generator())
    assert torch.equal(found, found[:, :1].expand_as(found))
    assert found.min() >= 0
    assert found.max() <= 1 + 1e-6
    changed = (found - x).abs().amax((1, 2, 3, 4)) > 1e-3
    # untouched: no jitter, no blur, no crop, and for colours no grey
    expected = 1 - 0.2 * 0.5 * 0.5 * (0.8 if channels == 3 else 1)
    assert abs(changed.float().mean().item() - expected) < 0.1


def test_restyling_draws_its_factors_from_the_ranges_of_simclr():
    """Of a mid-grey image only brightness shows: contrast and saturation leave one colour alone."""
    x = torch.full((4000, 1, 3, 2, 2), 0.5)
    factor = aug.restyled(x, generator()).mean((1, 2, 3, 4)) / 0.5
    jittered = factor[(factor - 1).abs() > 1e-3]
    assert len(jittered) / 4000 == pytest.approx(0.8, abs=0.03)
    assert jittered.min().item() == pytest.approx(0.2, abs=0.01)
    assert jittered.max().item() == pytest.approx(1.8, abs=0.01)
    assert jittered.mean().item() == pytest.approx(1.0, abs=0.03)


def test_restyling_never_flips():
    """Bright left halves stay brighter than the right ones, and upper halves than the lower."""
    x = torch.zeros(200, 1, 3, 32, 32)
    x[..., :16, :16] = 0.5
    found = aug.restyled(x, generator()).mean((1, 2))
    assert (found[..., :16].mean((1, 2)) > found[..., 16:].mean((1, 2))).all()
    assert (found[:, :16].mean((1, 2)) > found[:, 16:].mean((1, 2))).all()


def test_reordering_keeps_the_frames_and_reverses_half_of_the_sequences():
    x = torch.arange(2000 * 6).reshape(2000, 6)
    found = aug.reordered(x, generator())
    assert torch.equal(found.sort(1).values, x)
    is_reversed = (found == x.flip(1)).all(1)
    assert is_reversed.float().mean().item() == pytest.approx(0.5 + 0.5 / 720, abs=0.035)  # three standard errors
    assert torch.equal(aug.reordered(x, generator(), "reverse"), x.flip(1))
    place = (aug.reordered(x, generator(), "shuffle")[:, 0] % 6).bincount()
    assert place.min() > 2000 / 6 - 70


def test_augmentations_are_decided_by_their_generator():
    x = images()
    assert torch.equal(aug.restyled(x, generator(1)), aug.restyled(x, generator(1)))
    assert not torch.equal(aug.restyled(x, generator(1)), aug.restyled(x, generator(2)))
