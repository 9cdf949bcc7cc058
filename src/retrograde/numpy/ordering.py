"""NumPy's functions that put in order and search what is in order. Sorting is stable, whatever `kind` says; NaN comes last, or
first in descending order.

Among complex numbers the real part decides, then the imaginary one, as in NumPy.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from retrograde.errors import ShapeError
from retrograde.numpy.elementwise import isnan, where
from retrograde.numpy.indexing import take
from retrograde.numpy.shaping import array, flip, normalize_axis, ravel
from retrograde.numpy.table import implements, refuse
from retrograde.ops import complex as cx
from retrograde.ops import elementwise as ew
from retrograde.ops import index as ix
from retrograde.ops import sort as so
from retrograde.ops.promote import apply, astype, is_traced


def _line(a: Any, axis: Any) -> tuple[Any, int]:
    a = array(a)
    if axis is None:
        return ravel(a), 0
    return a, normalize_axis(axis, len(a.shape))


def _order(a: Any, axis: int) -> Any:
    """The places in ascending order; complex numbers by their real parts, then by their imaginary ones, with NaN behind.

    As in NumPy what has a NaN imaginary part comes after all numbers, then what has a NaN real part, then what has both.
    """
    if a.dtype.kind != "c":
        return so.argsort(a, axis=axis)
    x, y = cx.real(a), cx.imag(a)
    unknown = apply(ew.add, apply(ew.multiply, astype(isnan(x), np.int8), np.int8(2)), astype(isnan(y), np.int8))
    return lexsort((y, x, unknown), axis)


@implements(np.argsort)
def argsort(
    a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None, descending: bool = False
) -> Any:  # fmt: skip
    """The places of the elements in ascending or `descending` order, ties in the order they have; no derivative. O(n log n)."""
    refuse("argsort", order=order)
    return _places(*_line(a, axis if array(a).shape else None), descending)


def _places(a: Any, axis: int, descending: bool) -> Any:
    if not descending:
        return _order(a, axis)
    places = flip(_order(flip(a, axis), axis), axis)  # turned around twice, ties stay in order
    return apply(ew.subtract, a.shape[axis] - 1, places)


@implements(np.sort)
def sort(
    a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None, descending: bool = False
) -> Any:  # fmt: skip
    """The elements in ascending or `descending` order; each cotangent goes back to where its element came from. O(n log n)."""
    refuse("sort", order=order)
    a, axis = _line(a, axis)
    if a.dtype.kind == "c" or descending:
        return ix.take_along(a, _places(a, axis, descending), axis=axis)
    return so.sort(a, axis=axis)


@implements(np.sort_complex)
def sort_complex(a: Any) -> Any:
    """The elements as complex numbers, by their real parts, then by their imaginary ones, along the last axis."""
    a = sort(a)
    short = a.dtype.kind in "iu" and a.dtype.itemsize < 4
    return a if a.dtype.kind == "c" else astype(a, np.complex64 if short else np.complex128)


def _check_kth(kth: Any, n: int) -> None:
    if n and any(not -n <= k < n for k in np.ravel(kth)):
        raise ValueError(f"kth(={kth}) out of bounds ({n})")


@implements(np.partition)
def partition(a: Any, kth: Any, axis: Any = -1, kind: str = "introselect", order: Any = None) -> Any:
    """The elements with those at `kth` where sorting puts them; here all of them are sorted, in O(n log n)."""
    refuse("partition", order=order)
    a, axis = _line(a, axis)
    _check_kth(kth, a.shape[axis])
    return sort(a, axis)


@implements(np.argpartition)
def argpartition(a: Any, kth: Any, axis: Any = -1, kind: str = "introselect", order: Any = None) -> Any:
    """The places of the elements of a partition; here all of them are sorted, in O(n log n)."""
    refuse("argpartition", order=order)
    a, axis = _line(a, axis)
    _check_kth(kth, a.shape[axis])
    return _order(a, axis)


@implements(np.lexsort)
def lexsort(keys: Any, axis: int = -1) -> Any:
    """The order by several keys, the last of them first; no derivative."""
    lines = [array(k) for k in keys]
    if not lines:
        raise ShapeError("lexsort: need sequence of keys with len > 0")
    axis = normalize_axis(axis, len(lines[0].shape))
    order = _order(lines[0], axis)
    for key in lines[1:]:
        order = ix.take_along(order, _order(ix.take_along(key, order, axis=axis), axis), axis=axis)
    return order


@implements(np.searchsorted)
def searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Any:
    """Where the elements of `v` could stand in the sorted `a`, by halving; no derivative.

    Of an `a` that is not sorted the answer is some place from 0 to len(a), as in NumPy.
    """
    a, v = array(a), array(v)
    if len(a.shape) != 1:
        raise ShapeError(f"searchsorted: the sorted array must have one axis; it has shape {tuple(a.shape)}")
    if side not in ("left", "right"):
        raise ValueError(f"search side must be 'left' or 'right' (got '{side}')")
    if sorter is not None:
        a = take(a, sorter)
    dtype = np.promote_types(a.dtype, v.dtype)
    return so.searchsorted(astype(a, dtype), astype(v, dtype), side=side)


@implements(np.digitize)
def digitize(x: Any, bins: Any, right: bool = False) -> Any:
    """The number of the bin that each element is in; no derivative. Traced bins rise if their last is not below their first."""
    x, bins = array(x), array(bins)
    if len(bins.shape) != 1:
        raise ShapeError(f"digitize: the bins must have one axis; they have shape {tuple(bins.shape)}")
    n, side = bins.shape[0], "left" if right else "right"
    if n == 0:
        return searchsorted(bins, x, side)
    if is_traced(bins):
        rises = bins[-1] >= bins[0]
        return where(rises, searchsorted(bins, x, side), n - searchsorted(flip(bins), x, side))
    steps = np.diff(bins)
    if np.all(steps >= 0):
        return searchsorted(bins, x, side)
    if np.all(steps <= 0):
        return n - searchsorted(bins[::-1], x, side)
    raise ValueError("bins must be monotonically increasing or decreasing")
