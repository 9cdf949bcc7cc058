"""Reading and writing elements at computed places."""

from __future__ import annotations

import math

import numpy as np

from retrograde.errors import GraphTypeError, ShapeError
from retrograde.ir import Primitive
from retrograde.ops.shape import broadcast_to, reshape, spread, transpose
from retrograde.types import ArrayType

iota = Primitive("iota", formula="0, 1, \\ldots", flops=0)
iota.def_type(lambda *, size, dtype: ArrayType((size,), np.dtype(dtype)))
iota.def_reference(lambda *, size, dtype: np.arange(size, dtype=dtype))
iota.def_lower("element")(lambda e, index, read, types, *, size, dtype: e.of(np.int64).cast(index[0], dtype))
iota.def_samples(lambda: [((), {"size": 5, "dtype": np.dtype("int64")}), ((), {"size": 3, "dtype": np.dtype("float32")})])


def check_index(name: str, idx: ArrayType) -> None:
    """Raise unless these are integers."""
    if idx.dtype.kind not in "iu":
        raise GraphTypeError(f"{name}: indices must be integers; they are {idx}")


def nearest(e_index, value, size: int):
    """A negative index counts from the end; what is still outside is brought to the nearest end (see `gather`)."""
    zero, last = e_index.const(0), e_index.const(max(size - 1, 0))
    value = e_index.select(e_index.compare("<", value, zero), e_index.add(value, e_index.const(size)), value)
    return e_index.select(
        e_index.compare("<", value, zero), zero, e_index.select(e_index.compare(">", value, last), last, value)
    )


# -- along one axis, at an array of places ---------------------------------------------------------------------------

gather = Primitive("gather", formula="{0}[{1}]", flops=0)
gather.__doc__ = (
    "x's slices along `axis` at an integer array. NumPy raises IndexError where an index is out of range; compiled code, "
    "which cannot, never reads outside the array: it takes the nearest slice. `rg.fit` checks its indices beforehand."
)


@gather.def_type
def _gather_type(x: ArrayType, idx: ArrayType, *, axis: int) -> ArrayType:
    check_index("take", idx)
    if not 0 <= axis < x.ndim:
        raise ShapeError(f"take: axis {axis} of {x}, which has {x.ndim} axes")
    if x.shape[axis] == 0 and idx.size:
        raise ShapeError(f"take: {x} has nothing along axis {axis} to take from")
    return x.with_shape(x.shape[:axis] + idx.shape + x.shape[axis + 1 :])


gather.def_reference(lambda x, idx, *, axis: np.take(x, idx, axis))


@gather.def_lower("element")
def _gather_lower(e, index, read, types, *, axis: int):
    x, idx = types
    at, n = e.of(np.int64), idx.ndim
    row = e.of(idx.dtype).cast(read[1](index[axis : axis + n]), np.dtype(np.int64))
    return read[0]((*index[:axis], nearest(at, row, x.shape[axis]), *index[axis + n :]))


@gather.def_pullback
def _gather_pullback(ct, z, x, idx, *, axis: int):
    return scatter_add(ct, idx, axis=axis, size=x.shape[axis]), None


@gather.def_cut
def _gather_cut(where, types, out, out_axis, *, axis: int):
    """Along the indices of a whole array, or along another axis of the array at the same indices."""
    x, idx = where
    return (x is None and idx is not None) or (idx is None and x is not None and x != axis)


@gather.def_batch
def _gather_batch(lanes, mapped, x, idx, *, axis: int):
    if not mapped[1]:
        return gather(x, idx, axis=axis + 1)
    if not mapped[0]:  # the lanes come out where the indices' first axis goes; they belong in front
        found = gather(x, idx, axis=axis)
        return transpose(found, axes=(axis, *(a for a in range(len(found.shape)) if a != axis)))
    lines = _one_index_a_line(idx, x.shape, axis + 1)
    return reshape(take_along(x, lines, axis=axis + 1), shape=(*x.shape[: axis + 1], *idx.shape[1:], *x.shape[axis + 2 :]))


def _one_index_a_line(idx, shape: tuple[int, ...], axis: int):
    """Indices of shape (lanes, ...) as those that `take_along_axis` wants for an array of this shape."""
    count = math.prod(idx.shape[1:])
    filled = (shape[0], *[1] * (axis - 1), count, *[1] * (len(shape) - axis - 1))
    return broadcast_to(reshape(idx, shape=filled), shape=(*shape[:axis], count, *shape[axis + 1 :]))


@gather.def_samples
def _gather_samples() -> list:
    x = np.arange(12.0).reshape(3, 4)
    return [((x, np.array([2, 0, 2])), {"axis": 0}), ((x, np.array([[1, -1], [0, 3]])), {"axis": 1}),
            ((x, np.int64(1)), {"axis": 0}), ((x, np.zeros(0, np.int64)), {"axis": 1})]  # fmt: skip


scatter_add = Primitive("scatter_add", formula="\\operatorname{{scatter}}({0})", flops=lambda u, idx, *, axis, size: u.size)
scatter_add.__doc__ = "The transpose of `gather`: zeros with the updates added at the indices, in order."


@scatter_add.def_type
def _scatter_type(updates: ArrayType, idx: ArrayType, *, axis: int, size: int) -> ArrayType:
    check_index("scatter_add", idx)
    if updates.shape[axis : axis + idx.ndim] != idx.shape:
        raise ShapeError(f"scatter_add: updates {updates} must hold the indices' shape {idx.shape} at axis {axis}")
    return updates.with_shape(updates.shape[:axis] + (size,) + updates.shape[axis + idx.ndim :])


@scatter_add.def_reference
def _scatter_reference(updates, idx, *, axis: int, size: int):
    updates, idx = np.asarray(updates), np.asarray(idx)
    shape = updates.shape[:axis] + (size,) + updates.shape[axis + idx.ndim :]
    out = np.zeros(shape, updates.dtype)
    np.add.at(out, (slice(None),) * axis + (idx,), updates)
    return out


@scatter_add.def_lower("kernel")
def _scatter_lower(k, outputs, inputs, *, axis: int, size: int) -> None:
    out, (updates, idx) = outputs[0], inputs
    k.fill(out, 0)
    n, e, at = len(idx.shape), k.scalar(out.dtype), k.scalar(np.int64)
    for index in k.loop(*updates.shape):
        row = nearest(at, k.to_index(k.load(idx, index[axis : axis + n]), idx.dtype), size)
        place = (*index[:axis], row, *index[axis + n :])
        k.store(out, place, e.add(k.load(out, place), k.load(updates, index)))


scatter_add.def_pullback(lambda ct, z, u, idx, *, axis, size: (gather(ct, idx, axis=axis), None))


@scatter_add.def_batch
def _scatter_batch(lanes, mapped, updates, idx, *, axis: int, size: int):
    if not mapped[1]:
        return scatter_add(updates, idx, axis=axis + 1, size=size)
    updates = spread(lanes, updates, mapped[0])
    count, rank = math.prod(idx.shape[1:]), len(idx.shape) - 1
    flat = (*updates.shape[: axis + 1], count, *updates.shape[axis + 1 + rank :])
    lines = _one_index_a_line(idx, flat, axis + 1)
    return put_along(reshape(updates, shape=flat), lines, axis=axis + 1, size=size)


@scatter_add.def_samples
def _scatter_samples() -> list:
    u = np.arange(1.0, 13.0).reshape(3, 4)
    return [((u, np.array([2, 0, 2])), {"axis": 0, "size": 5}), ((u, np.array([1, -1, 0, 1])), {"axis": 1, "size": 3}),
            ((u[0], np.int64(1)), {"axis": 0, "size": 2})]  # fmt: skip


# -- along one axis, each line at its own places ---------------------------------------------------------------------

take_along = Primitive("take_along_axis", formula="{0}[{1}]", flops=0)


@take_along.def_type
def _take_along_type(x: ArrayType, idx: ArrayType, *, axis: int) -> ArrayType:
    check_index("take_along_axis", idx)
    others = [(p, q) for a, (p, q) in enumerate(zip(x.shape, idx.shape)) if a != axis]
    if x.ndim != idx.ndim or any(p != q for p, q in others):
        raise ShapeError(f"take_along_axis: {x} and indices {idx} must agree on every axis but {axis}")
    return x.with_shape(idx.shape)


take_along.def_reference(lambda x, idx, *, axis: np.take_along_axis(x, np.asarray(idx), axis))


@take_along.def_lower("element")
def _take_along_lower(e, index, read, types, *, axis: int):
    x, idx = types
    row = e.of(idx.dtype).cast(read[1](index), np.dtype(np.int64))
    return read[0]((*index[:axis], nearest(e.of(np.int64), row, x.shape[axis]), *index[axis + 1 :]))


take_along.def_pullback(lambda ct, z, x, idx, *, axis: (put_along(ct, idx, axis=axis, size=x.shape[axis]), None))


def _cut_along(where, types, out, out_axis, *, axis: int, size: int = 0):
    return where[0] == where[1] == out_axis != axis


take_along.def_cut(_cut_along)


@take_along.def_batch
def _take_along_batch(lanes, mapped, x, idx, *, axis: int):
    return take_along(spread(lanes, x, mapped[0]), spread(lanes, idx, mapped[1]), axis=axis + 1)


@take_along.def_samples
def _take_along_samples() -> list:
    x = np.arange(12.0).reshape(3, 4)
    return [((x, np.array([[1], [0], [3]])), {"axis": 1}), ((x, np.array([[0, 2, 1, -1]])), {"axis": 0}),
            ((x, np.array([[0, 0], [1, 1], [2, 3]])), {"axis": 1})]  # fmt: skip


put_along = Primitive("put_along_axis", formula="\\operatorname{{scatter}}({0})", flops=lambda u, idx, *, axis, size: u.size)


@put_along.def_type
def _put_along_type(updates: ArrayType, idx: ArrayType, *, axis: int, size: int) -> ArrayType:
    if updates.shape != idx.shape:
        raise ShapeError(f"put_along_axis: updates {updates} and indices {idx} must have one shape")
    return updates.with_shape(updates.shape[:axis] + (size,) + updates.shape[axis + 1 :])


@put_along.def_reference
def _put_along_reference(updates, idx, *, axis: int, size: int):
    updates, idx = np.asarray(updates), np.asarray(idx)
    out = np.zeros(updates.shape[:axis] + (size,) + updates.shape[axis + 1 :], updates.dtype)
    places = list(np.indices(idx.shape, sparse=True))
    places[axis] = idx
    np.add.at(out, tuple(places), updates)
    return out


@put_along.def_lower("kernel")
def _put_along_lower(k, outputs, inputs, *, axis: int, size: int) -> None:
    out, (updates, idx) = outputs[0], inputs
    k.fill(out, 0)
    e, at = k.scalar(out.dtype), k.scalar(np.int64)
    for index in k.loop(*updates.shape):
        row = nearest(at, k.to_index(k.load(idx, index), idx.dtype), size)
        place = (*index[:axis], row, *index[axis + 1 :])
        k.store(out, place, e.add(k.load(out, place), k.load(updates, index)))


put_along.def_pullback(lambda ct, z, u, idx, *, axis, size: (take_along(ct, idx, axis=axis), None))


put_along.def_cut(_cut_along)


@put_along.def_batch
def _put_along_batch(lanes, mapped, x, idx, *, axis: int, size: int):
    return put_along(spread(lanes, x, mapped[0]), spread(lanes, idx, mapped[1]), axis=axis + 1, size=size)


@put_along.def_samples
def _put_along_samples() -> list:
    u = np.arange(1.0, 4.0).reshape(3, 1)
    return [((u, np.array([[1], [0], [1]])), {"axis": 1, "size": 4}),
            ((np.ones((3, 2)), np.array([[1, 1], [0, 2], [-1, 0]])), {"axis": 1, "size": 4})]  # fmt: skip
