"""Equivariance of capsules: does a transformation roll the activations of each capsule (Topographic VAE)?"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, lgamma, pi, sqrt
from typing import Any

import numpy as np

from metrics.registry import MetricCard, Output, register_metric


@dataclass(frozen=True)
class CapsuleSequences:
    """Capsules of whole sequences, and where their transformations stand.

    Attributes:
        activations: (n, time, n_capsules, capsule_size).
        positions: (n, time) whole number: how far what moves has gone at each frame, counted within its list of values.
        moving: (n,) which transformation moves.
        names: of the transformations.
    """

    activations: np.ndarray
    positions: np.ndarray
    moving: np.ndarray
    names: tuple[str, ...]


@register_metric(
    "tvae_equivariance",
    card=MetricCard(
        title="Capsule equivariance error",
        summary="Σ over pairs of frames and capsules of ‖Roll_Δ(ŝ_τ) − ŝ_(τ+Δ)‖₁, ŝ each capsule with unit length.",
        paper="Keller & Welling, Topographic VAEs learn equivariant capsules, NeurIPS 2021",
        source="Eq. 13; akandykeller/TopographicVAE, tvae/utils: summed over pairs τ < τ′, capsules and their units, "
        "mean over sequences. Capsules without activation stay 0. The authors take drawn z and u, here the method's "
        "codes, which are capsules at their means.",
        needs=("capsules",),
        factors=None,
        variants={"": {}},
        outputs={
            "": Output(
                bounds=(0.0, None),
                higher_is_better=False,
                ceiling=0.0,
                note="grows with frames and capsules: 13,271 for unrelated activations of 18 frames, 18 × 18",
            ),
            "/relative": Output(
                bounds=(0.0, None),
                higher_is_better=False,
                floor=1.0,
                ceiling=0.0,
                note="divided by what unrelated Gaussian activations of this shape give",
            ),
        },
        blind_to="invariance: capsules that never change and are uniform score 0; read CapCorr beside it",
        cost="encodes 200 sequences",
        verified="0 for capsules that roll; chance in closed form and by drawing; 13,271 for 18 × 18, where the "
        "published VAE has 13,274",
    ),
)
def tvae_equivariance(capsules: CapsuleSequences) -> dict[str, float]:
    """The error and its share of chance; see the card.

    Raises:
        ValueError: activations of another number of axes, or of one frame.
    """
    s = _activations(capsules)
    n, time, n_capsules, size = s.shape
    length = np.linalg.norm(s, axis=-1, keepdims=True)
    unit = np.divide(s, length, out=np.zeros_like(s), where=length > 0)
    total = np.zeros(n)
    for delta in range(1, time):
        rolled = np.roll(unit[:, :-delta], delta, axis=-1)
        total += np.abs(rolled - unit[:, delta:]).sum((1, 2, 3))
    error = float(total.mean())
    chance = time * (time - 1) / 2 * n_capsules * chance_distance(size)
    return {"tvae_equivariance": error, "tvae_equivariance/relative": error / chance if chance else float("nan")}


def chance_distance(size: int) -> float:
    """E‖a − b‖₁ of independent uniform unit vectors a, b of this many units.

    a − b has a uniform direction that is independent of its length, so the mean is size · E‖a − b‖ · E|e₁|, with
    ‖a − b‖² = 4 u, u ~ Beta((size − 1)/2, (size − 1)/2), and E|e₁| = Γ(size/2) / (√π Γ((size + 1)/2)).
    """
    if size == 1:
        return 1.0  # signs: 0 or 2
    half = (size - 1) / 2
    length = 2 * exp(lgamma(half + 0.5) + lgamma(2 * half) - lgamma(half) - lgamma(2 * half + 0.5))
    return size * length * exp(lgamma(size / 2) - lgamma((size + 1) / 2)) / sqrt(pi)


def capcorr(capsules: CapsuleSequences) -> dict[str, float]:
    """Mean over transformations of the correlation between the roll of the capsules and how far the factor has gone.

    Raises:
        ValueError: no transformation whose sequences begin at two or more places.
    """
    return capcorr_details(capsules)[0]


def capcorr_details(capsules: CapsuleSequences) -> tuple[dict[str, float], dict[str, Any]]:
    """As ``capcorr``, with the correlation of each transformation."""
    s = _activations(capsules)
    each: dict[str, float] = {}
    for kind, name in enumerate(capsules.names):
        rows = np.flatnonzero((capsules.moving == kind) & (capsules.positions == 0).any(1))
        rolls, gone = _rolls(s[rows], np.asarray(capsules.positions)[rows])
        if len(rows) > 1 and np.ptp(gone) > 0:
            # capsules that never roll tell nothing of the factor
            each[name] = float(np.corrcoef(rolls, gone)[0, 1]) if np.ptp(rolls) > 0 else 0.0
    if not each:
        raise ValueError("capcorr: needs sequences that begin at several places of what moves and pass its first value")
    return {"capcorr": float(np.mean(list(each.values())))}, {"courses": list(each), "capcorr": list(each.values())}


def _rolls(s: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """By how much frame 0 is rolled against the frame Ω at which the factor has its first value, and |y_Ω − y_0|.

    The roll is the commonest over capsules of the best lag of the circular cross-correlation; of several Ω the one
    whose roll is nearest to what the factor says.
    """
    spectrum = np.fft.rfft(s, axis=-1)
    found = []
    for one, position in zip(spectrum, positions, strict=True):
        gone = abs(int(position[0]))
        at_zero = one[position == 0]
        size = s.shape[-1]
        lags = np.fft.irfft(np.conj(at_zero) * one[:1], n=size, axis=-1).argmax(-1)
        rolls = np.array([np.bincount(lag, minlength=size).argmax() for lag in lags])
        found.append((rolls[np.abs(rolls - gone).argmin()], gone))
    pairs = np.array(found).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


register_metric(
    "capcorr",
    card=MetricCard(
        title="CapCorr",
        summary="Correlation over sequences of the capsules' roll with how far the moving factor is from its origin.",
        paper="Keller & Welling, Topographic VAEs learn equivariant capsules, NeurIPS 2021",
        source="Eqs. 15, 16; akandykeller/TopographicVAE, tvae/utils: Ω is the frame at the factor's first value; the "
        "mode over capsules of the lag of s_0 against s_Ω; Pearson with |y_Ω − y_0|, of several Ω the nearest.",
        needs=("capsules",),
        factors=None,
        variants={"": {}},
        outputs={
            "": Output(
                bounds=(-1.0, 1.0), floor=0.0, ceiling=1.0, note="mean over transformations; each in the details"
            )
        },
        blind_to="how well the rest of the capsules rolls: one lag, the commonest, is read of each sequence",
        cost="encodes 200 sequences",
        verified="1 for capsules rolled exactly, near 0 for unrelated ones",
        details=capcorr_details,
    ),
)(capcorr)


def _activations(capsules: CapsuleSequences) -> np.ndarray:
    s = np.asarray(capsules.activations, np.float64)
    if s.ndim != 4 or s.shape[1] < 2 or not s.size:
        raise ValueError(f"capsules: wanted (n, time ≥ 2, n_capsules, capsule_size), got {s.shape}")
    return s
