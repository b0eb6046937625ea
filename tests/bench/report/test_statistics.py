import json
from pathlib import Path

import numpy as np
import pytest
from scipy import special, stats

from bench.report import statistics as st

GOLDEN = Path(__file__).parents[2] / "golden" / "stats"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text())
NAMES = ("alpha", "beta", "gamma", "delta")


def golden_scores():
    """Per method (tasks, runs)."""
    with np.load(GOLDEN / "stats_scores.npz") as arrays:
        return {name: arrays[name].T for name in NAMES}


AGGREGATES = {
    "iqm": st.iqm,
    "mean": st.mean_over_tasks,
    "median": st.median_over_tasks,
    "optimality_gap": st.optimality_gap,
    "performance_profile": lambda tasks: st.performance_profile(tasks, np.linspace(0, 1, 11)),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("aggregate", AGGREGATES)
def test_aggregates_equal_the_reference(aggregate, name):
    # rliable's thresholds are np.linspace(0, 1, 11), printed in the golden file with their rounding
    record = EXPECTED[f"{aggregate}({name})"]
    # values are stored with ten digits, so the reference's 1e-12 cannot be asked of them
    np.testing.assert_allclose(AGGREGATES[aggregate](golden_scores()[name]), record["value"], rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("aggregate", ["iqm", "mean", "median", "optimality_gap"])
def test_stratified_bootstrap_agrees_with_the_reference(aggregate, name):
    record = EXPECTED[f"{aggregate}_ci95({name})"]
    interval = st.bootstrap_interval(
        AGGREGATES[aggregate], golden_scores()[name], rng=np.random.default_rng(0), is_expanded=False
    )
    np.testing.assert_allclose(interval, record["value"], rtol=0, atol=record["tol"])


@pytest.mark.parametrize("pair", [(a, b) for a in NAMES for b in NAMES if a != b], ids=">".join)
def test_probability_of_improvement_equals_the_reference(pair):
    scores = golden_scores()
    ours = st.probability_of_improvement(scores[pair[0]], scores[pair[1]])
    assert ours == pytest.approx(EXPECTED[f"probability_of_improvement({'>'.join(pair)})"]["value"], abs=1e-10)


def test_rank_tests_equal_the_reference():
    scores = golden_scores()
    means = np.stack([scores[name].mean(1) for name in NAMES], axis=1)
    test = st.friedman(means)
    np.testing.assert_allclose([test.statistic, test.p], EXPECTED["friedman[statistic,p]"]["value"], atol=1e-8)
    np.testing.assert_allclose(st.average_ranks(means), EXPECTED["average_ranks"]["value"], atol=1e-9)
    np.testing.assert_allclose(st.nemenyi_p(means), EXPECTED["nemenyi_p"]["value"], atol=1e-3)
    difference = st.nemenyi_critical_difference(n_methods=4, n_tasks=6)
    assert difference == pytest.approx(EXPECTED["nemenyi_critical_difference[alpha=0.05]"]["value"], abs=1e-4)


def test_friedman_with_ties_equals_scipy():
    scores = np.random.default_rng(1).integers(4, size=(8, 5)).astype(float)
    expected = stats.friedmanchisquare(*scores.T)
    ours = st.friedman(scores)
    np.testing.assert_allclose([ours.statistic, ours.p], [expected.statistic, expected.pvalue], rtol=1e-12)


def test_iman_davenport_in_closed_form():
    # every data set agrees but one of three that swaps two methods: χ² = 12·3/12 · (Σ R² − 12) = 14/3, F = 2χ²/(6 − χ²)
    scores = np.array([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0], [2.0, 3.0, 1.0]])
    test = st.friedman(scores)
    assert (test.statistic, test.f_statistic) == pytest.approx((14 / 3, 7.0))


def test_friedman_of_methods_that_always_tie_finds_nothing():
    assert st.friedman(np.ones((4, 3))).p == 1.0


def test_friedman_of_unanimous_data_sets_is_certain():
    assert st.friedman(np.tile([3.0, 2.0, 1.0], (5, 1))).f_p == 0.0


def test_ranks_follow_the_direction():
    scores = np.array([[0.1, 0.2, 0.2], [0.5, 0.6, 0.7]])
    assert st.average_ranks(scores).tolist() == [3.0, 1.75, 1.25]
    assert st.average_ranks(scores, higher_is_better=False).tolist() == [1.0, 2.25, 2.75]


def test_mean_interval_in_closed_form():
    # 1, 2, 3: std 1, t(0.975; 2) = 4.302653
    estimate = st.mean_interval([1.0, 2.0, 3.0])
    assert (estimate.n, estimate.mean, estimate.std) == (3, 2.0, 1.0)
    assert estimate.half_width == pytest.approx(4.302652729911275 / 3**0.5)


@pytest.mark.parametrize("scores", [[0.5], [0.4, 0.6]], ids=["one seed", "two seeds"])
def test_fewer_than_three_seeds_have_no_interval(scores):
    estimate = st.mean_interval(scores)
    assert (estimate.low, estimate.high, estimate.half_width) == (None, None, None)
    assert estimate.mean == pytest.approx(0.5)


@pytest.mark.parametrize("scores", [[], [0.5, float("nan")]], ids=["empty", "not a number"])
def test_a_mean_of_nothing_or_of_nan_is_refused(scores):
    with pytest.raises(ValueError, match="at least one score, all finite"):
        st.mean_interval(scores)


@pytest.mark.parametrize("n", [3, 5, 10])
def test_t_interval_covers_what_it_claims(n):
    # 4,000 trials: the standard error of a coverage of 95 % is 0.35 %
    rng = np.random.default_rng(n)
    trials = rng.normal(0.5, 0.1, size=(4_000, n))
    estimates = [st.mean_interval(trial) for trial in trials]
    covered = np.mean([e.low <= 0.5 <= e.high for e in estimates])
    assert 0.93 <= covered <= 0.97


def test_paired_difference_uses_the_seeds_both_have():
    estimate = st.paired_difference({0: 0.5, 1: 0.7, 2: 0.9, 5: 9.0}, {2: 0.6, 1: 0.5, 0: 0.4, 7: 0.0})
    assert estimate.n == 3
    assert estimate.mean == pytest.approx(0.2)
    assert estimate.std == pytest.approx(0.1)


def test_paired_difference_without_a_common_seed_is_refused():
    with pytest.raises(ValueError, match=r"no seed in common between \[0\] and \[1\]"):
        st.paired_difference({0: 1.0}, {1: 1.0})


def test_iqm_cuts_a_quarter_rounded_down_at_each_end():
    assert st.iqm([np.array([0.0, 1.0, 2.0]), np.array([3.0, 100.0])]) == pytest.approx(2.0)
    assert st.iqm([np.array([0.0, 1.0, 5.0])]) == pytest.approx(2.0)


def test_aggregates_take_data_sets_with_different_numbers_of_runs():
    tasks = [np.array([0.0, 1.0]), np.array([1.0, 1.0, 1.0, 2.0])]
    assert st.mean_over_tasks(tasks) == pytest.approx((0.5 + 1.25) / 2)
    assert st.optimality_gap(tasks) == pytest.approx(0.25)


def test_equal_methods_improve_on_each_other_half_of_the_time():
    tasks = [np.array([0.1, 0.5, 0.5])]
    assert st.probability_of_improvement(tasks, tasks) == 0.5


def coverage(statistic, n_tasks, n_runs, *, is_expanded=True, n_trials=1_500):
    """How often the interval of 30 pooled runs holds the value of the law that they are drawn from."""
    rng = np.random.default_rng(30)
    levels = np.linspace(0.2, 0.8, n_tasks)[:, None]  # data sets differ in how hard they are
    points = special.ndtri((np.arange(20_001) + 0.5) / 20_001)  # quantiles of the normal law: its "runs" without chance
    truth = statistic([*(levels + 0.05 * points)])
    covered = 0
    for trial in levels + 0.05 * rng.standard_normal((n_trials, n_tasks, n_runs)):
        low, high = st.bootstrap_interval(statistic, [*trial], rng=rng, n_resamples=1_000, is_expanded=is_expanded)
        covered += low <= truth <= high
    return covered / n_trials


@pytest.mark.parametrize(
    ("statistic", "n_tasks", "n_runs"),
    [(st.iqm, 10, 3), (st.iqm, 6, 5), (st.iqm, 3, 10), (st.iqm, 1, 30), (st.mean_over_tasks, 10, 3)],
)
def test_bootstrap_of_thirty_pooled_runs_covers_what_it_claims(statistic, n_tasks, n_runs):
    # 1,500 trials: the standard error of a coverage of 95 % is 0.56 %
    assert 0.93 <= coverage(statistic, n_tasks, n_runs) <= 0.97


def test_plain_percentiles_cover_too_little_where_each_data_set_has_three_runs():
    assert coverage(st.iqm, 10, 3, is_expanded=False, n_trials=500) < 0.92


@pytest.mark.parametrize("n_tasks", [4, 10])
def test_bootstrap_of_a_probability_of_improvement_covers_what_it_claims(n_tasks):
    # runs one standard deviation apart: Φ(1/√2) = 0.76; 400 trials: the standard error of a coverage of 95 % is 1.1 %
    rng = np.random.default_rng(4)
    covered = 0
    for _ in range(400):
        first, second = rng.standard_normal((2, n_tasks, 3)) + np.array([1.0, 0.0])[:, None, None]
        low, high = st.bootstrap_interval(
            st.probability_of_improvement, [*first], [*second], rng=rng, n_resamples=1_000
        )
        covered += low <= special.ndtr(0.5**0.5) <= high
    assert 0.93 <= covered / 400 <= 0.99


def test_expanded_tails_are_hesterbergs_for_one_data_set_and_the_plain_ones_in_the_limit():
    # α' = Φ(-√(n / (n - 1)) t), n = 3: t = 4.302653
    assert st._expanded([3], 0.025) == pytest.approx(special.ndtr(-(1.5**0.5) * 4.302653), rel=1e-5)
    assert st._expanded([100_000], 0.025) == pytest.approx(0.025, rel=1e-3)
    assert st._expanded([1, 1], 0.025) == 0.025


def test_bootstrap_resamples_within_each_data_set():
    # every data set has one value, however often it is drawn
    tasks = [np.full(3, 0.2), np.full(5, 0.8)]
    interval = st.bootstrap_interval(st.mean_over_tasks, tasks, rng=np.random.default_rng(0), n_resamples=50)
    np.testing.assert_allclose(interval, [0.5, 0.5])


def test_bootstrap_of_two_methods_brackets_their_probability():
    scores = golden_scores()
    low, high = st.bootstrap_interval(
        st.probability_of_improvement, scores["delta"], scores["alpha"], rng=np.random.default_rng(0)
    )
    assert low < 0.865 < high
    assert 0.05 < high - low < 0.35


def test_bootstrap_repeats_with_its_generator():
    tasks = golden_scores()["alpha"]
    first, second = (
        st.bootstrap_interval(st.iqm, tasks, rng=np.random.default_rng(4), n_resamples=1_500) for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)


def test_overlap_is_assumed_where_an_interval_is_missing():
    wide, apart = st.mean_interval([0.0, 0.1, 0.2]), st.mean_interval([5.0, 5.1, 5.2])
    assert not st.overlap(wide, apart)
    assert st.overlap(wide, wide)
    assert st.overlap(apart, st.mean_interval([0.0]))
