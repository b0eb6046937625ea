"""Another voice: pitch and formants move by the factor, time does not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter

from bench.datasets.voice_change import HIGHEST, LOWEST, change_voice, moved_voice, stretched

RATE = 16_000


def peak(signal, low=0, high=8_000):
    """Hz of the largest peak, to 0.2 Hz."""
    spectrum = np.abs(np.fft.rfft(signal * np.hanning(len(signal)), 80_000))
    frequencies = np.fft.rfftfreq(80_000, 1 / RATE)
    spectrum[(frequencies < low) | (frequencies > high)] = 0
    return frequencies[spectrum.argmax()]


def sine(frequency, n=RATE):
    return np.round(8_000 * np.sin(2 * np.pi * frequency * np.arange(n) / RATE)).astype(np.int16)


@pytest.mark.parametrize("factor", [0.85, 0.93, 1.0, 1.07, 1.15])
@pytest.mark.parametrize("frequency", [130.0, 440.0, 3_000.0])
def test_a_tone_moves_by_the_factor_and_keeps_its_length_and_level(frequency, factor):
    samples = sine(frequency)
    moved = moved_voice(samples, factor)
    assert moved.shape == samples.shape
    assert moved.dtype == np.float32
    assert peak(moved[1_600:-1_600]) == pytest.approx(factor * frequency, rel=2e-3)
    level = moved[1_600:-1_600].astype(float).std()
    assert level == pytest.approx(8_000 / 2**0.5, rel=0.01)  # windows fit together: nothing is cancelled


@pytest.mark.parametrize("factor", [0.85, 1.15])
def test_pitch_and_formant_of_a_vowel_move_together(factor):
    pulses = np.zeros(RATE)
    pulses[:: RATE // 125] = 1  # 125 Hz
    radius, angle = np.exp(-np.pi * 60 / RATE), 2 * np.pi * 1_500 / RATE  # a formant at 1,500 Hz, 60 Hz wide
    vowel = lfilter([1], [1, -2 * radius * np.cos(angle), radius**2], pulses)
    samples = np.round(8_000 * vowel / np.abs(vowel).max()).astype(np.int16)
    moved = moved_voice(samples, factor)[1_600:-1_600].astype(float)
    assert peak(moved, 1_000, 2_200) == pytest.approx(1_500 * factor, abs=70)  # the nearest harmonic
    products = np.correlate(moved[:4_000], moved[:2_000], "valid")
    period = 90 + products[90:200].argmax()
    assert RATE / period == pytest.approx(125 * factor, rel=0.01)


@pytest.mark.parametrize("factor", [0.85, 1.15])
def test_what_is_said_stays_at_its_time(factor):
    samples = np.zeros(RATE, np.int16)
    for start in (2_000, 7_000, 12_000):
        samples[start : start + 1_600] = sine(500, 1_600)
    loud = np.abs(moved_voice(samples, factor).astype(float)) > 2_000
    starts = np.flatnonzero(loud & ~np.roll(loud, 1) & (np.convolve(loud, np.ones(400))[: len(loud)] == 1))
    np.testing.assert_allclose(starts, [2_000, 7_000, 12_000], atol=320)  # window and reach


def test_unit_factor_gives_the_signal_back():
    samples = np.random.default_rng(0).integers(-9_000, 9_000, 5_000).astype(np.int16)
    np.testing.assert_allclose(moved_voice(samples, 1.0), samples, atol=1)


@pytest.mark.parametrize("n", [400, 401, 999])
def test_short_signals_keep_their_length(n):
    assert len(stretched(np.ones(round(0.9 * n)), n)) == n
    assert len(change_voice(sine(200, n), np.random.default_rng(0))) == n


@pytest.mark.parametrize("factor", [0.85, 1.15])
def test_no_window_is_silent_where_the_signal_was_not(factor):
    samples = np.random.default_rng(0).integers(-900, 900, 7_777).astype(np.int16)
    moved = moved_voice(samples, factor).astype(float)
    powers = [moved[start : start + 400].std() for start in range(0, len(moved) - 399, 80)]
    assert min(powers) > 0.5 * np.median(powers)


def test_factors_are_drawn_over_the_whole_range():
    rng = np.random.default_rng(0)
    heard = [peak(change_voice(sine(1_000, 4_000), rng)[400:-400]) / 1_000 for _ in range(60)]
    assert min(heard) == pytest.approx(LOWEST, abs=0.02)
    assert max(heard) == pytest.approx(HIGHEST, abs=0.02)
    assert np.mean(heard) == pytest.approx(1.0, abs=0.035)  # three deviations of the mean of 60
