"""KITTI Masks (Klindt et al., ICLR 2021): masks of pedestrians in driving videos, as pairs a few frames apart.

The published file is a pickle of the masks and of their centres and areas. It is taken apart without being run (see
``bench.datasets.array_pickle``), checked, and kept as packed bits. Where it is absent, walking figures whose motion
follows the published fits are drawn (``bench.datasets.walkers``). Loader and sampling as the authors'
``scripts/dataset.py``.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from bench.datasets.array_pickle import load_arrays
from bench.datasets.base import DataInfo, DatasetCard, DataStore, FactorSpace, OfficialFile, Source
from bench.datasets.containers import Container, Labelled
from bench.datasets.grid import check_choice
from bench.datasets.official import official_source
from bench.datasets.walkers import SIDE, generate_masks, measure
from bench.registry import register_dataset

NAME = "kitti_masks"
FILE = OfficialFile(
    "kitti_peds_v2.pickle",
    addresses=("https://zenodo.org/record/3931823/files/kitti_peds_v2.pickle?download=1",),
)
OFFICIAL_PAIRS = 82_506  # consecutive ones, in the authors' notebook
_BLOCK = 16  # the authors' scoring draws without replacement within batches of this size


@dataclass(frozen=True)
class KittiMasksConfig:
    """Parameters of the data set.

    Attributes:
        max_delta_t: largest gap of a pair in frames; 1 and 5 are the published settings.
        source: "auto", or what the masks must be.
        n_sequences: tracks of the generated source; an official file is always used whole.
    """

    max_delta_t: int = 5
    source: str = "auto"
    n_sequences: int = 3_100

    def __post_init__(self) -> None:
        check_choice(NAME, "source", self.source, ("auto", "official", "generated"))
        if self.max_delta_t < 1:
            raise ValueError(f"{NAME}: max_delta_t must be at least 1 frame, got {self.max_delta_t}")
        if self.n_sequences < 1:
            raise ValueError(f"{NAME}: n_sequences must be at least 1, got {self.n_sequences}")


def describe(config: KittiMasksConfig) -> DataInfo:
    """Shapes, views and factors, without opening anything."""
    factors = FactorSpace(
        names=("row", "column", "area"),
        sizes=(0, 0, 0),
        kinds=("continuous", "continuous", "continuous"),
        dynamic=(True, True, True),
    )
    return DataInfo((1, SIDE, SIDE), ("pairs", "images"), factors)


def find_source(config: KittiMasksConfig, root: Path) -> Source:
    """The official file where it is there, else generated figures.

    Raises:
        FileNotFoundError: the official file was asked for and is not there.
    """
    found = official_source(NAME, root, (FILE,), config.source)
    return found or Source("generated", note="walking figures that move by the published fits; not KITTI's masks")


CARD = DatasetCard(
    title="KITTI Masks",
    paper="Klindt et al., ICLR 2021 (arXiv 2007.10930); masks of KITTI MOTS (Voigtlaender et al., CVPR 2019)",
    summary="Masks of pedestrians in 64 x 64 windows of driving videos; a pair lies at most max_delta_t frames apart.",
    license="official masks: not stated (derived from KITTI, non-commercial); generated figures: as this package",
    describe=describe,
    source=find_source,
    budgets={
        "smoke": {"n_sequences": 24},
        "quick": {"n_sequences": 750},
        "standard": {"n_sequences": 1_500},
        "paper": {"n_sequences": 3_100},
    },
    verified="official layout against a file written by the tests; steps of the generated figures against their laws",
    files=(FILE,),
    notice="KITTI Masks derive from KITTI and the MOTS annotations: for non-commercial use.",
    notes=(
        "Factors are row and column of the centre of mass and number of pixels, as measured on each mask. A pair "
        "starts at any frame but a track's last and ends 1 … max_delta_t frames on, uniformly, at the latest at the "
        "track's last frame. max_delta_t=1 and 5 are the published mean(dt) = 0.05 s and 0.15 s. Scoring draws first "
        "frames. "
        "Generated: figures of 14 capsules; steps in x, y and area follow the generalised normal fits to KITTI Masks "
        "(shapes 0.587, 0.694, 0.455) while the figure is wholly in the window; sideways steps persist (rank "
        "correlation 0.8). Start, length and persistence follow real KITTI pedestrians. Not comparable with published "
        "tables."
    ),
)


@register_dataset(NAME, config=KittiMasksConfig, card=CARD)
def kitti_masks(config: KittiMasksConfig, store: DataStore) -> MaskTracks:
    """Tracks of masks; factors are row, column (pixels, the first pixel's centre is 0) and area (pixels), float64."""
    if config.source == "auto":
        config = replace(config, source=find_source(config, store.root).kind)

    @cache  # three arrays are kept, the file is read once
    def read() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if config.source == "official":
            return read_tracks(store.root / NAME / FILE.name)
        masks, lengths = generate_masks(config.n_sequences, np.random.default_rng(0))
        return np.packbits(masks.reshape(len(masks), -1), axis=1), measure(masks), lengths

    packed = store.cached("masks", lambda: read()[0])
    factors = store.cached("factors", lambda: read()[1])
    lengths = store.cached("lengths", lambda: read()[2])
    gaps = "1 frame" if config.max_delta_t == 1 else f"1 to {config.max_delta_t} frames"
    title = f"{CARD.title}, pairs {gaps} apart, {config.source} masks"
    return MaskTracks(describe(config), packed, factors, lengths, config.max_delta_t, title)


class MaskTracks(Container):
    """Tracks of binary masks of unequal length, and pairs within them whose gap is drawn anew for every batch.

    The view ``images`` gives the frames of the same pairs, first and second in turn: for one generator state, 2 n
    images are the frames of n pairs in the same order. ``index`` is the number of the pair's first frame among those
    that can be first (pairs), or of the frame among all (images).

    Args:
        packed: (n_frames, height * width / 8) uint8, eight pixels a byte; frames of one track follow each other.
        factors: (n_frames, n_factors) float64.
        lengths: frames of each track, (n_tracks,), each at least 2.
        max_delta_t: largest gap of a pair; it is cut where the track ends.
    """

    views = ("pairs", "images")

    def __init__(
        self,
        info: DataInfo,
        packed: np.ndarray,
        factors: np.ndarray,
        lengths: np.ndarray,
        max_delta_t: int,
        title: str = "",
    ) -> None:
        super().__init__(info, np.zeros((0, *info.observation_shape), np.uint8), title)
        if np.min(lengths) < 2 or np.sum(lengths) != len(packed) or len(factors) != len(packed):
            raise ValueError(f"tracks of {lengths} frames do not fit {len(packed)} masks and {len(factors)} factors")
        self.packed, self.factors, self.lengths = packed, factors, np.asarray(lengths)
        self.max_delta_t = max_delta_t
        last = np.repeat(np.cumsum(self.lengths) - 1, self.lengths)
        self._first = np.flatnonzero(np.arange(len(packed)) < last)
        self._last = last[self._first]

    @property
    def steps(self) -> np.ndarray:
        """Consecutive frames as pairs of rows of ``factors``: (n_pairs, 2)."""
        return np.stack([self._first, self._first + 1], axis=1)

    def masks(self, rows: np.ndarray) -> np.ndarray:
        """Frames (…, 1, height, width), 0 and 255, of rows of any shape."""
        bits = np.unpackbits(self.packed[rows], axis=-1)
        return (bits * np.uint8(255)).reshape(*np.shape(rows), *self.info.observation_shape)

    def labelled(self, n: int, rng: np.random.Generator, split: str = "train", view: str = "images") -> Labelled:
        """n first frames of pairs (time 1), without replacement within blocks of 16; or n pairs (time 2)."""
        self._check(view, split)
        rows = self._pairs(n, rng)[1] if view == "pairs" else self._first[self._in_blocks(n, rng)][:, None]
        return Labelled(self.masks(rows), self.factors[rows])

    def _in_blocks(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """n numbers of pairs, none twice within a block of 16 (or of as many as there are)."""
        size = min(_BLOCK, len(self._first))
        blocks = rng.integers(len(self._first), size=(-(-n // size), size))
        ordered = np.sort(blocks, axis=1)
        for i in np.flatnonzero((ordered[:, 1:] == ordered[:, :-1]).any(axis=1)):
            blocks[i] = rng.choice(len(self._first), size, replace=False)
        return blocks.reshape(-1)[:n]

    def _pairs(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Numbers (n,) of pairs and rows (n, 2) of their frames."""
        index = rng.integers(len(self._first), size=n)
        gap = rng.integers(1, self.max_delta_t + 1, size=n)
        first = self._first[index]
        return index, np.stack([first, np.minimum(first + gap, self._last[index])], axis=1)

    def _pick(self, view: str, batch_size: int, rng: np.random.Generator, split: str) -> tuple[np.ndarray, np.ndarray]:
        if view == "pairs":
            index, rows = self._pairs(batch_size, rng)
            return self.masks(rows), index
        rows = self._pairs((batch_size + 1) // 2, rng)[1].reshape(-1)[:batch_size]
        return self.masks(rows[:, None]), rows

    def _size(self, view: str) -> tuple[int, int]:
        return (2, len(self._first)) if view == "pairs" else (1, len(self.packed))

    def _n_sequences(self) -> int:
        return len(self.lengths)


def read_tracks(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Packed masks (n_frames, 512) uint8, factors (n_frames, 3) float64 and track lengths (n_tracks,) of the pickle.

    Raises:
        ValueError: one line: not the published layout, or anything but arrays in it.
    """
    content = load_arrays(path)
    keys = ("pedestrians", "pedestrians_latents")
    if not isinstance(content, dict) or not all(isinstance(content.get(key), list) for key in keys):
        raise ValueError(f"{path}: wanted a dict with the lists {' and '.join(keys)}, as {FILE.name} has them")
    sequences, latents = (content[key] for key in keys)
    if len(sequences) != len(latents) or not sequences:
        raise ValueError(f"{path}: {len(sequences)} sequences of masks and {len(latents)} of latents")
    for i, (masks, values) in enumerate(zip(sequences, latents, strict=True)):
        _check_sequence(masks, values, f"{path}: sequence {i}")
    n_frames = sum(len(masks) for masks in sequences)
    if n_frames * SIDE * SIDE > path.stat().st_size:
        # one array may be mentioned any number of times: a small file that unfolds to a huge set
        raise ValueError(f"{path}: claims {n_frames:,} masks, more than its {path.stat().st_size:,} bytes can hold")
    for i, (masks, values) in enumerate(zip(sequences, latents, strict=True)):
        _check_latents(masks, values, f"{path}: sequence {i}")
    lengths = np.array([len(masks) for masks in sequences])
    n_pairs = n_frames - len(lengths)
    if n_pairs != OFFICIAL_PAIRS:
        warnings.warn(
            f"{path} holds {n_pairs:,} consecutive pairs, the published file {OFFICIAL_PAIRS:,}", stacklevel=2
        )
    packed = np.concatenate([np.packbits(masks.reshape(len(masks), -1), axis=1) for masks in sequences])
    return packed, np.concatenate(latents).astype(np.float64), lengths


def _check_sequence(masks: object, latents: object, place: str) -> None:
    if not (isinstance(masks, np.ndarray) and masks.dtype == bool and masks.shape[1:] == (SIDE, SIDE)):
        raise ValueError(f"{place}: wanted masks (n, {SIDE}, {SIDE}) bool, got {_kind(masks)}")
    if not (isinstance(latents, np.ndarray) and latents.dtype.kind == "f" and latents.shape == (len(masks), 3)):
        raise ValueError(f"{place}: wanted latents ({len(masks)}, 3) float32, got {_kind(latents)}")
    if len(masks) < 2:
        raise ValueError(f"{place}: has {len(masks)} frame, a pair needs two")


def _check_latents(masks: np.ndarray, latents: np.ndarray, place: str) -> None:
    """The latents say where the masks are, as the authors' script measures it."""
    if (empty := ~masks.any(axis=(1, 2))).any():
        raise ValueError(f"{place}, frame {np.argmax(empty)}: the mask is empty")
    measured = measure(masks)
    wrong = ~(np.abs(measured - latents) < 0.01)  # True for NaN; float32 holds 64 to 4e-6
    if wrong.any():
        frame, column = np.argwhere(wrong)[0]
        name = ("row", "column", "area")[column]
        raise ValueError(
            f"{place}, frame {frame}: {name} is {latents[frame, column]:g}, the mask has {measured[frame, column]:g}"
        )


def _kind(value: object) -> str:
    return f"{value.shape} {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
