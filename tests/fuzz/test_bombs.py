"""Files of kilobytes that ask for gigabytes or for years are refused at once, under a limit of memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from bombs import CHECKPOINTS, CODES, ROWS, TRACK_FILES

NAMES = [*CODES, *TRACK_FILES, *ROWS, *CHECKPOINTS, "prepared array of 80 GB", "selection of a million million runs"]
MOST_MEMORY = 160 << 20  # for the longest line that is read; headers cost nothing
MOST_SECONDS = 5.0


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bombs")
    for step in ("make", "read"):
        command = [sys.executable, str(Path(__file__).with_name("bombs.py")), step, str(folder)]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=120, check=False, cwd=Path(__file__).parents[2]
        )
        assert done.returncode == 0, done.stderr[-2_000:]
    for path in folder.glob("*.dat"):
        path.unlink()
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_refused_without_the_memory_it_asks_for(answers, name):
    message, seconds, growth = answers[name]
    assert not message.startswith("read: "), message
    assert message.isprintable()
    assert len(message) < 700
    assert growth < MOST_MEMORY
    assert seconds < MOST_SECONDS
