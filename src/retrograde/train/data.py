"""What `fit` accepts, checked before anything runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from retrograde.errors import DataError, ModelError
from retrograde.io.frames import is_tabular
from retrograde.nn import Flatten, Lambda, Module, Parallel, Sequential, TransformerEncoder
from retrograde.train.tabular import array_of


@dataclass(frozen=True)
class Data:
    """Training points, their weights if any, and validation points if any; X and float y in the network's dtype.

    `rows` are those of the training points in what was given, where validation points were taken out of it.
    """

    X: np.ndarray
    y: np.ndarray
    weight: np.ndarray | None
    Xv: np.ndarray | None
    yv: np.ndarray | None
    rows: np.ndarray | None = None

    @property
    def held(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The validation points."""
        return None if self.Xv is None or self.yv is None else (self.Xv, self.yv)

    @property
    def n(self) -> int:
        """Number of training points."""
        return len(self.X)


def prepare(data: tuple[Any, Any], sample_weight: Any, validation: Any, dtype: np.dtype, seed: int) -> Data:
    """Check and convert `(X, y)`, and split off or take the validation points."""
    X, y = pair(data, "data", dtype)
    weight = None if sample_weight is None else check_weights(sample_weight, len(X), dtype)
    if validation is None:
        return Data(X, y, weight, None, None)
    if isinstance(validation, (int, float, np.number)) and not isinstance(validation, bool):
        count = round(len(X) * float(validation)) if 0 < validation < 1 else 0
        if not 0 < count < len(X):
            raise DataError(f"validation={validation!r} of {len(X)} points leaves none for training or none to validate on")
        held = _spread(y, count, seed)
        kept = np.setdiff1d(np.arange(len(X)), held)
        return Data(X[kept], y[kept], None if weight is None else weight[kept], X[held], y[held], kept)
    return check_alike(Data(X, y, weight, *pair(validation, "validation", dtype)))


def check_alike(points: Data) -> Data:
    """These points; raises `DataError` where those to validate on have other shapes or dtypes than those to train on."""
    X, y, Xv, yv = points.X, points.y, points.Xv, points.yv
    if Xv is None or yv is None or (Xv.shape[1:], yv.shape[1:], yv.dtype) == (X.shape[1:], y.shape[1:], y.dtype):
        return points
    raise DataError(f"validation points of shapes {Xv.shape}, {yv.shape} do not match training's {X.shape}, {y.shape}")


def _spread(y: np.ndarray, count: int, seed: int) -> np.ndarray:
    """`count` points at random; of integer labels, each class gives its share (systematic sampling of the sorted labels)."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(y))
    if y.ndim == 1 and y.dtype.kind in "iu":
        order = order[np.argsort(y[order], kind="stable")]
        places = ((np.arange(count) + rng.random()) * len(y) / count).astype(int)
        return np.sort(order[places])
    return np.sort(order[:count])


def pair(data: tuple[Any, Any], name: str, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """X and y as arrays in the network's dtype, one row of each a point."""
    X, y = array(data[0], f"{name}: X", dtype), array(data[1], f"{name}: y", dtype)
    check_rows(X, y, name)
    return X, y


def check_rows(X: Any, y: Any, name: str) -> None:
    """Raise `DataError` unless there is one row of each for every point, and a point."""
    if len(X.shape) == 0 or len(y.shape) == 0 or X.shape[0] != y.shape[0]:
        raise DataError(f"{name}: X and y must have one row a point; their shapes are {X.shape} and {y.shape}")
    if X.shape[0] == 0:
        raise DataError(f"{name} has no points: X has shape {X.shape}")


def check_weights(values: Any, n: int, dtype: np.dtype, name: str = "sample_weight", none: bool = False) -> np.ndarray:
    """The weights of `n` points, (n,) and not negative; with `none`, all of them may be 0."""
    weight = array(values, name, dtype)
    if weight.shape != (n,) or (weight < 0).any() or not (none or weight.sum() > 0):
        raise DataError(f"{name} must be {n} non-negative numbers{', not all 0' * (not none)}; its shape is {weight.shape}")
    return weight


def array(values: Any, name: str, dtype: np.dtype) -> np.ndarray:
    """Numbers in the network's dtype, contiguous; whole numbers stay so, as int64, where the name ends in y."""
    if is_tabular(values):
        return array_of(values, name, dtype, labels=name.endswith("y"))
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
            raise ModelError(f"callbacks are functions of the history; {callback!r} is none (early stopping, metrics, watch and "
                             "checkpoints are arguments of fit)")  # fmt: skip
    return listed


def check_points_first(net: Module) -> None:
    """Raise `ModelError` for a layer that would take the points, which batches draw along the first axis, for steps of time."""
    for layer in _in_order(net):
        if getattr(layer, "batch_first", None) is False:
            raise ModelError(
                f"{layer!r} takes time along the first axis, along which fit draws its points: give it batch_first=True and "
                "arrays (points, time, features). (Only a full batch without shuffle is one array in time.)"
            )
        keeps_axes = type(layer).__module__.startswith("retrograde.nn") and not isinstance(layer, (Flatten, Lambda, Parallel))
        if hasattr(layer, "batch_first") or not keeps_axes:
            return


def _in_order(net: Module) -> Iterator[Module]:
    """The layers that data go through, one after the other."""
    if isinstance(net, (Sequential, TransformerEncoder)):
        for layer in net.layers:
            yield from _in_order(layer)
    else:
        yield net


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
