import itertools

import matplotlib
import numpy as np
import pytest
from PIL import Image
from synthetic_rows import row, seeds, study

from bench.report import curves, figures, style
from bench.report.frame import groups


def only_group(rows):
    (group,) = groups(rows)
    return group


def long_names():
    rows = study()
    for one in rows:
        if one["spec"]["method"] == "betavae":
            one["spec"]["method"] = "a_method_with_quite_a_long_name"
            one["hash"] += "x"
    return rows


CASES = {
    "whole study": study,
    "one seed": lambda: seeds("slowvae", [0.5]),
    "one method and metric": lambda: seeds("slowvae", [0.5, 0.6, 0.7]),
    "long names": long_names,
    "a method lost all its seeds": lambda: [*study(), *(row("vae", s, status="failed") for s in range(3))],
    "every value the same": lambda: seeds("slowvae", [0.0, 0.0, 0.0]),
}


def drawn(monkeypatch, rows, tmp_path):
    """The figures made from rows, laid out, instead of files."""
    kept = []

    def keep(figure, stem, formats):
        figure.draw_without_rendering()
        kept.append(figure)
        return []

    for module in (figures, curves):
        monkeypatch.setattr(module, "save", keep)
    figures.draw_all(rows, tmp_path)
    assert kept
    return kept


def visible_texts(figure):
    """Text artists that are painted: ticks outside the limits exist without being drawn."""
    found = [t for t in figure.findobj(matplotlib.text.Text) if t.get_visible() and t.get_text().strip()]
    inside = []
    for axes in figure.axes:
        for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, sorted(axes.get_ylim()))):
            for tick in axis.get_major_ticks():
                if not low <= tick.get_loc() <= high or axis.get_label_position() not in ("bottom", "left", "right"):
                    inside += [tick.label1, tick.label2]
                inside += [tick.label2] if axis.get_ticks_position() != "right" else [tick.label1]
                inside += [] if tick.label1.get_visible() else [tick.label1]
    return [t for t in found if t not in inside]


@pytest.mark.parametrize(
    ("case", "medium"), [*((case, None) for case in CASES), ("whole study", "paper"), ("long names", "paper-wide")]
)
def test_no_text_is_clipped_or_lies_on_other_text(case, medium, monkeypatch, tmp_path):
    with style.printed_for(medium), style.style():
        for figure in drawn(monkeypatch, CASES[case](), tmp_path):
            boxes = [(t.get_text(), t.get_window_extent()) for t in visible_texts(figure)]
            for text, box in boxes:
                assert box.x0 >= -0.5, text
                assert box.y0 >= -0.5, text
                assert box.x1 <= figure.bbox.x1 + 0.5, text
                assert box.y1 <= figure.bbox.y1 + 0.5, text
            for (first, a), (second, b) in itertools.combinations(boxes, 2):
                overlap = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
                assert min(overlap) <= 1.0, f"{first!r} lies on {second!r}"


def test_every_figure_is_one_column_wide_and_in_three_formats(tmp_path):
    rows = [one for one in study() if one["spec"]["method"] == "slowvae"]
    for one in rows:
        one["metrics"] = dict(list(one["metrics"].items())[:2])
    paths = figures.draw_all(rows, tmp_path)
    assert {path.suffix for path in paths} == {".pdf", ".svg", ".png"}
    assert {path.stem for path in paths} == {"scores", "curves", "scores-over-steps", "correlation-slowvae"}
    for path in paths:
        if path.suffix == ".png":
            with Image.open(path) as image:
                assert abs(image.width - style.WIDTH_CM / 2.54 * style.PNG_DPI) <= 1


def test_equal_rows_give_equal_files(tmp_path):
    rows = seeds("slowvae", [0.5, 0.6, 0.7])
    first = figures.draw_scores(only_group(rows), tmp_path / "first")
    second = figures.draw_scores(only_group(rows), tmp_path / "second")
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]


def test_colours_stay_apart_in_grey():
    """Neighbours among the first three differ by a fifth of the way from black to white."""
    grey = [0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in map(matplotlib.colors.to_rgb, style.COLOURS)]
    assert min(abs(a - b) for a, b in itertools.pairwise(sorted(grey[:3]))) > 0.15


def test_thirty_methods_have_thirty_looks():
    looks = {tuple(map(str, style.look(i).values())) for i in range(30)}
    assert len(looks) == 30


def test_drawing_leaves_matplotlib_as_it_was(tmp_path):
    with matplotlib.rc_context({"font.size": 23}):
        before = dict(matplotlib.rcParams)
        figures.draw_scores(only_group(seeds("slowvae", [0.5, 0.6, 0.7])), tmp_path / "x", formats=("png",))
        assert dict(matplotlib.rcParams) == before


def test_score_panel_shows_the_seeds_their_interval_and_the_bounds(monkeypatch, tmp_path):
    with style.style():
        (figure,) = drawn(monkeypatch, seeds("slowvae", [0.5, 0.6, 0.7]), tmp_path)
    (axes,) = figure.axes
    points, interval, mean, floor, ceiling = axes.lines
    np.testing.assert_allclose(points.get_xdata(), [0.5, 0.6, 0.7])
    np.testing.assert_allclose(interval.get_xdata(), [0.6 - 0.24841377, 0.6 + 0.24841377], atol=1e-6)
    assert mean.get_xdata()[0] == pytest.approx(0.6)
    assert (floor.get_xdata()[0], ceiling.get_xdata()[0]) == (0.02, 0.985)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["slowvae (n\u00a0=\u00a03)"]


def curve_row(seed, steps, values):
    one = row(seed=seed)
    one["training"]["curve"] = {"step": steps, "loss": values}
    return one


def test_curves_are_averaged_over_the_steps_all_seeds_share(monkeypatch, tmp_path):
    rows = [curve_row(0, [10, 20, 30], [3.0, 2.0, 1.0]), curve_row(1, [10, 30], [5.0, 2.0])]
    with style.style():
        (figure,) = drawn(monkeypatch, rows, tmp_path)
    (line,) = figure.axes[0].lines
    np.testing.assert_allclose(line.get_xydata(), [[10, 4.0], [30, 1.5]])


def test_a_method_looks_the_same_in_every_figure(monkeypatch, tmp_path):
    rows = [row("avae", status="skipped", reason="needs sequences")]
    for method in ("betavae", "slowvae"):
        one = row(method, 0, {"mcc[spearman]": 0.5})
        one["training"]["curve"] = {"step": [1, 2], "nll": [2.0, 1.0]}
        rows.append(one)
    with style.style():
        scores, compared, *own = drawn(monkeypatch, rows, tmp_path)
    points, lines = scores.axes[0].lines[:2], compared.axes[0].lines
    alone = [figure.axes[0].lines[0] for figure in own]
    looks = [[(line.get_marker(), line.get_markerfacecolor()) for line in drawn] for drawn in (points, lines, alone)]
    assert looks[0] == looks[1] == looks[2]
    assert looks[0][0] != looks[0][1]


def correlation_rows():
    rows = seeds("slowvae", [0.9, 0.5, 0.7])
    for one in rows:
        matrix = [[0.1, 0.9, 0.2], [0.3, 0.4, 0.6]]
        one["details"]["mcc[spearman]"] = {"correlation": matrix, "assignment": [1, None], "factors": ["x", "y"]}
    return rows


def test_the_correlation_figure_shows_the_median_seed_and_frames_what_was_assigned(monkeypatch, tmp_path):
    with style.style():
        (_, figure) = drawn(monkeypatch, correlation_rows(), tmp_path)
    axes = figure.axes[0]
    assert "0.700 at seed 2, the median of n = 3" in figure.get_suptitle().replace("\n", " ")
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2", "0"]
    np.testing.assert_allclose(axes.images[0].get_array(), [[0.9, 0.2, 0.1], [0.4, 0.6, 0.3]])
    (frame,) = axes.patches
    assert (round(frame.get_x()), round(frame.get_y())) == (0, 0)


def test_rows_without_curves_or_matrices_make_no_such_figures(tmp_path):
    group = only_group([row(seed=s) for s in range(3)])
    assert figures.draw_curves(group, tmp_path / "curves") == []
    assert figures.draw_scores(group, tmp_path / "scores") == []
    assert figures.draw_correlation(group, group.cells[0], tmp_path / "correlation") == []
    assert not list(tmp_path.iterdir())


def test_groups_get_folders_of_their_own(tmp_path):
    rows = [*seeds("slowvae", [0.5]), *seeds("slowvae", [0.6], source="user", fingerprint="ab/../12")]
    paths = figures.draw_all(rows, tmp_path, formats=("png",))
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        "natural_sprites-generated-quick/scores.png",
        "natural_sprites-user-quick-ab-..-12/scores.png",
    ]
