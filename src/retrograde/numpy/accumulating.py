"""Running sums, products and extremes, and their counterpart, differences: `cumsum` to `gradient`."""

from __future__ import annotations

from typing import Any

import numpy as np

from retrograde.errors import GraphTypeError, ShapeError
from retrograde.numpy.elementwise import isnan, where
from retrograde.numpy.indexing import getitem
from retrograde.numpy.reductions import sum as _sum
from retrograde.numpy.reductions import summand
from retrograde.numpy.shaping import array, broadcast_to, concatenate, normalize_axis, ravel, real_array, reshape
from retrograde.numpy.table import implements, refuse
from retrograde.ops import accumulate as acc
from retrograde.ops.promote import astype, is_traced

_NONE = np._NoValue


def _along(a: Any, axis: Any) -> tuple[Any, int]:
    """`a` and a non-negative axis: of all elements in a row for None."""
    if axis is None or not a.shape:
        a, axis = ravel(a), 0 if axis is None else axis
    return a, normalize_axis(axis, len(a.shape))


def _running(primitive: Any, name: str) -> Any:
    def call(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
        refuse(name, out=out)
        a, axis = _along(summand(a, dtype), axis)
        return primitive(a, axis=axis, reverse=False)

    call.__name__, call.__doc__ = name, f"As `numpy.{name}`: of all elements in a row, unless an axis is given."
    return call


cumsum = implements(np.cumsum)(_running(acc.cumsum, "cumsum"))
cumprod = implements(np.cumprod)(_running(acc.cumprod, "cumprod"))


def _without_nan(total: Any, name: str, instead: int) -> Any:
    def call(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
        a = real_array(name, a, "fiubc")
        return total(where(isnan(a), a.dtype.type(instead), a), axis, dtype, out)

    call.__name__, call.__doc__ = name, f"As `numpy.{name}`: NaN counts as {instead} and gets no cotangent."
    return call


nancumsum = implements(np.nancumsum)(_without_nan(cumsum, "nancumsum", 0))
nancumprod = implements(np.nancumprod)(_without_nan(cumprod, "nancumprod", 1))


def _cumulative(total: Any, name: str, first: int) -> Any:
    def call(
        x: Any, /, *, axis: Any = None, dtype: Any = None, out: Any = None, include_initial: bool = False
    ) -> Any:  # fmt: skip
        x = array(x)
        if axis is None and len(x.shape) != 1:
            raise ShapeError(f"np.{name} of {len(x.shape)} axes wants to be told one: pass axis=")
        found = total(x, axis, dtype, out)
        if not include_initial:
            return found
        at = 0 if axis is None else normalize_axis(axis, len(found.shape))
        edge = broadcast_to(found.dtype.type(first), tuple(1 if i == at else n for i, n in enumerate(found.shape)))
        return concatenate([edge, found], at)

    call.__name__, call.__doc__ = name, f"As `numpy.{name}`, the Array API's name."
    return call


cumulative_sum, cumulative_prod = _cumulative(cumsum, "cumulative_sum", 0), _cumulative(cumprod, "cumulative_prod", 1)
if hasattr(np, "cumulative_sum"):
    implements(np.cumulative_sum)(cumulative_sum)
    implements(np.cumulative_prod)(cumulative_prod)


def _accumulate(primitive: Any, ufunc: np.ufunc, adds: bool) -> None:
    @implements((ufunc, "accumulate"))
    def call(array_: Any, axis: int = 0, dtype: Any = None) -> Any:
        a = array(array_)
        a = summand(a, dtype) if adds else a if dtype is None else astype(a, dtype)
        return primitive(a, axis=normalize_axis(axis, len(a.shape)), reverse=False)


_accumulate(acc.cumsum, np.add, True)
_accumulate(acc.cumprod, np.multiply, True)
_accumulate(acc.cummax, np.maximum, False)
_accumulate(acc.cummin, np.minimum, False)


# -- differences -----------------------------------------------------------------------------------------------------


def between(a: Any, axis: int, *limits: Any) -> Any:
    """`a[limits]`, a slice's, along one axis."""
    return getitem(a, (slice(None),) * axis + (slice(*limits),))


@implements(np.diff)
def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """Each element minus the one before it, n times over; of bools, whether they differ."""
    a = array(a)
    if n < 0:
        raise ValueError(f"order must be non-negative but got {n!r}")
    if n == 0:
        return a
    if not a.shape:
        raise ShapeError("diff requires input that is at least one dimensional; a 0-d array has no elements next to each other")
    axis = normalize_axis(axis, len(a.shape))
    edge = tuple(1 if i == axis else m for i, m in enumerate(a.shape))
    ends = [None if x is None or x is _NONE else array(x) for x in (prepend, append)]
    before, after = ([] if x is None else [x if x.shape else broadcast_to(x, edge)] for x in ends)
    if before or after:
        a = concatenate([*before, a, *after], axis)
    for _ in range(n):
        ahead, behind = between(a, axis, 1, None), between(a, axis, None, -1)
        a = ahead != behind if a.dtype == bool else ahead - behind
    return a


@implements(np.ediff1d)
def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    """The differences of all elements in a row, with others put before and after them."""
    a = ravel(ary)
    ends = [None if x is None else ravel(x) for x in (to_begin, to_end)]
    for name, x in zip(("to_begin", "to_end"), ends):
        if x is not None and not np.can_cast(x.dtype, a.dtype, "same_kind"):
            raise GraphTypeError(f"ediff1d: {name} of {x.dtype} cannot stand beside differences of {a.dtype}; cast one of them")
    before, after = ([] if x is None else [astype(x, a.dtype)] for x in ends)
    return concatenate([*before, diff(a), *after]) if before or after else diff(a)


@implements(np.trapezoid)
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """The integral by trapezoids, at distances `dx` or between the places `x`."""
    y = array(y)
    axis = normalize_axis(axis, len(y.shape))
    if x is not None:
        x = array(x)
        dx = diff(x) if len(x.shape) == 1 else diff(x, axis=axis)
        if len(x.shape) == 1:
            dx = reshape(dx, tuple(dx.shape[0] if i == axis else 1 for i in range(len(y.shape))))
    return _sum(dx * (between(y, axis, 1, None) + between(y, axis, None, -1)) / 2.0, axis)


@implements(np.gradient)
def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """Second order differences in the middle, one-sided ones of `edge_order` 1 or 2 at the ends, along each axis.

    `varargs` are distances or places, as in NumPy. Quarteroni, Sacco and Saleri (2007), "Numerical Mathematics", section 10.10.
    """
    f = array(f)
    rank = len(f.shape)
    given = range(rank) if axis is None else axis if isinstance(axis, (tuple, list)) else (axis,)
    axes = [normalize_axis(a, rank) for a in given]
    if len(varargs) not in (0, 1, len(axes)) or (len(varargs) == 1 != len(axes) and array(varargs[0]).shape):
        raise TypeError(f"gradient: {len(varargs)} spacings for {len(axes)} axes; pass none, one number, or one for each axis")
    if edge_order not in (1, 2):
        raise ValueError(f"gradient: 'edge_order' must be 1 or 2, not {edge_order!r}")
    if f.dtype.kind == "b":
        raise TypeError("gradient: bools have no difference, as in NumPy; use f.astype(float)")
    if f.dtype.kind not in "fc":
        f = astype(f, np.float64)
    spacings = (varargs or (1.0,)) * (len(axes) if len(varargs) < 2 else 1)
    found = [_gradient(f, a, h, edge_order) for a, h in zip(axes, spacings)]
    return found[0] if len(axes) == 1 else tuple(found)


def _gradient(f: Any, axis: int, spacing: Any, edge_order: int) -> Any:
    n, steps = f.shape[axis], _steps(spacing, f.shape[axis])
    if n < edge_order + 1:
        raise ShapeError(f"gradient: an axis of {n} elements is too short; edge_order {edge_order} wants {edge_order + 1}")

    def at(start: int, count: int = 1) -> Any:
        start %= n
        return between(f, axis, start, start + count)

    def along(x: Any) -> Any:
        return reshape(x, tuple(-1 if i == axis else 1 for i in range(len(f.shape)))) if np.ndim(x) else x

    if np.ndim(steps) == 0:
        middle = (at(2, n - 2) - at(0, n - 2)) / (2.0 * steps) if n > 2 else at(0, 0)
        first = last = steps
        near, far = (steps, steps), (steps, steps)
    else:
        left, right = along(steps[:-1]), along(steps[1:])
        middle = (
            at(0, n - 2) * (-right / (left * (left + right))) + at(1, n - 2) * ((right - left) / (left * right))
            + at(2, n - 2) * (left / (right * (left + right)))
        ) if n > 2 else at(0, 0)  # fmt: skip
        first, last = steps[0], steps[-1]
        near, far = (steps[0], steps[min(1, n - 2)]), (steps[-1], steps[-min(2, n - 1)])
    if edge_order == 1:
        ends = (at(1) - at(0)) / first, (at(-1) - at(-2)) / last
    else:
        ends = tuple(
            sign * (-(2.0 * h + g) / (h * (h + g)) * x + (h + g) / (h * g) * y - h / (g * (h + g)) * z)
            for sign, (h, g), x, y, z in ((1.0, near, at(0), at(1), at(2)), (-1.0, far, at(-1), at(-2), at(-3)))
        )
    return concatenate([astype(x, f.dtype) for x in (ends[0], middle, ends[1])], axis)


def _steps(spacing: Any, n: int) -> Any:
    """The distance between neighbors: one number, or n - 1 of them for places that are given."""
    if np.ndim(spacing) == 0:
        return spacing
    places = array(spacing)
    if len(places.shape) != 1 or places.shape[0] != n:
        raise ShapeError(f"gradient: places of shape {tuple(places.shape)} for an axis of {n}; pass a number or {n} places")
    if places.dtype.kind in "iu":
        places = astype(places, np.float64)
    steps = diff(places)
    return steps[0] if not is_traced(steps) and len(steps) and (steps == steps[0]).all() else steps


@implements(np.unwrap)
def unwrap(p: Any, discont: Any = None, axis: int = -1, *, period: Any = 6.283185307179586) -> Any:
    """Jumps of more than `discont` taken back by multiples of the period; the derivative is that of `p`."""
    p = real_array("unwrap", p)
    axis = normalize_axis(axis, len(p.shape))
    steps = diff(p, axis=axis)
    discont = period / 2 if discont is None else discont
    dtype = np.result_type(steps.dtype, period)
    high, rest = divmod(period, 2) if dtype.kind in "iu" else (period / 2, 0)
    wrapped = (steps + high) % period - high
    if rest == 0:  # half a period can be taken either way: it keeps its sign
        wrapped = where((wrapped == -high) & (steps > 0), high, wrapped)
    correction = where(abs(steps) < discont, 0, wrapped - steps)
    rest_of_p = between(p, axis, 1, None) + cumsum(correction, axis)
    return astype(concatenate([astype(between(p, axis, None, 1), dtype), astype(rest_of_p, dtype)], axis), dtype)
