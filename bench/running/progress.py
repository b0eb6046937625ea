"""Live progress: workers leave small files, the parent reads them and says what runs and how long it will take."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench.processes import lives
from bench.spec import RunSpec

TRAINING_SHARE = 0.85  # of a run; encoding and scoring are the rest


class Reporter:
    """Writes ``progress.json`` of one run, at most twice a second.

    Args:
        folder: the run's artifacts.

    Attributes:
        facts: label, phase, step and n_steps while training, fraction of the run; process, the call that started it,
            and when it began on the system's monotonic clock.
    """

    def __init__(self, folder: Path, spec: RunSpec) -> None:
        self.path = folder / "progress.json"
        self.folder = folder
        self.facts: dict[str, Any] = {
            "label": spec.label, "phase": "data", "fraction": 0.0,
            "pid": os.getpid(), "call": os.getppid(), "began": time.monotonic(),
        }  # fmt: skip
        self.last = 0.0
        folder.mkdir(parents=True, exist_ok=True)
        self._write(force=True)

    def phase(self, name: str) -> None:
        self.facts["phase"] = name
        self._write(force=True)  # rare, and what stops or ends a run asks where it is

    def step(self, step: int, n_steps: int) -> None:
        self.facts |= {
            "phase": "training",
            "step": step,
            "n_steps": n_steps,
            "fraction": TRAINING_SHARE * step / n_steps,
        }
        self._write(force=False)

    def warn(self, text: str) -> None:
        """Something the user should know; the parent reads it when the run is in."""
        with (self.path.parent / "warnings").open("a", encoding="utf-8") as file:
            file.write(text + "\n")

    def close(self) -> None:
        with suppress(FileNotFoundError):
            self.path.unlink()

    def _write(self, force: bool) -> None:
        now = time.monotonic()
        if not force and now - self.last < 0.5:
            return
        self.last = now
        partial = self.path.with_suffix(".part")
        partial.write_text(json.dumps(self.facts), encoding="utf-8")
        os.replace(partial, self.path)


def read(artifacts: Path, hashes: Collection[str], call: int | None = None) -> dict[str, dict[str, Any]]:
    """Progress of the runs under way, by hash.

    Args:
        call: only those that living workers of the ``bench run`` with this process id are at.
    """
    found = {}
    for name in hashes:
        with suppress(OSError, ValueError, RecursionError):
            facts = json.loads((artifacts / name / "progress.json").read_text(encoding="utf-8"))
            if _is_whole(facts) and (call is None or (facts["call"] == call and lives(facts["pid"]))):
                found[name] = facts
    return found


def _is_whole(facts: Any) -> bool:
    """Whether these are facts as ``Reporter`` writes them; a process that they name may be sent a signal."""
    if not isinstance(facts, dict) or not all(isinstance(facts.get(key), str) for key in ("label", "phase")):
        return False
    counts = [facts.get(key, 0) for key in ("pid", "call", "step", "n_steps")]
    if not all(type(one) is int and one >= 0 for one in counts) or min(facts.get("pid", 0), facts.get("call", 0)) < 1:
        return False
    return all(type(facts.get(key)) in (int, float) for key in ("began", "fraction")) and 0 <= facts["fraction"] <= 1


def warnings(folder: Path) -> list[str]:
    """What a run's worker warned of, once: the file is taken away."""
    path = folder / "warnings"
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    path.unlink()
    return lines


def time_left(
    expected: Mapping[str, float],
    running: Mapping[str, Mapping[str, Any]],
    first: Mapping[str, float],
    spent: float,
    done: Collection[str],
) -> float | None:
    """Seconds until all runs are in, from the pace of this call; None until there is a pace to go by.

    Args:
        expected: predicted seconds of what this call has to do for each run; only their proportions matter.
        running: what ``read`` gives.
        first: how far each run was when this call first saw it; what earlier calls did says nothing of the pace.
        spent: wall seconds since the first run started.
        done: hashes already finished in this call.
    """
    total = sum(expected.values())
    reached = {name: facts["fraction"] for name, facts in running.items()} | dict.fromkeys(done, 1.0)
    begun = {name: first.get(name, 0.0) for name in reached if name in expected}
    finished = sum(expected[name] * (reached[name] - start) / (1 - start) for name, start in begun.items())
    if spent < 5 or finished < 0.01 * total:
        return None
    return (total - finished) * spent / finished


def clock(seconds: float) -> str:
    """``1 h 05 min``, ``3 min 20 s`` or ``45 s``."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"
