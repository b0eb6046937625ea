"""Learning curves: which lines and terms share a figure, and how terms are called."""

import itertools

import numpy as np
import pytest
from synthetic_rows import row
from test_figures import drawn, visible_texts

from bench.report import style
from bench.report.terms import in_term_order, term_title

STEPS = [1, 2, 3]


def curve_row(method, seed=0, beta=1.0, **terms):
    """A row whose terms are constant over its steps."""
    one = row(method, seed, method_params={"beta": beta, "n_steps": 3})
    one["training"]["curve"] = {"step": STEPS, **{name: [float(value)] * 3 for name, value in terms.items()}}
    return one


def figures_of(monkeypatch, rows, tmp_path):
    """File stem → title of each panel → label of each line → its height."""
    with style.style():
        found = drawn(monkeypatch, rows, tmp_path)
    return [
        {
            axes.get_title(loc="left").replace("\n", " "): [line.get_ydata()[0] for line in axes.lines]
            for axes in figure.axes
        }
        for figure in found
    ], [[text.get_text() for text in figure.legends[0].get_texts()] for figure in found]


def test_methods_are_compared_in_the_terms_they_share_and_each_has_all_of_its_own(monkeypatch, tmp_path):
    rows = [
        curve_row("betavae", loss=9, nll=7, kl=2),
        curve_row("factorvae", **{"model/loss": 6, "model/nll": 5, "model/total_correlation": 1}),
        curve_row("pcl", loss=3, accuracy=0.5),
    ]
    panels, labels = figures_of(monkeypatch, rows, tmp_path)
    assert panels == [
        {"nll (nats)": [7, 5]},
        {"loss (as minimised)": [9], "nll (nats)": [7], "kl (nats)": [2]},
        {"loss (as minimised)": [6], "nll (nats)": [5], "total correlation (nats)": [1]},
        {"loss (as minimised)": [3], "accuracy (share of answers)": [0.5]},
    ]
    assert labels == [
        ["betavae (n = 1)", "factorvae (n = 1)"], ["betavae (n = 1)"], ["factorvae (n = 1)"], ["pcl (n = 1)"]
    ]  # fmt: skip


def test_many_settings_are_one_line_per_method_in_comparison_and_a_line_each_in_their_own(monkeypatch, tmp_path):
    betas = (1, 2, 4, 6, 8, 16)
    rows = [curve_row("betavae", seed, beta, nll=10 * beta + seed) for beta in betas for seed in range(2)]
    rows += [curve_row("vae", 0, beta, nll=5) for beta in betas]
    panels, labels = figures_of(monkeypatch, rows, tmp_path)
    assert panels[0] == {"nll (nats)": [pytest.approx(10 * np.mean(betas) + 0.5), 5]}
    assert labels[0] == ["betavae, 6 settings (n = 12)", "vae, 6 settings (n = 6)"]
    assert panels[1] == {"nll (nats)": [10 * beta + 0.5 for beta in betas]}
    assert labels[1][-1] == "betavae[beta=16] (n = 2)"


def test_a_label_of_many_parameters_stays_on_the_page(monkeypatch, tmp_path):
    rows = [curve_row("cdsvae", 0, beta, nll=beta) for beta in (1, 2)]
    for one in rows:
        params = one["spec"]["method_params"]
        params |= {f"a_long_parameter_{i}": params["beta"] for i in range(4)}
    with style.style():
        *_, figure = drawn(monkeypatch, rows, tmp_path)
        figure.draw_without_rendering()
        box, page = figure.legends[0].get_window_extent(), figure.bbox
    assert page.x0 <= box.x0 < box.x1 <= page.x1


def test_lines_that_do_not_fit_go_to_a_second_figure_with_the_same_heights(monkeypatch, tmp_path):
    rows = [curve_row("betavae", 0, beta, nll=beta) for beta in range(11)]
    with style.style():
        first, second = drawn(monkeypatch, rows, tmp_path)
    assert [len(figure.axes[0].lines) for figure in (first, second)] == [8, 3]
    assert first.axes[0].get_ylim() == second.axes[0].get_ylim()


def test_long_names_of_terms_keep_clear_of_each_other(monkeypatch, tmp_path):
    names = ("off_diagonal", "laplace_cross_entropy", "mutual_information", "hessian", "discriminator/information",
             "discriminator/loss", "generator/information", "accuracy", "dimension_kl")  # fmt: skip
    with style.style():
        found = drawn(monkeypatch, [curve_row("a_method", **dict.fromkeys(names, 1.0))], tmp_path)
        assert [len(figure.axes) for figure in found] == [8, 1]
        for figure in found:
            boxes = [t.get_window_extent() for t in visible_texts(figure)]
            assert max(box.x1 for box in boxes) <= figure.bbox.x1 + 0.5
            for a, b in itertools.combinations(boxes, 2):
                overlap = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
                assert min(overlap) <= 1.0


def test_terms_stand_by_player_then_loss_nll_kl_then_by_name():
    terms = ["model/sparsity", "discriminator/loss", "model/kl", "model/loss", "model/active", "model/nll"]
    assert [term_title(term) for term in in_term_order(terms)] == [
        "loss (as minimised)", "nll (nats)", "kl (nats)", "active (share of latents)", "sparsity (nats)",
        "discriminator: loss (as minimised)",
    ]  # fmt: skip
    assert term_title("something_new") == "something new"


def test_information_is_drawn_of_the_methods_that_log_it(tmp_path):
    from bench.cli.results import defaults_of
    from bench.report.curves import draw_information
    from bench.report.frame import groups

    terms = {"mi_static": 2, "mi_dynamic": 3, "mi_static_dynamic": 0.5}
    logs = [curve_row("betavae", nll=7, **terms), curve_row("factorvae", **{f"model/{k}": v for k, v in terms.items()})]
    (group,) = groups([*logs, curve_row("pcl", loss=3)], defaults_of)
    made = draw_information(group, tmp_path / "information")
    assert [path.name for path in made] == ["information.pdf", "information.svg", "information.png"]
    (other,) = groups([curve_row("pcl", loss=3)], defaults_of)
    assert draw_information(other, tmp_path / "none") == []
