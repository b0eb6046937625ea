"""The same words in another voice: pitch and formants moved by one factor, duration kept.

C-DSVAE (Bai, Wang, Gomes, NeurIPS 2021) makes its motion-preserving pairs of speech by voice conversion with time-scale
modification; no parameters are published. Ours: played faster or slower by U(0.85, 1.15), then brought back to its
length by waveform-similarity overlap-add (WSOLA; Verhelst & Roelands, ICASSP 1993) with Hann windows of 25 ms, half
overlapping, each looked for within 5 ms of its nominal place.
"""

from __future__ import annotations

import numpy as np
from scipy.signal import resample_poly

from bench.datasets.spectrogram import WINDOW

LOWEST, HIGHEST = 0.85, 1.15
_HOP = WINDOW // 2
_REACH = 80  # samples, 5 ms
_STEPS = 100  # factors are multiples of 1 %, so that a short polyphase filter can play them

_HANN = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)


def change_voice(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Samples (n,) float32 of 16-bit samples (n,) at 16 kHz in a voice drawn from ``rng``, as long as they were."""
    return moved_voice(samples, int(rng.integers(round(_STEPS * LOWEST), round(_STEPS * HIGHEST) + 1)) / _STEPS)


def moved_voice(samples: np.ndarray, factor: float) -> np.ndarray:
    """Samples (n,) float32 whose frequencies are multiplied by ``factor`` (rounded to 1 %), as long as they were.

    Not rounded to 16 bits: what is nearly silent would become silent, and lie at the floor of the logarithm.
    """
    played = resample_poly(samples.astype(np.float64), _STEPS, round(_STEPS * factor), window=("kaiser", 8.0))
    return stretched(played, len(samples)).astype(np.float32)


def stretched(signal: np.ndarray, n_samples: int) -> np.ndarray:
    """The signal (n,) with another duration and the same frequencies, (n_samples,) float64, by WSOLA.

    Each window is taken from where it correlates best with what followed the window before it.
    """
    n_windows = n_samples // _HOP + 2
    # mirrored at its ends: a window of zeros would lie at the floor of the logarithm
    padded = np.pad(signal, (_HOP + _REACH, WINDOW + _HOP + 2 * _REACH), mode="reflect")
    nominal = np.round((np.arange(n_windows) * _HOP) * (len(signal) / n_samples)).astype(int)
    nominal = np.minimum(nominal, len(padded) - WINDOW - _HOP - 2 * _REACH) + _REACH
    out = np.zeros((n_windows + 1) * _HOP)
    place = nominal[0]
    for i in range(n_windows):
        if i:
            wanted = padded[place + _HOP : place + _HOP + WINDOW]
            low = nominal[i] - _REACH
            place = low + _best_match(wanted, padded[low : low + WINDOW + 2 * _REACH])
        out[i * _HOP : i * _HOP + WINDOW] += _HANN * padded[place : place + WINDOW]
    return out[_HOP : _HOP + n_samples]


def _best_match(wanted: np.ndarray, around: np.ndarray) -> int:
    """Where in ``around`` the piece most like ``wanted`` begins: the largest normalised correlation."""
    products = np.correlate(around, wanted, "valid")
    energy = np.cumsum(np.concatenate([[0.0], around**2]))
    energy = energy[len(wanted) :] - energy[: len(products)]
    return int(np.argmax(products / np.sqrt(np.maximum(energy, 1e-6 * energy.max() + 1e-9))))
