"""Running sums, products and extremes along an axis, and the linear recurrence that their derivatives are made of.

Each goes through the axis in order, from the first element on or, `reverse`d, from the last: compiled and interpreted, an
element is made of the one before it, as in NumPy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from retrograde.errors import GraphTypeError, ShapeError
from retrograde.ir import Primitive
from retrograde.ops import elementwise as ew
from retrograde.ops.shape import broadcast_to, concatenate, slice_, spread
from retrograde.types import ArrayType


def part(x: Any, axis: int, start: int, limit: int) -> Any:
    """`x[start:limit]` along an axis."""
    n = len(x.shape)
    low, high = [0] * n, list(x.shape)
    low[axis], high[axis] = start, limit
    return slice_(x, start=tuple(low), limit=tuple(high), step=(1,) * n)


def before(x: Any, axis: int, reverse: bool, first: float) -> Any:
    """At each place the element that comes before it in the order of going; before the first one stands a number."""
    n = x.shape[axis]
    if n == 0:
        return x
    edge = broadcast_to(x.dtype.type(first), shape=tuple(1 if a == axis else m for a, m in enumerate(x.shape)))
    pieces = (part(x, axis, 1, n), edge) if reverse else (edge, part(x, axis, 0, n - 1))
    return concatenate(*pieces, axis=axis)


def _turned(reference: Callable, x: Any, axis: int, reverse: bool) -> Any:
    return np.flip(reference(np.flip(x, axis), axis), axis) if reverse else reference(np.asarray(x), axis)


def _emit(k: Any, out: Any, axis: int, reverse: bool, first: Callable, step: Callable) -> None:
    """Store `first(index)`, then `step(index, value before)` along the axis; what lies behind the axis is the inner loop."""
    n = out.shape[axis]
    if not out.type.size:
        return
    at, behind = k.scalar(np.int64), out.shape[axis + 1 :]
    register = k.register(out.dtype)
    in_register = out.type.size == n * max(1, int(np.prod(out.shape[:axis])))

    def turn(i: Any) -> Any:
        return at.sub(at.const(n - 1), i) if reverse else i

    for lead in k.loop(*out.shape[:axis]):
        held = k.alloca(register) if in_register else None
        edge = k.index(n - 1 if reverse else 0)
        for rest in k.loop(*behind):
            value = first((*lead, edge, *rest))
            k.store(out, (*lead, edge, *rest), value)
            if held is not None:
                k.b.store(value, held)
        for i in k.count(n, 1):
            here, last = turn(i), turn(at.sub(i, at.const(1)))
            for rest in k.loop(*behind):
                old = k.load(out, (*lead, last, *rest)) if held is None else k.b.load(held, typ=register)
                value = step((*lead, here, *rest), old)
                k.store(out, (*lead, here, *rest), value)
                if held is not None:
                    k.b.store(value, held)


def _accumulation(name: str, reference: Callable, formula: str, combine: Callable, kinds: str) -> Primitive:
    primitive = Primitive(name, formula=formula, flops=lambda x, *, axis, reverse: x.size)

    @primitive.def_type
    def type_rule(x: ArrayType, *, axis: int, reverse: bool) -> ArrayType:
        if x.dtype.kind not in kinds or not 0 <= axis < x.ndim:
            raise GraphTypeError(f"{name} along axis {axis} is not defined for {x}; its dtype must be of kinds {kinds!r}")
        return x

    @primitive.def_reference
    def refer(x: Any, *, axis: int, reverse: bool) -> Any:
        return _turned(reference, x, axis, reverse)

    @primitive.def_lower("kernel")
    def lower(k: Any, outputs: Any, inputs: Any, *, axis: int, reverse: bool) -> None:
        out, x = outputs[0], inputs[0]
        e = k.scalar(out.dtype)
        _emit(k, out, axis, reverse, lambda i: k.load(x, i), lambda i, old: combine(e, old, k.load(x, i)))

    primitive.def_batch(lambda lanes, mapped, x, *, axis, reverse: primitive(x, axis=axis + 1, reverse=reverse))
    primitive.def_cut(lambda where, types, out, out_axis, *, axis, reverse: where[0] == out_axis != axis)

    @primitive.def_samples
    def samples() -> list:
        rng = np.random.default_rng(19)
        x = rng.permutation(24).reshape(2, 3, 4) / 7.0 - 1.3
        arrays = [(x, 0), (x, 1), (x, 2), (x[0, 0], 0), (x[:, :0], 1), (x[:0], 1), (x[:, :1], 1), (x.transpose(2, 0, 1), 1),
                  (x[0].astype(np.float32), 1), (x[1, 2].astype(np.float16), 0)]  # fmt: skip
        if "c" in kinds:  # zeros among the factors; extremes would tie
            arrays.append((np.array([1.0, 0.0, 2.0, 0.0, -1.5]), 0))
        cases = [(a, {"axis": axis, "reverse": False}) for a, axis in arrays]
        cases += [(rng.integers(-3, 4, (3, 17)), {"axis": 1, "reverse": r}) for r in (False, True)]
        cases += [(x, {"axis": axis, "reverse": True}) for axis in (0, 2)]
        cases.append((np.array([1.0, 2.5, np.nan, 3.0]), {"axis": 0, "reverse": False}))
        return [((a,), params) for a, params in cases]

    return primitive


cumsum = _accumulation("cumsum", lambda x, axis: np.cumsum(x, axis, dtype=x.dtype), "\\sum_{{\\leq}} {0}",
                       lambda e, old, x: e.add(old, x), "fiuc")  # fmt: skip
cumprod = _accumulation("cumprod", lambda x, axis: np.cumprod(x, axis, dtype=x.dtype), "\\prod_{{\\leq}} {0}",
                        lambda e, old, x: e.mul(old, x), "fiuc")  # fmt: skip
cummax = _accumulation("cummax", lambda x, axis: np.maximum.accumulate(x, axis), "\\max_{{\\leq}} {0}",
                       lambda e, old, x: e.maximum(old, x), "fiub")  # fmt: skip
cummin = _accumulation("cummin", lambda x, axis: np.minimum.accumulate(x, axis), "\\min_{{\\leq}} {0}",
                       lambda e, old, x: e.minimum(old, x), "fiub")  # fmt: skip

recurrence = Primitive("recurrence", formula="y_i = {0}_i y_{{i-1}} + {1}_i", flops=lambda a, b, *, axis, reverse: 2 * a.size)
recurrence.__doc__ = (
    "The linear recurrence y[i] = a[i] y[i-1] + b[i] along an axis, with y[0] = b[0] (a[0] is not read). Its derivatives are "
    "such recurrences again, the other way."
)


@recurrence.def_type
def _recurrence_type(a: ArrayType, b: ArrayType, *, axis: int, reverse: bool) -> ArrayType:
    if a != b or a.dtype.kind not in "fc" or not 0 <= axis < a.ndim:
        raise ShapeError(f"recurrence along axis {axis}: factors and terms of one float type are wanted; they are {a} and {b}")
    return b


@recurrence.def_reference
def _recurrence_reference(a: Any, b: Any, *, axis: int, reverse: bool) -> Any:
    y = np.array(b)
    rows, factors = np.moveaxis(y, axis, 0), np.moveaxis(np.asarray(a), axis, 0)
    places = range(len(rows))[::-1] if reverse else range(len(rows))
    for last, here in zip(places, places[1:]):
        rows[here] += factors[here] * rows[last]
    return y


@recurrence.def_lower("kernel")
def _recurrence_lower(k: Any, outputs: Any, inputs: Any, *, axis: int, reverse: bool) -> None:
    out, (a, b) = outputs[0], inputs
    e = k.scalar(out.dtype)
    _emit(k, out, axis, reverse, lambda i: k.load(b, i), lambda i, old: e.add(e.mul(k.load(a, i), old), k.load(b, i)))


recurrence.def_cut(lambda where, types, out, out_axis, *, axis, reverse: where[0] == where[1] == out_axis != axis)


@recurrence.def_batch
def _recurrence_batch(lanes: Any, mapped: Any, a: Any, b: Any, *, axis: int, reverse: bool) -> Any:
    return recurrence(spread(lanes, a, mapped[0]), spread(lanes, b, mapped[1]), axis=axis + 1, reverse=reverse)


@recurrence.def_pullback
def _recurrence_pullback(ct: Any, y: Any, a: Any, b: Any, *, axis: int, reverse: bool) -> tuple:
    by_b = _adjoint(ct, a, axis, reverse)
    return by_b * before(y, axis, reverse, 0.0), by_b


def _adjoint(ct: Any, a: Any, axis: int, reverse: bool) -> Any:
    """The cotangents of the terms of a recurrence: s[i] = ct[i] + a[i+1] s[i+1]."""
    return recurrence(before(a, axis, not reverse, 0.0), ct, axis=axis, reverse=not reverse)


@recurrence.def_samples
def _recurrence_samples() -> list:
    rng = np.random.default_rng(23)
    a, b = rng.normal(size=(2, 2, 3, 4))
    return [((x, y), {"axis": axis, "reverse": reverse}) for x, y, axis, reverse in [
        (a, b, 0, False), (a, b, 1, True), (a, b, 2, False), (a, b, 2, True), (a[0, 0], b[0, 0], 0, False),
        (a[0, :0], b[0, :0], 0, True), (a[:0, 0], b[:0, 0], 1, True), (a[:, :1], b[:, :1], 1, False),
        (a[0].T, b[0].T, 1, False), (a[0].astype(np.float32), b[0].astype(np.float32), 1, True)]]  # fmt: skip


cumsum.def_pullback(lambda ct, y, x, *, axis, reverse: (cumsum(ct, axis=axis, reverse=not reverse),))


@cumprod.def_pullback
def _cumprod_pullback(ct: Any, y: Any, x: Any, *, axis: int, reverse: bool) -> tuple:
    """What comes before a factor times the sum of what it is multiplied with later: right with zeros, to any order."""
    return (before(y, axis, reverse, 1.0) * _adjoint(ct, x, axis, reverse),)


def _extreme_pullback(ct: Any, y: Any, x: Any, *, axis: int, reverse: bool) -> tuple:
    """All elements so far that tie with the extreme share evenly, as in `max`; NaN takes no cotangent."""
    tied = ew.equal(x, y)
    stays = ew.convert(ew.equal(before(y, axis, reverse, np.nan), y), dtype=ct.dtype)
    count = recurrence(stays, ew.convert(tied, dtype=ct.dtype), axis=axis, reverse=reverse)
    share = ew.where_else_zero(ew.greater(count, ct.dtype.type(0)), ct / ew.maximum(count, ct.dtype.type(1)))
    return (ew.where_else_zero(tied, _adjoint(share, stays, axis, reverse)),)


cummax.def_pullback(_extreme_pullback)
cummin.def_pullback(_extreme_pullback)
