"""Losses: `f(prediction, target, *, sample_weight=None)`, a 0-d mean over the batch (weighted: sum(w l) / sum(w))."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

import numpy as np

from retrograde import numpy as rnp
from retrograde.errors import DataError, ModelError

__all__ = ["binary_cross_entropy", "cross_entropy", "get_loss", "hinge", "huber", "mae", "mse", "poisson"]

Loss = Callable[..., Any]


def _same_shape(name: str, prediction: Any, target: Any) -> None:
    if np.shape(prediction) != np.shape(target):
        raise ModelError(
            f"{name}: the prediction has shape {np.shape(prediction)}, the target {np.shape(target)}; they must be equal. Make "
            "the target y[:, None], or end the network in as many outputs as the target has columns"
        )


def _mean(each: Any, sample_weight: Any) -> Any:
    """The mean of losses of shape (batch, ...), each point weighing `sample_weight` of shape (batch,)."""
    if sample_weight is None:
        return np.mean(each)
    if np.shape(sample_weight) != np.shape(each)[:1]:
        raise ModelError(
            f"sample_weight must have one number a point, shape {np.shape(each)[:1]}; it has {np.shape(sample_weight)}"
        )
    per_point = np.mean(np.reshape(each, (np.shape(each)[0], -1)), axis=1)
    total = np.sum(sample_weight)  # 0 in a batch of points that all weigh nothing
    return np.sum(per_point * sample_weight) / np.where(total == 0, 1.0, total).astype(total.dtype)


def mse(prediction: Any, target: Any, *, sample_weight: Any = None) -> Any:
    """Mean squared error of a prediction and a target of one shape: "mse" or "squared_error" in `fit`.

    >>> nn.losses.mse(np.array([[0.0], [3.0]]), np.array([[1.0], [1.0]]))
    np.float64(2.5)
    """
    _same_shape("mse", prediction, target)
    return _mean(np.square(prediction - target), sample_weight)


def mae(prediction: Any, target: Any, *, sample_weight: Any = None) -> Any:
    """Mean absolute error; derivative 0 at 0. "mae" or "absolute_error" in `fit`.

    >>> nn.losses.mae(np.array([[0.0], [3.0]]), np.array([[1.0], [1.0]]))
    np.float64(1.5)
    """
    _same_shape("mae", prediction, target)
    return _mean(np.abs(prediction - target), sample_weight)


def huber(prediction: Any, target: Any, *, delta: float = 1.0, sample_weight: Any = None) -> Any:
    """Half the square within delta, linear beyond (P. Huber, 1964): "huber" in `fit`, with delta = 1.

    >>> nn.losses.huber(np.array([[0.0], [3.0]]), np.array([[1.0], [1.0]]))
    np.float64(1.0)
    """
    _same_shape("huber", prediction, target)
    gap = np.abs(prediction - target)
    return _mean(np.where(gap <= delta, 0.5 * np.square(gap), delta * (gap - 0.5 * delta)), sample_weight)


def binary_cross_entropy(prediction: Any, target: Any, *, sample_weight: Any = None) -> Any:
    """From logits z, targets t in [0, 1] of one shape: softplus(z) - t z, which never overflows.

    "binary_cross_entropy" in `fit`.

    >>> nn.losses.binary_cross_entropy(np.array([[3.0], [-1000.0]]), np.array([[1.0], [0.0]])).round(3)
    np.float64(0.024)
    """
    _same_shape("binary_cross_entropy", prediction, target)
    return _mean(rnp.softplus(prediction) - prediction * target, sample_weight)


def _check_labels(labels: Any, classes: int) -> None:
    """Refuse labels that name no class, where they are known; -1 would count as the last one."""
    if isinstance(labels, np.ndarray) and labels.size and not (labels.min() >= 0 and labels.max() < classes):
        raise ModelError(
            f"cross_entropy: labels run from {labels.min()} to {labels.max()}; for {classes} logits they are 0 to {classes - 1}"
        )


def cross_entropy(prediction: Any, target: Any, *, sample_weight: Any = None) -> Any:
    """From logits (batch, classes): against integer labels (batch,), or probabilities (batch, classes).

    -log softmax(f)[y]; "cross_entropy" in `fit`. Raises `ModelError` for other shapes, and for labels that are no class.

    >>> logits = np.array([[2.0, 0.0, 0.0], [0.0, 0.0, 2.0]])
    >>> nn.losses.cross_entropy(logits, np.array([0, 2])).round(3)
    np.float64(0.24)
    """
    if np.ndim(prediction) != 2:
        raise ModelError(f"cross_entropy: the prediction must be logits of shape (batch, classes); it is {np.shape(prediction)}")
    target = target if hasattr(target, "dtype") else np.asarray(target)
    log_p = rnp.log_softmax(prediction)
    if np.ndim(target) == 1 and target.dtype.kind in "iu" and np.shape(target)[0] == np.shape(prediction)[0]:
        _check_labels(target, np.shape(prediction)[1])
        return _mean(-np.take_along_axis(log_p, np.expand_dims(target, 1), -1)[:, 0], sample_weight)
    if np.shape(target) != np.shape(prediction):
        hint = "; take y[:, 0]" if np.shape(target) == (np.shape(prediction)[0], 1) else ""
        raise ModelError(
            f"cross_entropy: for logits {np.shape(prediction)} the target must be integer labels of shape "
            f"({np.shape(prediction)[0]},) or probabilities of the same shape; it is {target.dtype} {np.shape(target)}{hint}"
        )
    return _mean(-np.sum(log_p * target, axis=-1), sample_weight)


def hinge(prediction: Any, target: Any, *, sample_weight: Any = None) -> Any:
    """max(0, 1 - t f) for targets t = -1 and 1, of one shape with f (C. Cortes and V. Vapnik, 1995): "hinge" in `fit`.

    >>> nn.losses.hinge(np.array([[2.0], [0.5]]), np.array([[1.0], [1.0]]))
    np.float64(0.25)
    """
    _same_shape("hinge", prediction, target)
    return _mean(np.maximum(1.0 - prediction * target, 0), sample_weight)


def poisson(prediction: Any, target: Any, *, sample_weight: Any = None) -> Any:
    """Negative log-likelihood of counts t, up to a constant, from the logarithm f of the rate: exp(f) - t f, of one shape.

    "poisson" in `fit`.

    >>> nn.losses.poisson(np.log([[1.0], [4.0]]), np.array([[1.0], [4.0]])).round(3)
    np.float64(-0.273)
    """
    _same_shape("poisson", prediction, target)
    return _mean(np.exp(prediction) - prediction * target, sample_weight)


LOSSES: dict[str, Loss] = {
    "mse": mse, "squared_error": mse, "mae": mae, "absolute_error": mae, "huber": huber,
    "binary_cross_entropy": binary_cross_entropy, "cross_entropy": cross_entropy, "hinge": hinge, "poisson": poisson,
}  # fmt: skip


_TARGETS: dict[Loss, tuple[str, Callable[[np.ndarray], Any]]] = {
    binary_cross_entropy: ("from 0 to 1", lambda y: (y >= 0) & (y <= 1)),
    hinge: ("-1 or 1", lambda y: np.abs(y) == 1),
    poisson: ("counts, 0 or more", lambda y: y >= 0),
}


def check_targets(loss: Loss, target: np.ndarray) -> None:
    """Raise `DataError` for targets that a loss is not defined for, on which it would fall without bound or learn nothing."""
    wanted, fits = _TARGETS.get(loss, ("", None))
    if fits is not None and not (good := fits(target)).all():
        raise DataError(f"targets of {loss.__name__} are {wanted}; y holds {target[~good][0]:g}")


def get_loss(loss: str | Loss) -> Loss:
    """A loss by name, or the function itself; `ModelError` for a name that is none.

    >>> nn.losses.get_loss("squared_error") is nn.losses.mse
    True
    """
    if isinstance(loss, type):
        raise ModelError(f"a loss is an object, not its class: {loss.__name__}() instead of {loss.__name__}")
    if callable(loss):
        return loss
    if loss not in LOSSES:
        near = difflib.get_close_matches(str(loss), LOSSES, 1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise ModelError(f"no loss is called {loss!r}{hint} There are {sorted(LOSSES)}, or pass an object such as "
                         "nn.HuberLoss(), or any f(prediction, target)")  # fmt: skip
    return LOSSES[loss]
