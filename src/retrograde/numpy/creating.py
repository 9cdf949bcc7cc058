"""Arrays from numbers that may be traced: `array` of nested lists, `full`, and what NumPy fills with a sequence of numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from retrograde.errors import UnsupportedError
from retrograde.numpy import shaping
from retrograde.numpy.assembling import settled
from retrograde.numpy.elementwise import power, where
from retrograde.numpy.indexing import getitem
from retrograde.numpy.shaping import broadcast_arrays, broadcast_to, expand_dims, moveaxis, ravel, reshape, stack
from retrograde.numpy.table import FUNCTIONS, check_device, implements
from retrograde.ops import elementwise as ew
from retrograde.ops import shape as sh
from retrograde.ops.promote import apply, astype, is_traced, own, promote, refuse_subclasses


def array(object: Any, dtype: Any = None, *, copy: Any = True, order: Any = "K", ndmin: int = 0) -> Any:
    """What `numpy.array` makes, also of nested lists and tuples of traced arrays and numbers, which it cannot take."""
    if not _holds_traced(object):
        refuse_subclasses(object)
        return shaping.array(np.array(object, dtype, copy=copy, order=order, ndmin=ndmin))
    a = shaping.array(_assembled(object))
    a = a if dtype is None else astype(a, dtype)
    a = reshape(a, (1,) * (ndmin - len(a.shape)) + a.shape) if ndmin > len(a.shape) else a
    return own(a) if copy and is_traced(object) else a


def asarray(a: Any, dtype: Any = None, order: Any = None, *, device: Any = None, copy: bool | None = None) -> Any:
    """As `array`; an array of that dtype stays itself unless `copy`, and with copy=False all else is an error."""
    check_device(device)
    if copy is False and _holds_traced(a) and (not is_traced(a) or (dtype is not None and a.dtype != dtype)):
        what = "a list of traced arrays is put together" if not is_traced(a) else f"{a.dtype} is cast to {np.dtype(dtype)}"
        raise ValueError(f"asarray(copy=False) cannot keep the array as it is: {what}. Leave copy out")
    return array(a, dtype, copy=copy, order=order)


def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> Any:
    """An array of another library as one of NumPy's, without a copy where it can be; a traced array stays traced."""
    check_device(device)
    return asarray(x if is_traced(x) else np.from_dlpack(x), copy=copy)


def _assembled(object: Any) -> Any:
    return stack([_assembled(x) for x in object]) if isinstance(object, (list, tuple)) and _holds_traced(object) else object


def _holds_traced(object: Any) -> bool:
    return any(map(_holds_traced, object)) if isinstance(object, (list, tuple)) else is_traced(object)


def full(shape: Any, fill_value: Any, dtype: Any = None, order: Any = "C", *, device: Any = None) -> Any:
    """An array filled with a value, which may be traced; `numpy.full` cannot take that."""
    check_device(device)
    if not _holds_traced(fill_value):
        return np.full(shape, fill_value, dtype, order)
    value = asarray(fill_value, dtype)
    return shaping.copy(broadcast_to(value, tuple(shape) if np.ndim(shape) else (int(shape),)))


def arange(start: Any, stop: Any = None, step: Any = 1, dtype: Any = None, *, device: Any = None) -> Any:
    """Numbers from `start` (0 if one number is given) by `step` up to `stop`; traced ones must have a value, for the count."""
    check_device(device)
    if stop is None:
        start, stop = 0, start
    if not any(map(is_traced, (start, stop, step))):
        return np.arange(start, stop, step, dtype=dtype)
    known = [settled(x, "arange", "the count of numbers", "Write np.linspace(start, stop, num)") for x in (start, stop, step)]
    places = np.arange(len(np.arange(*known)))
    found = apply(ew.add, start, apply(ew.multiply, places, step))
    return astype(found, dtype or np.result_type(*[getattr(x, "dtype", x) for x in (start, stop, step)]))


@implements(np.linspace)
def linspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, retstep: bool = False, dtype: Any = None, axis: int = 0,
    *, device: Any = None,
) -> Any:  # fmt: skip
    """`num` numbers evenly spaced between two, which may be arrays."""
    check_device(device)
    num = _count(num)
    places = num - 1 if endpoint else num
    if dtype is not None and np.dtype(dtype).kind in "iu" and not retstep and places > 0:
        first, last = asarray(start), asarray(stop)
        if first.dtype.kind in "iu" and last.dtype.kind in "iu":  # without rounding, which floor would make much of
            first, last = broadcast_arrays(astype(first, np.int64), astype(last, np.int64))
            k = np.arange(num).reshape((-1,) + (1,) * len(first.shape))
            whole = apply(ew.floor_divide, apply(ew.multiply, k, apply(ew.subtract, last, first)), places)
            return astype(moveaxis(apply(ew.add, whole, first), 0, axis), dtype)
    start, stop = _ends(start, stop)
    step = apply(ew.divide, apply(ew.subtract, stop, start), float(places) if places > 0 else np.nan)
    k = np.arange(num, dtype=start.dtype).reshape((-1,) + (1,) * len(start.shape))
    if places > 0:
        found = apply(ew.add, apply(ew.multiply, k, step), start)
    else:
        found = broadcast_to(expand_dims(start, 0), (num, *start.shape))
    if endpoint and num > 1:
        found = where(k == num - 1, stop, found)  # the end itself, not what rounding makes of it
    else:
        found = shaping.copy(found)
    found = _typed(moveaxis(found, 0, axis), dtype)
    return (found, step) if retstep else found


def _count(num: Any) -> int:
    num = num.__index__()
    if num < 0:
        raise ValueError(f"Number of samples, {num}, must be non-negative.")
    return num


def _ends(start: Any, stop: Any) -> tuple:
    start, stop = promote(np.divide, asarray(start), asarray(stop))
    shape = np.broadcast_shapes(start.shape, stop.shape)
    return broadcast_to(start, shape), broadcast_to(stop, shape)


def _typed(x: Any, dtype: Any) -> Any:
    if dtype is None:
        return x
    return astype(apply(ew.floor, x) if np.dtype(dtype).kind in "iu" else x, dtype)


@implements(np.logspace)
def logspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, base: Any = 10.0, dtype: Any = None, axis: int = 0
) -> Any:
    """Powers of a base with evenly spaced exponents."""
    if not isinstance(base, float):
        start, stop, base = (astype(x, np.float64) for x in (asarray(start), asarray(stop), asarray(base)))
        base = moveaxis(expand_dims(broadcast_to(base, np.broadcast_shapes(start.shape, stop.shape, base.shape)), 0), 0, axis)
        rank = len(base.shape) - 1
        start, stop = (reshape(x, (1,) * (rank - len(x.shape)) + x.shape) for x in (start, stop))
    found = power(base, linspace(start, stop, num, endpoint, axis=axis))
    return found if dtype is None else astype(found, dtype)


@implements(np.geomspace)
def geomspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0) -> Any:
    """Numbers between two of one sign, each the same multiple of the one before; at 0 they have no meaning (NaN)."""
    num = _count(num)
    start, stop = _ends(start, stop)
    if start.dtype.kind == "c":
        raise UnsupportedError("np.geomspace of complex ends is not supported on traced arrays; use np.exp of np.linspace")
    logs = [apply(ew.log10, apply(ew.absolute, x)) for x in (start, stop)]
    found = apply(ew.multiply, apply(ew.sign, start), power(10.0, linspace(*logs, num, endpoint)))
    found = where(apply(ew.greater, apply(ew.multiply, apply(ew.sign, start), apply(ew.sign, stop)), 0), found, np.nan)
    k = np.arange(num).reshape((-1,) + (1,) * len(start.shape))
    found = where(k == 0, start, found)
    if endpoint and num > 1:
        found = where(k == num - 1, stop, found)
    found = moveaxis(found, 0, axis)
    return found if dtype is None else astype(found, dtype)


@implements(np.vander)
def vander(x: Any, N: Any = None, increasing: bool = False) -> Any:
    """The powers of a vector's elements as columns."""
    x = shaping.array(x)
    if len(x.shape) != 1:
        raise ValueError("x must be a one-dimensional array or sequence.")
    x = astype(x, np.promote_types(x.dtype, int))
    columns = [np.ones(x.shape, x.dtype)]
    count = x.size if N is None else int(N)
    while len(columns) < count:
        columns.append(apply(ew.multiply, columns[-1], x) if len(columns) > 1 else x)
    columns = columns[:count]
    return stack(columns if increasing else columns[::-1], 1) if columns else np.zeros((x.size, 0), x.dtype)


# -- diagonals --------------------------------------------------------------------------------------------------------


@implements(np.diag)
def diag(v: Any, k: int = 0) -> Any:
    """A matrix with this diagonal, or a matrix's diagonal."""
    v = shaping.array(v)
    if len(v.shape) == 2:
        return diagonal(v, k)
    if len(v.shape) != 1:
        raise ValueError("Input must be 1- or 2-d.")
    n, first = v.size + abs(k), k if k >= 0 else -k * (v.size + abs(k))
    if not v.size:
        return np.zeros((n, n), v.dtype)
    last = first + (v.size - 1) * (n + 1)
    flat = sh.embed(v, shape=(n * n,), start=(first,), limit=(last + 1,), step=(n + 1,))
    return reshape(flat, (n, n))


@implements(np.diagflat)
def diagflat(v: Any, k: int = 0) -> Any:
    """A matrix with an array's elements as its diagonal."""
    return diag(ravel(asarray(v)), k)


@implements(np.diagonal)
def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The diagonals of matrices along two axes, as the last axis: a slice of the matrix's elements in order."""
    a = shaping.array(a)
    rank = len(a.shape)
    i, j = shaping.normalize_axis(axis1, rank), shaping.normalize_axis(axis2, rank)
    if i == j:
        raise ValueError("axis1 and axis2 cannot be the same.")
    a = moveaxis(a, (i, j), (-2, -1))
    m, n = a.shape[-2:]
    count = max(min(m, n - offset) if offset >= 0 else min(m + offset, n), 0)
    first = offset if offset >= 0 else -offset * n
    flat = reshape(a, (*a.shape[:-2], m * n))
    return getitem(flat, (..., slice(first, first + count * (n + 1) - n if count else first, n + 1)))


def _triangle(name: str, keep: Any) -> Any:
    def call(m: Any, k: int = 0) -> Any:
        m = shaping.array(m)
        shape = m.shape[-2:] if len(m.shape) > 1 else m.shape * 2
        return where(keep(np.ones(shape, bool), k), m, m.dtype.type(0))

    call.__name__, call.__doc__ = name, f"As `numpy.{name}`."
    return implements(getattr(np, name))(call)


tril, triu = _triangle("tril", np.tril), _triangle("triu", np.triu)

FUNCTIONS[np.tril_indices_from] = lambda arr, k=0: np.tril_indices(arr.shape[-2], k, arr.shape[-1])
FUNCTIONS[np.triu_indices_from] = lambda arr, k=0: np.triu_indices(arr.shape[-2], k, arr.shape[-1])
FUNCTIONS[np.diag_indices_from] = lambda arr: np.diag_indices_from(np.broadcast_to(0, arr.shape))
