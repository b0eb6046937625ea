"""Turns good files into ones that someone would make by accident or on purpose.

Hypothesis chooses eight bytes for each input, counts and replays; what is made of them is drawn here, from a generator
that they seed. Choices that hypothesis records one by one would take ten times as long as the readers do.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from hypothesis import strategies as st

EVIL_NUMBERS = (
    0, 1, -1, 2, 127, 128, 255, 256, 32767, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**40, 2**63 - 1, 2**63,
    2**64 - 1,
)  # fmt: skip
CODE = "__import__('pathlib').Path('executed').touch()"
TEXTS = (
    "", " ", "\x00", "\n", "a\nb", "\x1b[31mred", "\u202eevil", "\ud800", "é", "𝔘" * 3, "../../up", "/etc/passwd",
    "-1", "0", "1e999", "nan", "inf", "x" * 300, "'", '"', "{{7*7}}", "<script>", "=1+1", CODE, "%s%n", "NULL", "true",
    "[", "]",
)  # fmt: skip
_CHANGES = ("bit", "byte", "number", "cut", "delete", "double", "zero", "splice", "swap", "token", "token")


def made(*makers: Callable[[Random], Any]) -> st.SearchStrategy[Any]:
    """What one of ``makers`` makes of a generator."""
    return st.binary(min_size=8, max_size=8).map(lambda seed: _make(makers, Random(seed)))


def _make(makers: Sequence[Callable[[Random], Any]], rng: Random) -> Any:
    return rng.choice(makers)(rng)


def damaged(
    good: Sequence[bytes], tokens: Sequence[bytes] = (), most: int = 5, head: int = 256
) -> st.SearchStrategy[bytes]:
    """One of ``good`` after a few changes; see ``damage``."""
    return made(lambda rng: damage(rng, good, tokens, most, head))


def damage(rng: Random, good: Sequence[bytes], tokens: Sequence[bytes] = (), most: int = 5, head: int = 256) -> bytes:
    """One of ``good`` after up to ``most`` changes; places within ``head`` of either end are more likely."""
    content = bytearray(rng.choice(good))
    for _ in range(rng.choice((0, 1, 1, *range(1, most + 1)))):
        _change(rng, content, good, tokens, head)
    return bytes(content)


def _place(rng: Random, size: int, head: int) -> int:
    low, high = rng.choice(((0, min(head, size)), (max(size - head, 0), size), (0, size)))
    return rng.randint(low, high)


def _change(rng: Random, content: bytearray, good: Sequence[bytes], tokens: Sequence[bytes], head: int) -> None:
    kind, place, span = rng.choice(_CHANGES), _place(rng, len(content), head), rng.randint(1, 64)
    if kind == "bit" and place < len(content):
        content[place] ^= 1 << rng.randrange(8)
    elif kind == "byte" and place < len(content):
        content[place] = rng.randrange(256)
    elif kind == "number":
        number, form = rng.choice(EVIL_NUMBERS), rng.choice(("<H", "<I", "<Q", ">I", ">Q"))
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
        other = rng.choice(good)
        start = _place(rng, len(other), head)
        content[place : place + span] = other[start : start + span]
    elif kind == "swap":
        other_place = _place(rng, len(content), head)
        one, two = content[place : place + span], content[other_place : other_place + span]
        content[place : place + span], content[other_place : other_place + span] = two, one
    elif kind == "token" and tokens:
        token = rng.choice(tokens)
        content[place : place + rng.choice((0, len(token)))] = token


def some_text(rng: Random, most: int = 8) -> str:
    """A few characters from anywhere, half of surrogate pairs included."""
    ranges = ((32, 126), (0, 31), (128, 0x2FF), (0x2000, 0x20FF), (0xD800, 0xDFFF), (0x10000, 0x10FFFF))
    return "".join(chr(rng.randint(*rng.choice(ranges))) for _ in range(rng.randint(0, most)))


def hostile_value(rng: Random) -> Any:
    """A JSON value that a reader may stumble over; some of them cannot be told from good ones."""
    kind = rng.randrange(12)
    if kind < 8:
        numbers = (float("nan"), float("inf"), -float("inf"), 1e308, -0.0, 5e-324, 0.5, 10**400, -(10**30))
        return rng.choice(
            (
                None,
                True,
                False,
                rng.choice(EVIL_NUMBERS),
                rng.choice(TEXTS),
                rng.choice(numbers),
                some_text(rng),
                {},
                [],
            )
        )
    if kind == 8:
        return rng.gauss(0, 10 ** rng.randint(-9, 9))
    if kind == 9:
        return [hostile_value(rng) for _ in range(rng.randint(0, 3))]
    if kind == 10:
        return {rng.choice(TEXTS): hostile_value(rng) for _ in range(rng.randint(0, 3))}
    value: Any = rng.choice((None, 1))
    for _ in range(rng.choice((5, 20, 300))):
        value = [value] if kind == 11 and rng.random() < 0.5 else {"a": value}
    return value


def alter(rng: Random, good: Any, most: int = 3) -> Any:
    """A copy of a JSON value with up to ``most`` of its nodes replaced, removed, doubled or renamed."""
    value = json.loads(json.dumps(good))
    for _ in range(rng.randint(1, most)):
        value = _alter(rng, value, depth=0)
    return value


def _alter(rng: Random, value: Any, depth: int) -> Any:
    """Walk down a random path and change what is there."""
    if depth >= 8 or not isinstance(value, dict | list) or not value or rng.random() < 0.15:
        return hostile_value(rng)
    keys = list(value) if isinstance(value, dict) else range(len(value))
    key, how = rng.choice(keys), rng.choice(("deeper",) * 8 + ("remove", "rename", "copy"))
    if how == "deeper":
        value[key] = _alter(rng, value[key], depth + 1)
    elif how == "remove":
        del value[key]
    elif how == "copy":
        value[key] = value[rng.choice(keys)]
    elif isinstance(value, dict):
        value[rng.choice(TEXTS)] = value.pop(key)
    else:
        value.append(value[key])
    return value


def to_json(value: Any) -> bytes:
    """JSON text of any value, with the numbers and half characters that strict JSON has no words for."""
    return json.dumps(value, ensure_ascii=True).encode()


_JSON_TOKENS = (
    b"[" * 2_000, b"NaN", b"-Infinity", b"1e999", b"9" * 5_000, b'"\\ud800"', b"\xff", b"\x00", b"{}", b"}", b'"', b",",
)  # fmt: skip


def damage_json(rng: Random, good: Sequence[Any]) -> bytes:
    """JSON of an altered value, as text, sometimes damaged as text too."""
    content = to_json(alter(rng, rng.choice(good)))
    return damage(rng, [content], _JSON_TOKENS, most=3, head=40) if rng.random() < 0.25 else content


def damaged_json(good: Sequence[Any]) -> st.SearchStrategy[bytes]:
    """As a strategy."""
    return made(lambda rng: damage_json(rng, good))
