"""One uint8 array of a MATLAB 5 file (also written by MATLAB 6 and 7), taken apart by hand.

scipy's reader believes the sizes that a file claims: a forged one makes it reserve gigabytes or end the whole process.
Here every length is checked against the bytes that are there. Format: MathWorks, "MAT-File Format".
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator

import numpy as np

from bench.messages import listed, one_line

_INT8, _UINT8, _INT32, _UINT32, _MATRIX, _COMPRESSED = 1, 2, 5, 6, 14, 15  # types of elements
_UINT8_CLASS = 9
_CLASSES = {1: "cell", 2: "struct", 4: "char", 5: "sparse", 6: "double", 7: "single", 8: "int8", 10: "int16"}


def read_uint8(content: bytes, name: str, shape: tuple[int, ...], max_bytes: int) -> np.ndarray:
    """The array called ``name`` of the content of a MATLAB 5 file.

    Args:
        shape: the one it must have.
        max_bytes: an element that unpacks to more is refused.

    Raises:
        ValueError: no such file, no such array, another type or shape, or damage; the caller names the file.
    """
    if content.startswith(b"MATLAB 7.3"):
        raise ValueError("a MATLAB 7.3 file, wanted MATLAB 5 to 7")
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
    if order is None:
        raise ValueError("not a MATLAB 5 file")
    found = []
    for kind, element in _elements(content[128:], order):
        if kind == _COMPRESSED:
            kind, element = _first(_inflated(element, max_bytes), order)
        if kind == _MATRIX:
            parts = [part for _, part in zip(range(4), _elements(element, order), strict=False)]
            label = parts[2][1].decode("ascii", "replace") if len(parts) == 4 and parts[2][0] == _INT8 else "?"
            if label == name:
                return _array(parts, order, name, shape)
            found.append(label)
    raise ValueError(f"has no array '{name}', only {listed(found) or 'nothing'}")


def _array(parts: list[tuple[int, bytes]], order: str, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The array of a matrix element's first parts: flags, sizes, name, values."""
    (flag_kind, flags), (size_kind, sizes), _, (value_kind, values) = parts
    if flag_kind != _UINT32 or len(flags) != 8 or size_kind != _INT32 or len(sizes) % 4:
        raise ValueError(f"'{name}' is damaged")
    flag = struct.unpack(f"{order}I", flags[:4])[0]
    found = struct.unpack(f"{order}{len(sizes) // 4}i", sizes)
    class_ = flag & 0xFF
    if class_ != _UINT8_CLASS or flag & 0x800 or found != shape:
        kind = "uint8" if class_ == _UINT8_CLASS else _CLASSES.get(class_, f"class {class_}")
        raise ValueError(f"wanted '{name}' of shape {shape} uint8, found {one_line(found, 80)} {kind}")
    if value_kind != _UINT8 or len(values) != math.prod(shape):
        raise ValueError(f"'{name}' is damaged: {len(values):,} values for the shape {shape}")
    return np.frombuffer(values, np.uint8).reshape(shape, order="F")


def _elements(content: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Type and bytes of each element; a tag whose upper half is not zero has up to four bytes in its second half."""
    place = 0
    while place + 8 <= len(content):
        kind, length = struct.unpack_from(f"{order}II", content, place)
        small = kind >> 16
        if small:
            if small > 4:
                raise ValueError("damaged")
            yield kind & 0xFFFF, content[place + 4 : place + 4 + small]
            place += 8
            continue
        if length > len(content) - place - 8:
            raise ValueError("damaged or cut short")
        yield kind, content[place + 8 : place + 8 + length]
        place += 8 + length
        if kind != _COMPRESSED:
            place += -length % 8


def _first(content: bytes, order: str) -> tuple[int, bytes]:
    for element in _elements(content, order):
        return element
    raise ValueError("damaged or cut short")


def _inflated(content: bytes, max_bytes: int) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        plain = unpacker.decompress(content, max_bytes)
    except zlib.error as error:
        raise ValueError(f"damaged: {error}") from None
    if not unpacker.eof:
        raise ValueError(f"an element is cut short, or unpacks to more than {max_bytes:,} bytes")
    return plain
