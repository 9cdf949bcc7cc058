"""Reductions. `axes` is a sorted tuple of non-negative axes, which the output lacks."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from retrograde.errors import GraphTypeError, ShapeError
from retrograde.ir import Primitive
from retrograde.ops import elementwise as ew
from retrograde.ops.promote import astype
from retrograde.ops.shape import broadcast_to, reshape
from retrograde.types import ArrayType, is_bfloat16

Axes = tuple[int, ...]
_WIDEN = ": bfloat16 is too coarse to sum in; reduce x.astype(np.float32)"


def _reduction(
    name: str,
    reference: Callable[..., Any],
    formula: str,
    identity: Callable[[np.dtype], Any],
    combine: Callable[..., Any],
    kinds: str,
    *,
    empty: bool = True,
) -> Primitive:
    primitive = Primitive(name, formula=formula, flops=lambda x, *, axes: x.size)

    @primitive.def_type
    def type_rule(x: ArrayType, *, axes: Axes) -> ArrayType:
        if x.dtype.kind not in kinds or list(axes) != sorted(set(axes)) or any(not 0 <= a < x.ndim for a in axes):
            raise GraphTypeError(f"{name} over axes {axes} is not defined for {x}{_WIDEN if is_bfloat16(x.dtype) else ''}")
        if not empty and math.prod(x.shape[a] for a in axes) == 0:
            raise ShapeError(f"{name} of no elements has no value: {x} over axes {axes}")
        return x.with_shape(tuple(n for a, n in enumerate(x.shape) if a not in axes))

    primitive.def_reference(lambda x, *, axes: reference(x, axes))
    primitive.def_lower("reduction")(lambda: (identity, combine))
    primitive.def_batch(lambda lanes, mapped, x, *, axes: primitive(x, axes=tuple(a + 1 for a in axes)))

    primitive.def_cut(lambda where, types, out, out_axis, *, axes: name == "sum" or out_axis is not None)

    @primitive.def_samples
    def samples() -> list:
        rng = np.random.default_rng(3)
        if "f" in kinds:
            x = rng.permutation(24).reshape(2, 3, 4) / 7.0 - 1.3
        else:
            x = rng.integers(0, 2, (2, 3, 4)).astype(bool)
        cases = [(x, (0,)), (x, (2,)), (x, (0, 2)), (x, (0, 1, 2)), (x, ()), (x[0, 0], (0,)), (x.transpose(2, 0, 1), (1,))]
        if empty:
            cases += [(x[:, :0], (1,)), (x[:, :0], (0,))]
        if "f" in kinds:
            cases += [(x.astype(np.float32), (1,)), (rng.integers(-3, 3, (3, 17)), (1,))]
        if "c" in kinds:
            cases += [(x + 1j * x[::-1], (0, 2)), ((x + 1j * x[::-1]).astype(np.complex64), (1,))]
        return [((array,), {"axes": axes}) for array, axes in cases]

    return primitive


def restore(x: Any, shape: tuple[int, ...], axes: Axes) -> Any:
    """Undo a reduction's loss of axes: broadcast `x` back to `shape`."""
    kept = tuple(1 if a in axes else n for a, n in enumerate(shape))
    return broadcast_to(reshape(x, shape=kept), shape=tuple(shape))


sum_ = _reduction("sum", lambda x, axes: np.sum(x, axes, dtype=x.dtype), "\\sum {0}", lambda dtype: 0,
                  lambda e, acc, x: e.add(acc, x), "fiuc")  # fmt: skip
sum_.def_pullback(lambda ct, z, x, *, axes: (restore(ct, x.shape, axes),))

prod = _reduction("prod", lambda x, axes: np.prod(x, axes, dtype=x.dtype), "\\prod {0}", lambda dtype: 1,
                  lambda e, acc, x: e.mul(acc, x), "fiuc")  # fmt: skip


@prod.def_pullback
def _prod_pullback(ct, z, x, *, axes):
    """Each factor's cotangent is ct times the product of the others: right with zeros among them, to any order."""
    from retrograde.ops.shape import concatenate, slice_, transpose

    kept = tuple(a for a in range(x.ndim) if a not in axes)
    order = (*kept, *axes)
    count = math.prod(x.shape[a] for a in axes)
    lead = tuple(x.shape[a] for a in kept)
    flat = reshape(transpose(x, axes=order), shape=(*lead, count))

    def piece(array, i):
        start, limit = (0,) * len(lead) + (i,), (*lead, i + 1)
        return slice_(array, start=start, limit=limit, step=(1,) * len(limit))

    one = np.ones((*lead, 1), x.dtype)
    before, after = [one], [one]
    for i in range(count - 1):
        before.append(before[-1] * piece(flat, i))
        after.append(after[-1] * piece(flat, count - 1 - i))
    if not count:
        return (restore(ct, x.shape, axes),)
    others = [b * a for b, a in zip(before, reversed(after))]
    found = concatenate(*others, axis=len(lead)) * reshape(ct, shape=(*lead, 1))
    back = reshape(found, shape=(*lead, *(x.shape[a] for a in axes)))
    return (transpose(back, axes=tuple(int(a) for a in np.argsort(order))),)


@prod.def_push
def _prod_push(primals, tangents, *, axes):
    """The pullback of ones is the derivative by each factor; its transpose would add an array for each of them."""
    (x,), (t,) = primals, tangents
    out = prod(x, axes=axes)
    one = broadcast_to(np.ones((), x.dtype)[()], shape=tuple(out.shape))
    return out, [sum_(t * _prod_pullback(one, out, x, axes=axes)[0], axes=axes)]


def _lowest(dtype: np.dtype) -> Any:
    return -np.inf if dtype.kind == "f" else False if dtype.kind == "b" else np.iinfo(dtype).min


def _highest(dtype: np.dtype) -> Any:
    return np.inf if dtype.kind == "f" else True if dtype.kind == "b" else np.iinfo(dtype).max


def _extreme_pullback(ct, z, x, *, axes):
    """Tied elements share evenly: the subgradient of least norm."""
    tied = astype(ew.equal(x, restore(z, x.shape, axes)), x.dtype)
    share = ct / sum_(tied, axes=axes)
    return (tied * restore(share, x.shape, axes),)


max_ = _reduction("max", lambda x, axes: np.max(x, axes), "\\max {0}", _lowest,
                  lambda e, acc, x: e.maximum(acc, x), "fiub", empty=False)  # fmt: skip
min_ = _reduction("min", lambda x, axes: np.min(x, axes), "\\min {0}", _highest,
                  lambda e, acc, x: e.minimum(acc, x), "fiub", empty=False)  # fmt: skip
max_.def_pullback(_extreme_pullback)
min_.def_pullback(_extreme_pullback)

any_ = _reduction("any", lambda x, axes: np.any(x, axes), "\\exists {0}", lambda dtype: False,
                  lambda e, acc, x: e.or_(acc, x), "b")  # fmt: skip
all_ = _reduction("all", lambda x, axes: np.all(x, axes), "\\forall {0}", lambda dtype: True,
                  lambda e, acc, x: e.and_(acc, x), "b")  # fmt: skip


def _arg_extreme(name: str, reference, better: str) -> Primitive:
    primitive = Primitive(name, formula=f"\\operatorname{{{{{name}}}}} {{0}}", flops=lambda x, *, axis: x.size)

    @primitive.def_type
    def type_rule(x: ArrayType, *, axis: int) -> ArrayType:
        if x.dtype.kind == "c":
            raise GraphTypeError(f"{name}: complex numbers have no order; take it of np.abs(x) or x.real instead of {x}")
        if not 0 <= axis < x.ndim or x.shape[axis] == 0:
            raise ShapeError(f"{name} along axis {axis} of {x} has no value")
        return ArrayType(x.shape[:axis] + x.shape[axis + 1 :], np.dtype(np.int64))

    primitive.def_reference(lambda x, *, axis: np.asarray(reference(x, axis), np.int64)[()])
    primitive.def_pullback(lambda ct, z, x, *, axis: (None,))
    primitive.def_batch(lambda lanes, mapped, x, *, axis: primitive(x, axis=axis + 1))

    @primitive.def_lower("kernel")
    def lower(k, outputs, inputs, *, axis: int) -> None:
        x, out, e = inputs[0], outputs[0], k.scalar(inputs[0].dtype)
        best, at = k.alloca(k.register(x.dtype)), k.alloca(k.register(np.int64))
        for index in k.loop(*out.shape):
            k.b.store(k.load(x, (*index[:axis], k.index(0), *index[axis:])), best)
            k.b.store(k.index(0), at)
            for i in k.count(x.shape[axis], 0):
                value = k.load(x, (*index[:axis], i, *index[axis:]))
                held = k.b.load(best, typ=k.register(x.dtype))
                wins = e.compare(better, value, held)
                if e.is_float:  # the first NaN wins, as in NumPy
                    wins = k.b.or_(wins, k.b.and_(e.compare("!=", value, value), e.compare("==", held, held)))
                k.b.store(k.b.select(wins, value, held), best)
                k.b.store(k.b.select(wins, i, k.b.load(at, typ=k.register(np.int64))), at)
            k.store(out, index, k.b.load(at, typ=k.register(np.int64)))

    @primitive.def_samples
    def samples() -> list:
        x = np.random.default_rng(5).permutation(12).reshape(3, 4) / 3.0
        return [((x,), {"axis": 0}), ((x,), {"axis": 1}), ((np.array([1.0, np.nan, 2.0]),), {"axis": 0}),
                ((np.array([2, 7, 7, 1]),), {"axis": 0}), ((x[:, :1],), {"axis": 1})]  # fmt: skip

    return primitive


argmax = _arg_extreme("argmax", np.argmax, ">")
argmin = _arg_extreme("argmin", np.argmin, "<")


def sum_to_shape(x: Any, shape: tuple[int, ...]) -> Any:
    """Add up what broadcasting had repeated: the transpose of `broadcast_to`."""
    shape = tuple(shape)
    if tuple(x.shape) == shape:
        return x
    if len(x.shape) < len(shape) or any(a not in (b, 1) and b != 1 for a, b in zip(x.shape[::-1], shape[::-1])):
        return broadcast_to(x, shape=shape)
    lead = len(x.shape) - len(shape)
    axes = tuple(a for a in range(len(x.shape)) if a < lead or (shape[a - lead] == 1 and x.shape[a] != 1))
    if is_bfloat16(narrow := x.dtype):
        return astype(sum_to_shape(astype(x, np.float32), shape), narrow)
    out = sum_(x, axes=axes)
    if tuple(out.shape) != shape:
        out = reshape(out, shape=tuple(1 if shape[i] == 1 else n for i, n in enumerate(x.shape[lead:])))
    return out if tuple(out.shape) == shape else broadcast_to(out, shape=shape)
