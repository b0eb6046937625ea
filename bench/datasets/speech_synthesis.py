"""Made-up speech: a source of pulses and noise through four formants, with speakers, phones and channels.

Stands in for TIMIT where that is absent. A speaker is a median pitch, a scale of the vocal tract, a tilt of the source,
jitter, breathiness and four bandwidths. An utterance is a random sentence of 40 to 60 phones of 39 classes in 2 to 4
seconds, with formants that move linearly from target to target, a pitch that falls from +20 % to -20 %, a tilt of the
channel and noise of its own. Formant targets are rounded textbook values for men (vowels after Peterson & Barney,
1952); the rest is the project's choice, tuned until neither speaker nor phone is trivially told (docs/datasets.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.fft import irfft, rfft
from scipy.signal import get_window

from bench.datasets.spectrogram import FULL_SCALE, RATE, SHIFT, as_samples

# name, F1 F2 F3 F4 (Hz), the end of a diphthong's F1 F2 or 0 0, voice, noise, noise centre and width (Hz), length (ms)
_TABLE = """
aa  730 1090 2440 3400    0    0  1.0  0.0     0    0 110
ae  660 1720 2410 3500    0    0  1.0  0.0     0    0 120
ah  640 1190 2390 3400    0    0  1.0  0.0     0    0  75
aw  750 1250 2400 3400  430  900  1.0  0.0     0    0 140
ay  720 1200 2450 3400  350 2100  1.0  0.0     0    0 140
b   220  800 2100 3300    0    0  0.25 0.15  800 1000  45
ch  300 1800 2700 3600    0    0  0.0  0.6  3500 2000  80
d   220 1750 2600 3500    0    0  0.25 0.2  4000 2500  45
dh  300 1400 2500 3400    0    0  0.5  0.08 6000 4000  45
dx  350 1700 2600 3500    0    0  0.5  0.0     0    0  30
eh  530 1840 2480 3500    0    0  1.0  0.0     0    0  90
er  490 1350 1690 3300    0    0  1.0  0.0     0    0  95
ey  480 1950 2600 3500  330 2250  1.0  0.0     0    0 120
f   300 1200 2400 3400    0    0  0.0  0.25 5500 5000  95
g   220 2000 2300 3400    0    0  0.25 0.2  2000 1200  50
hh  500 1500 2500 3500    0    0  0.05 0.25 1500 2500  60
ih  390 1990 2550 3500    0    0  1.0  0.0     0    0  75
iy  270 2290 3010 3700    0    0  1.0  0.0     0    0  95
jh  280 1800 2600 3500    0    0  0.3  0.45 3300 2000  65
k   300 1800 2300 3400    0    0  0.0  0.35 2000 1200  65
l   360 1100 2600 3400    0    0  0.7  0.0     0    0  65
m   280 1000 2200 3300    0    0  0.45 0.0     0    0  65
n   280 1550 2450 3400    0    0  0.45 0.0     0    0  60
ng  280 2100 2650 3500    0    0  0.45 0.0     0    0  65
ow  540  950 2400 3300  380  800  1.0  0.0     0    0 120
oy  520  850 2400 3300  350 2000  1.0  0.0     0    0 150
p   300  900 2200 3300    0    0  0.0  0.3   900 1300  60
r   350 1200 1500 3200    0    0  0.7  0.0     0    0  65
s   300 1700 2600 3600    0    0  0.0  0.7  6200 2200 100
sh  300 1800 2600 3600    0    0  0.0  0.65 3300 2000 105
sil 500 1500 2500 3500    0    0  0.0  0.0     0    0  60
t   300 1750 2600 3600    0    0  0.0  0.4  4500 2600  60
th  300 1400 2500 3500    0    0  0.0  0.15 6500 3500  80
uh  440 1020 2240 3300    0    0  1.0  0.0     0    0  75
uw  300  870 2240 3300    0    0  1.0  0.0     0    0  95
v   280 1100 2300 3300    0    0  0.4  0.15 5000 4500  60
w   300  650 2200 3200    0    0  0.7  0.0     0    0  65
y   270 2200 2950 3700    0    0  0.7  0.0     0    0  60
z   280 1700 2600 3600    0    0  0.3  0.45 6000 2200  80
"""
_ROWS = [line.split() for line in _TABLE.strip().splitlines()]
PHONES = tuple(row[0] for row in _ROWS)  # the 39 classes of Lee & Hon (1989), alphabetical
_VALUES = np.array([[float(value) for value in row[1:]] for row in _ROWS])
_ONSET = _VALUES[:, :4]
_OFFSET = np.where(_VALUES[:, 4:6].any(axis=1, keepdims=True), np.c_[_VALUES[:, 4:6], _VALUES[:, 2:4]], _ONSET)
_VOICE, _NOISE, _CENTRE, _WIDTH, _LENGTH = _VALUES[:, 6:].T
_SILENCE = PHONES.index("sil")

SEXES = ("female", "male")
_PITCH = (200.0, 120.0)  # Hz, the medians of their speakers
_TRACT = ((0.97, 1.20), (0.85, 1.08))  # what formants are multiplied by
_BANDWIDTHS = np.array([60.0, 90.0, 130.0, 180.0])  # Hz
_BLOCK = 2 * SHIFT  # samples filtered at once, half overlapping
_N_FFT = 2 * _BLOCK  # so that a response of 10 ms to either side does not wrap around
_FREQUENCIES = np.fft.rfftfreq(_N_FFT, 1 / RATE).astype(np.float32)
_OCTAVES = np.log2(np.maximum(_FREQUENCIES, 100.0) / 500.0).astype(np.float32)
_WINDOW = get_window("hann", _BLOCK)  # periodic: overlapping halves add up to 1
_TILT = 0.0  # of every voice, dB per octave: pulses and lips -6, and what the resonances above the fourth would add
_NOISE_TILT = -9.0  # of the channel's noise, dB per octave
_TILT_SPREAD, _BANDWIDTH_SPREAD, _BREATH = 3.0, 0.4, (0.02, 0.4)  # of speakers: dB per octave, log, relative
_SNR = (20.0, 35.0)  # signal-to-noise ratio, dB
_LEVEL = 0.05  # root mean square of an utterance, of full scale


@dataclass(frozen=True)
class Speaker:
    """What holds for all that one speaker says.

    Attributes:
        sex: index of ``SEXES``: which of two overlapping log-normal laws the pitch comes from.
        pitch: median, Hz.
        tract: what formants are multiplied by, 0.85 … 1.2.
        tilt: of the voice source, dB per octave beside that of all.
        jitter: standard deviation of the pitch from one 10 ms to the next, relative.
        breath: noise in the voice, relative to its pulses.
        bandwidths: (4,) what the formants' bandwidths are multiplied by.
    """

    sex: int
    pitch: float
    tract: float
    tilt: float
    jitter: float
    breath: float
    bandwidths: np.ndarray


def draw_speaker(rng: np.random.Generator) -> Speaker:
    """A speaker; all draws from ``rng``."""
    sex = int(rng.integers(2))
    return Speaker(
        sex=sex,
        pitch=_PITCH[sex] * float(np.exp(0.18 * rng.standard_normal())),
        tract=float(rng.uniform(*_TRACT[sex])),
        tilt=float(_TILT_SPREAD * rng.standard_normal()),
        jitter=float(rng.uniform(0.002, 0.02)),
        breath=float(rng.uniform(*_BREATH)),
        bandwidths=np.exp(_BANDWIDTH_SPREAD * rng.standard_normal(4)),
    )


def draw_utterance(speaker: Speaker, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """16-bit samples (n,), the first sample of each phone (k,), and the phones' classes (k,)."""
    phones = _sentence(rng)
    lengths = _LENGTH[phones] * np.exp(0.25 * rng.standard_normal(len(phones)))
    n_samples = int(rng.uniform(2.0, 4.0) * RATE)
    ends = np.round(np.cumsum(lengths) * (n_samples / lengths.sum())).astype(int)
    starts = np.concatenate([[0], ends[:-1]])
    speech = _voiced_and_noisy(speaker, phones, starts, ends, rng)
    speech *= _LEVEL / np.sqrt(np.mean(speech**2))
    noise = _coloured_noise(n_samples, rng)
    noise *= _LEVEL * 10 ** (-rng.uniform(*_SNR) / 20) / np.sqrt(np.mean(noise**2))
    speech += noise
    return as_samples(FULL_SCALE * speech), starts, phones


def _coloured_noise(n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Noise that falls with frequency about as speech does, so that it is as far below it everywhere."""
    spectrum = rfft(rng.standard_normal(n_samples))
    octaves = np.log2(np.maximum(np.fft.rfftfreq(n_samples, 1 / RATE), 100.0) / 500.0)
    return irfft(spectrum * 10 ** (_NOISE_TILT * octaves / 20), n_samples)


def _sentence(rng: np.random.Generator) -> np.ndarray:
    """40 to 60 phones between two silences, none twice in a row."""
    n = int(rng.integers(40, 61))
    while True:
        steps = np.concatenate([[0], rng.integers(1, len(PHONES), size=n - 2)])
        phones = (_SILENCE + np.cumsum(steps)) % len(PHONES)  # a step is never a whole round
        if phones[-1] != _SILENCE:
            return np.append(phones, _SILENCE)


def _voiced_and_noisy(
    speaker: Speaker, phones: np.ndarray, starts: np.ndarray, ends: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """The utterance before its level is set: both sources cut into blocks, filtered, and added up."""
    n_samples = int(ends[-1])
    n_blocks = n_samples // SHIFT + 2
    middle = np.clip((np.arange(n_blocks) - 1) * SHIFT + SHIFT, 0, n_samples - 1)
    formants, voice, noise, noise_shape = _targets(phones, starts, ends, middle)
    pulses = _pulses(speaker, n_samples, rng)
    hiss = rng.standard_normal(n_samples).astype(np.float32)

    tract = _tract(formants * speaker.tract, _BANDWIDTHS * speaker.bandwidths)
    source = _decibels((speaker.tilt + _TILT) * _OCTAVES)
    channel = _decibels(rng.uniform(-3.0, 3.0) * (4 * _FREQUENCIES / RATE - 1))
    voiced = voice[:, None] * tract
    spectrum = _blocks(pulses, n_blocks) * (voiced * source)
    spectrum += _blocks(hiss, n_blocks) * (speaker.breath * voiced * np.sqrt(source) + noise[:, None] * noise_shape)
    pieces = irfft(spectrum * channel, _N_FFT, axis=1)

    out = np.zeros((n_blocks + 3) * SHIFT)  # a piece reaches half a block beyond its block on either side
    for quarter in range(_N_FFT // SHIFT):
        part = pieces[:, quarter * SHIFT : (quarter + 1) * SHIFT]
        out[quarter * SHIFT : (quarter + n_blocks) * SHIFT] += part.reshape(-1)
    return out[2 * SHIFT : 2 * SHIFT + n_samples]


def _decibels(level: np.ndarray) -> np.ndarray:
    """Factors of amplitude, float32."""
    return (10 ** (level / 20)).astype(np.float32)


def _blocks(signal: np.ndarray, n_blocks: int) -> np.ndarray:
    """Spectra (n_blocks, _N_FFT / 2 + 1) of windowed blocks; the first begins one shift before the signal."""
    padded = np.zeros((n_blocks + 1) * SHIFT, np.float32)
    padded[SHIFT : SHIFT + len(signal)] = signal
    halves = padded.reshape(-1, SHIFT)
    blocks = np.zeros((n_blocks, _N_FFT), np.float32)
    quarter = _N_FFT // 4
    blocks[:, quarter : quarter + _BLOCK] = np.concatenate([halves[:-1], halves[1:]], axis=1) * _WINDOW
    return rfft(blocks, axis=1)


def _targets(
    phones: np.ndarray, starts: np.ndarray, ends: np.ndarray, at: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Formants (n, 4), amounts of voice and of noise (n,), and the noise's spectrum (n, n_frequencies) at samples (n,).

    Formants stay at or move along a phone's own targets in its middle 70 % and go on to the next one's in a straight
    line; amounts change over at most 3 ms to either side of a boundary.
    """
    length = ends - starts
    times = np.stack([starts + 0.15 * length, starts + 0.85 * length], axis=1).reshape(-1)
    values = np.stack([_ONSET[phones], _OFFSET[phones]], axis=1).reshape(-1, 4)
    formants = np.stack([np.interp(at, times, values[:, k]) for k in range(4)], axis=1)
    edge = np.minimum(0.003 * RATE, 0.45 * length)
    times = np.stack([starts + edge, ends - edge], axis=1).reshape(-1)
    voice, noise = (np.interp(at, times, np.repeat(amount[phones], 2)) for amount in (_VOICE, _NOISE))
    phone = phones[np.searchsorted(starts, at, side="right") - 1]
    width = np.maximum(_WIDTH[phone], 1.0)[:, None].astype(np.float32)
    shape = np.exp(-0.5 * ((_FREQUENCIES - _CENTRE[phone][:, None].astype(np.float32)) / (0.5 * width)) ** 2)
    return formants, voice.astype(np.float32), noise.astype(np.float32), shape


def _tract(formants: np.ndarray, bandwidths: np.ndarray) -> np.ndarray:
    """|H(f)| (n, n_frequencies) float32 of resonances in a row at formants (n, 4) with bandwidths (4,), 1 at 0 Hz."""
    response = np.ones((len(formants), len(_FREQUENCIES)), np.float32)
    for centre, bandwidth in zip(formants.T.astype(np.float32)[:, :, None], bandwidths.astype(np.float32), strict=True):
        half = np.square(bandwidth / 2)
        above, below = np.square(_FREQUENCIES - centre) + half, np.square(_FREQUENCIES + centre) + half
        response *= (np.square(centre) + half) / np.sqrt(above * below)
    return response


def _pulses(speaker: Speaker, n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """A train of pulses (n,) float32, each split between two samples so that periods need not be whole; power 1."""
    at = np.arange(0, n_samples + SHIFT, SHIFT)
    melody = 1.2 - 0.4 * at / n_samples + 0.05 * np.sin(2 * np.pi * (at / RATE * rng.uniform(1.0, 3.0) + rng.random()))
    pitch = speaker.pitch * melody * (1 + speaker.jitter * rng.standard_normal(len(at)))
    phase = np.cumsum(np.interp(np.arange(n_samples), at, pitch)) / RATE
    whole = np.floor(phase)
    place = np.flatnonzero(np.diff(whole, prepend=0.0) > 0)
    late = (phase[place] - whole[place]) * RATE / speaker.pitch  # how long ago the pulse was, in samples
    late = np.clip(late, 0.0, 1.0)
    train = np.zeros(n_samples, np.float32)
    train[place] = 1 - late
    train[np.maximum(place - 1, 0)] += late
    return train * np.float32(np.sqrt(n_samples / max(1, len(place))))
