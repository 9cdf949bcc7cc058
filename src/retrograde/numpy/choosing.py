"""Where conditions hold, and what is chosen by them. How many places there are must be known, or said by `size`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from retrograde.errors import ShapeError, UnsupportedError
from retrograde.ir.builder import plain
from retrograde.numpy.assembling import settled
from retrograde.numpy.elementwise import _truth, where
from retrograde.numpy.indexing import getitem
from retrograde.numpy.shaping import array, broadcast_to, normalize_axis, ravel, reshape, stack
from retrograde.numpy.table import FUNCTIONS, implements, refuse
from retrograde.ops import elementwise as ew
from retrograde.ops import index as ix
from retrograde.ops.places import true_places
from retrograde.ops.promote import apply, astype, is_traced

_SIZED = "Write np.where(condition, x, 0), or say how many there are: rg.numpy.{}(..., size=n)"


# -- places -----------------------------------------------------------------------------------------------------------


@implements(np.flatnonzero)
def flatnonzero(a: Any, *, size: int | None = None, fill_value: Any = 0) -> Any:
    """The places of the elements other than 0 in the flattened array.

    With `size` the result has that length, whatever the count: what is too many is cut off, what is missing is `fill_value`.
    """
    a = array(a)
    if size is None:
        return np.flatnonzero(settled(a, "flatnonzero", "the condition", _SIZED.format("flatnonzero")))
    found = true_places(ravel(_truth(a)), size=size)
    return where(apply(ew.less, found, a.size), found, np.int64(fill_value))


@implements(np.nonzero)
def nonzero(a: Any, *, size: int | None = None, fill_value: Any = 0) -> tuple:
    """The indices of the elements other than 0, an array for each axis; see `flatnonzero` for `size`.

    `fill_value` may be a tuple, a number for each axis.
    """
    a = array(a)
    if size is None:
        return np.nonzero(settled(a, "nonzero", "the condition", _SIZED.format("nonzero")))
    if not a.shape:
        raise ValueError("Calling nonzero on 0d arrays is not allowed. Use np.atleast_1d(scalar).nonzero() instead.")
    flat = true_places(ravel(_truth(a)), size=size)
    fills = fill_value if isinstance(fill_value, tuple) else (fill_value,) * len(a.shape)
    there = apply(ew.less, flat, a.size)
    return tuple(where(there, k, np.int64(v)) for k, v in zip(_unraveled(flat, a.shape), fills))


@implements(np.argwhere)
def argwhere(a: Any, *, size: int | None = None, fill_value: Any = 0) -> Any:
    """The indices of the elements other than 0, a row for each; see `flatnonzero` for `size`."""
    if size is None:
        return np.argwhere(settled(array(a), "argwhere", "the condition", _SIZED.format("argwhere")))
    return stack(nonzero(a, size=size, fill_value=fill_value), 1)


@implements(np.unravel_index)
def unravel_index(indices: Any, shape: Any, order: str = "C") -> tuple:
    """Flat places as indices along each axis."""
    indices, shape = array(indices), tuple(shape) if np.ndim(shape) else (int(shape),)
    if (known := plain(indices)) is not None:
        np.unravel_index(known, shape)  # NumPy's own errors, where the places are known
    return _unraveled(indices, shape, order)


def _unraveled(rest: Any, shape: tuple[int, ...], order: str = "C") -> tuple:
    found: list[Any] = []
    for n in reversed(shape) if order == "C" else shape:
        found.append(apply(ew.remainder, rest, max(n, 1)))
        rest = apply(ew.floor_divide, rest, max(n, 1))
    return tuple(found[::-1] if order == "C" else found)


@implements(np.ravel_multi_index)
def ravel_multi_index(multi_index: Any, dims: Any, mode: Any = "raise", order: Any = "C") -> Any:
    """Indices along each axis as flat places. Compiled, an index out of range is brought to the nearest place."""
    parts = [array(k) for k in multi_index]
    modes = mode if isinstance(mode, tuple) else (mode,) * len(dims)
    if len(parts) != len(dims):
        raise ValueError(f"parameter multi_index must be a sequence of length {len(dims)}")
    known: Any = [plain(k) for k in parts]
    if not any(k is None for k in known):
        np.ravel_multi_index(tuple(known), dims, mode, order)
    flat: Any = 0
    axes = list(zip(parts, dims, modes))
    for k, n, how in axes if order == "C" else axes[::-1]:
        flat = apply(ew.add, apply(ew.multiply, flat, np.int64(n)), _brought_in(k, n, how))
    return flat


def _brought_in(k: Any, n: int, mode: str) -> Any:
    """An index by NumPy's `mode`, without negative ones from the end."""
    if mode == "wrap":
        return apply(ew.remainder, k, max(n, 1))
    return apply(ew.minimum, apply(ew.maximum, k, 0), n - 1)


@implements(np.ix_)
def ix_(*args: Any) -> tuple:
    """Indices that select a grid: each 1-d array along an axis of its own."""
    found = []
    for i, k in enumerate(args):
        k = array(k)
        if len(k.shape) != 1:
            raise ValueError("Cross index must be 1 dimensional")
        k = k if k.size else np.zeros(0, np.intp)
        k = flatnonzero(k) if k.dtype == bool else k
        found.append(reshape(k, (1,) * i + (k.size,) + (1,) * (len(args) - i - 1)))
    return tuple(found)


# -- elements by a condition ------------------------------------------------------------------------------------------


@implements(np.compress)
def compress(
    condition: Any, a: Any, axis: Any = None, out: Any = None, *, size: int | None = None, fill_value: Any = 0
) -> Any:
    """The slices along an axis for which a 1-d condition holds.

    With `size` there are that many, whatever the count: what is too many is cut off, what is missing is `fill_value`.
    """
    refuse("compress", out=out)
    condition, a = array(condition), array(a)
    if axis is None:
        a, axis = ravel(a), 0
    axis = normalize_axis(axis, len(a.shape))
    if len(condition.shape) != 1:
        raise ValueError("condition must be a 1-d array")
    if size is None:
        where_true = np.flatnonzero(settled(condition, "compress", "the condition", _SIZED.format("compress")))
        if where_true.size and where_true[-1] >= a.shape[axis]:
            raise IndexError(f"index {where_true[-1]} is out of bounds for axis {axis} with size {a.shape[axis]}")
        return ix.gather(a, where_true, axis=axis)
    if condition.size > a.shape[axis]:
        raise IndexError(f"a condition of {condition.size} elements is too long for axis {axis} of {a.shape}")
    places = true_places(_truth(condition), size=size)
    there = reshape(apply(ew.less, places, condition.size), (size,) + (1,) * (len(a.shape) - axis - 1))
    if not a.shape[axis]:
        return np.full((*a.shape[:axis], size, *a.shape[axis + 1 :]), fill_value, a.dtype)
    return where(there, ix.gather(a, apply(ew.minimum, places, a.shape[axis] - 1), axis=axis), a.dtype.type(fill_value))


@implements(np.extract)
def extract(condition: Any, arr: Any, *, size: int | None = None, fill_value: Any = 0) -> Any:
    """The elements where a condition of the same size holds; see `compress` for `size`."""
    return compress(ravel(_truth(array(condition))), ravel(arr), size=size, fill_value=fill_value)


@implements(np.choose)
def choose(a: Any, choices: Any, out: Any = None, mode: str = "raise") -> Any:
    """Of several arrays the element of that whose number stands in `a`. Compiled, a number out of range is the nearest."""
    refuse("choose", out=out)
    a = array(a)
    options = list(choices) if isinstance(choices, (list, tuple)) else [getitem(choices, i) for i in range(len(choices))]
    if a.dtype.kind not in "iub" or not options:
        raise TypeError(f"choose: `a` must be integers and `choices` some arrays; they are {a.dtype} and {len(options)}")
    a = astype(a, np.int64)
    known = plain(a)
    if mode == "raise" and known is not None and np.size(known) and not (np.min(known) >= 0 and np.max(known) < len(options)):
        raise ValueError("invalid entry in choice array")
    a = apply(ew.remainder, a, len(options)) if mode == "wrap" else a
    dtype = np.result_type(*[x if type(x) in (bool, int, float, complex) else array(x).dtype for x in options])
    found = astype(array(options[-1]), dtype)
    for i in reversed(range(len(options) - 1)):
        found = where(apply(ew.less_equal, a, i), astype(array(options[i]), dtype), found)
    return broadcast_to(found, np.broadcast_shapes(a.shape, found.shape))


@implements(np.select)
def select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    """Of several arrays the element of the first whose condition holds, else `default`."""
    if len(condlist) != len(choicelist):
        raise ValueError("list of cases must be same length as list of conditions")
    if not len(condlist):
        raise ValueError("select with an empty condition list is not possible")
    if any(array(c).dtype != bool for c in condlist):
        raise TypeError(f"select: conditions must be bools; they are {[str(array(c).dtype) for c in condlist]}")
    found = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist)):
        found = where(condition, choice, found)
    return found


@implements(np.piecewise)
def piecewise(x: Any, condlist: Any, funclist: Sequence[Any], *args: Any, **kw: Any) -> Any:
    """A function for each condition; the last that holds counts. A function, or number, more is for where none holds.

    Every function is applied to the whole array, so it must work element by element; no gradient comes from elements that it is
    not for, even where it has none.
    """
    x = array(x)
    if np.isscalar(condlist) or (is_traced(condlist) and not condlist.shape) or (x.shape and not _dims(condlist[0])):
        condlist = [condlist]
    conditions = [_truth(array(c)) for c in condlist]
    if len(funclist) == len(conditions) + 1:
        covered = conditions[0]
        for c in conditions[1:]:
            covered = apply(ew.logical_or, covered, c)
        conditions.append(apply(ew.logical_not, covered))
    if len(funclist) != len(conditions):
        n = len(conditions)
        raise ValueError(f"with {n} condition(s), either {n} or {n + 1} functions are expected; there are {len(funclist)}")
    found: Any = np.zeros(x.shape, x.dtype)
    for condition, f in zip(conditions, funclist):
        with np.errstate(all="ignore"):  # of elements that this function is not for
            y = array(f(where(condition, x, ew.stop_gradient(x)), *args, **kw) if callable(f) else f)
        if y.shape not in ((), x.shape):
            raise ShapeError(f"piecewise: a function gave shape {y.shape} for {x.shape}; it must work element by element")
        found = where(condition, astype(y, x.dtype), found)
    return found


def _dims(x: Any) -> int:
    return len(x.shape) if hasattr(x, "shape") else np.ndim(x)


# -- written by a condition or at places: new arrays here, in place under NumPy's names ------------------------------


def _cyclic(values: Any, count: int) -> Any:
    """Values in order, again and again, `count` of them."""
    values = ravel(values)
    if not values.size and count:
        raise ValueError("Cannot insert from an empty array!")
    return values if values.size == count else getitem(values, np.arange(count) % max(values.size, 1))


def put_along_axis(arr: Any, indices: Any, values: Any, axis: Any = -1) -> Any:
    """The array with `values` written along an axis, in each line at its own places."""
    from retrograde.numpy.updating import at

    arr, indices = array(arr), array(indices)
    if axis is None:
        return reshape(put_along_axis(ravel(arr), indices, values, 0), arr.shape)
    axis = normalize_axis(axis, len(arr.shape))
    if len(indices.shape) != len(arr.shape):
        raise ValueError("`indices` and `arr` must have the same number of dimensions")
    lines = tuple(n if i == axis else m for i, (n, m) in enumerate(zip(indices.shape, arr.shape)))
    places: list[Any] = list(np.indices(lines, sparse=True))
    places[axis] = broadcast_to(indices, lines)
    return at(arr)[tuple(places)].set(values)


def fill_diagonal(a: Any, val: Any, wrap: bool = False) -> Any:
    """The array with `val`, a number or a sequence that is repeated, along its main diagonal."""
    from retrograde.numpy.updating import at

    a = array(a)
    if len(a.shape) < 2:
        raise ValueError("array must be at least 2-d")
    if len(a.shape) > 2 and len(set(a.shape)) != 1:
        raise ValueError("All dimensions of input must be of equal length")
    step = 1 + sum(math.prod(a.shape[i:]) for i in range(1, len(a.shape)))
    end = a.size if wrap or len(a.shape) > 2 else min(a.size, a.shape[1] ** 2)
    places = slice(0, end, step)
    count = len(range(*places.indices(a.size)))
    return reshape(at(ravel(a))[places].set(_cyclic(val, count)), a.shape) if count else a


def put(a: Any, ind: Any, v: Any, mode: str = "raise") -> Any:
    """The array with `v`, repeated if it is short, at places of the flattened array."""
    from retrograde.numpy.updating import at

    a, ind = array(a), ravel(ind)
    if mode != "raise":
        ind = _brought_in(ind, a.size, mode)
    return reshape(at(ravel(a))[ind].set(_cyclic(v, ind.size)), a.shape) if ind.size else a


def putmask(a: Any, mask: Any, values: Any) -> Any:
    """The array with values where the mask holds: those at the same places of `values`, repeated to its size."""
    a, mask = array(a), _truth(array(mask))
    if mask.shape != a.shape and mask.size != a.size:
        raise ValueError("putmask: mask and data must be the same size")
    return where(reshape(mask, a.shape), astype(reshape(_cyclic(values, a.size), a.shape), a.dtype), a)


def place(arr: Any, mask: Any, vals: Any) -> Any:
    """The array with the values in order, repeated if they are short, where the mask holds."""
    from retrograde.numpy.updating import at

    arr = array(arr)
    mask, vals = reshape(_truth(array(mask)), arr.shape), ravel(vals)
    if vals.size == 1:
        return where(mask, astype(getitem(vals, 0), arr.dtype), arr)
    known = np.asarray(settled(mask, "place", "how many values go in", "Write np.where(mask, values, x)"))
    return at(arr)[known].set(_cyclic(vals, int(known.sum()))) if known.any() else arr


def copyto(dst: Any, src: Any, casting: Any = "same_kind", where: Any = True) -> Any:
    """`dst` with `src`, broadcast, where the condition holds."""
    dst, src = array(dst), array(src)
    if not np.can_cast(src.dtype, dst.dtype, casting):
        raise TypeError(f"Cannot cast array data from {src.dtype} to {dst.dtype} according to the rule {casting!r}")
    src = broadcast_to(astype(src, dst.dtype), dst.shape)
    return src if where is True else ew.select(broadcast_to(_truth(array(where)), dst.shape), src, dst)


def _in_place(rule: Any) -> None:
    """NumPy's function of this name, which writes: into a traced array, for into a plain one traced values cannot go."""
    name = rule.__name__

    def write(target: Any, *args: Any, **kwargs: Any) -> None:
        if not is_traced(target):
            raise UnsupportedError(
                f"np.{name} would write traced values into a plain array, which cannot hold them. Use the new array that "
                f"retrograde.numpy.{name} returns, or make the target traced, say by np.zeros_like(x); instead of np.full(shape, "
                "x) write retrograde.numpy.full(shape, x)"
            )
        target[...] = rule(target, *args, **kwargs)

    FUNCTIONS[getattr(np, name)] = write


for _rule in (put_along_axis, fill_diagonal, put, putmask, place, copyto):
    _in_place(_rule)

