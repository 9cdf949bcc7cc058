"""Medians, quantiles and percentiles: elements of a sorted line, with the derivative going through the interpolation.

The methods are those of Hyndman and Fan (1996), "Sample quantiles in statistical packages", and NumPy's four others.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from retrograde.errors import ShapeError, UnsupportedError
from retrograde.ir.builder import plain
from retrograde.numpy.elementwise import isnan, where
from retrograde.numpy.ordering import argsort, sort
from retrograde.numpy.reductions import _axes, along
from retrograde.numpy.reductions import sum as _sum
from retrograde.numpy.shaping import broadcast_to, expand_dims, moveaxis, real_array, reshape, transpose
from retrograde.numpy.table import implements, refuse
from retrograde.ops import elementwise as ew
from retrograde.ops import index as ix
from retrograde.ops.promote import apply, astype, is_traced

_NONE = np._NoValue


def _lines(a: Any, axis: Any) -> tuple[Any, tuple[int, ...]]:
    """`a` with the axes that are reduced as its one last axis, and the shape of the result with those axes kept."""
    axes = _axes(axis, len(a.shape))
    rest = [i for i in range(len(a.shape)) if i not in axes]
    kept = tuple(1 if i in axes else n for i, n in enumerate(a.shape))
    moved = transpose(a, (*rest, *axes))
    return reshape(moved, (*(a.shape[i] for i in rest), math.prod(a.shape[i] for i in axes))), kept


# -- medians ---------------------------------------------------------------------------------------------------------


@implements(np.median)
def median(a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: Any = False) -> Any:
    """The middle of the sorted elements, or the mean of the two in the middle; NaN where there is one."""
    refuse("median", out=out)
    a = real_array("median", a)
    a = a if a.dtype.kind == "f" else astype(a, np.float64)
    lines, kept = _lines(a, axis)
    ordered, n = sort(lines), lines.shape[-1]
    if n == 0:
        found = broadcast_to(a.dtype.type(np.nan), lines.shape[:-1])
    else:
        upper, lower = ordered[..., n // 2], ordered[..., (n - 1) // 2]
        found = _nan_where(isnan(ordered[..., -1]), upper if n % 2 else _middle(lower, upper))
    return reshape(found, kept) if keepdims else found


def _middle(x: Any, y: Any) -> Any:
    return (x + y) / 2.0


def _nan_where(condition: Any, x: Any) -> Any:
    return where(condition, x.dtype.type(np.nan), x)


@implements(np.nanmedian)
def nanmedian(a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: Any = _NONE) -> Any:
    """The median of what is not NaN; of nothing, NaN."""
    refuse("nanmedian", out=out)
    a = real_array("nanmedian", a)
    a = a if a.dtype.kind == "f" else astype(a, np.float64)
    lines, kept = _lines(a, axis)
    if lines.shape[-1] == 0:
        found = broadcast_to(a.dtype.type(np.nan), lines.shape[:-1])
    else:
        ordered, count = sort(lines), _count(lines)
        upper, lower = (_take(ordered, expand_dims(i, -1))[..., 0] for i in (count // 2, (count - 1) // 2))
        found = _nan_where(count == 0, where(count % 2 == 1, upper, _middle(lower, upper)))
    return reshape(found, kept) if keepdims is not _NONE and keepdims else found


def _count(lines: Any) -> Any:
    """How many elements of each line are not NaN."""
    return _sum(np.logical_not(isnan(lines)), -1)


def _take(ordered: Any, places: Any) -> Any:
    """Elements of each line at its own places; below the first one stands the first."""
    n = ordered.shape[-1]
    places = broadcast_to(places, (*ordered.shape[:-1], places.shape[-1]))
    return ix.take_along(ordered, apply(ew.minimum, apply(ew.maximum, places, 0), n - 1), axis=len(ordered.shape) - 1)


# -- quantiles -------------------------------------------------------------------------------------------------------


def _hyndman_fan(alpha: float, beta: float) -> Callable:
    return lambda n, q: n * q + (alpha + q * (1 - alpha - beta)) - 1


def _whole(place: Any) -> Any:
    """A place that is a whole number already: there is nothing to interpolate."""
    return place, 0.0 * place


def _between(place: Any) -> Any:
    below = np.floor(place)
    return below, place - below


def _next_unless(place: Any, stays: Any) -> Any:
    """The element above, or the one below where the rule says so; none before the first."""
    below = np.floor(place)
    return _whole(np.maximum(where(stays(below, place), below, below + 1), 0.0))


def _weighed(place: Any, weight: Callable) -> Any:
    below = np.floor(place)
    return below, weight(below, place) + 0.0 * place


# from the count of elements and q to the place below and the weight of the element above it
_METHODS: dict[str, Callable[[Any, Any], tuple[Any, Any]]] = {
    "inverted_cdf": lambda n, q: _next_unless(n * q - 1, lambda below, place: place == below),
    "averaged_inverted_cdf": lambda n, q: _weighed(n * q - 1, lambda below, place: where(place == below, 0.5, 1.0)),
    "closest_observation": lambda n, q: _next_unless(
        n * q - 1 - 0.5, lambda below, place: (place == below) & (below % 2 == 1)
    ),
    "interpolated_inverted_cdf": lambda n, q: _between(_hyndman_fan(0, 1)(n, q)),
    "hazen": lambda n, q: _between(_hyndman_fan(0.5, 0.5)(n, q)),
    "weibull": lambda n, q: _between(_hyndman_fan(0, 0)(n, q)),
    "linear": lambda n, q: _between((n - 1) * q),
    "median_unbiased": lambda n, q: _between(_hyndman_fan(1 / 3.0, 1 / 3.0)(n, q)),
    "normal_unbiased": lambda n, q: _between(_hyndman_fan(3 / 8.0, 3 / 8.0)(n, q)),
    "lower": lambda n, q: _whole(np.floor((n - 1) * q)),
    "higher": lambda n, q: _whole(np.ceil((n - 1) * q)),
    "midpoint": lambda n, q: _weighed((n - 1) * q, lambda below, place: where(place == below, 0.0, 0.5)),
    "nearest": lambda n, q: _whole(np.round((n - 1) * q)),
}
_CHOOSING = {"inverted_cdf", "closest_observation", "lower", "higher", "nearest"}  # they give elements as they are


def _quantile(
    name: str, a: Any, q: Any, axis: Any, method: str, keepdims: Any, weights: Any, skips_nan: bool, percent: bool
) -> Any:  # fmt: skip
    if method not in _METHODS:
        raise ValueError(f"{method!r} is not a valid method. Use one of: {', '.join(_METHODS)}")
    a, q, weak = real_array(name, a), real_array(name, q), type(q) in (int, float)
    if q.dtype.kind != "f":
        q = astype(q, np.float64)
    q = q / 100 if percent else q
    if not is_traced(q) and not np.all((q >= 0) & (q <= 1)):
        raise ValueError(f"{name}: {'percentages' if percent else 'quantiles'} must be in the range [0, {100 if percent else 1}]")
    lines, kept = _lines(a, axis)
    if lines.shape[-1] == 0:
        raise ShapeError(f"np.{name} of no elements has no value: shape {tuple(a.shape)}, axis {axis}")
    work = a.dtype if weak and a.dtype.kind == "f" else np.result_type(a.dtype, q.dtype)
    if method not in _CHOOSING and a.dtype.kind != "f":
        lines = astype(lines, work)
    flat = reshape(q, (-1 if q.size else 0,))
    if weights is not None:
        if method != "inverted_cdf":
            raise ValueError(f'{name}: weights want method="inverted_cdf"; it is {method!r}')
        weights = broadcast_to(along(name, real_array(name, weights), a.shape, axis), a.shape)
        found = _by_weights(name, lines, astype(_lines(weights, axis)[0], np.float64), flat, skips_nan)
        return _in_shape(found, q, kept if keepdims else lines.shape[:-1])
    ordered = sort(lines)
    if skips_nan:
        count = expand_dims(_count(lines), -1)
        found = _at(ordered, *_METHODS[method](astype(count, flat.dtype), flat), count, method, work)
        found = _nan_where(count == 0, found) if a.dtype.kind == "f" else found
    else:
        n = lines.shape[-1]
        found = _at(ordered, *_METHODS[method](n, flat), n, method, work)
        found = _nan_where(isnan(ordered[..., -1:]), found) if a.dtype.kind == "f" else found
    return _in_shape(found, q, kept if keepdims else lines.shape[:-1])


def _in_shape(found: Any, q: Any, lead: tuple[int, ...]) -> Any:
    """What was found for each line, in the shape of NumPy's result: that of q in front."""
    return reshape(moveaxis(found, -1, 0), (*q.shape, *lead))


def _by_weights(name: str, lines: Any, weights: Any, q: Any, skips_nan: bool) -> Any:
    """The first element with which the weights of those that are not greater are at least q of the whole.

    At q = 0 it is the first that weighs anything. Weights have no derivative: moving one a little moves nothing.
    """
    unknown, weights = isnan(lines), ew.stop_gradient(weights)
    weights = where(unknown, 0.0, weights) if skips_nan else weights
    empty = np.all(unknown, axis=-1) if skips_nan else False
    whole = _sum(weights, -1)
    right = np.logical_or(np.all(weights >= 0, axis=-1) & (whole > 0) & (whole < np.inf), empty)
    _check_weights(name, plain(right), lines)
    places = argsort(lines)
    ordered, weights = (ix.take_along(x, places, axis=len(lines.shape) - 1) for x in (lines, weights))
    share = np.cumsum(weights, axis=-1)
    share = share / where(expand_dims(right & (whole > 0), -1), share[..., -1:], 1.0)
    share = expand_dims(astype(share, q.dtype), -2)
    below = np.logical_or(share < expand_dims(q, -1), share == 0)
    found = _take(ordered, np.minimum(_sum(below, -1), expand_dims(_count(lines), -1) - 1 if skips_nan else lines.shape[-1] - 1))
    if lines.dtype.kind != "f":
        return found
    lost = np.logical_or(np.logical_not(right), empty if skips_nan else isnan(ordered[..., -1]))
    return _nan_where(expand_dims(lost, -1), found)


def _check_weights(name: str, right: Any, lines: Any) -> None:
    """Raise for wrong weights, or where they are not known yet and a result of integers could not say that they are wrong."""
    if right is not None and not np.all(right):
        raise ValueError(f"{name}: weights must not be negative, infinite, NaN or all 0")
    if right is None and lines.dtype.kind != "f":
        raise UnsupportedError(
            f"np.{name}: compiled, traced weights of {lines.dtype} elements are not supported, as no NaN could say that they are "
            "wrong. Write x.astype(float)"
        )


def _at(ordered: Any, below: Any, weight: Any, count: Any, method: str, dtype: np.dtype) -> Any:
    """The value at a place of each line and a weight's part of the way to the next, in `dtype`; outside, the nearest end."""
    last = count - 1
    place = np.minimum(np.maximum(astype(below, np.int64), 0), np.maximum(last, 0))
    lower = _take(ordered, place)
    if method in _CHOOSING:
        return lower
    outside = (below < 0) | (astype(below, np.int64) >= last)
    upper = _take(ordered, where(outside, place, np.minimum(place + 1, np.maximum(last, 0))))
    weight = astype(weight, dtype)
    step = upper - lower
    return where(weight >= 0.5, upper - step * (1 - weight), lower + step * weight)


def _family(name: str, skips_nan: bool, percent: bool) -> Any:
    def call(
        a: Any, q: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, method: str = "linear",
        keepdims: Any = _NONE, *, weights: Any = None,
    ) -> Any:  # fmt: skip
        refuse(name, out=out)
        keepdims = keepdims is not _NONE and bool(keepdims)
        return _quantile(name, a, q, axis, method, keepdims, weights, skips_nan, percent)

    call.__name__ = name
    call.__doc__ = (
        f"As `numpy.{name}`; the cotangent goes to the elements that it lies between, and, if it is traced, to `q`. By `weights` "
        "there is no derivative; where they are wrong, NumPy raises ValueError, and compiled code gives NaN."
        + (" NaN is left out and gets none." if skips_nan else "")
    )
    return call


quantile, percentile = (implements(getattr(np, n))(_family(n, False, n == "percentile")) for n in ("quantile", "percentile"))
nanquantile, nanpercentile = (
    implements(getattr(np, n))(_family(n, True, n == "nanpercentile")) for n in ("nanquantile", "nanpercentile")
)
