"""The learners beside boosted trees that DCI is computed with: Lasso, a random forest, histogram boosting.

Each gives, for one factor, the importance of every latent and how well the factor is predicted. Sources:
cianeastwood/qedr ``quantify.ipynb`` (Lasso), ubisoft/ubisoft-laforge-disentanglement-metrics ``src/metrics/dci.py``
(forest), scikit-learn's ``HistGradientBoostingClassifier()`` (hist).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

ALPHA = 0.02  # of the Lasso, for all factors, as qedr has it
N_TREES = 10
DEPTHS = (8, 16, 32, 64, 128)
FEATURE_SHARES = (0.2, 0.4, 0.8, 1.0)
N_FOLDS = 10
CHOICE_ROWS = 2_000  # rows on which depth and features are chosen: 40 forests per factor
PERMUTED_ROWS = 1_000  # test rows on which a latent's importance is measured
N_PERMUTATIONS = 5

Result = tuple[np.ndarray, dict[str, float]]
Learner = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.random.Generator], Result]


def lasso(
    codes: np.ndarray, factor: np.ndarray, codes_test: np.ndarray, factor_test: np.ndarray, rng: np.random.Generator
) -> Result:
    """|coefficients| (n_latents,) on standardised data, and "nrmse": test error over the test rows' deviation.

    Args:
        codes, codes_test: (n, n_latents); constant columns get importance 0.
        factor, factor_test: (n,) any numbers.
        rng: not used; the solver is exact.

    Raises:
        ValueError: the factor is constant in the test rows.
    """
    from sklearn.linear_model import Lasso

    centre, scale = codes.mean(0, dtype=np.float64), codes.std(0, dtype=np.float64)
    scale[codes.min(0) == codes.max(0)] = np.inf
    middle, width = factor.mean(), factor.std()
    deviation = ((factor_test - middle) / width).std()
    if deviation == 0:
        raise ValueError("dci: a factor is constant in the test rows, so its error has no scale; give more rows")
    model = Lasso(alpha=ALPHA, precompute=True).fit((codes - centre) / scale, (factor - middle) / width)
    error = model.predict((codes_test - centre) / scale) - (factor_test - middle) / width
    return np.abs(model.coef_), {"nrmse": float(np.sqrt((error**2).mean()) / deviation)}


def forest(
    codes: np.ndarray, factor: np.ndarray, codes_test: np.ndarray, factor_test: np.ndarray, rng: np.random.Generator
) -> Result:
    """Impurity importances (n_latents,), and 1 - 12 · MSE (at least 0) of the factor scaled to [0, 1].

    The factor is a number to the forest. Depth and share of latents per split are chosen by 10-fold cross-validation
    on the first ``CHOICE_ROWS`` rows.

    Args:
        codes, codes_test: (n, n_latents).
        factor, factor_test: (n,) any numbers; scaled by the fitted rows' range.
        rng: bootstrap rows and latents offered to splits.

    Raises:
        ValueError: fewer rows than folds.
    """
    from metrics.forests import Forest

    if len(codes) < N_FOLDS:
        raise ValueError(f"dci: the forest is chosen on {N_FOLDS} folds of rows, got {len(codes)} rows")
    low, high = factor.min(), factor.max()
    target, target_test = (factor - low) / (high - low), (factor_test - low) / (high - low)
    depth, share = _chosen(codes[:CHOICE_ROWS], target[:CHOICE_ROWS], rng)
    model = Forest(codes, target, depth=depth, n_trees=N_TREES, max_features=share, rng=rng)
    scores = {}
    for name, x, y in (("train", codes, target), ("test", codes_test, target_test)):
        (found,) = model.predictions(x, [depth])
        scores[f"informativeness_{name}"] = max(0.0, float(1 - 12 * ((found - y) ** 2).mean()))
    return model.importances(depth), scores


def _chosen(codes: np.ndarray, target: np.ndarray, rng: np.random.Generator) -> tuple[int, float]:
    """The depth and the share of latents with the least mean squared error over the folds; the first on a tie."""
    from metrics.forests import Forest

    errors = np.zeros((len(DEPTHS), len(FEATURE_SHARES)))
    for fold in np.array_split(np.arange(len(codes)), N_FOLDS):
        fitted = np.delete(np.arange(len(codes)), fold)
        for j, share in enumerate(FEATURE_SHARES):
            model = Forest(
                codes[fitted], target[fitted], depth=DEPTHS[-1], n_trees=N_TREES, max_features=share, rng=rng
            )
            for i, found in enumerate(model.predictions(codes[fold], DEPTHS)):
                errors[i, j] += ((found - target[fold]) ** 2).mean()
    best_depth, best_share = np.unravel_index(errors.argmin(), errors.shape)
    return DEPTHS[best_depth], FEATURE_SHARES[best_share]


def hist(
    codes: np.ndarray, factor: np.ndarray, codes_test: np.ndarray, factor_test: np.ndarray, rng: np.random.Generator
) -> Result:
    """Accuracy lost (n_latents,) when a latent is permuted among test rows, at least 0; accuracies on all rows.

    These trees keep no impurities, so importance is measured on ``PERMUTED_ROWS`` test rows, ``N_PERMUTATIONS`` times.

    Args:
        codes, codes_test: (n, n_latents).
        factor, factor_test: (n,) int class indices; a class that was not fitted is never predicted.
        rng: permutations.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(random_state=int(rng.integers(2**31 - 1))).fit(codes, factor)
    shown, labels = codes_test[:PERMUTED_ROWS], factor_test[:PERMUTED_ROWS]
    kept = (model.predict(shown) == labels).mean()
    lost = np.empty(codes.shape[1])
    for j in range(len(lost)):
        moved = np.tile(shown, (N_PERMUTATIONS, 1))
        moved[:, j] = np.concatenate([rng.permutation(shown[:, j]) for _ in range(N_PERMUTATIONS)])
        lost[j] = kept - (model.predict(moved) == np.tile(labels, N_PERMUTATIONS)).mean()
    return lost.clip(0), {
        "informativeness_train": float((model.predict(codes) == factor).mean()),
        "informativeness_test": float((model.predict(codes_test) == factor_test).mean()),
    }
