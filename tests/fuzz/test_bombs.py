"""Files of kilobytes that ask for gigabytes or for years are refused at once, under a limit of memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import bombs
import pytest

MOST_MEMORY = 160 << 20  # for the longest line that is read; headers cost nothing
MOST_SECONDS = 5.0


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What a process with little memory said of each."""
    folder = tmp_path_factory.mktemp("bombs")
    for number, make in enumerate(bombs.BOMBS.values()):
        make(folder / f"{number}.dat")
    command = [sys.executable, bombs.__file__, str(folder)]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=root)
    assert done.returncode == 0, done.stderr[-2_000:]
    for path in folder.glob("*.dat"):
        path.unlink()
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", bombs.BOMBS)
def test_it_is_refused_without_the_memory_it_asks_for(answers, name):
    message, seconds, growth = answers[name]
    assert not message.startswith("read: "), message
    assert message.isprintable()
    assert len(message) < 700
    assert growth < MOST_MEMORY
    assert seconds < MOST_SECONDS
