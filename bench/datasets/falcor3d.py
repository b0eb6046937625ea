"""Falcor3D (Nie et al., ICML 2020): a living room under every combination of lighting and camera.

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

NAME = "falcor3d"
SIZES = {
    "lighting_intensity": 5,
    "lighting_x-dir": 6,
    "lighting_y-dir": 6,
    "lighting_z-dir": 6,
    "camera_x-pos": 6,
    "camera_y-pos": 6,
    "camera_z-pos": 6,
}  # slowest first
GRID = PngGrid(NAME, "Falcor3D_down128/images", "1XAQfFK1x6cpN1eiovbP0hVfLTm5SsSoJ", tuple(SIZES.values()))
COURSE = Course(tuple(SIZES), 4)


@dataclass(frozen=True)
class Falcor3DConfig:
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


def describe(config: Falcor3DConfig) -> DataInfo:
    """Shapes, views and factors, without opening anything."""
    kind: FactorKind = "ordinal"
    factors = FactorSpace(
        tuple(SIZES), GRID.sizes, len(SIZES) * (kind,), tuple(name in COURSE.moving for name in SIZES)
    )
    return grid_info((3, config.size, config.size), factors, COURSE, has_grid=False)


def find_source(config: Falcor3DConfig, root: Path) -> Source:
    """The official images, all of them; there is nothing to use in their place."""
    return GRID.source(root)


CARD = DatasetCard(
    title="Falcor3D",
    paper="Nie et al., Semi-supervised StyleGAN for disentanglement learning, ICML 2020",
    summary="A rendered living room: four factors of lighting and three of the camera, 233,280 images.",
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
        "By hand only: 3.7 GB at 128 × 128 from Google Drive; no checksum is published. A sequence takes the moving "
        "factor through its values 0 … 4, the others stay where they were drawn. The authors' loader adds the moving "
        "digit to one that was drawn and does not take it out first, so that it overflows into slower factors and "
        "freezes the slowest in every other sequence; here the digit is set. They train and test on the same images; "
        "here a fifth of the first frames, by a hash, are test: no test sequence is trained on, but 99.6 % of test "
        "frames are, in sequences of another transformation. The first use writes frames of 11.5 GB (128) or 2.9 GB "
        "(64) to the cache."
    ),
)


@register_dataset(NAME, config=Falcor3DConfig, card=CARD)
def falcor3d(config: Falcor3DConfig, store: DataStore) -> TransformingGrid:
    """Sequences with the splits train and test; frames (3, size, size) uint8."""
    info, frames = describe(config), GRID.frames(store, config.size)
    return TransformingGrid(
        info, COURSE, lambda cells: frames[cell_numbers(cells, info.factors)], f"{CARD.title}, official images"
    )
