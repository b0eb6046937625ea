"""LAP, UNI and the law of Locatello et al. against the numbers that follow exactly from their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from bench.datasets.transitions import laplace_ends, laplace_pmf, locatello_ends, uniform_ends

# name: sizes, categorical, then for r=1 and r=10: P(nothing moves before the redraw), E[number of changed factors], and
# E[number of changed factors] of UNI.
DATA_SETS = {
    "dsprites": ((3, 6, 40, 32, 32), (0,), (0.00155, 3.142), (0.703, 1.036), 2.5),
    "cars3d": ((4, 24, 183), (2,), (0.0917, 1.409), (0.920, 1.000), 1.5),
    "smallnorb": ((5, 10, 9, 18, 6), (0, 1), (0.0235, 2.138), (0.919, 1.002), 2.5),
    "shapes3d": ((10, 10, 10, 8, 4, 15), (4,), (0.00158, 3.617), (0.877, 1.006), 3.0),
    "mpi3d": ((6, 6, 2, 3, 3, 40, 40), (1,), (0.00263, 3.289), (0.767, 1.016), 3.5),
}


@pytest.mark.parametrize(
    ("size", "rate", "start", "expected"),
    [
        pytest.param(32, 1, 0, {0: 0.250667, 1: 0.187839}, id="from the border"),
        pytest.param(32, 1, 16, {15: 0.108438, 16: 0.144707, 17: 0.108438}, id="from the middle, symmetric"),
        pytest.param(32, 10, 16, {16: 0.894239, 17: 0.049928}, id="a high rate stays"),
        pytest.param(6, 1, 2, {2: 0.334779}, id="few values"),
        pytest.param(2, 1, 0, {0: 0.808872}, id="two values"),
    ],
)
def test_laplace_pmf_at_reference_values(size, rate, start, expected):
    pmf = laplace_pmf(size, start, rate)
    assert pmf.sum() == pytest.approx(1, abs=1e-12)
    for value, probability in expected.items():
        assert pmf[value] == pytest.approx(probability, abs=1e-6)


@pytest.mark.parametrize(("start", "expected"), [(0, 2.9866), (16, 3.2584)])
def test_mean_jump_of_the_laplace_law(start, expected):
    assert np.abs(np.arange(32) - start) @ laplace_pmf(32, start, 1) == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize("name", DATA_SETS)
@pytest.mark.parametrize("rate", [1, 10])
def test_lap_changes_as_many_factors_as_its_definition_implies(name, rate):
    sizes, categorical, *statistics, _ = DATA_SETS[name]
    p_still, n_changed = statistics[rate == 10]
    stays = [
        np.mean([laplace_pmf(size, start, rate)[start] for start in range(size)])
        for i, size in enumerate(sizes)
        if i not in categorical
    ]
    exact_still = np.prod(stays)
    exact_changed = sum(1 - stay for stay in stays) + exact_still
    assert exact_still == pytest.approx(p_still, rel=5e-3)
    assert exact_changed == pytest.approx(n_changed, abs=6e-4)

    rng = np.random.default_rng(0)
    start = rng.integers(sizes, size=(40_000, len(sizes)))
    frozen = [i in categorical for i in range(len(sizes))]
    changed = (laplace_ends(start, sizes, frozen, rate, rng) != start).sum(axis=1)
    assert changed.mean() == pytest.approx(exact_changed, abs=5 * changed.std() / 200 + 1e-9)
    assert changed.min() == 1


def test_lap_never_moves_categorical_factors():
    rng = np.random.default_rng(0)
    start = rng.integers([4, 9, 3], size=(2_000, 3))
    end = laplace_ends(start, (4, 9, 3), (True, False, True), 1.0, rng)
    np.testing.assert_array_equal(end[:, [0, 2]], start[:, [0, 2]])


@pytest.mark.parametrize("start", [0, 3])
def test_lap_of_one_factor_is_the_law_without_its_start(start):
    rng = np.random.default_rng(1)
    n, pmf = 100_000, laplace_pmf(6, start, 2.0)
    end = laplace_ends(np.full((n, 1), start), (6,), (False,), 2.0, rng)[:, 0]
    # Drawn once; where it stayed, drawn again among the others: the same law given that it moves.
    expected = np.where(np.arange(6) == start, 0, pmf) / (1 - pmf[start])
    np.testing.assert_allclose(np.bincount(end, minlength=6) / n, expected, atol=0.006)


def test_a_random_rate_mixes_the_laws_of_all_rates():
    rng = np.random.default_rng(2)
    n = 60_000
    start = np.full((n, 2), 16)
    end = laplace_ends(start, (32, 32), (False, False), -1, rng)
    stay = np.array([laplace_pmf(32, 16, r)[16] for r in np.linspace(1, 10, 2_001)])
    assert (end[:, 0] == 16).mean() == pytest.approx(np.mean(stay**2 / 2 + stay * (1 - stay)), abs=0.01)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_uni_changes_exactly_k_factors(k):
    rng = np.random.default_rng(0)
    start = rng.integers((3, 6, 40, 32, 32), size=(5_000, 5))
    end = uniform_ends(start, (3, 6, 40, 32, 32), k, rng)
    np.testing.assert_array_equal((end != start).sum(axis=1), k)
    assert (end >= 0).all()
    assert (end < (3, 6, 40, 32, 32)).all()


def test_uni_changes_half_of_the_factors_on_average_and_never_all():
    rng = np.random.default_rng(0)
    start = np.zeros((40_000, 5), np.int64)
    changed = (uniform_ends(start, (3, 6, 40, 32, 32), -1, rng) != start).sum(axis=1)
    np.testing.assert_allclose(np.bincount(changed, minlength=6) / 40_000, [0, 0.25, 0.25, 0.25, 0.25, 0], atol=0.01)


def test_uni_takes_every_other_value_equally_often():
    end = uniform_ends(np.full((30_000, 1), 1), (4,), 1, np.random.default_rng(0))
    np.testing.assert_allclose(np.bincount(end[:, 0], minlength=4) / 30_000, [1 / 3, 0, 1 / 3, 1 / 3], atol=0.012)


@pytest.mark.parametrize("name", DATA_SETS)
def test_uni_changes_half_of_the_factors_of_every_data_set(name):
    sizes, expected = DATA_SETS[name][0], DATA_SETS[name][-1]
    rng = np.random.default_rng(0)
    start = rng.integers(sizes, size=(20_000, len(sizes)))
    changed = (uniform_ends(start, sizes, -1, rng) != start).sum(axis=1)
    assert changed.mean() == pytest.approx(expected, abs=5 * changed.std() / np.sqrt(20_000))
    assert (changed.min(), changed.max()) == (1, len(sizes) - 1)


@pytest.mark.parametrize("name", DATA_SETS)
@pytest.mark.parametrize("k", [1, 2, -1])
def test_locatello_changes_as_many_factors_as_its_definition_implies(name, k):
    """E = E[redrawn] · mean of (1 - 1/size); 1 or k_max are redrawn, k_max being n/2 on average where it is drawn."""
    sizes = DATA_SETS[name][0]
    n_redrawn = (1 + (len(sizes) / 2 if k == -1 else k)) / 2
    expected = n_redrawn * np.mean(1 - 1 / np.array(sizes))
    rng = np.random.default_rng(0)
    start = rng.integers(sizes, size=(40_000, len(sizes)))
    end = locatello_ends(start, sizes, k, rng)
    changed = (end != start).sum(axis=1)
    assert changed.mean() == pytest.approx(expected, abs=5 * changed.std() / 200)
    assert changed.max() == (len(sizes) - 1 if k == -1 else k)
    assert (end >= 0).all()
    assert (end < sizes).all()


def test_locatello_leaves_a_pair_as_it_was_as_often_as_old_values_come_again():
    """k_max = 2, both factors of 4 values: one redrawn keeps its value with 1/4, two keep both with 1/16."""
    rng = np.random.default_rng(0)
    start = rng.integers(4, size=(40_000, 2))
    changed = (locatello_ends(start, (4, 4), 2, rng) != start).sum(axis=1)
    both = 9 / 16 / 2
    nothing = (1 / 4 + 1 / 16) / 2
    np.testing.assert_allclose(np.bincount(changed) / 40_000, [nothing, 1 - nothing - both, both], atol=0.012)


def test_locatello_redraws_every_factor_equally_often_and_to_every_value():
    rng = np.random.default_rng(0)
    sizes = (4, 4, 4)
    end = locatello_ends(np.ones((60_000, 3), np.int64), sizes, 1, rng)
    for column in end.T:  # redrawn in a third of the pairs
        expected = [1 / 12, 2 / 3 + 1 / 12, 1 / 12, 1 / 12]
        np.testing.assert_allclose(np.bincount(column, minlength=4) / 60_000, expected, atol=0.01)


@pytest.mark.parametrize(
    "law",
    [
        pytest.param(lambda start, rng: laplace_ends(start, (3, 6, 40), (True, False, False), 1.0, rng), id="lap"),
        pytest.param(lambda start, rng: laplace_ends(start, (3, 6, 40), (True, False, False), -1, rng), id="lap, r=-1"),
        pytest.param(lambda start, rng: uniform_ends(start, (3, 6, 40), -1, rng), id="uni"),
        pytest.param(lambda start, rng: locatello_ends(start, (3, 6, 40), -1, rng), id="locatello"),
    ],
)
def test_a_law_reads_its_generator_alone_and_leaves_the_start_as_it_is(law):
    start = np.random.default_rng(0).integers((3, 6, 40), size=(50, 3))
    kept = start.copy()
    np.testing.assert_array_equal(law(start, np.random.default_rng(1)), law(start, np.random.default_rng(1)))
    np.testing.assert_array_equal(start, kept)
    assert law(start, np.random.default_rng(1)).dtype == np.int64
    assert law(start[:0], np.random.default_rng(1)).shape == (0, 3)


def test_transitions_refuse_what_cannot_move():
    start, rng = np.zeros((3, 2), np.int64), np.random.default_rng(0)
    with pytest.raises(ValueError, match="all frozen"):
        laplace_ends(start, (3, 1), (True, False), 1.0, rng)
    with pytest.raises(ValueError, match="k must be -1 or 1 … 2, got 3"):
        uniform_ends(start, (3, 2), 3, rng)
    with pytest.raises(ValueError, match="k must be -1 or 1 … 2, got 0"):
        locatello_ends(start, (3, 2), 0, rng)
    with pytest.raises(ValueError, match="two values in every factor"):
        uniform_ends(start, (3, 1), 1, rng)
