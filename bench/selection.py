"""The grammar of ``--methods`` and ``--datasets``: ``NAME[key=v1,v2,key=v]``, several values make a grid.

A piece without ``=`` is one more value of the parameter before it. There is no nesting.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.messages import one_line
from bench.registry import UsageError, did_you_mean

MOST_SEEDS = 1_000  # as a count; a larger number was meant as a seed
MOST_SEED = 2**63 - 1  # and the largest whole number of a parameter: what a row holds
MOST_COMBINATIONS = 10_000  # of parameters in one command
_WIDTH = 200  # characters of what was typed that a message repeats


@dataclass(frozen=True)
class Selected:
    """One name with one value for each parameter that the user gave, as text.

    Attributes:
        text: what the user typed for this item, for error messages.
    """

    name: str
    params: Mapping[str, str]
    text: str


def parse(text: str, option: str) -> list[Selected]:
    """Every combination that ``text`` names, in the order typed.

    Raises:
        UsageError: empty text, unbalanced brackets, a value without a parameter, the same parameter twice, or more
            combinations than anyone runs.
    """
    items = _split(text, option)
    if not items:
        raise UsageError(f"{option} is empty; give at least one name")
    values = [_values(item, option) for item in items]
    count = sum(math.prod(map(len, one.values())) for one in values)
    if count > MOST_COMBINATIONS:
        raise UsageError(
            f"{option} names more than {MOST_COMBINATIONS:,} combinations of parameters; name fewer values"
        )
    return [selected for item, one in zip(items, values, strict=True) for selected in _expand(item, one)]


def _split(text: str, option: str) -> list[str]:
    """Split at commas outside brackets."""
    items, depth, start = [], 0, 0
    for i, char in enumerate(text):
        if char == "[":
            depth += 1
        elif char == "]":
            depth -= 1
        if depth not in (0, 1):
            shown = one_line(text, _WIDTH)
            raise UsageError(f"{option}: brackets do not match in '{shown}'; write NAME[key=value,key=value]")
        if char == "," and depth == 0:
            items.append(text[start:i])
            start = i + 1
    if depth:
        shown = one_line(text, _WIDTH)
        raise UsageError(f"{option}: a closing bracket is missing in '{shown}'; write NAME[key=value,key=value]")
    items.append(text[start:])
    items = [item.strip() for item in items]
    if items == [""]:
        return []
    if "" in items:
        raise UsageError(f"{option}: an empty name in '{one_line(text, _WIDTH)}'; two commas or a comma at the end?")
    return items


def _values(item: str, option: str) -> dict[str, list[str]]:
    """The values of each parameter of one item, as text."""
    name, bracket, rest = item.partition("[")
    if not bracket:
        return {}
    shown = one_line(item, _WIDTH)
    if not rest.endswith("]"):
        raise UsageError(f"{option}: text after the closing bracket in '{shown}'; write NAME[key=value,key=value]")
    values: dict[str, list[str]] = {}
    key = None
    for piece in rest[:-1].split(","):
        head, equals, tail = piece.partition("=")
        if equals:
            key = head.strip()
            if not key:
                raise UsageError(f"{option}: a value without a parameter name, '{one_line(piece)}', in '{shown}'")
            if key in values:
                twice = one_line(key)
                raise UsageError(
                    f"{option}: parameter '{twice}' twice in '{shown}'; several values are written {twice}=1,2,3"
                )
            values[key] = [tail.strip()]
        elif key is None:
            like = f"{one_line(name)}[key={one_line(piece) or 'value'}]"
            raise UsageError(f"{option}: '{one_line(piece)}' in '{shown}' has no parameter; write {like}")
        else:
            values[key].append(piece.strip())
    for key, texts in values.items():
        if "" in texts:
            raise UsageError(f"{option}: parameter '{one_line(key)}' has an empty value in '{shown}'")
        if len(set(texts)) < len(texts):
            raise UsageError(f"{option}: parameter '{one_line(key)}' has the same value twice in '{shown}'")
    return values


def _expand(item: str, values: Mapping[str, list[str]]) -> list[Selected]:
    name, shown = item.partition("[")[0], one_line(item, _WIDTH)
    combinations = itertools.product(*values.values())
    return [Selected(name, dict(zip(values, combination, strict=True)), shown) for combination in combinations]


def parse_seeds(text: str) -> tuple[int, ...]:
    """``3`` means seeds 0, 1, 2; ``3,7`` means those two; ``7,`` means seed 7 alone.

    Raises:
        UsageError: nothing, not whole numbers ≥ 0, none asked for, the same seed twice.
    """
    shown = one_line(text, _WIDTH)
    pieces = [piece.strip() for piece in text.split(",")]
    is_list = len(pieces) > 1
    if is_list and pieces[-1] == "":
        pieces.pop()
    try:
        numbers = [int(piece) for piece in pieces]
    except ValueError:
        raise UsageError(f"--seeds takes a count such as 3, or a list such as 3,7; got '{shown}'") from None
    if max(numbers) > MOST_SEED:
        raise UsageError(f"--seeds are at most {MOST_SEED}; got '{shown}'")
    if min(numbers) < 0 or (not is_list and numbers[0] == 0):
        raise UsageError(f"--seeds must name at least one seed, all ≥ 0; got '{shown}'")
    if not is_list and numbers[0] > MOST_SEEDS:
        one = numbers[0]
        raise UsageError(f"--seeds {one} is a count, at most {MOST_SEEDS}; the seed {one} alone is written '{one},'")
    if len(set(numbers)) < len(numbers):
        raise UsageError(f"--seeds names a seed twice: '{shown}'")
    return tuple(numbers) if is_list else tuple(range(numbers[0]))


def resolve_config(config: type, budget_values: Mapping[str, Any], selected: Selected, option: str) -> Any:
    """The config with its defaults, then the budget's values, then the user's.

    Raises:
        UsageError: unknown parameter, wrong type, or a value that the config itself refuses.
    """
    hints = _hints(config)
    names = [field.name for field in dataclasses.fields(config)]
    given: dict[str, Any] = {}
    for key, text in selected.params.items():
        if key not in names:
            raise UsageError(
                f"{selected.name}: unknown parameter '{one_line(key)}' (from {option} {selected.text})."
                f"{did_you_mean(key, names)}"
                f" `bench show {selected.name}` lists its parameters."
            )
        given[key] = _convert(hints[key], text, selected, key, option)
    try:
        return config(**{**budget_values, **given})
    except ValueError as error:
        raise UsageError(f"{one_line(error, 300)} (from {option} {selected.text})") from None


@functools.cache
def _hints(config: type) -> dict[str, Any]:
    return typing.get_type_hints(config)


_TRUE, _FALSE = {"true", "yes", "on", "1"}, {"false", "no", "off", "0"}


def _convert(hint: Any, text: str, selected: Selected, key: str, option: str) -> Any:
    wanted = "text"
    try:
        if hint is bool:
            wanted = "true or false"
            if text.lower() not in _TRUE | _FALSE:
                raise ValueError
            return text.lower() in _TRUE
        if hint is int:
            wanted = "a whole number"
            number = int(text.replace("_", ""))
            if abs(number) > MOST_SEED:
                raise ValueError
            return number
        if hint is float:
            wanted = "a number"
            value = float(text)
            if value != value or value in (float("inf"), float("-inf")):
                raise ValueError
            return value
        choices = typing.get_args(hint) if typing.get_origin(hint) is typing.Literal else ()
        if choices:
            wanted = "one of " + ", ".join(map(str, choices))
            by_text = {str(choice): choice for choice in choices}
            if text not in by_text:
                raise ValueError
            return by_text[text]
        return text
    except ValueError:
        got = f"got '{one_line(text)}' (from {option} {selected.text})"
        raise UsageError(f"{selected.name}: parameter '{key}' must be {wanted}, {got}") from None
