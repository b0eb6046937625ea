"""Evidence of known transformations: rollouts against true sequences, capsules, pairs, and likelihoods of frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations, permutations
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy

from bench.api import Method
from bench.datasets.base import DataInfo
from bench.evidence import pair_classifier, traversal_rule
from bench.evidence.encoding import CHUNK, to_observations
from bench.randomness import EVALUATION_SEED, stream, stream_seed, torch_stream
from metrics.capsules import CapsuleSequences
from metrics.equivariance import Rollouts
from metrics.frame_likelihood import LOG_2_PI, LikelihoodTerms
from metrics.variation_predictability import PairPredictions

if TYPE_CHECKING:
    from bench.evidence.gathering import Evidence

N_SEQUENCES = 200  # of each transformation
N_OF_PAIRS = 50  # of each pair of transformations
N_LIKELIHOOD_FRAMES, N_LIKELIHOOD_SAMPLES = 500, 100


def offers(method: type[Method], info: DataInfo) -> set[str]:
    """Rollouts and pairs where something can be moved, capsules and likelihoods where the method has what they take."""
    names = set()
    if traversal_rule.can_move(method, info):
        names.add("rollouts")
        if len(info.transformations) > 1:
            names |= {"rollouts_switching", "rollouts_superposing"}
            if getattr(method, "n_flows", None) != 1:  # of one move there is nothing to tell apart
                names.add("pair_predictions")
        if info.unseen:
            names.add("rollouts_unseen")
        if hasattr(method, "infer_amounts") and hasattr(method, "transform"):
            names.add("rollouts_inferred")
    if info.transformations and hasattr(method, "parts") and "capsules" in method.part_names:
        names.add("capsules")
    if hasattr(method, "gaussian_posterior") and hasattr(method, "decode") and len(info.observation_shape) == 3:
        names.add("likelihood_terms")
    return names


def make(evidence: Evidence, name: str) -> Any:
    """One of these; see ``metrics.equivariance``, ``capsules``, ``variation_predictability``, ``frame_likelihood``."""
    return {
        "rollouts": _rollouts,
        "rollouts_inferred": _rollouts_inferred,
        "rollouts_unseen": _rollouts_unseen,
        "rollouts_switching": _rollouts_switching,
        "rollouts_superposing": _rollouts_superposing,
        "pair_predictions": _pair_predictions,
        "capsules": _capsules,
        "likelihood_terms": _likelihood_terms,
    }[name](evidence)


def _rule(evidence: Evidence) -> traversal_rule.Rule:
    def fit() -> traversal_rule.Rule:
        return traversal_rule.rule_for(evidence.method, evidence.data, evidence.dataset_id, evidence.device)

    return evidence.made_once("traversal rule", fit)  # type: ignore[no-any-return]


def _moved(evidence: Evidence, amounts: np.ndarray, n: int, purpose: str, split: str = "") -> Tensor:
    """True sequences (n, n_steps + 1, *observation), of the test split unless another is named; on the CPU.

    They are the same for every method.
    """
    rng = stream(EVALUATION_SEED, evidence.dataset_id, purpose)
    return to_observations(
        evidence.data.moved(n, amounts, rng, split or traversal_rule.scored_split(evidence.data)), torch.device("cpu")
    )


def _rollouts(evidence: Evidence) -> Rollouts:
    info, rule = evidence.data.info, _rule(evidence)
    courses = traversal_rule.one_alone(info)
    return _along(evidence, info.transformations, courses, N_SEQUENCES, rule)


def _rollouts_unseen(evidence: Evidence) -> Rollouts:
    """Sequences of observations of another kind than those trained on."""
    info, rule = evidence.data.info, _rule(evidence)
    courses = traversal_rule.one_alone(info)
    return _along(evidence, info.transformations, courses, N_SEQUENCES, rule, split=info.unseen)


def _rollouts_switching(evidence: Evidence) -> Rollouts:
    """One transformation for the first half of the steps, another for the rest."""
    info, rule = evidence.data.info, _rule(evidence)
    names, courses = traversal_rule.switching(info, list(permutations(range(len(info.transformations)), 2)))
    return _along(evidence, names, courses, N_OF_PAIRS, rule)


def _rollouts_superposing(evidence: Evidence) -> Rollouts:
    info, rule = evidence.data.info, _rule(evidence)
    names, courses = traversal_rule.superposing(info, list(combinations(range(len(info.transformations)), 2)))
    return _along(evidence, names, courses, N_OF_PAIRS, rule)


def _rollouts_inferred(evidence: Evidence) -> Rollouts:
    """Speeds from the true frames on both sides of each step: what is predicted has been seen."""
    method, info = evidence.method, evidence.data.info
    rule = traversal_rule.Rule("inferred from the true frames", (), method.transform)  # type: ignore[arg-type]
    courses = traversal_rule.one_alone(info)
    return _along(evidence, info.transformations, courses, N_SEQUENCES, rule, method.infer_amounts)  # type: ignore[arg-type]


@torch.inference_mode()
def _along(
    evidence: Evidence,
    names: Sequence[str],
    courses: Sequence[np.ndarray] | np.ndarray,
    n: int,
    rule: traversal_rule.Rule,
    infer: Callable[[Tensor], Tensor] | None = None,
    split: str = "",
) -> Rollouts:
    """Errors of n test sequences along each course (n_steps, n_transformations).

    Args:
        infer: true sequences -> the amounts that the rule is given in place of the course's own.
    """
    device = evidence.device
    evidence.method.eval()
    found = []
    for course in courses:
        pieces = []
        for piece in _moved(evidence, course, n, "rollouts", split).split(max(1, CHUNK // (len(course) + 1))):
            x = piece.to(device)
            amounts = infer(x) if infer else torch.from_numpy(course).to(device).expand(len(x), -1, -1)
            moved = rule.move(x[:, 0], amounts).float()
            others = (moved[:, 1:], x[:, :1], moved[:, :1])
            pieces.append(torch.stack([(x[:, 1:] - other).abs().flatten(2).double().sum(2) for other in others]).cpu())
        found.append(torch.cat(pieces, dim=1).numpy())
    errors, still, unmoved = np.stack(found, axis=1)
    return Rollouts(tuple(names), errors, still, unmoved, rule.name, rule.assignment)


@torch.inference_mode()
def _pair_predictions(evidence: Evidence) -> PairPredictions:
    """Decoded first and last frames of each move, and what a classifier makes of them."""
    settings = pair_classifier.QUICK if evidence.protocol.name == "quick" else pair_classifier.FULL
    evidence.method.eval()
    moves = _moves(evidence)
    courses, n = traversal_rule.one_alone(evidence.data.info), settings.n_pairs // len(moves)
    differences, labels = [], []
    for kind, (move, amounts) in enumerate(moves):
        # First frames of one law for all, or where a course begins would give it away; and others for each, or moves
        # that are alike would give the same pairs, learnt under one label.
        x0 = _moved(evidence, courses[np.arange(n) % len(courses)], n, f"pairs {kind}")[:, 0]
        for piece in x0.split(max(1, CHUNK // evidence.data.info.n_frames)):
            frames = move(piece.to(evidence.device), amounts.expand(len(piece), -1, -1))
            # of images in [-1, 1]
            differences.append(pair_classifier.smaller(2 * (frames[:, 0] - frames[:, -1]).float(), settings.side))
            labels.append(torch.full((len(piece),), kind))
    seed = stream_seed(EVALUATION_SEED, evidence.dataset_id, "pair classifier")
    return pair_classifier.predictions(torch.cat(differences), torch.cat(labels), len(moves), settings, seed)


def _moves(evidence: Evidence) -> list[tuple[traversal_rule.MoveFunction, Tensor]]:
    """What shall be told apart, each with its amounts (n_steps, n_columns).

    They are all flows of a method that was told nothing, whichever transformations they were matched to, and what
    stands for each transformation otherwise.
    """
    rule, courses = _rule(evidence), traversal_rule.one_alone(evidence.data.info)
    if rule.alone is None:
        return [(rule.move, course) for course in torch.from_numpy(courses).to(evidence.device)]
    move = evidence.method.transform
    return [(move, speeds.expand(courses.shape[1], -1)) for speeds in rule.alone]  # type: ignore[misc]


@torch.inference_mode()
def _capsules(evidence: Evidence) -> CapsuleSequences:
    """Capsules of labelled test sequences, and the places of what moves."""
    method, info = evidence.method, evidence.data.info
    method.eval()
    rng = stream(EVALUATION_SEED, evidence.dataset_id, "capsules")
    drawn = evidence.data.labelled(N_SEQUENCES, rng, traversal_rule.scored_split(evidence.data), "transformations")
    x = to_observations(drawn.x, torch.device("cpu")).split(max(1, CHUNK // info.n_frames))
    flat = torch.cat([method.parts(piece.to(evidence.device))["capsules"].float().cpu() for piece in x])  # type: ignore[operator]
    activations = flat.unflatten(-1, (method.n_capsules, -1))  # type: ignore[arg-type]
    moving = drawn.amounts.sum(1).argmax(1)
    columns = np.array([info.factors.names.index(name) for name in info.transformations])
    positions = drawn.factors[np.arange(len(moving)), :, columns[moving]]
    return CapsuleSequences(activations.numpy(), np.asarray(positions), moving, info.transformations)


@torch.inference_mode()
def _likelihood_terms(evidence: Evidence) -> LikelihoodTerms:
    """Of held-out frames: first frames of test sequences where the data has transformations, else evaluation rows."""
    method, device = evidence.method, evidence.device
    method.eval()
    info, n = evidence.data.info, N_LIKELIHOOD_FRAMES
    n_pixels = int(np.prod(info.observation_shape))
    if info.transformations:
        x = _moved(evidence, traversal_rule.one_alone(info)[0][:1], n, "likelihood")[:, 0]
    else:
        first = evidence.rows.n_train
        x = to_observations(evidence.rows.frames(slice(first, first + n)), torch.device("cpu"))
    generator = torch_stream(EVALUATION_SEED, evidence.dataset_id, "likelihood", device)
    found: list[list[Tensor]] = [[], [], [], []]
    for piece in x.to(device).split(CHUNK):
        mean, log_var = (part.float() for part in method.gaussian_posterior(piece))  # type: ignore[operator]
        terms: list[list[Tensor]] = [[], [], [], []]
        for _ in range(N_LIKELIHOOD_SAMPLES):
            noise = torch.randn(mean.shape, generator=generator, device=device)
            z = mean + (0.5 * log_var).exp() * noise
            decoded = method.decode(z).float()  # type: ignore[operator]
            squares = ((piece - decoded) ** 2).flatten(1).sum(1, dtype=torch.float64)
            # each logarithm is bounded at -100
            entropy = binary_cross_entropy(decoded, piece, reduction="none").flatten(1)
            terms[0].append(-0.5 * (squares + n_pixels * LOG_2_PI))
            terms[1].append(-entropy.sum(1, dtype=torch.float64))
            terms[2].append(-0.5 * (z**2 + LOG_2_PI).double().sum(1))
            terms[3].append(-0.5 * (noise**2 + log_var + LOG_2_PI).double().sum(1))
        for one, samples in zip(found, terms, strict=True):
            one.append(torch.stack(samples, dim=1).cpu())
    gaussian, bernoulli, prior, posterior = (torch.cat(one).numpy() for one in found)
    return LikelihoodTerms(gaussian, bernoulli, prior, posterior, n_pixels)
