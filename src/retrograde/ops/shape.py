"""Primitives that move elements without changing them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from retrograde.errors import GraphTypeError, ShapeError
from retrograde.ir import Primitive
from retrograde.types import ArrayType, type_of

# -- views: strides say all of it ------------------------------------------------------------------------------------

reshape = Primitive("reshape", formula="{0}", flops=0)
transpose = Primitive("transpose", formula="{0}^T", flops=0)
broadcast_to = Primitive("broadcast_to", formula="{0}", flops=0)
slice_ = Primitive("slice", formula="{0}", flops=0)


@reshape.def_type
def _reshape_type(x: ArrayType, *, shape: tuple[int, ...]) -> ArrayType:
    if math.prod(shape) != x.size:
        raise ShapeError(f"reshape: {x} has {x.size} elements, shape {shape} has {math.prod(shape)}")
    return x.with_shape(shape)


reshape.def_reference(lambda x, *, shape: np.reshape(x, shape)[()])
reshape.def_lower("view")(lambda layout, *, shape: layout.reshape(shape))
reshape.def_batch(lambda lanes, mapped, x, *, shape: reshape(x, shape=(lanes.size, *shape)))
reshape.def_cut(
    lambda where, types, out, out_axis, *, shape: (
        out_axis is not None and math.prod(types[0].shape[: where[0]]) == math.prod(shape[:out_axis])
    )
)
reshape.def_pullback(lambda ct, z, x, *, shape: (reshape(ct, shape=x.shape),))


@reshape.def_samples
def _reshape_samples() -> list:
    x = np.linspace(-1, 1, 6).reshape(2, 3)
    return [((x,), {"shape": (3, 2)}), ((x,), {"shape": (6,)}), ((np.zeros((0, 2)),), {"shape": (2, 0)}),
            ((np.ones((1, 1)),), {"shape": ()}), ((x,), {"shape": (2, 1, 3)})]  # fmt: skip


@transpose.def_type
def _transpose_type(x: ArrayType, *, axes: tuple[int, ...]) -> ArrayType:
    if sorted(axes) != list(range(x.ndim)):
        raise ShapeError(f"transpose: axes {axes} are no permutation of the {x.ndim} axes of {x}")
    return x.with_shape(tuple(x.shape[a] for a in axes))


transpose.def_reference(lambda x, *, axes: np.transpose(x, axes))
transpose.def_lower("view")(lambda layout, *, axes: layout.transpose(axes))
transpose.def_batch(lambda lanes, mapped, x, *, axes: transpose(x, axes=(0, *(a + 1 for a in axes))))


transpose.def_cut(lambda where, types, out, out_axis, **_: True)


@transpose.def_pullback
def _transpose_pullback(ct, z, x, *, axes):
    return (transpose(ct, axes=tuple(int(a) for a in np.argsort(axes))),)


@transpose.def_samples
def _transpose_samples() -> list:
    x = np.arange(24.0).reshape(2, 3, 4)
    return [((x,), {"axes": (2, 0, 1)}), ((x[0],), {"axes": (1, 0)}), ((np.ones(3),), {"axes": (0,)}),
            ((np.ones((0, 3)),), {"axes": (1, 0)})]  # fmt: skip


@broadcast_to.def_type
def _broadcast_type(x: ArrayType, *, shape: tuple[int, ...]) -> ArrayType:
    try:
        fits = np.broadcast_shapes(x.shape, shape) == tuple(shape)
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(f"broadcast_to: {x} does not broadcast to {shape}; each length must be equal or 1")
    return x.with_shape(shape)


broadcast_to.def_reference(lambda x, *, shape: np.broadcast_to(x, shape)[()])
broadcast_to.def_lower("view")(lambda layout, *, shape: layout.broadcast(shape))


broadcast_to.def_cut(lambda where, types, out, out_axis, **_: types[0].ndim - where[0] == out.ndim - out_axis)


@broadcast_to.def_batch
def _broadcast_batch(lanes, mapped, x, *, shape):
    filled = (lanes.size, *[1] * (len(shape) + 1 - len(x.shape)), *x.shape[1:])
    return broadcast_to(reshape(x, shape=filled), shape=(lanes.size, *shape))


def spread(lanes: Any, x: Any, mapped: bool) -> Any:
    """`x` with the mapped axis in front: itself, or repeated for every lane where it is the same in all."""
    return x if mapped else broadcast_to(x, shape=(lanes.size, *x.shape))


def zeros(type_: ArrayType) -> Any:
    """Zeros of a type, in no more memory than one number wants."""
    zero = np.zeros((), type_.dtype)[()]
    return broadcast_to(zero, shape=type_.shape) if type_.shape else zero


@broadcast_to.def_pullback
def _broadcast_pullback(ct, z, x, *, shape):
    from retrograde.ops.reduce import sum_to_shape

    return (sum_to_shape(ct, x.shape),)


@broadcast_to.def_samples
def _broadcast_samples() -> list:
    return [((np.arange(3.0),), {"shape": (2, 3)}), ((np.float64(2.0),), {"shape": (4,)}),
            ((np.ones((2, 1)),), {"shape": (3, 2, 5)}), ((np.ones((1, 3)),), {"shape": (0, 3)})]  # fmt: skip


@slice_.def_type
def _slice_type(x: ArrayType, *, start: tuple, limit: tuple, step: tuple) -> ArrayType:
    if not len(start) == len(limit) == len(step) == x.ndim:
        raise GraphTypeError(f"slice: one start, limit and step for each of the {x.ndim} axes of {x}")
    return x.with_shape(tuple(len(range(a, z, s)) for a, z, s in zip(start, limit, step)))


def slices(start: tuple, limit: tuple, step: tuple) -> tuple:
    """Python's slices of these starts, limits and steps."""
    # a limit of -1 with a negative step means "through element 0", which Python spells None
    return tuple(slice(a, None if z < 0 else z, s) for a, z, s in zip(start, limit, step))


slice_.def_reference(lambda x, *, start, limit, step: x[slices(start, limit, step)])
slice_.def_lower("view")(lambda layout, *, start, limit, step: layout.slice(start, limit, step))



def _cut_slice(where, types, out, out_axis, *, start, limit, step, shape=None):
    """Only where the slice takes the whole axis as it is."""
    return out_axis == where[0] and (start[out_axis], limit[out_axis], step[out_axis]) == (0, out.shape[out_axis], 1)


slice_.def_cut(_cut_slice)


@slice_.def_batch
def _slice_batch(lanes, mapped, x, *, start, limit, step):
    return slice_(x, start=(0, *start), limit=(lanes.size, *limit), step=(1, *step))


slice_.def_pullback(
    lambda ct, z, x, *, start, limit, step: (embed(ct, shape=x.shape, start=start, limit=limit, step=step),)
)


@slice_.def_samples
def _slice_samples() -> list:
    x = np.arange(20.0).reshape(4, 5)
    return [((x,), {"start": (1, 0), "limit": (3, 5), "step": (1, 2)}),
            ((x,), {"start": (3, 4), "limit": (-1, 0), "step": (-1, -2)}),
            ((x,), {"start": (2, 0), "limit": (2, 5), "step": (1, 1)})]  # fmt: skip


# -- kernels ---------------------------------------------------------------------------------------------------------

embed = Primitive("embed", formula="{0}", flops=0)
embed.__doc__ = "The transpose of `slice`: an array of zeros of `shape` with the operand written into the slice."


@embed.def_type
def _embed_type(x: ArrayType, *, shape: tuple, start: tuple, limit: tuple, step: tuple) -> ArrayType:
    if _slice_type(x.with_shape(shape), start=start, limit=limit, step=step) != x:
        raise ShapeError(f"embed: {x} does not fill the slice of shape {shape}")
    return x.with_shape(shape)


@embed.def_reference
def _embed_reference(x, *, shape, start, limit, step):
    out = np.zeros(shape, np.asarray(x).dtype)
    out[slices(start, limit, step)] = x
    return out


@embed.def_lower("kernel")
def _embed_lower(k, outputs, inputs, *, shape, start, limit, step) -> None:
    out = outputs[0]
    k.fill(out, 0)
    k.copy(out.with_layout(out.layout.slice(start, limit, step)), inputs[0])


embed.moves = True
embed.def_cut(_cut_slice)


@embed.def_batch
def _embed_batch(lanes, mapped, x, *, shape, start, limit, step):
    return embed(x, shape=(lanes.size, *shape), start=(0, *start), limit=(lanes.size, *limit), step=(1, *step))


embed.def_pullback(lambda ct, z, x, *, shape, start, limit, step: (slice_(ct, start=start, limit=limit, step=step),))


@embed.def_samples
def _embed_samples() -> list:
    x = np.arange(1.0, 7.0).reshape(2, 3)
    return [((x,), {"shape": (4, 5), "start": (1, 0), "limit": (3, 5), "step": (1, 2)}),
            ((x,), {"shape": (2, 3), "start": (1, 0), "limit": (-1, 3), "step": (-1, 1)})]  # fmt: skip


concatenate = Primitive("concatenate", formula="[{0}, \\ldots]", flops=0)


@concatenate.def_type
def _concatenate_type(*xs: ArrayType, axis: int) -> ArrayType:
    first = xs[0]
    for x in xs:
        alike = x.dtype == first.dtype and x.ndim == first.ndim
        if not alike or any(p != q for a, (p, q) in enumerate(zip(x.shape, first.shape)) if a != axis):
            raise ShapeError(f"concatenate along axis {axis}: {first} and {x} must agree in dtype and in every other axis")
    shape = list(first.shape)
    shape[axis] = sum(x.shape[axis] for x in xs)
    return first.with_shape(tuple(shape))


concatenate.def_reference(lambda *xs, axis: np.concatenate(xs, axis))


def _pieces(xs: Any, axis: int) -> list[tuple[tuple, tuple, tuple]]:
    pieces, at = [], 0
    for x in xs:
        start, limit = [0] * len(x.shape), list(x.shape)
        start[axis], limit[axis] = at, at + x.shape[axis]
        at = limit[axis]
        pieces.append((tuple(start), tuple(limit), (1,) * len(x.shape)))
    return pieces


@concatenate.def_lower("kernel")
def _concatenate_lower(k, outputs, inputs, *, axis: int) -> None:
    for x, (start, limit, step) in zip(inputs, _pieces(inputs, axis)):
        k.copy_shared(outputs[0].with_layout(outputs[0].layout.slice(start, limit, step)), x)


concatenate.moves = True
concatenate.shares = True
concatenate.def_cut(lambda where, types, out, out_axis, *, axis: axis != out_axis and set(where) == {out_axis})


@concatenate.def_batch
def _concatenate_batch(lanes, mapped, *xs, axis: int):
    return concatenate(*[spread(lanes, x, m) for x, m in zip(xs, mapped)], axis=axis + 1)


@concatenate.def_pullback
def _concatenate_pullback(ct, z, *xs, axis: int):
    return tuple(slice_(ct, start=a, limit=b, step=s) for a, b, s in _pieces(xs, axis))


@concatenate.def_push
def _concatenate_push(primals, tangents, *, axis: int):
    """At once; the transposed pullback would add as many arrays of the result's size as there are pieces."""
    pieces = [zeros(type_of(x)) if t is None else t for t, x in zip(tangents, primals)]
    return concatenate(*primals, axis=axis), [concatenate(*pieces, axis=axis)]


@concatenate.def_samples
def _concatenate_samples() -> list:
    x, y = np.ones((2, 3)), np.zeros((2, 1))
    return [((x, y, x), {"axis": 1}), ((x, x), {"axis": 0}), ((np.ones(0), np.ones(2)), {"axis": 0}), ((y,), {"axis": 0})]
