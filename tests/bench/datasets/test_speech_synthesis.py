"""Made-up speech: the sheet's ranges, what a speaker and a phone are, and how hard both are to tell."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from bench.datasets.spectrogram import spectrogram
from bench.datasets.speech_synthesis import PHONES, Speaker, draw_speaker, draw_utterance
from bench.datasets.timit import counts, generate

PLAIN = Speaker(sex=1, pitch=120.0, tract=1.0, tilt=0.0, jitter=0.0, breath=0.02, bandwidths=np.ones(4))


def said(speaker, seed):
    """Spectra (n, 200) of one utterance, and the phone at the middle of each window."""
    samples, starts, phones = draw_utterance(speaker, np.random.default_rng(seed))
    spectra = spectrogram(samples)
    middle = 160 * np.arange(len(spectra)) + 200
    return spectra, phones[np.searchsorted(starts, middle, side="right") - 1]


@pytest.fixture(scope="module")
def voices():
    """Spectra, phones and speakers of 24 speakers with 5 utterances each."""
    found = []
    for i in range(24):
        rng = np.random.default_rng((2, i))
        speaker = draw_speaker(rng)
        found += [(i, *said(speaker, (3, i, j))) for j in range(5)]
    return found


def test_utterances_are_sentences_of_40_to_60_phones_in_2_to_4_seconds():
    rng = np.random.default_rng(0)
    heard = set()
    for _ in range(30):
        samples, starts, phones = draw_utterance(draw_speaker(rng), rng)
        assert 32_000 <= len(samples) <= 64_000
        assert 40 <= len(phones) == len(starts) <= 60
        assert starts[0] == 0
        assert (np.diff(starts) > 0).all()
        assert (np.diff(phones) != 0).all()
        assert PHONES[phones[0]] == PHONES[phones[-1]] == "sil"
        assert np.sqrt(np.mean((samples / 32_768) ** 2)) == pytest.approx(0.05, rel=0.01)
        assert np.abs(samples.astype(int)).max() < 32_767  # nothing is cut
        heard |= {tuple(phones)}
    assert len(heard) == 30


def test_speakers_are_drawn_as_the_laws_say():
    rng = np.random.default_rng(0)
    speakers = [draw_speaker(rng) for _ in range(2_000)]
    for sex, pitch in enumerate((200, 120)):
        of_one = [speaker for speaker in speakers if speaker.sex == sex]
        assert len(of_one) == pytest.approx(1_000, abs=75)  # 3 deviations
        assert np.median([speaker.pitch for speaker in of_one]) == pytest.approx(pitch, rel=0.02)
    pitches = [np.array([s.pitch for s in speakers if s.sex == sex]) for sex in (0, 1)]
    assert 0.01 < (pitches[1] > np.quantile(pitches[0], 0.25)).mean() < 0.1  # the two laws overlap
    tracts = [speaker.tract for speaker in speakers]
    assert 0.85 <= min(tracts) < 0.87
    assert 1.18 < max(tracts) <= 1.2


@pytest.mark.parametrize("pitch", [120.0, 200.0])
def test_pitch_falls_from_a_fifth_above_the_median_to_a_fifth_below(pitch):
    samples, _, _ = draw_utterance(replace(PLAIN, pitch=pitch), np.random.default_rng(1))
    periods = []
    for start in range(0, len(samples) - 1_600, 400):
        piece = samples[start : start + 1_600].astype(float)
        products = np.correlate(piece, piece[:800], "valid")[50:400]
        if products.max() > 0.7 * np.sum(piece[:800] ** 2):  # voiced
            periods.append((start / len(samples), 16_000 / (50 + products.argmax())))
    early = np.median([f for when, f in periods if when < 0.2])
    late = np.median([f for when, f in periods if when > 0.8])
    assert early == pytest.approx(1.16 * pitch, rel=0.08)
    assert late == pytest.approx(0.84 * pitch, rel=0.08)
    assert late < early


def test_formants_lie_where_the_phone_says_times_the_speakers_scale():
    for scale in (0.9, 1.15):
        spectra, phones = zip(
            *(said(replace(PLAIN, tract=scale, pitch=110.0), seed) for seed in range(30)), strict=True
        )
        frames = np.concatenate(spectra)[np.concatenate(phones) == PHONES.index("iy")]
        mean = np.convolve(frames.mean(0), np.ones(3) / 3, "same")  # over the harmonics
        top = 40 * (1 + 37 + mean[37:75].argmax())  # between 1.5 and 3 kHz: F2 of [i] is 2,290 Hz
        assert top == pytest.approx(2_290 * scale, rel=0.08)


def test_fricatives_are_noise_at_high_frequencies_and_vowels_are_not():
    spectra, phones = zip(*(said(PLAIN, seed) for seed in range(20)), strict=True)
    spectra, phones = np.concatenate(spectra), np.concatenate(phones)
    high_minus_low = spectra[:, 125:175].mean(1) - spectra[:, 5:25].mean(1)
    assert high_minus_low[phones == PHONES.index("s")].mean() > 10
    assert high_minus_low[phones == PHONES.index("aa")].mean() < -20


def equal_error_rate(codes, speakers):
    codes = codes / np.linalg.norm(codes, axis=1, keepdims=True)
    i, j = np.triu_indices(len(codes), 1)
    same = (speakers[i] == speakers[j])[np.argsort(-(codes @ codes.T)[i, j])]
    missed, false = 1 - np.cumsum(same) / same.sum(), np.cumsum(~same) / (~same).sum()
    crossing = np.argmax(false >= missed)
    return (missed[crossing] + false[crossing]) / 2


def test_speakers_are_neither_trivially_told_nor_hidden(voices):
    """Wanted are 12 to 30 % for utterance means, 25 % or more for segments; docs/datasets.md has the whole test set."""
    spectra = np.concatenate([spectra for _, spectra, _ in voices])
    mean, deviation = spectra.mean(0), spectra.std(0)
    utterances = np.stack([((s - mean) / deviation).mean(0) for _, s, _ in voices])
    assert 0.12 < equal_error_rate(utterances, np.array([i for i, _, _ in voices])) < 0.36
    segments = [
        (i, ((s[k : k + 20] - mean) / deviation).mean(0)) for i, s, _ in voices for k in range(0, len(s) - 20, 60)
    ]
    assert equal_error_rate(np.stack([m for _, m in segments]), np.array([i for i, _ in segments])) > 0.25


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_linear_classifier_tells_phones(voices):
    """Wanted are 60 % of frames; fewer frames and steps here than in docs/datasets.md, so a little less is enough."""
    spectra = np.concatenate([spectra for _, spectra, _ in voices])
    phones = np.concatenate([phones for _, _, phones in voices])
    x, half = (spectra - spectra.mean(0)) / spectra.std(0), len(spectra) // 2
    classifier = LogisticRegression(C=0.03, max_iter=30).fit(x[:half:2], phones[:half:2])
    assert 0.55 < classifier.score(x[half::2], phones[half::2]) < 0.8  # of 39


def test_a_corpus_has_eight_sentences_of_each_speaker_and_no_sentence_twice():
    assert counts(462) == (462, 50, 24)
    assert counts(3) == (3, 2, 3)
    found = generate(2)
    assert np.bincount(found.static[:, 0]).tolist() == [8] * 6
    assert np.bincount(found.splits).tolist() == [16, 16, 16]
    ends = np.searchsorted(found.marks, found.offsets)
    sentences = {tuple(found.contents[a:b]) for a, b in pairwise(ends)}
    assert len(sentences) == 48
    np.testing.assert_array_equal(found.samples[: found.offsets[8]], generate(3).samples[: found.offsets[8]])
