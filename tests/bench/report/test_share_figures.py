"""Error against the share of labels: which cells make the curve."""

import pytest
from synthetic_rows import row

from bench.report.frame import groups
from bench.report.share_figures import KEY, draw_shares, shares_of, unlabelled

PARAMS = {"n_steps": 1200, "width": 64}


def labelled(share, values, method="ffrl", **params):
    of = {**PARAMS, "labelled": share, **params}
    return [row(method, seed, {KEY: value}, method_params=of) for seed, value in enumerate(values)]


ROWS = [
    *labelled(1.0, [0.4, 0.42, 0.41]),
    *labelled(0.1, [0.6, 0.62, 0.61]),
    *labelled(0.01, [0.9, 0.8, 0.85]),
    *labelled(0.0, [0.99]),
    *labelled(1.0, [0.5], pde="none"),
    *[row("ffrl_weak", 0, {KEY: 0.7}, method_params=PARAMS)],
]


def test_a_curve_is_of_cells_that_differ_in_their_share_alone_and_have_one():
    (group,) = groups(ROWS)
    ((name, cells),) = shares_of(group).items()
    assert name == "ffrl"
    assert [share for share, _ in cells] == [0.01, 0.1, 1.0]
    assert [cell.score(KEY).estimate.mean for _, cell in cells] == pytest.approx([0.85, 0.61, 0.41])


def test_what_was_told_nothing_is_share_0_or_else_the_weak_form():
    (group,) = groups(ROWS)
    assert [cell.method for cell in unlabelled(group)] == ["ffrl"]
    (group,) = groups([one for one in ROWS if one["spec"]["method_params"].get("labelled") != 0.0])
    assert [cell.method for cell in unlabelled(group)] == ["ffrl_weak"]


def test_the_curve_is_drawn_in_three_formats_alike(tmp_path):
    (group,) = groups(ROWS)
    one, other = (draw_shares(group, tmp_path / name) for name in "ab")
    assert [path.suffix for path in one] == [".pdf", ".svg", ".png"]
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in other]


def test_one_share_is_no_curve(tmp_path):
    (group,) = groups(labelled(1.0, [0.4, 0.42]))
    assert draw_shares(group, tmp_path / "shares") == []
