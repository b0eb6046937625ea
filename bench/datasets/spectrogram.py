"""Log-magnitude spectra of speech as FHVAE (Hsu, Zhang, Glass, NeurIPS 2017) takes them: 200 features every 10 ms.

Settings of the authors' ``egs/timit/local/spec_data_prep.sh`` and ``src/tools/audio.py``: windows of 25 ms (400 samples
at 16 kHz) every 10 ms (160), wholly inside the signal; square root of the periodic Hann window; no pre-emphasis; FFT of
400; log10 of the magnitude, floored at -20, times 20 (decibels of a signal in [-1, 1)); the constant bin left out.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from scipy.fft import rfft
from scipy.signal import firwin, kaiserord, resample_poly

RATE = 16_000
WINDOW, SHIFT = 400, 160  # samples; the FFT is as long as the window
N_FEATURES = WINDOW // 2  # 40 Hz, 80 Hz, …, 8 kHz
LOG_FLOOR = -20.0  # of log10 |X|
FULL_SCALE = 32_768.0  # of 16-bit samples
_STOP_BAND, _TRANSITION = 110.0, 0.08  # of the resampling filter: dB, and width as a share of half the lower rate

_ROOT_HANN = np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)).astype(np.float32)


def count_frames(n_samples: int | np.ndarray) -> np.ndarray:
    """Windows wholly inside signals of that many samples, int64 of the same shape.

    The authors' code leaves out a window that ends with the signal's very last sample; here it counts.
    """
    return np.maximum(0, (np.asarray(n_samples) - WINDOW) // SHIFT + 1)


def windows_at(samples: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Windows (n, 400) float32 in [-1, 1) that begin at ``starts`` (n,) of samples (n_samples,) in 16-bit units."""
    return samples[starts[:, None] + np.arange(WINDOW)].astype(np.float32) / np.float32(FULL_SCALE)


def log_spectra(windows: np.ndarray) -> np.ndarray:
    """Decibels (n, 200) float32 of windows (n, 400): feature k is the bin at 40 (k + 1) Hz."""
    magnitude = np.abs(rfft(windows * _ROOT_HANN, axis=1)[:, 1:])
    floor = np.float32(10.0**LOG_FLOOR)  # float32 knows 1e-38, so the logarithm of the floor is exact to 1e-6
    return 20 * np.log10(np.maximum(magnitude, floor)).astype(np.float32)


def spectrogram(samples: np.ndarray) -> np.ndarray:
    """Decibels (n_frames, 200) float32 of a signal of 16-bit samples at 16 kHz."""
    return log_spectra(windows_at(samples, SHIFT * np.arange(int(count_frames(len(samples))))))


def volume(windows: np.ndarray) -> np.ndarray:
    """Root mean square (n,) float32 of windows (n, 400)."""
    return np.sqrt(np.mean(windows**2, axis=1, dtype=np.float64)).astype(np.float32)


def resampled(samples: np.ndarray, rate: int) -> np.ndarray:
    """16-bit samples (n,) at 16 kHz of 16-bit samples at another rate.

    Interpolated by a polyphase filter that passes what lies below 92 % of half the lower rate and has no more than
    -110 dB from that half on. What came at a lower rate has nothing above half of it, and gets nothing there.
    """
    if rate == RATE:
        return samples
    factor = math.gcd(rate, RATE)
    up, down = RATE // factor, rate // factor
    return as_samples(resample_poly(samples.astype(np.float64), up, down, window=_low_pass(rate, up)))


@cache
def _low_pass(rate: int, up: int) -> np.ndarray:
    """Coefficients of the interpolating filter, which runs at ``up`` times the rate."""
    half = 0.5 * min(rate, RATE)
    n_taps, beta = kaiserord(_STOP_BAND, _TRANSITION * half / (0.5 * rate * up))
    return firwin(n_taps | 1, (1 - 0.5 * _TRANSITION) * half, window=("kaiser", beta), fs=rate * up)


def as_samples(signal: np.ndarray) -> np.ndarray:
    """The nearest 16-bit samples of a signal in their units; what is too large is cut."""
    return np.clip(np.round(signal), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
