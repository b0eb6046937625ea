"""Says at the end of a soak what was tried, how often, and what was measured."""

from __future__ import annotations

import pytest

FIGURES: list[str] = []


@pytest.fixture
def figure():
    """Takes a line for the summary."""
    return FIGURES.append


def pytest_terminal_summary(terminalreporter):
    if FIGURES:
        terminalreporter.section("reliability")
        for line in FIGURES:
            terminalreporter.line(line)
