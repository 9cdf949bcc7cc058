"""`at`: arrays that differ from another in some places, for code that may not write into one.

`at(x)[index].set(v)` is what x would be after `x[index] = v`; `add`, `multiply`, `min` and `max` are what it would be after
`np.add.at(x, index, v)` and so on: places given more than once are joined with each of their values.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from retrograde.errors import GraphTypeError, ShapeError, UnsupportedError
from retrograde.ir.builder import plain
from retrograde.numpy.indexing import Selection, getitem, is_mask, select
from retrograde.numpy.shaping import array, broadcast_to, reshape, transpose
from retrograde.ops import elementwise as ew
from retrograde.ops import shape as sh
from retrograde.ops.promote import apply, as_operand, astype, is_traced, promote
from retrograde.ops.update import JOINS, set_slice, update


class _At:
    """An array about to be indexed."""

    __slots__ = ("_x",)

    def __init__(self, x: Any):
        self._x = x

    def __getitem__(self, key: Any) -> Places:
        return Places(self._x, key)


class Places:
    """Places in an array: each method returns the array with these written."""

    __slots__ = ("_key", "_x")

    def __init__(self, x: Any, key: Any):
        self._x, self._key = x, key

    def set(self, value: Any) -> Any:
        """With `value` there; of several for one place the last stays."""
        return _updated(self._x, self._key, value, "set")

    def add(self, value: Any) -> Any:
        """With `value` added."""
        return _updated(self._x, self._key, value, "add")

    def multiply(self, value: Any) -> Any:
        """Multiplied by `value`."""
        return _updated(self._x, self._key, value, "multiply")

    def min(self, value: Any) -> Any:
        """The lesser of what is there and `value`."""
        return _updated(self._x, self._key, value, "min")

    def max(self, value: Any) -> Any:
        """The greater of what is there and `value`."""
        return _updated(self._x, self._key, value, "max")


def at(x: Any) -> _At:
    """`at(x)[index].set(v)`, `.add(v)`, `.multiply(v)`, `.min(v)`, `.max(v)`: a new array, with the places at `index` written.

    `index` is what NumPy takes: integers, slices, None, Ellipsis, integer arrays (traced ones too), boolean masks (traced
    ones with a `value` that does not depend on their count). `value` broadcasts to x[index] and must be of x's kind of
    number: a float is not cut down to an integer (`GraphTypeError`). An index out of range is an `IndexError` where it is
    known; compiled code takes the nearest place.
    """
    return _At(array(x))


def _updated(x: Any, key: Any, value: Any, how: str) -> Any:
    value = _of_kind(x, value)
    parts = [k for k in (key if isinstance(key, tuple) else (key,)) if k is not Ellipsis]
    known = all(plain(k) is not None for k in parts if is_mask(k) and is_traced(k))
    if any(isinstance(k, (bool, np.bool_)) or (is_mask(k) and not k.ndim) for k in parts):
        raise UnsupportedError("x[True] = v, with a single truth as an index, is not supported on traced arrays; use np.where")
    if len(parts) == 1 and is_mask(parts[0]) and is_traced(parts[0]) and (value.ndim <= x.ndim - parts[0].ndim or not known):
        return _where(x, parts[0], value, how)
    chosen = select(x, key)
    if chosen.arrays:
        return _at_arrays(x, chosen, value, how)
    if how != "set":
        value = apply(JOINS[how][1], getitem(x, key), value)
    return _into_slice(x, chosen, reshape(_fitted(value, chosen.shape), _sliced_shape(chosen)))


def _of_kind(x: Any, value: Any) -> Any:
    value = as_operand(value)
    dtype = promote(np.add, x, value)[0].dtype if x.dtype != bool else array(value).dtype
    if not np.can_cast(dtype, x.dtype, "same_kind"):
        raise GraphTypeError(
            f"a value of dtype {array(value).dtype} was to be written into an array of dtype {x.dtype}, "
            "which would cut it down. Make the array of that dtype first (x.astype(float)), or round the value and convert it"
        )
    return astype(value, x.dtype)


def _fitted(value: Any, shape: tuple[int, ...]) -> Any:
    have = tuple(value.shape)
    while len(have) > len(shape) and have[0] == 1:  # NumPy drops leading ones
        have = have[1:]
    try:
        fits = np.broadcast_shapes(have, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(f"could not broadcast a value of shape {tuple(value.shape)} into the places, which have shape {shape}")
    return broadcast_to(reshape(value, have), shape)


def _where(x: Any, mask: Any, value: Any, how: str) -> Any:
    """A mask without a known count: the value goes wherever it is True."""
    rest = x.shape[mask.ndim :]
    if mask.shape != x.shape[: mask.ndim]:
        raise IndexError(f"boolean index did not match the array: a mask of shape {mask.shape} for {x.shape}")
    if value.ndim > len(rest):
        raise ShapeError(
            f"x[mask] with a traced mask has an unknown number of places, so a value of shape {tuple(value.shape)} cannot be "
            "dealt out to them. Write np.where(mask, values, x) with values of x's shape"
        )
    value = _fitted(value, rest)
    if how != "set":
        value = apply(JOINS[how][1], x, value)
    return ew.select(reshape(mask, (*mask.shape, *[1] * len(rest))), broadcast_to(value, x.shape), x)


def _sliced_shape(chosen: Selection) -> tuple[int, ...]:
    return tuple(len(range(a, z, s)) for a, z, s in zip(chosen.start, chosen.limit, chosen.step))


def _into_slice(x: Any, chosen: Selection, new: Any) -> Any:
    return set_slice(x, new, **chosen.place) if chosen.is_part(x.shape) or not is_traced(new) else new


def _at_arrays(x: Any, chosen: Selection, value: Any, how: str) -> Any:
    places = sorted(chosen.arrays)
    taken = np.broadcast_shapes(*[tuple(k.shape) for k in chosen.arrays.values()])
    indices = [broadcast_to(array(chosen.arrays[p]), taken) for p in places]
    kept = [n for p, n in enumerate(chosen.shape) if p not in chosen.arrays]
    lead, first = (0 if chosen.apart else places[0]), places[0]
    value = _fitted(value, (*kept[:lead], *taken, *kept[lead:]))
    if lead != first:
        n = len(taken)
        value = transpose(value, (*range(n, n + first), *range(n), *range(n + first, len(value.shape))))
    axes = tuple(chosen.axes[p] for p in places)
    part = sh.slice_(x, **chosen.place) if chosen.is_part(x.shape) else x
    rest = [n for a, n in enumerate(part.shape) if a not in axes]
    value = reshape(value, (*rest[: axes[0]], *taken, *rest[axes[0] :]))
    if not math.prod(taken) or not value.size:
        return x
    return _into_slice(x, chosen, update(part, value, *indices, axes=axes, how=how))


__all__ = ["Places", "at"]
