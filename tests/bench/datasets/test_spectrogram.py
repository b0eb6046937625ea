"""Features of speech against scipy's own transform and against signals whose spectra are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import ShortTimeFFT

from bench.datasets.spectrogram import N_FEATURES, count_frames, log_spectra, resampled, spectrogram, volume, windows_at

RNG = np.random.default_rng(0)


def tone(frequency, n=16_000, rate=16_000, level=8_000):
    return np.round(level * np.sin(2 * np.pi * frequency * np.arange(n) / rate)).astype(np.int16)


def test_frames_agree_with_scipys_short_time_transform():
    samples = RNG.integers(-20_000, 20_000, 4_000).astype(np.int16)
    root_hann = np.sqrt(np.hanning(401)[:-1])  # periodic
    transform = ShortTimeFFT(root_hann, hop=160, fs=16_000, phase_shift=None)
    # scipy's window k is centred at 160 k: after 120 zeros, its window t + 2 is our window t
    magnitude = np.abs(transform.stft(np.concatenate([np.zeros(120), samples / 32_768])))
    ours = spectrogram(samples)
    assert ours.shape == (count_frames(4_000), N_FEATURES) == (23, 200)
    first = 2 - transform.p_min
    np.testing.assert_allclose(ours, 20 * np.log10(magnitude[1:, first : first + 23].T), atol=1e-3)  # float32


def test_a_frame_is_the_discrete_fourier_transform_of_its_window():
    samples = RNG.integers(-20_000, 20_000, 1_200).astype(np.int16)
    n = np.arange(400)
    window = np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * n / 400))
    matrix = np.exp(-2j * np.pi * np.outer(np.arange(1, 201), n) / 400)
    expected = [20 * np.log10(np.abs(matrix @ (window * samples[160 * t :][:400] / 32_768))) for t in range(6)]
    np.testing.assert_allclose(spectrogram(samples), expected, atol=1e-3)  # float32 of the signal


@pytest.mark.parametrize("frequency", [40, 400, 4_000, 7_960])
def test_a_tone_is_loudest_in_its_own_feature(frequency):
    spectra = spectrogram(tone(frequency))
    assert (spectra.argmax(axis=1) == frequency // 40 - 1).all()


def test_silence_lies_on_the_floor():
    np.testing.assert_allclose(log_spectra(np.zeros((2, 400), np.float32)), -400.0, rtol=1e-6)


@pytest.mark.parametrize(("n", "frames"), [(0, 0), (399, 0), (400, 1), (559, 1), (560, 2), (16_000, 98)])
def test_windows_lie_wholly_inside(n, frames):
    assert count_frames(n) == frames


def test_volume_of_a_sine_is_its_amplitude_over_root_two():
    np.testing.assert_allclose(volume(windows_at(tone(400), np.array([0, 160]))), 8_000 / 32_768 / 2**0.5, rtol=1e-4)


@pytest.mark.parametrize("rate", [8_000, 22_050, 48_000])
@pytest.mark.parametrize("frequency", [200, 3_000])
def test_resampling_keeps_a_tone(rate, frequency):
    moved = resampled(tone(frequency, rate, rate), rate)
    assert len(moved) == 16_000
    np.testing.assert_allclose(moved[1_000:-1_000], tone(frequency)[1_000:-1_000], atol=3)  # of 8,000, -68 dB


def test_resampling_from_8_khz_puts_no_mirror_image_above_4_khz():
    moved = resampled(tone(3_600, 8_000, 8_000), 8_000)[2_000:-2_000]
    spectrum = np.abs(np.fft.rfft(moved * np.blackman(len(moved))))
    own, image = (spectrum[round(f * len(moved) / 16_000)] for f in (3_600, 4_400))
    assert image < 3e-5 * own  # -90 dB: the filter is made for -110, but a periodic signal is rounded periodically


def test_resampling_from_48_khz_folds_nothing_down():
    moved = spectrogram(resampled(tone(9_000, 48_000, 48_000), 48_000))[10:-10]
    assert moved.max() < -50  # rounding noise alone
