"""Small grey images of ten classes: what MNIST and Fashion-MNIST share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import numpy as np
from PIL import Image

from bench.datasets.base import DataInfo, DataStore, FactorSpace
from bench.datasets.containers import ImageData
from bench.datasets.grid import check_choice
from bench.datasets.idx import SIDE, IdxFiles

N_CLASSES = 10
_EDGE = 2
_SIZES = (SIDE, SIDE + 2 * _EDGE, 2 * (SIDE + 2 * _EDGE))


@dataclass(frozen=True)
class ClassImagesConfig:
    """Parameters of such a set; each set's own config extends it.

    Attributes:
        size: side of the frames: 28 (as published), 32 (two black pixels around, for networks that halve four times)
            or 64 (enlarged to twice that).
        source: "auto", or what the images must be.
    """

    size: int = 32
    source: str = "auto"

    name: ClassVar[str]
    sources: ClassVar[tuple[str, ...]]

    def __post_init__(self) -> None:
        if self.size not in _SIZES:
            raise ValueError(f"{self.name}: size must be one of {', '.join(map(str, _SIZES))}, got {self.size}")
        check_choice(self.name, "source", self.source, self.sources)


def describe_classes(factor: str, config: ClassImagesConfig) -> DataInfo:
    """Grey images whose one factor has ten classes."""
    factors = FactorSpace((factor,), (N_CLASSES,), ("categorical",), (False,))
    return DataInfo((1, config.size, config.size), ("images",), factors)


def labelled_images(info: DataInfo, store: DataStore, read: Callable[[], IdxFiles], title: str) -> ImageData:
    """The images with the splits train and test; ``read`` is called where the cache lacks something."""
    content = cache(read)
    labels = store.cached("labels", lambda: content().labels)
    n_train = int(store.cached("n-train", lambda: np.array([content().n_train]))[0])
    size = info.observation_shape[-1]
    frames = store.cached_rows("frames", len(labels), lambda rows: framed(content().images[rows], size))
    splits = {"train": np.arange(n_train), "test": np.arange(n_train, len(labels))}
    return ImageData(info, frames, np.asarray(labels)[:, None], splits, title)


def framed(images: np.ndarray, size: int) -> np.ndarray:
    """Images (n, 28, 28) uint8 as frames (n, 1, size, size) uint8.

    28 leaves them alone; 32 adds two black pixels on each side; 64 then enlarges to twice the side with Pillow's
    bilinear filter.
    """
    if size == SIDE:
        return images[:, None]
    padded = np.pad(images, ((0, 0), (_EDGE, _EDGE), (_EDGE, _EDGE)))
    if size == SIDE + 2 * _EDGE:
        return padded[:, None]
    enlarged = [Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR) for image in padded]
    return np.stack([np.asarray(image) for image in enlarged])[:, None]
