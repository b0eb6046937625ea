"""TIMIT: the split and counts on a made-up corpus of the official layout, transcriptions, and generated speech."""

from __future__ import annotations

import io
import tarfile
from pathlib import PurePosixPath

import numpy as np
import pytest
from opened_dataset import opened
from speech_files import sphere

from bench.datasets import timit as module
from bench.datasets.recordings import count_trials
from bench.datasets.speech_synthesis import PHONES
from bench.datasets.timit import (
    CLASSES,
    DEV_SPEAKERS,
    FILE,
    TEST_SPEAKERS,
    TimitConfig,
    find_source,
    read_corpus,
    read_phones,
    utterance,
)

SOUND = sphere(np.random.default_rng(0).integers(-900, 900, 1_200).astype(np.int16))
PHN = b"0 100 h#\n100 700 ix\n700 1100 q\n"
SENTENCES = ("sa1", "sa2", "sx1", "sx91", "sx181", "sx271", "sx361", "si500", "si1130", "si1760")


def corpus(upper=False):
    """Names and contents of all files of a corpus of 630 speakers, most of them too short to hear."""
    others = [f"f{i:03d}9" for i in range(200)] + [f"m{i:03d}9" for i in range(262)]
    rest = [f"mt{i:02d}9" for i in range(94)]
    for i, speaker in enumerate([*others, *rest, *sorted(DEV_SPEAKERS | TEST_SPEAKERS)]):
        part = "train" if i < len(others) else "test"
        for sentence in SENTENCES:
            for ending, content in (("wav", SOUND), ("phn", PHN), ("txt", b"0 1200 words\n")):
                name = f"{part}/dr{i % 8 + 1}/{speaker}/{sentence}.{ending}"
                yield (name.upper() if upper else name), content


def write(root, files):
    for name, content in files:
        path = root / "timit" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def archived(root, files):
    (root / "timit").mkdir(exist_ok=True)
    with tarfile.open(root / "timit" / FILE.name, "w") as archive:
        for name, content in files:
            member = tarfile.TarInfo(f"timit/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def test_the_split_has_3696_400_and_192_utterances_of_462_50_and_24_speakers(tmp_path):
    archived(tmp_path, corpus(upper=True))
    data = opened("timit", tmp_path)
    assert data.title == "TIMIT, official recordings"
    parts = {split: data.every(split) for split in ("train", "val", "test", "fit", "score")}
    speakers = {split: part.factors[:, 0, 0] for split, part in parts.items()}  # one segment an utterance
    assert {split: len(found) for split, found in speakers.items()} == {
        "train": 3_696, "val": 400, "test": 192, "fit": 96, "score": 96,
    }  # fmt: skip
    assert [len(np.unique(speakers[split])) for split in ("train", "val", "test")] == [462, 50, 24]
    assert set(np.bincount(np.concatenate([speakers[split] for split in ("train", "val", "test")]))) == {8}
    assert count_trials(speakers["test"]) == (672, 17_664)
    assert parts["train"].factors[:, 0, 1].sum() == 262 * 8  # men
    assert data.spec("sequences").n_sequences == 3_696
    classes = [PHONES[i] for i in parts["test"].factors[0, :, 2]]
    assert classes == ["ih"] * 4 + ["sil"] * 16  # windows are centred at 200, 360, 520, 680, 840, 1,000 and end there


def test_folders_of_either_case_are_read_wherever_they_lie(tmp_path, monkeypatch):
    few = [(name, c) for name, c in corpus() if {"m2619", "faks0", "mdab0"} & set(name.split("/"))]
    write(tmp_path, [(f"TIMIT/{name.upper()}", content) for name, content in few])
    source = find_source(TimitConfig(), tmp_path)
    assert source.kind == "official"
    assert source.fingerprint == find_source(TimitConfig(), tmp_path).fingerprint
    changed = next((tmp_path / "timit").rglob("MDAB0/SX1.WAV"))
    changed.write_bytes(sphere(np.full(1_300, 5, np.int16)))
    assert find_source(TimitConfig(), tmp_path).fingerprint != source.fingerprint
    monkeypatch.setattr(module, "N_SPEAKERS", (1, 1, 1))
    assert np.bincount(read_corpus(tmp_path / "timit").splits).tolist() == [8, 8, 8]


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        ("m2619", "0 training speakers are in DATA_ROOT/timit, the corpus has 1"),
        ("mdab0/si500", "mdab0 has 7 sentences besides SA, each speaker has 8"),
        ("mdab0/si500.phn", "mdab0/si500 has no .phn file"),
    ],
)
def test_part_of_the_corpus_is_refused(tmp_path, monkeypatch, lost, message):
    monkeypatch.setattr(module, "N_SPEAKERS", (1, 1, 1))
    few = [(name, c) for name, c in corpus() if {"m2619", "faks0", "mdab0"} & set(name.split("/"))]
    write(tmp_path, [(name, content) for name, content in few if lost not in name])
    with pytest.raises(ValueError, match=message):
        read_corpus(tmp_path / "timit")


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("TRAIN/DR1/FCJF0/SX127.WAV", 0),
        ("timit/timit/train/dr8/mbcg0/si486.phn", 0),
        ("TRAIN/DR1/FCJF0/SA1.WAV", None),
        ("TEST/DR1/FAKS0/SI943.WAV", 1),
        ("TEST/DR1/MDAB0/SI1039.WAV", 2),
        ("TEST/DR1/MREB9/SI1039.WAV", None),
    ],
)
def test_names_say_the_split(name, split):
    said = utterance(PurePosixPath(name))
    assert said is not None
    assert said.split == split


@pytest.mark.parametrize(
    "name",
    ["DOC/SPKRINFO.TXT", "TRAIN/DR1/FCJF0/SX127.WRD", "TRAIN/DR9/FCJF0/SX127.WAV", "DEV/DR1/FCJF0/SX1.WAV", "SX1.WAV"],
)
def test_other_files_are_none_of_the_corpus(name):
    assert utterance(PurePosixPath(name)) is None


def test_61_labels_fold_into_39_classes():
    assert len(PHONES) == 39
    assert list(PHONES) == sorted(PHONES)
    assert len(CLASSES) == 61 + 1  # and "sil" itself, which transcriptions do not use
    assert set(CLASSES.values()) == set(range(39))
    assert {label for label, i in CLASSES.items() if PHONES[i] == "sil"} == {
        "sil", "pcl", "tcl", "kcl", "bcl", "dcl", "gcl", "h#", "pau", "epi", "q",
    }  # fmt: skip


def test_transcriptions_give_the_beginnings_of_phones():
    pieces = read_phones(b"0 100 h#\r\n100 700 AX-H\n\n700 1100 zh\n", "a.phn", 1_200)
    assert [(start, PHONES[i]) for start, i in pieces] == [(0, "sil"), (0, "sil"), (100, "ah"), (700, "sh")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no phones"),
        (b"0 100\n", "line 1: wanted START END PHONE, found '0 100'"),
        (b"0 100 aa\n100 200 xx\n", "line 2: wanted START END PHONE, found '100 200 xx'"),
        (b"0 100 aa\n50 200 b\n", "line 2: 50 to 200 does not follow 100 within 1200 samples"),
        (b"0 0 aa\n", "0 to 0 does not follow"),
        (b"1200 1300 aa\n", "1200 to 1300 does not follow 0 within 1200"),
        ("0 \u0661\u0660 aa\n".encode(), "wanted START END PHONE"),
    ],
)
def test_transcriptions_of_another_form_are_refused(content, message):
    with pytest.raises(ValueError, match=message):
        read_phones(content, "timit: a.phn", 1_200)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_speakers": 1}, "n_speakers must be 2 … 462, got 1"),
        ({"shift": 0}, "shift must be at least 1 frame, got 0"),
        ({"starts": "anywhere"}, "starts must be one of random, fixed, got 'anywhere'"),
        ({"source": "user"}, "source must be one of auto, official, generated"),
    ],
)
def test_parameters_out_of_range_are_refused(parameters, message):
    with pytest.raises(ValueError, match=f"timit: {message}"):
        TimitConfig(**parameters)


def test_asked_for_and_absent_it_says_how_to_get_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="must be obtained by hand: `bench data fetch timit` says how"):
        find_source(TimitConfig(source="official"), tmp_path)
