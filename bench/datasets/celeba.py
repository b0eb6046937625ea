"""CelebA (Liu et al., ICCV 2015): aligned photographs of faces with forty yes-or-no attributes."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import cast

import numpy as np
import PIL
from PIL import Image

from bench.datasets.base import DataInfo, DatasetCard, DataStore, FactorKind, FactorSpace, OfficialFile, Source
from bench.datasets.containers import ImageData
from bench.datasets.grid import check_choice
from bench.datasets.official import missing_file, official_source
from bench.datasets.row_file import RowFile
from bench.files.archives import DAMAGE
from bench.messages import one_line
from bench.registry import register_dataset

NAME = "celeba"
N_IMAGES = 202_599
ATTRIBUTES = (
    "5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Bald", "Bangs", "Big_Lips", "Big_Nose",
    "Black_Hair", "Blond_Hair", "Blurry", "Brown_Hair", "Bushy_Eyebrows", "Chubby", "Double_Chin", "Eyeglasses",
    "Goatee", "Gray_Hair", "Heavy_Makeup", "High_Cheekbones", "Male", "Mouth_Slightly_Open", "Mustache",
    "Narrow_Eyes", "No_Beard", "Oval_Face", "Pale_Skin", "Pointy_Nose", "Receding_Hairline", "Rosy_Cheeks",
    "Sideburns", "Smiling", "Straight_Hair", "Wavy_Hair", "Wearing_Earrings", "Wearing_Hat", "Wearing_Lipstick",
    "Wearing_Necklace", "Wearing_Necktie", "Young",
)  # fmt: skip
SPLITS = ("train", "validation", "test")  # numbers 0, 1, 2 of the partition file
_WIDTH, _HEIGHT = 178, 218
_CROP = (0, 20, _WIDTH, 20 + _WIDTH)  # the middle square: left, top, right, bottom
_MAX_JPEG = 1 << 20
_CHUNK = 512
_FOLDER = "img_align_celeba"

_BY_HAND = (
    "read the terms at mmlab.ie.cuhk.edu.hk/projects/CelebA.html, then open "
    "https://drive.google.com/uc?id={} in a browser and save the file as {}"
)
# name, id at Google Drive, bytes, md5, sha256
_RECORDS = (
    (f"{_FOLDER}.zip", "0B7EVK8r0v71pZjFTYXZWM3FlRnM", 1_443_490_838, "00d2c5bc6d35e252742224ab0c1e8fcb",
     "46fb89443c578308acf364d7d379fe1b9efb793042c0af734b6112e4fd3a8c74"),
    ("list_attr_celeba.txt", "0B7EVK8r0v71pblRyaVFSWGxPY0U", 26_721_026, "75e246fa4810816ffd6ee81facbd244c", ""),
    ("list_eval_partition.txt", "0B7EVK8r0v71pY0NSMzRuSXJEVkk", 2_836_386, "d32c9cbf5e040fd4025c592c306e6668", ""),
)  # fmt: skip
FILES = tuple(
    OfficialFile(name, size=size, md5=md5, sha256=sha256, by_hand=_BY_HAND.format(drive, name))
    for name, drive, size, md5, sha256 in _RECORDS
)


@dataclass(frozen=True)
class CelebAConfig:
    """Parameters of the data set.

    Attributes:
        crop: "square" (the middle 178 × 178, as the Variational Sparse Coding code does) or "none" (the whole picture,
            made square).
        size: side of the frames: 64, or 32.
        source: "auto" or "official".
    """

    crop: str = "square"
    size: int = 64
    source: str = "auto"

    def __post_init__(self) -> None:
        check_choice(NAME, "crop", self.crop, ("square", "none"))
        check_choice(NAME, "source", self.source, ("auto", "official"))
        if self.size not in (32, 64):
            raise ValueError(f"{NAME}: size must be one of 32, 64, got {self.size}")


def describe(config: CelebAConfig) -> DataInfo:
    """Shapes, views and factors, without opening anything."""
    n = len(ATTRIBUTES)
    kind: FactorKind = "categorical"
    factors = FactorSpace(ATTRIBUTES, n * (2,), n * (kind,), n * (False,))
    return DataInfo((3, config.size, config.size), ("images",), factors)


def find_source(config: CelebAConfig, root: Path) -> Source:
    """The official files; there is nothing to use in their place.

    Raises:
        FileNotFoundError: one of them is not there.
    """
    source = official_source(NAME, root, FILES, config.source)
    if source is None:
        raise missing_file(NAME, next(file for file in FILES if not (root / NAME / file.name).is_file()))
    return source


CARD = DatasetCard(
    title="CelebA",
    paper="Liu, Luo, Wang, Tang, ICCV 2015",
    summary="202,599 aligned photographs of faces with forty yes-or-no attributes, reduced to 64 × 64.",
    license="non-commercial research only; no redistribution",
    notice="Non-commercial research only. Pictures of people: neither the files nor frames made from them may be "
    "passed on, and nothing of them may be put where others can read it.",
    describe=describe,
    source=find_source,
    budgets={"smoke": {}, "quick": {}, "standard": {}, "paper": {}},
    verified="reader against files of the official layout; never run on the official files, which were not at hand",
    files=FILES,
    notes=(
        "By hand only: its host refuses programs. crop=square takes the middle 178 × 178 (rows 20 to 197), crop=none "
        "squeezes the whole 178 × 218 into a square; then Pillow's bilinear filter. Works on CelebA differ here, so "
        "say which. Splits train, validation, test as list_eval_partition.txt has them; Variational Sparse Coding "
        "shuffled a directory listing instead. The attributes are judgements of annotators, correlated, and no grid."
    ),
    version=2,
)


@register_dataset(NAME, config=CelebAConfig, card=CARD)
def celeba(config: CelebAConfig, store: DataStore) -> ImageData:
    """Images with three splits; the factors are the forty attributes, 1 where the file has 1 and 0 where it has -1."""
    folder = store.root / NAME
    labels = store.cached("labels", partial(read_labels, folder))
    with _FaceArchive(folder / FILES[0].name) as archive:
        rows = store.cached_rows(
            f"frames-pillow-{PIL.__version__}", len(labels), partial(archive.frames, config.crop, config.size), _CHUNK
        )
    splits = {name: np.flatnonzero(labels[:, -1] == number) for number, name in enumerate(SPLITS)}
    title = f"{CARD.title}, crop={config.crop}, official images"
    frames = cast(np.ndarray, RowFile(rows))
    return ImageData(
        describe(config),
        frames,
        np.asarray(labels[:, :-1], np.int64),
        {n: r for n, r in splits.items() if len(r)},
        title,
    )


def read_labels(folder: Path) -> np.ndarray:
    """Attributes (0 or 1) and, in the last column, the number of the split: (n, 41) int8, in the order of file names.

    Raises:
        ValueError: a file is cut short or of another layout.
    """
    labels = np.empty((N_IMAGES, len(ATTRIBUTES) + 1), np.int8)
    attributes, partition = (folder / file.name for file in FILES[1:])
    lines = _lines(attributes)
    count, names = next(lines, []), next(lines, [])
    if count != [str(N_IMAGES)] or names != list(ATTRIBUTES):
        raise ValueError(
            f"{NAME}/{attributes.name}: wanted {N_IMAGES} in its first line and the names of {len(ATTRIBUTES)} "
            f"attributes in its second, found '{one_line(' '.join(count), 40)}' and {len(names)} names"
        )
    for i, values in enumerate(_rows(lines, attributes, {"1": 1, "-1": 0}, len(ATTRIBUTES))):
        labels[i, :-1] = values
    for i, values in enumerate(_rows(_lines(partition), partition, {"0": 0, "1": 1, "2": 2}, 1)):
        labels[i, -1] = values[0]
    if not (labels[:, -1] == 0).any():
        raise ValueError(f"{NAME}/{partition.name}: names no image of the training set (0)")
    return labels


def _lines(path: Path) -> Iterator[list[str]]:
    with path.open(encoding="ascii", errors="replace") as file:
        while line := file.readline(1 << 12):
            yield line.split()


def _rows(lines: Iterator[list[str]], path: Path, values: dict[str, int], n: int) -> Iterator[list[int]]:
    """The values of lines 'name value …', each for the image whose turn it is."""
    number = 0
    for words in lines:
        if not words:
            continue
        number += 1
        if (
            number > N_IMAGES
            or words[0] != image_name(number)
            or len(words) != n + 1
            or not values.keys() >= {*words[1:]}
        ):
            wanted = f"{image_name(number)} and {n} of {', '.join(values)}" if number <= N_IMAGES else "no more lines"
            raise ValueError(
                f"{NAME}/{path.name}: image {number}: wanted {wanted}, found '{one_line(' '.join(words))}'"
            )
        yield [values[word] for word in words[1:]]
    if number < N_IMAGES:
        raise ValueError(f"{NAME}/{path.name}: ends after {number:,} of {N_IMAGES:,} images; get it again")


def image_name(number: int) -> str:
    """File name of image 1 … n."""
    return f"{number:06d}.jpg"


class _FaceArchive:
    """The zip file of photographs, read by exact member names; nothing is unpacked to disk. A context manager."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> _FaceArchive:
        self._archive: zipfile.ZipFile | None = None
        return self

    def __exit__(self, *error: object) -> None:
        if self._archive:
            self._archive.close()

    def frames(self, crop: str, size: int, rows: slice) -> np.ndarray:
        """Frames (n, 3, size, size) uint8 of the images of these rows."""
        # Opened only here: the directory of 200,000 names takes seconds, and the frames are mostly in the cache.
        if self._archive is None:
            try:
                self._archive = zipfile.ZipFile(self._path)
            except (FileNotFoundError, PermissionError):
                raise
            except (*DAMAGE, OSError):
                raise ValueError(
                    f"{NAME}/{self._path.name}: is not a zip file, or is cut short; get it again"
                ) from None
        frames = np.empty((rows.stop - rows.start, 3, size, size), np.uint8)
        for frame, row in zip(frames, range(rows.start, rows.stop), strict=True):
            frame[:] = self._face(image_name(row + 1), crop, size).transpose(2, 0, 1)
        return frames

    def _face(self, name: str, crop: str, size: int) -> np.ndarray:
        assert self._archive is not None
        where = f"{NAME}/{self._path.name}: {_FOLDER}/{name}"
        try:
            with self._archive.open(f"{_FOLDER}/{name}") as member:
                content = member.read(_MAX_JPEG + 1)
        except KeyError:
            raise ValueError(f"{where}: is not in the archive") from None
        except (*DAMAGE, OSError) as error:
            raise ValueError(f"{where}: is damaged ({one_line(error, 150)}); get the archive again") from None
        if len(content) > _MAX_JPEG:
            raise ValueError(f"{where}: is larger than {_MAX_JPEG:,} bytes")
        return _decoded(content, crop, size, where)


def _decoded(content: bytes, crop: str, size: int, where: str) -> np.ndarray:
    """(size, size, 3) uint8 of one photograph."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pictures somewhat too large: refused below
            with Image.open(BytesIO(content), formats=("JPEG",)) as picture:
                if picture.size != (_WIDTH, _HEIGHT):  # known from the header, before anything is decoded
                    raise ValueError(f"is {picture.size[0]} × {picture.size[1]}, wanted {_WIDTH} × {_HEIGHT}")
                face = picture.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{where}: no photograph ({one_line(error, 150)})") from None
    if crop == "square":
        face = face.crop(_CROP)  # resize's own box would let the filter see the pixels beyond it
    return np.asarray(face.resize((size, size), Image.Resampling.BILINEAR))
