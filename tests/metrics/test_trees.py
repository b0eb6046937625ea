"""Our compiled boosted trees against scikit-learn's."""

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier

from metrics import trees


def stretches(n_classes, n_rows, n_columns, seed, n_stretches=13):
    """Labels that change along a line, each part of which one column alone resolves: no two splits gain the same.

    A column says where a row lies within its own part of the line, and noise of size 1e-3 beyond it.
    """
    rng = np.random.default_rng(seed)
    edges = np.cumsum(rng.uniform(1, 2, n_stretches))
    labels = np.cumsum(rng.integers(1, n_classes, n_stretches)) % n_classes  # neighbours differ
    line = rng.uniform(size=n_rows)
    parts = np.arange(n_columns)
    beyond = 1e-3 * rng.uniform(size=(n_rows, n_columns))
    within = np.clip(line[:, None] * n_columns - parts, 0, 1)
    x = within + np.where(within == 0, -beyond, np.where(within == 1, beyond, 0))
    return x.astype(np.float32), labels[np.searchsorted(edges / edges[-1], line)]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    ("n_classes", "n_rows", "n_columns"),
    [
        pytest.param(2, 2000, 1, id="two classes: one tree a stage"),
        pytest.param(2, 3000, 3, id="two classes, three latents"),
        pytest.param(3, 2000, 2, id="three classes: one tree each"),
        pytest.param(6, 3000, 4, id="six classes, four latents"),
    ],
)
def test_trees_equal_scikit_learn_where_no_two_splits_tie(n_classes, n_rows, n_columns, seed):
    x, labels = stretches(n_classes, n_rows, n_columns, seed)
    new, _ = stretches(n_classes, 1000, n_columns, seed + 100)
    reference = GradientBoostingClassifier(random_state=0).fit(x, labels)
    ours = trees.fit_boosted_trees(trees.sort_codes(x), labels, np.random.default_rng(seed))
    np.testing.assert_allclose(ours.raw(new), reference.decision_function(new).reshape(1000, -1), rtol=0, atol=1e-9)
    np.testing.assert_allclose(ours.importances, reference.feature_importances_, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(ours.predict(new), reference.predict(new))
    assert n_columns == 1 or ours.importances.min() > 0.02


def test_importances_weigh_the_latent_that_splits():
    labels = np.repeat([0, 1], 50)
    x = np.stack([np.zeros(100), labels + 0.0], axis=1)
    ours = trees.fit_boosted_trees(trees.sort_codes(x), labels, np.random.default_rng(0))
    assert ours.importances.tolist() == [0.0, 1.0]


def test_without_a_split_only_the_prior_speaks():
    labels = np.array([0, 0, 0, 1])
    ours = trees.fit_boosted_trees(trees.sort_codes(np.ones((4, 2))), labels, np.random.default_rng(0))
    assert ours.importances.tolist() == [0.0, 0.0]
    np.testing.assert_allclose(ours.raw(np.ones((1, 2))), np.log(1 / 3), rtol=0, atol=1e-9)
    assert ours.predict(np.ones((2, 2))).tolist() == [0, 0]


def test_values_nearer_than_1e_7_are_not_split():
    x = np.float32([[0.0], [5e-8], [1.0], [2.0]])
    labels = np.array([0, 1, 0, 1])
    ours = trees.fit_boosted_trees(trees.sort_codes(x), labels, np.random.default_rng(0))
    reference = GradientBoostingClassifier(random_state=0).fit(x, labels)
    np.testing.assert_allclose(ours.raw(x)[:, 0], reference.decision_function(x), rtol=0, atol=1e-9)
    assert ours.raw(x)[0, 0] == ours.raw(x)[1, 0]


@pytest.mark.slow
def test_more_rows_than_sixteen_bits_count():
    x, labels = stretches(3, 70_000, 2, 0)
    ours = trees.fit_boosted_trees(trees.sort_codes(x), labels, np.random.default_rng(0), n_stages=3)
    reference = GradientBoostingClassifier(n_estimators=3, random_state=0).fit(x, labels)
    np.testing.assert_allclose(ours.raw(x), reference.decision_function(x), rtol=0, atol=1e-9)


@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 2, 2]], ids=["one class", "a class without a row"])
def test_classes_must_all_be_there(labels):
    with pytest.raises(ValueError, match="every class"):
        trees.fit_boosted_trees(trees.sort_codes(np.eye(3)), np.array(labels), np.random.default_rng(0))


def test_a_function_that_cannot_be_cached_is_compiled_all_the_same():
    space = {}
    exec("def double(x):\n    return 2 * x", space)  # no file, so no folder to cache in
    assert trees.compiled(space["double"])(21) == 42
