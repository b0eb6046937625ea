"""Probes of codes: DCI's learners, DCI-ES, downstream tasks, and the forests and regressions they are made of."""

import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import KFold
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from metrics import dci_es, downstream
from metrics.dci import completeness, dci
from metrics.dci_es import explicitness
from metrics.forests import Forest
from metrics.logistic import LogisticClassifier
from metrics.scoring import applicable, score

RNG = np.random.default_rng(0)
FACTORS = np.stack([RNG.integers(size, size=700) for size in (3, 4)], axis=1)
PERFECT = np.hstack([FACTORS, 0 * FACTORS]) + 0.01 * RNG.normal(size=(700, 4))
NOISE = RNG.normal(size=(700, 4))
TRAIN, TEST = slice(400), slice(400, None)


def split(codes, factors=FACTORS):
    return codes[TRAIN], factors[TRAIN], codes[TEST], factors[TEST]


def rng():
    return np.random.default_rng(1)


def test_lasso_importances_of_independent_latents_are_their_shrunk_correlations():
    # four columns without any correlation: a coefficient is the correlation less alpha
    white = np.linalg.qr(np.hstack([np.ones((400, 1)), RNG.normal(size=(400, 4))]))[0][:, 1:] * 20
    factors = np.column_stack([white[:, 0], 0.6 * white[:, 1] + 0.8 * white[:, 2]])
    found = dci(white * [1, 5, 0.2, 1], factors, white * [1, 5, 0.2, 1], factors, learner="lasso", rng=rng())
    importance = np.array([[0.98, 0], [0, 0.58], [0, 0.78], [0, 0]])
    shares = np.array([0.58, 0.78]) / 1.36
    assert found["dci/disentanglement"] == pytest.approx(1.0, abs=1e-6)
    # a plain mean over factors, whatever their importances add to
    assert found["dci/completeness"] == pytest.approx((2 + (shares * np.log(shares)).sum() / np.log(4)) / 2, abs=1e-6)
    assert found["dci/completeness"] != pytest.approx(completeness(importance), abs=1e-3)
    assert found["dci/nrmse"] == pytest.approx((0.02 + 0.02 * np.sqrt(2)) / 2, abs=1e-6)


def test_a_forest_tells_a_perfect_code_from_a_mixture():
    mixed = PERFECT.copy()
    mixed[:, :2] = PERFECT[:, :2] @ [[1, 1], [1, -1]]
    perfect, mixture = (dci(*split(codes), learner="forest", rng=rng()) for codes in (PERFECT, mixed))
    assert perfect["dci/disentanglement"] > 0.99
    assert perfect["dci/completeness"] > 0.99
    assert perfect["dci/informativeness_test"] > 0.99
    assert mixture["dci/disentanglement"] < 0.6
    assert mixture["dci/informativeness_test"] > 0.9


def test_histogram_importances_are_the_accuracy_that_a_permutation_loses():
    scores = score(
        dict(zip(("codes", "factors", "codes_test", "factors_test"), split(PERFECT), strict=True)), ["dci[hist]"]
    )
    importance = np.array(scores.details["dci[hist]"]["importance"])
    # a permuted latent is right by chance
    np.testing.assert_allclose(importance[[0, 1], [0, 1]], [1 - 1 / 3, 1 - 1 / 4], atol=0.05)
    assert importance.sum() == pytest.approx(importance[0, 0] + importance[1, 1], abs=0.01)
    assert scores.values["dci[hist]/informativeness_test"]["value"] > 0.99


def test_continuous_factors_apply_to_the_learners_that_take_numbers():
    available = {"codes", "factors", "codes_test", "factors_test"}
    ids, refused = applicable(available, False, ["dci[gbt]", "dci[lasso]", "dci[forest]", "dci[hist]", "dci_es"])
    assert ids == ["dci[lasso]", "dci[forest]", "dci_es[forest]"]
    assert set(refused) == {"dci[gbt]", "dci[hist]"}


@pytest.mark.parametrize("learner", ["lasso", "forest", "hist"])
def test_a_constant_factor_is_refused_by_every_learner(learner):
    constant = FACTORS * [1, 0]
    with pytest.raises(ValueError, match=r"^dci: factor 1 is constant"):
        dci(*split(PERFECT, constant), learner=learner, rng=rng())


@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_a_forest_cut_at_a_depth_is_one_grown_to_it(kind, monkeypatch):
    """One tree without chance: no bootstrap, every latent offered."""
    import sklearn.ensemble as ensemble

    for name in ("RandomForestClassifier", "RandomForestRegressor"):
        whole = getattr(ensemble, name)
        monkeypatch.setattr(ensemble, name, lambda n, whole=whole, **keywords: whole(n, bootstrap=False, **keywords))
    codes = RNG.uniform(size=(700, 3))
    number = codes @ [3, 2, 1]  # no row stands out in two latents, which would make splits tie
    target = np.digitize(number, [2, 4]) if kind == "classes" else number
    depths = (1, 2, 3, 4)
    forest = Forest(codes[TRAIN], target[TRAIN], depth=9, n_trees=1, max_features=1.0, rng=rng())
    for depth, found in zip(depths, forest.predictions(codes[TEST], depths), strict=True):
        single = DecisionTreeClassifier if kind == "classes" else DecisionTreeRegressor
        tree = single(max_depth=depth, random_state=0).fit(codes[TRAIN].astype(np.float32), target[TRAIN])
        np.testing.assert_allclose(found, tree.predict(codes[TEST].astype(np.float32)))
        np.testing.assert_allclose(forest.importances(depth), tree.feature_importances_, atol=1e-12)


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        pytest.param([0.2, 0.2, 0.2], 1.0, id="all at the least capacity"),
        pytest.param([1.0, 0.75, 0.0], 0.0, id="a straight fall"),
        pytest.param([1.0, 0.0, 0.0], 0.75, id="all at the second capacity"),
        pytest.param([1.0, 0.0, 0.5], 0.75, id="what was reached once stays reached"),
        pytest.param([1.0, 1.0, 0.0], -0.25 + 0.5 - 0.5, id="late"),
    ],
)
def test_explicitness_of_hand_made_curves(losses, expected):
    # capacities 1, 2, 5: areas of a fall are 0.5 and 1.5 of 4
    assert explicitness(np.array([1, 2, 5]), np.array(losses), 1.0) == pytest.approx(expected)


def test_explicitness_divides_by_the_loss_of_knowing_nothing():
    assert explicitness(np.array([1, 3]), np.array([0.75, 0.0]), 0.75) == pytest.approx(0.0)


def test_dci_es_of_classes_and_numbers(monkeypatch):
    monkeypatch.setattr(dci_es, "N_TREES", 20)
    perfect, noise = (dci_es.dci_es(*split(codes), rng=rng()) for codes in (PERFECT, NOISE))
    assert perfect["dci_es/informativeness"] > 0.97
    assert perfect["dci_es/disentanglement"] > 0.6 > 0.2 > noise["dci_es/disentanglement"]
    assert perfect["dci_es/size"] == 0.5
    assert noise["dci_es/informativeness"] < 0.4
    assert noise["dci_es/explicitness"] > 0.9  # flat: useless at every capacity
    numbers, details = dci_es.dci_es_with_details(*split(PERFECT, PERFECT[:, :2]), rng=rng())
    assert numbers["dci_es/informativeness"] > 0.99
    losses = np.array(details["losses"])
    assert losses.shape == (2, 12)
    assert losses[:, 0].min() > 0.1 > losses[:, -1].max()  # one split of two values explains a part


def reference(codes, labels):
    """scikit-learn's cross-validated regression, as disentanglement_lib calls it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return LogisticRegressionCV(Cs=10, cv=KFold(5), scoring="accuracy").fit(codes, labels)


def test_the_penalty_is_the_one_that_scikit_learn_chooses():
    codes = FACTORS @ RNG.normal(size=(2, 3)) + 0.6 * RNG.normal(size=(700, 3))
    for labels in FACTORS.T:
        theirs = reference(codes[TRAIN], labels[TRAIN])
        c = downstream.best_penalty(codes[TRAIN], labels[TRAIN])
        assert c == pytest.approx(np.ravel(theirs.C_)[0])
        ours = LogisticClassifier.fit(codes[TRAIN], labels[TRAIN], c=c).predict(codes[TEST])
        assert (ours == theirs.predict(codes[TEST])).mean() > 0.995


@pytest.mark.parametrize("probe", ["lr", "gbt"])
def test_downstream_accuracy_grows_with_rows_and_is_perfect_for_a_perfect_code(probe):
    scores, details = downstream.downstream_with_details(*split(PERFECT), probe=probe, rng=rng())
    assert details["sizes"] == [10, 100]
    assert scores["downstream/10"] < scores["downstream/100"]
    assert scores["downstream/100"] > 0.99
    assert np.mean(details["accuracy"][0]) == pytest.approx(scores["downstream/10"])


def test_efficiency_is_a_ratio_to_the_accuracy_after_10_000_rows():
    n = 10_000
    factors = RNG.integers(2, size=(n, 2))
    codes = factors + 0.3 * RNG.normal(size=(n, 2))
    scores = downstream.downstream(codes, factors, codes[:2000], factors[:2000], rng=rng())
    for size in (100, 1_000):
        ratio = scores[f"downstream/{size}"] / scores["downstream/10000"]
        assert scores[f"downstream/efficiency_{size}"] == pytest.approx(ratio)
    # two classes one apart with deviation 0.3: Φ(½ / 0.3)
    assert scores["downstream/10000"] == pytest.approx(0.952, abs=0.01)


@pytest.mark.parametrize("probe", ["lr", "gbt"])
def test_classes_that_few_rows_lack_are_never_predicted(probe):
    factors = np.column_stack([np.arange(60) % 30, np.arange(60) == 59]).astype(int)  # the second: one row in sixty
    codes = factors + 0.01 * RNG.normal(size=(60, 2))
    scores, details = downstream.downstream_with_details(codes, factors, codes, factors, probe=probe, rng=rng())
    assert set(scores) == {"downstream/10"}  # sixty rows hold no larger probe
    many, two = details["accuracy"][0]
    assert many <= 10 / 30
    assert two == pytest.approx(59 / 60)  # a single class among ten rows: predicted for all


def test_fewer_rows_than_the_smallest_probe_takes_are_refused():
    with pytest.raises(ValueError, match=r"^downstream: the smallest probe is fitted on 10 rows, got 6$"):
        downstream.downstream(PERFECT[:6], FACTORS[:6], PERFECT, FACTORS, rng=rng())
