"""The official dSprites archive, .npz or .hdf5, turned into one bit per pixel: 377 MB instead of 3 GB.

The images are read from front to back in pieces. The pickled ``metadata`` of the .npz is never opened. Both forms hold
the class indices of every image; they are compared with the order of the grid, so a shuffled copy is not taken for the
original.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.datasets.base import DataStore
from bench.datasets.dsprites_renderer import SIDE, SIZES
from bench.datasets.zipped_npy import NpzMember

if TYPE_CHECKING:
    import h5py

N_BYTES = SIDE * SIDE // 8  # of one frame as bits
_ROWS = 4_096  # images unpacked at once: 17 MB
_MAX_ROWS = 32_768  # images read at once from HDF5, whose official chunks reach over 23,040
_MAX_CHUNK = 1 << 26  # bytes of one HDF5 chunk, which is unpacked whole; the official one has 184,320


def official_bits(path: Path, keep: DataStore, sizes: Sequence[int] = SIZES) -> np.ndarray:
    """Frames (n, 512) uint8, eight pixels to a byte, of the whole grid in C order; memory-mapped, made on first use.

    Args:
        path: the archive; its ending says which form it has.
        keep: where the bits are kept.
        sizes: of the grid that the archive must hold, without the constant colour.

    Raises:
        ValueError: another shape, dtype, value or order, or a file that is damaged or cut short; in one line.
    """
    is_hdf5 = path.suffix == ".hdf5"
    pieces = (_hdf5_pieces if is_hdf5 else _npz_pieces)(path, tuple(sizes))
    with closing(pieces):
        return keep.cached_rows("bits", math.prod(sizes), partial(_next_piece, pieces), chunk=_ROWS)


def unpack(bits: np.ndarray) -> np.ndarray:
    """Frames (n, 64, 64) uint8, 0 or 1, of bits (n, 512)."""
    return np.unpackbits(bits, axis=1).reshape(-1, SIDE, SIDE)


def pack(frames: np.ndarray) -> np.ndarray:
    """Bits (n, 512) uint8 of frames (n, 64, 64), 0 or 1."""
    return np.packbits(frames.reshape(-1, SIDE * SIDE), axis=1)


def _next_piece(pieces: Generator[np.ndarray, None, None], rows: slice) -> np.ndarray:
    """The bits of the rows asked for; both sides count through the grid in steps of ``_ROWS``."""
    piece = next(pieces)
    assert len(piece) == rows.stop - rows.start
    return piece


def _npz_pieces(path: Path, sizes: tuple[int, ...]) -> Generator[np.ndarray, None, None]:
    n, name = math.prod(sizes), _name(path)
    with NpzMember(path, "latents_classes", item_ndim=1) as classes:
        _check_array(name, "latents_classes", classes.shape, (n, 1 + len(sizes)), classes.dtype, "iu")
        for start in range(0, n, _ROWS):
            _check_order(name, classes.read(min(_ROWS, n - start)), start, sizes)
    with NpzMember(path, "imgs", item_ndim=2) as images:
        _check_array(name, "imgs", images.shape, (n, SIDE, SIDE), images.dtype, "u")
        for start in range(0, n, _ROWS):
            yield _checked_bits(name, images.read(min(_ROWS, n - start)), start)


def _hdf5_pieces(path: Path, sizes: tuple[int, ...]) -> Generator[np.ndarray, None, None]:
    import h5py

    n, name = math.prod(sizes), _name(path)
    try:
        with h5py.File(path, "r") as file:
            classes = _hdf5_array(file, name, "latents/classes")
            _check_array(name, "latents/classes", classes.shape, (n, 1 + len(sizes)), classes.dtype, "iu")
            for start in range(0, n, _ROWS):
                _check_order(name, classes[start : start + _ROWS], start, sizes)
            images = _hdf5_array(file, name, "imgs")
            _check_array(name, "imgs", images.shape, (n, SIDE, SIDE), images.dtype, "u")
            # Chunks reach over thousands of images and a few pixels of each: whole chunks are read once, or each of
            # them would be unpacked again for every piece.
            step = min(max((images.chunks or (1,))[0], _ROWS), _MAX_ROWS)
            kept = np.empty((0, N_BYTES), np.uint8)
            for start in range(0, n, step):
                kept = np.concatenate([kept, _checked_bits(name, images[start : start + step], start)])
                while len(kept) >= _ROWS:
                    yield kept[:_ROWS]
                    kept = kept[_ROWS:]
            if len(kept):
                yield kept
    except (OSError, RuntimeError, KeyError, TypeError) as error:  # TypeError: a kind of number that numpy lacks
        reason = " ".join(str(error).split())[:120]
        raise ValueError(f"{name}: is no HDF5 file, or is damaged or cut short ({reason}); fetch it again") from None


def _hdf5_array(file: h5py.File, name: str, key: str) -> Any:
    """A dataset whose values lie in this very file, in chunks that fit in memory."""
    import h5py

    if key not in file or not isinstance(file[key], h5py.Dataset):
        raise ValueError(f"{name}: has no array '{key}', only {', '.join(sorted(map(str, file))[:8]) or 'nothing'}")
    array = file[key]
    if array.file.filename != file.filename or array.is_virtual or array.external:
        raise ValueError(f"{name}: '{key}' lies in another file, wanted its values in this one")
    if array.chunks and math.prod(array.chunks) * array.dtype.itemsize > _MAX_CHUNK:
        raise ValueError(f"{name}: '{key}' is stored in pieces of {array.chunks}, too large to unpack one at a time")
    return array


def _check_array(
    name: str, key: str, shape: tuple[int, ...], wanted: tuple[int, ...], dtype: np.dtype, kinds: str
) -> None:
    if shape != wanted or dtype.kind not in kinds or (kinds == "u" and dtype.itemsize != 1):
        kind = "uint8" if kinds == "u" else "whole numbers"
        raise ValueError(f"{name}: '{key}' is {shape} {dtype}, the official one {wanted} {kind}")


def _check_order(name: str, classes: np.ndarray, start: int, sizes: tuple[int, ...]) -> None:
    """Rows of class indices, colour first, must count through the grid."""
    expected = np.stack(np.unravel_index(np.arange(start, start + len(classes)), (1, *sizes)), axis=1)
    wrong = np.flatnonzero((classes != expected).any(axis=1))
    if len(wrong):
        row = int(wrong[0])
        raise ValueError(
            f"{name}: image {start + row} has the classes {classes[row].tolist()}, in the official order it has "
            f"{expected[row].tolist()}"
        )


def _checked_bits(name: str, images: np.ndarray, start: int) -> np.ndarray:
    """Bits of images (n, 64, 64) that hold 0 and 1 alone."""
    if images.max(initial=0) > 1:
        row = start + int(np.flatnonzero(images.max(axis=(1, 2)) > 1)[0])
        raise ValueError(f"{name}: image {row} has the value {images[row - start].max()}, wanted 0 and 1 alone")
    return pack(images)


def _name(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"
