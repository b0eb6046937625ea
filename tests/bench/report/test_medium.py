"""Figures for a paper: width, type, fonts, caption; and that the screen's are as they were."""

import re

import numpy as np
import pytest
from synthetic_rows import study

from bench.report import figures, style, traverse
from bench.report.frame import groups

(GROUP,) = groups(study())


@pytest.mark.parametrize(("medium", "inches"), [("paper", 3.3), ("paper-wide", 6.9)])
def test_a_paper_gets_one_pdf_of_its_columns_width_with_truetype_fonts_and_the_caption_as_text(
    tmp_path, medium, inches
):
    with style.printed_for(medium):
        paths = figures.draw_scores(GROUP, tmp_path / "scores", metrics=["mcc[spearman]", "mig[hist20]"])
    assert [path.name for path in paths] == ["scores.pdf", "scores.txt"]
    pdf = paths[0].read_bytes()
    (width,) = re.findall(rb"/MediaBox \[ 0 0 ([\d.]+) ", pdf)
    assert float(width) == pytest.approx(72 * inches, abs=0.01)
    assert b"/CIDFontType2" in pdf
    assert b"/Type3" not in pdf
    assert "bars: their mean with its 95 % t-interval" in paths[1].read_text()


def sizes(figure):
    from matplotlib.text import Text

    return {round(text.get_fontsize(), 2) for text in figure.findobj(Text) if text.get_text().strip()}


def test_type_is_eight_points_and_nothing_below_six_and_the_screen_is_left_as_it_was(tmp_path, monkeypatch):
    kept = []
    monkeypatch.setattr(figures, "save", lambda figure, *_: kept.append(figure) or [])
    cell = next(cell for cell in GROUP.cells if not cell.is_reference)
    for medium in ("paper", None):
        with style.printed_for(medium):
            figures.draw_scores(GROUP, tmp_path / "s")
            figures.draw_correlation(GROUP, cell, tmp_path / "c")
    paper, screen = kept[: len(kept) // 2], kept[len(kept) // 2 :]
    assert max(size for figure in paper for size in sizes(figure)) == 8
    assert min(size for figure in paper for size in sizes(figure)) >= 6
    assert max(size for figure in screen for size in sizes(figure)) == 7
    assert {round(2.54 * figure.get_figwidth(), 6) for figure in screen} == {8.0}
    assert all(figure.get_suptitle() == "" for figure in paper)
    assert all(figure.get_suptitle() for figure in screen)


def test_a_traversal_fills_the_column(tmp_path):
    with style.printed_for("paper"):
        paths = traverse.draw_traversal(
            lambda codes: np.zeros((len(codes), 1, 8, 8)), np.zeros((1, 3)), np.array([[-1, 1]] * 3), tmp_path / "t"
        )
    assert [path.name for path in paths] == ["t.pdf", "t.txt"]
    (width,) = re.findall(rb"/MediaBox \[ 0 0 ([\d.]+) ", paths[0].read_bytes())
    assert float(width) == pytest.approx(237.6, abs=0.01)
