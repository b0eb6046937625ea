"""Strategies that turn a good file into one that someone would make by accident or on purpose."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

EVIL_NUMBERS = (
    0, 1, -1, 2, 127, 128, 255, 256, 32767, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**40, 2**63 - 1, 2**63, 2**64 - 1,
)  # fmt: skip
CODE = "__import__('pathlib').Path('executed').touch()"
TEXTS = (
    "", " ", "\x00", "\n", "a\nb", "\x1b[31mred", "\u202eevil", "\ud800", "é", "𝔘" * 3, "../../up", "/etc/passwd", "-1", "0",
    "1e999", "nan", "inf", "x" * 300, "'", '"', "{{7*7}}", "<script>", "=1+1", CODE, "%s%n", "NULL", "true", "[", "]",
)  # fmt: skip


def bytes_of(*kinds: bytes) -> st.SearchStrategy[bytes]:
    return st.sampled_from(kinds)


@st.composite
def damaged(
    draw: st.DrawFn, good: Sequence[bytes], tokens: Sequence[bytes] = (), most: int = 5, head: int = 256
) -> bytes:
    """One of ``good`` after up to ``most`` changes; places near both ends are more likely."""
    content = bytearray(draw(st.sampled_from(good)))
    for _ in range(draw(st.integers(0, most))):
        content = _change(draw, content, good, tokens, head)
    return bytes(content)


def _place(draw: st.DrawFn, size: int, head: int) -> int:
    return draw(
        st.one_of(st.integers(0, min(head, size)), st.integers(max(size - head, 0), size), st.integers(0, size))
    )


def _change(
    draw: st.DrawFn, content: bytearray, good: Sequence[bytes], tokens: Sequence[bytes], head: int
) -> bytearray:
    place = _place(draw, len(content), head)
    span = draw(st.integers(1, 64))
    kinds = ["bit", "byte", "number", "cut", "delete", "double", "zero", "splice", "swap"]
    kind = draw(st.sampled_from(kinds + (["token"] if tokens else [])))
    if kind == "bit" and place < len(content):
        content[place] ^= 1 << draw(st.integers(0, 7))
    elif kind == "byte" and place < len(content):
        content[place] = draw(st.integers(0, 255))
    elif kind == "number":
        number, form = draw(st.sampled_from(EVIL_NUMBERS)), draw(st.sampled_from(["<H", "<I", "<Q", ">I", ">Q"]))
        packed = struct.pack(form, number % 2 ** (8 * struct.calcsize(form)))
        content[place : place + len(packed)] = packed
    elif kind == "cut":
        del content[place:]
    elif kind == "delete":
        del content[place : place + span]
    elif kind == "double":
        content[place:place] = content[place : place + span]
    elif kind == "zero":
        content[place : place + span] = bytes(len(content[place : place + span]))
    elif kind == "splice":
        other = draw(st.sampled_from(good))
        start = _place(draw, len(other), head)
        content[place : place + span] = other[start : start + span]
    elif kind == "swap":
        other_place = _place(draw, len(content), head)
        one, two = content[place : place + span], content[other_place : other_place + span]
        content[place : place + span], content[other_place : other_place + span] = two, one
    elif kind == "token":
        token = draw(st.sampled_from(tokens))
        content[place : place + draw(st.sampled_from([0, len(token)]))] = token
    return content


def hostile_values() -> st.SearchStrategy[Any]:
    """JSON values that a reader may stumble over; some of them cannot be told from good ones."""
    scalars = st.one_of(
        st.none(), st.booleans(), st.sampled_from(EVIL_NUMBERS), st.sampled_from(TEXTS),
        st.sampled_from([float("nan"), float("inf"), -float("inf"), 1e308, -0.0, 5e-324, 0.5, 10**400, -(10**30)]),
        st.floats(), st.integers(), st.text(max_size=8),
    )  # fmt: skip
    shapes = st.one_of(
        st.lists(scalars, max_size=3),
        st.dictionaries(st.sampled_from(TEXTS), scalars, max_size=3),
        st.sampled_from([20, 400]).map(_nested_list),
        st.sampled_from([20, 300]).map(_nested_table),
    )
    return st.one_of(scalars, scalars, shapes)


def _nested_list(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def _nested_table(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


@st.composite
def altered(draw: st.DrawFn, good: Any, most: int = 3) -> Any:
    """A JSON value with up to ``most`` of its nodes replaced, removed, doubled or renamed."""
    value = json.loads(json.dumps(good))
    for _ in range(draw(st.integers(1, most))):
        value = _alter(draw, value, depth=0)
    return value


def _alter(draw: st.DrawFn, value: Any, depth: int) -> Any:
    """Walk down a random path and change what is there."""
    goes_down = depth < 8 and isinstance(value, (dict, list)) and value and draw(st.integers(0, 5)) > 0
    if not goes_down:
        return draw(hostile_values())
    keys = sorted(value) if isinstance(value, dict) else range(len(value))
    key = draw(st.sampled_from(keys))
    how = draw(st.sampled_from(["deeper"] * 8 + ["remove", "rename", "copy"]))
    if how == "deeper":
        value[key] = _alter(draw, value[key], depth + 1)
    elif how == "remove":
        del value[key]
    elif how == "copy":
        other = draw(st.sampled_from(keys))
        value[key] = value[other]
    elif isinstance(value, dict):
        value[draw(st.sampled_from([text for text in TEXTS if text != "\ud800"]))] = value.pop(key)
    else:
        value.append(value[key])
    return value


def to_json(value: Any) -> bytes:
    """JSON text of any value, with the numbers and half characters that strict JSON has no words for."""
    return json.dumps(value, ensure_ascii=True).encode()


@st.composite
def damaged_json(draw: st.DrawFn, good: Sequence[Any], tokens: Sequence[bytes] = ()) -> bytes:
    """JSON of an altered value, as text, sometimes damaged as text too."""
    content = to_json(draw(altered(draw(st.sampled_from(good)))))
    if draw(st.integers(0, 3)) == 0:
        extra = (
            *tokens,
            b"[" * 2_000,
            b"NaN",
            b"-Infinity",
            b"1e999",
            b"9" * 5_000,
            b'"\\ud800"',
            b"\xff",
            b"\x00",
            b"{}",
        )
        content = draw(damaged([content], extra, most=3, head=40))
    return content
