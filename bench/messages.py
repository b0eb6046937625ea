"""Text of strangers in our messages: short, on one line, and nothing that moves a terminal's cursor."""

from __future__ import annotations

from collections.abc import Iterable


def one_line(text: object, width: int = 60) -> str:
    """``text`` with ``?`` for every character that does not print, cut with an ellipsis after ``width``."""
    found = str(text)
    shown = "".join(char if char.isprintable() else "?" for char in found[: width + 1])
    return shown if len(found) <= width else f"{shown[: width - 1]}…"


def listed(names: Iterable[object], most: int = 10) -> str:
    """The first of ``names`` in alphabetical order, separated by commas."""
    found = sorted(map(str, names))
    return ", ".join(one_line(name, 40) for name in found[:most]) + (", …" if len(found) > most else "")


def error_line(error: BaseException) -> str:
    """Type and text of an error on one line of at most 500 characters, whatever its text is."""
    try:
        text = str(error)
    except Exception:
        text = "(its message cannot be printed)"
    return " ".join(f"{type(error).__name__}: {text}".split())[:500]
