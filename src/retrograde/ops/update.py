"""Writing elements: a new array that differs from the old one in some places.

`update` writes at integer arrays, as `x[i, j] = u` and `np.add.at(x, (i, j), u)` do; `set_slice` into a slice known while
tracing. A compiled loop whose carry is updated writes into the carry's own memory.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from retrograde.errors import GraphTypeError, ShapeError
from retrograde.ir import Builder, Primitive
from retrograde.ops import elementwise as ew
from retrograde.ops.control import scan
from retrograde.ops.index import check_index, gather, iota, nearest
from retrograde.ops.shape import broadcast_to, reshape, slice_, slices, spread, transpose
from retrograde.ops.symbol import Symbol
from retrograde.types import ArrayType

# how an element and its update are joined: NumPy's ufunc, and the primitive whose lowering says the same
JOINS = {"add": (np.add, ew.add), "multiply": (np.multiply, ew.multiply), "min": (np.minimum, ew.minimum),
         "max": (np.maximum, ew.maximum)}  # fmt: skip

update = Primitive("update", formula="{0}[\\ldots] \\leftarrow {1}", flops=lambda x, u, *idx, axes, how: u.size)
update.__doc__ = (
    "`x` with the updates `u` joined in at integer arrays of one shape, one for each of the ascending `axes`; in `u` the axes of "
    "the arrays stand in place of the first of them. `how` is set, add, multiply, min or max; at places given more than once "
    "updates act in order, so the last that is set stays. Indices out of range are treated as `gather` treats them."
)


@update.def_type
def _update_type(x: ArrayType, u: ArrayType, *idx: ArrayType, axes: tuple[int, ...], how: str) -> ArrayType:
    for i in idx:
        check_index("update", i)
    if list(axes) != sorted(set(axes)) or len(idx) != len(axes) or len({i.shape for i in idx}) != 1 or x.dtype != u.dtype:
        raise GraphTypeError(f"update: {x} by {u} at {len(idx)} arrays of indices for axes {axes} is not defined")
    if u.shape != _shape_taken(x.shape, idx[0].shape, axes):
        raise ShapeError(f"update: {u} does not fill the places; it must have shape {_shape_taken(x.shape, idx[0].shape, axes)}")
    if how != "set" and (how not in JOINS or x.dtype.kind not in ("fiub" if how in ("min", "max") else "fiubc")):
        raise GraphTypeError(f"update: {how!r} of {x} is not defined")
    if any(x.shape[a] == 0 for a in axes) and u.size:
        raise ShapeError(f"update: {x} has nothing along an axis to write to")
    return x


def _shape_taken(shape: tuple[int, ...], taken: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    kept = [n for a, n in enumerate(shape) if a not in axes]
    return (*kept[: axes[0]], *taken, *kept[axes[0] :])


@update.def_reference
def _update_reference(x: Any, u: Any, *idx: Any, axes: tuple[int, ...], how: str) -> Any:
    out, u, n = np.array(x), np.asarray(u), np.ndim(idx[0])
    view = np.moveaxis(out, axes, range(len(axes)))
    u = np.moveaxis(u, range(axes[0], axes[0] + n), range(n))
    key = tuple(map(np.asarray, idx))
    if how == "set":
        view[key] = u
    else:
        JOINS[how][0].at(view, key, u)
    return out


@update.def_lower("kernel")
def _update_lower(k: Any, outputs: Any, inputs: Any, *, axes: tuple[int, ...], how: str) -> None:
    out, (x, u, *idx) = outputs[0], inputs
    if out.pointer is not x.pointer:
        k.copy(out, x)
    n, e, at = len(idx[0].shape), k.scalar(out.dtype), k.scalar(np.int64)
    for index in k.loop(*u.shape):
        taken = index[axes[0] : axes[0] + n]
        rest = iter((*index[: axes[0]], *index[axes[0] + n :]))
        rows = dict(zip(axes, (nearest(at, k.to_index(k.load(i, taken), i.dtype), out.shape[a]) for i, a in zip(idx, axes))))
        place = tuple(rows[a] if a in rows else next(rest) for a in range(len(out.shape)))
        new = k.load(u, index)
        k.store(out, place, new if how == "set" else JOINS[how][1].lower(e, k.load(out, place), new))


update.overwrites = 0


def taken_at(x: Any, idx: Sequence[Any], axes: tuple[int, ...]) -> Any:
    """`x`'s elements at the places that `update` writes, as it wants them."""
    if len(axes) == 1:
        return gather(x, idx[0], axis=axes[0])
    kept = [a for a in range(len(x.shape)) if a not in axes]
    order, lead = (*kept[: axes[0]], *axes, *kept[axes[0] :]), axes[0]
    moved = x if order == tuple(range(len(order))) else transpose(x, axes=order)
    sizes = [x.shape[a] for a in axes]
    flat: Any = np.int64(0)
    for i, n in zip(idx, sizes):
        i = i if i.dtype == np.int64 else ew.convert(i, dtype=np.dtype(np.int64))
        i = ew.select(ew.less(i, np.int64(0)), ew.add(i, np.int64(n)), i)
        i = ew.minimum(ew.maximum(i, np.int64(0)), np.int64(max(n - 1, 0)))  # as `update` does, axis by axis
        flat = ew.add(ew.multiply(flat, np.int64(n)), i)
    shape = moved.shape
    return gather(reshape(moved, shape=(*shape[:lead], math.prod(sizes), *shape[lead + len(axes) :])), flat, axis=lead)


@update.def_pullback
def _update_pullback(ct: Any, z: Any, x: Any, u: Any, *idx: Any, axes: tuple[int, ...], how: str) -> tuple:
    nothing = (None,) * len(idx)
    if how == "add":
        return ct, taken_at(ct, idx, axes), *nothing
    if how == "set":
        zeros = broadcast_to(np.zeros((), ct.dtype)[()], shape=u.shape)
        by_u = taken_at(ct, idx, axes)
        if idx[0].size > 1:  # of updates at one place only the last stays
            by_u = ew.select(_is_last(ct, x.shape, idx, axes, u.shape), by_u, np.zeros((), ct.dtype)[()])
        return update(ct, zeros, *idx, axes=axes, how="set"), by_u, *nothing
    if how == "multiply":
        ones = broadcast_to(np.ones((), ct.dtype)[()], shape=x.shape)
        by_x = ct * update(ones, u, *idx, axes=axes, how="multiply")
        if idx[0].size == 1:
            return by_x, taken_at(ct * x, idx, axes), *nothing
        before, after = (_products_before(u, idx, axes, x.shape, reverse) for reverse in (False, True))
        return by_x, taken_at(ct * x, idx, axes) * before * after, *nothing
    # min and max: ties share evenly
    dtype = ct.dtype
    kept, won = ew.convert(ew.equal(x, z), dtype=dtype), ew.convert(ew.equal(u, taken_at(z, idx, axes)), dtype=dtype)
    share = ct / update(kept, won, *idx, axes=axes, how="add")
    return kept * share, won * taken_at(share, idx, axes), *nothing


def _is_last(ct: Any, shape: tuple[int, ...], idx: Sequence[Any], axes: tuple[int, ...], wanted: tuple[int, ...]) -> Any:
    """Whether no later update goes to the same place: its number is what stays there, if all write their numbers."""
    n, taken = math.prod(idx[0].shape), idx[0].shape
    int64 = np.dtype(np.int64)
    numbers = reshape(ct._builder.record(iota, (), {"size": n, "dtype": int64}), shape=taken)
    sizes = tuple(shape[a] for a in axes)
    nobody = broadcast_to(np.int64(-1), shape=sizes)
    owner = update(nobody, numbers, *idx, axes=tuple(range(len(axes))), how="set")
    last = ew.equal(taken_at(owner, idx, tuple(range(len(axes)))), numbers)
    filled = (*[1] * axes[0], *taken, *[1] * (len(wanted) - axes[0] - len(taken)))
    return reshape(last, shape=filled)


def _products_before(u: Any, idx: Sequence[Any], axes: tuple[int, ...], shape: tuple[int, ...], reverse: bool) -> Any:
    """For each update the product of those to the same place before it (after it, with `reverse`): a loop over them.

    So the cotangent of a factor is the product of all others: right with zeros among them, to any order.
    """
    lead, taken = axes[0], idx[0].shape
    n, rank = math.prod(taken), len(taken)
    order = (*range(lead, lead + rank), *range(lead), *range(lead + rank, len(u.shape)))
    rows = transpose(u, axes=order)
    rest = rows.shape[rank:]
    builder = Builder(Symbol)
    carry = builder.input(ArrayType(shape, u.dtype))
    row = builder.input(ArrayType(rest, u.dtype))
    places = [builder.input(ArrayType((), i.dtype)) for i in idx]
    old = taken_at(carry, places, axes)
    body = builder.finish([update(carry, old * row, *places, axes=axes, how="set"), old])
    ones = broadcast_to(np.ones((), u.dtype)[()], shape=shape)
    found = scan(
        ones, reshape(rows, shape=(n, *rest)), *(reshape(i, shape=(n,)) for i in idx), body=body, length=n, num_consts=0,
        num_carry=1, reverse=reverse, exit=None,
    )[1]  # fmt: skip
    return transpose(reshape(found, shape=(*taken, *rest)), axes=tuple(int(a) for a in np.argsort(order)))


@update.def_batch
def _update_batch(lanes: Any, mapped: Sequence[bool], x: Any, u: Any, *idx: Any, axes: tuple[int, ...], how: str) -> Any:
    x, u = spread(lanes, x, mapped[0]), spread(lanes, u, mapped[1])
    if not any(mapped[2:]):
        return update(x, u, *idx, axes=tuple(a + 1 for a in axes), how=how)
    idx = tuple(spread(lanes, i, m) for i, m in zip(idx, mapped[2:]))
    n, lead = len(idx[0].shape) - 1, axes[0] + 1
    lane = np.broadcast_to(np.arange(lanes.size).reshape(-1, *[1] * n), idx[0].shape)
    order = (0, *range(lead, lead + n), *range(1, lead), *range(lead + n, len(u.shape)))
    return update(x, transpose(u, axes=order), lane, *idx, axes=(0, *(a + 1 for a in axes)), how=how)


@update.def_samples
def _update_samples() -> list:
    rng = np.random.default_rng(11)
    x, row = rng.normal(size=(3, 4)), np.array([2, 0, 2])
    cases: list = []
    for how in ("set", *JOINS):
        options, pair = {"how": how}, (np.array([0, 1]), np.array([3, 3]))
        cases += [
            ((x, rng.normal(size=(3, 4)), row), {"axes": (0,), **options}),
            ((x, rng.normal(size=(3, 2, 2)), np.array([[1, -1], [0, 3]])), {"axes": (1,), **options}),
            ((x, rng.normal(size=3), row, np.array([1, 3, 1])), {"axes": (0, 1), **options}),
            ((x, np.float64(0.3), np.int64(1), np.int64(-1)), {"axes": (0, 1), **options}),
            ((rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 3)), *pair), {"axes": (0, 2), **options}),
            ((x, rng.normal(size=(3, 0)), np.zeros(0, np.int64)), {"axes": (1,), **options}),
            ((rng.integers(0, 9, (4,)), rng.integers(0, 9, (3,)), row), {"axes": (0,), **options}),
        ]
    cases.append(((x.astype(np.float32), np.ones(4, np.float32), np.int32(1)), {"axes": (0,), "how": "add"}))
    return cases


# -- into a slice ----------------------------------------------------------------------------------------------------

set_slice = Primitive("set_slice", formula="{0}[\\ldots] \\leftarrow {1}", flops=0)
set_slice.__doc__ = "`x` with `u` in place of a slice."


@set_slice.def_type
def _set_slice_type(x: ArrayType, u: ArrayType, *, start: tuple, limit: tuple, step: tuple) -> ArrayType:
    if slice_.type_rule(x, start=start, limit=limit, step=step) != u:
        raise ShapeError(f"set_slice: {u} does not fill the slice of {x}")
    return x


@set_slice.def_reference
def _set_slice_reference(x: Any, u: Any, *, start: tuple, limit: tuple, step: tuple) -> Any:
    out = np.array(x)
    out[slices(start, limit, step)] = u
    return out


@set_slice.def_lower("kernel")
def _set_slice_lower(k: Any, outputs: Any, inputs: Any, *, start: tuple, limit: tuple, step: tuple) -> None:
    out, (x, u) = outputs[0], inputs
    if out.pointer is not x.pointer:
        k.copy(out, x)
    k.copy(out.with_layout(out.layout.slice(start, limit, step)), u)


set_slice.moves = True
set_slice.overwrites = 0


@set_slice.def_pullback
def _set_slice_pullback(ct: Any, z: Any, x: Any, u: Any, *, start: tuple, limit: tuple, step: tuple) -> tuple:
    zeros = broadcast_to(np.zeros((), ct.dtype)[()], shape=u.shape)
    place = {"start": start, "limit": limit, "step": step}
    return set_slice(ct, zeros, **place), slice_(ct, **place)


@set_slice.def_batch
def _set_slice_batch(lanes: Any, mapped: Sequence[bool], x: Any, u: Any, *, start: tuple, limit: tuple, step: tuple) -> Any:
    x, u = spread(lanes, x, mapped[0]), spread(lanes, u, mapped[1])
    return set_slice(x, u, start=(0, *start), limit=(lanes.size, *limit), step=(1, *step))


@set_slice.def_samples
def _set_slice_samples() -> list:
    x, u = np.arange(20.0).reshape(4, 5), -np.arange(1.0, 7.0).reshape(2, 3)
    return [((x, u), {"start": (1, 0), "limit": (3, 5), "step": (1, 2)}),
            ((x, u[:, :2]), {"start": (3, 4), "limit": (-1, 0), "step": (-2, -2)}),
            ((x, u[:0]), {"start": (2, 0), "limit": (2, 3), "step": (1, 1)}),
            ((np.zeros(60_000), np.ones(3)), {"start": (7,), "limit": (10,), "step": (1,)})]  # fmt: skip
