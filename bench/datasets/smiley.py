"""Smiley (Tonolini, Jensen & Murray-Smith, UAI 2019, supplement E): faces with attributes that are there or not.

Every image is drawn here; see ``bench.datasets.smiley_renderer``. The authors publish their generator and a test set
(ftonolini45/Variational_Sparse_Coding, Data_Sets/Smiley).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.datasets.base import DataInfo, DatasetCard, DataStore, FactorKind, FactorSpace, Source
from bench.datasets.containers import ImageData, Labelled
from bench.datasets.smiley_renderer import GROUPS, NAMES, SIDE, VARIABLES, draw_faces
from bench.registry import register_dataset

NAME = "smiley"
SPREAD = 0.5  # standard deviation of every variable
_CHUNK = 2_048


@dataclass(frozen=True)
class SmileyConfig:
    """Parameters of the data set.

    Attributes:
        alpha: probability of each attribute.
        n_images: training images; scoring draws new ones.
    """

    alpha: float = 0.5
    n_images: int = 60_000

    def __post_init__(self) -> None:
        if not 0 < self.alpha <= 1:
            raise ValueError(f"{NAME}: alpha must be > 0 and <= 1, got {self.alpha:g}")
        if self.n_images < 1:
            raise ValueError(f"{NAME}: n_images must be at least 1, got {self.n_images}")


def describe(config: SmileyConfig) -> DataInfo:
    """Shapes, views and factors, without opening anything."""
    kind: FactorKind = "continuous"
    n = len(NAMES)
    return DataInfo((1, SIDE, SIDE), ("images",), FactorSpace(NAMES, n * (0,), n * (kind,), n * (False,)))


def find_source(config: SmileyConfig, root: Path) -> Source:
    """Always generated."""
    return Source("generated", note="drawn at the authors' lengths; the bow tie's outline is ours")


CARD = DatasetCard(
    title="Smiley",
    paper="Tonolini, Jensen, Murray-Smith, Variational Sparse Coding, UAI 2019, supplement E",
    summary="A disc that may wear a bow tie, a hat, eyes and a mouth, each present at random and moved by its own "
    "variables.",
    license="generated frames: as this package",
    describe=describe,
    source=find_source,
    budgets={"smoke": {"n_images": 500}, "quick": {}, "standard": {}, "paper": {}},
    verified="on the 20,000 images of the authors' test set, from their variables: all 9,984 without a bow tie are "
    "drawn equal in every pixel; of the 10,016 with one, 6,604 are, the others differ in 1 to 8 of 1,024 pixels",
    notes=(
        "18 variables, N(0, 0.5²): bow tie x, y, width, height; hat x, y, width and height of brim and crown; eyes' "
        "distance, y, radius; mouth's width, height, x, y, bend of its corners. An attribute is there with probability "
        "alpha. Factors are the source vector of the paper, S · V: the variable where its attribute is there, 0 where "
        "it is not. So factors of one attribute are 0 together, and what tells the images apart most, whether an "
        "attribute is there, is seen by a correlation with |factor| rather than with the factor: `bench plot sources` "
        "draws the paper's matrix of |correlations| of |S · V| and |codes|. Scoring draws faces that are not in the "
        "training set. 60,000 faces take 3 s to draw, once. The published images fill 0 and 1 and are divided by their "
        "own norm by the method; here they are 0 and 255."
    ),
)


@register_dataset(NAME, config=SmileyConfig, card=CARD)
def smiley(config: SmileyConfig, store: DataStore) -> Faces:
    """Training images drawn once, and new ones for scoring; factors (n, 18) float64 are S · V."""
    rng = np.random.default_rng(0)  # the training set is part of the data: the same for all seeds
    factors = store.cached("factors", lambda: draw_factors(config.n_images, config.alpha, rng))
    frames = store.cached_rows("frames", config.n_images, lambda rows: faces(factors[rows]), _CHUNK)
    return Faces(describe(config), frames, factors, config.alpha)


def draw_factors(n: int, alpha: float, rng: np.random.Generator) -> np.ndarray:
    """Source vectors S · V, (n, 18) float64: N(0, 0.5²), and 0 where the attribute is absent."""
    present = rng.random((n, len(VARIABLES))) < alpha
    return np.where(present[:, GROUPS], SPREAD * rng.standard_normal((n, len(NAMES))), 0.0)


def faces(factors: np.ndarray) -> np.ndarray:
    """Frames (n, 1, 32, 32) uint8 of source vectors (n, 18); an attribute is absent where its variables are all 0."""
    present = np.stack([(factors[:, i == GROUPS] != 0).any(axis=1) for i in range(len(VARIABLES))], axis=1)
    return draw_faces(present, factors)[:, None]


class Faces(ImageData):
    """A fixed training set; labelled images are always new faces of the same law."""

    def __init__(self, info: DataInfo, frames: np.ndarray, factors: np.ndarray, alpha: float) -> None:
        super().__init__(info, frames, factors, title=f"{CARD.title}, attributes present with probability {alpha:g}")
        self._alpha = alpha

    def labelled(self, n: int, rng: np.random.Generator, split: str = "train", view: str = "images") -> Labelled:
        """n new faces, each with time 1."""
        self._check(view, split)
        factors = draw_factors(n, self._alpha, rng)
        frames = np.empty((n, *self.info.observation_shape), np.uint8)
        for start in range(0, n, _CHUNK):
            frames[start : start + _CHUNK] = faces(factors[start : start + _CHUNK])
        return Labelled(frames[:, None], factors[:, None])
