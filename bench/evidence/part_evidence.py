"""Evidence of the parts of a code: ``codes@static``, ``factors@static`` and so on, for metrics such as ``mig@static``.

What stays over an item (static, utterance) is scored against the static factors, a dynamic part against the dynamic
ones, so that 1 is the best that a part can reach; other parts against all factors. Codes of the steps between frames
(speeds) are scored at the frame after the step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from bench.api import Method
from bench.datasets.base import DataInfo
from bench.evidence.encoding import at_rows, item_chunks
from bench.evidence.evaluation import ITEM_VIEWS, ItemRows

if TYPE_CHECKING:
    from bench.evidence.gathering import Evidence

_KIND = {"static": False, "utterance": False, "dynamic": True}  # part → ``dynamic`` of the factors it is scored against
_OF_STEPS = ("speeds",)


def offers(method: type[Method], info: DataInfo) -> set[str]:
    """Codes of every part, and factors where the data has some of the part's kind."""
    if not hasattr(method, "parts") or method.card.view not in ITEM_VIEWS:
        return set()
    names = {f"{name}@{part}" for part in method.part_names for name in ("codes", "codes_test")}
    labelled = [part for part in method.part_names if any(scored_factors(part, info))]
    return names | {f"{name}@{part}" for part in labelled for name in ("factors", "factors_test")}


def make(evidence: Evidence, name: str) -> np.ndarray:
    """The array called ``name`` of a method whose rows are ``ItemRows``."""
    rows, (what, _, part) = evidence.rows, name.partition("@")
    assert isinstance(rows, ItemRows)
    if what.startswith("factors"):
        values = _factors(rows, part, evidence.data.info)
    else:
        values = evidence.made_once("parts", lambda: part_codes(evidence))[part]
    return values[rows.n_train :] if what.endswith("_test") else values[: rows.n_train]


def scored_factors(part: str, info: DataInfo) -> list[bool]:
    """Whether each factor of the data is one that the part is scored against."""
    return [part not in _KIND or _KIND[part] == dynamic for dynamic in info.factors.dynamic]


def _factors(rows: ItemRows, part: str, info: DataInfo) -> np.ndarray:
    """Factors (n, n_factors) of the rows; those of another kind are 0, and constant factors are not scored."""
    frame = np.maximum(rows.frame, 1) if part in _OF_STEPS else rows.frame
    return np.asarray(rows.item_factors[rows.item, frame] * np.array(scored_factors(part, info)))


def part_codes(evidence: Evidence) -> dict[str, np.ndarray]:
    """Each part's codes (n, width) at the rows, by name.

    Where the code is its parts one after another, as its first items show, its columns are taken: nothing is encoded
    twice.
    """
    method, rows = evidence.method, evidence.rows
    assert isinstance(rows, ItemRows)
    columns = _columns(method, rows, evidence.device)
    if columns:
        return {part: evidence.all_codes[:, where] for part, where in columns.items()}
    return at_rows(method, rows, lambda x: _parts(method, x), evidence.device)


@torch.inference_mode()
def _columns(method: Method, rows: ItemRows, device: torch.device) -> dict[str, slice]:
    """Which columns of the code each part is; empty where the code is not its parts beside one another."""
    if not hasattr(method, "encode"):
        return {}
    method.eval()
    x = next(item_chunks(rows, device))[1]
    codes, parts = method.encode(x), _parts(method, x)  # type: ignore[operator]
    wide = [part[:, None].expand(-1, rows.n_frames, -1) if part.ndim == 2 else part for part in parts.values()]
    if any(part.shape[1] != rows.n_frames for part in wide) or not torch.equal(torch.cat(wide, dim=-1), codes):
        return {}
    ends = np.cumsum([part.shape[-1] for part in wide]).tolist()
    return {name: slice(end - part.shape[-1], end) for name, part, end in zip(parts, wide, ends, strict=True)}


def _parts(method: Method, x: Tensor) -> dict[str, Tensor]:
    """What ``Method.parts`` gives, in the order of ``part_names``; raises ValueError where it gives other names."""
    parts = method.parts(x)  # type: ignore[operator]
    if set(parts) != set(method.part_names):
        raise ValueError(f"parts gave {', '.join(sorted(parts))}, but part_names are {', '.join(method.part_names)}")
    return {name: parts[name] for name in method.part_names}
