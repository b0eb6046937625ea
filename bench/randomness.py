"""Independent random streams, one per purpose, derived from (seed, data set, purpose).

Nothing of the method enters, so for one seed all methods see the same data in the same order, and the evaluation
points (drawn with ``EVALUATION_SEED``) are the same for every run on a data set.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

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
def seeded_global_state(seed: int, notice: Callable[[str], None] | None = None) -> Iterator[None]:
    """Global generators of torch, numpy and Python set to ``seed`` inside, put back afterwards.

    Layers draw their initial weights from torch's, scikit-learn may fall back on numpy's, and a method may draw from
    any.

    Args:
        notice: told when code inside seeds one of them itself: its draws are then the same for every seed of the run.
            This function inside itself is not reported.
    """
    import torch

    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002 - global: it is what is kept
    # named, because fork_rng warns where it finds several devices by itself
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(devices):
        seeds = ((torch.manual_seed, seed), (np.random.seed, seed % 2**32), (random.seed, seed))
        for sets_seed, value in seeds:
            getattr(sets_seed, "unwatched", sets_seed)(value)
        try:
            with _told_of_seeding(notice) if notice else nullcontext():
                yield
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002
            random.setstate(python_state)


@contextmanager
def _told_of_seeding(notice: Callable[[str], None]) -> Iterator[None]:
    import torch

    def telling(seed: Callable[..., Any], whose: str) -> Callable[..., Any]:
        def told(*arguments: Any, **keywords: Any) -> Any:
            notice(f"seeded {whose} global generator: runs of other seeds draw the same from it")
            return seed(*arguments, **keywords)

        told.unwatched = getattr(seed, "unwatched", seed)  # type: ignore[attr-defined]
        return told

    places = [(torch, "manual_seed", "torch's"), (np.random, "seed", "numpy's"), (random, "seed", "Python's")]
    originals = [(module, name, getattr(module, name)) for module, name, _ in places]
    for module, name, whose in places:
        setattr(module, name, telling(getattr(module, name), whose))
    try:
        yield
    finally:
        for module, name, original in originals:
            setattr(module, name, original)


def global_states(device: torch.device) -> dict[str, torch.Tensor]:
    """States of the global generators by ``global/<whose>``, for a checkpoint: torch's, numpy's and Python's."""
    import torch

    numpy_state: Any = np.random.get_state(legacy=True)  # noqa: NPY002
    _, words, position, has_gauss, gauss = numpy_state
    _, python_words, python_gauss = random.getstate()
    states = {
        "global/cpu": torch.get_rng_state(),
        "global/numpy": torch.tensor([*words.tolist(), position, has_gauss]),
        "global/python": torch.tensor(python_words),
        "global/gauss": torch.tensor(
            [gauss, python_gauss or 0.0, python_gauss is not None], dtype=torch.float64
        ),  # the second of a pair of normal draws, kept for the next call
    }
    if device.type == "cuda":
        states["global/cuda"] = torch.cuda.get_rng_state(device)
    return states


def check_global_states(states: Mapping[str, torch.Tensor]) -> None:
    """Raise ValueError unless ``set_global_states`` can take them: numpy believes any position in its state."""
    import torch

    if "global/cpu" in states:
        torch.Generator().set_state(states["global/cpu"])
    for name, lengths in (("numpy", [624, 1, 1]), ("python", [624, 1])):
        state = states.get(f"global/{name}")
        if state is None:
            continue
        if state.dtype != torch.int64 or tuple(state.shape) != (sum(lengths),) or state.min() < 0:
            raise ValueError(f"global/{name} is no state of a generator")
        words, position, *has_gauss = state.split(lengths)
        if words.max() >= 2**32 or position > 624 or any(flag > 1 for flag in has_gauss):
            raise ValueError(f"global/{name} is no state of a generator")
    gauss = states.get("global/gauss")
    if len({f"global/{name}" for name in ("numpy", "python", "gauss")} & set(states)) not in (0, 3):
        raise ValueError("the states of the global generators are incomplete")
    if gauss is not None and (
        tuple(gauss.shape) != (3,) or not gauss.is_floating_point() or not gauss.isfinite().all()
    ):
        raise ValueError("global/gauss is not three numbers")


def set_global_states(states: Mapping[str, torch.Tensor], device: torch.device) -> None:
    """Put back what ``global_states`` gave; names that are missing are left as they are."""
    import torch

    if "global/cpu" in states:
        torch.set_rng_state(states["global/cpu"])
    if "global/cuda" in states:
        torch.cuda.set_rng_state(states["global/cuda"], device)
    if "global/numpy" in states:
        gauss, python_gauss, has_python_gauss = states["global/gauss"].tolist()
        *words, position, has_gauss = states["global/numpy"].tolist()
        np.random.set_state(("MT19937", np.array(words, np.uint32), position, has_gauss, gauss))  # noqa: NPY002
        python_words = tuple(states["global/python"].tolist())
        random.setstate((3, python_words, python_gauss if has_python_gauss else None))
