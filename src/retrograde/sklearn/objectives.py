"""Losses, the L2 penalty and validation scores as scikit-learn's MLP defines them, in NumPy over a network's raw outputs.

A loss is the mean over points (weighted: sum(w l) / sum(w)) of a sum over outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from retrograde import numpy as rnp
from retrograde import stop_gradient
from retrograde.nn.losses import cross_entropy, get_loss
from retrograde.train.regularize import weights_of
from retrograde.train.scores import OF_VALUES


def _mean(each: Any, weight: Any) -> Any:
    if weight is None:
        return np.mean(each)
    total = np.sum(weight)  # 0 in a batch of points that all weigh nothing
    return np.sum(each * weight) / np.where(total == 0, 1.0, total).astype(each.dtype)


def log_loss(prediction: Any, target: Any, *, sample_weight: Any = None) -> Any:
    """The logistic loss of logits and targets 0 or 1, of the same shape (points, outputs)."""
    return _mean(np.sum(rnp.softplus(prediction) - prediction * target, axis=1), sample_weight)


def squared_error(prediction: Any, target: Any, *, sample_weight: Any = None) -> Any:
    """Half the squared error. Of many outputs it is told as their mean, but descends along their sum, as in scikit-learn."""
    whole = half_squares(prediction, target, sample_weight=sample_weight)
    outputs = np.shape(prediction)[1]
    return whole if outputs == 1 else whole + stop_gradient(whole / outputs - whole)


def half_squares(prediction: Any, target: Any, *, sample_weight: Any = None) -> Any:
    """Half the squared error, summed over the outputs."""
    return _mean(0.5 * np.sum(np.square(prediction - target), axis=1), sample_weight)


def poisson(prediction: Any, target: Any, *, sample_weight: Any = None) -> Any:
    """Half the Poisson deviance of counts, from the logarithm of their rates."""
    counted = target > 0
    entropy = np.where(counted, target * np.log(np.where(counted, target, 1.0)), 0.0) - target
    return _mean(np.sum(entropy + np.exp(prediction) - target * prediction, axis=1), sample_weight)


OF_REGRESSION: dict[str, Callable] = {"squared_error": squared_error, "poisson": poisson}


def loss_of_classes(loss: Any, logistic: bool) -> Callable:
    """A classifier's loss: "log_loss" is the logistic one or the cross-entropy, all else as `retrograde.fit` takes it."""
    found = cross_entropy if isinstance(loss, str) and loss == "log_loss" else get_loss(loss)
    return log_loss if logistic and found is cross_entropy else found


def loss_of_values(loss: Any) -> Callable:
    """A regressor's loss: scikit-learn's two by name, all else as `retrograde.fit` takes it."""
    return OF_REGRESSION[loss] if isinstance(loss, str) and loss in OF_REGRESSION else get_loss(loss)


@dataclass(frozen=True)
class L2:
    """alpha / 2 times the squares of all weights (no biases), over the points of the batch, or the sum of their weights."""

    alpha: float

    def __call__(self, params: Any, batch: Sequence[Any]) -> Any:
        """The penalty of a batch (x, y, weight or None)."""
        x, _, weight = batch
        points = float(len(x)) if weight is None else np.sum(weight)
        weights = weights_of(params)
        half = np.array([0.5 * self.alpha], weights[0].dtype)  # an array, so that it is data, and all alphas share a program
        squares = sum(np.sum(np.square(w)) for w in weights)
        return half[0] * squares / np.where(points == 0, 1.0, points).astype(squares.dtype)


def accuracy_of_labels(prediction: Any, target: Any) -> Any:
    """The part of points whose label, or whose largest logit, is the right one."""
    return np.mean((prediction if np.ndim(prediction) == 1 else np.argmax(prediction, axis=-1)) == target)


def accuracy_of_bits(prediction: Any, target: Any) -> Any:
    """The part of points all of whose logits have the right sign."""
    return np.mean(np.all((_columns(prediction) > 0) == (_columns(target) > 0.5), axis=1))


def r2_score(prediction: Any, target: Any) -> Any:
    """The coefficient of determination, the mean of all outputs; of a constant target 1 where it is met, else 0."""
    return OF_VALUES["r2"][0](_columns(target), _columns(prediction))


def r2_of_logarithm(prediction: Any, target: Any) -> Any:
    """The same of exp(prediction)."""
    return r2_score(np.exp(prediction), target)


def _columns(values: Any) -> Any:
    return np.reshape(values, (np.shape(values)[0], -1))
