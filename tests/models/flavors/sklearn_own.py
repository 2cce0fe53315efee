"""A user's own classes, as a module of theirs would have them; for the tests of models."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin


class Doubled(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # untyped bases
    """A transformer that is no part of scikit-learn."""

    def __init__(self, factor: float = 2.0) -> None:
        self.factor = factor

    def fit(self, data: Any, target: Any = None) -> Doubled:
        self.n_features_in_ = np.shape(data)[1]
        return self

    def transform(self, data: Any) -> Any:
        return np.asarray(data) * self.factor


class Majority(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # untyped bases
    """A classifier that says what is most frequent."""

    def fit(self, data: Any, target: Any) -> Majority:
        self.classes_, counts = np.unique(target, return_counts=True)
        self.most_ = self.classes_[counts.argmax()]
        return self

    def predict(self, data: Any) -> Any:
        return np.full(len(data), self.most_)


def squared(data: Any) -> Any:
    """A function that is no ufunc."""
    return np.asarray(data) ** 2
