"""Independent random streams, one per purpose, derived from (seed, data set, purpose).

Nothing of the method enters, so for one seed all methods see the same data in the same order, and the evaluation
points (drawn with ``EVALUATION_SEED``) are the same for every run on a data set.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

# Scores vary over training seeds only: every run is scored on the same points.
EVALUATION_SEED = 0


def stream_seed(seed: int, dataset: str, purpose: str) -> int:
    """A 63-bit seed; different for every (seed, data set, purpose)."""
    digest = hashlib.sha256(f"{seed}|{dataset}|{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def stream(seed: int, dataset: str, purpose: str) -> np.random.Generator:
    """The numpy generator of that purpose."""
    return np.random.Generator(np.random.PCG64(stream_seed(seed, dataset, purpose)))


def torch_stream(seed: int, dataset: str, purpose: str, device: torch.device) -> torch.Generator:
    """The torch generator of that purpose on ``device``."""
    import torch

    return torch.Generator(device=device).manual_seed(stream_seed(seed, dataset, purpose))


@contextmanager
def seeded_global_state(seed: int) -> Iterator[None]:
    """Global torch and numpy generators set to ``seed`` inside, put back afterwards.

    Layers draw their initial weights from torch's global generator, and scikit-learn may fall back on numpy's.
    """
    import torch

    numpy_state = np.random.get_state()  # noqa: NPY002 - it is the global state that is being protected
    # named, because fork_rng warns where it finds several devices by itself
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        try:
            yield
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002
