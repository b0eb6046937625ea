"""The grammar of ``--methods`` and ``--datasets``: ``NAME[key=v1,v2,key=v]``, several values make a grid.

A piece without ``=`` is one more value of the parameter before it. There is no nesting.
"""

from __future__ import annotations

import dataclasses
import itertools
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.registry import UsageError, did_you_mean

MOST_SEEDS = 1_000  # as a count; a larger number was meant as a seed


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
        UsageError: empty text, unbalanced brackets, a value without a parameter, the same parameter twice.
    """
    items = _split(text, option)
    if not items:
        raise UsageError(f"{option} is empty; give at least one name")
    return [selected for item in items for selected in _expand(item, option)]


def _split(text: str, option: str) -> list[str]:
    """Split at commas outside brackets."""
    items, depth, start = [], 0, 0
    for i, char in enumerate(text):
        if char == "[":
            depth += 1
        elif char == "]":
            depth -= 1
        if depth not in (0, 1):
            raise UsageError(f"{option}: brackets do not match in '{text}'; write NAME[key=value,key=value]")
        if char == "," and depth == 0:
            items.append(text[start:i])
            start = i + 1
    if depth:
        raise UsageError(f"{option}: a closing bracket is missing in '{text}'; write NAME[key=value,key=value]")
    items.append(text[start:])
    items = [item.strip() for item in items]
    if items == [""]:
        return []
    if "" in items:
        raise UsageError(f"{option}: an empty name in '{text}'; two commas or a comma at the end?")
    return items


def _expand(item: str, option: str) -> list[Selected]:
    name, bracket, rest = item.partition("[")
    if not bracket:
        return [Selected(name, {}, item)]
    if not rest.endswith("]"):
        raise UsageError(f"{option}: text after the closing bracket in '{item}'; write NAME[key=value,key=value]")
    values: dict[str, list[str]] = {}
    key = None
    for piece in rest[:-1].split(","):
        head, equals, tail = piece.partition("=")
        if equals:
            key = head.strip()
            if not key:
                raise UsageError(f"{option}: a value without a parameter name, '{piece}', in '{item}'")
            if key in values:
                raise UsageError(
                    f"{option}: parameter '{key}' twice in '{item}'; several values are written {key}=1,2,3"
                )
            values[key] = [tail.strip()]
        elif key is None:
            raise UsageError(f"{option}: '{piece}' in '{item}' has no parameter; write {name}[key={piece or 'value'}]")
        else:
            values[key].append(piece.strip())
    for key, texts in values.items():
        if "" in texts:
            raise UsageError(f"{option}: parameter '{key}' has an empty value in '{item}'")
        if len(set(texts)) < len(texts):
            raise UsageError(f"{option}: parameter '{key}' has the same value twice in '{item}'")
    return [
        Selected(name, dict(zip(values, combination, strict=True)), item)
        for combination in itertools.product(*values.values())
    ]


def parse_seeds(text: str) -> tuple[int, ...]:
    """``3`` means seeds 0, 1, 2; ``3,7`` means those two; ``7,`` means seed 7 alone.

    Raises:
        UsageError: nothing, not whole numbers ≥ 0, none asked for, the same seed twice.
    """
    pieces = [piece.strip() for piece in text.split(",")]
    is_list = len(pieces) > 1
    if is_list and pieces[-1] == "":
        pieces.pop()
    try:
        numbers = [int(piece) for piece in pieces]
    except ValueError:
        raise UsageError(f"--seeds takes a count such as 3, or a list such as 3,7; got '{text}'") from None
    if min(numbers) < 0 or (not is_list and numbers[0] == 0):
        raise UsageError(f"--seeds must name at least one seed, all ≥ 0; got '{text}'")
    if not is_list and numbers[0] > MOST_SEEDS:
        raise UsageError(f"--seeds {text} is a count, at most {MOST_SEEDS}; the seed {text} alone is written '{text},'")
    if len(set(numbers)) < len(numbers):
        raise UsageError(f"--seeds names a seed twice: '{text}'")
    return tuple(numbers) if is_list else tuple(range(numbers[0]))


def resolve_config(config: type, budget_values: Mapping[str, Any], selected: Selected, option: str) -> Any:
    """The config with its defaults, then the budget's values, then the user's.

    Raises:
        UsageError: unknown parameter, wrong type, or a value that the config itself refuses.
    """
    hints = typing.get_type_hints(config)
    names = [field.name for field in dataclasses.fields(config)]
    given: dict[str, Any] = {}
    for key, text in selected.params.items():
        if key not in names:
            raise UsageError(
                f"{selected.name}: unknown parameter '{key}' (from {option} {selected.text}).{did_you_mean(key, names)}"
                f" `bench show {selected.name}` lists its parameters."
            )
        given[key] = _convert(hints[key], text, selected, key, option)
    try:
        return config(**{**budget_values, **given})
    except ValueError as error:
        raise UsageError(f"{error} (from {option} {selected.text})") from None


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
            return int(text.replace("_", ""))
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
        raise UsageError(
            f"{selected.name}: parameter '{key}' must be {wanted}, got '{text}' (from {option} {selected.text})"
        ) from None
