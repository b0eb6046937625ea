"""Logistic regression with current scikit-learn's defaults: L2 penalty (C = 1), intercept free, lbfgs, 100 iterations.

The objective, the start and the stopping rules are those of scikit-learn 1.9 ``LogisticRegression()``: multinomial for
more than two classes. The arithmetic runs in blocks of rows that fit the cache, which makes it several times faster.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_BLOCK = 1 << 15  # numbers at a time: 256 KiB, half a core's nearer cache


@dataclass(frozen=True)
class LogisticClassifier:
    """A fitted classifier of labels.

    Attributes:
        weights: (n_classes, n_features + 1), or (1, n_features + 1) for two classes; the last column is the intercept.
        classes: (n_classes,) the labels, ascending.
    """

    weights: np.ndarray
    classes: np.ndarray

    @classmethod
    def fit(
        cls, x: np.ndarray, labels: np.ndarray, *, c: float = 1.0, start: np.ndarray | None = None
    ) -> LogisticClassifier:
        """Fit x (n, n_features) to labels (n,).

        Args:
            c: inverse strength of the penalty.
            start: weights of a fit to the same labels to go on from, in place of 0.

        Raises:
            ValueError: a single label.
        """
        from scipy.optimize import minimize  # imported here: listing metrics must not cost seconds

        classes, indices = np.unique(labels, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(f"logistic regression needs two classes, got only {classes.tolist()}")
        n_outputs = 1 if len(classes) == 2 else len(classes)
        objective = _objective(_with_ones(x), indices, n_outputs, c)
        found = minimize(
            objective,
            np.zeros(n_outputs * (x.shape[1] + 1)) if start is None else start.ravel(),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": 100, "maxls": 50, "gtol": 1e-4, "ftol": 64 * np.finfo(np.float64).eps},
        )
        return cls(found.x.reshape(n_outputs, -1), classes)

    def probabilities(self, x: np.ndarray) -> np.ndarray:
        """Probability of each class, (n, n_classes), of x (n, n_features)."""
        logits = self.weights @ _with_ones(x).T
        if len(self.classes) == 2:
            logits = np.vstack([np.zeros_like(logits), logits])
        _softmax(logits)
        return logits.T

    def predict(self, x: np.ndarray) -> np.ndarray:
        """The likeliest label of each row."""
        return self.classes[self.probabilities(x).argmax(1)]  # type: ignore[no-any-return]


def _with_ones(x: np.ndarray) -> np.ndarray:
    return np.hstack([np.asarray(x, np.float64), np.ones((len(x), 1))])


def _softmax(logits: np.ndarray) -> np.ndarray:
    """Turn logits (n_classes, n) into probabilities in place; returns the log of their former sum of exponentials."""
    largest = logits.max(0)
    logits -= largest
    np.exp(logits, out=logits)
    total = logits.sum(0)
    logits /= total
    return np.log(total) + largest  # type: ignore[no-any-return]


def _objective(
    x: np.ndarray, indices: np.ndarray, n_outputs: int, c: float
) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
    """Mean log loss plus penalty and its gradient, of flat weights; x (n, n_features + 1) ends in ones."""
    n, width = x.shape
    # What the labels contribute is linear in the weights: one sum of rows per class, taken once.
    counted = indices if n_outputs > 1 else np.where(indices == 1, 0, 1)
    observed = np.stack(
        [np.bincount(counted, weights=column, minlength=n_outputs)[:n_outputs] for column in x.T], axis=1
    )
    n_block = max(_BLOCK // n_outputs, 1)
    blocks = [x[start : start + n_block] for start in range(0, n, n_block)]
    buffer = np.empty((n_outputs, min(n_block, n)))

    def loss_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(n_outputs, width)
        normaliser = 0.0
        expected = np.zeros_like(weights)
        for block in blocks:
            # a short last block takes memory of its own: BLAS wants rows without gaps
            scores = buffer if len(block) == buffer.shape[1] else np.empty((n_outputs, len(block)))
            np.matmul(weights, block.T, out=scores)
            if n_outputs > 1:
                normaliser += float(_softmax(scores).sum())
            else:
                normaliser += float(np.logaddexp(0.0, scores).sum())
                np.copyto(scores, np.exp(-np.logaddexp(0.0, -scores)))
            expected += scores @ block
        penalty = weights / (n * c)
        penalty[:, -1] = 0.0
        loss = (normaliser - (weights * observed).sum()) / n + 0.5 * (penalty * weights).sum()
        return float(loss), ((expected - observed) / n + penalty).ravel()

    return loss_and_gradient
