"""Evidence of swaps: one side of each test sequence's code is kept, the other drawn anew, decoded, and judged.

Procedure of C-DSVAE's ``test_sprite_cls.py``, over the whole test split: codes are posterior means; the other side is
what ``sample_prior`` gives, or that of another test sequence. A method without an encoder (MoCoGAN) is judged against
sequences that it drew itself: of these there are no labels. Where a code depends on the sequences that are encoded
with it (SKD), the test sequences are encoded in a mixed order: in their own, neighbours are of one character or of one
utterance, and what tells static from dynamic would be learnt from these alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from bench.api import Method
from bench.datasets.base import DataInfo
from bench.evidence.encoding import CHUNK, to_observations
from bench.evidence.judges import Judge, labels_of
from bench.randomness import EVALUATION_SEED, stream, torch_stream
from metrics.swap import JudgedHead

if TYPE_CHECKING:
    from bench.evidence.gathering import Evidence

SIDES = ("static", "dynamic")
Probabilities = dict[str, np.ndarray]
"""Factor → class probabilities (n, n_classes)."""


class Codes(NamedTuple):
    """Static codes (n, n_static) and dynamic codes (n, time, n_dynamic) of sequences."""

    static: Tensor
    dynamic: Tensor


def offers(method: type[Method], info: DataInfo) -> set[str]:
    """``judged``, where there are factors to judge and a method that generates sequences from two codes."""
    if not info.judged or method.card.view != "sequences":
        return set()
    generates = hasattr(method, "generate") and hasattr(method, "sample_prior")
    has_sides = not hasattr(method, "parts") or set(SIDES) <= set(method.part_names)
    return {"judged"} if generates and has_sides else set()


@torch.inference_mode()
def make(evidence: Evidence, name: str) -> dict[str, tuple[JudgedHead, ...]]:
    """Condition → what each head of the judge sees."""
    method, data, device, judge = evidence.method.eval(), evidence.data, evidence.device, evidence.judge()
    rows, size = test_rows(data), chunk_size(data.info)
    generator = torch_stream(evidence.seed, evidence.dataset_id, "swaps", device)
    generated: Callable[[Codes], Probabilities] = lambda codes: judged(judge, method, codes, size)  # noqa: E731
    labels = None
    if hasattr(method, "parts"):
        labels = labels_of(data, rows)
        pieces, seen, together = [], [], encoded_together(method, len(rows), size)
        for places in together:
            x = to_observations(data.frames[rows[places]], device)
            pieces.append(codes_of(method, x))
            seen.append(judge.probabilities(x))
        back = np.argsort(np.concatenate(together))
        real = {name: probs[back] for name, probs in _joined(seen).items()}
        own = Codes(*(torch.cat(side)[torch.from_numpy(back).to(device)] for side in zip(*pieces, strict=True)))
    else:
        own = drawn(method, len(rows), data.info.n_frames, generator)
        real = generated(own)

    found = {}
    for kept in SIDES:
        passes = [
            generated(exchanged(own, kept, drawn(method, len(rows), data.info.n_frames, generator)))
            for _ in range(evidence.protocol.n_passes)
        ]
        found[f"fixed_{kept}"] = heads(judge, kept, passes, real, labels)
        if labels is not None:
            donors = donors_of(len(rows), stream(evidence.seed, evidence.dataset_id, f"donors of {kept}"))
            place = torch.from_numpy(donors).to(device)
            swapped = [generated(exchanged(own, kept, Codes(own.static[place], own.dynamic[place])))]
            found[f"fixed_{kept},swapped"] = heads(judge, kept, swapped, real, labels, donors)
    return found


def test_rows(data: object) -> np.ndarray:
    """The test sequences of a container, or those for training where it has no others."""
    return data.rows_of("test" if "test" in data.splits else "train")  # type: ignore[attr-defined, no-any-return]


def chunk_size(info: DataInfo) -> int:
    """Sequences at once."""
    return max(CHUNK // info.n_frames, 1)


def encoded_together(method: Method, n: int, size: int) -> list[np.ndarray]:
    """Which of n sequences are encoded at once, ``size`` of them at most: in order, each once.

    Where codes depend on the others of a piece they are mixed, the same for all runs, and the pieces are equally large.
    """
    if not method.card.batch_dependent:
        return [np.arange(start, min(start + size, n)) for start in range(0, n, size)]
    order = stream(EVALUATION_SEED, f"{n} sequences", "encoded together").permutation(n)
    return np.array_split(order, -(-n // size))


def codes_of(method: Method, x: Tensor) -> Codes:
    """Posterior means of x (batch, time, *observation)."""
    parts = method.parts(x)  # type: ignore[operator]
    return Codes(parts["static"].float(), parts["dynamic"].float())


def drawn(method: Method, n: int, n_frames: int, generator: torch.Generator) -> Codes:
    """Codes that the method's prior gives."""
    parts = method.sample_prior(n, n_frames, generator)  # type: ignore[operator]
    return Codes(parts["static"], parts["dynamic"])


def exchanged(own: Codes, kept: str, other: Codes) -> Codes:
    """The codes of ``own`` with the side that is not kept from ``other``."""
    return Codes(own.static, other.dynamic) if kept == "static" else Codes(other.static, own.dynamic)


def donors_of(n: int, rng: np.random.Generator) -> np.ndarray:
    """For each of n sequences another one, each once: (n,) int64; one cycle through all of them."""
    order = rng.permutation(n)
    donors = np.empty(n, np.int64)
    donors[order] = np.roll(order, 1)
    return donors


def judged(judge: Judge, method: Method, codes: Codes, size: int) -> Probabilities:
    """What the judge sees in the sequences of these codes, generated ``size`` at once."""
    return _joined(
        [
            judge.probabilities(method.generate(static, dynamic).float())  # type: ignore[operator]
            for static, dynamic in zip(codes.static.split(size), codes.dynamic.split(size), strict=True)
        ]
    )


def heads(
    judge: Judge,
    kept: str,
    passes: Sequence[Probabilities],
    real: Probabilities,
    labels: dict[str, np.ndarray] | None,
    donors: np.ndarray | None = None,
) -> tuple[JudgedHead, ...]:
    """One condition's judgements, head by head."""
    return tuple(
        JudgedHead(
            name,
            is_kept=is_dynamic == (kept == "dynamic"),
            probs_generated=np.stack([seen[name] for seen in passes]),
            probs_real=real[name],
            labels=None if labels is None else labels[name],
            donor_labels=None if donors is None or labels is None else labels[name][donors][None],
        )
        for name, is_dynamic in judge.is_dynamic.items()
    )


def _joined(pieces: Sequence[Probabilities]) -> Probabilities:
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
