"""Opened data sets: observations kept as uint8 (often a memory map), and the few calls that training and scoring make.

Every draw is a function of the numpy generator's state alone: one small call of it per batch, nothing read ahead. So a
run that stores ``rng.bit_generator.state`` after a step and goes on later sees the same batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from bench.api import DataSpec
from bench.datasets.base import DataInfo, FactorSpace

RenderFunction = Callable[[np.ndarray, np.random.Generator], np.ndarray]
SampleFunction = Callable[[int, np.random.Generator], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Draw:
    """One training batch before the loop adds the step to it.

    Attributes:
        x: (batch, time, *observation) float32 in [0, 1], on the device asked for.
        index: rows of the training set, int64 (batch,), on the same device.
        transformation: how much of each transformation acted between frames, (batch, time - 1, n_transformations)
            float32, where the view has them.
        extras: further arrays that ``DataSpec.extras`` announced.
    """

    x: Tensor
    index: Tensor
    transformation: Tensor | None = None
    extras: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Labelled:
    """Observations with their ground truth, for scoring.

    Attributes:
        x: (n, time, *observation), uint8 for images, float32 for features.
        factors: (n, time, n_factors); int64, or float64 where a factor is continuous (its discrete columns then hold
            whole numbers).
        groups: speaker or sequence ids, int64 (n,); None where observations are independent.
        amounts: how much of each transformation acted between frames, (n, time - 1, n_transformations) float32, where
            the view has them.
    """

    x: np.ndarray
    factors: np.ndarray
    groups: np.ndarray | None = None
    amounts: np.ndarray | None = None


class Container:
    """What all containers share: the checks of view and split, and turning stored frames into a batch.

    Args:
        info: what the data set says of itself; ``info.views`` narrows what the container offers.
        frames: stored observations, uint8 or float32; the last axes are ``info.observation_shape``.
        title: name, form and source, for pictures.
    """

    views: ClassVar[tuple[str, ...]] = ()

    def __init__(self, info: DataInfo, frames: np.ndarray, title: str = "") -> None:
        shape = info.observation_shape
        if frames.dtype not in (np.uint8, np.float32):
            raise TypeError(f"{type(self).__name__}: frames must be uint8 or float32, got {frames.dtype}")
        if frames.shape[frames.ndim - len(shape) :] != shape:
            raise ValueError(
                f"{type(self).__name__}: frames {frames.shape} do not end in the observation shape {shape}"
            )
        self.info = info
        self.frames = frames
        self.title = title
        self.splits: tuple[str, ...] = ("train",)

    def labelled(self, n: int, rng: np.random.Generator, split: str = "train", view: str = "images") -> Labelled:
        """n labelled items of the view, drawn from ``rng`` alone."""
        raise NotImplementedError

    def spec(self, view: str) -> DataSpec:
        """What a method that trains on ``view`` may know of the data."""
        self._check(view, "train")
        n_frames, n_train = self._size(view)
        info = self.info
        return DataSpec(
            info.observation_shape, n_frames, n_train, self._n_sequences(), info.extras, info.transformations
        )

    def batches(
        self,
        view: str,
        batch_size: int,
        rng: np.random.Generator,
        split: str = "train",
        device: str | torch.device = "cpu",
        extras: Sequence[str] = (),
    ) -> Iterator[Draw]:
        """Endless batches of ``batch_size`` items of the view, drawn uniformly with replacement.

        Args:
            extras: names of ``info.extras`` that each batch shall bring.
        """
        self._check(view, split)
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        missing = [name for name in extras if name not in self.info.extras]
        if missing:
            known = ", ".join(self.info.extras) or "none"
            raise ValueError(f"batches of this data set bring no '{missing[0]}'; it has {known}")
        return self._draws(view, batch_size, rng, split, torch.device(device), tuple(extras))

    def _draws(
        self,
        view: str,
        batch_size: int,
        rng: np.random.Generator,
        split: str,
        device: torch.device,
        extras: tuple[str, ...],
    ) -> Iterator[Draw]:
        while True:
            x, index = self._pick(view, batch_size, rng, split)
            beside = {name: as_float(self._extra(name, index, view, split), device) for name in extras}
            yield Draw(as_float(x, device), to_device(torch.from_numpy(index), device), extras=beside)

    def _check(self, view: str, split: str) -> None:
        offered = [v for v in self.views if v in self.info.views]
        if view not in offered:
            raise ValueError(f"view '{view}' is not offered by this data set, only {', '.join(offered)}")
        if split not in self.splits:
            raise ValueError(f"split '{split}' does not exist in this data set, only {', '.join(self.splits)}")

    def _pick(self, view: str, batch_size: int, rng: np.random.Generator, split: str) -> tuple[np.ndarray, np.ndarray]:
        """Stored frames (batch, time, *observation) of one draw, and their rows of the training set."""
        raise NotImplementedError

    def _extra(self, name: str, index: np.ndarray, view: str, split: str) -> np.ndarray:
        """Rows of one of ``info.extras`` for the items ``index`` of the split."""
        raise ValueError(f"the view '{view}' of this data set brings no extras")

    def _size(self, view: str) -> tuple[int, int]:
        """Frames of one item of the view, and number of training items."""
        raise NotImplementedError

    def _n_sequences(self) -> int:
        return 0


def as_float(x: np.ndarray, device: str | torch.device) -> Tensor:
    """float32 tensor on the device: uint8 divided by 255 there, float32 and whole numbers (int64) as they are."""
    tensor = to_device(torch.from_numpy(x), torch.device(device))
    return tensor.float().div_(255) if tensor.dtype == torch.uint8 else tensor


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor there; on its way to a GPU from pinned memory, so that the training loop does not wait for the GPU."""
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


class ImageData(Container):
    """Single labelled images.

    Args:
        frames: (n, *observation).
        factors: (n, n_factors), int64 or float64.
        splits: name of a split -> its rows; all rows are "train" where it is left out.
    """

    views = ("images",)

    def __init__(
        self,
        info: DataInfo,
        frames: np.ndarray,
        factors: np.ndarray,
        splits: Mapping[str, np.ndarray] | None = None,
        title: str = "",
    ) -> None:
        super().__init__(info, frames, title)
        _check_factors(info, factors, len(frames))
        self.factors = factors
        self._rows = dict(splits) if splits else {"train": np.arange(len(frames))}
        self.splits = tuple(self._rows)
        if "test" in self.splits and not hasattr(self, "evaluation_splits"):
            # scores are tested on images that neither the method nor a metric's classifier has seen
            self.evaluation_splits = ("train", "test")

    def labelled(self, n: int, rng: np.random.Generator, split: str = "train", view: str = "images") -> Labelled:
        """n images of the split, independent draws with replacement, each with time 1."""
        self._check(view, split)
        rows = self._rows[split]
        chosen = rows[rng.integers(len(rows), size=n)]
        return Labelled(self.frames[chosen][:, None], self.factors[chosen][:, None])

    def _pick(self, view: str, batch_size: int, rng: np.random.Generator, split: str) -> tuple[np.ndarray, np.ndarray]:
        rows = self._rows[split]
        index = rng.integers(len(rows), size=batch_size)
        return self.frames[rows[index]][:, None], index

    def _size(self, view: str) -> tuple[int, int]:
        return 1, len(self._rows["train"])


class PairData(Container):
    """Pairs of frames that follow each other, as rows into an array of distinct frames.

    The view ``images`` gives the frames of the same pairs, first and second in turn: for one generator state, 2 n
    images are the frames of n pairs in the same order, so methods of both views learn from the same data.

    Args:
        frames: (n_frames, *observation).
        factors: (n_frames, n_factors).
        pairs: (n_pairs, 2) rows of ``frames``.
        sample: (n, rng) -> observations (n, *observation) and factors (n, n_factors): independent draws for scoring,
            where these are not simply the frames of ``pairs``.
    """

    views = ("pairs", "images")

    def __init__(
        self,
        info: DataInfo,
        frames: np.ndarray,
        factors: np.ndarray,
        pairs: np.ndarray,
        sample: SampleFunction | None = None,
        title: str = "",
    ) -> None:
        super().__init__(info, frames, title)
        _check_factors(info, factors, len(frames))
        if pairs.ndim != 2 or pairs.shape[1] != 2 or len(pairs) == 0:
            raise ValueError(f"PairData: pairs must be (n_pairs, 2) and not empty, got {pairs.shape}")
        self.factors = factors
        self.pairs = pairs
        self._sample = sample

    def labelled(self, n: int, rng: np.random.Generator, split: str = "train", view: str = "images") -> Labelled:
        """n independent observations (time 1), or n pairs of the training set (time 2) for the view ``pairs``."""
        self._check(view, split)
        if view == "images" and self._sample is not None:
            x, factors = self._sample(n, rng)
            return Labelled(x[:, None], factors[:, None])
        rows = self.pairs[rng.integers(len(self.pairs), size=n)]
        if view == "images":
            rows = np.take_along_axis(rows, rng.integers(2, size=(n, 1)), axis=1)
        return Labelled(self.frames[rows], self.factors[rows])

    def _pick(self, view: str, batch_size: int, rng: np.random.Generator, split: str) -> tuple[np.ndarray, np.ndarray]:
        if view == "pairs":
            index = rng.integers(len(self.pairs), size=batch_size)
            return self.frames[self.pairs[index]], index
        index = rng.integers(len(self.pairs), size=(batch_size + 1) // 2)
        rows = self.pairs[index].reshape(-1, 1)[:batch_size]
        return self.frames[rows], (2 * index[:, None] + [0, 1]).reshape(-1)[:batch_size]

    def _size(self, view: str) -> tuple[int, int]:
        return (2, len(self.pairs)) if view == "pairs" else (1, 2 * len(self.pairs))


class GridData(PairData):
    """A full grid of factors that can be rendered at will, with a set of pairs drawn from it for training.

    Labelled images are uniform on the grid, whatever the pairs are like.

    Args:
        render: (factors (n, n_factors) int64, rng) -> observations (n, *observation) uint8.
    """

    def __init__(
        self,
        info: DataInfo,
        frames: np.ndarray,
        factors: np.ndarray,
        pairs: np.ndarray,
        render: RenderFunction,
        title: str = "",
    ) -> None:
        if not info.has_grid or not info.factors.is_discrete:
            raise ValueError(f"GridData: needs discrete factors on a grid, got {info.factors}")
        super().__init__(info, frames, factors, pairs, self._sample_grid, title)
        self._render = render

    def render(self, factors: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Observations (n, *observation) uint8 of factor vectors (n, n_factors) int64."""
        return self._render(check_cells(factors, self.info.factors), rng)

    def _sample_grid(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        factors = rng.integers(self.info.factors.sizes, size=(n, len(self.info.factors.sizes)))
        return self._render(factors, rng), factors


class SequenceData(Container):
    """Sequences of equal length; the view ``images`` gives single frames of them.

    Args:
        frames: (n_sequences, time, *observation).
        factors: (n_sequences, time, n_factors).
        splits: name of a split -> its sequences; all are "train" where it is left out.
        groups: the recording that a sequence was cut from, int64 (n_sequences,); its own row where left out.
        extras: name of ``info.extras`` -> function that gives its array (n_sequences, *shape): uint8 for images,
            float32, or int64 for numbers of things. Called once, when a batch first needs it.
        n_recordings: distinct ``groups`` in the training split, for methods that learn one vector for each.
    """

    views = ("sequences", "images")

    def __init__(
        self,
        info: DataInfo,
        frames: np.ndarray,
        factors: np.ndarray,
        splits: Mapping[str, np.ndarray] | None = None,
        groups: np.ndarray | None = None,
        title: str = "",
        extras: Mapping[str, Callable[[], np.ndarray]] | None = None,
        n_recordings: int | None = None,
    ) -> None:
        super().__init__(info, frames, title)
        if set(extras or {}) != set(info.extras):
            raise ValueError(f"SequenceData: extras {sorted(extras or {})} are not what info names: {info.extras}")
        if frames.shape[1] != info.n_frames:
            raise ValueError(f"SequenceData: frames {frames.shape} where info.n_frames is {info.n_frames}")
        if factors.shape[:2] != frames.shape[:2]:
            raise ValueError(
                f"SequenceData: factors {factors.shape} and frames {frames.shape} differ in sequences or time"
            )
        n = factors.shape[0] * factors.shape[1]
        _check_factors(info, factors.reshape(n, *factors.shape[2:]), n)
        self.factors = factors
        self.groups = np.arange(len(frames)) if groups is None else groups
        self._rows = dict(splits) if splits else {"train": np.arange(len(frames))}
        self.splits = tuple(self._rows)
        self._makers = dict(extras or {})
        self._extras: dict[str, np.ndarray] = {}
        self._recordings = len(self._rows["train"]) if n_recordings is None else n_recordings
        if "test" in self.splits and not hasattr(self, "evaluation_splits"):
            # scores are tested on sequences that neither the method nor a metric's classifier has seen
            self.evaluation_splits = ("train", "test")

    def rows_of(self, split: str) -> np.ndarray:
        """Where in ``frames``, ``factors`` and ``groups`` the sequences of the split are, int64."""
        self._check("sequences", split)
        return self._rows[split]

    def every(self, split: str) -> Labelled:
        """All sequences of the split, each once, in their order."""
        rows = self.rows_of(split)
        return Labelled(self.frames[rows], self.factors[rows], self.groups[rows])

    def labelled(self, n: int, rng: np.random.Generator, split: str = "train", view: str = "sequences") -> Labelled:
        """n sequences of the split with all their frames, or n single frames; independent, with replacement."""
        self._check(view, split)
        rows = self._rows[split]
        chosen = rows[rng.integers(len(rows), size=n)]
        if view == "sequences":
            return Labelled(self.frames[chosen], self.factors[chosen], self.groups[chosen])
        time = rng.integers(self.frames.shape[1], size=n)
        return Labelled(self.frames[chosen, time][:, None], self.factors[chosen, time][:, None], self.groups[chosen])

    def _pick(self, view: str, batch_size: int, rng: np.random.Generator, split: str) -> tuple[np.ndarray, np.ndarray]:
        rows, n_frames = self._rows[split], self.frames.shape[1]
        if view == "sequences":
            index = rng.integers(len(rows), size=batch_size)
            return self.frames[rows[index]], index
        index = rng.integers(len(rows) * n_frames, size=batch_size)
        return self.frames[rows[index // n_frames], index % n_frames][:, None], index

    def _extra(self, name: str, index: np.ndarray, view: str, split: str) -> np.ndarray:
        if view != "sequences":
            return super()._extra(name, index, view, split)
        if name not in self._extras:
            self._extras[name] = self._makers[name]()
        return self._extras[name][self._rows[split][index]]

    def _size(self, view: str) -> tuple[int, int]:
        n_train, n_frames = len(self._rows["train"]), self.frames.shape[1]
        return (n_frames, n_train) if view == "sequences" else (1, n_train * n_frames)

    def _n_sequences(self) -> int:
        return self._recordings


def _check_factors(info: DataInfo, factors: np.ndarray, n: int) -> None:
    """One row of factors per frame, one column per name, and the dtype that ``Labelled`` promises."""
    names = info.factors.names
    wanted = np.int64 if info.factors.is_discrete else np.float64
    if factors.shape != (n, len(names)) or factors.dtype != wanted:
        raise ValueError(
            f"factors must be {(n, len(names))} {np.dtype(wanted)} for {', '.join(names)}, "
            f"got {factors.shape} {factors.dtype}"
        )


def check_cells(factors: np.ndarray, space: FactorSpace) -> np.ndarray:
    """The class indices (n, n_factors), each in its factor's range.

    Raises:
        ValueError: another shape or dtype, or a value outside the grid, named with its row.
    """
    factors, sizes = np.asarray(factors), np.asarray(space.sizes)
    if factors.ndim != 2 or factors.shape[1] != len(sizes) or factors.dtype.kind not in "iu":
        raise ValueError(
            f"render: factors must be (n, {len(sizes)}) class indices, got {factors.shape} {factors.dtype}"
        )
    wrong = np.argwhere((factors < 0) | (factors >= sizes))
    if len(wrong):
        row, column = wrong[0]
        raise ValueError(
            f"render: factor '{space.names[column]}' has values 0 … {sizes[column] - 1}, "
            f"got {factors[row, column]} in row {row}"
        )
    return factors
