"""Whether a process is still there."""

from __future__ import annotations

import os


def lives(process: int) -> bool:
    """A process of this machine has this id."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # another user's
    return True
