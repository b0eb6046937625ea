"""SmallNORB (LeCun, Huang, Bottou, CVPR 2004): photographs of 50 toys.

Left camera, 96 pixels a side reduced to 64. Training and test files hold other instances of the same categories; both
together are the full grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL
from PIL import Image

from bench.datasets.base import DataInfo, DatasetCard, DataStore, FactorKind, FactorSpace, OfficialFile, Source
from bench.datasets.containers import RenderFunction
from bench.datasets.grid import FactorGrid, GridConfig, cell_numbers, check_choice, ends_function
from bench.datasets.norb import NorbMatrix
from bench.datasets.official import missing_file, official_source
from bench.datasets.packed import as_found
from bench.registry import register_dataset

NAME = "smallnorb"
SIDE, RAW_SIDE = 64, 96
FACTORS = ("category", "instance", "elevation", "azimuth", "lighting")
SIZES = (5, 10, 9, 18, 6)
_KINDS: tuple[FactorKind, ...] = ("categorical", "categorical", "ordinal", "cyclic", "categorical")
_INSTANCE = 1
_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "lanczos": Image.Resampling.LANCZOS}
_CHUNK = 512

_BASE = "https://cs.nyu.edu/~ylclab/data/norb-v1.0-small/"
_TRAIN, _TEST = "smallnorb-5x46789x9x18x6x2x96x96-training", "smallnorb-5x01235x9x18x6x2x96x96-testing"
# name, packed bytes, md5 and sha256 packed, md5 unpacked
_RECORDS = (
    (f"{_TRAIN}-dat.mat", 131896188, "66054832f9accfe74a0f4c36a75bc0a2",
     "5ffd6272a07d32695ee1082a26a41a93a37aab8c28da047f8c34ed348d214873", "8138a0902307b32dfa0025a36dfa45ec"),
    (f"{_TRAIN}-cat.mat", 348, "23c8b86101fbf0904a000b43d3ed2fd9",
     "2784e542c1922060691090952b6cd6278879a216c90f81476f0f00256d42cdaa", "fd5120d3f770ad57ebe620eb61a0b633"),
    (f"{_TRAIN}-info.mat", 71052, "51dee1210a742582ff607dfd94e332e3",
     "de7eb932ebe7a4ee16217fead60660d0eb3d23632c2f4d1c51f88c501c17bf32", "19faee774120001fc7e17980d6960451"),
    (f"{_TEST}-dat.mat", 130799817, "e4ad715691ed5a3a5f138751a4ceb071",
     "cf7104eed3e51174d2f65b66d1e5878b9da233b886f161b0d88f4510ba2c7474", "e9920b7f7b2869a8f1a12e945b2c166c"),
    (f"{_TEST}-cat.mat", 347, "5aa791cd7e6016cf957ce9bdb93b8603",
     "ecaf6d5bb8c3bc5eab9cf0258f6d2198dd474e016e374836fc097f2e5ff509ff", "fd5120d3f770ad57ebe620eb61a0b633"),
    (f"{_TEST}-info.mat", 10428, "a9454f3864d7fd4bb3ea7fc3eb84924e",
     "16adf314226327ee006d1a44db8cfef52773c06c829951d5653a9f6f310248a2", "7c5b871cc69dcadec1bf6a18141f5edc"),
)  # fmt: skip
FILES = tuple(
    OfficialFile(f"{name}.gz", (f"{_BASE}{name}.gz",), size, sha256, md5, content_md5=content)
    for name, size, md5, sha256, content in _RECORDS
)


@dataclass(frozen=True)
class SmallNORBConfig(GridConfig):
    """Parameters of the data set; see ``GridConfig`` for those of pairs.

    Attributes:
        resize: filter from 96 to 64 pixels: "bilinear" (SlowVAE's code) or "lanczos" (the study's library).
        instance: "factor" (SlowVAE: five factors), or "random" (the study: drawn anew for every image, four factors).
    """

    resize: str = "bilinear"
    instance: str = "factor"

    name = NAME
    n_factors = 5
    sources = ("auto", "official")

    def __post_init__(self) -> None:
        check_choice(NAME, "resize", self.resize, tuple(_FILTERS))
        check_choice(NAME, "instance", self.instance, ("factor", "random"))
        super().__post_init__()
        if self.instance == "random" and self.k == len(SIZES):
            raise ValueError(f"{NAME}: k must be 1 … {len(SIZES) - 1} with instance=random, got {self.k}")


def describe(config: SmallNORBConfig) -> DataInfo:
    """Shapes, views and factors, without opening anything."""
    is_random = config.instance == "random"
    kept = [i for i in range(len(SIZES)) if not (is_random and i == _INSTANCE)]
    factors = FactorSpace(
        names=tuple(FACTORS[i] for i in kept),
        sizes=tuple(SIZES[i] for i in kept),
        kinds=tuple(_KINDS[i] for i in kept),
        dynamic=tuple(config.transitions != "lap" or i > _INSTANCE for i in kept),
    )
    return DataInfo((1, SIDE, SIDE), ("pairs", "images"), factors, has_grid=True, render_is_random=is_random)


def find_source(config: SmallNORBConfig, root: Path) -> Source:
    """The six official files, packed or not; there is nothing to use in their place.

    Raises:
        FileNotFoundError: one of them is not there.
    """
    files = as_found(NAME, root, FILES)
    source = official_source(NAME, root, files, config.source)
    if source is None:
        missing = [file for file in files if not (root / NAME / file.name).is_file()]
        raise missing_file(NAME, missing[0])
    return source


CARD = DatasetCard(
    title="SmallNORB",
    paper="LeCun, Huang, Bottou, CVPR 2004",
    summary="Photographs of 50 toys of 5 categories from 162 viewpoints under 6 lightings, 64 × 64 in grey.",
    license="research use only, no commercial use",
    notice="For research only, no commercial use.",
    describe=describe,
    source=find_source,
    budgets={"smoke": {}, "quick": {}, "standard": {}, "paper": {}},
    verified="reader against files of the official layout; never run on the official files, which were not at hand",
    files=FILES,
    notes=(
        "Official only: where the files are absent, so is the data set. 48,600 images, training and test files joined "
        "and sorted by their labels. elevation 30 … 70 degrees by 5, azimuth 0 … 340 degrees by 20. Lap holds category "
        "and instance still. resize=bilinear and instance=factor are the SlowVAE paper's; resize=lanczos and "
        "instance=random are those of Locatello et al., whose scores know nothing of the instance. In a pair with "
        "instance=random the two frames may show different toys."
    ),
)


@register_dataset(NAME, config=SmallNORBConfig, card=CARD)
def smallnorb(config: SmallNORBConfig, store: DataStore) -> FactorGrid:
    """All 48,600 frames, converted once; factors are those of ``FACTORS``, without the instance where it is random."""
    info = describe(config)
    kept = store.without("transitions", "rate", "k", "instance")
    name = f"frames-{config.resize}-pillow-{PIL.__version__}"
    frames = kept.cached(name, lambda: read_frames(store.root / NAME, config.resize))
    detail = ", instance drawn at random" if config.instance == "random" else ""
    title = f"{CARD.title}{detail}, {config.transition_label} transitions, official images, {config.resize} reduction"
    ends = ends_function(config, info.factors, frozen=("category", "instance"))
    return FactorGrid(info, _reader(config, info, frames), ends, title)


def _reader(config: SmallNORBConfig, info: DataInfo, frames: np.ndarray) -> RenderFunction:
    if config.instance == "factor":
        return lambda factors, rng: frames[cell_numbers(factors, info.factors)]
    every = describe(SmallNORBConfig()).factors

    def read(factors: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        instance = rng.integers(SIZES[_INSTANCE], size=len(factors))
        return frames[cell_numbers(np.insert(factors, _INSTANCE, instance, axis=1), every)]

    return read


def read_frames(folder: Path, resize: str) -> np.ndarray:
    """Left camera's frames (n_cells, 1, 64, 64) uint8, C order of the five factors.

    Raises:
        ValueError: a file is damaged or of another layout, or the two halves are not the full grid.
    """
    names = [file.name for file in as_found(folder.name, folder.parent, FILES)]
    halves = [[folder / name for name in names[:3]], [folder / name for name in names[3:]]]
    cells = [_read_cells(category, info) for _, category, info in halves]
    seen = np.bincount(np.concatenate(cells), minlength=int(np.prod(SIZES)))
    if (seen != 1).any():
        raise ValueError(
            f"{NAME}: training and test files together must show each of the {len(seen):,} combinations once; "
            f"{np.count_nonzero(seen == 0):,} are missing and {np.count_nonzero(seen > 1):,} come twice; "
            f"run `bench data fetch {NAME}`"
        )
    frames = np.empty((len(seen), 1, SIDE, SIDE), np.uint8)
    for (images, _, _), rows in zip(halves, cells, strict=True):
        with NorbMatrix(images, "uint8", (len(rows), 2, RAW_SIDE, RAW_SIDE)) as matrix:
            for start in range(0, len(rows), _CHUNK):
                part = rows[start : start + _CHUNK]
                frames[part, 0] = _reduced(matrix.read(len(part))[:, 0], resize)
    return frames


def _read_cells(category: Path, info: Path) -> np.ndarray:
    """Cell number (n,) of each row of one half of the set."""
    n = int(np.prod(SIZES)) // 2
    with NorbMatrix(category, "int32", (n,)) as matrix:
        labels = matrix.read(n)
    with NorbMatrix(info, "int32", (n, 4)) as matrix:
        others = matrix.read(n)
    azimuth = others[:, 2]
    _check_range(info, "azimuth", azimuth, 2 * SIZES[3] - 1)
    if (azimuth % 2).any():
        raise ValueError(f"{NAME}/{info.name}: azimuths are 0, 2, … {2 * SIZES[3] - 2}, found an odd one")
    columns = (labels, *others[:, :2].T, azimuth // 2, others[:, 3])
    for path, name, values, size in zip((category, *4 * [info]), FACTORS, columns, SIZES, strict=True):
        _check_range(path, name, values, size)
    return np.asarray(np.ravel_multi_index(columns, SIZES), np.int64)


def _check_range(path: Path, name: str, values: np.ndarray, size: int) -> None:
    if values.min() < 0 or values.max() >= size:
        raise ValueError(f"{NAME}/{path.name}: {name} is 0 … {size - 1}, found {values.min()} … {values.max()}")


def _reduced(images: np.ndarray, resize: str) -> np.ndarray:
    """Images (n, 96, 96) uint8 as (n, 64, 64)."""
    pictures: Sequence[Image.Image] = [Image.fromarray(np.ascontiguousarray(image)) for image in images]
    return np.stack([np.asarray(picture.resize((SIDE, SIDE), _FILTERS[resize])) for picture in pictures])
