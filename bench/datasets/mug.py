"""MUG (Aifanti, Papachristou and Delopoulos, 2010): people who pose six expressions; where absent, drawn faces.

The recordings are given to researchers who sign a licence. Clips as the code of R-WAE's successors cuts them (DBSE,
DiffSDA): 15 frames, every second one where the recording is long enough. The generated source is drawn by
``bench.datasets.face_renderer``.
"""

from __future__ import annotations

import re
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
import PIL
from PIL import Image

from bench.datasets.base import DataInfo, DatasetCard, DataStore, FactorSpace, Source
from bench.datasets.containers import SequenceData
from bench.datasets.face_renderer import EXPRESSIONS, N_PEOPLE, SIDE, draw_clips, render
from bench.datasets.flow_cells import N_CELLS, flow_cells
from bench.datasets.grid import check_choice
from bench.datasets.official import remembered_tree_sha256
from bench.datasets.sound_files import names_in
from bench.messages import one_line
from bench.registry import register_dataset

NAME = "mug"
N_SEQUENCES, N_FRAMES, STRIDE = 3_429, 15, 2
FLOW_LAG = 5  # frames; features of a face move by a tenth of a pixel from one frame to the next
N_LEVELS = 5  # of how far a drawn expression has gone
SPLITS = "train", "val", "test"
TEST_SHARE, VAL_SHARE = 0.25, 0.1  # of all sequences; of those that are left

_SEED = 2_010  # of splits and clips; part of the data
_CHUNK = 32  # sequences made at once
_MAX_BYTES, _MAX_SIDE = 1 << 22, 4_096
BY_HAND = (
    "sign the licence of the Multimedia Understanding Group (mug.ee.auth.gr/fed); crop the faces of the six "
    f"expressions and save their frames as DATA_ROOT/{NAME}/<split>/<0 … 5>/<subject>_take<number>/<frame>.jpg, where "
    f"0 … 5 are {', '.join(EXPRESSIONS)} and <split> is train, val or test, or is left out. They are read from there."
)


@dataclass(frozen=True)
class MUGConfig:
    """Parameters of the data set.

    Attributes:
        n_sequences: of the generated source, all splits together; recordings are always used whole.
        source: "auto", or what the faces must be.
    """

    n_sequences: int = N_SEQUENCES
    source: str = "auto"

    def __post_init__(self) -> None:
        check_choice(NAME, "source", self.source, ("auto", "official", "generated"))
        if self.n_sequences < N_PEOPLE:
            raise ValueError(f"{NAME}: n_sequences must be at least {N_PEOPLE}, got {self.n_sequences}")


def describe(config: MUGConfig) -> DataInfo:
    """Shapes, views and factors, without opening anything; of drawn faces it is known how far the expression is."""
    is_drawn = config.source == "generated"
    factors = FactorSpace(
        names=("expression", "identity", *is_drawn * ("intensity",)),
        sizes=(len(EXPRESSIONS), N_PEOPLE, *is_drawn * (N_LEVELS,)),
        kinds=("categorical", "categorical", *is_drawn * ("ordinal",)),  # type: ignore[arg-type]
        dynamic=(True, False, *is_drawn * (True,)),
    )
    return DataInfo(
        (3, SIDE, SIDE),
        ("sequences", "images"),
        factors,
        n_frames=N_FRAMES,
        extras={"flow_cells": (N_FRAMES, 2, N_CELLS)},
        identity="identity",
        judged=("expression", "identity"),
    )


def find_source(config: MUGConfig, root: Path) -> Source:
    """The recordings where they are there, else drawn faces.

    Raises:
        FileNotFoundError: the recordings were asked for and are not there.
    """
    if config.source != "generated":
        names = _pictures(root / NAME)
        if names:
            return Source("official", remembered_tree_sha256(root / NAME, names))
        if config.source == "official":
            raise FileNotFoundError(
                f"{NAME}: no recordings in DATA_ROOT/{NAME}. They must be obtained by hand: `bench data fetch {NAME}` "
                "says how."
            )
    return Source("generated", note="drawn faces; not MUG")


CARD = DatasetCard(
    title="MUG",
    paper="Aifanti, Papachristou, Delopoulos, The MUG Facial Expression Database, WIAMIS 2010",
    summary="52 people who go from a neutral face to one of six expressions and back: 3,429 sequences of 15 frames.",
    license="MUG: signed agreement, no redistribution; generated faces: as this package",
    notice="MUG is licensed to persons. Pictures of people: neither the files nor frames made from them may be passed "
    "on, and nothing of them may be put where others can read it.",
    describe=describe,
    source=find_source,
    budgets={
        "smoke": {"n_sequences": 64},
        "quick": {"n_sequences": 1_560},
        "standard": {},
        "paper": {},
    },
    verified="reader, clips and split on a made-up folder of the layout; never run on MUG itself, which was not at "
    "hand. Generated faces against the measures of docs/datasets.md",
    by_hand=BY_HAND,
    notes=(
        "Judges read expression (dynamic) and identity; both hold for the whole sequence. Faces must be cropped "
        "beforehand (published: by a Haar cascade); a picture that is not 64 × 64 loses what makes it longer than "
        "wide and is resized with Pillow's bilinear filter. Recordings of more than 30 frames give 15, every second "
        "one from a random start, those of 15 to 30 give 15 in a row, shorter ones are left out. The released code "
        "draws the start anew at every access; here each recording gives one clip, the same for all runs. Without "
        "folders of splits a quarter of the sequences are the test set; a tenth of the training sequences are val. "
        "All splits show the same people. The published list of the split is not known, and two published results "
        "leave out some 60 'bad' test sequences: none is left out here. Pixels are in [0, 1]; some works use [-1, 1]. "
        "Generated: faces drawn from 25 numbers per person, six offsets per expression, ramps of 50 to 160 frames; "
        "intensity is how far the expression has gone, in fifths of its largest possible extent. flow_cells are "
        "measured from five frames before, or from the first one."
    ),
    version=2,
)


@register_dataset(NAME, config=MUGConfig, card=CARD)
def mug(config: MUGConfig, store: DataStore) -> SequenceData:
    """Sequences (15, 3, 64, 64) uint8 with the splits train, val and test."""
    is_official = find_source(config, store.root).kind == "official"
    if is_official:
        recordings = find_recordings(store.root / NAME)
        factors, given = _labels(recordings), [recording.split for recording in recordings]
        read = partial(_read_clips, store.root / NAME, recordings)
        frames = store.cached_rows(f"frames-pillow-{PIL.__version__}", len(recordings), read, _CHUNK)
    else:
        clips = draw_clips(range(config.n_sequences), N_FRAMES, STRIDE)
        level = np.minimum((N_LEVELS * clips.amount).astype(np.int64), N_LEVELS - 1)
        constant = np.stack([clips.expression, clips.person], axis=-1)[:, None].repeat(N_FRAMES, axis=1)
        factors, given = np.concatenate([constant, level[..., None]], axis=-1), [""] * config.n_sequences
        frames = store.cached_rows("frames", config.n_sequences, _draw, _CHUNK)
    flow = lambda: store.cached_rows("flow-cells", len(frames), lambda rows: flow_cells(frames[rows], FLOW_LAG), 64)  # noqa: E731
    title = f"{CARD.title}, {'recordings' if is_official else 'drawn faces (not MUG)'}"
    splits = split_sequences(given)
    return SequenceData(describe(config), frames, factors, splits, title=title, extras={"flow_cells": flow})


def _draw(rows: slice) -> np.ndarray:
    clips = draw_clips(range(rows.start, rows.stop), N_FRAMES, STRIDE)
    return render(clips, np.random.default_rng((_SEED, 2, rows.start)))


def split_sequences(given: Sequence[str]) -> dict[str, np.ndarray]:
    """Rows of train, val and test, from the split that each sequence is given; "" leaves it to chance."""
    names, rng = np.array(given), np.random.default_rng((_SEED, 3))
    free = rng.permutation(np.flatnonzero(names == ""))
    n_test = round(TEST_SHARE * len(free))
    test = np.concatenate([np.flatnonzero(names == "test"), free[:n_test]])
    train = np.concatenate([np.flatnonzero(names == "train"), free[n_test:]])
    val = np.flatnonzero(names == "val")
    if not len(val):
        train = rng.permutation(train)
        val, train = np.split(train, [round(VAL_SHARE * len(train))])
    splits = {"train": np.sort(train), "val": np.sort(val), "test": np.sort(test)}
    return {name: rows for name, rows in splits.items() if len(rows)}


@dataclass(frozen=True)
class Recording:
    """One sequence of the folder.

    Attributes:
        split: "train", "val" or "test", or "" where the folder names none.
        expression: 0 … 5.
        subject: the folder's name before ``_take``.
        frames: names of the pictures of its clip, in order.
    """

    split: str
    expression: int
    subject: str
    frames: tuple[PurePosixPath, ...]


def _pictures(folder: Path) -> list[PurePosixPath]:
    """Pictures below the folder that are where frames of a sequence would be."""
    if not folder.is_dir():
        return []
    named = (name for name in names_in(folder) if name.suffix.lower() in (".jpg", ".jpeg"))
    return [name for name in named if len(name.parts) in (3, 4) and re.fullmatch("[0-5]", name.parts[-3])]


def find_recordings(folder: Path) -> list[Recording]:
    """The sequences of the folder with at least 15 frames, in the order of their names.

    Raises:
        ValueError: a folder that names no subject or split, more than 52 subjects, or no sequence for training.
    """
    frames: dict[PurePosixPath, list[PurePosixPath]] = {}
    for name in _pictures(folder):
        frames.setdefault(name.parent, []).append(name)
    recordings = []
    for place, pictures in sorted(frames.items()):
        where = f"{NAME}/{one_line(place, 80)}"
        split = place.parts[0] if len(place.parts) == 3 else ""
        subject = re.fullmatch(r"(.+?)_?take_?\w+", place.name, re.IGNORECASE)
        if subject is None:
            raise ValueError(f"{where}: names no subject, wanted a folder <subject>_take<number>")
        if split not in ("", *SPLITS):
            raise ValueError(f"{where}: '{split}' is no split, wanted train, val or test")
        if len(pictures) >= N_FRAMES:
            chosen = clip_frames(len(pictures), zlib.crc32(str(place).encode()))
            ordered = sorted(pictures, key=_numbers)
            clip = tuple(ordered[i] for i in chosen)
            recordings.append(Recording(split, int(place.parts[-2]), subject.group(1), clip))
    n_people = len({recording.subject for recording in recordings})
    if n_people > N_PEOPLE:
        raise ValueError(f"{NAME}: its folders name {n_people} subjects, MUG has {N_PEOPLE}")
    if "train" not in split_sequences([recording.split for recording in recordings]):
        raise ValueError(f"{NAME}: DATA_ROOT/{NAME} has no training sequence of at least {N_FRAMES} frames")
    return recordings


def clip_frames(n_frames: int, seed: int) -> np.ndarray:
    """Which 15 frames of a recording are taken: every second one from a random start where there are more than 30."""
    stride = STRIDE if n_frames > STRIDE * N_FRAMES else 1
    start = np.random.default_rng((_SEED, seed)).integers(n_frames - stride * N_FRAMES + 1)
    return start + stride * np.arange(N_FRAMES)


def _numbers(name: PurePosixPath) -> tuple[tuple[int, ...], str]:
    """Frame 10 comes after frame 9, however they are written."""
    return tuple(int(number) for number in re.findall(r"\d{1,18}", name.name)), name.name


def _labels(recordings: Sequence[Recording]) -> np.ndarray:
    """Factors (n, 15, 2) int64: expression, and the subject's place among the sorted names."""
    subjects = sorted({recording.subject for recording in recordings})
    rows = [(recording.expression, subjects.index(recording.subject)) for recording in recordings]
    return np.array(rows, np.int64)[:, None].repeat(N_FRAMES, axis=1)


def _read_clips(folder: Path, recordings: Sequence[Recording], rows: slice) -> np.ndarray:
    clips = [[read_face(folder / name, f"{NAME}/{name}") for name in clip.frames] for clip in recordings[rows]]
    return np.array(clips).transpose(0, 1, 4, 2, 3)


def read_face(path: Path, where: str) -> np.ndarray:
    """A cropped photograph as (64, 64, 3) uint8: its middle square, resized where it is of another size.

    Raises:
        ValueError: no JPEG picture, or too large to be one of the set; messages name ``where``.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ValueError(f"is larger than {_MAX_BYTES:,} bytes")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pictures somewhat too large: refused below
            with Image.open(path, formats=("JPEG",)) as picture:
                if max(picture.size) > _MAX_SIDE:  # known from the header, before anything is decoded
                    raise ValueError(f"is {picture.size[0]} × {picture.size[1]}")
                face = picture.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{one_line(where, 120)}: no photograph ({one_line(error, 150)})") from None
    if face.size != (SIDE, SIDE):
        side = min(face.size)
        left, top = (face.width - side) // 2, (face.height - side) // 2
        face = face.crop((left, top, left + side, top + side)).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.asarray(face)
