"""Covariances, counts and histograms."""

from __future__ import annotations

from typing import Any

import numpy as np

from retrograde.errors import GraphTypeError, ShapeError, TracerBoolError, UnsupportedError
from retrograde.numpy.complex import conjugate
from retrograde.numpy.elementwise import clip, where
from retrograde.numpy.linear import matmul
from retrograde.numpy.ordering import searchsorted
from retrograde.numpy.reductions import average
from retrograde.numpy.reductions import max as _max
from retrograde.numpy.reductions import min as _min
from retrograde.numpy.reductions import sum as _sum
from retrograde.numpy.shaping import array, atleast_2d, concatenate, ravel, real_array, squeeze, transpose
from retrograde.numpy.table import implements
from retrograde.ops import elementwise as ew
from retrograde.ops import index as ix
from retrograde.ops.promote import apply, astype, is_traced


@implements(np.cov)
def cov(
    m: Any, y: Any = None, rowvar: bool = True, bias: bool = False, ddof: Any = None, fweights: Any = None,
    aweights: Any = None, *, dtype: Any = None,
) -> Any:  # fmt: skip
    """The covariances of variables, which are rows, or columns where not `rowvar`, over observations."""
    if ddof is not None and ddof != int(ddof):
        raise ValueError("ddof must be integer")
    given = [array(v) for v in (m, y) if v is not None]
    if any(len(v.shape) > 2 for v in given):
        raise ShapeError("cov: m and y have at most 2 axes")
    dtype = np.result_type(*[v.dtype for v in given], np.float64) if dtype is None else np.dtype(dtype)
    # as in NumPy, a y that is one row is a variable, whatever `rowvar` says
    turned = [not rowvar and len(v.shape) > 1 and (v is given[0] or v.shape[0] != 1) for v in given]
    rows = [astype(transpose(v) if turn else atleast_2d(v), dtype) for v, turn in zip(given, turned)]
    x = concatenate(rows) if len(rows) > 1 else rows[0]
    if x.shape[0] == 0:
        return np.zeros((0, 0), dtype)
    ddof = (0 if bias else 1) if ddof is None else ddof
    weights = _weights(fweights, aweights, x.shape[1])
    mean, total = average(x, axis=1, weights=weights, returned=True)
    centred = x - mean[:, None]
    if weights is None:
        factor: Any = float(max(x.shape[1] - ddof, 0))
    else:
        total = total[0]
        factor = total - (ddof if aweights is None else ddof * _sum(weights * array(aweights)) / total if ddof else 0)
        factor = apply(ew.maximum, factor, 0.0)
    other = centred if weights is None else centred * weights
    other = conjugate(other) if other.dtype.kind == "c" else other
    return squeeze(apply(ew.divide, matmul(centred, transpose(other)), factor))


def _weights(fweights: Any, aweights: Any, n: int) -> Any:
    """The weight of each observation: how often it was made times how much it counts; None for one each."""
    found = None
    for name, given in (("fweights", fweights), ("aweights", aweights)):
        if given is None:
            continue
        w = astype(real_array("cov", given), np.float64)
        if w.shape != (n,):
            raise ShapeError(f"cov: {name} of shape {tuple(w.shape)} for {n} observations; give each one number")
        if not is_traced(w):
            if name == "fweights" and not np.all(w == np.around(w)):
                raise TypeError("fweights must be integer")
            if np.any(w < 0):
                raise ValueError(f"{name} cannot be negative")
        found = w if found is None else found * w
    return found


@implements(np.corrcoef)
def corrcoef(x: Any, y: Any = None, rowvar: bool = True, *, dtype: Any = None) -> Any:
    """The correlations: covariances over the standard deviations of both, within [-1, 1]."""
    c = cov(x, y, rowvar, dtype=dtype)
    if len(c.shape) == 0:
        return c / c
    deviations = np.sqrt(np.real(c[np.arange(c.shape[0]), np.arange(c.shape[0])]))
    c = c / deviations[:, None] / deviations[None, :]
    within = clip(np.real(c), -1, 1) + 1j * clip(np.imag(c), -1, 1) if c.dtype.kind == "c" else clip(c, -1, 1)
    return c - ew.stop_gradient(c - within)  # what rounding put past 1 is taken off, and the derivative stays


@implements(np.count_nonzero)
def count_nonzero(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """How many elements are not 0; no derivative."""
    a = array(a)
    return _sum(a if a.dtype == bool else apply(ew.not_equal, a, 0), axis, keepdims=keepdims)


def _known(x: Any, what: str, instead: str) -> int:
    try:
        return int(x)
    except TracerBoolError as error:
        raise UnsupportedError(f"{what} has a shape that depends on values, which are not known here. {instead}") from error


@implements(np.bincount)
def bincount(x: Any, /, weights: Any = None, minlength: int = 0, *, length: int | None = None) -> Any:
    """How often each integer from 0 on occurs, or the sum of the weights at it; the derivative is in the weights.

    `length` (not NumPy's) says how long the result is, where `x` is traced without values; what is not below it is left out.
    """
    x = array(x)
    if len(x.shape) != 1 or x.dtype.kind not in "iub":
        raise GraphTypeError(f"bincount: a vector of integers is wanted; it was given {x.dtype} of shape {tuple(x.shape)}")
    if minlength < 0:
        raise ValueError("'minlength' must not be negative")
    x = astype(x, np.int64)
    if length is None:
        hint = "Call retrograde.numpy.bincount(x, length=n)"
        if x.size and _known(_min(x), "np.bincount of a traced array", hint) < 0:
            raise ValueError("bincount: first argument must have no negative elements")
        size = max(minlength, _known(_max(x), "np.bincount of a traced array", hint) + 1 if x.size else 0)
    else:
        size = int(length)
    if weights is not None:
        weights = astype(real_array("bincount", weights), np.float64)
        if weights.shape != x.shape:
            raise ShapeError(f"bincount: weights of shape {tuple(weights.shape)} for integers of shape {tuple(x.shape)}")
    return _scatter(x, weights if x.size else None, size)  # of nothing NumPy gives integers, whatever the weights


def _scatter(places: Any, weights: Any, size: int) -> Any:
    """The number or the weights of the places 0, 1 ... size - 1; others are left out."""
    inside = ew.logical_and(apply(ew.greater_equal, places, 0), apply(ew.less, places, size))
    if weights is None:
        added = astype(inside, np.int64)
    else:
        added = ew.select(inside, weights, weights.dtype.type(0))
    if size == 0:
        return np.zeros(0, added.dtype)
    places = apply(ew.minimum, apply(ew.maximum, places, 0), size - 1)
    return ix.scatter_add(added, places, axis=0, size=size)


@implements(np.histogram)
def histogram(a: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None) -> tuple:
    """The number of elements, or the sum of their weights, in each bin, and the bins' edges.

    Counts are constant almost everywhere: they have a derivative in the weights alone. Edges, and so densities, have one too.
    """
    a = ravel(real_array("histogram", a))
    if a.dtype == bool:
        a = astype(a, np.uint8)
    if weights is not None:
        weights = array(weights)
        if weights.size != a.size:
            raise ShapeError(f"histogram: weights of shape {tuple(weights.shape)} for {a.size} elements")
        weights = ravel(weights)
    if isinstance(bins, str):
        raise UnsupportedError(f"np.histogram(bins={bins!r}) is not supported on traced arrays; pass their number or edges")
    edges = _edges(a, bins, range)
    common = np.promote_types(a.dtype, edges.dtype)
    values, limits = astype(a, common), astype(edges, common)
    # the last bin has its right edge in it
    at_end = apply(ew.equal, values, limits[-1])
    places = where(at_end, limits.shape[0] - 2, searchsorted(limits, values, "right") - 1)
    counts = _scatter(places, weights, edges.shape[0] - 1)
    if not density:
        return counts, edges
    widths = astype(edges[1:] - edges[:-1], np.float64)
    return counts / widths / _sum(counts), edges


def _edges(a: Any, bins: Any, limits: Any) -> Any:
    if len(array(bins).shape) == 1:
        edges = array(bins)
        if not is_traced(edges) and np.any(edges[:-1] > edges[1:]):
            raise ValueError("`bins` must increase monotonically, when an array")
        return edges
    count = bins.__index__()
    if count < 1:
        raise ValueError("`bins` must be positive, when an integer")
    if limits is not None:
        first, last = limits
        if not (np.isfinite(first) and np.isfinite(last)) or first > last:
            raise ValueError(f"histogram: range {limits} is no range of finite numbers, the first not above the last")
        first, last = (first - 0.5, last + 0.5) if first == last else (first, last)
        return np.linspace(first, last, count + 1, dtype=np.result_type(first, last, a.dtype if a.dtype.kind == "f" else float))
    if not a.size:
        return np.linspace(0.0, 1.0, count + 1)
    dtype = a.dtype if a.dtype.kind == "f" else np.dtype(np.float64)
    first, last = (astype(f(a), dtype) for f in (_min, _max))
    alike = apply(ew.equal, first, last)
    first, last = where(alike, first - dtype.type(0.5), first), where(alike, last + dtype.type(0.5), last)
    steps = np.arange(count + 1, dtype=dtype)
    return where(steps == count, last, steps * ((last - first) / dtype.type(count)) + first)
