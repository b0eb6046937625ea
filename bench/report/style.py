"""How figures look: one column of a paper (8 cm), seven points, colours that grey and colour-blindness keep apart.

Nothing here touches pyplot or leaves a setting behind: figures are made and saved inside ``style()``. Within
``printed_for("paper")`` they come out as a paper wants them; sizes in the code that draws (cm, points) are those of the
screen and grow with the medium's type.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
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
BODY_SIZE = 7  # points, of labels and titles on the screen


@dataclass(frozen=True)
class Medium:
    """What figures are made for.

    Attributes:
        width_cm: of every figure; None leaves the width that each figure has by itself.
        size: points of labels and titles, which all other sizes keep their relation to.
        n_columns: panels side by side.
        formats: what is written whatever is asked for; None writes what is asked for.
        folder: of its figures, below that of the screen's.
        has_caption: small print stands above the panels; otherwise in a text file beside the picture.
    """

    width_cm: float | None
    size: float
    n_columns: int
    formats: tuple[str, ...] | None
    folder: str
    has_caption: bool

    @property
    def scale(self) -> float:
        """A centimetre or point of the screen in this medium."""
        return self.size / BODY_SIZE


SCREEN = Medium(None, BODY_SIZE, 2, None, "", True)
MEDIA = {
    "paper": Medium(3.3 * 2.54, 8, 2, ("pdf",), "paper", False),  # one column of a two-column page
    "paper-wide": Medium(6.9 * 2.54, 8, 4, ("pdf",), "paper-wide", False),  # both
}
_medium: ContextVar[Medium] = ContextVar("medium", default=SCREEN)

# Dark, middle and light in turn (after Tol's high-contrast and medium-contrast sets), so that grey keeps them apart.
COLOURS = ("#004488", "#BB5566", "#DDAA33", "#000000", "#6699CC", "#997700")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P")
REFERENCE_COLOUR = "#555555"
BOUND_COLOUR = "#888888"

_SETTINGS: Any = {
    "font.family": "DejaVu Sans",
    "font.size": BODY_SIZE,
    "axes.labelsize": BODY_SIZE,
    "axes.titlesize": BODY_SIZE,
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
def printed_for(medium: str | None) -> Iterator[None]:
    """Figures made inside are for a medium of ``MEDIA``; None is the screen."""
    token = _medium.set(SCREEN if medium is None else MEDIA[medium])
    try:
        yield
    finally:
        _medium.reset(token)


@contextmanager
def style() -> Iterator[None]:
    """The suite's settings while a figure is made and saved; the caller's come back afterwards."""
    import matplotlib

    sizes = [
        name for name in _SETTINGS if name.endswith("size") and not name.startswith(("xtick.major", "ytick.major"))
    ]
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        matplotlib.rcParams.update({name: points(_SETTINGS[name]) for name in sizes})
        yield


def points(size: float) -> float:
    """The size in the medium of type (a mark) that has ``size`` points on the screen."""
    return size * _medium.get().scale


def width_of(usual_cm: float = WIDTH_CM) -> float:
    """Width of a figure, in centimetres of the screen, that is ``usual_cm`` wide there."""
    medium = _medium.get()
    return usual_cm if medium.width_cm is None else medium.width_cm / medium.scale


def folder() -> str:
    """Where figures of the medium are put by default, below those of the screen."""
    return _medium.get().folder


def n_columns() -> int:
    """How many panels stand side by side."""
    return _medium.get().n_columns


def characters(n: int) -> int:
    """How many characters fit where a panel has room for ``n`` on the screen."""
    axis = 1.5  # cm of a panel that ticks and their numbers take
    return int(n * (width_of() / n_columns() - axis) / (WIDTH_CM / SCREEN.n_columns - axis))


def is_on_screen() -> bool:
    """Whether figures are for the screen, where they may move."""
    return _medium.get() is SCREEN


def is_narrow(usual_cm: float) -> bool:
    """Whether a figure that is ``usual_cm`` wide on the screen has much less room in the medium."""
    return width_of(usual_cm) < 0.75 * usual_cm


def new_figure(height_cm: float, width_cm: float = WIDTH_CM) -> Figure:
    """A figure of that size whose parts keep clear of each other; call within ``style()``.

    Args:
        height_cm, width_cm: on the screen; the medium has a width of its own (see ``width_of``).
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.03)
    inches = _medium.get().scale / 2.54
    figure = Figure(figsize=(width_of(width_cm) * inches, height_cm * inches), layout=layout)
    FigureCanvasAgg(figure)
    return figure


def caption(figure: Figure, text: str) -> Text | None:
    """Small print above the panels, wrapped to the figure's width: what the figure shows and how it was made.

    For a paper it is left to ``save``, which writes it to a text file beside the picture (None is returned).
    """
    figure.set_label(text)
    if not _medium.get().has_caption:
        return None
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

    Files carry no date, so that the same rows give the same bytes. For a paper: ``stem.pdf`` and, in ``stem.txt``, its
    caption.
    """
    medium = _medium.get()
    formats = medium.formats or formats
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
    if not medium.has_caption and figure.get_label():
        paths.append(stem.with_name(f"{stem.name}.txt"))
        with written_whole(paths[-1]) as partial:
            Path(partial).write_text(f"{figure.get_label()}\n", encoding="utf-8")
    return paths


def n_rows(n_panels: int) -> int:
    """Rows that so many panels fill."""
    return math.ceil(n_panels / n_columns())


def look(i: int) -> dict[str, Any]:
    """Colour, line and marker of the i-th trained method; the three repeat at different rates, so 30 stay distinct."""
    return {
        "color": COLOURS[i % len(COLOURS)],
        "linestyle": LINES[(i + i // len(LINES)) % len(LINES)],
        "marker": MARKERS[(i + i // len(MARKERS)) % len(MARKERS)],
    }


def panels(figure: Figure, n: int, sharey: bool = False) -> list[Axes]:
    """``n`` panels in reading order, in ``n_rows(n)`` rows; the places left over in the last row are empty."""
    grid = figure.subplots(n_rows(n), min(n, n_columns()), sharey=sharey, squeeze=False).ravel().tolist()
    for unused in grid[n:]:
        unused.remove()
    return grid[:n]
