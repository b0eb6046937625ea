"""Says after a soak how many inputs each reader got and what came of them."""

from __future__ import annotations

from guard import SOAK, TALLIES


def pytest_terminal_summary(terminalreporter):
    if not SOAK:
        return
    terminalreporter.section("hostile files")
    for reader, tally in sorted(TALLIES.items()):
        terminalreporter.line(
            f"{reader:<28} {tally.inputs:>7,} inputs, {tally.refused:>7,} refused, {tally.seconds:7.1f} s, "
            f"slowest {tally.slowest * 1000:7.1f} ms, peak +{tally.growth / 1e6:.0f} MB"
        )
