"""Data sets that a user added: arrays kept below the data root, in ``added/NAME``, and selected by that name.

``bench.adding`` writes them. Each is a folder with ``card.json``, ``frames.npy`` (uint8) and ``factors.npy``.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from bench.datasets.base import DataInfo, DatasetCard, DataStore, FactorSpace, Source, canonical_json
from bench.datasets.containers import Container, ImageData, Labelled, PairData, SequenceData
from bench.datasets.official import ADDED
from bench.files import npy
from bench.registry import Entry

CARD, FRAMES, FACTORS = "card.json", "frames.npy", "factors.npy"
FORMAT = 1
_PIECE = 1 << 24
_KINDS = ("categorical", "ordinal", "cyclic", "continuous")


@dataclass(frozen=True)
class AddedConfig:
    """An added data set has no parameters: it is what its file held."""


@dataclass(frozen=True)
class AddedCard:
    """What is kept of an added data set beside its arrays.

    Attributes:
        folder: where its arrays lie.
        frames: shape of ``frames.npy``: (n, time, channels, height, width), time 1 for images.
        fingerprint: see ``fingerprint``.
        origin: name of the file it was made from, "arrays" where there was none.
        added: when, ISO 8601.
    """

    folder: Path
    frames: tuple[int, ...]
    factors: FactorSpace
    fingerprint: str
    origin: str
    added: str

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def info(self) -> DataInfo:
        views = ("pairs", "sequences", "images") if self.frames[1] > 1 else ("images",)
        return DataInfo(self.frames[2:], views, self.factors, n_frames=self.frames[1])

    def to_json(self) -> str:
        about = {"format": FORMAT, "frames": self.frames, "factors": asdict(self.factors)}
        return (
            json.dumps(about | {key: getattr(self, key) for key in ("fingerprint", "origin", "added")}, indent=1) + "\n"
        )


def folders(root: Path) -> dict[str, Path]:
    """Folders of the added data sets below a data root by name."""
    found = sorted((root / ADDED).glob("*"))
    return {path.name: path for path in found if path.is_dir() and not path.name.startswith(".")}


def read_card(folder: Path) -> AddedCard:
    """The card of one added data set.

    Raises:
        ValueError: it is not there, damaged, or of a newer form.
    """
    try:
        about = json.loads((folder / CARD).read_text(encoding="utf-8"))
        if about["format"] > FORMAT:
            raise ValueError(f"its form {about['format']} is newer than this version of bench reads ({FORMAT})")
        frames = tuple(int(size) for size in about["frames"])
        factors = FactorSpace(
            names=tuple(map(str, about["factors"]["names"])), sizes=tuple(map(int, about["factors"]["sizes"])),
            kinds=tuple(about["factors"]["kinds"]), dynamic=tuple(map(bool, about["factors"]["dynamic"])),
        )  # fmt: skip
        if len(frames) != 5 or min(frames) < 1 or not set(factors.kinds) <= set(_KINDS):
            raise ValueError(f"frames {frames}, factors {factors.kinds}")
        texts = {key: str(about[key]) for key in ("fingerprint", "origin", "added")}
        return AddedCard(folder, frames, factors, **texts)
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"{folder / CARD}: damaged ({' '.join(str(error).split())[:200]}); add it again") from None


def entries(root: Path) -> dict[str, Entry]:
    """The added data sets as the registry lists them; one with a damaged card says so when it is used."""
    found = {}
    for name, folder in folders(root).items():
        try:
            found[name] = _entry(read_card(folder))
        except ValueError as error:
            found[name] = _damaged_entry(name, str(error))
    return found


def _damaged_entry(name: str, reason: str) -> Entry:
    def refuse(*_: Any) -> Any:
        raise ValueError(reason)

    card = DatasetCard(
        title=name, paper="none", summary=f"Added, but its card is damaged: {reason}", license="your own files",
        describe=refuse, source=refuse, budgets={}, verified="not verified",
    )  # fmt: skip
    return Entry(name, refuse, AddedConfig, card)


def _entry(card: AddedCard) -> Entry:
    n, n_frames = card.frames[:2]
    what = f"{n:,} sequences of {n_frames} images" if n_frames > 1 else f"{n:,} images"
    shape = " × ".join(map(str, card.frames[2:]))
    known = f"factors {', '.join(card.factors.names)}" if card.factors.names else "no factors"
    description = DatasetCard(
        title=card.name,
        paper="none",
        summary=f"Added from {card.origin}: {what} of {shape}, {known}.",
        license="your own files",
        describe=lambda config: card.info,
        source=lambda config, root: Source("user", card.fingerprint, f"added from {card.origin}"),
        budgets={},
        verified="not verified: as it was added",
        notes=f"Added {card.added[:10]}, kept in {card.folder}; deleting that folder removes the data set.",
    )
    return Entry(card.name, partial(open_added, card), AddedConfig, description)


def open_added(card: AddedCard, config: AddedConfig, store: DataStore) -> Container:
    """The container of an added data set: images, or sequences that also offer neighbouring frames as pairs.

    Raises:
        ValueError: its arrays are not those that its card describes.
    """
    frames, factors = arrays(card)
    title = f"{card.name}, added from {card.origin}"
    if card.frames[1] == 1:
        return AddedImages(card.info, frames[:, 0], factors[:, 0], _splits(len(frames)), title)
    return AddedSequences(card.info, frames, factors, _splits(len(frames)), title)


def _splits(n: int) -> dict[str, np.ndarray]:
    """All rows for training, and two parts of them for scores: what a probe is tested on, it was not fitted to.

    Scores are made of thousands of rows drawn with replacement; from a few hundred images, those of the test would
    nearly all be among the fitted ones.
    """
    order, n_test = np.random.default_rng(0).permutation(n), max(1, n // 3)
    return {"train": np.arange(n), "fit": np.sort(order[n_test:]), "test": np.sort(order[:n_test])}


def arrays(card: AddedCard) -> tuple[np.ndarray, np.ndarray]:
    """Frames (n, time, channels, height, width) uint8, mapped, and factors (n, time, k).

    Raises:
        ValueError: they cannot be read, or have another shape or type than the card says.
    """
    dtype = np.int64 if card.factors.is_discrete else np.float64
    wanted = {FRAMES: (card.frames, np.uint8), FACTORS: ((*card.frames[:2], len(card.factors.names)), dtype)}
    found = []
    for name, (shape, kind) in wanted.items():
        try:
            array = npy.mapped(card.folder / name)
            if array.shape != shape or array.dtype != kind:
                raise ValueError(f"{array.shape} {array.dtype}, wanted {shape} {np.dtype(kind)}")
        except (OSError, ValueError, EOFError) as error:
            raise ValueError(
                f"{card.name}: {card.folder / name} is not what was added ({error}); add it again"
            ) from None
        found.append(array)
    return found[0], found[1]


def fingerprint(space: FactorSpace, frames: np.ndarray, factors: np.ndarray) -> str:
    """SHA-256 over shapes, names and kinds of the factors, and every value: equal content gives equal digests."""
    digest = hashlib.sha256(canonical_json([asdict(space), frames.shape, factors.shape]).encode())
    rows = max(1, _PIECE // max(1, frames[:1].nbytes))
    for start in range(0, len(frames), rows):
        digest.update(np.ascontiguousarray(frames[start : start + rows]).tobytes())
    digest.update(np.ascontiguousarray(factors, factors.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()


def verify(folder: Path) -> tuple[bool, str]:
    """Whether the arrays are those that were added, and in words what was found; reads all of them."""
    try:
        card = read_card(folder)
        found = fingerprint(card.factors, *arrays(card))
    except ValueError as error:
        return False, str(error)
    if found != card.fingerprint:
        return (
            False,
            f"its content was {card.fingerprint[:16]}… when it was added, now it is {found[:16]}…; add it again",
        )
    return True, f"content as added from {card.origin} ({found[:16]}…)"


class AddedImages(ImageData):
    """Images whose scores are tested on images of their own."""

    evaluation_splits = ("fit", "test")


class AddedSequences(SequenceData):
    """Sequences whose neighbouring frames are offered as pairs too; ``images`` gives the frames of the same pairs.

    Scores are tested on sequences of their own.
    """

    views: ClassVar[tuple[str, ...]] = ("pairs", "sequences", "images")  # type: ignore[assignment]
    evaluation_splits = ("fit", "test")

    def __init__(
        self, info: DataInfo, frames: np.ndarray, factors: np.ndarray, splits: dict[str, np.ndarray], title: str = ""
    ) -> None:
        super().__init__(info, frames, factors, splits, title=title)
        n, n_frames = frames.shape[:2]
        first = (np.arange(n)[:, None] * n_frames + np.arange(n_frames - 1)).reshape(-1)
        flat_frames, flat_factors = (a.reshape(n * n_frames, *a.shape[2:]) for a in (frames, factors))
        self._pairs = PairData(info, flat_frames, flat_factors, np.stack([first, first + 1], axis=1))

    def labelled(self, n: int, rng: np.random.Generator, split: str = "train", view: str = "images") -> Labelled:
        """n sequences or single frames of the split, or n pairs; independent draws with replacement."""
        if view == "pairs":
            return self._pairs.labelled(n, rng, split, view)
        return super().labelled(n, rng, split, view)

    def _pick(self, view: str, batch_size: int, rng: np.random.Generator, split: str) -> tuple[np.ndarray, np.ndarray]:
        if view == "sequences":
            return super()._pick(view, batch_size, rng, split)
        return self._pairs._pick(view, batch_size, rng, split)

    def _size(self, view: str) -> tuple[int, int]:
        return super()._size(view) if view == "sequences" else self._pairs._size(view)
