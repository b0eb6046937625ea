"""Says after a soak how many inputs each reader got and what came of them."""

from __future__ import annotations

import dataclasses

import pytest
from guard import SOAK, TALLIES, Tally


def pytest_sessionfinish(session):
    """A worker process of pytest-xdist hands its figures over."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["hostile"] = {reader: dataclasses.asdict(tally) for reader, tally in TALLIES.items()}


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    for reader, facts in getattr(node, "workeroutput", {}).get("hostile", {}).items():
        TALLIES.setdefault(reader, Tally()).add(Tally(**facts))


def pytest_terminal_summary(terminalreporter):
    if not SOAK or not TALLIES:
        return
    terminalreporter.section("hostile files")
    for reader, tally in sorted(TALLIES.items()):
        terminalreporter.line(
            f"{reader:<24} {tally.inputs:>8,} inputs, {tally.refused:>8,} refused, {tally.seconds:7.1f} s, "
            f"slowest {tally.slowest * 1000:7.1f} ms, peak +{tally.growth / 1e6:.0f} MB"
        )
