"""Reads a pickle that holds numpy arrays in lists and dicts, and nothing else; nothing in it is ever executed.

A pickle is a program. Python's own unpickler runs it: it calls what the file names and reserves what the file claims.
Here the standard library only takes the file apart into its instructions (``pickletools``). The few that arrays, lists
and dicts need are carried out on plain values, and any other ends the reading. Pickle protocols 2 to 5 and both homes
of numpy's reconstruction functions (``numpy.core`` until numpy 1, ``numpy._core`` since) are understood.
"""

from __future__ import annotations

import math
import mmap
import pickletools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

MAX_DEPTH = 8  # of lists within lists (a list may contain itself), and axes of an array
_MARK = object()
_DTYPE = re.compile(r"b1|[iu][1248]|f[248]")
_ORDERS = {"<": "<", ">": ">", "|": "|", "=": "="}
_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_LITERALS = {
    "BININT", "BININT1", "BININT2", "LONG1", "BINUNICODE", "SHORT_BINUNICODE", "BINBYTES", "SHORT_BINBYTES",
    "BINBYTES8", "BYTEARRAY8", "BINSTRING", "SHORT_BINSTRING",
}  # fmt: skip


class _Refused(ValueError):
    """Says what the pickle wants that arrays do not need."""


class _Global(str):
    """The name of a function or class that the pickle mentions; it stays a name."""


class _Dtype:
    """A dtype under construction: numpy writes its name first, then its byte order."""

    def __init__(self, name: object) -> None:
        if not (isinstance(name, str) and _DTYPE.fullmatch(name)):
            raise _Refused(f"an array of type {_short(name)} is not one of plain numbers")
        self.name, self.order = name, "|"

    def build(self, state: object) -> None:
        plain = isinstance(state, tuple) and len(state) >= 8 and state[2:8] == (None, None, None, -1, -1, 0)
        if not plain or state[1] not in _ORDERS:  # type: ignore[index]
            raise _Refused(f"a dtype with the state {_short(state)} is not one of plain numbers")
        self.order = state[1]  # type: ignore[index]

    def dtype(self) -> np.dtype:
        return np.dtype(self.order + self.name)


class _Array:
    """An array under construction: numpy writes an empty one first, then its shape, type and bytes."""

    value: np.ndarray | None = None

    def build(self, state: object) -> None:
        if not (isinstance(state, tuple) and len(state) == 5):
            raise _Refused(f"an array has the state {_short(state)}")
        _, shape, dtype, is_fortran, data = state
        self.fill(data, dtype, shape, "F" if is_fortran is True else "C")

    def fill(self, data: object, dtype: object, shape: object, order: object) -> None:
        if not (
            isinstance(data, (bytes, bytearray))
            and isinstance(dtype, _Dtype)
            and isinstance(shape, tuple)
            and len(shape) <= MAX_DEPTH
            and all(type(size) is int and 0 <= size < 2**48 for size in shape)
            and order in ("C", "F")
        ):
            raise _Refused(f"an array of shape {_short(shape)} is not written as numpy does")
        needed = math.prod(shape) * dtype.dtype().itemsize
        if needed != len(data):
            raise _Refused(f"an array claims shape {_short(shape)}, {needed:,} bytes, and brings {len(data):,}")
        self.value = np.frombuffer(data, dtype.dtype()).reshape(shape, order=order)  # type: ignore[call-overload]


def load_arrays(path: Path) -> Any:
    """What the pickle holds: lists and dicts (with text keys) of read-only numeric arrays.

    Raises:
        ValueError: one line: not a pickle, cut short, or one that wants anything but arrays, lists and dicts.
    """
    with path.open("rb") as file:
        if not path.stat().st_size:
            raise ValueError(f"{path}: empty file, wanted a pickle")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            try:
                return _plain(_Machine().run(pickletools.genops(content)))  # type: ignore[arg-type]
            except _Refused as error:
                raise ValueError(f"{path}: refused, {error}") from None
            except (ValueError, OverflowError, MemoryError) as error:
                # pickletools describes some of these over several lines
                reason = " ".join(str(error).split())[:120]
                raise ValueError(f"{path}: not a complete pickle ({reason}); is the file complete?") from None


class _Machine:
    """Carries out the instructions of a pickle that describe arrays, on a stack of plain values."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}  # a dict, so that a claimed place of two thousand million costs nothing

    def run(self, instructions: Iterator[tuple[Any, Any, int | None]]) -> Any:
        for opcode, argument, place in instructions:
            try:
                if opcode.name == "STOP":
                    return self.pop()
                self.perform(opcode.name, argument)
            except _Refused as error:
                raise _Refused(f"{error} (byte {place:,} of the file)") from None
        raise _Refused("the pickle has no end")

    def perform(self, name: str, argument: Any) -> None:
        if name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _LITERALS:
            self.stack.append(argument)
        elif name in _STEPS:
            _STEPS[name](self, argument)
        elif name not in ("PROTO", "FRAME"):
            raise _Refused(f"the pickle uses {name}, which arrays in lists do not need")

    def pop(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise _Refused("the pickle takes a value where none is")
        return self.stack.pop()

    def pop_to_mark(self) -> list[Any]:
        items = []
        while self.stack and self.stack[-1] is not _MARK:
            items.append(self.stack.pop())
        if not self.stack:
            raise _Refused("the pickle takes a value where none is")
        self.stack.pop()
        return items[::-1]

    def tuple_of(self, n: int) -> None:
        self.stack.append(tuple([self.pop() for _ in range(n)][::-1]))

    def remember(self, place: int | None) -> None:
        value = self.pop()
        self.stack.append(value)
        self.memo[len(self.memo) if place is None else place] = value

    def recall(self, place: int) -> None:
        if place not in self.memo:
            raise _Refused(f"the pickle recalls value {place}, which it never kept")
        self.stack.append(self.memo[place])

    def extend(self, items: list[Any]) -> None:
        target = self.pop()
        if not isinstance(target, list):
            raise _Refused(f"the pickle appends to {_short(target)}, which is no list")
        target.extend(items)
        self.stack.append(target)

    def update(self, items: list[Any]) -> None:
        target, keys = self.pop(), items[::2]
        if not isinstance(target, dict) or len(items) % 2 or not all(type(key) is str for key in keys):
            raise _Refused("the pickle fills a dict with keys that are not text")
        target.update(zip(keys, items[1::2], strict=True))
        self.stack.append(target)

    def name_global(self, name: str) -> None:
        if name not in _CALLS and name != "numpy.ndarray":
            raise _Refused(f"the pickle asks for {_short(name)}, which is no array")
        self.stack.append(_Global(name))

    def stack_global(self) -> None:
        name, module = self.pop(), self.pop()
        if not (isinstance(name, str) and isinstance(module, str)):
            raise _Refused("the pickle asks for something whose name is no text")
        self.name_global(f"{module}.{name}")

    def call(self) -> None:
        arguments, function = self.pop(), self.pop()
        if not (isinstance(function, _Global) and function in _CALLS and isinstance(arguments, tuple)):
            raise _Refused(f"the pickle calls {_short(function)}")
        self.stack.append(_CALLS[function](*arguments[:4]))

    def build(self) -> None:
        state, target = self.pop(), self.pop()
        if not isinstance(target, (_Array, _Dtype)):
            raise _Refused(f"the pickle changes {_short(target)}")
        target.build(state)
        self.stack.append(target)


_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": lambda m, _: m.stack.append(_MARK),
    "EMPTY_LIST": lambda m, _: m.stack.append([]),
    "EMPTY_DICT": lambda m, _: m.stack.append({}),
    "EMPTY_TUPLE": lambda m, _: m.stack.append(()),
    "TUPLE1": lambda m, _: m.tuple_of(1),
    "TUPLE2": lambda m, _: m.tuple_of(2),
    "TUPLE3": lambda m, _: m.tuple_of(3),
    "TUPLE": lambda m, _: m.stack.append(tuple(m.pop_to_mark())),
    "APPEND": lambda m, _: m.extend([m.pop()]),
    "APPENDS": lambda m, _: m.extend(m.pop_to_mark()),
    "SETITEM": lambda m, _: m.update([m.pop(), m.pop()][::-1]),
    "SETITEMS": lambda m, _: m.update(m.pop_to_mark()),
    "MEMOIZE": lambda m, _: m.remember(None),
    "BINPUT": lambda m, place: m.remember(place),
    "LONG_BINPUT": lambda m, place: m.remember(place),
    "BINGET": lambda m, place: m.recall(place),
    "LONG_BINGET": lambda m, place: m.recall(place),
    "GLOBAL": lambda m, name: m.name_global(name.replace(" ", ".", 1)),
    "STACK_GLOBAL": lambda m, _: m.stack_global(),
    "REDUCE": lambda m, _: m.call(),
    "BUILD": lambda m, _: m.build(),
}


def _empty_array(kind: object = None, shape: object = None, code: object = None, *_: object) -> _Array:
    """In place of numpy's ``_reconstruct``, which would reserve whatever shape it is given."""
    if kind != "numpy.ndarray" or shape != (0,) or code not in (b"b", "b"):
        raise _Refused(f"an array starts with shape {_short(shape)}, where numpy writes (0,)")
    return _Array()


def _array_of(data: object = None, dtype: object = None, shape: object = None, order: object = None) -> _Array:
    """In place of numpy's ``_frombuffer`` (protocol 5)."""
    array = _Array()
    array.fill(data, dtype, shape, order)
    return array


def _encoded(text: object = None, encoding: object = None, *_: object) -> bytes:
    """In place of ``_codecs.encode``, by which protocol 2 writes bytes."""
    if not isinstance(text, str) or encoding != "latin1":
        raise _Refused(f"bytes are written in the encoding {_short(encoding)}")
    return text.encode("latin1")


_CALLS: dict[str, Callable[..., Any]] = {"numpy.dtype": lambda name=None, *_: _Dtype(name), "_codecs.encode": _encoded}
for _core in ("numpy.core", "numpy._core"):
    _CALLS[f"{_core}.multiarray._reconstruct"] = _empty_array
    _CALLS[f"{_core}.numeric._frombuffer"] = _array_of


def _plain(value: Any, done: dict[int, Any] | None = None, depth: int = 0) -> Any:
    """Finished arrays in the place of those under construction; a value that is mentioned often is converted once."""
    done = {} if done is None else done
    if id(value) in done:
        return done[id(value)]
    if depth > MAX_DEPTH:
        raise _Refused(f"the pickle nests lists deeper than {MAX_DEPTH}")
    result = value
    if isinstance(value, _Array):
        if value.value is None:
            raise _Refused("an array was begun and never filled")
        result = value.value
    elif isinstance(value, list):
        result = [_plain(item, done, depth + 1) for item in value]
    elif isinstance(value, dict):
        result = {key: _plain(item, done, depth + 1) for key, item in value.items()}
    elif value is _MARK or isinstance(value, (_Global, _Dtype)):
        raise _Refused(f"the pickle holds {_short(value)} where an array belongs")
    done[id(value)] = result
    return result


def _short(value: object) -> str:
    """The value for a message; never a container's content, which may be its own part or repeat beyond any length."""
    if isinstance(value, tuple) and len(value) <= MAX_DEPTH and all(type(item) is int for item in value):
        text = repr(value)
    elif isinstance(value, (str, bytes)):
        text = repr(value[:60]) if not isinstance(value, _Global) else str(value)
    else:
        text = f"a {type(value).__name__.lstrip('_').lower()}"
    text = "".join(char if char.isprintable() else "?" for char in text)
    return text if len(text) <= 60 else f"{text[:60]}…"
