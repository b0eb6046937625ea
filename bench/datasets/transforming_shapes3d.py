"""3D Shapes in which one factor moves: the sequences of FFRL (Song et al., NeurIPS 2023).

KingJamesSong/latent-flow, datasets/Shapes3d.py and scripts/shapes.sh. Frames are those of ``bench.datasets.shapes3d``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from bench.datasets import shapes3d
from bench.datasets.base import DataInfo, DatasetCard, DataStore, FactorSpace, Source, canonical_json
from bench.datasets.grid import check_choice
from bench.datasets.shapes3d_renderer import SIDE
from bench.datasets.transforming_grid import Course, TransformingGrid, grid_info
from bench.registry import register_dataset

NAME = "transforming_shapes3d"
MOVING = ("floor_hue", "wall_hue", "object_hue", "scale", "orientation")
N_STEPS = 7


@dataclass(frozen=True)
class TransformingShapes3DConfig:
    """Parameters of the data set.

    Attributes:
        n_transformations: 5 as the authors' script trains, or 4, without the orientation, as they report.
        source: "auto", or what the images must be.
    """

    n_transformations: int = 5
    source: str = "auto"

    def __post_init__(self) -> None:
        if self.n_transformations not in (4, 5):
            raise ValueError(f"{NAME}: n_transformations must be 4 or 5, got {self.n_transformations}")
        check_choice(NAME, "source", self.source, ("auto", "official", "generated"))

    @property
    def course(self) -> Course:
        return Course(MOVING[: self.n_transformations], N_STEPS)


def _images(config: TransformingShapes3DConfig) -> shapes3d.Shapes3DConfig:
    return shapes3d.Shapes3DConfig(source=config.source)


def describe(config: TransformingShapes3DConfig) -> DataInfo:
    """Shapes, views and factors, without opening anything."""
    space = shapes3d.factor_space(_images(config))
    moves = tuple(name in config.course.moving for name in space.names)
    factors = FactorSpace(space.names, space.sizes, space.kinds, moves)
    return grid_info((3, SIDE, SIDE), factors, config.course)


def find_source(config: TransformingShapes3DConfig, root: Path) -> Source:
    """As the data set ``shapes3d`` finds it, in its folder."""
    return shapes3d.find_source(_images(config), root)


CARD = DatasetCard(
    title="Transforming 3D Shapes",
    paper="Song, Keller, Sebe, Welling, NeurIPS 2023, on 3D Shapes (Burgess and Kim, 2018)",
    summary="A room in which one of floor hue, wall hue, object hue, scale and orientation runs through eight values.",
    license=shapes3d.CARD.license,
    describe=describe,
    source=find_source,
    budgets={"smoke": {}, "quick": {}, "standard": {}, "paper": {}},
    verified="frames as of shapes3d; sequences by their factors: one moves by one value a step, the others are still",
    files=(replace(shapes3d.FILE, folder=shapes3d.NAME),),
    notes=(
        "As the authors: every factor is drawn, then the moving one takes its values 0 … 7 (of 10 hues, 8 scales, 15 "
        "orientations); the shape never moves, and all sequences of a batch move the same factor. They train on five "
        "transformations and report four. They have no split; here a fifth of the first frames, by a hash, are test: "
        "no test sequence is trained on, but 98 % of test frames are, in sequences of another transformation. Hues can "
        "go around (`moved`); scale and orientation end at their last value."
    ),
)


@register_dataset(NAME, config=TransformingShapes3DConfig, card=CARD)
def transforming_shapes3d(config: TransformingShapes3DConfig, store: DataStore) -> TransformingGrid:
    """Sequences (8 frames) with the splits train and test; frames (3, 64, 64) uint8."""
    source = find_source(config, store.root)
    images = shapes3d.Shapes3DConfig(source=source.kind)
    # the key that shapes3d gives what all its pair laws share, so that one prepared copy serves both
    key = [shapes3d.NAME, shapes3d.CARD.version, {"source": source.kind}, source.kind, source.fingerprint]
    read = shapes3d.cell_reader(images, DataStore(store.root, store.cache, canonical_json(key)))
    return TransformingGrid(describe(config), config.course, read, f"{CARD.title}, {source.kind} frames")
