"""Codes of single images as bars beside the images: which latents are in use, and how many.

After the figures of Variational Sparse Coding (Tonolini et al., UAI 2019), for any method that encodes and decodes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bench.report.style import COLOURS, FORMATS, caption, new_figure, points, save, style

ACTIVE = 0.1  # of the usual largest code
_QUIET = "#bbbbbb"  # bars of latents that are not active
_ROW_CM = 1.15


def active_above(codes: np.ndarray) -> float:
    """The size above which a code counts as active: a tenth of the 99 % quantile of all |codes| (n, n_latents)."""
    return float(ACTIVE * np.quantile(np.abs(codes), 0.99))


def draw_codes(
    frames: np.ndarray,
    rebuilt: np.ndarray,
    codes: np.ndarray,
    usual: np.ndarray,
    path: Path,
    *,
    title: str = "",
    formats: tuple[str, ...] = FORMATS,
) -> list[Path]:
    """One line per image: the image, its reconstruction, and its codes as bars over the latents' numbers.

    Args:
        frames, rebuilt: (n, channels, height, width) in [0, 1].
        codes: (n, n_latents) of these images.
        usual: (n_more, n_latents) of many images, for the scale of the bars and the share of active codes.
        path: without ending.
        title: what the caption says first, such as method, data set and seed.

    Raises:
        ValueError: shapes that do not fit, or frames that are neither grey nor RGB.
    """
    n, n_latents = codes.shape
    if frames.ndim != 4 or frames.shape[1] not in (1, 3):
        raise ValueError(f"codes: frames must be (n, 1 or 3, height, width) to be drawn, got {frames.shape}")
    if frames.shape != rebuilt.shape or len(frames) != n or usual.shape[1:] != (n_latents,):
        raise ValueError(
            f"codes: frames {frames.shape}, reconstructions {rebuilt.shape}, codes {codes.shape} and usual codes "
            f"{usual.shape} do not fit"
        )
    limit = active_above(usual)
    largest = 1.05 * max(float(np.abs(codes).max()), limit / ACTIVE, 1e-12)
    with style():
        figure = new_figure(1.9 + _ROW_CM * n)
        grid = figure.add_gridspec(n, 3, width_ratios=(1, 1, 4.2), wspace=0.04, hspace=0.02)
        for i in range(n):
            for column, image in enumerate((frames[i], rebuilt[i])):
                axes = figure.add_subplot(grid[i, column])
                axes.imshow(_picture(image), cmap="gray", vmin=0, vmax=1, interpolation="nearest", aspect="equal")
                axes.set_axis_off()
                if i == 0:
                    axes.set_title(("image", "rebuilt")[column], fontsize=points(6.5))
            axes = figure.add_subplot(grid[i, 2])
            _bars(axes, codes[i], limit, largest, is_last=i == n - 1)
        share = float((np.abs(usual) > limit).mean())
        note = (
            f"dark: active, |code| > {limit:.2g}, a tenth of the 99 % quantile of |codes|; "
            f"active in {len(usual):,} images: {100 * share:.0f} % of {n_latents} latents"
        )
        caption(figure, f"{title}\n{note}".lstrip())
        return save(figure, path, formats)


def _bars(axes: Any, codes: np.ndarray, limit: float, largest: float, is_last: bool) -> None:
    """One image's codes; numbers of latents under the last line only."""
    is_active = np.abs(codes) > limit
    places = np.arange(len(codes))
    for some, colour in ((~is_active, _QUIET), (is_active, COLOURS[0])):
        axes.bar(places[some], codes[some], width=0.8, color=colour, lw=0)
    axes.axhline(0, color="black", lw=0.4)
    axes.set_xlim(-0.7, len(codes) - 0.3)
    axes.set_ylim(-largest, largest)
    axes.yaxis.tick_right()
    axes.yaxis.set_major_locator(_halves(largest))
    axes.tick_params(axis="y", labelsize=points(5.5), length=1.5)
    axes.spines["left"].set_visible(False)
    axes.spines["right"].set_visible(True)
    axes.set_title(f"{is_active.sum()} of {len(codes)} active", loc="left", fontsize=points(6), pad=1)
    if is_last:
        axes.set_xlabel("latent")
    else:
        axes.tick_params(axis="x", labelbottom=False, length=0)


def _halves(largest: float) -> Any:
    """Ticks at 0 and at one round number on either side."""
    from matplotlib.ticker import FixedLocator

    step = 10.0 ** np.floor(np.log10(largest))
    round_number = max(factor * step for factor in (1, 2, 5) if factor * step <= largest)
    return FixedLocator([-round_number, 0, round_number])


def _picture(frame: np.ndarray) -> np.ndarray:
    """(channels, height, width) → (height, width) or (height, width, 3)."""
    image = np.clip(frame, 0, 1).transpose(1, 2, 0)
    return image[..., 0] if image.shape[2] == 1 else image
