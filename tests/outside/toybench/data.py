"""A square that moves over an 8 × 8 frame: factors row, column, shade."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.datasets.base import DataInfo, DatasetCard, FactorSpace, Source
from bench.datasets.containers import GridData
from bench.registry import register_dataset

SIZES = (4, 4, 3)


@dataclass(frozen=True)
class ToySquaresConfig:
    n_pairs: int = 200


def describe(config):
    factors = FactorSpace(("row", "column", "shade"), SIZES, ("ordinal",) * 3, (True, True, False))
    return DataInfo((1, 8, 8), ("pairs", "images"), factors, has_grid=True)


def render(cells, rng):
    frames = np.zeros((len(cells), 1, 8, 8), np.uint8)
    for frame, (row, column, shade) in zip(frames, cells, strict=True):
        frame[0, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2] = 85 * (shade + 1)
    return frames


CARD = DatasetCard(
    title="Toy squares", paper="none", summary="A square on an 8 × 8 frame.", license="generated",
    describe=describe, source=lambda config, root: Source("generated"), budgets={}, verified="by its own test",
)  # fmt: skip


@register_dataset("toy_squares", config=ToySquaresConfig, card=CARD)
def toy_squares(config, store):
    cells = np.stack(np.unravel_index(np.arange(np.prod(SIZES)), SIZES), axis=1)
    pairs = np.random.default_rng(0).integers(len(cells), size=(config.n_pairs, 2))
    return GridData(describe(config), render(cells, None), cells, pairs, render)
