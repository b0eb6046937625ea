"""Flow fields as pictures: arrows and potential in a plane of latent space, with the paths that codes take."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.report.style import COLOURS, caption, is_narrow, is_on_screen, new_figure, points, save, style, width_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bench.inspection.flow_fields import FlowField

WIDTH_CM = 17.0
MOST_PATHS, SHADES = 12, 9


def draw_flow(fields: Sequence[FlowField], path: Path, *, title: str = "") -> list[Path]:
    """PDF, SVG and PNG: a panel for each transformation.

    Raises:
        ValueError: no field.
    """
    if not fields:
        raise ValueError("flow: no transformation to draw")
    n_columns = min(len(fields), 2 if is_narrow(WIDTH_CM) else 3)
    n_rows = -(-len(fields) // n_columns)
    with style():
        figure = new_figure(
            (1.95 if is_on_screen() else 0.1) + n_rows * (width_of(WIDTH_CM) / n_columns - 0.1), WIDTH_CM
        )
        grid = figure.subplots(n_rows, n_columns, squeeze=False).ravel().tolist()
        for unused in grid[len(fields) :]:
            unused.remove()
        for axes, field in zip(grid, fields, strict=False):
            _draw_panel(axes, field)
        caption(
            figure,
            f"{title}\nthe plane in which codes move: principal axes of codes along their paths, each path about its "
            "own mean; arrows: velocity of a step, mean over codes and steps, the longest to scale; shades: the "
            "potential, dark is high, whose gradient the velocity is (plus STA's rotation); lines: paths of test "
            "observations' codes, from the dot on; above: which flow, and the share of the paths' squared velocity in "
            "the plane",
        )
        return save(figure, path)


def _draw_panel(axes: Axes, field: FlowField) -> None:
    across, up = field.places[..., 0], field.places[..., 1]
    if field.potential is not None:
        axes.contourf(across, up, field.potential, levels=SHADES, colors=_shades())
    axes.quiver(across, up, field.velocity[..., 0], field.velocity[..., 1], color="0.35", width=0.0035,
                angles="xy", headwidth=4.5, headlength=5)  # fmt: skip
    for one in field.paths[:MOST_PATHS]:
        axes.plot(one[:, 0], one[:, 1], "-", color=COLOURS[1], lw=0.9)
        axes.plot(*one[0], "o", color=COLOURS[1], ms=2.2)
    axes.set_title(
        f"{field.transformation} (flow {field.flow}, {100 * field.in_plane:.0f} %)", pad=3, fontsize=points(6.5)
    )
    axes.set_aspect("equal")
    axes.set_xlabel("first axis", labelpad=1)
    axes.set_ylabel("second axis", labelpad=1)
    axes.spines[:].set_visible(True)
    axes.locator_params(nbins=5)


def _shades() -> list[str]:
    """Greys for low to high, light enough for arrows."""
    return [f"{1 - 0.4 * i / (SHADES + 1):.3f}" for i in range(SHADES + 2)]
