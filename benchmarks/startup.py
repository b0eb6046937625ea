"""How long ``bench --help`` takes, as a whole process, beside an empty Python process."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from statistics import median

REPEATS = 9


def seconds(command: Sequence[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def main(arguments: Sequence[str] | None = None) -> int:
    bench = [sys.executable, "-m", "bench", "--help"]
    empty = [sys.executable, "-c", ""]
    seconds(bench)
    pairs = [(seconds(bench), seconds(empty)) for _ in range(REPEATS)]
    ours, python = median(a for a, _ in pairs), median(b for _, b in pairs)
    sys.stdout.write(f"bench --help: {ours:.3f} s; an empty Python process: {python:.3f} s (medians of {REPEATS})\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
