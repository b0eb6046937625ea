"""SM-MNIST: two handwritten digits that bounce off the edges at random (Denton and Fergus, ICML 2018; S3VAE, C-DSVAE).

Laws of the authors' loader (edenton/svg, ``data/moving_mnist.py``). It draws anew at every access and seeds a worker by
the first index it is asked for; here a sequence is a function of its split and number alone. Kept are trajectories and
glyphs; frames are drawn when they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
from PIL import Image

from bench.datasets.base import DataInfo, DatasetCard, DataStore, FactorSpace, Source
from bench.datasets.containers import SequenceData
from bench.datasets.flow_cells import N_CELLS, flow_cells
from bench.datasets.grid import check_choice
from bench.datasets.idx import idx_source, read_files
from bench.datasets.mnist import FILES as MNIST_FILES
from bench.datasets.mnist import NAME as MNIST
from bench.registry import register_dataset

NAME = "sm_mnist"
SIDE, GLYPH, N_FRAMES, N_DIGITS, N_CLASSES = 64, 32, 15, 2, 10
N_PLACES = SIDE - GLYPH  # a digit's corner is at 0 … 31
FASTEST = 4  # pixels per frame along each axis
N_PAIRS = N_CLASSES * (N_CLASSES + 1) // 2
SPLITS = "train", "val", "test"
FILES = tuple(replace(file, folder=MNIST) for file in MNIST_FILES)

_SEED = 20_180_710  # of this data set, not of a run
_MNIST_VAL = 10_000  # the last of MNIST's 60,000 training images, whose glyphs only the split val shows
_BUNDLED = (1_048, 1_257, 1_797)  # ends of the glyphs of train, val and test among scikit-learn's digits
_PER_DIGIT = 4 + 4 * N_FRAMES  # uniform numbers: start and speed, then two for each edge that is hit


@dataclass(frozen=True)
class SMMNISTConfig:
    """Parameters of the data set.

    Attributes:
        n_train, n_val, n_test: sequences of each split.
        places: classes of each position as a factor: 32 (pixels), 16, 8 or 4, of 1, 2, 4 or 8 pixels.
        bounces: "stochastic" (a new speed at each edge) or "deterministic" (the mirrored one).
        source: "auto", or what the digits must be: "official" (MNIST), "bundled" (scikit-learn's digits) or "user".
    """

    n_train: int = 50_000
    n_val: int = 10_000
    n_test: int = 10_000
    places: int = N_PLACES
    bounces: str = "stochastic"
    source: str = "auto"

    def __post_init__(self) -> None:
        check_choice(NAME, "source", self.source, ("auto", "official", "bundled", "user"))
        check_choice(NAME, "bounces", self.bounces, ("stochastic", "deterministic"))
        if self.places not in (4, 8, 16, N_PLACES):
            raise ValueError(f"{NAME}: places must be one of 4, 8, 16, 32, got {self.places}")
        for name in ("n_train", "n_val", "n_test"):
            if getattr(self, name) < 1:
                raise ValueError(f"{NAME}: {name} must be at least 1, got {getattr(self, name)}")


def describe(config: SMMNISTConfig) -> DataInfo:
    """Shapes, views and factors, without opening anything."""
    factors = FactorSpace(
        names=("pair", "digit_a", "digit_b", "row_a", "column_a", "row_b", "column_b"),
        sizes=(N_PAIRS, N_CLASSES, N_CLASSES, *4 * (config.places,)),
        kinds=(*3 * ("categorical",), *4 * ("ordinal",)),  # type: ignore[arg-type]
        dynamic=(False, False, False, True, True, True, True),
    )
    return DataInfo(
        (1, SIDE, SIDE),
        ("sequences", "images"),
        factors,
        n_frames=N_FRAMES,
        extras={"flow_cells": (N_FRAMES, 2, N_CELLS)},
        judged=("pair", "digit_a", "digit_b"),
    )


def find_source(config: SMMNISTConfig, root: Path) -> Source:
    """MNIST's files where they are there, own ones of the same layout, else scikit-learn's digits.

    Raises:
        FileNotFoundError: files were asked for, or some of the four are there, and one is missing.
        ValueError: a file is damaged, or "official" was asked for and one has other content.
    """
    source = None if config.source == "bundled" else idx_source(MNIST, root, MNIST_FILES, config.source)
    return source or Source(
        "bundled", note="1,797 digits of 8 × 8 pixels that scikit-learn brings, enlarged; not MNIST"
    )


CARD = DatasetCard(
    title="SM-MNIST",
    paper="Denton and Fergus, Stochastic Video Generation with a Learned Prior, ICML 2018",
    summary="Two handwritten digits move over 64 × 64 pixels for 15 frames and leave every edge with a new random "
    "speed.",
    license="MNIST: CC BY-SA 3.0 (as generally stated); scikit-learn's digits: CC BY 4.0 (UCI repository)",
    describe=describe,
    source=find_source,
    budgets={
        "smoke": {"n_train": 120, "n_val": 30, "n_test": 40, "places": 8},
        "quick": {"n_train": 3_000, "n_val": 400, "n_test": 1_000, "places": 8},
        "standard": {"n_train": 20_000, "n_val": 2_000, "n_test": 3_000},
        "paper": {},
    },
    verified="trajectories against a second implementation that follows the loader line by line, from the same "
    "numbers; frames against its float arithmetic",
    files=FILES,
    notes=(
        "Digits of 28 × 28 enlarged to 32 × 32 (Pillow's bilinear filter), added and cut off at 1. Judges read pair, "
        "one of 55 unordered pairs; digit_a <= digit_b are its members for the ten-way variant. Positions (rows and "
        "columns of the 32 × 32 boxes, 0 … 31) are dynamic, in 8 classes of 4 pixels at small "
        "budgets, because many classes make metrics slow; of twin digits the one that was drawn first is a. "
        "Train and val show the first 50,000 and the last 10,000 training images of MNIST, test its test images; no "
        "glyph is shared. The published sizes, seeds and splits of the sequences are not known: 50,000, 10,000 and "
        "10,000 are the suite's own. A split's first sequences are the same at every size. bundled: scikit-learn's "
        "load_digits enlarged to 32 × 32 (bicubic) and stretched to the full range of grey, 70 % of the samples for "
        "train and val, the others for test. bounces=deterministic mirrors the speed instead."
    ),
)


@register_dataset(NAME, config=SMMNISTConfig, card=CARD)
def sm_mnist(config: SMMNISTConfig, store: DataStore) -> SequenceData:
    """Sequences (15, 1, 64, 64) uint8 with the splits train, val and test."""
    source = find_source(config, store.root)
    keep = store.without("n_train", "n_val", "n_test", "places", "bounces")
    is_bundled = source.kind == "bundled"
    glyphs, digits, ends = _kept(keep, bundled_glyphs if is_bundled else lambda: mnist_glyphs(store.root))
    is_stochastic = config.bounces == "stochastic"
    parts = []
    for number, (name, n) in enumerate(zip(SPLITS, (config.n_train, config.n_val, config.n_test), strict=True)):
        own = slice(ends[number], ends[number + 1])
        parts.append(
            store.cached(
                f"trajectories-{name}", partial(trajectories, number, n, digits[own], own.start, is_stochastic)
            )
        )
    tracks = np.concatenate(parts)
    frames = MovingDigits(glyphs, tracks)
    edges = np.cumsum([0, *map(len, parts)])
    splits = {name: np.arange(*pair) for name, pair in zip(SPLITS, pairwise(edges), strict=True)}
    flow = lambda: store.cached_rows("flow-cells", len(tracks), lambda rows: flow_cells(frames[rows]), 64)  # noqa: E731
    title = f"{CARD.title}, {'digits of scikit-learn (not MNIST), bundled' if is_bundled else source.note or 'MNIST'}"
    return SequenceData(
        describe(config),
        cast(np.ndarray, frames),
        labels(tracks, digits, config.places),
        splits,
        title=title,
        extras={"flow_cells": flow},
    )


def _kept(store: DataStore, read: Callable[[], tuple[np.ndarray, np.ndarray, Any]]) -> tuple[np.ndarray, ...]:
    """Glyphs (n, 32, 32) uint8, their classes (n,), and where those of train, val and test begin and end (4,)."""
    content = cache(read)
    names = ("glyphs", "digits", "ends")
    return tuple(
        np.asarray(store.cached(name, partial(lambda i: np.asarray(content()[i]), i))) for i, name in enumerate(names)
    )


def mnist_glyphs(root: Path) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """MNIST enlarged to 32 × 32 with Pillow's bilinear filter."""
    files = read_files(root / MNIST, MNIST_FILES)
    n_val = min(_MNIST_VAL, files.n_train // 6)
    glyphs = enlarged(files.images, Image.Resampling.BILINEAR)
    return glyphs, files.labels, (0, files.n_train - n_val, files.n_train, len(glyphs))


def bundled_glyphs() -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """scikit-learn's digits enlarged to 32 × 32 with Pillow's bicubic filter, each stretched to 0 … 255."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    grey = enlarged(np.round(digits.images * (255 / 16)).astype(np.uint8), Image.Resampling.BICUBIC).astype(float)
    low, high = grey.min(axis=(1, 2), keepdims=True), grey.max(axis=(1, 2), keepdims=True)
    glyphs = np.round(255 * (grey - low) / (high - low)).astype(np.uint8)
    return glyphs, digits.target.astype(np.int64), (0, *_BUNDLED)


def enlarged(images: np.ndarray, how: Image.Resampling) -> np.ndarray:
    """(n, 32, 32) uint8."""
    return np.stack([np.asarray(Image.fromarray(image).resize((GLYPH, GLYPH), how)) for image in images])


def trajectories(
    split: int, n: int, digits: np.ndarray, first_glyph: int = 0, is_stochastic: bool = True
) -> np.ndarray:
    """Glyphs and places of the first n sequences of a split, (n, 2, 1 + 2 · 15) as ``MovingDigits`` takes them.

    A sequence's numbers come from a generator seeded by (split, its number), so they depend on nothing else.

    Args:
        split: 0 train, 1 val, 2 test.
        digits: classes of the glyphs that the split shows.
        first_glyph: number of the first of them.
    """
    uniform = np.empty((n, N_DIGITS, 1 + _PER_DIGIT))
    for i, numbers in enumerate(uniform):
        np.random.default_rng((_SEED, split, i)).random(out=numbers)
    glyphs = (uniform[..., 0] * len(digits)).astype(np.int64)
    places = paths(uniform[..., 1:], is_stochastic)
    # the smaller digit first; of twins the one that is drawn first
    order = np.argsort(digits[glyphs], axis=1, kind="stable")
    tracks = np.concatenate([first_glyph + glyphs[..., None], places.reshape(n, N_DIGITS, -1)], axis=-1)
    return np.take_along_axis(tracks, order[..., None], axis=1)


def paths(uniform: np.ndarray, is_stochastic: bool = True) -> np.ndarray:
    """Rows and columns (…, 15, 2) int64 of a digit's corner in each frame, 0 … 31.

    Args:
        uniform: numbers (…, 64) in [0, 1): start (column, row) and speed (column, row), then for each frame two for the
            speed (row, column) after an edge above or below, and two after one at a side.
    """
    start, rest = uniform[..., :4], uniform[..., 4:].reshape(*uniform.shape[:-1], N_FRAMES, 2, 2)
    x, y = _whole(start[..., 0], 0, N_PLACES - 1), _whole(start[..., 1], 0, N_PLACES - 1)
    dx, dy = _whole(start[..., 2], -FASTEST, FASTEST), _whole(start[..., 3], -FASTEST, FASTEST)
    places = np.empty((*uniform.shape[:-1], N_FRAMES, 2), np.int64)
    for t in range(N_FRAMES):
        y, dy, dx = _bounced(y, dy, dx, rest[..., t, 0, :], is_stochastic)
        x, dx, dy = _bounced(x, dx, dy, rest[..., t, 1, :], is_stochastic)
        places[..., t, 0], places[..., t, 1] = y, x
        y, x = y + dy, x + dx
    return places


def _bounced(
    place: np.ndarray, speed: np.ndarray, other: np.ndarray, uniform: np.ndarray, is_stochastic: bool
) -> tuple[np.ndarray, ...]:
    """Place and speed along an axis, and speed along the other one, after a look at this axis's two edges."""
    low, high = place < 0, place >= N_PLACES
    if is_stochastic:
        away = _whole(uniform[..., 0], 1, FASTEST)
        speed = np.where(low, away, np.where(high, away - FASTEST - 1, speed))  # 1 … 4, or -4 … -1
        other = np.where(low | high, _whole(uniform[..., 1], -FASTEST, FASTEST), other)
    else:
        speed = np.where(low | high, -speed, speed)
    return np.clip(place, 0, N_PLACES - 1), speed, other


def _whole(uniform: np.ndarray, low: int, high: int) -> np.ndarray:
    """Whole numbers low … high, each for an equal part of [0, 1)."""
    return low + np.floor(uniform * (high - low + 1)).astype(np.int64)


def labels(tracks: np.ndarray, digits: np.ndarray, places: int = N_PLACES) -> np.ndarray:
    """Factors (n, 15, 7) int64 of tracks (n, 2, 31), positions in ``places`` equal classes."""
    a, b = digits[tracks[..., 0]].T
    factors = np.empty((len(tracks), N_FRAMES, 7), np.int64)
    factors[..., 0], factors[..., 1], factors[..., 2] = pair_number(a, b)[:, None], a[:, None], b[:, None]
    corners = tracks[..., 1:].reshape(-1, N_DIGITS, N_FRAMES, 2)
    factors[..., 3:] = corners.swapaxes(1, 2).reshape(-1, N_FRAMES, 4) * places // N_PLACES
    return factors


def pair_number(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """0 … 54 of the unordered pair a <= b: 00, 01 … 09, 11, 12 … 99."""
    return a * N_CLASSES - a * (a - 1) // 2 + (b - a)


class MovingDigits:
    """Frames of digits at their places, drawn when they are asked for: ``frames[rows]`` or ``frames[rows, times]``.

    Args:
        glyphs: (n_glyphs, 32, 32) uint8.
        tracks: (n, 2, 1 + 2 · 15): a digit's glyph, then its row and column in each frame.

    Attributes:
        shape, dtype, ndim: of the whole array (n, 15, 1, 64, 64) uint8.
    """

    def __init__(self, glyphs: np.ndarray, tracks: np.ndarray) -> None:
        self._glyphs, self._chosen = glyphs, tracks[..., 0]
        self._places = tracks[..., 1:].reshape(len(tracks), N_DIGITS, N_FRAMES, 2)
        self.shape = (len(tracks), N_FRAMES, 1, SIDE, SIDE)
        self.dtype, self.ndim = np.dtype(np.uint8), 5

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> np.ndarray:
        """Frames (…, 15, 1, 64, 64) of rows, or (…, 1, 64, 64) of rows and times."""
        if isinstance(index, tuple):
            rows, times = np.broadcast_arrays(*index)
            places, chosen = self._places[rows, :, times], self._chosen[rows]
        else:
            places = self._places[index].swapaxes(-3, -2)
            chosen = np.broadcast_to(self._chosen[index][..., None, :], places.shape[:-1])
        shape = chosen.shape[:-1]
        canvas = np.zeros((chosen.size // N_DIGITS, SIDE, SIDE), np.uint16)
        for digit in range(N_DIGITS):
            corners = places[..., digit, :].reshape(-1, 2)
            for frame, glyph, (row, column) in zip(canvas, chosen[..., digit].ravel(), corners, strict=True):
                frame[row : row + GLYPH, column : column + GLYPH] += self._glyphs[glyph]
        return np.minimum(canvas, 255, out=canvas).astype(np.uint8).reshape(*shape, 1, SIDE, SIDE)
