"""Isaac3D (Nie et al., ICML 2020): a robot arm in a kitchen that holds an object.

Sequences as in FFRL (Song et al., NeurIPS 2023), KingJamesSong/latent-flow, with the indices mended; official images
only, see ``bench.datasets.png_grid``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.datasets.base import DataInfo, DatasetCard, DataStore, FactorKind, FactorSpace, Source
from bench.datasets.grid import cell_numbers, check_choice
from bench.datasets.png_grid import SIDE, PngGrid, check_size
from bench.datasets.transforming_grid import Course, TransformingGrid, grid_info
from bench.registry import register_dataset

NAME = "isaac3d"
SIZES = {
    "object_shape": 3,
    "robot_x-move": 8,
    "robot_y-move": 5,
    "camera_height": 4,
    "object_scale": 4,
    "lighting_intensity": 4,
    "lighting_y-dir": 6,
    "object_color": 4,
    "wall_color": 4,
}  # slowest first
GRID = PngGrid(NAME, "Isaac3D_down128/images", "1OmQ1G2wnm6eTsSFGTKFZZAh5D3nQTW1B", tuple(SIZES.values()))
COURSE = Course(tuple(name for name in SIZES if name != "object_shape"), 3)


@dataclass(frozen=True)
class Isaac3DConfig:
    """Parameters of the data set.

    Attributes:
        size: side of the frames: 128, or 64 (means of four pixels).
        source: "auto" or "official".
    """

    size: int = SIDE
    source: str = "auto"

    def __post_init__(self) -> None:
        check_size(NAME, self.size)
        check_choice(NAME, "source", self.source, ("auto", "official"))


def describe(config: Isaac3DConfig) -> DataInfo:
    """Shapes, views and factors, without opening anything."""
    kinds: tuple[FactorKind, ...] = ("categorical", *("ordinal",) * 6, "categorical", "categorical")
    factors = FactorSpace(tuple(SIZES), GRID.sizes, kinds, tuple(name in COURSE.moving for name in SIZES))
    return grid_info((3, config.size, config.size), factors, COURSE, has_grid=False)


def find_source(config: Isaac3DConfig, root: Path) -> Source:
    """The official images, all of them; there is nothing to use in their place."""
    return GRID.source(root)


CARD = DatasetCard(
    title="Isaac3D",
    paper="Nie et al., Semi-supervised StyleGAN for disentanglement learning, ICML 2020",
    summary="A robot arm in a kitchen: nine factors of robot, camera, object, lighting and wall, 737,280 images.",
    license="CC BY 4.0, NVIDIA Corporation",
    describe=describe,
    source=find_source,
    budgets={"smoke": {"size": 64}, "quick": {"size": 64}, "standard": {}, "paper": {}},
    verified=(
        "names, sizes and order of the factors against the traversals of the authors' repository; reader against "
        "folders of the official layout, never run on the official images, which were not at hand"
    ),
    by_hand=GRID.by_hand,
    notes=(
        "By hand only: 13 GB at 128 × 128 from Google Drive; no checksum is published. The order of the factors is "
        "that of the authors' code and of their sample strips; their README prints scale and camera height before the "
        "robot, beside strides that fit this order alone. A sequence takes the moving factor through its values 0 … 3, "
        "the others stay where they were drawn; the shape never moves. FFRL's loader carries into slower factors (see "
        "falcor3d); here the digit is set. They train and test on the same images; here a fifth of the first frames, "
        "by a hash, are test: no test sequence is trained on, but 99.9 % of test frames are, in sequences of another "
        "transformation. The first use writes frames of 36 GB (128) or 9 GB (64) to the cache."
    ),
)


@register_dataset(NAME, config=Isaac3DConfig, card=CARD)
def isaac3d(config: Isaac3DConfig, store: DataStore) -> TransformingGrid:
    """Sequences with the splits train and test; frames (3, size, size) uint8."""
    info, frames = describe(config), GRID.frames(store, config.size)
    return TransformingGrid(
        info, COURSE, lambda cells: frames[cell_numbers(cells, info.factors)], f"{CARD.title}, official images"
    )
