"""LibriSpeech (Panayotov, Chen, Povey, Khudanpur, ICASSP 2015): sentences read from audiobooks by many speakers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import itemgetter
from pathlib import Path, PurePosixPath

import numpy as np

from bench.datasets.base import DataInfo, DatasetCard, DataStore, FactorSpace, OfficialFile, Source
from bench.datasets.grid import check_choice
from bench.datasets.official import missing_file, official_source, remembered_tree_sha256
from bench.datasets.recordings import (
    Recording,
    Recordings,
    SpeechConfig,
    SpeechData,
    describe_speech,
    joined,
    speech_data,
)
from bench.datasets.sound_files import files_in, names_in, read_sound
from bench.datasets.spectrogram import resampled
from bench.registry import register_dataset

NAME = "librispeech"
_NAME = re.compile(r"(\d{1,6})-(\d{1,7})-(\d{4})\.flac")
_LEAST = 2  # utterances a speaker must have, and speakers that the test must have: pairs need two of each

# subset: bytes and sha256 of its archive, speakers in it
_RECORDS = {
    "dev-clean": (337_926_286, "76f87d090650617fca0cac8f88b9416e0ebf80350acb97b343a85fa903728ab3", 40),
    "test-clean": (346_663_984, "39fde525e59672dc6d1551919b1478f724438a95aa55f874b576be21967e6c23", 40),
    "test-other": (328_757_843, "d09c181bba5cf717b3dee7d4d592af11a3ee3a09e08ae025c5506f6ebe961c29", 33),
    "train-clean-100": (6_387_309_499, "d4ddd1d5a6ab303066f14971d768ee43278a5f2a0aa43dc716b0e64ecbbbf6e2", 251),
}
SUBSETS = tuple(_RECORDS)
FILES = tuple(
    OfficialFile(
        f"{subset}.tar.gz",
        addresses=tuple(f"{scheme}://www.openslr.org/resources/12/{subset}.tar.gz" for scheme in ("https", "http")),
        size=size,
        sha256=sha256,
        variant=f"subset={subset}",
    )
    for subset, (size, sha256, _) in _RECORDS.items()
)


@dataclass(frozen=True)
class LibriSpeechConfig(SpeechConfig):
    """Parameters of the data set; see ``SpeechConfig`` for those of segments. Source "user": a folder with part of it.

    Attributes:
        subset: which of the published subsets; its speakers are divided into training, validation and test.
        n_utterances: of each speaker, in the order of their names; 0 takes all.
    """

    subset: str = "dev-clean"
    n_utterances: int = 8

    name = NAME
    sources = ("auto", "official", "user")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(NAME, "subset", self.subset, SUBSETS)
        if self.n_utterances < 0 or self.n_utterances == 1:
            raise ValueError(
                f"{NAME}: n_utterances must be 0 (all) or at least {_LEAST}, which pairs need, got {self.n_utterances}"
            )


def describe(config: LibriSpeechConfig) -> DataInfo:
    """Shapes, views and factors, without opening anything."""
    n_speakers = _RECORDS[config.subset][2]
    return describe_speech(FactorSpace(("speaker",), (n_speakers,), ("categorical",), (False,)))


def find_source(config: LibriSpeechConfig, root: Path) -> Source:
    """The subset's published archive, or a folder of the official layout: ``SUBSET/SPEAKER/CHAPTER/*.flac``.

    Raises:
        FileNotFoundError: neither is there, or the archive was asked for and is not.
    """
    file = _file(config.subset)
    if config.source != "user":
        source = official_source(NAME, root, (file,), config.source)
        if source is not None:
            return source
    folder = root / NAME
    names = _own_names(folder, config.subset)
    if not names:
        raise missing_file(f"{NAME}[subset={config.subset}]", replace(file, folder=NAME))
    note = f"{len(names):,} utterances in a folder, not the published archive"
    return Source("user", remembered_tree_sha256(folder, names), note)


def _file(subset: str) -> OfficialFile:
    return FILES[SUBSETS.index(subset)]


def _is_of(name: PurePosixPath, subset: str) -> bool:
    """Whether this is a recording of the subset: ``…/SUBSET/SPEAKER/CHAPTER/SPEAKER-CHAPTER-NUMBER.flac``."""
    return name.parts[-4:-3] == (subset,) and _NAME.fullmatch(name.name) is not None


def _own_names(folder: Path, subset: str) -> list[PurePosixPath]:
    return [name for name in (names_in(folder) if folder.is_dir() else []) if _is_of(name, subset)]


CARD = DatasetCard(
    title="LibriSpeech",
    paper="Panayotov, Chen, Povey, Khudanpur, ICASSP 2015",
    summary="Sentences read from audiobooks, as segments of 200 ms of 200 log-magnitude bins every 10 ms; the speaker "
    "is known.",
    license="CC BY 4.0",
    describe=describe,
    source=find_source,
    budgets={
        "smoke": {"n_utterances": 2},
        "quick": {"n_utterances": 4},
        "standard": {"n_utterances": 8},
        "paper": {"subset": "train-clean-100", "n_utterances": 30},
    },
    verified="on 42 utterances of seven speakers of test-other; reader of archives on one of their layout",
    files=FILES,
    notes=(
        "Reading FLAC files needs soundfile: `pip install 'bench-disentanglement[audio]'`. The speakers of the one "
        "subset that is used are divided at random, once and for all: a fifth (two at least) for the test, a tenth "
        "(one at least) for validation, so test voices are not in training. Verification uses the whole split 'test',"
        " probes the splits 'fit' and 'score', its utterances in turn. No factor tells the content: transcripts have "
        "words without times, and no labels are made up. The papers that use TIMIT publish nothing on this set; it is"
        " the free speech at TIMIT's rate."
    ),
    version=2,
)


@register_dataset(NAME, config=LibriSpeechConfig, card=CARD)
def librispeech(config: LibriSpeechConfig, store: DataStore) -> SpeechData:
    """Segments with the factor speaker; splits train, val, test, fit and score."""
    if config.source == "auto":
        config = replace(config, source=find_source(config, store.root).kind)
    read = partial(read_subset, store.root / NAME, config)
    which = "official recordings" if config.source == "official" else "own recordings"
    title = f"{CARD.title}, {config.subset}, {which}"
    return speech_data(describe(config), store, read, config, title, has_seen_speakers=False)


def read_subset(folder: Path, config: LibriSpeechConfig) -> Recordings:
    """The utterances of a subset at 16 kHz, speakers in the order of their numbers within each split.

    Raises:
        ValueError: one line: a file is not what it must be, or there are too few speakers.
        ModuleNotFoundError: the package soundfile is not installed.
    """
    archive = folder / _file(config.subset).name if config.source == "official" else None
    utterances: dict[int, dict[str, np.ndarray]] = {}
    for name, content in files_in(folder, archive, lambda name: _is_of(name, config.subset)):
        speaker = int(name.name.split("-")[0])
        of_speaker = utterances.setdefault(speaker, {})
        if archive is None and config.n_utterances and len(of_speaker) >= config.n_utterances:
            continue  # a folder is read in the order of names
        samples, rate = read_sound(content, f"{NAME}/{name.name}")
        of_speaker[name.name] = resampled(samples, rate)
    enough = sorted(speaker for speaker, found in utterances.items() if len(found) >= _LEAST)
    if archive is not None and len(enough) != _RECORDS[config.subset][2]:
        raise ValueError(f"{NAME}/{archive.name}: has {len(enough)} speakers, wanted {_RECORDS[config.subset][2]}")
    splits = divided(enough)
    recordings = []
    for number, speaker in enumerate(enough):
        for _, samples in sorted(utterances[speaker].items(), key=itemgetter(0))[: config.n_utterances or None]:
            recordings.append(Recording(samples, splits[speaker], (number,)))
    return joined(recordings, NAME)


def divided(speakers: Sequence[int]) -> dict[int, int]:
    """The split (0 train, 1 val, 2 test) of each speaker: the same for the same speakers.

    Raises:
        ValueError: fewer than five speakers.
    """
    n = len(speakers)
    if n < 5:
        raise ValueError(f"{NAME}: {n} speakers with at least {_LEAST} utterances, wanted at least 5 to divide them")
    n_test, n_val = max(_LEAST, round(n / 5)), max(1, round(n / 10))
    order = np.random.default_rng(0).permutation(n)
    split = np.zeros(n, int)
    split[order[:n_test]], split[order[n_test : n_test + n_val]] = 2, 1
    return dict(zip(speakers, split.tolist(), strict=True))
