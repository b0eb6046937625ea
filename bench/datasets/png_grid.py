"""A full grid of factors as a folder of numbered PNG images: Falcor3D and Isaac3D (Nie et al., ICML 2020).

NVlabs/High-res-disentanglement-datasets. Image ``%06d.png`` is the cell of that number in C order of the factors.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from bench.datasets.base import DataStore, OfficialFile, Source
from bench.datasets.official import missing_file
from bench.datasets.row_file import RowFile

SIDE = 128
_MAX_PNG = 1 << 20  # bytes; 128 × 128 pixels are at most 49 kB
_FINGERPRINT_EVERY = 1_000


@dataclass(frozen=True)
class PngGrid:
    """Such a folder below the data root.

    Attributes:
        name: of the data set, and of its folder below the data root.
        folder: of the images, below that.
        drive: id of the archive at Google Drive.
        sizes: of the factors, slowest first.
    """

    name: str
    folder: str
    drive: str
    sizes: tuple[int, ...]

    def __len__(self) -> int:
        return math.prod(self.sizes)

    @property
    def by_hand(self) -> str:
        """What a person must do; none of the images has a record of its own."""
        return (
            f"open https://drive.google.com/uc?id={self.drive} in a browser and unpack it so that "
            f"{self.name}/{self.folder} below the data folder holds 000000.png … {image_name(len(self) - 1)}"
        )

    def source(self, root: Path) -> Source:
        """The images as official source, known by the content of every thousandth.

        Raises:
            FileNotFoundError: the folder is not there, or an image of it is missing.
        """
        folder = root / self.name / self.folder
        if not folder.is_dir():
            raise missing_file(self.name, OfficialFile(self.folder))
        with os.scandir(folder) as entries:
            found = {entry.name for entry in entries}
        missing = next((name for name in map(image_name, range(len(self))) if name not in found), "")
        if missing:
            n_found = sum(image_name(number) in found for number in range(len(self)))
            raise FileNotFoundError(
                f"{self.name}: {missing} is not in DATA_ROOT/{self.name}/{self.folder}, which has {n_found:,} of "
                f"{len(self):,} images; unpack the archive again (`bench data fetch {self.name}` says how)"
            )
        digest = hashlib.sha256()
        for number in range(0, len(self), _FINGERPRINT_EVERY):
            digest.update((folder / image_name(number)).read_bytes())
        return Source("official", digest.hexdigest())

    def frames(self, store: DataStore, size: int) -> RowFile:
        """Frames (n, 3, size, size) uint8 of the whole grid, in a prepared file; made on first use.

        Raises:
            ValueError: an image is damaged, or not 128 × 128.
            OSError: the frames do not fit in the cache.
        """
        folder = store.root / self.name / self.folder

        def read(rows: slice) -> np.ndarray:
            return np.stack([read_image(folder / image_name(n), size) for n in range(rows.start, rows.stop)])

        return RowFile(store.cached_rows("frames", len(self), read, chunk=512))


def image_name(number: int) -> str:
    return f"{number:06d}.png"


def read_image(path: Path, size: int = SIDE) -> np.ndarray:
    """One image as (3, size, size) uint8; smaller sizes are means of blocks, rounded.

    Raises:
        ValueError: no PNG image of 128 × 128, in one line.
    """
    where = f"{path.parents[2].name}/{path.name}"
    try:
        if path.stat().st_size > _MAX_PNG:
            raise ValueError(f"{where}: has more than {_MAX_PNG:,} bytes, too many for {SIDE} × {SIDE} pixels")
        with Image.open(path, formats=("PNG",)) as image:
            if image.size != (SIDE, SIDE):
                raise ValueError(f"{where}: is {image.size[0]} × {image.size[1]}, wanted {SIDE} × {SIDE}")
            pixels = np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError) as error:
        raise ValueError(f"{where}: is no PNG image, or damaged ({type(error).__name__}); unpack it again") from None
    return reduced(pixels, SIDE // size).transpose(2, 0, 1)


def reduced(pixels: np.ndarray, by: int) -> np.ndarray:
    """Means over blocks of ``by`` × ``by`` pixels of (height, width, channels) uint8, rounded half up."""
    if by == 1:
        return pixels
    height, width, channels = pixels.shape
    blocks = pixels.reshape(height // by, by, width // by, by, channels).sum((1, 3), dtype=np.uint32)
    return ((blocks + by * by // 2) // (by * by)).astype(np.uint8)


def check_size(name: str, size: int, sizes: Sequence[int] = (64, SIDE)) -> None:
    """ValueError unless the side is one that can be read."""
    if size not in sizes:
        raise ValueError(f"{name}: size must be one of {', '.join(map(str, sizes))}, got {size}")
