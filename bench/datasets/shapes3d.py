"""3D Shapes (Burgess and Kim, 2018): an object in a room, under every combination of six factors.

The official file is turned once into plain rows, 5.9 GB, and read from there by position. Where it is absent, a
look-alike is drawn by ``bench.datasets.shapes3d_renderer``. Pair laws are those of ``bench.datasets.grid``; LAP holds
the shape.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from bench.datasets.base import DataInfo, DatasetCard, DataStore, FactorSpace, OfficialFile, Source
from bench.datasets.grid import FactorGrid, GridConfig, cell_numbers, ends_function
from bench.datasets.official import official_source
from bench.datasets.row_file import RowFile
from bench.datasets.shapes3d_renderer import N_PLACEMENTS, SIDE, SIZES, compose, placements
from bench.messages import listed, one_line
from bench.registry import register_dataset

if TYPE_CHECKING:
    import h5py

NAME = "shapes3d"
FACTORS = ("floor_hue", "wall_hue", "object_hue", "scale", "shape", "orientation")
FILE = OfficialFile(
    "3dshapes.h5",
    addresses=("https://storage.googleapis.com/3d-shapes/3dshapes.h5",),
    size=267_573_662,
    sha256="0a0f6ed98baff276a50f3a081a7434d788da63cb135a98189b2a5b5769be1785",
    md5="099a2078d58cec4daad0702c55d06868",
)
DRAWN = "look-alike: mean error 1.0 grey level of 255 on 50 real frames"
_ROWS = 1_024  # images turned at once: 12.6 MB
_MAX_ROWS = 32_768  # images read at once: chunks of the file may reach over many images and a few pixels of each
_MAX_CHUNK = 1 << 26  # bytes of one chunk, which is unpacked whole

ReadFunction = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Shapes3DConfig(GridConfig):
    """Parameters of the data set: those of every grid."""

    n_factors: ClassVar[int] = len(SIZES)
    name: ClassVar[str] = NAME


def factor_space(config: Shapes3DConfig) -> FactorSpace:
    """The six factors in the file's order. Hues 0, 0.1 … 0.9 lie on a circle; lap does not go around it."""
    return FactorSpace(
        names=FACTORS,
        sizes=SIZES,
        kinds=("cyclic", "cyclic", "cyclic", "ordinal", "categorical", "ordinal"),
        dynamic=tuple(config.transitions != "lap" or name != "shape" for name in FACTORS),
    )


def describe(config: Shapes3DConfig) -> DataInfo:
    """Shapes, views and factors, without opening anything."""
    return DataInfo((3, SIDE, SIDE), ("pairs", "images"), factor_space(config), has_grid=True)


def find_source(config: Shapes3DConfig, root: Path) -> Source:
    """The official file where it is there, else generated; raises FileNotFoundError where it was asked for."""
    official = official_source(NAME, root, (FILE,), config.source)
    return official or Source("generated", note=DRAWN)


CARD = DatasetCard(
    title="3D Shapes",
    paper="Burgess and Kim, 3D Shapes Dataset, 2018",
    summary="An object on the floor of a room: 10 hues each of floor, wall and object, 8 scales, 4 shapes, 15 views.",
    license="official file: Apache 2.0; generated frames: as this package",
    describe=describe,
    source=find_source,
    budgets={"smoke": {}, "quick": {}, "standard": {}, "paper": {}},
    verified=(
        "look-alike against 50 frames of the authors' notebook: mean error 1.01 of 255 grey levels (0.97 on the 34 "
        "frames it was fitted to, 1.08 on the other 16); reader against files of the official layout, never run on "
        "the official file, which was not at hand"
    ),
    files=(FILE,),
    notes=(
        "Values: hues 0, 0.1 … 0.9 of HSV, fully saturated; scale 0.75 … 1.25 in 8 steps; shape cube, cylinder, "
        "sphere, capsule; orientation of the camera -30 … 30 degrees in 15 steps. Lap holds the shape still and treats "
        "the others as ordered, hues included, without going around the circle. "
        "The first use of the official file converts it to 5.9 GB of rows in the cache. Its labels are compared with "
        "the order of the grid. disentanglement_lib asks for an .npz that was never published at a stable address. "
        "Generated frames lack the faint texture of floor and walls; they are not comparable with published tables. "
        "They cost about 20 µs each on one core; what they are summed from takes 3 s and 83 MB of cache, once."
    ),
)


@register_dataset(NAME, config=Shapes3DConfig, card=CARD)
def shapes3d(config: Shapes3DConfig, store: DataStore) -> FactorGrid:
    """All 480,000 cells; frames (3, 64, 64) uint8, the six factors are class indices."""
    config = replace(config, source=find_source(config, store.root).kind)
    info = describe(config)
    read = cell_reader(config, store.without("transitions", "rate", "k"))
    title = f"{CARD.title}, {config.transition_label} transitions, {config.source} frames"
    ends = ends_function(config, info.factors, frozen=("shape",))
    return FactorGrid(info, lambda cells, rng: read(cells), ends, title)


def cell_reader(config: Shapes3DConfig, keep: DataStore) -> ReadFunction:
    """Class indices (n, 6) -> frames (n, 3, 64, 64) uint8, of a config whose source is resolved.

    Args:
        keep: where what all pair laws share is kept.
    """
    if config.source == "official":
        space = factor_space(config)
        rows = RowFile(official_frames(keep.root / NAME / FILE.name, keep, space.sizes))
        return lambda cells: rows[cell_numbers(cells, space)]
    planes = np.asarray(keep.cached("placements", lambda: placements(np.arange(N_PLACEMENTS))))
    return partial(compose, planes)


def official_frames(path: Path, keep: DataStore, sizes: Sequence[int] = SIZES) -> np.ndarray:
    """Frames (n, 3, 64, 64) uint8 of the whole grid in C order; memory-mapped, made on first use.

    Args:
        path: ``3dshapes.h5``: ``images`` (n, 64, 64, 3) uint8 and ``labels`` (n, n_factors) float64.
        keep: where the frames are kept.
        sizes: of the grid that the file must hold.

    Raises:
        ValueError: another shape, dtype or order, arrays that lie elsewhere, or a file that is damaged or cut short;
            in one line.
        OSError: the frames do not fit in the cache.
    """
    pieces = _pieces(path, tuple(sizes))
    with closing(pieces):
        return keep.cached_rows("frames", math.prod(sizes), lambda rows: next(pieces), chunk=_ROWS)


def _pieces(path: Path, sizes: tuple[int, ...]) -> Generator[np.ndarray, None, None]:
    """Frames in pieces of ``_ROWS``, channels first."""
    import h5py

    n, name = math.prod(sizes), f"{path.parent.name}/{path.name}"
    try:
        with h5py.File(path, "r") as file:
            labels = _array(file, name, "labels", (n, len(sizes)), np.float64)
            images = _array(file, name, "images", (n, SIDE, SIDE, 3), np.uint8)
            _check_order(name, labels[()], sizes)
            # Whole chunks are read once, or each would be unpacked again for every piece.
            step = min(max((images.chunks or (1,))[0], _ROWS), _MAX_ROWS)
            rest = np.empty((0, SIDE, SIDE, 3), np.uint8)
            for start in range(0, n, step):
                block = images[start : start + step]
                while len(rest) + len(block) >= _ROWS:
                    taken = _ROWS - len(rest)
                    yield np.concatenate([rest, block[:taken]]).transpose(0, 3, 1, 2)
                    rest, block = rest[:0], block[taken:]
                rest = np.concatenate([rest, block])
            if len(rest):
                yield rest.transpose(0, 3, 1, 2)
    except (OSError, RuntimeError, KeyError, TypeError) as error:  # TypeError: a kind of number that numpy lacks
        raise ValueError(
            f"{name}: is no HDF5 file, or is damaged or cut short ({one_line(error, 120)}); fetch it again"
        ) from None


def _array(file: h5py.File, name: str, key: str, shape: tuple[int, ...], dtype: type) -> h5py.Dataset:
    """An array of this shape and dtype whose values all lie in this file, in chunks that fit in memory."""
    import h5py

    from bench.files.hdf5_codes import check_stored

    link = file.get(key, getlink=True)
    if link is None:
        raise ValueError(f"{name}: has no array '{key}', only {listed(file) or 'nothing'}")
    if not isinstance(link, h5py.HardLink):
        raise ValueError(f"{name}: '{key}' is a link to somewhere else, wanted the array itself")
    array = file[key]
    if not isinstance(array, h5py.Dataset) or array.shape != shape or array.dtype != dtype:
        what = one_line(f"{array.shape} {array.dtype}") if isinstance(array, h5py.Dataset) else "no array"
        raise ValueError(f"{name}: '{key}' is {what}, the official one {shape} {np.dtype(dtype)}")
    if array.is_virtual or array.external:
        raise ValueError(f"{name}: '{key}' keeps its values in another file, wanted them in this one")
    if array.chunks and math.prod(array.chunks) * array.dtype.itemsize > _MAX_CHUNK:
        raise ValueError(f"{name}: '{key}' is stored in pieces of {array.chunks}, too large to unpack one at a time")
    check_stored(Path(file.filename), f"{name}: '{key}'", array)
    return array


def _check_order(name: str, labels: np.ndarray, sizes: tuple[int, ...]) -> None:
    """The rank of each label must count through the grid."""
    expected = np.unravel_index(np.arange(len(labels)), sizes)
    for factor, column, size, wanted in zip(FACTORS, labels.T, sizes, expected, strict=True):
        values, ranks = np.unique(column, return_inverse=True)
        if len(values) != size:
            raise ValueError(f"{name}: factor '{factor}' has {len(values)} values in the labels, wanted {size}")
        wrong = np.flatnonzero(ranks != wanted)
        if len(wrong):
            raise ValueError(
                f"{name}: image {wrong[0]} has '{factor}' number {ranks[wrong[0]]}, in the official order it has "
                f"{wanted[wrong[0]]}"
            )
