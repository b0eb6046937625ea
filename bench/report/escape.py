"""Keeps names and reasons, which come from outside, plain text in every format a report is written in."""

from __future__ import annotations

import re
from typing import Any


def plain(text: str) -> str:
    """One line without control characters: a name cannot move a terminal's cursor or end a table row."""
    return "".join(char if char.isprintable() else " " for char in text)


def markdown(text: str) -> str:
    """``text`` so that Markdown shows it as it is: no table cell, HTML, link, image, emphasis or code begins in it."""
    text = plain(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*|~])", r"\\\1", text)
    text = text.replace("](", "]\\(").replace("][", "]\\[").replace("://", ":&#47;&#47;")
    text = re.sub(r"(?i)\bwww\.", "www&#46;", text)
    # An underscore inside a word (random_codes) is no emphasis; at the edge of one it would be.
    return re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", text)


_LATEX = {char: f"\\{char}" for char in "&%$#_{}"} | {
    "\\": "\\textbackslash{}",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "[": "{[}",
    "]": "{]}",
    "<": "\\textless{}",
    ">": "\\textgreater{}",
    "|": "\\textbar{}",
    "↑": "$\\uparrow$",
    "↓": "$\\downarrow$",
    "±": "$\\pm$",
    "β": "$\\beta$",
    "—": "---",
    "–": "--",
    "…": "\\dots{}",
    "·": "$\\cdot$",
}


def latex(text: str) -> str:
    """``text`` without anything LaTeX would act on."""
    return "".join(_LATEX.get(char, char) for char in plain(text))


def spreadsheet(value: Any) -> Any:
    """One plain line, with an apostrophe before what a spreadsheet would run as a formula; numbers as they are."""
    if not isinstance(value, str):
        return value
    value = plain(value)
    if not value.lstrip().startswith(("=", "+", "-", "@")):
        return value
    is_numbers = re.fullmatch(r"[-+.\deE ]+", value)
    return value if is_numbers else f"'{value}"
