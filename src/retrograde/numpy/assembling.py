"""NumPy's functions that put arrays together and take them apart, composed of slices, `concatenate` and `gather`."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from retrograde.errors import ShapeError, UnsupportedError
from retrograde.ir.builder import plain
from retrograde.numpy.indexing import getitem
from retrograde.numpy.shaping import (
    array,
    broadcast_arrays,
    broadcast_to,
    concatenate,
    copy,
    expand_dims,
    flip,
    moveaxis,
    normalize_axis,
    ravel,
    reshape,
    swapaxes,
)
from retrograde.numpy.table import implements, refuse
from retrograde.ops import elementwise as ew
from retrograde.ops import index as ix
from retrograde.ops.promote import apply, astype, is_traced

_copied = copy


def part(a: Any, axis: int, start: Any, stop: Any, step: Any = None) -> Any:
    """A slice along one axis."""
    return getitem(a, (slice(None),) * axis + (slice(start, stop, step),))


def settled(x: Any, name: str, what: str, instead: str) -> Any:
    """`x` as a plain array, for arguments that decide a shape: a traced one by its value, where it has one."""
    found = plain(x)
    if found is None:
        raise UnsupportedError(
            f"np.{name}: {what} decides the result's shape, and under jit or vmap it has no value yet. {instead}"
        )
    return found


# -- turned around ----------------------------------------------------------------------------------------------------


@implements(np.roll)
def roll(a: Any, shift: Any, axis: Any = None) -> Any:
    """Elements moved on along axes, those past the end to the beginning; one shift may be traced."""
    a = array(a)
    if axis is None:
        return reshape(roll(ravel(a), shift if is_traced(shift) else int(np.sum(shift)), 0), a.shape)
    if is_traced(shift) and (shift.shape or np.ndim(axis)):
        shift = [shift[i] for i in range(len(shift))] if shift.shape else [shift]
    if isinstance(shift, (list, tuple)) or np.ndim(axis) or (not is_traced(shift) and np.ndim(shift)):
        axes = list(np.atleast_1d(axis))
        shifts = list(shift) if isinstance(shift, (list, tuple, np.ndarray)) else [shift]
        count = max(len(axes), len(shifts))
        if {len(axes), len(shifts)} - {1, count}:
            raise ShapeError(f"roll: {len(shifts)} shifts for {len(axes)} axes; give one for all, or one for each")
        for s, x in zip(shifts * (count // len(shifts)), axes * (count // len(axes))):
            a = roll(a, s, x)
        return a
    axis = normalize_axis(axis, len(a.shape))
    n = a.shape[axis]
    if is_traced(shift):
        return ix.gather(a, apply(ew.remainder, apply(ew.subtract, np.arange(n), shift), max(n, 1)), axis=axis)
    s = int(shift) % n if n else 0
    return concatenate([part(a, axis, n - s, None), part(a, axis, 0, n - s)], axis) if s else a


@implements(np.rollaxis)
def rollaxis(a: Any, axis: int, start: int = 0) -> Any:
    """The axis moved back until it lies before `start`."""
    a = array(a)
    n = len(a.shape)
    axis, start = normalize_axis(axis, n), start + n if start < 0 else start
    if not 0 <= start <= n:
        raise np.exceptions.AxisError(f"rollaxis: start={start} for an array of {n} axes")
    return moveaxis(a, axis, start - 1 if axis < start else start)


@implements(np.fliplr)
def fliplr(m: Any) -> Any:
    """Columns in reverse."""
    return flip(m, 1)


@implements(np.flipud)
def flipud(m: Any) -> Any:
    """Rows in reverse."""
    return flip(m, 0)


@implements(np.rot90)
def rot90(m: Any, k: int = 1, axes: Any = (0, 1)) -> Any:
    """Turned by 90 degrees k times, from the first of two axes towards the second; a view."""
    m = array(m)
    first, second = (normalize_axis(x, len(m.shape)) for x in axes)
    if first == second:
        raise ShapeError(f"rot90: the axes {tuple(axes)} must differ")
    k %= 4
    if k % 2 == 0:
        return flip(m, (first, second)) if k else m
    return swapaxes(flip(m, second), first, second) if k == 1 else flip(swapaxes(m, first, second), second)


# -- repeated ---------------------------------------------------------------------------------------------------------


@implements(np.repeat)
def repeat(a: Any, repeats: Any, axis: Any = None) -> Any:
    """Each element `repeats` times, or each as often as its number in `repeats` says."""
    a = array(a)
    if axis is None:
        a, axis = ravel(a), 0
    axis = normalize_axis(axis, len(a.shape))
    repeats = np.asarray(settled(repeats, "repeat", "repeats", "Pass it as a plain array or a static argument"))
    n = a.shape[axis]
    if repeats.size == 1:
        count = int(repeats.reshape(())[()])
        if count < 0:
            raise ValueError("repeats may not contain negative values.")
        wide = broadcast_to(expand_dims(a, axis + 1), (*a.shape[: axis + 1], count, *a.shape[axis + 1 :]))
        return copy(reshape(wide, (*a.shape[:axis], n * count, *a.shape[axis + 1 :])))
    return ix.gather(a, np.repeat(np.arange(n), repeats), axis=axis)


@implements(np.tile)
def tile(A: Any, reps: Any) -> Any:
    """The whole array laid side by side, `reps` times along each axis."""
    a = array(A)
    reps = tuple(int(r) for r in np.atleast_1d(reps))
    n = max(len(reps), len(a.shape))
    reps, shape = (1,) * (n - len(reps)) + reps, (1,) * (n - len(a.shape)) + a.shape
    pairs = tuple(itertools.chain.from_iterable(zip(reps, shape)))
    ones = tuple(itertools.chain.from_iterable((1, m) for m in shape))
    return copy(reshape(broadcast_to(reshape(a, ones), pairs), tuple(r * m for r, m in zip(reps, shape))))


@implements(np.resize)
def resize(a: Any, new_shape: Any) -> Any:
    """The elements in order, again and again, until `new_shape` is filled."""
    a = array(a)
    shape = tuple(int(n) for n in np.atleast_1d(new_shape))
    size = math.prod(shape)
    if any(n < 0 for n in shape):
        raise ValueError("all elements of `new_shape` must be non-negative")
    if not a.size or not size:
        return np.zeros(shape, a.dtype)
    return copy(reshape(part(tile(ravel(a), -(-size // a.size)), 0, 0, size), shape))


# -- joined and split -------------------------------------------------------------------------------------------------


@implements(np.atleast_3d)
def atleast_3d(*arrays: Any) -> Any:
    """At least three axes."""
    found = []
    for a in map(array, arrays):
        n = len(a.shape)
        shape = (1, -1, 1) if n < 2 and a.size else (1, *a.shape, 1) if n < 2 else (*a.shape, 1)
        found.append(a if n > 2 else reshape(a, shape))
    return found[0] if len(found) == 1 else tuple(found)


@implements(np.dstack)
def dstack(tup: Any) -> Any:
    """Joined along the third axis."""
    return concatenate([atleast_3d(x) for x in tup], 2)


@implements(np.block)
def block(arrays: Any) -> Any:
    """An array of nested lists of blocks."""
    depth = _depth(arrays)
    leaves = [array(x) for x in _flat(arrays)]
    rank = max(depth, *[len(x.shape) for x in leaves])

    def build(part: Any, level: int) -> Any:
        if level == depth:
            x = array(part)
            return reshape(x, (1,) * (rank - len(x.shape)) + x.shape)
        return concatenate([build(x, level + 1) for x in part], level - depth)

    return build(arrays, 0)


def _depth(arrays: Any) -> int:
    if not isinstance(arrays, list):
        return 0
    depths = {_depth(x) for x in arrays}
    if len(depths) != 1:
        raise ShapeError("block: lists must be nested equally deep everywhere, and none may be empty")
    return 1 + depths.pop()


def _flat(arrays: Any) -> list:
    return [leaf for x in arrays for leaf in _flat(x)] if isinstance(arrays, list) else [arrays]


@implements(np.array_split)
def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list:
    """Cut along an axis at indices, or into parts whose lengths differ by one at most."""
    a = array(ary)
    axis = normalize_axis(axis, len(a.shape))
    n = a.shape[axis]
    if np.ndim(indices_or_sections):
        cuts = [int(i) for i in indices_or_sections]
    else:
        count = int(indices_or_sections)
        if count <= 0:
            raise ValueError("number sections must be larger than 0.")
        cuts = [i * (n // count) + min(i, n % count) for i in range(1, count)]
    return [part(a, axis, i, j) for i, j in zip([0, *cuts], [*cuts, n])]


def _cutter(name: str, axis: int) -> Any:
    def call(ary: Any, indices_or_sections: Any) -> list:
        from retrograde.numpy.shaping import split

        a = array(ary)
        if len(a.shape) < (3 if axis == 2 else axis or 2) and not (axis == 1 and len(a.shape) == 1):
            raise ShapeError(f"{name} of an array of {len(a.shape)} axes is not defined; it wants more")
        return split(a, indices_or_sections, 0 if axis == 1 and len(a.shape) == 1 else axis)

    call.__name__, call.__doc__ = name, f"As `numpy.{name}`."
    return implements(getattr(np, name))(call)


hsplit, vsplit, dsplit = _cutter("hsplit", 1), _cutter("vsplit", 0), _cutter("dsplit", 2)


def unstack(x: Any, /, *, axis: int = 0) -> tuple:
    """The slices along an axis."""
    x = moveaxis(x, axis, 0)
    return tuple(getitem(x, i) for i in range(x.shape[0]))


if hasattr(np, "unstack"):
    implements(np.unstack)(unstack)


@implements(np.append)
def append(arr: Any, values: Any, axis: Any = None) -> Any:
    """`values` behind the array."""
    if axis is None:
        return concatenate([ravel(arr), ravel(values)], 0)
    return concatenate([arr, values], axis)


@implements(np.insert)
def insert(arr: Any, obj: Any, values: Any, axis: Any = None) -> Any:
    """`values` before the places `obj`, which must be known."""
    arr, values = array(arr), array(values)
    if axis is None:
        arr, axis = ravel(arr), 0
    axis = normalize_axis(axis, len(arr.shape))
    obj = _places(obj, "insert")
    values = astype(reshape(values, (1,) * (len(arr.shape) - len(values.shape)) + values.shape), arr.dtype)
    one = not isinstance(obj, slice) and np.asarray(obj).dtype != bool and np.size(obj) == 1
    if one and not np.ndim(obj):
        values = moveaxis(values, 0, axis)
    n = arr.shape[axis]
    count = values.shape[axis] if one else len(np.insert(np.zeros(n), obj, 0)) - n
    values = broadcast_to(values, (*arr.shape[:axis], count, *arr.shape[axis + 1 :]))
    order = np.insert(np.arange(n), np.asarray(obj).reshape(()) if one else obj, n + np.arange(count))
    return ix.gather(concatenate([arr, values], axis), order, axis=axis)


@implements(np.delete)
def delete(arr: Any, obj: Any, axis: Any = None) -> Any:
    """Without the places `obj`, which must be known."""
    arr = array(arr)
    if axis is None:
        arr, axis = ravel(arr), 0
    axis = normalize_axis(axis, len(arr.shape))
    return ix.gather(arr, np.delete(np.arange(arr.shape[axis]), _places(obj, "delete")), axis=axis)


def _places(obj: Any, name: str) -> Any:
    return obj if isinstance(obj, slice) else settled(obj, name, "obj", "Pass it as a plain array or a static argument")


@implements(np.meshgrid)
def meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> tuple:
    """Grids of coordinates from 1-d arrays."""
    if indexing not in ("xy", "ij"):
        raise ValueError("Valid values for `indexing` are 'xy' and 'ij'.")
    n = len(xi)
    grids = [reshape(array(x), (1,) * i + (array(x).size,) + (1,) * (n - 1 - i)) for i, x in enumerate(xi)]
    if indexing == "xy" and n > 1:
        grids = [swapaxes(x, 0, 1) for x in grids]
    grids = grids if sparse else list(broadcast_arrays(*grids))
    return tuple(map(_copied, grids)) if copy else tuple(grids)


@implements(np.lib.stride_tricks.sliding_window_view)
def sliding_window_view(x: Any, window_shape: Any, axis: Any = None, *, subok: bool = False, writeable: bool = False) -> Any:
    """Every window of a shape; gradients of windows that overlap add. A copy, which NumPy's is not."""
    refuse("sliding_window_view", subok=subok or None, writeable=writeable or None)
    x = array(x)
    sizes = tuple(window_shape) if np.ndim(window_shape) else (window_shape,)
    given = range(len(x.shape)) if axis is None else (axis if isinstance(axis, tuple) else (axis,))
    axes = [normalize_axis(a, len(x.shape)) for a in given]
    if len(axes) != len(sizes):
        raise ShapeError(f"sliding_window_view: {len(sizes)} window lengths for {len(axes)} axes; give one for each")
    for size, a in zip(sizes, axes):
        count = x.shape[a] - size + 1
        if size < 0 or count < 1:
            raise ShapeError(f"sliding_window_view: a window of {size} does not fit into axis {a} of {x.shape}")
        x = moveaxis(ix.gather(x, np.arange(count)[:, None] + np.arange(size), axis=a), a + 1, -1)
    return x
