"""Fashion-MNIST (Xiao, Rasul, Vollgraf, 2017): articles of clothing in MNIST's format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.datasets.base import DataInfo, DatasetCard, DataStore, OfficialFile, Source
from bench.datasets.class_images import ClassImagesConfig, describe_classes, labelled_images
from bench.datasets.containers import ImageData
from bench.datasets.idx import idx_source, read_files
from bench.datasets.official import missing_file
from bench.registry import register_dataset

NAME = "fashion_mnist"
_BASE = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
# name, bytes, sha256 and md5 of the packed file; nobody records those of the content
_RECORDS = (
    ("train-images-idx3-ubyte.gz", 26421880,
     "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
    ("train-labels-idx1-ubyte.gz", 29515,
     "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845", "25c81989df183df01b3e8a0aad5dffbe"),
    ("t10k-images-idx3-ubyte.gz", 4422102,
     "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073", "bef4ecab320f06d8554ea6380940ec79"),
    ("t10k-labels-idx1-ubyte.gz", 5148,
     "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5", "bb300cfdad3c16e7a12a480ee83cd310"),
)  # fmt: skip
FILES = tuple(OfficialFile(name, (_BASE + name,), size, sha256, md5) for name, size, sha256, md5 in _RECORDS)


@dataclass(frozen=True)
class FashionMNISTConfig(ClassImagesConfig):
    """Parameters of the data set; source may be "user" (own files of the same layout)."""

    name = NAME
    sources = ("auto", "official", "user")


def describe(config: FashionMNISTConfig) -> DataInfo:
    """Shapes, views and factors, without opening anything."""
    return describe_classes("article", config)


def find_source(config: FashionMNISTConfig, root: Path) -> Source:
    """The official files, known by their content, or own ones of the same layout; nothing can stand in for them.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged, or "official" was asked for and one has other content.
    """
    source = idx_source(NAME, root, FILES, config.source)
    if source is None:
        raise missing_file(NAME, FILES[0])
    return source


CARD = DatasetCard(
    title="Fashion-MNIST",
    paper="Xiao, Rasul, Vollgraf, 2017 (arXiv 1708.07747)",
    summary="70,000 articles of clothing in grey, 28 × 28.",
    license="MIT, (c) 2017 Zalando SE",
    describe=describe,
    source=find_source,
    budgets={"smoke": {}, "quick": {}, "standard": {}, "paper": {}},
    verified="half of the training set and the whole test set, in another order than the published files",
    files=FILES,
    notes=(
        "Official or user's files only. article: T-shirt/top, trouser, pullover, dress, coat, sandal, shirt, sneaker, "
        "bag, ankle boot. size as for mnist: 32 adds two black pixels around, 64 enlarges that to twice its side. "
        "Splits: train (60,000), test (10,000). A file that is not the published one, such as a part of it or the same "
        "images in another order or in another run of gzip, is source user and never shares a cell with official rows. "
        "A first release had test images in the training set and was replaced: the checksums are of the second."
    ),
    version=2,
)


@register_dataset(NAME, config=FashionMNISTConfig, card=CARD)
def fashion_mnist(config: FashionMNISTConfig, store: DataStore) -> ImageData:
    """Images with the splits train and test; the factor is the class of article."""
    source = find_source(config, store.root)
    title = f"{CARD.title}, {source.note or 'official images'}"
    return labelled_images(describe(config), store, lambda: read_files(store.root / NAME, FILES), title)
