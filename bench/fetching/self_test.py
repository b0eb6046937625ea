"""Opens a data set and looks at it: what training and scoring will be given is what its description promises."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.datasets.base import DataInfo
from bench.datasets.containers import Draw, Labelled
from bench.evidence.evaluation import ITEM_VIEWS
from bench.randomness import stream

N = 64
_VIEWS = ("images", "pairs", "sequences", "transformations")


def look_at(data: Any, name: str) -> str:
    """Draw from an opened data set in every view, with all extras; returns in words what it holds.

    Raises:
        ValueError: a shape, type or range is not what ``data.info`` says, all observations are alike, or (where every
            combination of factors can be rendered) drawing one again gives another picture.
    """
    info: DataInfo = data.info
    for view in (view for view in _VIEWS if view in info.views):
        drawn = data.labelled(N, stream(0, name, "self-test"), view=view)
        try:
            _check(drawn, info, data.spec(view).n_frames)
        except ValueError as error:
            raise ValueError(f"{name} opens, but its view '{view}' is wrong: {error}") from None
        extras = tuple(info.extras) if view in ITEM_VIEWS else ()
        batch = next(data.batches(view, 4, stream(0, name, "self-test"), extras=extras))
        problem = _problem_beside(batch, info, view)
        if problem:
            raise ValueError(f"{name} opens, but a batch of its view '{view}' is wrong: {problem}")
        x = batch.x
        in_range = len(info.observation_shape) == 1 or bool((x >= 0).all() and (x <= 1).all())
        if str(x.dtype) != "torch.float32" or not bool(x.isfinite().all()) or not in_range:
            raise ValueError(f"{name} opens, but a batch of its view '{view}' is not float32 from 0 to 1")
    if info.has_grid and not info.render_is_random:
        drawn = data.labelled(N, stream(0, name, "self-test"), view="images")
        again = data.render(drawn.factors[:, 0], stream(1, name, "self-test"))
        if not np.array_equal(again, drawn.x[:, 0]):
            raise ValueError(f"{name} opens, but the same factors give another picture when they are drawn again")
    return in_words(data)


def in_words(data: Any) -> str:
    """One line: how many items of what shape, and the factors."""
    info: DataInfo = data.info
    view = next((view for view in reversed(_VIEWS) if view in info.views), info.views[0])
    spec = data.spec(view)
    shape = " × ".join(map(str, info.observation_shape))
    sizes = zip(info.factors.names, info.factors.sizes, strict=True)
    factors = ", ".join(f"{factor} {size or 'continuous'}" for factor, size in sizes)
    many = f" of {spec.n_frames} frames" if spec.n_frames > 1 else ""
    words = f"{spec.n_train:,} {view}{many} of {shape}; {'factors: ' + factors if factors else 'no factors'}"
    for label, names in (("transformations", info.transformations), ("extras", tuple(info.extras))):
        words += f"; {label}: {', '.join(names)}" if names else ""
    return words


def _problem_beside(batch: Draw, info: DataInfo, view: str) -> str:
    """What is wrong with what a batch of 4 brings beside its frames, or the empty string."""
    if view == "transformations":
        wanted: tuple[int, ...] = (4, info.n_frames - 1, len(info.transformations))
        found = None if batch.transformation is None else tuple(batch.transformation.shape)
        if found != wanted:
            return f"wanted amounts {wanted} of its transformations, got {found}"
    for name, values in batch.extras.items():
        wanted = (4, *info.extras[name])
        if tuple(values.shape) != wanted or str(values.dtype) not in ("torch.float32", "torch.int64"):
            return f"wanted extra '{name}' {wanted}, float32 or int64, got {tuple(values.shape)} {values.dtype}"
        if not bool(values.isfinite().all()):
            return f"extra '{name}' is not finite"
    return ""


def _check(drawn: Labelled, info: DataInfo, n_frames: int) -> None:
    n_factors = len(info.factors.names)
    wanted = (N, n_frames, *info.observation_shape)
    if drawn.x.shape != wanted or drawn.x.dtype not in (np.uint8, np.float32):
        raise ValueError(f"wanted observations {wanted}, uint8 or float32, got {drawn.x.shape} {drawn.x.dtype}")
    if drawn.factors.shape != (N, n_frames, n_factors):
        raise ValueError(f"wanted factors {(N, n_frames, n_factors)}, got {drawn.factors.shape}")
    if drawn.x.dtype == np.float32 and len(info.observation_shape) == 3:
        low, high = float(drawn.x.min()), float(drawn.x.max())
        if not 0 <= low <= high <= 1:
            raise ValueError(f"wanted values from 0 to 1, got {low:g} to {high:g}")
    if (drawn.x == drawn.x[:1, :1]).all():
        raise ValueError(f"{N} draws are all the same")
    if not np.isfinite(drawn.factors).all():
        raise ValueError("a factor is not a finite number")
    for column, (factor, size) in enumerate(zip(info.factors.names, info.factors.sizes, strict=True)):
        values = drawn.factors[..., column]
        if size and not ((values >= 0) & (values < size)).all():
            raise ValueError(f"factor '{factor}' has values 0 … {size - 1}, got {values.min():g} … {values.max():g}")
