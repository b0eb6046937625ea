"""Checks of parameter values, made when a config is built: a wrong value fails before anything is opened."""

from __future__ import annotations

import math
from collections.abc import Collection

from bench.api import MethodConfig


def check_training(method: str, config: MethodConfig) -> None:
    """Raise ValueError where a parameter that every method has is out of its range."""
    check_at_least(method, config, 0, "n_steps")
    check_at_least(method, config, 1, "batch_size")
    check_positive(method, config, "learning_rate")


def check_positive(method: str, config: MethodConfig, *names: str) -> None:
    """Raise ValueError unless each of these parameters is a finite number above 0."""
    for name in names:
        value = getattr(config, name)
        if not (_is_number(value) and value > 0):
            raise ValueError(f"{method}: parameter '{name}' must be > 0, got {value!r}")


def check_at_least(method: str, config: MethodConfig, bound: float, *names: str) -> None:
    """Raise ValueError unless each of these parameters is a finite number of at least ``bound``."""
    for name in names:
        value = getattr(config, name)
        if not (_is_number(value) and value >= bound):
            raise ValueError(f"{method}: parameter '{name}' must be >= {bound}, got {value!r}")


def check_one_of(method: str, config: MethodConfig, name: str, choices: Collection[str]) -> None:
    """Raise ValueError unless the parameter is one of ``choices``."""
    value = getattr(config, name)
    if value not in choices:
        raise ValueError(f"{method}: parameter '{name}' must be one of {', '.join(choices)}, got {value!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
