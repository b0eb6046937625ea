"""Files of kilobytes that ask for gigabytes or for years are refused at once, under a limit of memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import bombs

MOST_MEMORY = 160 << 20  # for the longest line that is read; headers cost nothing
MOST_SECONDS = 5.0


def answers(folder):
    """What a process with little memory says of each: message, seconds, and what it took of memory."""
    for number, make in enumerate(bombs.BOMBS.values()):
        make(folder / f"{number}.dat")
    command = [sys.executable, bombs.__file__, str(folder)]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=root)
    for path in folder.glob("*.dat"):
        path.unlink()
    assert done.returncode == 0, done.stderr[-2_000:]
    return json.loads(done.stdout)


def test_each_is_refused_in_one_line_without_the_memory_it_asks_for(tmp_path):
    found = answers(tmp_path)
    assert set(found) == set(bombs.BOMBS)
    read = [name for name, (message, _, _) in found.items() if message.startswith("read: ")]
    odd = [name for name, (message, _, _) in found.items() if not message.isprintable() or len(message) > 700]
    slow = {name: seconds for name, (_, seconds, _) in found.items() if seconds > MOST_SECONDS}
    large = {name: growth for name, (_, _, growth) in found.items() if growth > MOST_MEMORY}
    assert (read, odd, slow, large) == ([], [], {}, {})
