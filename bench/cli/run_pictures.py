"""Pictures of one stored run: for ``bench plot``, ``bench traverse`` and figures of papers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench.inspection.trained import assigned, revive, scored_codes
from bench.opening import Folders
from bench.registry import UsageError
from bench.spec import RunSpec

N_IMAGES = 6  # beside their codes
N_VALUES = 7  # of a latent


def draw(kind: str, row: Mapping[str, Any], folders: Folders, stem: Path, **options: Any) -> list[Path]:
    """Draw "codes", "sources", "swaps", "traversals", "flow" or "speeds" of a row.

    Args:
        stem: path without ending.
        options: as ``bench.report.papers.DRAWN`` names them.

    Raises:
        UsageError: one line: no checkpoint here, or the method has nothing of that kind (``NotTraversable`` where it
            is the checkpoint, or the data, that is missing).
    """
    title = f"{RunSpec.from_dict(row['spec']).label} ({row['hash'][:8]})"
    try:
        return _DRAWN[kind](row, folders, stem, title, **options)
    except UsageError:
        raise
    except ValueError as error:
        raise UsageError(str(error)) from None


def _sources(row: Mapping[str, Any], folders: Folders, stem: Path, title: str) -> list[Path]:
    from bench.report.sources import draw_sources

    codes, factors, names = scored_codes(row, folders)
    return draw_sources(codes, factors, names, stem, title=title)


def _swaps(row: Mapping[str, Any], folders: Folders, stem: Path, title: str, **sizes: int) -> list[Path]:
    from bench.inspection.swap_grids import swap_grid
    from bench.report.swap_pictures import draw_swaps

    grid = swap_grid(row, folders, **sizes)
    return draw_swaps(grid.contents, grid.motions, grid.generated, stem, title=title, is_real=grid.is_real)


def _codes(row: Mapping[str, Any], folders: Folders, stem: Path, title: str, n_images: int = N_IMAGES) -> list[Path]:
    from bench.report.sparse_codes import draw_codes

    trained = revive(row, folders)
    frames, codes = trained.shown_frames(n_images), trained.codes(0, n_images)
    return draw_codes(frames, trained.decode(codes), codes, trained.usual_codes(), stem, title=title)


def _traversals(
    row: Mapping[str, Any], folders: Folders, stem: Path, title: str,
    largest: int | None = None, base: int = 0, steps: int = N_VALUES,
) -> list[Path]:  # fmt: skip
    from bench.report import traverse

    trained = revive(row, folders)
    start, codes = trained.start(base), trained.usual_codes()
    ranges, latents, first_row = traverse.ranges_of(codes, 0.01, 0.99), None, []
    if largest is not None:
        ranges, latents = traverse.ranges_around(ranges, start[0]), traverse.largest(start[0], largest)
        first_row = [trained.shown_frames(base + 1)[base], trained.decode(start)[0]]
        title += f", image {base}: the {len(latents)} largest codes"
    return traverse.draw_traversal(
        trained.decode, start, ranges, stem,
        n_values=steps, latent_factors=assigned(row), title=title, latents=latents, first_row=first_row,
    )  # fmt: skip


def _flow(row: Mapping[str, Any], folders: Folders, stem: Path, title: str) -> list[Path]:
    from bench.inspection.flow_fields import flow_fields
    from bench.report.flow_pictures import draw_flow

    return draw_flow(flow_fields(row, folders), stem, title=title)


def _speeds(row: Mapping[str, Any], folders: Folders, stem: Path, title: str) -> list[Path]:
    from bench.inspection.inferred_speeds import inferred_speeds
    from bench.report.speed_pictures import draw_speeds

    return draw_speeds(inferred_speeds(row, folders), stem, title=title)


_DRAWN: Mapping[str, Callable[..., list[Path]]] = {
    "codes": _codes, "sources": _sources, "swaps": _swaps, "traversals": _traversals, "flow": _flow, "speeds": _speeds,
}  # fmt: skip
