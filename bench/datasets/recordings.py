"""Recorded speech as segments of 200 ms: what the speech corpora share.

A corpus is read once into 16-bit samples at 16 kHz with their labels; spectra are made from these and kept as one long
row of frames, so that a segment is a place in it. Segments follow FHVAE (Hsu, Zhang, Glass, NeurIPS 2017): 20 frames; a
training recording of L frames has (L - 20) // shift + 1 of them, beginning anywhere and drawn anew for every batch.
Recordings of other splits are cut one segment after the other, the last one filled with zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import ClassVar, cast

import numpy as np
import torch

from bench.datasets.base import DataInfo, DataStore, FactorSpace
from bench.datasets.containers import Draw, SequenceData, as_float, to_device
from bench.datasets.grid import check_choice
from bench.datasets.spectrogram import N_FEATURES, SHIFT, WINDOW, count_frames, log_spectra, volume, windows_at
from bench.datasets.voice_change import change_voice

N_FRAMES = 20
SPLITS = ("train", "val", "test")
EXTRAS = {"voice_changed": (N_FRAMES, N_FEATURES), "volume": (N_FRAMES,), "recording": (), "n_segments": ()}
_LEAST_STD = 1.0  # dB: a bin that hardly changes (above the band of a resampled corpus) is not blown up to variance 1
_SEED = 0  # of what belongs to the data: the changed voices are the same for all runs
_PROBED = 2  # every second recording of a split without known speakers is for fitting probes


@dataclass(frozen=True)
class SpeechConfig:
    """Parameters of every speech corpus; each data set's own config extends it.

    Attributes:
        starts: where training segments begin: "random" (anywhere, anew for every batch, as the authors do) or "fixed"
            (every ``shift`` frames).
        shift: frames (10 ms) from one training segment to the next; with random starts it sets their number alone.
        source: "auto", or what the recordings must be.
    """

    starts: str = "random"
    shift: int = 20
    source: str = "auto"

    name: ClassVar[str]
    sources: ClassVar[tuple[str, ...]]

    def __post_init__(self) -> None:
        check_choice(self.name, "starts", self.starts, ("random", "fixed"))
        check_choice(self.name, "source", self.source, self.sources)
        if self.shift < 1:
            raise ValueError(f"{self.name}: shift must be at least 1 frame, got {self.shift}")


@dataclass(frozen=True)
class Recordings:
    """A corpus: recordings one after the other, training recordings first.

    Attributes:
        samples: (n_samples,) int16 at 16 kHz.
        offsets: (n + 1,) int64: recording i is ``samples[offsets[i] : offsets[i + 1]]``.
        splits: (n,) int64: 0 train, 1 val, 2 test, in ascending order.
        static: (n, n_static) int64: the factors that hold for the whole recording, the speaker first.
        marks: (n_marks,) int64: the samples at which a content label begins, in ascending order.
        contents: (n_marks,) int64: the labels; both are empty where nothing is known of the content.
    """

    samples: np.ndarray
    offsets: np.ndarray
    splits: np.ndarray
    static: np.ndarray
    marks: np.ndarray
    contents: np.ndarray

    @property
    def n_frames(self) -> np.ndarray:
        """Frames of each recording, (n,)."""
        return count_frames(np.diff(self.offsets))


@dataclass(frozen=True)
class Recording:
    """One recording before it is joined to the others.

    Attributes:
        samples: (n_samples,) int16 at 16 kHz.
        split: 0 train, 1 val, 2 test.
        static: labels of the whole recording, the speaker first.
        content: (first sample, label) of each piece, in order; empty where nothing is known.
    """

    samples: np.ndarray
    split: int
    static: tuple[int, ...]
    content: Sequence[tuple[int, int]] = ()


def joined(recordings: Sequence[Recording], name: str) -> Recordings:
    """The recordings as one corpus; within a split they keep their order.

    Raises:
        ValueError: one is shorter than a window of 25 ms, or there is none for training or none for the test.
    """
    ordered = sorted(recordings, key=lambda one: one.split)
    for split in (0, 2):
        if not any(one.split == split for one in ordered):
            raise ValueError(f"{name}: no recordings for the split '{SPLITS[split]}'")
    if (shortest := min(len(one.samples) for one in ordered)) < WINDOW:
        raise ValueError(f"{name}: a recording has {shortest} samples at 16 kHz, a window needs {WINDOW}")
    offsets = np.cumsum([0, *(len(one.samples) for one in ordered)])
    marks = [
        (offset + first, label) for offset, one in zip(offsets, ordered, strict=False) for first, label in one.content
    ]
    return Recordings(
        np.concatenate([one.samples for one in ordered]),
        offsets.astype(np.int64),
        np.array([one.split for one in ordered], np.int64),
        np.array([one.static for one in ordered], np.int64),
        np.array([first for first, _ in marks], np.int64),
        np.array([label for _, label in marks], np.int64),
    )


def kept(store: DataStore, read: Callable[[], Recordings]) -> Recordings:
    """The corpus from the cache; ``read`` is called where something of it is missing."""
    content = cache(read)

    def array(name: str) -> np.ndarray:
        return store.cached(name, lambda: getattr(content(), name))

    return Recordings(**{field.name: array(field.name) for field in fields(Recordings)})


def describe_speech(factors: FactorSpace) -> DataInfo:
    """Segments of 20 frames with 200 features; the speaker is what verification asks for."""
    return DataInfo(
        (N_FEATURES,), ("sequences", "images"), factors, n_frames=N_FRAMES, extras=EXTRAS, identity="speaker"
    )


def speech_data(
    info: DataInfo,
    store: DataStore,
    read: Callable[[], Recordings],
    config: SpeechConfig,
    title: str,
    *,
    has_seen_speakers: bool,
    n_heard: int = N_FEATURES,
) -> SpeechData:
    """The container of a corpus; samples, spectra and changed voices are kept, for all ways to cut them.

    Args:
        has_seen_speakers: the test recordings are of the training speakers.
        n_heard: features within the band of the recordings; those above it are 0.
    """
    store = store.without("starts", "shift")
    recordings = kept(store, read)
    layout = Layout(recordings.n_frames)

    def raw(samples: np.ndarray, rows: slice) -> tuple[np.ndarray, np.ndarray]:
        """Windows of the rows that are sound, and which rows these are."""
        where = layout.sample_starts(recordings.offsets, rows)
        return windows_at(samples, where[where >= 0]), where >= 0

    scale = store.cached("scale", lambda: _scale(recordings, layout, raw))

    def spectra(samples: np.ndarray, rows: slice) -> np.ndarray:
        windows, is_sound = raw(samples, rows)
        frames = np.zeros((len(is_sound), N_FEATURES), np.float32)
        frames[is_sound] = (log_spectra(windows) - scale[0]) / scale[1]
        frames[:, n_heard:] = 0
        return frames

    def volumes() -> np.ndarray:
        found = np.zeros(layout.n_rows, np.float32)
        for rows in _pieces(layout.n_rows):
            windows, is_sound = raw(recordings.samples, rows)
            found[rows][is_sound] = volume(windows)
        return found

    def other_voices() -> np.ndarray:
        rng = np.random.default_rng(_SEED)
        voices = store.cached("voices", lambda: change_voices(recordings, rng))
        return store.cached_rows("voice_changed", layout.n_rows, lambda rows: spectra(voices, rows))

    frames = store.cached_rows("frames", layout.n_rows, lambda rows: spectra(recordings.samples, rows))
    makers = {"voice_changed": other_voices, "volume": lambda: store.cached("volume", volumes)}
    data_class = SpeechData if has_seen_speakers else NewSpeakerData
    return data_class(info, frames, recordings, layout, config, makers, title)


def _pieces(n_rows: int, size: int = 4096) -> Iterator[slice]:
    for start in range(0, n_rows, size):
        yield slice(start, min(start + size, n_rows))


def _scale(
    recordings: Recordings,
    layout: Layout,
    raw: Callable[[np.ndarray, slice], tuple[np.ndarray, np.ndarray]],
) -> np.ndarray:
    """Mean and standard deviation of each feature over the frames of the training recordings, (2, 200) float32."""
    n, total, squares = 0, np.zeros(N_FEATURES), np.zeros(N_FEATURES)
    n_train = int((recordings.splits == 0).sum())
    for rows in _pieces(int(layout.first[n_train])):
        spectra = log_spectra(raw(recordings.samples, rows)[0]).astype(np.float64)
        n, total, squares = n + len(spectra), total + spectra.sum(0), squares + (spectra**2).sum(0)
    mean = total / n
    std = np.sqrt(np.maximum(squares / n - mean**2, 0))
    return np.stack([mean, np.maximum(std, _LEAST_STD)]).astype(np.float32)


def change_voices(recordings: Recordings, rng: np.random.Generator) -> np.ndarray:
    """The samples of every recording in another voice, each as long as before, float32."""
    voices = np.empty(len(recordings.samples), np.float32)
    for start, stop in zip(recordings.offsets[:-1], recordings.offsets[1:], strict=True):
        voices[start:stop] = change_voice(recordings.samples[start:stop], rng)
    return voices


class Layout:
    """Where the frames of each recording lie in the long row: each filled with zeros to a whole number of segments.

    Attributes:
        n_frames: (n,) frames of each recording.
        first: (n + 1,) row of its first frame; the last entry is the number of rows, also ``n_rows``.
    """

    def __init__(self, n_frames: np.ndarray) -> None:
        self.n_frames = n_frames
        self.first = np.concatenate([[0], np.cumsum(-(-n_frames // N_FRAMES) * N_FRAMES)])
        self.n_rows = int(self.first[-1])

    def sample_starts(self, offsets: np.ndarray, rows: slice) -> np.ndarray:
        """The sample at which the window of each row begins; -1 for rows that fill up."""
        row = np.arange(rows.start, rows.stop)
        recording = np.searchsorted(self.first, row, side="right") - 1
        frame = row - self.first[recording]
        return np.where(frame < self.n_frames[recording], offsets[recording] + SHIFT * frame, -1)

    def segments(self, recording: int, is_training: bool, shift: int) -> np.ndarray:
        """Rows at which the segments of a recording begin."""
        n_frames = int(self.n_frames[recording])
        last = n_frames - N_FRAMES if is_training else n_frames - 1
        return self.first[recording] + np.arange(0, max(last, 0) + 1, shift if is_training else N_FRAMES)


class Segments:
    """Pieces of equal length of a long array of rows, as an array (n_segments, length, *row) that is never made.

    Args:
        rows: (n_rows, *row).
        starts: (n_segments,) first row of each.
    """

    def __init__(self, rows: np.ndarray, starts: np.ndarray, length: int = N_FRAMES) -> None:
        self._rows, self._starts, self._length = rows, starts, length
        self.shape, self.dtype = (len(starts), length, *rows.shape[1:]), rows.dtype
        self.ndim = len(self.shape)

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, index: np.ndarray | tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """Whole segments of an array of numbers, or one row of each for (numbers, rows within them)."""
        if isinstance(index, tuple):
            return self._rows[self._starts[index[0]] + index[1]]
        return self.at(self._starts[index])

    def at(self, starts: np.ndarray) -> np.ndarray:
        """Segments (n, length, *row) that begin at any rows (n,)."""
        return self._rows[starts[:, None] + np.arange(self._length)]


class SpeechData(SequenceData):
    """Segments of recordings. With random starts a training batch takes them from anywhere in their recording.

    Training recordings are rows 0 … n - 1 of ``groups`` and of the extra ``recording``; those of other splits follow.

    Args:
        frames: (n_rows, 200) float32, laid out as ``layout`` says.
        makers: the extras that hold for frames: name -> function that gives an array of n_rows rows.
    """

    def __init__(
        self,
        info: DataInfo,
        frames: np.ndarray,
        recordings: Recordings,
        layout: Layout,
        config: SpeechConfig,
        makers: Mapping[str, Callable[[], np.ndarray]],
        title: str = "",
    ) -> None:
        cut = [layout.segments(i, split == 0, config.shift) for i, split in enumerate(recordings.splits)]
        n_segments = np.array([len(starts) for starts in cut], np.int64)
        starts = np.concatenate(cut)
        groups = np.repeat(np.arange(len(cut)), n_segments)
        self.segments = Segments(frames, starts)
        self._is_random = config.starts == "random"
        self._begin, self._room = layout.first[:-1], np.maximum(layout.n_frames - N_FRAMES, 0) + 1

        def cut_up(make: Callable[[], np.ndarray]) -> Callable[[], np.ndarray]:
            return lambda: cast(np.ndarray, Segments(make(), starts))

        super().__init__(
            info,
            cast(np.ndarray, self.segments),
            _factors(recordings, layout, starts, groups),
            self._cut(recordings, groups),
            groups,
            title,
            {
                **{name: cut_up(make) for name, make in makers.items()},
                "recording": lambda: groups,
                "n_segments": lambda: n_segments[groups],
            },
            n_recordings=int((recordings.splits == 0).sum()),
        )

    def _cut(self, recordings: Recordings, groups: np.ndarray) -> dict[str, np.ndarray]:
        """Segments of each split that has any."""
        split = recordings.splits[groups]
        return {name: rows for i, name in enumerate(SPLITS) if len(rows := np.flatnonzero(split == i))}

    def _draws(
        self,
        view: str,
        batch_size: int,
        rng: np.random.Generator,
        split: str,
        device: torch.device,
        extras: tuple[str, ...],
    ) -> Iterator[Draw]:
        if not (self._is_random and view == "sequences" and split == "train"):
            yield from super()._draws(view, batch_size, rng, split, device, extras)
        train = self._rows["train"]
        while True:
            index = rng.integers(len(train), size=batch_size)
            recording = self.groups[train[index]]
            starts = self._begin[recording] + rng.integers(self._room[recording])
            beside = {name: as_float(self._beside(name, index, starts), device) for name in extras}
            yield Draw(
                as_float(self.segments.at(starts), device), to_device(torch.from_numpy(index), device), extras=beside
            )

    def _beside(self, name: str, index: np.ndarray, starts: np.ndarray) -> np.ndarray:
        """Rows of an extra for training segments that begin at ``starts``."""
        self._extra(name, index[:0], "sequences", "train")  # made where it was not yet
        whole = self._extras[name]
        return whole.at(starts) if isinstance(whole, Segments) else whole[self._rows["train"][index]]


class NewSpeakerData(SpeechData):
    """Speech whose test speakers are not heard in training.

    A probe that is fitted on training speakers knows none of them. So metrics with probes fit on the splits ``fit`` and
    ``score``: the test recordings in turn, neither seen in training, with the same speakers on both sides.
    """

    evaluation_splits = ("fit", "score")

    def _cut(self, recordings: Recordings, groups: np.ndarray) -> dict[str, np.ndarray]:
        splits = super()._cut(recordings, groups)
        tested = np.flatnonzero(recordings.splits == 2)
        speaker = recordings.static[tested, 0]
        turn = np.zeros(len(recordings.splits), np.int64)
        for one in np.unique(speaker):
            of_one = tested[speaker == one]
            turn[of_one] = np.arange(len(of_one)) % _PROBED
        rows = splits["test"]
        return {**splits, "fit": rows[turn[groups[rows]] == 0], "score": rows[turn[groups[rows]] == 1]}


def _factors(recordings: Recordings, layout: Layout, starts: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """(n_segments, 20, n_factors) int64: the static ones, then the content at the middle of each window, if known.

    Rows that fill up a recording keep its last label.
    """
    static = np.repeat(recordings.static[groups][:, None], N_FRAMES, axis=1)
    if not len(recordings.marks):
        return static
    rows = starts[:, None] + np.arange(N_FRAMES)
    frame = np.minimum(rows - layout.first[groups][:, None], layout.n_frames[groups][:, None] - 1)
    middle = recordings.offsets[groups][:, None] + SHIFT * frame + WINDOW // 2
    content = recordings.contents[np.searchsorted(recordings.marks, middle, side="right") - 1]
    return np.concatenate([static, content[..., None]], axis=-1)


def count_trials(speakers: np.ndarray) -> tuple[int, int]:
    """Unordered pairs of recordings (n,) of the same speaker, and of different ones."""
    counts = np.unique(speakers, return_counts=True)[1]
    same = int((counts * (counts - 1) // 2).sum())
    return same, len(speakers) * (len(speakers) - 1) // 2 - same
