"""Small drawings for pages: SVG that takes its colours from the page's style, so that it suits light and dark.

Classes: ``line`` this run, ``other`` what it is compared with, ``axis``, ``grid``, ``dot``, ``mark``, ``bar``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from markupsafe import Markup

WIDTH, HEIGHT = 320, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 8, 38
_INNER_WIDTH, _INNER_HEIGHT = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM

_LINE = Markup('<polyline class="{}" points="{}"/>')
_X_TICK = Markup('<path class="axis" d="M{0:.1f} {1}v4"/><text x="{0:.1f}" y="{2}" text-anchor="middle">{3}</text>')
_Y_TICK = Markup('<path class="grid" d="M{0} {1:.1f}h{2}"/><text x="{3}" y="{4:.1f}" text-anchor="end">{5}</text>')

Series = tuple[Sequence[float], Sequence[float | None]]


def line_chart(runs: Sequence[Series], others: Sequence[Series], *, x_label: str, describe: str) -> Markup:
    """Lines over steps, with gaps where a value is None or infinite.

    Args:
        runs: what the chart is of, drawn last and strongest.
        others: drawn thin behind.
        describe: the text for those who do not see it.
    """
    every = [*others, *runs]
    steps = [x for xs, _ in every for x in xs]
    low_x, high_x = (min(steps), max(steps)) if steps else (0.0, 1.0)
    low, high = _limits(every, low_x + (high_x - low_x) / 20)
    x_of, y_of = _scaler(low_x, high_x, 0, _INNER_WIDTH), _scaler(low, high, _INNER_HEIGHT, 0)
    drawn = Markup("").join(
        _LINE.format(kind, " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in piece))
        for kind, lines in (("other", others), ("line", runs))
        for line in lines
        for piece in _pieces(line)
    )
    # the inner svg cuts off what lies outside the limits
    return Markup(
        '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}{}'
        '<svg x="{}" y="{}" width="{}" height="{}">{}</svg></svg>'
    ).format(
        WIDTH, HEIGHT, describe, _x_axis(ticks(low_x, high_x), x_of, x_label), _y_axis(ticks(low, high), y_of),
        _LEFT, _TOP, _INNER_WIDTH, _INNER_HEIGHT, drawn,
    )  # fmt: skip


def place(value: float, low: float, high: float, marks: Sequence[float]) -> Markup:
    """A dot on a line from ``low`` to ``high``, with strokes at ``marks``; the numbers stand beside it as text."""
    x_of = _scaler(low, high, 6, 114)
    strokes = Markup("").join(
        Markup('<path class="mark" d="M{:.1f} 3v12"/>').format(x_of(min(max(m, low), high))) for m in marks
    )
    return Markup(
        '<svg class="place" viewBox="0 0 120 18" aria-hidden="true"><path class="axis" d="M6 9H114"/>{}'
        '<circle class="dot" cx="{:.1f}" cy="9" r="4.5"/></svg>'
    ).format(strokes, x_of(min(max(value, low), high)))


def share(part: float) -> Markup:
    """A bar filled to ``part`` of its length."""
    return Markup(
        '<svg class="place" viewBox="0 0 120 18" aria-hidden="true"><path class="axis" d="M6 13.5H114"/>'
        '<rect class="bar" x="6" y="4" width="{:.1f}" height="9"/></svg>'
    ).format(108 * min(max(part, 0.0), 1.0))


def ticks(low: float, high: float, n: int = 4) -> list[float]:
    """About ``n`` round numbers from ``low`` to ``high``."""
    if not high > low:
        return [low]
    rough = (high - low) / n
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * m for m in (1, 2, 2.5, 5, 10) if unit * m >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{i * step:.10g}") for i in range(first, last + 1)]


def number(value: float) -> str:
    """A number for people: ``12,345``, ``0.25``, ``1.2e-05``, with a true minus sign."""
    text = f"{value:,.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.4g}"
    return text.replace("-", "−") if "e" not in text else text


def _x_axis(places: Sequence[float], x_of: Callable[[float], float], label: str) -> Markup:
    base = HEIGHT - _BOTTOM
    texts = Markup("").join(_X_TICK.format(_LEFT + x_of(x), base, base + 16, number(x)) for x in places)
    line = Markup('<path class="axis" d="M{} {}h{}"/>').format(_LEFT, base, _INNER_WIDTH)
    middle = _LEFT + _INNER_WIDTH / 2
    return line + texts + Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>').format(middle, HEIGHT - 5, label)


def _y_axis(places: Sequence[float], y_of: Callable[[float], float]) -> Markup:
    return Markup("").join(
        _Y_TICK.format(_LEFT, _TOP + y_of(y), _INNER_WIDTH, _LEFT - 6, _TOP + y_of(y) + 4, number(y)) for y in places
    )


def _limits(every: Sequence[Series], begin: float) -> tuple[float, float]:
    """Least and greatest value from the step ``begin`` on, with a margin: the first loss would flatten all the rest."""
    points = [point for line in every for piece in _pieces(line) for point in piece]
    shown = [y for x, y in points if x >= begin] or [y for _, y in points] or [0.0, 1.0]
    low, high = min(shown), max(shown)
    margin = 0.06 * (high - low or abs(high) or 1.0)
    return low - margin, high + margin


def _pieces(line: Series) -> Iterator[list[tuple[float, float]]]:
    """The runs of finite points of a line."""
    piece: list[tuple[float, float]] = []
    for x, y in zip(*line, strict=True):
        if y is not None and math.isfinite(y):
            piece.append((x, y))
        elif piece:
            yield piece
            piece = []
    if piece:
        yield piece


def _scaler(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """The map that takes ``low`` to ``start`` and ``high`` to ``end``."""
    span = (high - low) or 1.0
    return lambda value: start + (value - low) / span * (end - start)
