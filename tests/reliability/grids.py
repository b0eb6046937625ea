"""``bench run`` in a process of its own, to be killed, stopped and called again; and what a grid must be afterwards."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
REAL = (
    "--methods", "slowvae,betavae,pca", "--datasets", "natural_sprites", "--metrics", "mcc,mig", "--seeds", "2",
    "--budget", "smoke", "--no-figures", "--checkpoint-seconds", "0.3",
)  # fmt: skip
TOYS = (
    "--methods", "toy_ae[n_steps=1500,2000]", "--datasets", "toy_squares", "--metrics", "mcc,mig", "--seeds", "2",
    "--budget", "smoke", "--no-figures", "--checkpoint-seconds", "0.3",
)  # fmt: skip
N_RUNS = {REAL: 6, TOYS: 4}
PATIENCE = 900.0  # seconds; a busy machine is slow


class Call:
    """One ``bench run``, in a session of its own as a terminal gives it.

    Args:
        folder: where the store, the log and the marks of writing files are.
        cache: prepared arrays.
        site: where the outside package is installed.
        log: name of the file with what it says.
    """

    def __init__(self, arguments: tuple[str, ...], folder: Path, cache: Path, site: Path, log: str = "log") -> None:
        self.results, self.writing = folder / "results", folder / "writing"
        self.writing.mkdir(parents=True, exist_ok=True)
        path = os.pathsep.join(map(str, [Path(__file__).parent / "slow_disk", ROOT, site]))
        environment = {
            **os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1",
            "BENCH_CACHE": str(cache), "SLOW_DISK": str(self.writing),
        }  # fmt: skip
        environment.pop("BENCH_DATA", None)
        self.log = folder / log
        command = [sys.executable, "-m", "bench", "run", *arguments, "--results", str(self.results)]
        with self.log.open("w") as error:
            self.process = subprocess.Popen(
                command, env=environment, cwd=folder, stdout=subprocess.DEVNULL, stderr=error, start_new_session=True
            )

    def runs(self) -> bool:
        return self.process.poll() is None

    def workers(self) -> list[int]:
        """Worker processes."""
        found = []
        for number in _children(self.process.pid):
            command = _read(Path(f"/proc/{number}/cmdline"))
            if "LokyProcess" in command:
                found.append(number)
        return found

    def phases(self) -> dict[int, str]:
        """What each of its processes is at, as far as they say."""
        found = dict.fromkeys(self.workers(), "idle or starting")
        for path in self.results.glob("artifacts/*/progress.json"):
            text = _read(path)
            if text and (facts := json.loads(text))["pid"] in found:
                found[facts["pid"]] = facts["phase"]
        for path in self.writing.iterdir():
            number = int(path.name)
            if number in found or number == self.process.pid:
                found[number] = f"writing {_kind(_read(path))}"
        return found

    def wait(self) -> int:
        """Its exit code."""
        return self.process.wait(PATIENCE)

    def text(self) -> str:
        return self.log.read_text()


def alive(number: int) -> bool:
    """The process is there and no zombie."""
    return _read(Path(f"/proc/{number}/stat")).rpartition(")")[2].split()[:1] not in ([], ["Z"])


def rows(results: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(results.glob("rows/*/*/*.json"))}


def outcome(content: bytes) -> str:
    """What may not depend on how often a run was disturbed."""
    row = json.loads(content)
    same = ("hash", "spec", "status", "reason", "metrics", "scored", "details", "training", "notes")
    return json.dumps({key: row.get(key) for key in same}, sort_keys=True)


def flaws(results: Path, cache: Path, expected: dict[str, bytes]) -> list[str]:
    """What is wrong with a grid that has come to its end, against one that nothing disturbed."""
    found = rows(results)
    wrong = [f"lost: {name}" for name in expected.keys() - found.keys()]
    wrong += [f"of no run: {name}" for name in found.keys() - expected.keys()]
    wrong += [
        f"differs: {name}: {outcome(found[name])[:300]}"
        for name in found.keys() & expected.keys()
        if outcome(found[name]) != outcome(expected[name])
    ]
    for folder in (results, cache):
        wrong += [f"half file: {path}" for path in folder.rglob("*.part")]
    wrong += [f"set aside: {path}" for path in results.rglob("*.bad")]
    for path in results.rglob("*.json"):
        json.loads(path.read_text())
    return wrong


@dataclass(frozen=True)
class Kill:
    """One SIGKILL: of a worker, of the parent, or of all at once; and what it hit."""

    victim: str
    phase: str


AIMS = ("starting", "data", "training", "encoding", "metrics", "writing", "tables")
VICTIMS = ("worker", "parent", "all")


def shoot(call: Call, rng: random.Random) -> Kill | None:
    """Wait for the moment that ``rng`` chooses and kill; None where the call ended before."""
    aim, victim = rng.choice(AIMS), rng.choice(VICTIMS)
    moment = time.monotonic() + rng.uniform(0, 8)
    while call.runs():
        phases = call.phases()
        if aim == "starting":
            ready = time.monotonic() > moment
        elif aim == "tables":
            ready = any("tables" in phase for phase in phases.values())
        else:
            ready = any(phase.startswith(aim) for phase in phases.values())
        if ready:
            if aim not in ("starting", "tables", "writing"):
                time.sleep(rng.uniform(0, 0.5))
            return _kill(call, victim, aim, rng)
        time.sleep(0.005)
    return None


def _kill(call: Call, victim: str, aim: str, rng: random.Random) -> Kill | None:
    phases = call.phases()
    workers = [number for number in phases if number != call.process.pid]
    if victim == "worker" and workers:
        number = rng.choice([one for one in workers if phases[one].startswith(aim)] or workers)
        os.kill(number, signal.SIGKILL)
        return Kill("worker", phases[number])
    if not call.runs():
        return None
    of_all = phases.get(call.process.pid) or "+".join(sorted(set(phases.values()))) or "before any worker"
    if victim == "all":
        os.killpg(call.process.pid, signal.SIGKILL)
        for number in workers:  # loky's have the parent's process group; to be sure
            if alive(number):
                os.kill(number, signal.SIGKILL)
    else:
        victim = "parent"
        call.process.kill()
    call.wait()
    return Kill(victim, of_all)


def grids(n_kills: int, seed: int, folder: Path, site: Path) -> Iterator[tuple[list[Kill], int, list[str]]]:
    """Grids under fire until so many kills have hit: kills, number of calls, flaws of each grid."""
    rng = random.Random(seed)
    expected = {}
    for arguments in (REAL, TOYS):
        calm = Call(arguments, folder / f"calm-{N_RUNS[arguments]}", folder / "cache", site)
        assert calm.wait() == 0, calm.text()
        expected[arguments] = rows(calm.results)
        assert len(expected[arguments]) == N_RUNS[arguments]
    left, number = n_kills, 0
    while left:
        number += 1
        arguments = (REAL, TOYS)[number % 2]
        # every third prepares its data anew, so that kills hit this as well
        cache = folder / (f"cache-{number}" if number % 3 == 0 else "cache")
        kills, n_calls, wrong = _under_fire(arguments, folder / f"grid-{number}", cache, site, rng, left)
        left -= len(kills)
        yield kills, n_calls, wrong + flaws(folder / f"grid-{number}" / "results", cache, expected[arguments])


def _under_fire(
    arguments: tuple[str, ...], folder: Path, cache: Path, site: Path, rng: random.Random, n_kills: int
) -> tuple[list[Kill], int, list[str]]:
    """One grid, called again after each kill until a call comes to its end."""
    kills: list[Kill] = []
    stored: dict[str, bytes] = {}
    wrong: list[str] = []
    for n_calls in range(1, 1000):
        call = Call(arguments, folder, cache, site)
        kill = shoot(call, rng) if len(kills) < n_kills else None
        kills += [kill] if kill else []
        ended = (not kill or kill.victim == "worker") and call.wait() == 0
        if not ended and (not kill or kill.victim == "worker"):
            wrong.append(f"exit code {call.process.returncode} after {kill}: {call.text()[-500:]}")
        now = rows(call.results)
        wrong += [f"row {name} changed by {kill}" for name in stored if now.get(name) != stored[name]]
        stored = now
        if "Traceback" in call.text():
            wrong.append(f"after {kill}: {call.text()[-2000:]}")
        if ended:
            return kills, n_calls, wrong
    raise AssertionError(f"{folder} never came to its end")


def processes_of(session: int) -> list[int]:
    """Processes that still live of the session that a call began; joblib's tracker of resources leaves last."""
    return [number for number, of in _processes() if of[3] == str(session) and of[0] != "Z"]


def _children(number: int) -> list[int]:
    return [child for child, of in _processes() if of[1] == str(number)]


def _processes() -> Iterator[tuple[int, list[str]]]:
    """Process id, and state, parent, group, session of each process."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        after = _read(path).rpartition(")")[2].split()
        if len(after) > 3:
            yield int(path.parent.name), after


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _kind(target: str) -> str:
    """What a file that is being written is."""
    parts = Path(target).parts
    for name, kind in (("rows", "a row"), ("tables", "tables"), ("figures", "figures")):
        if name in parts:
            return kind
    return {"progress.json": "progress", "checkpoint.safetensors": "a checkpoint", "codes.h5": "codes"}.get(
        Path(target).name, "prepared data"
    )
