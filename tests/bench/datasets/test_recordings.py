"""Recordings cut into segments: which frames, which labels, which extras, for training and for the test."""

from __future__ import annotations

from dataclasses import asdict
from itertools import islice

import numpy as np
import pytest

from bench.datasets import recordings as module
from bench.datasets.base import DataStore, FactorSpace, canonical_json
from bench.datasets.fsdd import FSDDConfig
from bench.datasets.recordings import Recording, Segments, count_trials, describe_speech, joined, speech_data
from bench.datasets.spectrogram import count_frames, spectrogram

INFO = describe_speech(FactorSpace(("speaker", "word"), (9, 50), ("categorical", "categorical"), (False, True)))
LENGTHS = {0: (16_000, 9_000, 2_000), 1: (8_000,), 2: (7_000, 6_999, 12_000, 400)}  # samples, by split


def recorded():
    """Recordings of all splits in mixed order; every 1,000 samples another word."""
    rng = np.random.default_rng(0)
    made = []
    for split, lengths in sorted(LENGTHS.items(), reverse=True):
        for i, n in enumerate(lengths):
            level = np.exp(3 * np.cumsum(rng.normal(size=n // 400 + 1)) / 30).repeat(400)[:n]
            samples = np.clip(1_000 * level * rng.normal(size=n), -32_000, 32_000).astype(np.int16)
            words = [(first, (first // 1_000 + i) % 50) for first in range(0, n, 1_000)]
            made.append(Recording(samples, split, (3 * split + i // 2,), words))
    return made


ORDERED = sorted(recorded(), key=lambda one: one.split)
SPECTRA = [spectrogram(one.samples) for one in ORDERED]
TRAINED = np.concatenate(SPECTRA[:3])


def standardised(spectra):
    return (spectra - TRAINED.mean(0)) / TRAINED.std(0)


def data(folder, has_seen_speakers=False, **parameters):
    config = FSDDConfig(**parameters)
    store = DataStore(folder, folder / "cache", canonical_json(["fsdd", 1, asdict(config), "user", ""]))
    read = lambda: joined(recorded(), "fsdd")  # noqa: E731
    return speech_data(INFO, store, read, config, "Noise", has_seen_speakers=has_seen_speakers)


@pytest.mark.parametrize("shift", [8, 20])
def test_training_segments_at_fixed_places(tmp_path, shift):
    found = data(tmp_path, starts="fixed", shift=shift).every("train")
    counts = [(len(spectra) - 20) // shift + 1 if len(spectra) >= 20 else 1 for spectra in SPECTRA[:3]]
    assert np.bincount(found.groups).tolist() == counts
    row = 0
    for spectra, n in zip(SPECTRA[:2], counts[:2], strict=True):
        for i in range(n):
            np.testing.assert_allclose(found.x[row], standardised(spectra)[i * shift : i * shift + 20], atol=2e-4)
            row += 1


def test_a_recording_shorter_than_a_segment_is_filled_with_zeros(tmp_path):
    found = data(tmp_path, starts="fixed").every("train")
    n = len(SPECTRA[2])
    assert n == count_frames(2_000) == 11
    np.testing.assert_allclose(found.x[-1, :n], standardised(SPECTRA[2]), atol=2e-4)
    assert (found.x[-1, n:] == 0).all()


@pytest.mark.parametrize("starts", ["fixed", "random"])
def test_other_splits_are_cut_one_segment_after_the_other(tmp_path, starts):
    opened = data(tmp_path, starts=starts, shift=8)
    for split, first in (("val", 3), ("test", 4)):
        found = opened.every(split)
        for i in np.unique(found.groups):
            whole = found.x[found.groups == i].reshape(-1, 200)
            spectra = SPECTRA[i]
            assert len(whole) == -(-len(spectra) // 20) * 20
            np.testing.assert_allclose(whole[: len(spectra)], standardised(spectra), atol=2e-4)
            assert (whole[len(spectra) :] == 0).all()
        assert found.groups.min() == first


def test_labels_are_those_at_the_middle_of_each_window_and_the_last_one_stays(tmp_path):
    found = data(tmp_path).every("test")
    for i in np.unique(found.groups):
        factors = found.factors[found.groups == i].reshape(-1, 2)
        frame = np.minimum(np.arange(len(factors)), len(SPECTRA[i]) - 1)
        np.testing.assert_array_equal(factors[:, 1], ((160 * frame + 200) // 1_000 + i - 4) % 50)
        assert (factors[:, 0] == ORDERED[i].static[0]).all()


def test_random_segments_begin_anywhere_in_their_own_recording(tmp_path):
    opened = data(tmp_path)
    fixed = data(tmp_path, starts="fixed").every("train")
    begun = {0: set(), 1: set(), 2: set()}
    for draw in islice(opened.batches("sequences", 64, np.random.default_rng(0)), 12):
        for x, index in zip(draw.x.numpy(), draw.index.numpy(), strict=True):
            recording = int(fixed.groups[index])
            whole = np.zeros((max(20, len(SPECTRA[recording])), 200))
            whole[: len(SPECTRA[recording])] = standardised(SPECTRA[recording])
            errors = [np.abs(whole[start : start + 20] - x).max() for start in range(len(whole) - 19)]
            assert min(errors) < 1e-3
            begun[recording].add(int(np.argmin(errors)))
    assert {recording: len(starts) for recording, starts in begun.items()} == {0: 79, 1: 35, 2: 1}  # all there are


def test_extras_belong_to_the_very_frames_of_the_batch(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "change_voice", lambda samples, rng: -samples)  # has the same spectrum
    extras = ("voice_changed", "volume", "recording", "n_segments")
    for starts in ("random", "fixed"):
        opened = data(tmp_path, starts=starts)
        groups = opened.every("train").groups
        draw = next(iter(opened.batches("sequences", 32, np.random.default_rng(1), extras=extras)))
        np.testing.assert_allclose(draw.extras["voice_changed"], draw.x, atol=1e-3)
        recording = draw.extras["recording"].numpy()
        np.testing.assert_array_equal(recording, groups[draw.index])
        np.testing.assert_array_equal(draw.extras["n_segments"], np.bincount(groups)[recording])
        assert recording.max() < opened.spec("sequences").n_sequences == 3
        # Parseval: the mean square of a windowed frame is that of its spectrum; of noise, the window's mean square is ½
        energy = (10 ** ((draw.x.numpy() * TRAINED.std(0) + TRAINED.mean(0)) / 10)).sum(-1) * 2 / 400**2
        sound = (draw.x != 0).any(-1).numpy()
        np.testing.assert_allclose(draw.extras["volume"].numpy()[sound] ** 2, 2 * energy[sound], rtol=0.4)
        assert (draw.extras["volume"].numpy()[~sound] == 0).all()


def test_a_changed_voice_is_made_when_first_asked_for_and_then_kept(tmp_path):
    opened = data(tmp_path)
    names = lambda: {path.stem.split("-")[1] for path in (tmp_path / "cache").iterdir()}  # noqa: E731
    assert "voices" not in names()
    draw = next(iter(opened.batches("sequences", 8, np.random.default_rng(0), extras=("voice_changed",))))
    assert {"voices", "voice_changed"} <= names()
    again = data(tmp_path, shift=7)
    same = next(iter(again.batches("sequences", 8, np.random.default_rng(0), extras=("voice_changed",))))
    assert draw.extras["voice_changed"].shape == same.extras["voice_changed"].shape == (8, 20, 200)
    assert len([path for path in (tmp_path / "cache").iterdir() if "voices" in path.name]) == 1  # for all ways to cut
    assert 0.1 < (draw.extras["voice_changed"] - draw.x).abs().mean() < 3


def test_batches_follow_the_generator_alone(tmp_path):
    opened = data(tmp_path)
    first, second = (list(islice(opened.batches("sequences", 4, np.random.default_rng(5)), 3)) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.x, b.x)
    rng = np.random.default_rng(5)
    next(iter(opened.batches("sequences", 4, rng)))
    np.testing.assert_array_equal(next(iter(opened.batches("sequences", 4, rng))).x, first[1].x)


def test_probes_of_new_speakers_see_the_same_speakers_and_never_the_same_recording(tmp_path):
    opened = data(tmp_path)
    assert opened.evaluation_splits == ("fit", "score")
    fit, score = opened.every("fit"), opened.every("score")
    assert set(fit.groups) == {4, 6}
    assert set(score.groups) == {5, 7}
    assert set(fit.factors[..., 0].ravel()) == set(score.factors[..., 0].ravel()) == {6, 7}
    assert data(tmp_path, has_seen_speakers=True).evaluation_splits == ("train", "test")


def test_a_feature_that_hardly_changes_is_not_blown_up(tmp_path, monkeypatch):
    flat = [Recording(np.full(8_000, 9, np.int16), split, (split,), [(0, 0)]) for split in (0, 1, 2)]
    config = FSDDConfig()
    store = DataStore(tmp_path, tmp_path / "cache", canonical_json(["fsdd", 1, asdict(config), "user", ""]))
    found = speech_data(INFO, store, lambda: joined(flat, "fsdd"), config, "", has_seen_speakers=True)
    assert np.abs(found.every("train").x).max() < 0.01


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ([Recording(np.ones(399, np.int16), split, (0,)) for split in (0, 2)], "has 399 samples at 16 kHz"),
        ([Recording(np.ones(999, np.int16), 2, (0,))], "no recordings for the split 'train'"),
        ([Recording(np.ones(999, np.int16), 0, (0,))], "no recordings for the split 'test'"),
    ],
)
def test_corpora_that_cannot_be_cut_are_refused(made, message):
    with pytest.raises(ValueError, match=message):
        joined(made, "fsdd")


def test_segments_are_windows_into_the_rows():
    rows = np.arange(60).reshape(30, 2)
    segments = Segments(rows, np.array([0, 3, 10]), 4)
    assert (segments.shape, len(segments)) == ((3, 4, 2), 3)
    np.testing.assert_array_equal(segments[np.array([2, 0])], rows[[[10, 11, 12, 13], [0, 1, 2, 3]]])
    np.testing.assert_array_equal(segments[np.array([1, 2]), np.array([0, 3])], rows[[3, 13]])


@pytest.mark.parametrize(
    ("speakers", "same", "different"),
    [
        pytest.param(np.repeat(np.arange(24), 8), 672, 17_664, id="TIMIT core test"),
        pytest.param(np.repeat(np.arange(7), 6), 105, 756, id="LibriSpeech sample"),
        pytest.param([4], 0, 0, id="one recording"),
    ],
)
def test_trials_are_unordered_pairs(speakers, same, different):
    assert count_trials(np.asarray(speakers)) == (same, different)
