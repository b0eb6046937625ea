"""How figures look: one column of a paper (8 cm), seven points, colours that grey and colour-blindness keep apart.

Nothing here touches pyplot or leaves a setting behind: figures are made and saved inside ``style()``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.whole_files import written_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

WIDTH_CM = 8.0
FORMATS = ("pdf", "svg", "png")
PNG_DPI = 300
CAPTION_SIZE = 6.2  # points

# Dark, middle and light in turn (after Tol's high-contrast and medium-contrast sets), so that grey keeps them apart.
COLOURS = ("#004488", "#BB5566", "#DDAA33", "#000000", "#6699CC", "#997700")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P")
REFERENCE_COLOUR = "#555555"
BOUND_COLOUR = "#888888"

_SETTINGS: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 7,
    "axes.labelsize": 7,
    "axes.titlesize": 7,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": False,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.5,
    "grid.linewidth": 0.4,
    "grid.color": "#dddddd",
    "figure.dpi": PNG_DPI,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "bench",  # equal figures are equal files
}


@contextmanager
def style() -> Iterator[None]:
    """The suite's settings while a figure is made and saved; the caller's come back afterwards."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        yield


def new_figure(height_cm: float, width_cm: float = WIDTH_CM) -> Figure:
    """A figure of that size whose parts keep clear of each other; call within ``style()``."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.03)
    figure = Figure(figsize=(width_cm / 2.54, height_cm / 2.54), layout=layout)
    FigureCanvasAgg(figure)
    return figure


def caption(figure: Figure, text: str) -> Text:
    """Small print above the panels, wrapped to the figure's width: what the figure shows and how it was made."""
    lines = [""]
    room = 0.97 * figure.bbox.width
    for paragraph in text.splitlines():
        for word in paragraph.split(" "):
            longer = f"{lines[-1]} {word}".lstrip()
            if lines[-1] and text_width(figure, longer, CAPTION_SIZE) > room:
                longer = word
                lines.append("")
            lines[-1] = longer
        lines.append("")
    return figure.suptitle("\n".join(lines[:-1]), x=0.01, ha="left", fontsize=CAPTION_SIZE, linespacing=1.3)


def text_width(figure: Figure, text: str, size: float) -> float:
    """Width in pixels of a line of text of so many points."""
    from matplotlib.font_manager import FontProperties

    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    return float(renderer.get_text_width_height_descent(text, FontProperties(size=size), False)[0])


def save(figure: Figure, stem: Path, formats: tuple[str, ...] = FORMATS) -> list[Path]:
    """Write ``stem.pdf``, ``stem.svg`` and ``stem.png`` (or the formats asked for) and return their paths.

    Files carry no date, so that the same rows give the same bytes.
    """
    undated: dict[str, dict[str, None]] = {
        "pdf": {"CreationDate": None},
        "svg": {"Date": None},
        "png": {"Software": None},
    }
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # placed once, not again for every format
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = [stem.with_name(f"{stem.name}.{form}") for form in formats]
    for path, form in zip(paths, formats, strict=True):
        with written_whole(path) as partial:
            figure.savefig(partial, format=form, metadata=undated.get(form))
    return paths


def look(i: int) -> dict[str, Any]:
    """Colour, line and marker of the i-th trained method; the three repeat at different rates, so 30 stay distinct."""
    return {
        "color": COLOURS[i % len(COLOURS)],
        "linestyle": LINES[(i + i // len(LINES)) % len(LINES)],
        "marker": MARKERS[(i + i // len(MARKERS)) % len(MARKERS)],
    }


def panels(figure: Figure, n: int, n_columns: int = 2, sharey: bool = False) -> list[Axes]:
    """``n`` panels in reading order; the places left over in the last row are empty."""
    n_columns = min(n, n_columns)
    grid = figure.subplots(math.ceil(n / n_columns), n_columns, sharey=sharey, squeeze=False).ravel().tolist()
    for unused in grid[n:]:
        unused.remove()
    return grid[:n]
