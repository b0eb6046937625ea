"""How ``bench run`` shows progress: a live panel on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

from bench.running.progress import clock


def make() -> Plain:
    """The display that fits where standard error goes."""
    return Live() if sys.stderr.isatty() else Plain()


class Plain:
    """A line when a run finishes, and one every 30 seconds in between."""

    every = 30.0

    def __init__(self) -> None:
        self.last_done, self.last_time = 0, time.monotonic()

    def __enter__(self) -> Plain:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def note(self, text: str) -> None:
        sys.stderr.write(f"bench: {text}\n")
        sys.stderr.flush()

    def update(self, done: int, total: int, running: dict[str, dict[str, Any]], left: float | None) -> None:
        now = time.monotonic()
        if done == self.last_done and now - self.last_time < self.every:
            return
        self.last_done, self.last_time = done, now
        self.note(summary(done, total, running, left))


class Live(Plain):
    """A panel that is redrawn in place: overall progress with time left, and one line per running run."""

    def __enter__(self) -> Live:
        from rich.console import Console
        from rich.live import Live as RichLive

        self.console = Console(stderr=True)
        self.live = RichLive(console=self.console, refresh_per_second=4, transient=True)
        self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.live.stop()

    def note(self, text: str) -> None:
        self.console.print(f"bench: {text}", markup=False, highlight=False)

    def update(self, done: int, total: int, running: dict[str, dict[str, Any]], left: float | None) -> None:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 1))
        for facts in running.values():
            bar = ProgressBar(total=1.0, completed=facts["fraction"], width=24)
            grid.add_row(Text(facts["label"]), bar, Text(_phase(facts)))
        self.live.update(Group(Text(f"{done} of {total} runs done{_left(left)}"), grid))


def summary(done: int, total: int, running: dict[str, dict[str, Any]], left: float | None) -> str:
    """One line: runs done, time left, and how far each running one is."""
    under_way = "; ".join(f"{facts['label']}: {_phase(facts)}" for facts in running.values())
    return f"{done} of {total} runs done{_left(left)}{' · ' + under_way if under_way else ''}"


def _left(left: float | None) -> str:
    return "" if left is None else f", {clock(left)} left"


def _phase(facts: dict[str, Any]) -> str:
    if facts["phase"] == "training" and facts.get("n_steps"):
        return f"step {facts['step']:,} of {facts['n_steps']:,}"
    return str(facts["phase"])
