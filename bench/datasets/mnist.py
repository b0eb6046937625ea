"""MNIST (LeCun, Cortes, Burges): handwritten digits; where absent, the smaller digits that scikit-learn brings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from bench.datasets.base import DataInfo, DatasetCard, DataStore, OfficialFile, Source
from bench.datasets.class_images import ClassImagesConfig, describe_classes, labelled_images
from bench.datasets.containers import ImageData
from bench.datasets.idx import SIDE, IdxFiles, idx_source, read_files
from bench.registry import register_dataset

NAME = "mnist"
N_BUNDLED_TRAIN = 1_500  # of 1,797; the others are the test split
_BOX = 20  # MNIST's digits fill a box of this side in the middle of the frame

_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "http://yann.lecun.com/exdb/mnist/",
)
# name, bytes, sha256 and md5 of the packed file, sha256 and md5 of its content
_RECORDS = (
    ("train-images-idx3-ubyte.gz", 9912422,
     "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609", "f68b3c2dcbeaaa9fbdd348bbdeb94873",
     "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db", "6bbc9ace898e44ae57da46a324031adb"),
    ("train-labels-idx1-ubyte.gz", 28881,
     "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c", "d53e105ee54ea40749a09fcbcd1e9432",
     "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5", "a25bea736e30d166cdddb491f175f624"),
    ("t10k-images-idx3-ubyte.gz", 1648877,
     "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6", "9fb629c4189551a2d022fa330f9573f3",
     "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7", "2646ac647ad5339dbf082846283269ea"),
    ("t10k-labels-idx1-ubyte.gz", 4542,
     "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6", "ec29112dd5afa0611ce80d1b7f02629c",
     "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2", "27ae3e4e09519cfbb04c329615203637"),
)  # fmt: skip
FILES = tuple(
    OfficialFile(name, tuple(mirror + name for mirror in _MIRRORS), size, sha256, md5, content_sha256=c, content_md5=m)
    for name, size, sha256, md5, c, m in _RECORDS
)


@dataclass(frozen=True)
class MNISTConfig(ClassImagesConfig):
    """Parameters of the data set; source may be "bundled" (scikit-learn's digits) or "user" (own files)."""

    name = NAME
    sources = ("auto", "official", "bundled", "user")


def describe(config: MNISTConfig) -> DataInfo:
    """Shapes, views and factors, without opening anything."""
    return describe_classes("digit", config)


def find_source(config: MNISTConfig, root: Path) -> Source:
    """The official files, known by their content; own ones of the same layout; else scikit-learn's digits.

    Raises:
        FileNotFoundError: files were asked for, or some of the four are there, and one is missing.
        ValueError: a file is damaged, or "official" was asked for and one has other content.
    """
    source = None if config.source == "bundled" else idx_source(NAME, root, FILES, config.source)
    return source or Source(
        "bundled", note="1,797 digits of 8 × 8 pixels that scikit-learn brings, enlarged; not MNIST"
    )


CARD = DatasetCard(
    title="MNIST",
    paper="LeCun, Cortes, Burges, 1998",
    summary="70,000 handwritten digits in grey; without the files, 1,797 smaller ones.",
    license="CC BY-SA 3.0 (as generally stated); scikit-learn's digits: CC BY 4.0 (UCI repository)",
    describe=describe,
    source=find_source,
    budgets={"smoke": {}, "quick": {}, "standard": {}, "paper": {}},
    verified="the complete set, known by the checksums of its content; labels per class and first labels as published",
    files=FILES,
    notes=(
        "28 × 28; size=32 adds two black pixels around and changes no other, size=64 enlarges that to twice its side "
        "with Pillow's bilinear filter. Splits: train (60,000), test (10,000). A file whose content is not the "
        "published one is source user. bundled: scikit-learn's load_digits (8 × 8, 17 grey levels; Alpaydin, Kaynak), "
        "enlarged to the 20 × 20 box of MNIST's digits with Pillow's bicubic filter, four black pixels around; the "
        "first 1,500 are train, the last 297 test, both drawn from with replacement for scoring."
    ),
    version=2,
)


@register_dataset(NAME, config=MNISTConfig, card=CARD)
def mnist(config: MNISTConfig, store: DataStore) -> ImageData:
    """Images with the splits train and test; the factor is the digit."""
    source = find_source(config, store.root)
    if source.kind == "bundled":
        return labelled_images(describe(config), store, bundled_digits, "Digits of scikit-learn (not MNIST), bundled")
    title = f"{CARD.title}, {source.note or 'official images'}"
    return labelled_images(describe(config), store, lambda: read_files(store.root / NAME, FILES), title)


def bundled_digits() -> IdxFiles:
    """scikit-learn's digits in MNIST's frame: (1797, 28, 28) uint8."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    grey = np.round(digits.images * (255 / 16)).astype(np.uint8)
    images = np.zeros((len(grey), SIDE, SIDE), np.uint8)
    edge = (SIDE - _BOX) // 2
    for frame, picture in zip(images, grey, strict=True):
        enlarged = Image.fromarray(picture).resize((_BOX, _BOX), Image.Resampling.BICUBIC)
        frame[edge:-edge, edge:-edge] = np.asarray(enlarged)
    return IdxFiles(images, digits.target.astype(np.int64), N_BUNDLED_TRAIN)
