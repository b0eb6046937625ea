"""LibriSpeech: archives and folders of the official layout, speakers divided, and real recordings."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from opened_dataset import opened

from bench import registry
from bench.cli.fetch import needed
from bench.datasets.librispeech import FILES, LibriSpeechConfig, describe, divided, find_source, read_subset
from bench.datasets.recordings import count_trials

REAL = Path(os.environ.get("BENCH_DATA", "absent")) / "librispeech_sample" / "test-other"
SOUND = (np.random.default_rng(0).normal(size=4_000) * 900).astype(np.int16)


@pytest.fixture
def flac():
    """The bytes of a FLAC file of noise."""
    soundfile = pytest.importorskip("soundfile")
    buffer = io.BytesIO()
    soundfile.write(buffer, SOUND, 16_000, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def names(n_speakers, n_utterances=3, subset="dev-clean"):
    for speaker in range(100, 100 + n_speakers):
        for i in range(n_utterances):
            yield f"{subset}/{speaker}/77/{speaker}-77-{i:04d}.flac"
        yield f"{subset}/{speaker}/77/{speaker}-77.trans.txt"


def archived(root, content, n_speakers, subset="dev-clean"):
    (root / "librispeech").mkdir()
    with tarfile.open(root / "librispeech" / f"{subset}.tar.gz", "w:gz") as archive:
        for name in names(n_speakers, subset=subset):
            member = tarfile.TarInfo(f"LibriSpeech/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def unpacked(root, content, n_speakers, n_utterances=3):
    for name in names(n_speakers, n_utterances):
        path = root / "librispeech" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def test_an_archive_gives_every_speaker_to_one_split(tmp_path, flac):
    archived(tmp_path, flac, 40)
    data = opened("librispeech", tmp_path)
    assert data.title == "LibriSpeech, dev-clean, official recordings"
    speakers = {split: set(data.every(split).factors[:, 0, 0]) for split in data.splits}
    assert [len(speakers[split]) for split in ("train", "val", "test")] == [28, 4, 8]
    assert set.union(*speakers.values()) == set(range(40))
    assert speakers["fit"] == speakers["score"] == speakers["test"]
    groups = data.every("test").groups
    assert len(np.unique(groups)) == 24
    assert data.every("test").x.shape == (48, 20, 200)  # 23 frames each
    assert data.info.factors.names == ("speaker",)


def test_an_archive_that_lacks_speakers_is_refused(tmp_path, flac):
    archived(tmp_path, flac, 6)
    with pytest.raises(ValueError, match=r"librispeech/dev-clean.tar.gz: has 6 speakers, wanted 40"):
        read_subset(tmp_path / "librispeech", LibriSpeechConfig(source="official"))


def test_a_folder_with_part_of_a_subset_is_the_users(tmp_path, flac):
    unpacked(tmp_path, flac, 7)
    source = find_source(LibriSpeechConfig(), tmp_path)
    assert (source.kind, source.note) == ("user", "21 utterances in a folder, not the published archive")
    found = read_subset(tmp_path / "librispeech", LibriSpeechConfig(source="user", n_utterances=2))
    assert np.bincount(found.static[:, 0]).tolist() == [2] * 7
    assert np.bincount(found.splits).tolist() == [8, 2, 4]
    np.testing.assert_array_equal(found.samples[:4_000], SOUND)


def test_speakers_are_divided_once_and_for_all():
    assert divided(range(10, 50)) == divided(range(10, 50))
    counts = [np.bincount(list(divided(range(n)).values())).tolist() for n in (5, 7, 40, 251)]
    assert counts == [[2, 1, 2], [4, 1, 2], [28, 4, 8], [176, 25, 50]]
    with pytest.raises(ValueError, match="4 speakers with at least 2 utterances, wanted at least 5"):
        divided(range(4))


def test_only_the_archive_of_the_subset_is_fetched():
    config = registry.dataset("librispeech").config
    assert [file.name for file in needed("librispeech", [config()])] == ["dev-clean.tar.gz"]
    paper = config(**registry.dataset("librispeech").card.budgets["paper"])
    assert [file.name for file in needed("librispeech", [paper])] == ["train-clean-100.tar.gz"]
    assert describe(paper).factors.sizes == (251,)
    assert all(len(file.sha256) == 64 and file.size for file in FILES)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"subset": "test"}, "subset must be one of dev-clean, test-clean, test-other, train-clean-100, got 'test'"),
        ({"n_utterances": 1}, "n_utterances must be 0 .all. or at least 2, which pairs need, got 1"),
    ],
)
def test_parameters_out_of_range_are_refused(parameters, message):
    with pytest.raises(ValueError, match=f"librispeech: {message}"):
        LibriSpeechConfig(**parameters)


def test_nothing_there_says_what_to_run(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Run `bench data fetch librispeech\[subset=test-other\]`"):
        find_source(LibriSpeechConfig(subset="test-other"), tmp_path)


@pytest.mark.data
@pytest.mark.skipif(not REAL.is_dir(), reason="needs the sample below BENCH_DATA")
def test_real_sentences_of_seven_speakers(tmp_path):
    pytest.importorskip("soundfile")
    (tmp_path / "librispeech").mkdir()
    (tmp_path / "librispeech" / "test-other").symlink_to(REAL)
    data = opened("librispeech", tmp_path, subset="test-other", n_utterances=0)
    speakers = {}
    for split in ("train", "val", "test"):
        part = data.every(split)
        speakers |= dict(zip(part.groups.tolist(), part.factors[:, 0, 0].tolist(), strict=True))
    assert len(speakers) == 42
    assert count_trials(np.array(list(speakers.values()))) == (105, 756)
    test = data.every("test")
    assert len(np.unique(test.groups)) == 12
    total = sum(len(data.every(split).x) for split in ("train", "val", "test"))
    assert total * 0.2 == pytest.approx(181, rel=0.03)  # seconds, the last segments filled up
    np.testing.assert_allclose(data.every("train").x.std((0, 1)), 1, atol=0.05)
