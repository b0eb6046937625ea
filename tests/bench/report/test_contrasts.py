import numpy as np
import pytest
from synthetic_rows import row, seeds

from bench.report.contrasts import Side, contrast
from bench.report.frame import groups
from bench.report.statistics import mean_interval

KEY = "mcc[spearman]"


def side(*methods):
    """What was asked for, with the parameters that the synthetic rows of each method have."""
    return Side(",".join(methods), tuple((name, row(name, 0)["spec"]["method_params"]) for name in methods))


def compare(first, second, *rows, higher_is_better=True, key=KEY):
    (group,) = groups([r for each in rows for r in each])
    return contrast(group, side(*first), side(*second), key, higher_is_better)


def test_the_difference_is_paired_by_seed():
    a, b = [0.5, 0.7, 0.9], [0.4, 0.61, 0.79]
    found = compare(["slowvae"], ["betavae"], seeds("slowvae", a), seeds("betavae", b))
    assert found.difference == mean_interval(np.subtract(a, b))
    assert (found.first, found.second) == (pytest.approx(0.7), pytest.approx(0.6))
    assert found.verdict == "better"  # though the two intervals by themselves overlap widely


def test_a_side_of_several_methods_is_their_mean_at_each_seed():
    a, b, c = [0.5, 0.6, 0.7], [0.3, 0.2, 0.4], [0.2, 0.3, 0.4]
    found = compare(["slowvae", "vae"], ["betavae"], seeds("slowvae", a), seeds("vae", b), seeds("betavae", c))
    assert found.difference == mean_interval(np.add(a, b) / 2 - np.array(c))


@pytest.mark.parametrize(
    ("first", "higher_is_better", "verdict"),
    [
        pytest.param([0.8, 0.81, 0.82], True, "better", id="higher"),
        pytest.param([0.8, 0.81, 0.82], False, "worse", id="higher where lower is better"),
        pytest.param([0.2, 0.21, 0.22], False, "better", id="lower where lower is better"),
        pytest.param([0.2, 0.9, 0.5], True, "undecided", id="the interval holds 0"),
        pytest.param([0.8, 0.81], True, "undecided", id="two seeds give no interval"),
    ],
)
def test_verdicts(first, higher_is_better, verdict):
    found = compare(
        ["slowvae"], ["betavae"], seeds("slowvae", first), seeds("betavae", [0.5, 0.5, 0.5]),
        higher_is_better=higher_is_better,
    )  # fmt: skip
    assert found.verdict == verdict


def test_only_seeds_that_every_method_finished_count():
    rows = seeds("slowvae", [0.5, 0.6, 0.7]), seeds("betavae", [0.1, 0.2])
    assert compare(["slowvae"], ["betavae"], *rows).difference.n == 2


def test_what_was_not_run_is_named_and_nothing_is_made_up():
    rows = seeds("slowvae", [0.5, 0.6, 0.7]), seeds("betavae", [0.1, 0.2, 0.3])
    assert compare(["slowvae", "vae"], ["betavae"], *rows).absent == ("vae",)
    assert compare(["vae"], ["betavae"], *rows) is None


def test_other_parameters_are_another_method():
    other = Side("slowvae", (("slowvae", {"beta": 99.0}),))
    (group,) = groups([*seeds("slowvae", [0.5]), *seeds("betavae", [0.1])])
    assert contrast(group, other, side("betavae"), KEY, True) is None
