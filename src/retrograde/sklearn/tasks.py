"""What makes an estimator a classifier or a regressor: its targets, its losses, its predictions and its scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.class_weight import compute_sample_weight

from retrograde.errors import DataError
from retrograde.nn import losses
from retrograde.sklearn.labels import Labels
from retrograde.sklearn.objectives import (
    accuracy_of_bits,
    accuracy_of_labels,
    loss_of_classes,
    loss_of_values,
    poisson,
    r2_of_logarithm,
    r2_score,
)


class Classifying(ClassifierMixin):
    """Labels of any kind: two classes or many, strings or numbers, or columns of 0 and 1 (multilabel)."""

    _numeric_target = False

    @property
    def classes_(self) -> np.ndarray:
        """The labels, sorted."""
        return self._labels.classes

    def _learn_target(self, y: Any, goes_on: bool, once: bool) -> None:
        if not goes_on and not once:
            self._labels = Labels(y)
        else:
            self._labels.check(y, all_of_them=not once)
        self.n_outputs_ = self._labels.outputs

    @property
    def _logistic(self) -> bool:
        """Whether each output is a logit of its own, rather than one of a softmax."""
        return self.n_outputs_ == 1 or self._labels.multilabel

    def _encode(self, y: Any, dtype: np.dtype) -> np.ndarray:
        return self._labels.encode(y, self._logistic, dtype)

    def _loss(self) -> Callable:
        return loss_of_classes(self.loss, self._logistic)

    def _validation_score(self) -> Callable:
        return accuracy_of_bits if self._logistic else accuracy_of_labels

    def _weigh(self, y: Any, weight: Any) -> Any:
        if self.class_weight is None:
            return weight
        by_class = compute_sample_weight(self.class_weight, y)
        return by_class if weight is None else by_class * weight

    def predict(self, X: Any) -> np.ndarray:
        """The likeliest labels of points X (n, features): shape (n,), or (n, classes) of 0 and 1."""
        outputs = self._outputs(X)
        return self._labels.decode(outputs, self._logistic)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities of shape (n, classes), in the order of `classes_`."""
        outputs = self._outputs(X)
        return self._labels.probabilities(outputs, self._logistic)

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """The logarithms of `predict_proba`."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class Regressing(RegressorMixin):
    """Targets that are numbers, one a point or many."""

    _numeric_target = True

    def _learn_target(self, y: Any, goes_on: bool, once: bool) -> None:
        self.n_outputs_ = 1 if y.ndim == 1 else y.shape[1]
        if self._of_logarithm and (y < 0).any():
            raise DataError(f"targets of the loss 'poisson' are counts, 0 or more; y holds {y.min():g}")

    def _encode(self, y: Any, dtype: np.dtype) -> np.ndarray:
        return np.reshape(y, (len(y), self.n_outputs_)).astype(dtype)

    def _loss(self) -> Callable:
        return loss_of_values(self.loss)

    @property
    def _of_logarithm(self) -> bool:
        """Whether the network's outputs are logarithms of the predictions."""
        return self._loss() in (poisson, losses.poisson)

    def _validation_score(self) -> Callable:
        return r2_of_logarithm if self._of_logarithm else r2_score

    def _weigh(self, y: Any, weight: Any) -> Any:
        return weight

    def predict(self, X: Any) -> np.ndarray:
        """Predictions for points X (n, features): shape (n,), or (n, outputs)."""
        outputs = self._outputs(X)
        found = np.exp(outputs) if self._of_logarithm else outputs
        return found[:, 0] if self.n_outputs_ == 1 else found

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
