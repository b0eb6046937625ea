"""Natural Sprites (Klindt et al., ICLR 2021): sprites that move as objects in YouTube videos do.

Only measured trajectories are published, ``downscale_keepaspect.csv``; frames are rendered from them as the authors'
``scripts/dataset.py`` does. Where the file is absent, tracks are generated from the published fits to its increments.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from bench.datasets.base import (
    DataInfo,
    DatasetCard,
    DataStore,
    FactorKind,
    FactorSpace,
    OfficialFile,
    Source,
    file_sha256,
)
from bench.datasets.containers import GridData, PairData
from bench.datasets.sprite_renderer import SHAPES, render_sprites
from bench.datasets.tracks import (
    SIDE,
    YOUTUBE_PAIRS,
    bin_centres,
    filter_area,
    generate_pairs,
    nearest,
    read_pairs,
)
from bench.datasets.transitions import laplace_ends, uniform_ends
from bench.registry import register_dataset

NAME = "natural_sprites"
FILE = "downscale_keepaspect.csv"
N_ANGLES = 40
SIZES = (32, 32, 6, N_ANGLES, len(SHAPES))  # x, y, scale, angle, shape of the discrete form
# The authors number shapes in the loader's order for the continuous form, alphabetically on the discrete grid; rank
# correlations with the shape's number depend on it.
GRID_SHAPES = tuple(sorted(SHAPES))


@dataclass(frozen=True)
class NaturalSpritesConfig:
    """Parameters of the data set.

    Attributes:
        form: "discrete" (x, y, scale in 32, 32, 6 bins) or "continuous".
        transitions: "natural" (the tracks), "lap" or "uni" (on the grid, discrete form only).
        rate: of lap; -1 draws it from U(1, 10) for every pair.
        k: factors that uni changes; -1 draws 1 … 4 for every pair.
        tracks: a user's own track file in the official layout.
        source: "auto", or what the tracks must be.
        n_pairs: size of the pool of rendered training pairs; 100,000 are 0.8 GB of mapped frames.
    """

    form: str = "discrete"
    transitions: str = "natural"
    rate: float = 1.0
    k: int = -1
    tracks: str = ""
    source: str = "auto"
    n_pairs: int = 100_000

    def __post_init__(self) -> None:
        _check_choice("form", self.form, ("discrete", "continuous"))
        _check_choice("transitions", self.transitions, ("natural", "lap", "uni"))
        _check_choice("source", self.source, ("auto", "official", "generated", "user"))
        if self.transitions != "natural" and self.form != "discrete":
            raise ValueError(f"{NAME}: transitions={self.transitions} needs form=discrete, got form={self.form}")
        if self.rate != 1.0 and self.transitions != "lap":
            raise ValueError(f"{NAME}: rate={self.rate:g} needs transitions=lap, got transitions={self.transitions}")
        if self.rate != -1 and not 0 < self.rate < np.inf:
            raise ValueError(f"{NAME}: rate must be > 0, or -1 for U(1, 10), got {self.rate:g}")
        if self.k != -1 and self.transitions != "uni":
            raise ValueError(f"{NAME}: k={self.k} needs transitions=uni, got transitions={self.transitions}")
        if self.k != -1 and not 1 <= self.k <= len(SIZES):
            raise ValueError(f"{NAME}: k must be 1 … {len(SIZES)}, or -1 for a random number, got {self.k}")
        if self.tracks and self.source not in ("auto", "user"):
            raise ValueError(f"{NAME}: tracks={self.tracks} is a user's file, but source={self.source} was asked for")
        if self.source == "user" and not self.tracks:
            raise ValueError(f"{NAME}: source=user needs tracks=FILE")
        if self.n_pairs < 1:
            raise ValueError(f"{NAME}: n_pairs must be at least 1, got {self.n_pairs}")


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{NAME}: {name} must be one of {', '.join(choices)}, got '{value}'")


def describe(config: NaturalSpritesConfig) -> DataInfo:
    """Shapes, views and factors, without opening anything."""
    is_discrete = config.form == "discrete"
    moving: FactorKind = "ordinal" if is_discrete else "continuous"
    factors = FactorSpace(
        names=("x", "y", "scale", "angle", "shape"),
        sizes=SIZES if is_discrete else (0, 0, 0, *SIZES[3:]),
        kinds=(moving, moving, moving, "cyclic", "categorical"),
        dynamic=(True, True, True, config.transitions != "natural", config.transitions == "uni"),
    )
    return DataInfo((1, SIDE, SIDE), ("pairs", "images"), factors, has_grid=is_discrete)


def find_source(config: NaturalSpritesConfig, root: Path) -> Source:
    """Where the tracks come from: the user's file, the official one where it is there, else generated.

    Raises:
        FileNotFoundError: the user's file, or an official one that was asked for, is not there.
    """
    if config.tracks:
        path = Path(config.tracks)
        if not path.is_file():
            raise FileNotFoundError(f"{NAME}: tracks={config.tracks} is not a file")
        return Source("user", file_sha256(path), f"tracks of {path.name}")
    path = root / NAME / FILE
    if config.source != "generated" and path.is_file():
        return Source("official", file_sha256(path))
    if config.source == "official":
        raise FileNotFoundError(
            f"{NAME}: {FILE} is not in DATA_ROOT/{NAME}. Run `bench data fetch {NAME}`, or put the file there."
        )
    return Source("generated", note="tracks drawn from the published fits to YouTube increments")


CARD = DatasetCard(
    title="Natural Sprites",
    paper="Klindt et al., ICLR 2021 (arXiv 2007.10930)",
    summary="White sprites on black whose position and size change as those of objects in YouTube videos.",
    license="official tracks: not stated (Zenodo record 3948069); generated tracks and renderer: as this package",
    describe=describe,
    source=find_source,
    budgets={
        "smoke": {"n_pairs": 256},
        "quick": {"n_pairs": 20_000},
        "standard": {"n_pairs": 60_000},
        "paper": {"n_pairs": 100_000},
    },
    verified="renderer equal to 200 frames of spriteworld 1.0.2; lap and uni against their exact statistics",
    files=(
        OfficialFile(
            FILE,
            addresses=("https://zenodo.org/record/3948069/files/downscale_keepaspect.csv?download=1",),
        ),
    ),
    notes=(
        "Generated tracks: starts are uniform in x, y in [0.2, 0.8] and scale in [1/12, 0.5] (the start law is not "
        "published), increments follow generalised normal laws (shapes 0.515, 0.548, 0.444 for x, y, area); a pair "
        "whose end leaves these ranges is drawn again, so that the grid spans what training shows. They then pass "
        "the same area filter and binning as a file; not comparable with published tables. "
        "Training draws from a pool of n_pairs rendered pairs, where the authors draw angle and shape anew each time. "
        "Shapes are numbered square, triangle, star_4, spoke_4 (continuous) or alphabetically (discrete), as the "
        "authors' metrics do. Which rate their lap used is unresolved: 1 is their released default, -1 their demo."
    ),
)


@register_dataset(NAME, config=NaturalSpritesConfig, card=CARD)
def natural_sprites(config: NaturalSpritesConfig, store: DataStore) -> PairData:
    """Pool of rendered pairs with the sampler for scoring; a ``GridData`` in the discrete form.

    Factors are x, y, scale, angle, shape: class indices (discrete), or x, y and scale as fractions of the frame's side
    beside the indices of angle (9 degrees each) and shape (continuous).
    """
    if config.source == "auto":
        config = replace(config, source=find_source(config, store.root).kind)
    tracks = store.cached("tracks", partial(_filtered_tracks, config, store.root))
    rng = np.random.default_rng(0)  # the pool is part of the data: the same for all seeds
    info = describe(config)
    detail = {"natural": "", "lap": f"(rate={config.rate:g})", "uni": f"(k={config.k})"}[config.transitions]
    title = f"{CARD.title}, {config.form} form, {config.transitions}{detail} transitions, {config.source} tracks"
    if config.form == "continuous":
        pool = store.cached("pool", lambda: _continuous_pairs(tracks, config.n_pairs, rng))
        factors, pairs = _distinct(pool)
        frames = store.cached_rows("frames", len(factors), lambda rows: _render_continuous(factors[rows]))
        return PairData(info, frames, factors, pairs, partial(_sample_continuous, tracks), title)
    grid = _grid_values(tracks)
    pool = store.cached("pool", lambda: _discrete_pairs(tracks, grid, config, rng))
    factors, pairs = _distinct(pool)
    frames = store.cached_rows("frames", len(factors), lambda rows: _render_discrete(grid, factors[rows]))
    return GridData(info, frames, factors, pairs, lambda cells, rng: _render_discrete(grid, cells), title)


def _filtered_tracks(config: NaturalSpritesConfig, root: Path) -> np.ndarray:
    """Pairs (n, 2, 3) of (x, y, area) in pixels after the 10 % area filter."""
    if config.source == "generated":
        return filter_area(generate_pairs(YOUTUBE_PAIRS, np.random.default_rng(0)))
    return filter_area(read_pairs(Path(config.tracks) if config.source == "user" else root / NAME / FILE))


def _distinct(pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct factor vectors (n, 5) of pairs (n_pairs, 2, 5), and pairs as rows of them: many tracks stand still."""
    factors, rows = np.unique(pairs.reshape(-1, pairs.shape[-1]), axis=0, return_inverse=True)
    return factors, rows.reshape(-1, 2)


def _continuous_pairs(tracks: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """n random pairs of the tracks with angle and shape, the same in both frames: (n, 2, 5) float64."""
    moving = _to_fractions(tracks[rng.integers(len(tracks), size=n)])
    return np.concatenate([moving, np.repeat(_angle_and_shape(n, rng)[:, None], 2, axis=1)], axis=2)


def _to_fractions(pixels: np.ndarray) -> np.ndarray:
    """x, y and scale in fractions of the side, of x, y and area in pixels along the last axis."""
    return np.concatenate([pixels[..., :2] / SIDE, np.sqrt(pixels[..., 2:]) / SIDE], axis=-1)


def _angle_and_shape(n: int, rng: np.random.Generator) -> np.ndarray:
    return rng.integers([N_ANGLES, len(SHAPES)], size=(n, 2))


def _sample_continuous(tracks: np.ndarray, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Frames and factors of first frames of n random pairs, with random angle and shape."""
    factors = _continuous_pairs(tracks, n, rng)[:, 0]
    return _render_continuous(factors), factors


def _render_continuous(factors: np.ndarray) -> np.ndarray:
    x, y, scale, angle, shape = factors.T
    return render_sprites(x, y, scale, 360 / N_ANGLES * angle, shape.astype(np.int64))[:, None]


def _grid_values(tracks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bin centres of x, y and area in pixels, both frames pooled; area is cut in pixels, not in scale."""
    x, y, area = (bin_centres(tracks[..., i], SIZES[i], name) for i, name in enumerate(("x", "y", "area")))
    return x, y, area


def _discrete_pairs(
    tracks: np.ndarray, grid: tuple[np.ndarray, ...], config: NaturalSpritesConfig, rng: np.random.Generator
) -> np.ndarray:
    """Pairs of grid cells (n_pairs, 2, 5) int64."""
    n = config.n_pairs
    if config.transitions == "natural":
        chosen = tracks[rng.integers(len(tracks), size=n)]
        moving = np.stack([nearest(chosen[..., i], centres) for i, centres in enumerate(grid)], axis=-1)
        return np.concatenate([moving, np.repeat(_angle_and_shape(n, rng)[:, None], 2, axis=1)], axis=2)
    start = rng.integers(SIZES, size=(n, len(SIZES)))
    if config.transitions == "lap":
        is_categorical = [kind == "categorical" for kind in describe(config).factors.kinds]
        return np.stack([start, laplace_ends(start, SIZES, is_categorical, config.rate, rng)], axis=1)
    return np.stack([start, uniform_ends(start, SIZES, config.k, rng)], axis=1)


def _render_discrete(grid: tuple[np.ndarray, ...], cells: np.ndarray) -> np.ndarray:
    pixels = np.stack([centres[cells[:, i]] for i, centres in enumerate(grid)], axis=1)
    x, y, scale = _to_fractions(pixels).T
    shape = np.array([SHAPES.index(name) for name in GRID_SHAPES])[cells[:, 4]]
    return render_sprites(x, y, scale, 360 / N_ANGLES * cells[:, 3], shape)[:, None]
