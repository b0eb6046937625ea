"""Correlation of |factors| and |codes|: which latents serve which source variable.

The Smiley experiment of Variational Sparse Coding (Tonolini et al., UAI 2019, supplement E; Smiley_example.ipynb): the
source vector is S · V, 0 where an attribute is absent, and codes that separate attributes give a block-diagonal matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.report.style import FORMATS, caption, new_figure, panels, points, save, style

LEAST = 0.07  # the authors set smaller correlations to 0 before they order the latents
_MOST_LATENTS = 60  # columns that are shown


@dataclass(frozen=True)
class SourceMatrix:
    """|correlations| in the order of a figure.

    Attributes:
        values: (n_factors, n_latents) in [0, 1]; latents of one attribute side by side.
        latents: number of the latent in each column; those without a correlation of ``LEAST`` come last.
        n_assigned: columns before those.
        attributes: (n_factors,) number of the attribute that each factor belongs to: factors that are 0 in the same
            rows are of one.
        inside: share of the sum of the assigned latents' |correlations| that lies in each latent's own attribute, and
            what it would be if spread evenly over the factors; None where there is one attribute or no latent left.
    """

    values: np.ndarray
    latents: np.ndarray
    n_assigned: int
    attributes: np.ndarray
    inside: tuple[float, float] | None

    @property
    def has_attributes(self) -> bool:
        """Some factors belong together and others do not."""
        return 1 < len(set(self.attributes.tolist())) < len(self.attributes)


def source_matrix(codes: np.ndarray, factors: np.ndarray) -> SourceMatrix:
    """The matrix of codes (n, n_latents) and factors (n, n_factors); constant columns correlate with nothing.

    A latent belongs to the attribute with the largest mean |correlation|, and there to the factor with the largest one.

    Raises:
        ValueError: rows differ, or fewer than two.
    """
    if len(codes) != len(factors) or len(codes) < 2:
        raise ValueError(f"sources: codes {codes.shape} and factors {factors.shape} need the same rows, at least two")
    values = np.abs(_scaled(np.abs(factors)).T @ _scaled(np.abs(codes)))
    attributes = _attributes(factors)
    kept = np.where(values >= LEAST, values, 0)
    means = np.stack([kept[attributes == a].mean(0) for a in range(attributes.max() + 1)])
    own = means.argmax(0)  # attribute of each latent
    within = np.where(attributes[:, None] == own, values, -1.0)
    is_assigned = kept.any(0)
    order = np.lexsort((-within.max(0), within.argmax(0), own, ~is_assigned))
    inside = None
    if len(means) > 1 and is_assigned.any():
        is_own = (attributes[:, None] == own)[:, is_assigned]
        weight = values[:, is_assigned]
        inside = float(weight[is_own].sum() / weight.sum()), float(is_own.mean())
    return SourceMatrix(values[:, order], order, int(is_assigned.sum()), attributes, inside)


def draw_sources(
    codes: np.ndarray,
    factors: np.ndarray,
    names: Sequence[str],
    path: Path,
    *,
    title: str = "",
    formats: tuple[str, ...] = FORMATS,
) -> list[Path]:
    """The matrix in grey, with lines between attributes where there are several.

    Args:
        names: of the factors.
        path: without ending.
        title: what the caption says first.
    """
    matrix = source_matrix(codes, factors)
    n_shown = min(len(matrix.latents), _MOST_LATENTS)
    with style():
        figure = new_figure(3.2 + 0.3 * len(names))
        (axes,) = panels(figure, 1)
        shown = matrix.values[:, :n_shown]
        image = axes.imshow(shown, cmap="Greys", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        for border in np.flatnonzero(np.diff(matrix.attributes)) if matrix.has_attributes else ():
            axes.axhline(border + 0.5, color="#BB5566", lw=0.6)
        axes.set_yticks(range(len(names)), list(names), fontsize=points(5.5 if len(names) > 10 else 6.5))
        every = max(1, -(-n_shown // 12))  # as many numbers as fit
        axes.set_xticks(range(0, n_shown, every), [str(i) for i in matrix.latents[:n_shown:every]], fontsize=points(6))
        axes.tick_params(length=0)
        axes.set_xlabel("latent (its number), those of one factor side by side")
        bar = figure.colorbar(image, ax=axes, pad=0.02, aspect=20)
        bar.set_label("|correlation| of |factor| and |code|", fontsize=points(6.5))
        caption(figure, f"{title}\n{_note(matrix, n_shown, len(codes))}".lstrip())
        return save(figure, path, formats)


def _note(matrix: SourceMatrix, n_shown: int, n: int) -> str:
    unused = len(matrix.latents) - matrix.n_assigned
    parts = [f"n = {n:,} images"]
    if unused:
        parts.append(f"{unused} latents below {LEAST:g} everywhere, last")
    if n_shown < len(matrix.latents):
        parts.append(f"{n_shown} of {len(matrix.latents)} latents shown")
    if matrix.inside is not None:
        own, even = (f"{100 * share:.0f} %" for share in matrix.inside)
        whose = "attribute" if matrix.has_attributes else "factor"
        parts.append(f"{own} of the latents' |correlation| is with their own {whose} (spread evenly: {even})")
    return "; ".join(parts)


def _attributes(factors: np.ndarray) -> np.ndarray:
    """Number of the attribute of each column: columns that are 0 in exactly the same rows share one, in their order."""
    found: dict[bytes, int] = {}
    absent = np.asarray(factors) == 0
    return np.array([found.setdefault(np.packbits(column).tobytes(), len(found)) for column in absent.T])


def _scaled(columns: np.ndarray) -> np.ndarray:
    """Columns with mean 0 and length 1; constant ones are 0."""
    centred: Any = columns - columns.mean(0, dtype=np.float64)
    length = np.sqrt((centred**2).sum(0))
    scale = np.abs(columns).max(0) * np.sqrt(len(columns)) * 1e-7  # what rounding leaves of a constant float32
    return np.divide(centred, length, out=np.zeros_like(centred, dtype=np.float64), where=length > scale)
