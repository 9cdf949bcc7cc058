"""The order of elements: `sort`, `argsort`, and `searchsorted`, the search in what is sorted. NaN is larger than any number.

The pullback of `sort` puts each cotangent back where its element came from; places have no derivative.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from retrograde.errors import GraphTypeError, ShapeError
from retrograde.ir import Primitive
from retrograde.ops.index import put_along
from retrograde.ops.shape import spread
from retrograde.ops.sort_kernel import emit_order, order_scratch
from retrograde.types import ArrayType

_I64 = np.dtype(np.int64)


def _less(e: Any, x: Any, y: Any) -> Any:
    """x < y, where NaN is the largest."""
    below = e.compare("<", x, y)
    return e.b.or_(below, e.b.and_(e.compare("!=", y, y), e.compare("==", x, x))) if e.is_float else below


def _levels(n: int) -> int:
    """How often runs of one element must double to make one of n."""
    return max(n - 1, 0).bit_length()


def _ordering(name: str, places: bool, doc: str) -> Primitive:
    primitive = Primitive(name, formula=f"\\operatorname{{{{{name}}}}}({{0}})",
                          flops=lambda x, *, axis: x.size * _levels(x.shape[axis]))  # fmt: skip
    primitive.__doc__ = doc

    @primitive.def_type
    def type_rule(x: ArrayType, *, axis: int) -> ArrayType:
        if x.dtype.kind not in "fiub" or not 0 <= axis < x.ndim:
            raise GraphTypeError(f"sorting along axis {axis} is not defined for {x}; real, integer and bool arrays have an order")
        return x.with_dtype(_I64) if places else x

    primitive.def_lower("kernel")(lambda k, outputs, inputs, *, axis: emit_order(k, outputs[0], inputs[0], axis, places))
    primitive.scratch = lambda x, *, axis: order_scratch(x, axis, places)
    primitive.def_batch(lambda lanes, mapped, x, *, axis: primitive(x, axis=axis + 1))
    primitive.def_cut(lambda where, types, out, out_axis, *, axis: where[0] == out_axis != axis)
    return primitive


argsort = _ordering("argsort", True, "The places of the elements along an axis in ascending order, ties in the order they have.")
argsort.def_reference(lambda x, *, axis: np.argsort(x, axis, kind="stable").astype(np.int64, copy=False))
argsort.def_pullback(lambda ct, z, x, *, axis: (None,))

sort = _ordering("sort", False, "The elements along an axis in ascending order. Only its pullback asks where they came from.")
sort.def_reference(lambda x, *, axis: np.sort(x, axis))
sort.def_pullback(lambda ct, z, x, *, axis: (put_along(ct, argsort(x, axis=axis), axis=axis, size=x.shape[axis]),))


@sort.def_samples
def _sort_samples() -> list:
    rng = np.random.default_rng(37)
    cases = [(rng.permutation(n) / 7.0 - 3.0, 0) for n in (0, 1, 2, 3, 16, 17, 100)]  # 100 alone is dealt by digits
    x = rng.permutation(24).reshape(2, 3, 4) / 7.0 - 1.0
    cases += [(x, 0), (x, 1), (x[:, ::-1, ::2], 1), (x[0].T, 0), (x[:0], 1), (x[:, :, :1], 2), (x.astype(np.float32), 2)]
    cases += [(rng.integers(-50, 50, (5, n)).astype(dtype), 1) for n, dtype in
              [(40, np.int8), (300, np.uint16), (20, bool), (9, np.float16), (270, np.int32)]]  # fmt: skip
    return [((a,), {"axis": axis}) for a, axis in cases]


@argsort.def_samples
def _argsort_samples() -> list:
    rng = np.random.default_rng(29)
    cases = [(rng.normal(size=n), 0) for n in (0, 1, 2, 3, 17, 31, 33, 127, 1000)]
    cases += [(rng.integers(0, 5, (3, n)).astype(dtype), 1) for n, dtype in
              [(7, np.int64), (40, np.int8), (33, np.uint16), (64, bool), (65, np.float32), (9, np.float16)]]  # fmt: skip
    x = rng.permutation(24).reshape(2, 3, 4) / 7.0
    cases += [(x, 0), (x, 1), (x[:, ::-1, ::2], 1), (x.T, 0), (x[:0], 1), (x[:, :, :1], 2)]
    special = rng.choice([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0], 50)
    cases += [(special, 0), (special.astype(np.float32), 0)]
    return [((a,), {"axis": axis}) for a, axis in cases]


searchsorted = Primitive("searchsorted", formula="\\operatorname{{searchsorted}}({0}, {1})",
                         flops=lambda a, v, *, side: v.size * (_levels(a.shape[-1] + 1) + 1))  # fmt: skip
searchsorted.__doc__ = (
    "For each element of v the first place where it could stand in the sorted a (`side` left) or the last (right), by halving. "
    "Axes of `a` before its last are axes of `v` too, in front: for each of them there is one sorted line."
)


@searchsorted.def_type
def _searchsorted_type(a: ArrayType, v: ArrayType, *, side: str) -> ArrayType:
    lead = a.shape[:-1]
    if a.dtype != v.dtype or a.dtype.kind not in "fiub" or side not in ("left", "right"):
        raise GraphTypeError(f"searchsorted of {v} in {a}, side {side!r}, is not defined: one real dtype, left or right")
    if not a.ndim or v.shape[: len(lead)] != lead:
        raise ShapeError(f"searchsorted: {v} has not the axes in front that the sorted {a} has")
    return v.with_dtype(_I64)


@searchsorted.def_reference
def _searchsorted_reference(a: Any, v: Any, *, side: str) -> Any:
    a, v = np.asarray(a), np.asarray(v)
    if a.ndim == 1:
        return np.asarray(np.searchsorted(a, v, side), np.int64)[()]
    out = np.empty(v.shape, np.int64)
    for lead in np.ndindex(a.shape[:-1]):
        out[lead] = np.searchsorted(a[lead], v[lead], side)
    return out


@searchsorted.def_lower("kernel")
def _searchsorted_lower(k: Any, outputs: Any, inputs: Any, *, side: str) -> None:
    """The answer lies in [low, low + span), of which every step leaves the half, or one more: the spans are known beforehand.

    A mask instead of a select, which LLVM would make a branch that is taken half of the time.
    """
    out, (a, v) = outputs[0], inputs
    n, rank = a.shape[-1], len(a.shape) - 1
    b, at, e = k.b, k.scalar(_I64), k.scalar(a.dtype)
    for index in k.loop(*v.shape):
        value, low, span = k.load(v, index), at.const(0), n + 1
        while span > 1:
            half = span // 2
            there = k.load(a, (*index[:rank], at.add(low, at.const(half - 1))))
            beyond = _less(e, there, value) if side == "left" else b.not_(_less(e, value, there))
            low = at.add(low, b.and_(b.sext(beyond, k.register(_I64)), at.const(half)))
            span -= half
        k.store(out, index, low)


searchsorted.def_pullback(lambda ct, z, a, v, *, side: (None, None))
searchsorted.def_cut(lambda where, types, out, out_axis, *, side: where[0] is None and where[1] == out_axis)


@searchsorted.def_batch
def _searchsorted_batch(lanes: Any, mapped: Any, a: Any, v: Any, *, side: str) -> Any:
    if not mapped[0] and len(a.shape) == 1:
        return searchsorted(a, v, side=side)
    return searchsorted(spread(lanes, a, mapped[0]), spread(lanes, v, mapped[1]), side=side)


@searchsorted.def_samples
def _searchsorted_samples() -> list:
    rng = np.random.default_rng(31)
    cases: list = []
    for side in ("left", "right"):
        for n in (0, 1, 2, 3, 7, 8, 33, 100):
            cases.append(((np.sort(rng.integers(0, 40, n)), rng.integers(-2, 42, (3, 5))), side))
        a = np.sort(rng.choice([np.nan, np.inf, -np.inf, 0.5, 1.0], 9))
        special = np.array([np.nan, np.inf, -np.inf, 0.7, 1.0])
        lines = np.sort(rng.normal(size=(2, 6)).astype(np.float32))
        cases += [((a, special), side), ((lines, np.ones((2, 1, 3), np.float32)), side),
                  ((np.arange(8.0)[::2], np.float64(3.0)), side)]  # fmt: skip
    return [(args, {"side": side}) for args, side in cases]
