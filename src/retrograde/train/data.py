"""What `fit` accepts, checked before anything runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from retrograde.errors import DataError, ModelError
from retrograde.nn import Module
from retrograde.train.stopping import EarlyStopping


@dataclass(frozen=True)
class Data:
    """Training points, their weights if any, and validation points if any; X and float y in the network's dtype."""

    X: np.ndarray
    y: np.ndarray
    weight: np.ndarray | None
    Xv: np.ndarray | None
    yv: np.ndarray | None

    @property
    def n(self) -> int:
        """Number of training points."""
        return len(self.X)


def prepare(data: Any, sample_weight: Any, validation: Any, dtype: np.dtype, seed: int) -> Data:
    """Check and convert `(X, y)`, and split off or take the validation points."""
    X, y = _pair(data, "data", dtype)
    weight = None
    if sample_weight is not None:
        weight = _array(sample_weight, "sample_weight", dtype)
        if weight.shape != (len(X),) or (weight < 0).any() or weight.sum() <= 0:
            raise DataError(f"sample_weight must be {len(X)} non-negative numbers, not all 0; its shape is {weight.shape}")
    if validation is None:
        return Data(X, y, weight, None, None)
    if isinstance(validation, (int, float, np.number)) and not isinstance(validation, bool):
        count = round(len(X) * float(validation)) if 0 < validation < 1 else 0
        if not 0 < count < len(X):
            raise DataError(f"validation={validation!r} of {len(X)} points leaves none for training or none to validate on")
        held = _spread(y, count, seed)
        kept = np.setdiff1d(np.arange(len(X)), held)
        return Data(X[kept], y[kept], None if weight is None else weight[kept], X[held], y[held])
    Xv, yv = _pair(validation, "validation", dtype)
    if Xv.shape[1:] != X.shape[1:] or yv.shape[1:] != y.shape[1:] or yv.dtype != y.dtype:
        raise DataError(f"validation points of shapes {Xv.shape}, {yv.shape} do not match training's {X.shape}, {y.shape}")
    return Data(X, y, weight, Xv, yv)


def _spread(y: np.ndarray, count: int, seed: int) -> np.ndarray:
    """`count` points at random; of integer labels, each class gives its share (systematic sampling of the sorted labels)."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(y))
    if y.ndim == 1 and y.dtype.kind in "iu":
        order = order[np.argsort(y[order], kind="stable")]
        places = ((np.arange(count) + rng.random()) * len(y) / count).astype(int)
        return np.sort(order[places])
    return np.sort(order[:count])


def _pair(data: Any, name: str, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    if not (isinstance(data, (tuple, list)) and len(data) == 2):
        raise DataError(f"{name} must be a pair (X, y) of arrays; it is a {type(data).__name__}")
    X, y = _array(data[0], f"{name}: X", dtype), _array(data[1], f"{name}: y", dtype)
    if X.ndim == 0 or y.ndim == 0 or len(X) != len(y):
        raise DataError(f"{name}: X and y must have one row a point; their shapes are {X.shape} and {y.shape}")
    if len(X) == 0:
        raise DataError(f"{name} has no points: X has shape {X.shape}")
    return X, y


def _array(values: Any, name: str, dtype: np.dtype) -> np.ndarray:
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise DataError(f"{name} has masked values; fill or drop them first: x.filled(0), x.compressed()")
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise DataError(f"{name} cannot be made an array: {error}") from None
    if array.dtype == object:
        try:
            array = array.astype(np.float64)
        except (TypeError, ValueError):
            raise DataError(f"{name} holds objects, not numbers; encode text and dates as numbers first") from None
    if array.dtype.kind not in "fiub":
        raise DataError(f"{name} has dtype {array.dtype}; numbers are wanted. Encode text as numbers first")
    if array.dtype.kind == "f":
        bad = ~np.isfinite(array)
        if bad.any():
            where = tuple(int(i) for i in np.argwhere(bad)[0])
            raise DataError(f"{name} has {int(bad.sum())} NaN or infinite values, the first at {where}; fill or drop them first")
    if name.endswith("y") and array.dtype.kind in "iu":
        return np.ascontiguousarray(array, np.int64)
    with np.errstate(over="ignore"):
        converted = np.ascontiguousarray(array, dtype)
    if not np.isfinite(converted).all():
        raise DataError(f"{name} has numbers up to {np.abs(array).max():g}, too large for {dtype}; scale them")
    return converted


def check_whole(name: str, value: Any, least: int, otherwise: str = "") -> None:
    """Raise `ModelError` for a setting that is no integer, or less than `least`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ModelError(f"{name} must be an integer of at least {least}{otherwise}; it is {value!r}")


def check_arguments(net: Any, dtype: Any, callbacks: Any) -> list[Callable]:
    """The callbacks as a list, where all three are what they should be."""
    if not isinstance(net, Module):
        raise ModelError(f"fit trains an nn.Module, such as nn.Sequential(...); it was given {net!r}")
    try:
        floating = np.dtype(dtype).kind == "f"
    except TypeError:
        floating = False
    if not floating:
        raise ModelError(f"dtype is that of the parameters, np.float32 or np.float64; it is {dtype!r}")
    if callable(callbacks) or not isinstance(callbacks, Iterable):
        raise ModelError(f"callbacks is a list of functions of the history; it is {callbacks!r}")
    listed = list(callbacks)
    for callback in listed:
        if not callable(callback):
            raise ModelError(f"callbacks are functions of the history; {callback!r} is none")
    return listed


def check_metrics(metrics: Mapping[str, Callable] | None, points: Data, labels: bool) -> dict[str, Callable]:
    """Metrics by name, the accuracy among them where targets are labels; `ModelError` for what is no function of them."""
    found = {"accuracy": accuracy} if labels and points.Xv is not None else {}
    for name, metric in (metrics or {}).items():
        if not callable(metric):
            raise ModelError(f"metrics are functions of (target, prediction); {name!r} is {metric!r}")
        if points.Xv is None:
            raise ModelError(f"the metric {name!r} is taken of validation points: give validation, a fraction or (X, y)")
        found[name] = metric
    return found


def accuracy(target: Any, prediction: Any) -> Any:
    """The part of points whose largest output is that of their label."""
    return np.mean(np.argmax(prediction, axis=-1) == target)


def check_monitor(stopping: EarlyStopping | None, points: Data, metrics: Mapping[str, Callable]) -> None:
    """Raise `ModelError` where early stopping watches what the history will not have."""
    known = ["loss"] + (["val_loss", *(f"val_{name}" for name in metrics)] if points.Xv is not None else [])
    if stopping is None or stopping.monitor in known:
        return
    if points.Xv is None:
        raise ModelError(f"early_stopping watches {stopping.monitor!r} and needs validation: give a fraction or (X, y)")
    raise ModelError(f"early_stopping watches {stopping.monitor!r}, but the history will have {known}")


def check_takes_weights(loss: Callable) -> None:
    """Raise `ModelError` for a loss that cannot weigh its points."""
    try:
        inspect.signature(loss).bind(None, None, sample_weight=None)
    except TypeError:
        name = getattr(loss, "__name__", repr(loss))
        raise ModelError(
            f"sample_weight was given, but the loss {name} does not take it; write f(prediction, target, sample_weight=None)"
        ) from None
    except ValueError:  # a callable without a signature is left to be called
        pass
