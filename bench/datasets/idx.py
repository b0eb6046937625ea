"""Labelled images in idx files, the format of MNIST (LeCun, Cortes, Burges) and Fashion-MNIST (Zalando).

Four bytes (0, 0, type 8 for uint8, number of axes), a big-endian uint32 per axis, then the values. Files are known by
the SHA-256 of their unpacked content: another run of gzip packs the same content into other bytes.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from bench.datasets.base import OfficialFile, Source
from bench.datasets.official import missing_file
from bench.datasets.packed import PackedFile, as_found

SIDE = 28
_UINT8 = 8
_MAX_BYTES = 1 << 28  # five times the largest official file: a false header or a packed bomb ends here


@dataclass(frozen=True)
class IdxFiles:
    """What the four files of such a set hold.

    Attributes:
        images: (n_train + n_test, 28, 28) uint8.
        labels: (n_train + n_test,) int64.
        n_train: rows of the training files, which come first.
    """

    images: np.ndarray
    labels: np.ndarray
    n_train: int


def read_idx(path: Path, n_axes: int) -> np.ndarray:
    """The uint8 array of an idx file, packed with gzip or not.

    Raises:
        ValueError: another magic number, type or number of axes, a header that claims more or less than is there.
    """
    with PackedFile(path) as file:
        shape = _read_header(file, n_axes)
        content = file.read_exactly(math.prod(shape), f"{' × '.join(map(str, shape))} values")
        file.check_end()
    return np.frombuffer(content, np.uint8).reshape(shape)


def _read_header(file: PackedFile, n_axes: int) -> tuple[int, ...]:
    magic = file.read_exactly(4, "first four bytes")
    if magic != bytes((0, 0, _UINT8, n_axes)):
        raise ValueError(
            f"{file.label}: is not an idx file of {n_axes} axes of uint8: it begins with {magic.hex(' ')}, "
            f"wanted 00 00 08 {n_axes:02x}"
        )
    shape = struct.unpack(f">{n_axes}I", file.read_exactly(4 * n_axes, "sizes"))
    if math.prod(shape) > _MAX_BYTES:
        raise ValueError(f"{file.label}: its header claims {math.prod(shape):,} values, too many to be such a file")
    return shape


def idx_source(name: str, root: Path, files: Sequence[OfficialFile], asked: str) -> Source | None:
    """Where the four files of a set come from; None where none of them is there and ``asked`` is "auto".

    "official" where the content of every file is the recorded one, else "user": complete, but not to be taken for the
    published set.

    Raises:
        FileNotFoundError: files were asked for, or some are there, and one is missing.
        ValueError: a file is damaged, or "official" was asked for and one has other content.
    """
    folder = root / name
    files = as_found(name, root, files)
    missing = [file for file in files if not (folder / file.name).is_file()]
    if len(missing) == len(files) and asked == "auto":
        return None
    if missing:
        raise missing_file(name, missing[0])
    digests = [_digests(folder / file.name) for file in files]
    fingerprint = hashlib.sha256("".join(content for content, _ in digests).encode()).hexdigest()
    strange = [file for file, found in zip(files, digests, strict=True) if not _is_official(file, *found)]
    if asked == "official" and strange:
        raise ValueError(
            f"{name}: {strange[0].name} in DATA_ROOT/{name} has other content than the published file. "
            f"Run `bench data fetch {name}`, or take it as your own with {name}[source=user]."
        )
    if asked == "user" or strange:
        counts = [_count(folder / file.name) for file in files[::2]]
        return Source("user", fingerprint, f"own files of {counts[0]:,} training and {counts[1]:,} test items")
    return Source("official", fingerprint)


def _is_official(file: OfficialFile, content: str, whole: str) -> bool:
    return content == file.content_sha256 if file.content_sha256 else whole == file.sha256


def _digests(path: Path) -> tuple[str, str]:
    """Hex SHA-256 of the unpacked content and of the file itself."""
    stat = path.stat()
    return _digests_of(path, stat.st_size, stat.st_mtime_ns)


@lru_cache
def _digests_of(path: Path, size: int, changed: int) -> tuple[str, str]:
    content, n_bytes = hashlib.sha256(), 0
    with PackedFile(path) as file:
        while piece := file.read(1 << 20):
            content.update(piece)
            n_bytes += len(piece)
            if n_bytes > _MAX_BYTES + 16:
                raise ValueError(f"{file.label}: unpacks to more than {_MAX_BYTES:,} bytes, too many to be such a file")
    with path.open("rb") as whole:
        return content.hexdigest(), hashlib.file_digest(whole, "sha256").hexdigest()


def _count(path: Path) -> int:
    with PackedFile(path) as file:
        return _read_header(file, 3)[0]


def read_files(folder: Path, files: Sequence[OfficialFile], n_classes: int = 10) -> IdxFiles:
    """The images and labels of a set's four files: training images and labels, test images and labels.

    Raises:
        ValueError: images of another size than 28 × 28, as many labels as images, or a label out of range.
    """
    paths = [folder / file.name for file in as_found(folder.name, folder.parent, files)]
    images, labels = [], []
    for image_path, label_path in zip(paths[::2], paths[1::2], strict=True):
        pictures, names = read_idx(image_path, 3), read_idx(label_path, 1)
        where = f"{folder.name}/{image_path.name}"
        if pictures.shape[1:] != (SIDE, SIDE) or not len(pictures):
            raise ValueError(f"{where}: wanted images of {SIDE} × {SIDE}, found {' × '.join(map(str, pictures.shape))}")
        if len(pictures) != len(names):
            raise ValueError(f"{where}: has {len(pictures):,} images, but {label_path.name} has {len(names):,} labels")
        if names.max() >= n_classes:
            raise ValueError(f"{folder.name}/{label_path.name}: labels are 0 … {n_classes - 1}, found {names.max()}")
        images.append(pictures)
        labels.append(names)
    return IdxFiles(np.concatenate(images), np.concatenate(labels).astype(np.int64), len(images[0]))
