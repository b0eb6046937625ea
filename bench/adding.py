"""Makes a data set of a user's images: checked, brought into one form, kept below the data root under a name.

``bench.datasets.added`` reads what is written here. Nothing appears under the name until all of it is there.
"""

from __future__ import annotations

import math
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench import registry
from bench.datasets.added import CARD, FACTORS, FRAMES, AddedCard, fingerprint
from bench.datasets.base import FactorKind, FactorSpace
from bench.datasets.official import ADDED, data_root
from bench.fetching.download import check_space, disk_error
from bench.files.array_file import StoredArray, choose, from_array, open_file
from bench.provenance import now
from bench.registry import UsageError

IMAGES = ("images", "imgs", "image", "x", "frames", "sequences", "videos")
LABELS = ("factors", "labels", "latents", "y")
LAYOUTS = "n images, t time, h height, w width, c channels, as in nhwc or ntchw"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,59}")


@dataclass(frozen=True)
class Added:
    """A data set that was added.

    Attributes:
        path: the folder that holds it.
        notes: how it was read, and what may not have been meant.
    """

    name: str
    path: Path
    summary: str
    notes: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name}: {self.summary}"


def add_dataset(
    name: str,
    images: Any,
    factors: Any = None,
    *,
    factor_names: Sequence[str] | None = None,
    discrete: Sequence[bool] | None = None,
    layout: str | None = None,
    replace: bool = False,
    root: str | Path | None = None,
) -> Added:
    """Make a data set of arrays; ``bench run --datasets NAME`` then works.

    Args:
        images: (n, height, width), (n, height, width, channels) or (n, channels, height, width) with 1 or 3 channels;
            with time after n for sequences of equal length. uint8, bool, or floats in [0, 1], which are kept as uint8.
        factors: (n,) or (n, k), for sequences (n, time, k) or (n, k) where nothing changes; integers are classes,
            floats measurements. None where nothing is known: scores that need factors are then skipped.
        factor_names: one per column.
        discrete: one flag per column, where floats hold classes.
        layout: what the axes of ``images`` are where that is not evident: n images, t time, h height, w width, c
            channels, as in "nhwc" or "ntchw".
        replace: overwrite a data set that was added under this name before.
        root: the data root; ``BENCH_DATA`` or the user's cache folder where left out.

    Raises:
        UsageError: the name is taken or no name, or the arrays do not fit together; one line that says what to change.
    """
    labels = None if factors is None else from_array("factors", factors)
    return _add(
        name, from_array("images", images), labels, factor_names, discrete, layout, replace, data_root(root), "arrays"
    )


def add_file(
    name: str,
    path: Path,
    *,
    images: str | None = None,
    factors: str | None = None,
    factor_names: Sequence[str] | None = None,
    discrete: Sequence[str] = (),
    layout: str | None = None,
    replace: bool = False,
    root: str | Path | None = None,
) -> Added:
    """As ``add_dataset``, from an npz, npy or HDF5 file, read in pieces.

    Args:
        images, factors: keys, where they are not called "images" and "factors" (or another usual name).
        factor_names: instead of the file's own array of that name.
        discrete: names of the factors whose floats are classes, "all" for all.
    """
    arrays = open_file(path)
    found = choose(arrays, path, "images", IMAGES, images, "--images KEY")
    labels = choose(arrays, path, "factors", LABELS, factors, "--factors KEY")
    if found is None and labels is None and len(arrays) == 1:
        found = next(iter(arrays.values())).checked()
    if found is None:
        there = ", ".join(sorted(arrays)[:10]) or "no arrays"
        raise UsageError(f"{path} holds {there}; say which are the images with --images KEY")
    if factor_names is None and "factor_names" in arrays and labels is not None:
        factor_names = [_text(one) for one in arrays["factor_names"].checked().read(1 << 20).ravel().tolist()]
    flags = None
    if discrete:
        flags = _flags(discrete, labels, factor_names)
    return _add(name, found, labels, factor_names, flags, layout, replace, data_root(root), path.name)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _flags(named: Sequence[str], labels: StoredArray | None, names: Sequence[str] | None) -> list[bool]:
    if labels is None:
        raise UsageError("--discrete names factors, but the file has none")
    width = 1 if len(labels.shape) == 1 else labels.shape[-1]
    names = list(names) if names is not None else [f"factor {i}" for i in range(width)]
    for one in named:
        if one != "all" and one not in names:
            near = registry.did_you_mean(one, names)
            raise UsageError(f"--discrete: no factor '{one}'.{near} There are {', '.join(names)}")
    is_integer = labels.dtype.kind in "iub"
    return [is_integer or "all" in named or one in named for one in names]


def _add(
    name: str, images: StoredArray, labels: StoredArray | None, names: Sequence[str] | None,
    discrete: Sequence[bool] | None, layout: str | None, replace: bool, root: Path, origin: str,
) -> Added:  # fmt: skip
    folder = root / ADDED / name
    _check_name(name, folder, replace)
    axes = layout_of(images.shape, layout, images.label)
    shape = _frame_shape(images.shape, axes)
    factors, space, notes = _factors(labels, names, discrete, shape[:2])
    scale = _scale(images)
    folder.parent.mkdir(parents=True, exist_ok=True)
    check_space(folder.parent, math.prod(shape))
    partial = folder.with_name(f".{name}.{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)  # of a call that was killed
    try:
        partial.mkdir()
        frames = _write_frames(partial / FRAMES, shape, images, axes, scale)
        np.save(partial / FACTORS, factors, allow_pickle=False)
        card = AddedCard(folder, shape, space, fingerprint(space, frames, factors), origin, now())
        del frames
        (partial / CARD).write_text(card.to_json(), encoding="utf-8")
        _put_in_place(partial, folder, replace)
    except OSError as error:
        raise disk_error(error, folder.parent) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Added(name, folder, _summary(shape, space), (_read_as(images, axes, scale), *notes))


def _summary(shape: tuple[int, ...], space: FactorSpace) -> str:
    n, time, channels, height, width = shape
    what = f"{n:,} sequences of {time} images" if time > 1 else f"{n:,} images"
    known = ", ".join(f"{name} {size or 'continuous'}" for name, size in zip(space.names, space.sizes, strict=True))
    return f"{what} of {height} × {width}, {channels} channel{'s' if channels > 1 else ''}; {known or 'no factors'}"


def _read_as(images: StoredArray, axes: str, scale: int) -> str:
    if images.dtype.kind == "f":
        return f"read as {axes}; floats are kept as 256 grey levels"
    return f"read as {axes}" + ("; 0 and 1 are kept as black and white" if scale == 255 else "")


def _check_name(name: str, folder: Path, replace: bool) -> None:
    if not _NAME.fullmatch(name):
        raise UsageError(f"'{name}' is no name for a data set: letters, digits, _ and -, a letter first, at most 60")
    if registry.is_registered_dataset(name):
        raise UsageError(f"'{name}' is a data set of the suite; choose another name")
    if folder.exists() and not replace:
        raise UsageError(f"'{name}' was added before ({folder}); --replace (replace=True) puts this one in its place")


def layout_of(shape: Sequence[int], given: str | None, label: str = "images") -> str:
    """The letter of each axis, given or guessed.

    Raises:
        UsageError: it cannot be told, or what is given does not fit.
    """
    if given is not None:
        fits = len(given) == len(shape) and set("nhw") <= set(given) <= set("nthwc") and len(set(given)) == len(given)
        if not fits:
            raise UsageError(
                f"--layout has a letter for each axis: {LAYOUTS}; got '{given}' for {label} {tuple(shape)}"
            )
        if given[0] != "n":
            raise UsageError(f"--layout {given}: the first axis must be n, the images; np.moveaxis brings it there")
        return given
    last, second = shape[-1] in (1, 3), len(shape) > 1 and shape[len(shape) - 3] in (1, 3)
    guesses: dict[int, tuple[str, ...]] = {
        3: ("nhw",),
        4: tuple(axes for axes, fits in (("nhwc", last), ("nchw", second)) if fits) or ("nthw",),
        5: tuple(axes for axes, fits in (("nthwc", last), ("ntchw", second)) if fits),
    }
    found = guesses.get(len(shape), ())
    if len(found) != 1:
        why = f"could be {' or '.join(found)}" if found else "are no images, or not of 1 or 3 channels"
        raise UsageError(f"{label} {tuple(shape)} {why}; say what the axes are with --layout (layout=): {LAYOUTS}")
    return found[0]


def _frame_shape(shape: Sequence[int], axes: str) -> tuple[int, int, int, int, int]:
    """(n, time, channels, height, width), checked."""
    size = {"t": 1, "c": 1} | dict(zip(axes, shape, strict=True))
    if size["c"] not in (1, 3):
        raise UsageError(
            f"images have 1 channel (grey) or 3 (colour), got {size['c']} in {tuple(shape)} read as {axes}"
        )
    if size["n"] < 2 or min(size.values()) < 1:
        raise UsageError(f"images: wanted 2 or more, got {tuple(shape)} read as {axes}")
    return size["n"], size["t"], size["c"], size["h"], size["w"]


def _scale(images: StoredArray) -> int:
    """What values are multiplied by to be grey levels 0 … 255, once all of them were seen to be in range."""
    kind = images.dtype.kind
    if kind not in "bf" and images.dtype != np.uint8:
        raise UsageError(f"{images.label}: wanted uint8, or floats in [0, 1], got {images.dtype}")
    low, high = math.inf, -math.inf
    for piece in images.pieces():
        if kind == "f" and not np.isfinite(piece).all():
            raise UsageError(f"{images.label}: holds NaN or infinite values")
        low, high = min(low, float(piece.min())), max(high, float(piece.max()))
    if low == high:
        raise UsageError(f"{images.label}: all values are {low:g}; nothing can be learnt from that")
    if kind != "f":
        return 255 if high <= 1 else 1
    if low < 0 or high > 1:
        how = "divide by 255" if low >= 0 and high <= 255 else "(x + 1) / 2 brings [-1, 1] there"
        raise UsageError(f"{images.label}: wanted floats in [0, 1], got {low:g} … {high:g}; {how}")
    return 255


def _write_frames(path: Path, shape: tuple[int, ...], images: StoredArray, axes: str, scale: int) -> np.ndarray:
    """Write ``frames.npy`` piece by piece; returns it mapped."""
    # not through a map: on a full disk that ends the process instead of raising
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for piece in _converted(images, axes, scale):
            file.write(np.ascontiguousarray(piece).data)
        file.flush()
        os.fsync(file.fileno())
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _converted(images: StoredArray, axes: str, scale: int) -> Iterator[np.ndarray]:
    order = [axes.index(letter) for letter in "ntchw" if letter in axes]
    for piece in images.pieces():
        grey = (
            np.rint(piece * np.float32(scale)) if images.dtype.kind == "f" else piece.astype(np.uint8) * np.uint8(scale)
        )
        yield grey.astype(np.uint8).transpose(order)


def _put_in_place(partial: Path, folder: Path, replace: bool) -> None:
    """Give the finished folder its name; an older one goes only when the new one is complete."""
    if replace and folder.exists():
        old = folder.with_name(f".{folder.name}.old.{os.getpid()}")
        folder.rename(old)
        partial.rename(folder)
        shutil.rmtree(old)
        return
    try:
        partial.rename(folder)
    except OSError:
        if folder.exists():
            raise UsageError(f"'{folder.name}' was added by another process at this moment") from None
        raise


def _factors(
    labels: StoredArray | None, names: Sequence[str] | None, discrete: Sequence[bool] | None, shape: tuple[int, int]
) -> tuple[np.ndarray, FactorSpace, list[str]]:
    """Factors (n, time, k) in the form that containers take, what they are, and what may not have been meant."""
    n, time = shape
    if labels is None:
        if names is not None or discrete is not None:
            raise UsageError("factor names and kinds were given, but no factors")
        return np.zeros((n, time, 0), np.int64), FactorSpace((), (), (), ()), []
    values = _by_time(labels, n, time)
    width = values.shape[2]
    names = tuple(f"factor {i}" for i in range(width)) if names is None else tuple(map(str, names))
    for what, given in (("factor names", names), ("discrete", discrete)):
        if given is not None and len(given) != width:
            raise UsageError(f"{what}: one per column of the factors, got {len(given)} for {width}")
    if len(set(names)) < len(names):
        raise UsageError(f"factor names: one is there twice: {', '.join(names)}")
    for name in names:
        if not name.strip() or not name.isprintable() or len(name) > 60:
            raise UsageError(f"factor names: {name[:60]!r} cannot be shown in a table; 1 to 60 printable characters")
    flags = [values.dtype.kind in "iub"] * width if discrete is None else [bool(flag) for flag in discrete]
    columns, sizes, notes = [], [], []
    for i, (name, is_discrete) in enumerate(zip(names, flags, strict=True)):
        found, index = np.unique(values[..., i], return_inverse=True)
        if len(found) == 1:
            notes.append(f"{name} has one value only; scores leave it out")
        columns.append(index.reshape(n, time) if is_discrete else values[..., i])
        sizes.append(len(found) if is_discrete else 0)
        if not is_discrete and len(found) <= 100 and (found == np.round(found)).all():
            notes.append(
                f"{name} is whole numbers written as floats, so continuous; for classes: --discrete {name} (discrete=)"
            )
        if is_discrete and len(found) > 200:
            notes.append(f"{name} is discrete with {len(found):,} values; measurements go as floats")
    kinds: tuple[FactorKind, ...] = tuple("ordinal" if flag else "continuous" for flag in flags)
    moves = [bool((values[:, :1, i] != values[..., i]).any()) for i in range(width)]
    dtype = np.int64 if all(flags) else np.float64
    space = FactorSpace(names, tuple(sizes), kinds, tuple(moves))
    return np.stack(columns, axis=-1).astype(dtype), space, notes


def _by_time(labels: StoredArray, n: int, time: int) -> np.ndarray:
    """Numbers (n, time, k); labels of a sequence are those of each of its frames."""
    if labels.dtype.kind not in "fiub":
        raise UsageError(f"{labels.label}: wanted integers (classes) or floats (measurements), got {labels.dtype}")
    values = labels.read()
    wanted = f"({n}, k)" if time == 1 else f"({n}, {time}, k), or ({n}, k) for what holds for the whole sequence"
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim == 2:
        values = np.repeat(values[:, None], time, axis=1)
    if values.ndim != 3 or values.shape[:2] != (n, time) or not values.shape[2]:
        raise UsageError(f"{labels.label}: wanted {wanted}, one row per image, got {labels.shape}")
    if not np.isfinite(values).all():
        row = int(np.argwhere(~np.isfinite(values))[0, 0])
        raise UsageError(f"{labels.label}: NaN or infinite in row {row}")
    return values
