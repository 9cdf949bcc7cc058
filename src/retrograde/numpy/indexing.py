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
from retrograde.ops.promote import apply, astype, is_traced


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
    return is_traced(k) or (isinstance(k, np.ndarray) and k.ndim > 0)


def _expanded(keys: tuple, x: Any) -> list:
    """Masks as the integer arrays of their true places, Ellipsis and missing axes as full slices."""
    plain = [_as_key(k) for k in keys]
    used = sum(map(_consumed, plain))
    if used > len(x.shape):
        raise IndexError(f"too many indices for array: array is {len(x.shape)}-dimensional, but {used} were indexed")
    dots = [i for i, k in enumerate(plain) if k is Ellipsis]
    if len(dots) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    at = dots[0] if dots else len(plain)
    found: list[Any] = []
    axis = 0
    for k in [*plain[:at], *[slice(None)] * (len(x.shape) - used), *plain[at + 1 :]]:
        if _is_mask(k):
            if k.shape != x.shape[axis : axis + k.ndim]:
                raise IndexError(f"boolean index did not match the array: a mask of shape {k.shape} at axis {axis} of {x.shape}")
            found.extend(np.nonzero(k))
        else:
            found.append(k)
        axis += _consumed(k)
    return found


def _as_key(k: Any) -> Any:
    """One part of an index as an int, a slice, None, Ellipsis, or an array of integers or bools."""
    if isinstance(k, (list, tuple)):
        k = np.asarray(k) if len(k) else np.zeros(0, np.int64)
    if isinstance(k, (bool, np.bool_)) or (_is_mask(k) and is_traced(k)) or (_is_mask(k) and k.ndim == 0):
        raise UnsupportedError(
            "x[mask] with a traced or a 0-d mask has a result whose shape depends on values. Write np.where(mask, x, 0), or "
            "pass the mask as a plain array"
        )
    if _is_array(k) and k.dtype.kind not in "iub":
        raise IndexError(f"arrays used as indices must be of integer (or boolean) type, not {k.dtype}")
    if not (k is None or k is Ellipsis or isinstance(k, slice) or hasattr(k, "__index__")):
        raise IndexError(f"only integers, slices, ..., None and integer or boolean arrays are valid indices, not {k!r}")
    return k


def _is_mask(k: Any) -> bool:
    return (isinstance(k, np.ndarray) or is_traced(k)) and k.dtype.kind == "b"


def _consumed(k: Any) -> int:
    """How many axes a part of an index takes up."""
    return 0 if k is None or k is Ellipsis else k.ndim if _is_mask(k) else 1


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
        k = astype(_in_range(arrays[a], n), np.int64)  # a flat place may not fit a narrow dtype
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
