"""Free Spoken Digit Dataset (Jackson et al.): digits spoken fifty times each by a few speakers."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from bench.datasets.base import DataInfo, DatasetCard, DataStore, FactorSpace, OfficialFile, Source
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
from bench.datasets.spectrogram import FULL_SCALE, WINDOW, as_samples, resampled
from bench.datasets.zipped_npy import NpzMember
from bench.messages import one_line
from bench.registry import register_dataset

NAME = "fsdd"
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
N_TAKES = 50
N_TEST, N_VAL = 5, 5  # takes 0-4 are the official test; 5-9 are the suite's choice
N_RECORDINGS = len(SPEAKERS) * 10 * N_TAKES
_NAME = re.compile(r"(\d)_([a-z]+)_(\d{1,2})\.wav")
_LEVEL = 0.05  # root mean square that every recording gets, of full scale
_N_HEARD = 100  # features up to 4 kHz, where the band of the recordings ends
_MAX_SAMPLES, _MAX_LABELS = 1 << 26, 1 << 16
_JOINED = ".npz"  # recordings end to end in one array, with the places where they begin

FILE = OfficialFile(
    "v1.0.9.tar.gz",
    addresses=("https://github.com/Jakobovski/free-spoken-digit-dataset/archive/v1.0.9.tar.gz",),
    size=11_975_353,
    sha256="8bc44cde129d505cbbb6b365c09f80c663f2aa77578afc634e6141a2f87100c0",
)


@dataclass(frozen=True)
class FSDDConfig(SpeechConfig):
    """Parameters of the data set; see ``SpeechConfig``. Source "user": recordings of your own folder, as many as are
    there."""

    name = NAME
    sources = ("auto", "official", "user")


def describe(config: FSDDConfig) -> DataInfo:
    """Shapes, views and factors, without opening anything."""
    return describe_speech(
        FactorSpace(
            names=("speaker", "digit"),
            sizes=(len(SPEAKERS), 10),
            kinds=("categorical", "categorical"),
            dynamic=(False, True),
        )
    )


def find_source(config: FSDDConfig, root: Path) -> Source:
    """The published archive, or recordings of the same names in a folder or in one array.

    Raises:
        FileNotFoundError: neither is there, or the archive was asked for and is not.
    """
    if config.source != "user":
        source = official_source(NAME, root, (FILE,), config.source)
        if source is not None:
            return source
    folder = root / NAME
    names = _own_names(folder)
    if not names:
        raise missing_file(NAME, FILE)
    what = "one file" if len(names) == 1 else f"{len(names):,} of {N_RECORDINGS:,} files"
    return Source("user", remembered_tree_sha256(folder, names), f"recordings in {what}, not the published archive")


def _own_names(folder: Path) -> list[PurePosixPath]:
    """Recordings of the official names below the folder; else the one array there is."""
    names = names_in(folder) if folder.is_dir() else []
    return [name for name in names if _NAME.fullmatch(name.name)] or [n for n in names if n.suffix == _JOINED][:1]


CARD = DatasetCard(
    title="Free Spoken Digit Dataset",
    paper="Jackson, Souza, Flaks, Pan, Nicolas, Thite, Free Spoken Digit Dataset v1.0.9, 2018",
    summary="Digits spoken by six men, fifty times each, as segments of 200 ms of 200 log-magnitude bins every 10 ms.",
    license="CC BY-SA 4.0",
    describe=describe,
    source=find_source,
    budgets={"smoke": {}, "quick": {}, "standard": {}, "paper": {}},
    verified="on 2,000 recordings of four of its speakers; reader of the archive on one of its layout",
    files=(FILE,),
    notes=(
        "The recordings have 8,000 samples a second: nothing is above 4 kHz. Features are those of 16 kHz speech all "
        "the same, so the upper half (101 to 200, 4,040 Hz to 8 kHz) is set to 0, the mean: what the transform shows "
        "there is rounding noise and leakage of its window. Errors per feature therefore look half as large as on "
        "other speech, and a method may spend nothing on these features; frequencies next below 4 kHz fade with the "
        "filters (3.7 to 4 kHz). Resampled to 16 kHz by a polyphase filter, mean taken out and brought to one level "
        "(speakers are told by loudness and offset otherwise). Splits: takes 0-4 test (official), 5-9 val (ours), "
        "10-49 train. The speakers of the test are those of training: verification asks for the voice across unseen "
        "recordings, not for unseen voices. A recording shorter than 200 ms is one segment, filled with zeros. Part "
        "of the set, as WAV files of the official names or as one .npz (audio, offsets, digit, take, speaker, "
        "speaker_names, sample_rate), is source user."
    ),
    version=3,
)


@register_dataset(NAME, config=FSDDConfig, card=CARD)
def fsdd(config: FSDDConfig, store: DataStore) -> SpeechData:
    """Segments with factors speaker and digit (the same in all frames of a recording); splits train, val and test."""
    if config.source == "auto":
        config = replace(config, source=find_source(config, store.root).kind)
    read = partial(read_recordings, store.root / NAME, config.source == "official")
    title = f"{CARD.title}, {'official' if config.source == 'official' else 'own'} recordings"
    return speech_data(describe(config), store, read, config, title, has_seen_speakers=True, n_heard=_N_HEARD)


def read_recordings(folder: Path, is_official: bool) -> Recordings:
    """The recordings at 16 kHz and one level, ordered by split, speaker, digit and take.

    Raises:
        ValueError: one line: a file is not what it must be, or the archive lacks recordings.
    """
    found: dict[tuple[int, int, int], Recording] = {}

    def take_in(digit: int, speaker: str, take: int, samples: np.ndarray, rate: int, where: str) -> None:
        if speaker not in SPEAKERS or take >= N_TAKES or digit > 9:
            raise ValueError(f"{where}: speakers are {', '.join(SPEAKERS)} and takes 0 … {N_TAKES - 1}")
        split = 2 if take < N_TEST else 1 if take < N_TEST + N_VAL else 0
        number = SPEAKERS.index(speaker)
        key = (number, digit, take)
        if key in found:
            raise ValueError(f"{where}: {digit}_{speaker}_{take} is there twice")
        found[key] = Recording(levelled(resampled(samples, rate), where), split, (number,), [(0, digit)])

    own = [] if is_official else _own_names(folder)
    if own and own[0].suffix == _JOINED:
        _read_joined(folder / own[0], take_in)
    else:
        archive = folder / FILE.name if is_official else None
        for name, content in files_in(folder, archive, lambda name: _NAME.fullmatch(name.name) is not None):
            digit, speaker, take = re.fullmatch(_NAME, name.name).groups()  # type: ignore[union-attr]
            where = f"{NAME}/{name.name}"
            take_in(int(digit), speaker, int(take), *read_sound(content, where), where)
    if is_official and len(found) != N_RECORDINGS:
        raise ValueError(f"{NAME}/{FILE.name}: has {len(found):,} recordings, wanted {N_RECORDINGS:,}; fetch it again")
    return joined([found[key] for key in sorted(found)], NAME)


def levelled(samples: np.ndarray, where: str = NAME) -> np.ndarray:
    """16-bit samples (n,) without their mean, at a root mean square of 0.05 of full scale.

    Raises:
        ValueError: silence, or shorter than a window.
    """
    signal = samples.astype(np.float64) - samples.mean()
    power = np.sqrt(np.mean(signal**2))
    if len(samples) < WINDOW or power == 0:
        raise ValueError(f"{where}: has {len(samples)} samples at 16 kHz and power {power:g}; a window needs {WINDOW}")
    return as_samples(signal * (_LEVEL * FULL_SCALE / power))


def _read_joined(path: Path, take_in: Callable[[int, str, int, np.ndarray, int, str], None]) -> None:
    """All recordings of one .npz file: audio (n_samples,), offsets (n + 1,), digit, take and speaker (n,)."""
    audio, offsets = _array(path, "audio", np.int16), _array(path, "offsets", np.int64)
    digits, takes, speakers = (_array(path, key, np.uint8).astype(int) for key in ("digit", "take", "speaker"))
    n = len(offsets) - 1
    if not len(digits) == len(takes) == len(speakers) == n or n < 1:
        raise ValueError(f"{NAME}/{path.name}: {n} recordings, but {len(digits)} digits and {len(speakers)} speakers")
    if offsets[0] != 0 or offsets[-1] != len(audio) or (np.diff(offsets) < 1).any():
        raise ValueError(f"{NAME}/{path.name}: its offsets do not cut {len(audio):,} samples into {n} recordings")
    names = [str(name) for name in _array(path, "speaker_names", np.str_)]
    rates = _array(path, "sample_rate", np.int32)
    if speakers.max() >= len(names) or len(rates) != 1 or not 4_000 <= rates[0] <= 192_000:
        raise ValueError(f"{NAME}/{path.name}: names {len(names)} speakers at {rates[0]} samples a second")
    for i in range(n):
        where = f"{NAME}/{path.name}: recording {i}"
        samples = audio[offsets[i] : offsets[i + 1]]
        take_in(int(digits[i]), one_line(names[speakers[i]]), int(takes[i]), samples, int(rates[0]), where)


def _array(path: Path, key: str, kind: type[np.generic]) -> np.ndarray:
    """One flat array of the file, of the type it must have."""
    most = _MAX_SAMPLES if kind is np.int16 else _MAX_LABELS
    with NpzMember(path, key, -1) as member:  # all axes are flattened: the rate has none
        is_right = member.dtype.kind == "U" if kind is np.str_ else member.dtype == kind
        if not is_right or member.dtype.itemsize > 256 or member.n_items > most:
            raise ValueError(
                f"{NAME}/{path.name}: '{key}' has {member.n_items:,} values of type {one_line(member.dtype)}, "
                f"wanted at most {most:,} of {np.dtype(kind).name}"
            )
        return member.read(member.n_items)
