"""Metrics where the answer can be worked out by hand."""

import warnings

import numpy as np
import pytest

from metrics.arrays import class_indices
from metrics.betavae_score import betavae_score
from metrics.dci import completeness, disentanglement
from metrics.explicitness import explicitness, mean_auc
from metrics.factorvae_score import factorvae_score
from metrics.logistic import LogisticClassifier
from metrics.mcc import average_ranks, mcc
from metrics.mig import mig
from metrics.modularity import modularity
from metrics.reconstruction import reconstruction
from metrics.sap import sap

GRID = np.stack(np.meshgrid(range(4), range(4), indexing="ij"), -1).reshape(-1, 2)  # all pairs, once


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        pytest.param(GRID, 1.0, id="each factor alone in one latent"),
        pytest.param(np.hstack([GRID, GRID]), 0.0, id="every factor coded twice"),
        pytest.param(GRID // 2, 0.5, id="one of two bits kept"),
        pytest.param(np.ones((16, 3)), 0.0, id="collapsed posterior"),
    ],
)
def test_mig_in_closed_form(codes, expected):
    assert mig(codes.astype(float), GRID)["mig"] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        pytest.param(GRID, 1.0, id="each latent knows one factor"),
        pytest.param(np.hstack([GRID, GRID]), 1.0, id="copies do not mix"),
        pytest.param(GRID[:, :1] * 4 + GRID[:, 1:], 0.0, id="one latent knows both equally"),
        pytest.param(np.hstack([GRID, np.ones((16, 2))]), 0.5, id="a constant latent counts 0"),
    ],
)
def test_modularity_in_closed_form(codes, expected):
    assert modularity(codes.astype(float), GRID)["modularity"] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("n_latents", "average", "expected"),
    [
        pytest.param(1, "factors", 0.5, id="a factor without a latent counts 0"),
        pytest.param(1, "matched", 1.0, id="or is left out"),
        pytest.param(1, "padded", 0.5, id="noise pads latents' places only"),
        pytest.param(2, "factors", 1.0, id="as many latents as factors"),
    ],
)
def test_mcc_with_fewer_latents_than_factors(n_latents, average, expected):
    found = mcc(-3.0 * GRID[:, :n_latents], GRID, average=average, rng=np.random.default_rng(0))
    assert found["mcc"] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("size", [3, 4, 6])
def test_ties_cap_spearman_at_the_square_root_of_one_less_one_over_size_squared(size):
    factors = np.repeat(np.arange(size), 600)[:, None]
    codes = np.arange(len(factors))[:, None] + 0.0
    found = mcc(codes, factors, correlation="spearman")["mcc"]
    assert found == pytest.approx(np.sqrt(1 - 1 / size**2), abs=1e-6)


def test_spearman_sees_a_monotone_warp_as_perfect_and_pearson_does_not():
    x = np.random.default_rng(0).normal(size=(500, 1))
    assert mcc(np.exp(2 * x), x, correlation="spearman")["mcc"] == pytest.approx(1.0, abs=1e-12)
    assert mcc(np.exp(2 * x), x, correlation="pearson")["mcc"] < 0.8


def test_a_constant_latent_correlates_with_nothing():
    codes = np.stack([np.full(16, 0.1, np.float32), GRID[:, 0].astype(np.float32)], axis=1)
    for correlation in ("spearman", "pearson"):
        assert mcc(codes, GRID[:, :1], correlation=correlation)["mcc"] == pytest.approx(1.0, abs=1e-12)
        assert mcc(codes[:, :1], GRID[:, :1], correlation=correlation)["mcc"] == 0.0


def test_average_ranks_share_ties():
    assert average_ranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [3.5, 1.0, 3.5, 2.0]


@pytest.mark.parametrize(
    ("importance", "expected_d", "expected_c"),
    [
        pytest.param(np.eye(3), 1.0, 1.0, id="one latent per factor"),
        pytest.param(np.ones((3, 3)), 0.0, 0.0, id="all serve all"),
        pytest.param(np.vstack([np.eye(2), np.eye(2)]), 1.0, 0.5, id="two copies: complete by half"),
        pytest.param(np.array([[1.0, 1.0], [0.0, 0.0]]), 0.0, 1.0, id="one latent for both factors"),
        pytest.param(np.zeros((2, 2)), 0.0, 0.0, id="nothing is used"),
    ],
)
def test_dci_aggregation_in_closed_form(importance, expected_d, expected_c):
    assert disentanglement(importance) == pytest.approx(expected_d, abs=1e-8)
    assert completeness(importance) == pytest.approx(expected_c, abs=1e-8)


def test_sap_r2_is_the_gap_of_squared_correlations():
    rng = np.random.default_rng(0)
    factor = rng.normal(size=(200, 1))
    codes = np.hstack([2 * factor, factor + rng.normal(size=(200, 1))])
    r = np.corrcoef(codes[:, 1], factor[:, 0])[0, 1]
    assert sap(codes, factor, predictor="r2")["sap"] == pytest.approx(1 - r**2, abs=1e-12)


def test_sap_r2_gives_a_constant_latent_nothing():
    codes = np.hstack([GRID[:, :1] * 1.0, np.full((16, 1), 0.3)])
    assert sap(codes, GRID[:, :1], predictor="r2")["sap"] == pytest.approx(1.0, abs=1e-12)


def test_auc_counts_pairs_and_halves_ties():
    scores = np.array([[0.1], [0.4], [0.4], [0.9]])
    # positives .4 and .9 against negatives .1 and .4: 1 + 1/2 + 1 + 1 of 4
    assert mean_auc(scores, np.array([1]), np.array([0, 0, 1, 1])) == pytest.approx(3.5 / 4)


@pytest.mark.parametrize("n_classes", [2, 5])
def test_logistic_regression_equals_scikit_learn(n_classes):
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    labels = rng.integers(n_classes, size=3000) * 2 + 1
    x = labels[:, None] * rng.normal(size=4) + rng.normal(size=(3000, 4))
    # rounding grows over the optimiser's iterations, so equal within its own stopping tolerance of 1e-4
    ours, reference = LogisticClassifier.fit(x, labels), LogisticRegression().fit(x, labels)
    np.testing.assert_allclose(ours.probabilities(x), reference.predict_proba(x), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(ours.predict(x), reference.predict(x))


def test_explicitness_of_a_separable_code_is_one_whatever_its_rotation():
    rng = np.random.default_rng(0)
    factors = rng.integers(2, size=(400, 3))
    codes = factors @ np.linalg.qr(rng.normal(size=(3, 3)))[0]
    found = explicitness(codes[:200], factors[:200], codes[200:], factors[200:])
    assert found == {"explicitness/train": 1.0, "explicitness/test": 1.0}


@pytest.mark.parametrize("metric", [betavae_score, factorvae_score])
def test_interventions_on_a_perfect_grid_name_every_factor(metric):
    codes = GRID[:, ::-1] * 1.0
    name = metric.__name__
    small = {"n_train_votes": 600, "n_test_votes": 300}
    sources = {
        "grid": {"grid_codes": codes, "factor_sizes": np.array([4, 4])},
        "sampler": {"sampler": lambda factors, rng: factors[:, ::-1] * 1.0, "factor_sizes": np.array([4, 4])},
        "rows": {"codes": codes[np.arange(800) % 16], "factors": GRID[np.arange(800) % 16]},
    }
    for source in sources.values():
        found = metric(rng=np.random.default_rng(0), **source, **small)
        assert found == {name: 1.0, f"{name}/train": 1.0}


def test_a_sampler_and_its_grid_give_one_score():
    codes = np.random.default_rng(0).normal(size=(60, 3))
    sizes = np.array([3, 4, 5])
    votes = {"n_train_votes": 400, "n_test_votes": 200}

    def sampler(factors, rng):
        return codes[np.ravel_multi_index(tuple(factors.T), (3, 4, 5))]

    for metric in (betavae_score, factorvae_score):
        grid = metric(rng=np.random.default_rng(1), grid_codes=codes, factor_sizes=sizes, **votes)
        assert metric(rng=np.random.default_rng(1), sampler=sampler, factor_sizes=sizes, **votes) == grid


def test_factorvae_score_of_a_collapsed_code_is_zero():
    codes = 0.01 * np.random.default_rng(0).normal(size=(16, 3))
    found = factorvae_score(rng=np.random.default_rng(0), grid_codes=codes, factor_sizes=np.array([4, 4]))
    assert found == {"factorvae_score": 0.0, "factorvae_score/train": 0.0}


def test_votes_on_rows_hold_what_they_say():
    from metrics.interventions import FromRows, from_grid

    rng = np.random.default_rng(0)
    labels = np.stack([rng.integers(size, size=300) for size in (3, 7)], axis=1)
    held = rng.integers(2, size=50)
    votes = np.arange(50)
    for source in (
        FromRows(labels.astype(float), labels, "test"),
        from_grid("test", np.stack(np.unravel_index(np.arange(21), (3, 7)), 1), np.array([3, 7])),
    ):
        group = source.groups(held, 8, rng)[votes, :, held]
        assert (group == group[:, :1]).all()
        first, second = (part[votes, :, held] for part in source.pairs(held, 8, rng))
        np.testing.assert_array_equal(first, second)
        assert len(np.unique(first[held == 1])) == 7


def test_reconstruction_is_the_mean_square():
    x = np.zeros((300, 1, 2, 2), np.float32)
    assert reconstruction(x, x + 0.5)["reconstruction"] == pytest.approx(0.25)
    assert reconstruction(x, x)["reconstruction"] == 0.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        pytest.param(lambda: mig(np.ones((5, 2)), GRID), r"codes \(5, 2\) and factors \(16, 2\)", id="rows differ"),
        pytest.param(lambda: mig(GRID[:, :1] * 1.0, GRID), "at least 2 latents", id="a gap needs two latents"),
        pytest.param(lambda: mig(GRID * 1.0, GRID * 0), "factor 0 is constant", id="constant factor"),
        pytest.param(lambda: mig(GRID * 1.0, GRID * 0.5), "discrete factors", id="continuous factors"),
        pytest.param(lambda: mcc(np.eye(16), GRID, average="padded"), "needs rng", id="padding draws"),
        pytest.param(lambda: mcc(GRID * 1.0, GRID, correlation="kendall"), "'kendall'", id="unknown correlation"),
        pytest.param(lambda: modularity(GRID * 1.0, GRID[:, :1]), "at least two", id="one factor cannot be mixed"),
        pytest.param(lambda: sap(GRID * 1.0, GRID), "codes_test", id="linearsvc is judged on other rows"),
        pytest.param(
            lambda: betavae_score(rng=np.random.default_rng(0), codes=GRID * 1.0), "give grid_codes", id="no source"
        ),
        pytest.param(
            lambda: betavae_score(rng=np.random.default_rng(0), grid_codes=GRID, factor_sizes=np.array([4, 5])),
            "one row of grid_codes per cell",
            id="grid of another size",
        ),
        pytest.param(
            lambda: factorvae_score(
                rng=np.random.default_rng(0), codes=np.eye(4), factors=np.stack([np.arange(4), [0, 0, 1, 1]], 1)
            ),
            "no two rows share a value of factor 0",
            id="every row another value",
        ),
        pytest.param(
            lambda: reconstruction(np.zeros((2, 3)), np.zeros((2, 4))), r"\(2, 3\).*\(2, 4\)", id="shapes differ"
        ),
    ],
)
def test_wrong_input_is_told_in_one_line(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_class_indices_follow_the_order_of_the_values():
    labels, sizes = class_indices("test", np.array([[10], [-3], [10], [7]]))
    assert labels.ravel().tolist() == [2, 0, 2, 1]
    assert sizes.tolist() == [3]


@pytest.mark.parametrize("scale", [1e-250, 1e-3, 1e250])
def test_mcc_does_not_depend_on_the_scale_of_codes(scale):
    codes = np.random.default_rng(0).normal(size=(50, 3))
    factors = codes @ np.array([[1.0, 0.2, 0.0], [0.1, 1.0, 0.3], [0.0, 0.5, 1.0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert mcc(scale * codes, factors, correlation="pearson")["mcc"] == pytest.approx(
            mcc(codes, factors, correlation="pearson")["mcc"], rel=1e-12
        )
