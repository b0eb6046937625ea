"""dSprites in which one factor goes around: the sequences of TVAE and of potential flows.

``tvae``: Keller and Welling (NeurIPS 2021), akandykeller/TopographicVAE, tvae/data/dsprites.py. ``poflow``: Song et al.
(ICML 2023), KingJamesSong/PDETraversal, dsprites.py. Frames are those of ``bench.datasets.dsprites``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bench.datasets import dsprites
from bench.datasets.base import DataInfo, DatasetCard, DataStore, FactorSpace, Source
from bench.datasets.dsprites_renderer import SIDE
from bench.datasets.grid import check_choice
from bench.datasets.transforming_grid import Course, TransformingGrid, grid_info, subset
from bench.registry import register_dataset

NAME = "transforming_dsprites"
COURSES = {
    "tvae": Course(("posX", "posY", "orientation", "scale"), 14, is_cyclic=True, shares_amounts=False),
    "poflow": Course(("posX", "posY", "orientation", "scale", "shape"), 5, is_cyclic=True),
}
_STRIDES = {"tvae": 2, "poflow": 4}
_END = 29  # of the orientations, columns and rows that are kept


@dataclass(frozen=True)
class TransformingDSpritesConfig:
    """Parameters of the data set.

    Attributes:
        script: which values are kept and move: "tvae" or "poflow".
        source: "auto", or what the images must be.
        frames: as for dsprites: "auto", "rendered" or "packed".
    """

    script: str = "tvae"
    source: str = "auto"
    frames: str = "auto"

    def __post_init__(self) -> None:
        check_choice(NAME, "script", self.script, tuple(COURSES))
        check_choice(NAME, "source", self.source, ("auto", "official", "generated"))
        check_choice(NAME, "frames", self.frames, ("auto", "rendered", "packed"))

    @property
    def course(self) -> Course:
        return COURSES[self.script]

    @property
    def images(self) -> dsprites.DSpritesConfig:
        return dsprites.DSpritesConfig(source=self.source, frames=self.frames)


def kept_values(config: TransformingDSpritesConfig) -> list[np.ndarray]:
    """Class indices of dSprites that are kept of shape, scale, orientation, posX, posY."""
    some = np.arange(0, _END, _STRIDES[config.script])
    return [np.arange(3), np.arange(1, 6), some, some, some]


def describe(config: TransformingDSpritesConfig) -> DataInfo:
    """Shapes, views and factors, without opening anything."""
    names = dsprites.factor_space(config.images).names
    factors = FactorSpace(
        names,
        tuple(map(len, kept_values(config))),
        ("categorical", "ordinal", "ordinal", "ordinal", "ordinal"),
        tuple(name in config.course.moving for name in names),
    )
    return grid_info((1, SIDE, SIDE), factors, config.course)


def find_source(config: TransformingDSpritesConfig, root: Path) -> Source:
    """As the data set ``dsprites`` finds it, in its folder."""
    return dsprites.find_source(config.images, root)


CARD = DatasetCard(
    title="Transforming dSprites",
    paper="Keller and Welling, NeurIPS 2021, on dSprites (Matthey et al., 2017)",
    summary="A sprite of which position, orientation or scale goes around its values, one a step.",
    license=dsprites.LICENSE,
    describe=describe,
    source=find_source,
    budgets={"smoke": {}, "quick": {}, "standard": {}, "paper": {}},
    verified="frames as of dsprites; sequences by their factors; 50,625 and 7,680 images as the authors' slices give",
    files=(replace(dsprites.ARCHIVE, folder=dsprites.NAME),),
    notes=(
        "tvae: the smallest scale is dropped, orientations, columns and rows 0, 2, … 28 are kept: 50,625 images. A "
        "sequence begins anywhere; 15 frames take the moving factor once around its values, scale three times. poflow: "
        "orientations, columns and rows 0, 4, … 28, 7,680 images; the shape moves too, and 6 frames of the authors' "
        "five moves are given, of which they take triples. Orientations kept are not a whole turn, so going around "
        "jumps. The authors train and test on the same images; here a fifth of them, by a hash of the first frame "
        "without the place of the moving factor, are test: no test sequence is trained on, but 99 % of test frames "
        "are, in sequences of another transformation."
    ),
)


@register_dataset(NAME, config=TransformingDSpritesConfig, card=CARD)
def transforming_dsprites(config: TransformingDSpritesConfig, store: DataStore) -> TransformingGrid:
    """Sequences with the splits train and test; frames (1, 64, 64) uint8, 0 or 255."""
    source = find_source(config, store.root)
    sprites = subset(dsprites.sprite_reader(replace(config.images, source=source.kind), store), kept_values(config))
    title = f"{CARD.title}, script {config.script}, {source.kind} frames"
    return TransformingGrid(
        describe(config), config.course, lambda cells: (sprites(cells) * np.uint8(255))[:, None], title
    )
