"""The formulas of metrics that are traced, in NumPy, of targets and labels or values; the results are scikit-learn's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from retrograde import numpy as rnp

Score = Callable[[Any, Any], Any]


def accuracy(target: Any, labels: Any) -> Any:
    """The share of labels that are right."""
    return np.mean(target == labels)


def _counts(target: Any, labels: Any, classes: int) -> tuple[Any, ...]:
    """Of each class: how often it was found rightly, how often it was to be found, how often it was found."""
    ones = np.ones(np.shape(target))
    right = (target == labels).astype(np.float64)
    return tuple(rnp.bincount(x, weights=w, length=classes) for x, w in ((target, right), (target, ones), (labels, ones)))


def _share(part: Any, whole: Any) -> Any:
    """part / whole, 0 of nothing."""
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1.0), 0.0)


OF_COUNTS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "precision": lambda right, wanted, found: _share(right, found),
    "recall": lambda right, wanted, found: _share(right, wanted),
    "f1": lambda right, wanted, found: _share(2.0 * right, wanted + found),
    "jaccard": lambda right, wanted, found: _share(right, wanted + found - right),
}


def average(figure: Callable, how: str, classes: int) -> Score:
    """A figure of counts, averaged as scikit-learn does: macro leaves out classes that neither occur nor are found."""

    def score(target: Any, labels: Any) -> Any:
        right, wanted, found = _counts(target, labels, classes)
        if how == "micro":
            return figure(np.sum(right), np.sum(wanted), np.sum(found))
        each = figure(right, wanted, found)
        if how == "":  # of two classes, the one that counts as positive
            return each[1]
        weight = wanted if how == "weighted" else (wanted + found > 0).astype(np.float64)
        return np.sum(each * weight) / np.sum(weight)

    return score


def balanced_accuracy(classes: int) -> Score:
    """The mean recall of the classes that occur."""

    def score(target: Any, labels: Any) -> Any:
        right, wanted, _ = _counts(target, labels, classes)
        return np.sum(_share(right, wanted)) / np.sum(wanted > 0)

    return score


def top_k(k: int) -> Score:
    """The share of points whose class is among the k largest outputs."""

    def score(target: Any, outputs: Any) -> Any:
        """Of equal outputs the last goes first, as scikit-learn sorts them."""
        own = np.take_along_axis(outputs, target[:, None], -1)
        ahead = (outputs > own) | ((outputs == own) & (np.arange(np.shape(outputs)[1]) > target[:, None]))
        return np.mean(np.sum(ahead, axis=1) < k)

    return score


def _mse(target: Any, values: Any) -> Any:
    return np.mean(np.square(values - target))


def _mae(target: Any, values: Any) -> Any:
    return np.mean(np.abs(values - target))


def _r2(target: Any, values: Any) -> Any:
    """1 - residual / total, averaged over outputs; of a target that does not vary, 1 where it is met and else 0."""
    residual = np.sum(np.square(target - values), axis=0)
    total = np.sum(np.square(target - np.mean(target, axis=0)), axis=0)
    varies = total > 0
    return np.mean(np.where(varies, 1.0 - residual / np.where(varies, total, 1.0), np.where(residual > 0, 0.0, 1.0)))


MEANS = (  # over points: of a whole they are the means over its parts
    "accuracy", "mse", "mae", "neg_mean_squared_error", "neg_mean_absolute_error",
)  # fmt: skip
OF_VALUES: dict[str, tuple[Score, str]] = {
    "mse": (_mse, "min"), "mae": (_mae, "min"), "r2": (_r2, "max"),
    "neg_mean_squared_error": (lambda t, v: -_mse(t, v), "max"),
    "neg_root_mean_squared_error": (lambda t, v: -np.mean(np.sqrt(np.mean(np.square(v - t), axis=0))), "max"),
    "neg_mean_absolute_error": (lambda t, v: -_mae(t, v), "max"),
}  # fmt: skip
