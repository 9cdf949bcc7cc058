"""Indexing with NumPy's rules: slices, None, Ellipsis, integers, integer arrays, masks whose count is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from retrograde.errors import UnsupportedError
from retrograde.ir.builder import plain
from retrograde.numpy.shaping import array, broadcast_to, normalize_axis, ravel, reshape, transpose
from retrograde.numpy.table import implements, refuse
from retrograde.ops import elementwise as ew
from retrograde.ops import index as ix
from retrograde.ops import shape as sh
from retrograde.ops.promote import apply, astype, is_traced


@dataclass
class Selection:
    """What an index selects of an array: a slice (`start`, `limit`, `step`), seen at `shape`, of that `arrays` take.

    `axes` has for each axis of `shape` the array's own, None for a new one; `arrays` maps places in `shape` to integer
    arrays. `apart` says that these are separated, so that their axes come first.
    """

    start: tuple[int, ...]
    limit: tuple[int, ...]
    step: tuple[int, ...]
    shape: tuple[int, ...]
    axes: tuple[int | None, ...]
    arrays: dict[int, Any]
    apart: bool

    def is_part(self, shape: tuple[int, ...]) -> bool:
        """Whether the slice is less than, or other than, all of an array of this shape."""
        ranges = zip(self.start, self.limit, self.step, shape)
        return any(len(range(a, z, s)) != n or s != 1 for a, z, s, n in ranges)

    @property
    def place(self) -> dict[str, tuple[int, ...]]:
        """The slice as parameters of `slice` and `set_slice`."""
        return {"start": self.start, "limit": self.limit, "step": self.step}


def select(x: Any, key: Any) -> Selection:
    """What x[key] selects. A boolean mask must have a value, for its count decides the result's shape."""
    keys = _expanded(key if isinstance(key, tuple) else (key,), x)
    start, limit, step = [], [], []
    shape: list[int] = []
    axes: list[int | None] = []
    arrays: dict[int, Any] = {}
    axis = 0
    for k in keys:
        if k is None or isinstance(k, bool):
            if k is not None:  # a truth is an index, too: into an axis that was not there
                arrays[len(shape)] = np.zeros(int(k), np.int64)
            shape.append(1)
            axes.append(None)
            continue
        n = x.shape[axis]
        if isinstance(k, slice):
            a, z, s = k.indices(n)
            if not len(range(a, z, s)):
                a, z, s = 0, 0, 1  # an empty one may begin at -1, which as a start would mean the last
            shape.append(len(range(a, z, s)))
            axes.append(axis)
        elif _is_array(k):
            a, z, s = 0, n, 1
            arrays[len(shape)] = _in_range(k, n)
            shape.append(n)
            axes.append(axis)
        else:
            i = k.__index__()
            if not -n <= i < n:
                raise IndexError(f"index {i} is out of bounds for axis {axis} with size {n}")
            a, z, s = i % n, i % n + 1, 1
        start.append(a)
        limit.append(z)
        step.append(s)
        axis += 1
    apart = bool(arrays) and _split_up(keys)
    return Selection(tuple(start), tuple(limit), tuple(step), tuple(shape), tuple(axes), arrays, apart)


def getitem(x: Any, key: Any) -> Any:
    """x[key]; see `select`. Integer arrays gather."""
    x = array(x)
    chosen = select(x, key)
    if chosen.is_part(x.shape):
        x = sh.slice_(x, **chosen.place)
    x = reshape(x, chosen.shape)
    return _gather(x, chosen.arrays, chosen.apart) if chosen.arrays else x


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
        if is_mask(k):
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
    if is_mask(k) and is_traced(k) and (k := plain(k)) is None:
        raise UnsupportedError(
            "x[mask] with a traced mask has a result whose shape depends on values, and under jit or vmap there are none yet. "
            "Write np.where(mask, x, 0); or say how many there are: x[rg.numpy.nonzero(mask, size=n)] or "
            "rg.numpy.compress(mask, x, size=n); or pass the mask as a plain array"
        )
    if isinstance(k, (bool, np.bool_)) or (is_mask(k) and k.ndim == 0):
        return bool(k)
    if _is_array(k) and k.dtype.kind not in "iub":
        raise IndexError(f"arrays used as indices must be of integer (or boolean) type, not {k.dtype}")
    if not (k is None or k is Ellipsis or isinstance(k, slice) or hasattr(k, "__index__")):
        raise IndexError(f"only integers, slices, ..., None and integer or boolean arrays are valid indices, not {k!r}")
    return k


def is_mask(k: Any) -> bool:
    """Whether a part of an index is an array of bools."""
    return (isinstance(k, np.ndarray) or is_traced(k)) and k.dtype.kind == "b"


def _consumed(k: Any) -> int:
    """How many axes a part of an index takes up."""
    return 0 if k is None or k is Ellipsis or isinstance(k, bool) else k.ndim if is_mask(k) else 1


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
        return ix.gather(moved, arrays[axes[0]], axis=lead)
    flat: Any = 0
    for a, n in zip(axes, sizes):
        k = astype(arrays[a], np.int64)  # a flat place may not fit a narrow dtype
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
    """Elements along an axis at integer places; those out of range by `mode`. Compiled, "raise" takes the nearest."""
    refuse("take", out=out)
    if mode not in ("raise", "clip", "wrap"):
        raise ValueError(f"clipmode must be one of 'clip', 'raise', or 'wrap' (got {mode!r})")
    a, listed, indices = array(a), isinstance(indices, (list, tuple)), array(indices)
    if listed and not indices.size:
        indices = astype(indices, np.int64)  # an empty list has the dtype float64
    if axis is None:
        a, axis = ravel(a), 0
    axis = normalize_axis(axis, len(a.shape))
    n = a.shape[axis]
    if mode == "wrap":
        indices = apply(ew.remainder, indices, max(n, 1))
    elif mode == "clip":
        indices = apply(ew.minimum, apply(ew.maximum, indices, 0), max(n - 1, 0))
    return ix.gather(a, _in_range(indices, n), axis=axis)


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
