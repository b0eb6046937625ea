"""TIMIT (Garofolo et al., LDC93S1): read sentences of 630 speakers with phones and their times.

Split as FHVAE (Hsu, Zhang, Glass, NeurIPS 2017) and its successors use it: 462 speakers for training, 50 for
development and the 24 of the core test, without the two sentences that all speakers read (SA): 3,696, 400 and 192
utterances. The corpus cannot be had freely; where it is absent, ``bench.datasets.speech_synthesis`` makes speech up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from bench.datasets.base import DataInfo, DatasetCard, DataStore, FactorSpace, OfficialFile, Source
from bench.datasets.official import missing_file, remembered_tree_sha256
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
from bench.datasets.spectrogram import RATE
from bench.datasets.speech_synthesis import PHONES, SEXES, draw_speaker, draw_utterance
from bench.messages import listed, one_line
from bench.registry import register_dataset

NAME = "timit"
N_SPEAKERS = (462, 50, 24)  # train, dev, core test
N_SENTENCES = 8  # of one speaker: five SX and three SI
# Kaldi's egs/timit/s5/conf: the development speakers of Halberstadt (1998), and the core test
_DEV = """
faks0 fdac1 fjem0 mgwt0 mjar0 mmdb1 mmdm2 mpdf0 fcmh0 fkms0 mbdg0 mbwm0 mcsh0 fadg0 fdms0 fedw0 mgjf0 mglb0 mrtk0 mtaa0
mtdt0 mthc0 mwjg0 fnmr0 frew0 fsem0 mbns0 mmjr0 mdls0 mdlf0 mdvc0 mers0 fmah0 fdrw0 mrcs0 mrjm4 fcal1 mmwh0 fjsj0 majc0
mjsw0 mreb0 fgjd0 fjmg0 mroa0 mteb0 mjfc0 mrjr0 fmml0 mrws1
"""
_TEST = """
mdab0 mwbt0 felc0 mtas1 mwew0 fpas0 mjmp0 mlnt0 fpkt0 mlll0 mtls0 fjlm0 mbpm0 mklt0 fnlp0 mcmj0 mjdh0 fmgd0 mgrt0 mnjm0
fdhc0 mjln0 mpam0 fmld0
"""
DEV_SPEAKERS, TEST_SPEAKERS = frozenset(_DEV.split()), frozenset(_TEST.split())
# The 61 labels of the transcriptions in 39 classes (Lee & Hon, 1989); those not named here are classes of their own.
_FOLDED = {
    "ao": "aa", "ax": "ah", "ax-h": "ah", "axr": "er", "hv": "hh", "ix": "ih", "el": "l", "em": "m", "en": "n",
    "nx": "n", "eng": "ng", "zh": "sh", "ux": "uw", "pcl": "sil", "tcl": "sil", "kcl": "sil", "bcl": "sil",
    "dcl": "sil", "gcl": "sil", "h#": "sil", "pau": "sil", "epi": "sil", "q": "sil",
}  # fmt: skip
CLASSES: Mapping[str, int] = {
    **{phone: i for i, phone in enumerate(PHONES)},
    **{label: PHONES.index(phone) for label, phone in _FOLDED.items()},
}
_MAX_LINE = 1 << 8

FILE = OfficialFile(
    "timit_LDC93S1.tgz",
    by_hand="licensed by the Linguistic Data Consortium, catalog.ldc.upenn.edu/LDC93S1; save the archive as "
    "timit_LDC93S1.tgz, or copy the corpus' folders TRAIN and TEST into DATA_ROOT/timit",
)


@dataclass(frozen=True)
class TimitConfig(SpeechConfig):
    """Parameters of the data set; see ``SpeechConfig`` for those of segments.

    Attributes:
        n_speakers: training speakers of the generated source; there are a ninth as many for development (TIMIT's 50
            with 462), and 24 for the test (or as many, where these are fewer). Files are always used whole.
    """

    n_speakers: int = N_SPEAKERS[0]

    name = NAME
    sources = ("auto", "official", "generated")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 2 <= self.n_speakers <= N_SPEAKERS[0]:
            raise ValueError(f"{NAME}: n_speakers must be 2 … {N_SPEAKERS[0]}, got {self.n_speakers}")


def describe(config: TimitConfig) -> DataInfo:
    """Shapes, views and factors, without opening anything."""
    return describe_speech(
        FactorSpace(
            names=("speaker", "sex", "phone"),
            sizes=(sum(N_SPEAKERS), len(SEXES), len(PHONES)),
            kinds=("categorical", "categorical", "categorical"),
            dynamic=(False, False, True),
        )
    )


def find_source(config: TimitConfig, root: Path) -> Source:
    """The corpus, as its archive or its folders, where it is there, else generated speech.

    Raises:
        FileNotFoundError: the official corpus was asked for and is not there.
    """
    folder = root / NAME
    archive = folder / FILE.name
    if config.source != "generated":
        if archive.is_file():
            return Source("official", remembered_tree_sha256(folder, [PurePosixPath(FILE.name)]))
        names = [name for name in names_in(folder) if utterance(name) is not None] if folder.is_dir() else []
        if names:
            return Source("official", remembered_tree_sha256(folder, names))
        if config.source == "official":
            raise missing_file(NAME, FILE)
    return Source("generated", note="made-up speech with TIMIT's splits and classes; not TIMIT")


CARD = DatasetCard(
    title="TIMIT",
    paper="Garofolo et al., LDC93S1, 1993; split and features of Hsu, Zhang, Glass (FHVAE), NeurIPS 2017",
    summary="Segments of 200 ms of read sentences, 200 log-magnitude bins every 10 ms; speaker and phone are known.",
    license="TIMIT: licensed by LDC, no redistribution; generated speech: as this package",
    notice="TIMIT is licensed by the Linguistic Data Consortium: neither the files nor what is made from them may be "
    "passed on.",
    describe=describe,
    source=find_source,
    budgets={
        "smoke": {"n_speakers": 3},
        "quick": {"n_speakers": 100},
        "standard": {"n_speakers": 200},
        "paper": {"n_speakers": N_SPEAKERS[0]},
    },
    verified="reader, split and counts on a made-up corpus of the official layout; never run on TIMIT itself, which "
    "was not at hand. Generated speech against the measures of docs/datasets.md",
    files=(FILE,),
    notes=(
        "Features: 25 ms square-root Hann windows every 10 ms, 20 log10 |FFT 400| without the constant bin, each "
        "standardised with the training frames. Phones are the 39 classes of Lee & Hon at the middle of each window; "
        "the glottal stop q, which is usually left out, counts as silence. Test speakers are not in training: "
        "verification uses the whole split 'test' (192 utterances, 672 pairs of one speaker and 17,664 of two), "
        "probes the splits 'fit' and 'score', the test utterances in turn. The last segment of a development or test "
        "utterance is filled with zeros after standardising (filled with silent samples it would lie at the floor of "
        "the logarithm, -400 dB), and keeps its last label. voice_changed: one draw for each recording, the factor "
        "rounded to 1 %. Differences from the authors: the deviation of a feature is at least 1 dB (never so on "
        "speech at 16 kHz); a window that ends with a recording's very last sample counts. Generated: 462, 50 and 24 "
        "speakers (fewer for the smaller budgets) with 8 sentences each; no sentence is said twice. Not comparable "
        "with published tables."
    ),
    version=3,
)


@register_dataset(NAME, config=TimitConfig, card=CARD)
def timit(config: TimitConfig, store: DataStore) -> SpeechData:
    """Segments with factors speaker, sex (0 female, 1 male) and phone; splits train, val, test, fit and score."""
    if config.source == "auto":
        config = replace(config, source=find_source(config, store.root).kind)
    if config.source == "official":
        # generated speech alone depends on the number of speakers
        store = store.without("n_speakers")
        title = f"{CARD.title}, official recordings"
        return speech_data(
            describe(config), store, lambda: read_corpus(store.root / NAME), config, title, has_seen_speakers=False
        )
    title = f"Made-up speech (not TIMIT), {config.n_speakers} training speakers"
    return speech_data(
        describe(config), store, lambda: generate(config.n_speakers), config, title, has_seen_speakers=False
    )


def counts(n_speakers: int) -> tuple[int, int, int]:
    """Speakers of the generated splits: TIMIT's 462, 50 and 24, or fewer of each."""
    n_dev = max(2, round(n_speakers * N_SPEAKERS[1] / N_SPEAKERS[0]))
    return n_speakers, n_dev, min(n_speakers, N_SPEAKERS[2])


def generate(n_speakers: int) -> Recordings:
    """Made-up speech of so many training speakers, fewer for the other splits, 8 utterances each.

    Every speaker has a generator of his own, so that more speakers leave the others as they were.
    """
    recordings, number = [], 0
    for split, n in enumerate(counts(n_speakers)):
        for i in range(n):
            rng = np.random.default_rng((split, i))
            speaker = draw_speaker(rng)
            for _ in range(N_SENTENCES):
                samples, starts, phones = draw_utterance(speaker, rng)
                content = list(zip(starts.tolist(), phones.tolist(), strict=True))
                recordings.append(Recording(samples, split, (number, speaker.sex), content))
            number += 1
    return joined(recordings, NAME)


@dataclass(frozen=True)
class Utterance:
    """What the name of a file of the corpus says: ``…/TRAIN/DR1/FCJF0/SX127.WAV``."""

    part: str
    speaker: str
    sentence: str
    ending: str

    @property
    def split(self) -> int | None:
        """0 train, 1 dev, 2 core test; None for the other test speakers and for the sentences of all speakers (SA)."""
        if self.sentence.startswith("sa"):
            return None
        if self.part == "train":
            return 0
        return 1 if self.speaker in DEV_SPEAKERS else 2 if self.speaker in TEST_SPEAKERS else None


def utterance(name: PurePosixPath) -> Utterance | None:
    """What the name of a file says, in capitals or not; None where it is no recording and no transcription."""
    parts = [part.lower() for part in name.parts[-4:]]
    if len(parts) < 4 or parts[0] not in ("train", "test") or parts[1] not in {f"dr{i}" for i in range(1, 9)}:
        return None
    sentence, _, ending = parts[3].partition(".")
    if ending not in ("wav", "phn") or sentence[:2] not in ("sa", "si", "sx") or parts[2][:1] not in ("f", "m"):
        return None
    return Utterance(parts[0], parts[2], sentence, ending)


def read_corpus(folder: Path) -> Recordings:
    """The utterances of the three splits, speakers in the order of their names within each split.

    Raises:
        ValueError: one line: speakers or sentences are missing, or a file is not what it must be.
    """
    archive = folder / FILE.name
    files: dict[tuple[int, str, str], dict[str, bytes]] = {}

    def is_wanted(name: PurePosixPath) -> bool:
        said = utterance(name)
        return said is not None and said.split is not None

    for name, data in files_in(folder, archive if archive.is_file() else None, is_wanted):
        said = utterance(name)
        if said is not None and said.split is not None:
            files.setdefault((said.split, said.speaker, said.sentence), {})[said.ending] = data
    _check_counts(files)
    speakers = {speaker: i for i, (_, speaker) in enumerate(sorted({key[:2] for key in files}))}
    recordings = []
    for (split, speaker, sentence), found in sorted(files.items()):
        where = f"{NAME}: {speaker}/{sentence}"
        samples, rate = read_sound(found["wav"], f"{where}.wav")
        if rate != RATE:
            raise ValueError(f"{where}.wav: has {rate} samples a second, TIMIT has {RATE}")
        phones = read_phones(found["phn"], f"{where}.phn", len(samples))
        labels = speakers[speaker], int(speaker.startswith("m"))
        recordings.append(Recording(samples, split, labels, phones))
    return joined(recordings, NAME)


def _check_counts(files: Mapping[tuple[int, str, str], Mapping[str, bytes]]) -> None:
    """Every speaker with every sentence, each with its transcription: part of the corpus is not taken for it."""
    for key, found in files.items():
        if missing := {"wav", "phn"} - found.keys():
            raise ValueError(f"{NAME}: {one_line('/'.join(key[1:]))} has no .{listed(missing)} file")
    for split, (wanted, part) in enumerate(zip(N_SPEAKERS, ("training", "development", "core test"), strict=True)):
        counts: dict[str, int] = {}
        for number, speaker, _ in files:
            if number == split:
                counts[speaker] = counts.get(speaker, 0) + 1
        if len(counts) != wanted:
            raise ValueError(f"{NAME}: {len(counts)} {part} speakers are in DATA_ROOT/{NAME}, the corpus has {wanted}")
        odd = sorted(speaker for speaker, n in counts.items() if n != N_SENTENCES)
        if odd:
            raise ValueError(
                f"{NAME}: {one_line(odd[0])} has {counts[odd[0]]} sentences besides SA, each speaker has {N_SENTENCES}"
            )


def read_phones(content: bytes, where: str, n_samples: int) -> list[tuple[int, int]]:
    """(first sample, class) of the lines ``START END PHONE``; what comes before the first is silence.

    Raises:
        ValueError: another form, an unknown phone, or pieces that are not in order.
    """
    pieces, last = [(0, PHONES.index("sil"))], 0
    for number, line in enumerate(content.decode("latin-1").splitlines(), 1):
        words = line[:_MAX_LINE].split()
        if not words:
            continue
        is_right = len(words) == 3 and all(word.isascii() and word.isdigit() and len(word) < 12 for word in words[:2])
        if not is_right or words[2].lower() not in CLASSES:
            raise ValueError(f"{where}, line {number}: wanted START END PHONE, found '{one_line(line)}'")
        start, end = int(words[0]), int(words[1])
        if not last <= start < end or start >= n_samples:
            raise ValueError(
                f"{where}, line {number}: {start} to {end} does not follow {last} within {n_samples} samples"
            )
        pieces.append((start, CLASSES[words[2].lower()]))
        last = end
    if last == 0:
        raise ValueError(f"{where}: has no phones")
    return pieces
