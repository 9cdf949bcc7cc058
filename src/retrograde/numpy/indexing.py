"""Indexing with NumPy's rules: slices, None, Ellipsis, integers, integer arrays, masks whose count is known."""

from __future__ import annotations

from typing import Any

import numpy as np

from retrograde.errors import UnsupportedError
from retrograde.numpy.shaping import array, broadcast_to, normalize_axis, ravel, reshape, transpose
from retrograde.numpy.table import implements, refuse
from retrograde.ops import elementwise as ew
from retrograde.ops import index as ix
from retrograde.ops import shape as sh
from retrograde.ops.promote import apply, is_traced


def getitem(x: Any, key: Any) -> Any:
    """x[key]. Integer arrays gather; a boolean mask must be a plain array, for its count decides the result's shape."""
    x = array(x)
    keys = _expanded(key if isinstance(key, tuple) else (key,), x)
    start, limit, step, shape = [], [], [], []
    arrays: dict[int, Any] = {}  # position among the result's axes -> indices
    axis = 0
    for k in keys:
        if k is None:
            shape.append(1)
            continue
        n = x.shape[axis]
        if isinstance(k, slice):
            a, z, s = k.indices(n)
            shape.append(len(range(a, z, s)))
        elif _is_array(k):
            a, z, s = 0, n, 1
            arrays[len(shape)] = k
            shape.append(n)
        else:
            i = k.__index__()
            if not -n <= i < n:
                raise IndexError(f"index {i} is out of bounds for axis {axis} with size {n}")
            a, z, s = i % n, i % n + 1, 1
        start.append(a)
        limit.append(z)
        step.append(s)
        axis += 1
    if any(len(range(a, z, s)) != n or s != 1 for a, z, s, n in zip(start, limit, step, x.shape)):
        x = sh.slice_(x, start=tuple(start), limit=tuple(limit), step=tuple(step))
    x = reshape(x, tuple(shape))
    return _gather(x, arrays, _split_up(keys)) if arrays else x


def _is_array(k: Any) -> bool:
    return is_traced(k) or (isinstance(k, np.ndarray) and k.ndim > 0) or isinstance(k, list)


def _expanded(keys: tuple, x: Any) -> list:
    """Masks as the integer arrays of their true places, Ellipsis and missing axes as full slices."""
    found: list[Any] = []
    for k in keys:
        k = np.asarray(k) if isinstance(k, list) else k
        if isinstance(k, (bool, np.bool_)) or getattr(k, "dtype", np.dtype(int)).kind == "b":
            if is_traced(k):
                raise UnsupportedError(
                    "x[mask] with a traced mask has a result whose shape depends on values. Write np.where(mask, x, 0), or "
                    "pass the mask as a plain array"
                )
            found.extend(np.nonzero(np.asarray(k)))
        else:
            if _is_array(k) and k.dtype.kind not in "iu":
                raise IndexError(f"arrays used as indices must be of integer (or boolean) type, not {k.dtype}")
            found.append(k)
    used = sum(k is not None and k is not Ellipsis for k in found)
    if used > len(x.shape):
        raise IndexError(f"too many indices for array: array is {len(x.shape)}-dimensional, but {used} were indexed")
    fill = [slice(None)] * (len(x.shape) - used)
    at = next((i for i, k in enumerate(found) if k is Ellipsis), None)
    return [*found, *fill] if at is None else [*found[:at], *fill, *(k for k in found[at + 1 :] if k is not Ellipsis)]


def _split_up(keys: list) -> bool:
    """Whether the advanced indices are separated, which puts their axes first. An integer beside an array is one too."""
    advanced = [i for i, k in enumerate(keys) if _is_array(k) or not (k is None or isinstance(k, slice))]
    return advanced[-1] - advanced[0] + 1 != len(advanced)


def _gather(x: Any, arrays: dict[int, Any], apart: bool) -> Any:
    """Take at several integer arrays at once: their axes become one, and one array of flat places indexes it."""
    axes = sorted(arrays)
    shape = np.broadcast_shapes(*[tuple(k.shape) for k in arrays.values()])
    lead = 0 if apart else axes[0]
    rest = [a for a in range(len(x.shape)) if a not in arrays]
    order = rest[:lead] + axes + rest[lead:]
    sizes = [x.shape[a] for a in axes]
    kept = [x.shape[a] for a in rest]
    moved = reshape(transpose(x, order), (*kept[:lead], int(np.prod(sizes)), *kept[lead:]))
    if len(axes) == 1:
        return ix.gather(moved, _in_range(arrays[axes[0]], sizes[0]), axis=lead)
    flat: Any = 0
    for a, n in zip(axes, sizes):
        k = _in_range(arrays[a], n)
        k = ew.select(apply(ew.less, k, 0), apply(ew.add, k, n), k) if is_traced(k) else np.where(k < 0, k + n, k)
        flat = apply(ew.add, apply(ew.multiply, flat, n), k)
    return ix.gather(moved, broadcast_to(flat, shape), axis=lead)


def _in_range(k: Any, n: int) -> Any:
    if not is_traced(k) and k.size and not (-n <= k.min() and k.max() < n):
        bad = k.min() if k.min() < -n else k.max()
        raise IndexError(f"index {bad} is out of bounds for axis with size {n}")
    return k


@implements(np.take)
def take(a: Any, indices: Any, axis: Any = None, out: Any = None, mode: str = "raise") -> Any:
    """Elements along an axis at integer places."""
    refuse("take", out=out, mode=None if mode == "raise" else mode)
    a, indices = array(a), array(indices)
    if axis is None:
        a, axis = ravel(a), 0
    axis = normalize_axis(axis, len(a.shape))
    return ix.gather(a, _in_range(indices, a.shape[axis]), axis=axis)


@implements(np.take_along_axis)
def take_along_axis(arr: Any, indices: Any, axis: Any = -1) -> Any:
    """Along an axis, each line at its own places."""
    arr, indices = array(arr), array(indices)
    if axis is None:
        arr, axis = ravel(arr), 0
    axis = normalize_axis(axis, len(arr.shape))
    lines = np.broadcast_shapes(
        tuple(1 if a == axis else n for a, n in enumerate(arr.shape)),
        tuple(1 if a == axis else n for a, n in enumerate(indices.shape)),
    )
    arr = broadcast_to(arr, tuple(arr.shape[axis] if a == axis else n for a, n in enumerate(lines)))
    indices = broadcast_to(indices, tuple(indices.shape[axis] if a == axis else n for a, n in enumerate(lines)))
    return ix.take_along(arr, _in_range(indices, arr.shape[axis]), axis=axis)
