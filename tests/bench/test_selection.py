"""The bracket grammar, seeds, and how parameters reach a config."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pytest

from bench.registry import UsageError
from bench.selection import Selected, parse, parse_seeds, resolve_config


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("a,b", [("a", {}), ("b", {})], id="two names"),
        pytest.param("a[x=1]", [("a", {"x": "1"})], id="one parameter"),
        pytest.param("a[x=1,2]", [("a", {"x": "1"}), ("a", {"x": "2"})], id="a value without = belongs to x"),
        pytest.param(
            "b[beta=1,4,n=10],a",
            [("b", {"beta": "1", "n": "10"}), ("b", {"beta": "4", "n": "10"}), ("a", {})],
            id="grid beside a fixed value",
        ),
        pytest.param(
            "a[x=1,2,y=u,v]",
            [("a", {"x": x, "y": y}) for x in "12" for y in "uv"],
            id="two grids: the product, last parameter fastest",
        ),
        pytest.param(" a , b ", [("a", {}), ("b", {})], id="spaces"),
        pytest.param("a[file=dir/x=y.csv]", [("a", {"file": "dir/x=y.csv"})], id="only the first = splits"),
    ],
)
def test_grammar(text, expected):
    assert [(s.name, dict(s.params)) for s in parse(text, "--methods")] == expected


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "is empty"),
        ("a,,b", "empty name"),
        ("a[", "closing bracket is missing"),
        ("a]", "brackets do not match"),
        ("a[x=[1]]", "brackets do not match"),
        ("a[5]", "has no parameter"),
        ("a[x=1]b", "after the closing bracket"),
        ("a[x=1,x=2]", "twice"),
        ("a[x=]", "empty value"),
        ("a[=1]", "without a parameter name"),
        ("a[x=1,1]", "same value twice"),
    ],
)
def test_grammar_errors_name_the_option_and_the_mistake(text, hint):
    with pytest.raises(UsageError, match=hint) as caught:
        parse(text, "--methods")
    assert "--methods" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("text", "seeds"), [("3", (0, 1, 2)), ("3,7", (3, 7)), ("7,", (7,)), ("1", (0,))])
def test_seeds(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "0", "-1", "a", "1,1", "1.5", "3,,4", ","])
def test_bad_seeds_are_refused(text):
    with pytest.raises(UsageError, match="--seeds"):
        parse_seeds(text)


@dataclass(frozen=True)
class Config:
    beta: float = 4.0
    n_steps: int = 100
    objective: Literal["released", "elbo"] = "released"
    flag: bool = False
    name: str = "x"

    def __post_init__(self) -> None:
        if self.beta < 0:
            raise ValueError(f"toy: parameter 'beta' must be ≥ 0, got {self.beta}")


def resolve(budget=None, **params):
    return resolve_config(Config, budget or {}, Selected("toy", params, "toy[…]"), "--methods")


def test_user_values_win_over_the_budget_and_it_over_defaults():
    assert resolve({"n_steps": 5, "beta": 2.0}, beta="8") == Config(beta=8.0, n_steps=5)


def test_values_take_the_type_of_the_field():
    config = resolve(beta="4", n_steps="1_000", objective="elbo", flag="yes", name="7")
    assert config == Config(4.0, 1000, "elbo", True, "7")
    assert type(config.beta) is float


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"beta": "four"}, "toy: parameter 'beta' must be a number, got 'four' (from --methods toy[…])"),
        ({"beta": "nan"}, "toy: parameter 'beta' must be a number, got 'nan' (from --methods toy[…])"),
        ({"n_steps": "1.5"}, "toy: parameter 'n_steps' must be a whole number, got '1.5' (from --methods toy[…])"),
        (
            {"objective": "x"},
            "toy: parameter 'objective' must be one of released, elbo, got 'x' (from --methods toy[…])",
        ),
        ({"flag": "maybe"}, "toy: parameter 'flag' must be true or false, got 'maybe' (from --methods toy[…])"),
        ({"beta": "-1"}, "toy: parameter 'beta' must be ≥ 0, got -1.0 (from --methods toy[…])"),
    ],
)
def test_wrong_values_are_named_with_their_origin(params, message):
    with pytest.raises(UsageError) as caught:
        resolve(**params)
    assert str(caught.value) == message


def test_unknown_parameter_gets_the_nearest_name():
    with pytest.raises(UsageError, match=r"unknown parameter 'betta'.*Did you mean 'beta'\?"):
        resolve(betta="1")
