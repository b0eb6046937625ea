"""Multinomial logistic regression with current scikit-learn's defaults: L2 penalty, C = 1, lbfgs, 100 iterations."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LogisticClassifier:
    """A fitted classifier of labels.

    Attributes:
        weights: (n_classes, n_features), or (1, n_features) for two classes.
        intercept: one per row of ``weights``.
        classes: the labels the rows stand for.
    """

    weights: np.ndarray
    intercept: np.ndarray
    classes: np.ndarray

    @classmethod
    def fit(cls, x: np.ndarray, labels: np.ndarray) -> LogisticClassifier:
        """Fit x (n, n_features) to labels (n,); raises ValueError for a single label."""
        from sklearn.exceptions import ConvergenceWarning  # imported here: listing metrics must not cost seconds
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression()
        with warnings.catch_warnings():
            # The metrics are defined by these 100 iterations, converged or not.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(x, labels)
        return cls(model.coef_, model.intercept_, model.classes_)

    def probabilities(self, x: np.ndarray) -> np.ndarray:
        """Probability of each class, (n, n_classes)."""
        logits = x @ self.weights.T + self.intercept
        if len(self.classes) == 2:
            logits = np.hstack([np.zeros_like(logits), logits])
        share = np.exp(logits - logits.max(1, keepdims=True))
        return share / share.sum(1, keepdims=True)  # type: ignore[no-any-return]

    def predict(self, x: np.ndarray) -> np.ndarray:
        """The likeliest label of each row."""
        return self.classes[self.probabilities(x).argmax(1)]  # type: ignore[no-any-return]
