"""dSprites (Matthey et al., 2017): a white square, ellipse or heart of every scale, orientation and position.

The official archive is read where it is; elsewhere frames are drawn from the measured geometry of
``bench.datasets.dsprites_renderer``. Pair laws are those of ``bench.datasets.grid``; LAP holds the shape.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from bench.datasets.base import (
    DataInfo,
    DatasetCard,
    DataStore,
    FactorSpace,
    OfficialFile,
    Source,
    canonical_json,
)
from bench.datasets.dsprites_archive import official_bits, pack, unpack
from bench.datasets.dsprites_renderer import SIDE, SIZES, render_dsprites
from bench.datasets.grid import FactorGrid, GridConfig, cell_numbers, check_choice, ends_function
from bench.datasets.official import fingerprint, missing_file
from bench.registry import register_dataset

NAME = "dsprites"
_BASE = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64"
# The form whose size and checksum are recorded is the one to fetch.
ARCHIVE = OfficialFile(
    f"{_BASE}.hdf5",
    addresses=(
        f"https://github.com/deepmind/dsprites-dataset/raw/master/{_BASE}.hdf5",
        f"https://raw.githubusercontent.com/deepmind/dsprites-dataset/master/{_BASE}.hdf5",
    ),
    size=28_024_106,
    sha256="729fa22e884c9c500e1f17415d580746b4c5894fbbb780a1319bbcfa39a745bb",
    md5="b331c4447a651c44bf5e8ae09022e230",
)
DRAWN = "drawn from measured geometry: 253 of 254 real frames equal, the other differs in 2 pixels"
_BITS_VERSION = 1  # raised when the renderer draws other frames

SpriteReader = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class DSpritesConfig(GridConfig):
    """Parameters of dSprites and its variants, beside those of every grid.

    Attributes:
        frames: "rendered" each time they are asked for, "packed" once for the whole grid (a file of 377 MB that all
            runs share), or "auto": packed from the official archive, rendered where there is none.
    """

    frames: str = "auto"

    n_factors: ClassVar[int] = len(SIZES)
    name: ClassVar[str] = NAME

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(self.name, "frames", self.frames, ("auto", "rendered", "packed"))
        if self.frames == "rendered" and self.source == "official":
            raise ValueError(
                f"{self.name}: frames=rendered needs source=generated; the official archive is always packed"
            )


def factor_space(config: GridConfig) -> FactorSpace:
    """Shape, scale, orientation, posX, posY in the archive's order, without its constant colour."""
    return FactorSpace(
        names=("shape", "scale", "orientation", "posX", "posY"),
        sizes=SIZES,
        kinds=("categorical", "ordinal", "cyclic", "ordinal", "ordinal"),
        dynamic=(config.transitions != "lap", True, True, True, True),
    )


def describe(config: DSpritesConfig) -> DataInfo:
    """Shapes, views and factors, without opening anything."""
    return DataInfo((1, SIDE, SIDE), ("pairs", "images"), factor_space(config), has_grid=True)


def find_archive(config: DSpritesConfig, root: Path) -> Path | None:
    """The official archive in ``root/dsprites``, .hdf5 before .npz; None where it is not there or not wanted.

    Raises:
        FileNotFoundError: it was asked for and neither form of it is there.
    """
    if config.source not in ("auto", "official"):
        return None
    paths = [root / NAME / f"{_BASE}{ending}" for ending in (".hdf5", ".npz")]
    found = next((path for path in paths if path.is_file()), None)
    if found is None and config.source == "official":
        raise missing_file(NAME, ARCHIVE)
    return found


def find_source(config: DSpritesConfig, root: Path) -> Source:
    """The official archive where it is there, else generated; raises FileNotFoundError where it was asked for."""
    archive = find_archive(config, root)
    return Source("generated", note=DRAWN) if archive is None else Source("official", fingerprint([archive]))


def sprite_reader(config: DSpritesConfig, store: DataStore) -> SpriteReader:
    """Class indices (n, 5) -> frames (n, 64, 64) uint8, 0 or 1, of a config whose source is resolved."""
    archive = find_archive(config, store.root)
    if archive is None and config.frames != "packed":
        return render_dsprites
    content = "drawn" if archive is None else fingerprint([archive])
    space = factor_space(config)
    # One file for all pair laws and all variants.
    keep = DataStore(store.root, store.cache, canonical_json([NAME, "bits", _BITS_VERSION, content]))
    bits = _drawn_bits(keep) if archive is None else official_bits(archive, keep, space.sizes)
    return lambda cells: unpack(bits[cell_numbers(cells, space)])


def _drawn_bits(keep: DataStore) -> np.ndarray:
    """Bits (737280, 512) of every drawn frame, kept on first use."""

    def draw(rows: slice) -> np.ndarray:
        cells = np.stack(np.unravel_index(np.arange(rows.start, rows.stop), SIZES), axis=1)
        return pack(render_dsprites(cells))

    return keep.cached_rows("bits", math.prod(SIZES), draw)


LICENSE = "official archive: Apache 2.0; generated frames: as this package"
BUDGETS = {"smoke": {}, "quick": {}, "standard": {"frames": "packed"}, "paper": {"frames": "packed"}}
NOTES = (
    "Values: shape square, ellipse, heart; scale 0.5, 0.6, … 1; orientation 40 values from 0 to 2π with both ends, so "
    "the last equals the first (1 image in 40 is a duplicate), and a square looks the same after a quarter turn, an "
    "ellipse after a half; posX, posY 32 values from 0 (left, top) to 1. "
    "The archive's sixth factor, a constant colour, is left out: a factor with one value makes some metrics undefined "
    "and shifts others. disentanglement_lib's class includes it unless five factors are asked for; the published runs "
    "(`dsprites_full`) leave it out too. "
)

CARD = DatasetCard(
    title="dSprites",
    paper="Matthey, Higgins, Hassabis, Lerchner, dSprites: Disentanglement testing Sprites dataset, 2017",
    summary="White sprites on black: 3 shapes, 6 scales, 40 orientations, 32 × 32 positions; 737,280 binary frames.",
    license=LICENSE,
    describe=describe,
    source=find_source,
    budgets=BUDGETS,
    verified=(
        "generated frames against the 254 distinct frames of the repository's animation: 253 equal, one differs in 2 "
        "pixels; the geometry was fitted on those frames (hearts fitted on one half: 82 to 84 of the other 84 equal)"
    ),
    files=(ARCHIVE,),
    notes=NOTES
    + (
        "The .npz of the same name, put beside it or in its place, is read as well. Generated frames cost about 7 µs "
        "each on one core (150,000 a second), packed ones 1 µs; the whole grid is packed in 8 s."
    ),
)


@register_dataset(NAME, config=DSpritesConfig, card=CARD)
def dsprites(config: DSpritesConfig, store: DataStore) -> FactorGrid:
    """All 737,280 cells, with factors shape, scale, orientation, posX, posY; frames (1, 64, 64) uint8, 0 or 255."""
    config = replace(config, source=find_source(config, store.root).kind)
    read = sprite_reader(config, store)

    def observe(cells: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return (read(cells) * np.uint8(255))[:, None]

    return open_grid(config, describe(config), observe, CARD.title)


def open_grid(
    config: DSpritesConfig, info: DataInfo, observe: Callable[[np.ndarray, np.random.Generator], np.ndarray], title: str
) -> FactorGrid:
    """The grid with the pair law of its config; the title names law and source."""
    ends = ends_function(config, info.factors, frozen=("shape",))
    return FactorGrid(info, observe, ends, f"{title}, {config.transition_label} transitions, {config.source} frames")
