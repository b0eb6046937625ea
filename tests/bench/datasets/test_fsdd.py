"""Free Spoken Digit Dataset: official split, one level for all, its three forms, and real recordings."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from opened_dataset import opened
from speech_files import wav

from bench.datasets.fsdd import FILE, SPEAKERS, FSDDConfig, find_source, levelled, read_recordings
from bench.datasets.recordings import count_trials

REAL = Path(os.environ.get("BENCH_DATA", "absent")) / "fsdd" / "fsdd_4speakers.npz"
RNG = np.random.default_rng(0)


def sound(speaker=0, n=400):
    """Noise whose level and offset tell the speaker."""
    return np.round(RNG.normal(size=n) * 300 * (speaker + 1) + 50 * speaker).astype(np.int16)


def recordings(speakers=SPEAKERS, takes=50):
    for digit in range(10):
        for number, speaker in enumerate(speakers):
            for take in range(takes):
                yield f"{digit}_{speaker}_{take}.wav", sound(number)


def archived(root, files):
    (root / "fsdd").mkdir()
    with tarfile.open(root / "fsdd" / FILE.name, "w") as archive:
        for name, samples in files:
            content = wav(samples)
            member = tarfile.TarInfo(f"free-spoken-digit-dataset-1.0.9/recordings/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def joined_file(path, **replaced):
    """Two speakers, three recordings, as one .npz."""
    content = {
        "audio": sound(n=3_000), "offsets": np.array([0, 900, 1_800, 3_000]), "digit": np.array([7, 1, 2], np.uint8),
        "take": np.array([0, 5, 20], np.uint8), "speaker": np.array([1, 0, 0], np.uint8),
        "speaker_names": np.array(["lucas", "theo"]), "sample_rate": np.array(8_000, np.int32),
    } | replaced  # fmt: skip
    path.parent.mkdir(exist_ok=True)
    np.savez(path, **content)


def test_the_archive_has_3000_recordings_of_which_takes_0_to_4_are_the_test(tmp_path):
    archived(tmp_path, recordings())
    assert find_source(FSDDConfig(), tmp_path).kind == "official"
    data = opened("fsdd", tmp_path)
    parts = {split: data.every(split) for split in data.splits}
    assert [len(np.unique(parts[split].groups)) for split in ("train", "val", "test")] == [2_400, 300, 300]
    assert data.spec("sequences").n_sequences == 2_400
    assert data.evaluation_splits == ("train", "test")
    test = parts["test"].factors[:, 0]
    assert count_trials(test[:, 0]) == (6 * 50 * 49 // 2, 15 * 50 * 50)
    assert np.bincount(test[:, 1]).tolist() == [30] * 10
    assert (parts["test"].factors == parts["test"].factors[:, :1]).all()  # the digit is that of the recording


def test_an_archive_that_lacks_recordings_is_refused(tmp_path):
    archived(tmp_path, recordings(takes=6))
    with pytest.raises(ValueError, match=r"fsdd/v1.0.9.tar.gz: has 360 recordings, wanted 3,000; fetch it again"):
        read_recordings(tmp_path / "fsdd", True)


def test_every_recording_gets_one_level_and_no_offset(tmp_path):
    folder = tmp_path / "fsdd" / "recordings"
    folder.mkdir(parents=True)
    for name, samples in recordings(SPEAKERS[:3], takes=11):
        if name[0] in "03":
            (folder / name).write_bytes(wav(samples))
    source = find_source(FSDDConfig(), tmp_path)
    assert (source.kind, source.note) == ("user", "recordings in 66 of 3,000 files, not the published archive")
    found = read_recordings(tmp_path / "fsdd", False)
    pieces = [found.samples[a:b].astype(float) for a, b in zip(found.offsets[:-1], found.offsets[1:], strict=True)]
    np.testing.assert_allclose([piece.std() / 32_768 for piece in pieces], 0.05, rtol=2e-3)
    np.testing.assert_allclose([piece.mean() for piece in pieces], 0, atol=0.5)
    assert np.bincount(found.splits).tolist() == [6, 30, 30]
    assert {len(piece) for piece in pieces} == {800}  # 16 kHz


def test_recordings_in_one_array_are_read_in_the_order_of_speakers(tmp_path):
    joined_file(tmp_path / "fsdd" / "some.npz")
    assert find_source(FSDDConfig(), tmp_path).kind == "user"
    found = read_recordings(tmp_path / "fsdd", False)
    assert found.splits.tolist() == [0, 1, 2]
    assert found.static[:, 0].tolist() == [2, 2, 4]  # lucas, lucas, theo
    assert found.contents.tolist() == [2, 1, 7]
    assert np.diff(found.offsets).tolist() == [2_400, 1_800, 1_800]


@pytest.mark.parametrize(
    ("replaced", "message"),
    [
        ({"offsets": np.array([0, 900, 800, 3_000])}, "its offsets do not cut 3,000 samples into 3 recordings"),
        ({"offsets": np.array([0, 900, 1_800, 3_001])}, "its offsets do not cut"),
        ({"digit": np.array([7], np.uint8)}, "3 recordings, but 1 digits"),
        ({"audio": np.zeros(3_000, np.float64)}, "'audio' has 3,000 values of type float64, wanted at most"),
        ({"speaker": np.array([9, 0, 0], np.uint8)}, "names 2 speakers at 8000 samples a second"),
        ({"sample_rate": np.array(3, np.int32)}, "names 2 speakers at 3 samples a second"),
        ({"speaker_names": np.array(["lucas", "nobody"])}, "recording 0: speakers are george, jackson"),
        ({"take": np.array([50, 5, 20], np.uint8)}, "takes 0 … 49"),
        ({"take": np.array([0, 5, 5], np.uint8), "digit": np.array([7, 1, 1], np.uint8)}, "1_lucas_5 is there twice"),
        ({"audio": np.zeros(3_000, np.int16)}, "recording 0: has 1800 samples at 16 kHz and power 0"),
        ({"digit": np.array([7, "x", 1], object)}, "'digit' is pickled"),
    ],
)  # fmt: skip
def test_arrays_that_contradict_each_other_are_refused(tmp_path, replaced, message):
    joined_file(tmp_path / "fsdd" / "some.npz", **replaced)
    with pytest.raises(ValueError, match=message):
        read_recordings(tmp_path / "fsdd", False)


def test_nothing_there_says_what_to_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="Run `bench data fetch fsdd`"):
        find_source(FSDDConfig(), tmp_path)
    joined_file(tmp_path / "fsdd" / "some.npz")
    with pytest.raises(FileNotFoundError, match=r"v1\.0\.9\.tar\.gz is not in DATA_ROOT/fsdd"):
        find_source(FSDDConfig(source="official"), tmp_path)


def test_levelling_is_linear():
    samples = sound(3, 800)
    np.testing.assert_allclose(levelled(samples), levelled((samples // 2).astype(np.int16)), atol=15)


@pytest.mark.data
@pytest.mark.skipif(not REAL.is_file(), reason="needs the sample below BENCH_DATA")
def test_real_digits_of_four_speakers(tmp_path):
    (tmp_path / "fsdd").mkdir()
    shutil.copy(REAL, tmp_path / "fsdd")
    data = opened("fsdd", tmp_path)
    parts = {split: data.every(split) for split in data.splits}
    assert [len(np.unique(parts[split].groups)) for split in ("train", "val", "test")] == [1_600, 200, 200]
    assert np.unique(parts["test"].factors[..., 0]).tolist() == [0, 1, 2, 3]
    assert np.bincount(parts["train"].factors[:, 0, 1]).min() > 100
    speakers = [parts["test"].factors[parts["test"].groups == i][0, 0, 0] for i in np.unique(parts["test"].groups)]
    assert count_trials(np.array(speakers)) == (4_900, 15_000)
    x = parts["train"].x
    real = x[(x != 0).any(-1)]
    np.testing.assert_allclose(real[:, :90].std(0), 1, atol=0.05)  # tails shorter than a segment are not in x
    assert (x[..., 100:] == 0).all()  # nothing above 4 kHz
    assert (real[:, :100].std(0) > 0.9).all()
