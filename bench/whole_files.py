"""Files that are whole or not there, whatever happens to the process that writes them."""

from __future__ import annotations

import glob
import os
import platform
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.processes import lives


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A path beside ``path`` to write to, put in its place when the block ends well and removed when it does not.

    A reader, or a crash, sees the old file or the new one and nothing between. What killed processes of this machine
    left of the same file is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f"{_prefix(path)}{os.getpid()}.", suffix=".part")
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.chmod(0o644)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _prefix(path: Path) -> str:
    return f".{path.name}.{platform.node()}."


def _remove_abandoned(path: Path) -> None:
    for partial in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        process = partial.name.removeprefix(_prefix(path)).split(".")[0]
        if process.isdigit() and not lives(int(process)):
            with suppress(OSError):
                partial.unlink()
