"""The order of elements: `argsort`, and `searchsorted`, the search in what is sorted. Neither has a derivative.

A sorted array is taken by its order (`take_along_axis`), whose pullback puts each cotangent back where the element came from.
NaN is larger than any number, as in NumPy.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from retrograde.errors import GraphTypeError, ShapeError
from retrograde.ir import Primitive
from retrograde.ir.layout import Layout
from retrograde.ops.shape import spread
from retrograde.types import ArrayType

_I64 = np.dtype(np.int64)
_RUN = 8  # elements that are ordered in registers


def _less(e: Any, x: Any, y: Any) -> Any:
    """x < y, where NaN is the largest."""
    below = e.compare("<", x, y)
    return e.b.or_(below, e.b.and_(e.compare("!=", y, y), e.compare("==", x, x))) if e.is_float else below


argsort = Primitive("argsort", formula="\\operatorname{{argsort}}({0})", flops=lambda x, *, axis: x.size * _levels(x.shape[axis]))
argsort.__doc__ = "The places of the elements along an axis in ascending order, ties in the order they have: a merge sort."


def _levels(n: int) -> int:
    """How often runs of one element must double to make one of n."""
    return max(n - 1, 0).bit_length()


@argsort.def_type
def _argsort_type(x: ArrayType, *, axis: int) -> ArrayType:
    if x.dtype.kind not in "fiub" or not 0 <= axis < x.ndim:
        raise GraphTypeError(f"sorting along axis {axis} is not defined for {x}; real, integer and bool arrays have an order")
    return x.with_dtype(_I64)


argsort.def_reference(lambda x, *, axis: np.argsort(x, axis, kind="stable").astype(np.int64, copy=False))
argsort.def_pullback(lambda ct, z, x, *, axis: (None,))
argsort.def_batch(lambda lanes, mapped, x, *, axis: argsort(x, axis=axis + 1))
argsort.def_cut(lambda where, types, out, out_axis, *, axis: where[0] == out_axis != axis)
argsort.scratch = lambda x, *, axis: 2 * x.shape[axis] * (8 + x.dtype.itemsize) if x.shape[axis] > 1 else 0


@argsort.def_lower("kernel")
def _argsort_lower(k: Any, outputs: Any, inputs: Any, *, axis: int) -> None:
    """Each line is cut into runs of 8, which are ordered as they are copied next to their places; then runs of 8, 16 ... are
    merged from one half of the memory to the other. A merge of two runs has no branch but its loop's: which run gives the next
    element is a select.
    """
    out, x = outputs[0], inputs[0]
    n = x.shape[axis]
    if n <= 1 or not out.type.size:
        k.fill(out, 0)
        return
    b, at = k.b, k.scalar(_I64)
    places, keys = k.scratch(_I64, 2 * n), k.scratch(x.dtype, 2 * n)
    keys = keys.with_layout(Layout((2 * n,), (1,), 16 * n // x.dtype.itemsize))  # behind the places
    for lead in k.loop(*out.shape[:axis], *out.shape[axis + 1 :]):
        def line(i: Any, lead: tuple = lead) -> tuple:
            return (*lead[:axis], i, *lead[axis:])

        for run in k.count(n // _RUN):
            _emit_run(k, keys, places, x, line, at.mul(run, at.const(_RUN)), _RUN)
        _emit_run(k, keys, places, x, line, at.const(n - n % _RUN), n % _RUN)
        merges = _levels(-(-n // _RUN))
        for level in k.count(merges):
            width = b.shl(at.const(_RUN), level)
            odd = b.trunc(level, k.register(bool))
            source, target = b.select(odd, at.const(n), at.const(0)), b.select(odd, at.const(0), at.const(n))
            pairs = b.udiv(b.add(at.const(n), b.sub(b.shl(width, at.const(1)), at.const(1))), b.shl(width, at.const(1)))
            for pair in k.count(pairs):
                start = b.mul(pair, b.shl(width, at.const(1)))
                middle = at.minimum(b.add(start, width), at.const(n))
                end = at.minimum(b.add(middle, width), at.const(n))
                _emit_merge(k, keys, places, source, target, start, middle, end)
        final = n if merges % 2 else 0
        for i in k.count(n):
            k.store(out, line(i), k.load(places, (at.add(i, at.const(final)),)))


def _emit_run(k: Any, keys: Any, places: Any, x: Any, line: Any, start: Any, size: int) -> None:
    """Copy a short run to where it stands in order: each element counts those that come before it."""
    at, e = k.scalar(_I64), k.scalar(x.dtype)
    spots = [at.add(start, at.const(i)) for i in range(size)]
    values, ranks = [k.load(x, line(spot)) for spot in spots], list(spots)
    for j in range(size):
        for i in range(j):
            swapped = k.b.zext(_less(e, values[j], values[i]), k.register(_I64))
            ranks[i], ranks[j] = at.add(ranks[i], swapped), at.sub(ranks[j], swapped)
    for value, spot, rank in zip(values, spots, ranks):
        k.store(keys, (rank,), value)
        k.store(places, (rank,), spot)


def _emit_merge(k: Any, keys: Any, places: Any, source: Any, target: Any, start: Any, middle: Any, end: Any) -> None:
    """Merge [start, middle) and [middle, end) of the half at `source` into [start, end) of the one at `target`."""
    b, at, e = k.b, k.scalar(_I64), k.scalar(keys.dtype)
    left, right = k.alloca(k.register(_I64)), k.alloca(k.register(_I64))
    b.store(start, left)
    b.store(middle, right)
    for i in k.count(end, start):
        p, q = b.load(left, typ=k.register(_I64)), b.load(right, typ=k.register(_I64))
        has_left, has_right = at.compare("<", p, middle), at.compare("<", q, end)
        # of a run that has ended some element is read that is not used
        one = k.load(keys, (at.add(source, p),))
        other = k.load(keys, (at.add(source, b.select(has_right, q, p)),))
        takes_right = b.and_(has_right, b.or_(b.not_(has_left), _less(e, other, one)))
        taken = at.add(source, b.select(takes_right, q, p))
        k.store(keys, (at.add(target, i),), b.select(takes_right, other, one))
        k.store(places, (at.add(target, i),), k.load(places, (taken,)))
        step = b.zext(takes_right, k.register(_I64))
        b.store(at.add(q, step), right)
        b.store(at.add(p, at.sub(at.const(1), step)), left)


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
    """The answer lies in [low, low + span); every turn halves the span, without a branch."""
    out, (a, v) = outputs[0], inputs
    n, rank = a.shape[-1], len(a.shape) - 1
    b, at, e, register = k.b, k.scalar(_I64), k.scalar(a.dtype), k.register(_I64)
    low, span = k.alloca(register), k.alloca(register)
    for index in k.loop(*v.shape):
        value = k.load(v, index)
        b.store(at.const(0), low)
        b.store(at.const(n + 1), span)
        for _ in k.count(_levels(n + 1)):
            half = b.lshr(b.load(span, typ=register), at.const(1))
            start = b.load(low, typ=register)
            # with the span at 1 the half is 0: the place before `low` was looked at already, and is so again
            place = at.maximum(at.sub(at.add(start, half), at.const(1)), at.const(0))
            there = k.load(a, (*index[:rank], place))
            beyond = _less(e, there, value) if side == "left" else b.not_(_less(e, value, there))
            beyond = b.and_(beyond, at.compare(">", half, at.const(0)))
            b.store(b.select(beyond, at.add(start, half), start), low)
            b.store(b.select(beyond, at.sub(b.load(span, typ=register), half), at.maximum(half, at.const(1))), span)
        k.store(out, index, b.load(low, typ=register))


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
