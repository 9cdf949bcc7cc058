"""From a classifier's labels to its network's targets, and from the network's outputs back to labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.utils.multiclass import check_classification_targets, type_of_target, unique_labels

from retrograde.errors import DataError


class Labels:
    """The classes of a target: two of them, more, or a column of 0 and 1 each ("multilabel")."""

    def __init__(self, y: Any):
        check_classification_targets(y)
        kind = type_of_target(y)
        if kind == "multiclass-multioutput":
            raise DataError("y has many columns of many classes; a classifier takes one column, or columns of 0 and 1")
        self.multilabel = kind == "multilabel-indicator"
        self.classes = unique_labels(y)

    @property
    def count(self) -> int:
        """How many classes there are."""
        return len(self.classes)

    @property
    def outputs(self) -> int:
        """How many logits scikit-learn's MLP gives them: two classes share one."""
        return self.count if self.multilabel or self.count > 2 else 1

    def check(self, y: Any, all_of_them: bool) -> None:
        """Raise `DataError` for labels that are none of the classes, or not all of them where they must be."""
        found = unique_labels(y)
        odd = np.setdiff1d(found, self.classes)
        if len(odd) or (all_of_them and len(found) < self.count):
            raise DataError(f"y holds the classes {found}, but this estimator was fitted to {self.classes}: give it the same, or "
                            "begin anew with warm_start=False")  # fmt: skip

    def encode(self, y: Any, logistic: bool, dtype: np.dtype) -> np.ndarray:
        """Targets of the network: 0 and 1 in columns, where each output is a logistic one, else the number of each class."""
        if self.multilabel:
            y = y.toarray() if hasattr(y, "toarray") else y
            return np.asarray(y, dtype)
        numbers = np.searchsorted(self.classes, np.asarray(y)).astype(np.int64)
        return numbers[:, None].astype(dtype) if logistic else numbers

    def decode(self, outputs: np.ndarray, logistic: bool) -> np.ndarray:
        """The likeliest labels."""
        if self.multilabel:
            return (outputs > 0).astype(np.int64)
        if not logistic:
            return self.classes[np.argmax(outputs, axis=1)]
        return self.classes[np.minimum((outputs[:, 0] > 0).astype(np.int64), self.count - 1)]

    def probabilities(self, outputs: np.ndarray, logistic: bool) -> np.ndarray:
        """Of each class, a row a point."""
        if not logistic:
            e = np.exp(outputs - outputs.max(axis=1, keepdims=True))
            return e / e.sum(axis=1, keepdims=True)
        p = expit(outputs)
        return p if self.multilabel else np.hstack([1.0 - p, p])[:, : max(self.count, 1)]
