"""Cars3D (Reed et al., NIPS 2015; models of Fidler et al., 2012): renderings of 183 cars from 96 viewpoints.

Frames of 128 pixels a side are reduced to 64 with Pillow's Lanczos filter, as disentanglement_lib does.
Cars are numbered by the archive's own ``list.txt``; the released codes number them as the file system lists them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import PIL
from PIL import Image

from bench.datasets.base import DataInfo, DatasetCard, DataStore, FactorSpace, OfficialFile, Source
from bench.datasets.grid import FactorGrid, GridConfig, cell_numbers, ends_function
from bench.datasets.mat5 import read_uint8
from bench.datasets.official import missing_file, official_source
from bench.files.archives import ArchiveRefused, Member, tar_members
from bench.registry import register_dataset

NAME = "cars3d"
SIDE = 64
N_ELEVATIONS, N_AZIMUTHS, N_CARS = 4, 24, 183
_IM_SHAPE = (128, 128, 3, N_AZIMUTHS, N_ELEVATIONS)  # row, column, channel, azimuth, elevation
_FOLDER = PurePosixPath("data/cars")
_MAX_MAT = 1 << 26  # bytes of one car's file, and of what a part of it unpacks to: ten times what is in it

FILES = (
    OfficialFile(
        "nips2015-analogy-data.tar.gz",
        addresses=("http://www.scottreed.info/files/nips2015-analogy-data.tar.gz",),
        md5="4e866a7919c1beedf53964e6f7a23686",
    ),
)


@dataclass(frozen=True)
class Cars3DConfig(GridConfig):
    """Parameters of the data set; see ``GridConfig``."""

    name = NAME
    n_factors = 3
    sources = ("auto", "official")


def describe(config: Cars3DConfig) -> DataInfo:
    """Shapes, views and factors, without opening anything."""
    factors = FactorSpace(
        names=("elevation", "azimuth", "car"),
        sizes=(N_ELEVATIONS, N_AZIMUTHS, N_CARS),
        kinds=("ordinal", "cyclic", "categorical"),
        dynamic=(True, True, config.transitions != "lap"),
    )
    return DataInfo((3, SIDE, SIDE), ("pairs", "images"), factors, has_grid=True)


def find_source(config: Cars3DConfig, root: Path) -> Source:
    """The official archive; there is nothing to use in its place.

    Raises:
        FileNotFoundError: it is not there.
    """
    source = official_source(NAME, root, FILES, config.source)
    if source is None:
        raise missing_file(NAME, FILES[0])
    return source


CARD = DatasetCard(
    title="Cars3D",
    paper="Reed et al., NIPS 2015; models of Fidler et al., NIPS 2012",
    summary="Renderings of 183 cars, each from 24 azimuths and 4 elevations, 64 × 64 in colour.",
    license="not stated by its authors",
    notice="No licence is stated: for research, and not to be passed on. The host is a private site without https.",
    describe=describe,
    source=find_source,
    budgets={"smoke": {}, "quick": {}, "standard": {}, "paper": {}},
    verified="reader against an archive of the official layout; never run on the official file, which was not at hand",
    files=FILES,
    notes=(
        "Official only: where the archive is absent, so is the data set. 17,568 images. Cars are numbered in the order "
        "of list.txt; disentanglement_lib and the SlowVAE code number them as the file system lists them, so object "
        "ids of other runs cannot be compared. Lap holds the car still. The archive's 'sprites' are not the LPC set."
    ),
)


@register_dataset(NAME, config=Cars3DConfig, card=CARD)
def cars3d(config: Cars3DConfig, store: DataStore) -> FactorGrid:
    """All 17,568 frames, converted once; factors are elevation, azimuth (15 degrees each) and car."""
    info = describe(config)
    archive = store.root / NAME / FILES[0].name
    kept = store.without("transitions", "rate", "k")
    frames = kept.cached(f"frames-pillow-{PIL.__version__}", lambda: read_archive(archive))
    title = f"{CARD.title}, {config.transition_label} transitions, official images"
    return FactorGrid(
        info,
        lambda factors, rng: frames[cell_numbers(factors, info.factors)],
        ends_function(config, info.factors, frozen=("car",)),
        title,
    )


def read_archive(path: Path) -> np.ndarray:
    """Frames (n_cells, 3, 64, 64) uint8, C order of elevation, azimuth and car, read without unpacking to disk.

    Raises:
        ValueError: the archive is damaged, ``list.txt`` or a car is missing, or a car is not what it must be.
    """
    try:
        return _read_archive(path)
    except ArchiveRefused as error:
        raise ValueError(f"{NAME}/{error}; run `bench data fetch {NAME}`") from None


def _read_archive(path: Path) -> np.ndarray:
    names = _car_names(path)
    frames = np.empty((N_ELEVATIONS, N_AZIMUTHS, N_CARS, 3, SIDE, SIDE), np.uint8)
    left = {f"{name}.mat": number for number, name in enumerate(names)}
    for name, content in _cars(path):
        if name in left:
            frames[:, :, left.pop(name)] = _reduced(_read_mat(content, f"{NAME}/{path.name}: {name}"))
    if left:
        raise ValueError(
            f"{NAME}/{path.name}: {len(left)} cars of list.txt are missing, the first is {next(iter(left))}"
        )
    return frames.reshape(-1, 3, SIDE, SIDE)


def _cars(path: Path) -> Iterator[tuple[str, Member]]:
    """Names and contents of the files directly in data/cars, in the archive's order."""
    for name, content in tar_members(path):
        place = PurePosixPath(name)
        if content is not None and place.parent == _FOLDER:
            yield place.name, content


def _car_names(path: Path) -> list[str]:
    """The lines of list.txt: names of the cars' files without their ending."""
    for name, content in _cars(path):
        if name == "list.txt":
            lines = content.read(1 << 16).decode("utf-8", "replace").split()
            names = [line.removesuffix(".mat") for line in lines]
            if len(set(names)) != len(names) or len(names) != N_CARS:
                raise ValueError(
                    f"{NAME}/{path.name}: list.txt names {len(set(names))} different cars in {len(names)} lines, "
                    f"wanted {N_CARS}"
                )
            return names
    raise ValueError(f"{NAME}/{path.name}: has no {_FOLDER}/list.txt")


def _read_mat(content: Member, where: str) -> np.ndarray:
    """The array ``im`` of one car's file."""
    packed = content.read(_MAX_MAT + 1)
    if len(packed) > _MAX_MAT:
        raise ValueError(f"{where}: is larger than {_MAX_MAT:,} bytes")
    try:
        return read_uint8(packed, "im", _IM_SHAPE, _MAX_MAT)
    except ValueError as error:
        raise ValueError(f"{where}: cannot be read ({error})") from None


def _reduced(im: np.ndarray) -> np.ndarray:
    """Frames (4, 24, 3, 64, 64) uint8 of one car's renderings."""
    frames = np.empty((N_ELEVATIONS, N_AZIMUTHS, 3, SIDE, SIDE), np.uint8)
    for elevation, azimuth in np.ndindex(N_ELEVATIONS, N_AZIMUTHS):
        picture = Image.fromarray(np.ascontiguousarray(im[..., azimuth, elevation]))
        picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        frames[elevation, azimuth] = np.asarray(picture).transpose(2, 0, 1)
    return frames
