"""How a trained method moves an observation along a known transformation, for methods of every family.

Three rules. ``transform``: the method moves by itself and was told in training which transformation is which.
``matched``: it moves by itself but was told nothing, so each transformation gets the flow, or the speeds of all flows
that the method infers for it, that follow it best.
``best_dim``: it has nothing but axis-aligned codes, so each transformation gets one latent and one sign. What has to be
chosen is chosen on training sequences, by the error that is reported on test ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from scipy.stats import norm
from torch import Tensor

from bench.api import Method
from bench.datasets.base import DataInfo
from bench.evidence.encoding import CHUNK, to_observations
from bench.randomness import EVALUATION_SEED, stream

N_FIT = 32  # training sequences of each transformation
N_CANDIDATES = 16  # latents that are tried for a transformation
N_CODES = 2_000  # training frames whose codes say how far a latent usually goes
QUANTILES = (0.05, 0.95)

MoveFunction = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Rule:
    """How one method moves.

    Attributes:
        name: "transform", "matched" or "best_dim".
        assignment: what of the method moves along each transformation, in words; empty for "transform".
        move: x0 (batch, *observation), amounts (batch, n_steps, n_transformations) -> frames (batch, n_steps + 1,
            *observation), the untouched reconstruction first.
        flows: which single flow of the method each transformation is nearest to; empty for "best_dim".
        alone: of "matched", what the method's ``transform`` takes for one step of each of its own flows by itself,
            (n_flows, n_columns). Two transformations may have been given the same one, others none.
    """

    name: str
    assignment: tuple[str, ...]
    move: MoveFunction
    flows: tuple[int, ...] = ()
    alone: Tensor | None = None


def can_move(method: type[Method], info: DataInfo) -> bool:
    """Whether some rule moves this method's observations along the data's transformations."""
    has_codes = hasattr(method, "encode") and hasattr(method, "decode")
    return bool(info.transformations) and (hasattr(method, "transform") or has_codes)


def rule_for(method: Method, data: Any, dataset_id: str, device: torch.device) -> Rule:
    """The rule of a trained method, fitted on training sequences of the data where it has something to choose."""
    sequences = _Sequences(data, dataset_id, device)
    if not hasattr(method, "transform"):
        return _best_dim(method, sequences)
    if getattr(method, "knows_names", method.card.supervised):
        flows = tuple(range(len(data.info.transformations)))
        return Rule("transform", (), method.transform, flows)  # type: ignore[arg-type]
    return _matched(method, sequences)


def one_alone(info: DataInfo) -> np.ndarray:
    """Amounts (n_transformations, n_frames - 1, n_transformations): each transformation by itself, a unit a step."""
    alone = np.eye(len(info.transformations), dtype=np.float32)
    return np.repeat(alone[:, None], info.n_frames - 1, axis=1)


def switching(info: DataInfo, pairs: Sequence[tuple[int, int]]) -> tuple[tuple[str, ...], np.ndarray]:
    """Names and amounts (n, n_frames - 1, n_transformations): one of a pair for half of the steps, then the other."""
    alone, half = one_alone(info), (info.n_frames - 1) // 2
    names = tuple(f"{info.transformations[a]}, then {info.transformations[b]}" for a, b in pairs)
    return names, np.stack([np.concatenate([alone[a, :half], alone[b, half:]]) for a, b in pairs])


def superposing(info: DataInfo, pairs: Sequence[tuple[int, int]]) -> tuple[tuple[str, ...], np.ndarray]:
    """Names and amounts, as for ``switching``: both of a pair in every step."""
    alone = one_alone(info)
    names = tuple(f"{info.transformations[a]} and {info.transformations[b]}" for a, b in pairs)
    return names, np.stack([alone[a] + alone[b] for a, b in pairs])


def neighbours(info: DataInfo) -> list[tuple[int, int]]:
    """Pairs for a picture: each transformation and the next, the last and the first; (n, 2) with n ≥ 1."""
    n = len(info.transformations)
    return [(a, (a + 1) % n) for a in range(n if n > 2 else 1)]


def scored_split(data: Any) -> str:
    """The split that scores are made on."""
    return str(getattr(data, "evaluation_splits", ("train", "train"))[1])


@dataclass(frozen=True)
class _Sequences:
    """Training sequences in which one transformation acts; the same ones for every method."""

    data: Any
    dataset_id: str
    device: torch.device

    @cached_property
    def of_each(self) -> list[Tensor]:
        """Of each transformation x (N_FIT, n_frames, *observation)."""
        found = []
        for amounts in one_alone(self.data.info):
            rng = stream(EVALUATION_SEED, self.dataset_id, "traversal rule")
            found.append(to_observations(self.data.moved(N_FIT, amounts, rng), self.device))
        return found

    def frames(self) -> Iterator[Tensor]:
        """Independent training frames, N_CODES in all."""
        rng = stream(EVALUATION_SEED, self.dataset_id, "traversal rule frames")
        drawn = self.data.labelled(N_CODES, rng, view="images").x
        for start in range(0, N_CODES, CHUNK):
            yield to_observations(drawn[start : start + CHUNK], self.device)


@torch.inference_mode()
def _matched(method: Method, sequences: _Sequences) -> Rule:
    """How each transformation moves a method that was told nothing, as comes nearest to its training sequences.

    Tried are each flow alone at speed 1, and, where the method infers speeds, the mean of those that it infers from
    these sequences: nothing makes a method give a flow of its own, or speed 1, to what the data calls one
    transformation.
    """
    names = sequences.data.info.transformations
    n_flows = getattr(method, "n_flows", len(names))
    method.eval()
    inferred = [_mean_speeds(method, x) for x in sequences.of_each]
    n_columns = n_flows if inferred[0] is None else len(inferred[0])
    alone = torch.eye(n_flows, device=sequences.device).repeat(1, n_columns // n_flows)
    flows, speeds, words = [], [], []
    for name, x, mean in zip(names, sequences.of_each, inferred, strict=True):
        tried = alone if mean is None else torch.cat([alone, mean[None]])
        errors = [_error(method, x, each) for each in tried]
        flows.append(int(np.argmin(errors[:n_flows])))
        best = flows[-1]
        # means that are better by rounding alone are named as the flow
        if mean is not None and errors[-1] < errors[best] - 1e-3 * float((x - x[:, :1]).abs().sum()):
            best = n_flows
        speeds.append(tried[best])
        words.append(f"{name}: flow {best}" if best < n_flows else f"{name}: {_in_words(tried[best])}")
    places = torch.stack(speeds)

    def move(x0: Tensor, amounts: Tensor) -> Tensor:
        return method.transform(x0, amounts @ places)  # type: ignore[operator, no-any-return]

    return Rule("matched", tuple(words), move, tuple(flows), alone)


def _mean_speeds(method: Method, x: Tensor) -> Tensor | None:
    """Speeds (n_columns,) that the method infers from sequences x, mean over all of their steps."""
    if not hasattr(method, "infer_amounts"):
        return None
    return method.infer_amounts(x).float().flatten(0, 1).mean(0)  # type: ignore[operator, no-any-return]


def _error(method: Method, x: Tensor, speeds: Tensor) -> float:
    """Summed |x - x̂| of sequences x moved by the same speeds in every step."""
    amounts = speeds.expand(len(x), x.shape[1] - 1, -1)
    return float((method.transform(x[:, 0], amounts) - x).abs().sum())  # type: ignore[operator]


def _in_words(speeds: Tensor) -> str:
    return "speeds " + ", ".join(f"{speed:.2f}" for speed in speeds.tolist())


@torch.inference_mode()
def _best_dim(method: Method, sequences: _Sequences) -> Rule:
    """One latent and one sign for each transformation.

    Over the steps of a training sequence, the latent goes from the 5 % to the 95 % quantile of a normal distribution
    with its own standard deviation, from wherever it was encoded. Tried are the latents that true sequences move most,
    measured in standard deviations.
    """
    names, n_steps = sequences.data.info.transformations, sequences.data.info.n_frames - 1
    method.eval()
    codes = torch.cat([method.encode(x)[:, 0].float() for x in sequences.frames()])  # type: ignore[operator]
    deviation = codes.std(0)
    chosen, signs = [], []
    for x in sequences.of_each:
        z0, z1 = (method.encode(x[:, [t]])[:, 0].float() for t in (0, n_steps))  # type: ignore[operator]
        response = (z1 - z0).abs().mean(0) / deviation.clamp(min=1e-8)
        best = (np.inf, 0, 1)
        for latent in response.topk(min(N_CANDIDATES, len(deviation))).indices.tolist():
            for sign in (1, -1):
                amounts = torch.ones(len(x), n_steps, 1, device=x.device)
                where = torch.tensor([latent], device=x.device)
                z = _traversed(z0, amounts, where, sign * deviation[where], n_steps)
                best = min(best, (float((_decoded(method, z) - x).abs().sum()), latent, sign))
        chosen.append(best[1])
        signs.append(best[2])
    latents = torch.tensor(chosen, device=sequences.device)
    reach = torch.tensor(signs, device=sequences.device) * deviation[latents]

    def move(x0: Tensor, amounts: Tensor) -> Tensor:
        z0 = method.encode(x0[:, None])[:, 0].float()  # type: ignore[operator]
        return _decoded(method, _traversed(z0, amounts, latents, reach, n_steps))

    words = tuple(
        f"{name}: {'+' if sign > 0 else '-'}latent {latent}"
        for name, latent, sign in zip(names, chosen, signs, strict=True)
    )
    return Rule("best_dim", words, move)


def _traversed(z0: Tensor, amounts: Tensor, latents: Tensor, reach: Tensor, n_steps: int) -> Tensor:
    """Codes (batch, time, n_latents) from z0 on: each transformation adds to its latent what ``amounts`` have come to.

    Args:
        latents, reach: (n_transformations,) which latent, and its standard deviation with the sign of the direction.
    """
    gone = torch.cat([torch.zeros_like(amounts[:, :1]), amounts.cumsum(1)], dim=1).clamp(0, n_steps)
    low, high = QUANTILES
    share = (low + (high - low) * gone / n_steps).double().cpu().numpy()
    offset = torch.from_numpy(norm.ppf(share) - norm.ppf(low)).to(z0) * reach
    z = z0[:, None].repeat(1, gone.shape[1], 1)
    # index_add: two transformations may share a latent
    return z.index_add_(2, latents, offset)


def _decoded(method: Method, z: Tensor) -> Tensor:
    """Frames (batch, time, *observation) of codes (batch, time, n_latents)."""
    frames = [method.decode(piece).float() for piece in z.flatten(0, 1).split(CHUNK)]  # type: ignore[operator]
    return torch.cat(frames).unflatten(0, z.shape[:2])
