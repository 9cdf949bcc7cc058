"""Pooling: the largest element, or the sum, of each window over the axes between the first and the last.

Windows may overlap and reach past the ends, where there is nothing: no number is the largest there, and sums gain nothing. Of
tied elements of a window the first is the largest, as in PyTorch, and has all of the cotangent. Nothing is kept to know which it
was: the pullback compares the input with the output again.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograde.errors import GraphTypeError, ShapeError
from retrograde.ir import Primitive
from retrograde.ops.convolve import Padding, count_places
from retrograde.ops.shape import embed, reshape, spread
from retrograde.types import ArrayType

_I64 = np.dtype(np.int64)


def _check(name: str, x: ArrayType, **params: Any) -> ArrayType:
    if x.dtype.kind != "f":
        raise GraphTypeError(f"{name}: an array of floats is wanted; it was given {x}")
    return x.with_shape(_shape(name, x.shape, **params))


def _shape(name: str, x: tuple[int, ...], window: tuple, stride: tuple, dilation: tuple, padding: Padding) -> tuple[int, ...]:
    """That of the pooled array."""
    if len(x) < 3 or {len(setting) for setting in (window, stride, dilation, padding)} != {len(x) - 2}:
        raise ShapeError(f"{name}: (batch, places..., channels) and settings for each axis of places are wanted; not {x}")
    if min(*window, *stride, *dilation) < 1:
        raise ShapeError(f"{name}: window, stride and dilation are 1 or more; they are {window}, {stride}, {dilation}")
    places = tuple(count_places(n, k, s, d, sum(p)) for n, k, s, d, p in zip(x[1:-1], window, stride, dilation, padding))
    rims = zip(x[1:-1], window, stride, dilation, padding, places)
    if min(places) < 1 or any(min(a) < 0 or a[0] > d * (k - 1) or (p - 1) * s - a[0] >= n for n, k, s, d, a, p in rims):
        raise ShapeError(
            f"{name}: windows of {window} at each {stride}, each with an element of the array, do not fit into {x[1:-1]} padded "
            f"by {padding}"
        )
    return (x[0], *places, x[-1])


def _windows(x: Any, fill: Any, window: tuple, stride: tuple, dilation: tuple, padding: Padding) -> np.ndarray:
    """The elements of each window along one last axis."""
    x = np.asarray(x)
    _shape("pooling", x.shape, window, stride, dilation, padding)
    x = np.pad(x, ((0, 0), *padding, (0, 0)), constant_values=fill)
    axes, spans = tuple(range(1, x.ndim - 1)), tuple(d * (k - 1) + 1 for k, d in zip(window, dilation))
    seen = np.lib.stride_tricks.sliding_window_view(x, spans, axes)
    seen = seen[(slice(None), *(slice(None, None, s) for s in stride), slice(None), *(slice(None, None, d) for d in dilation))]
    return seen.reshape(*seen.shape[: x.ndim], math.prod(window))


def _elements(e: Any, read: Any, index: tuple, x: ArrayType, fill: Any, window: tuple, stride: tuple, dilation: tuple,
              padding: Padding) -> Iterator[tuple]:  # fmt: skip
    """In generated code: the elements of the window at `index`, each with its index; outside of the array `fill`."""
    at = e.of(_I64)
    first = [at.add(at.mul(i, at.const(s)), at.const(-low)) for i, s, (low, _) in zip(index[1:-1], stride, padding)]
    for offsets in itertools.product(*map(range, window)):
        place, inside = [], None
        for i, k, d, n, pair in zip(first, offsets, dilation, x.shape[1:-1], padding):
            here = at.add(i, at.const(k * d))
            if any(pair):
                within = e.b.icmp_unsigned("<", here, at.const(n))
                here = at.select(within, here, at.const(0))
                inside = within if inside is None else e.b.and_(inside, within)
            place.append(here)
        there = (index[0], *place, index[-1])
        value = read(there)
        yield there, inside, value if inside is None else e.select(inside, value, e.const(fill))


def _pooling(name: str, formula: str, operands: int) -> Primitive:
    """A primitive over the windows of its last operand; all operands that are mapped give more points of the batch."""
    primitive = Primitive(name, formula=formula, flops=lambda *xs, window, **params: math.prod(window) * xs[0].size)

    @primitive.def_batch
    def batch(lanes: Any, mapped: Any, *xs: Any, **params: Any) -> Any:
        xs = [spread(lanes, x, m) for x, m in zip(xs, mapped)]
        z = primitive(*[reshape(x, shape=(lanes.size * x.shape[1], *x.shape[2:])) for x in xs], **params)
        return reshape(z, shape=(lanes.size, z.shape[0] // lanes.size, *z.shape[1:]))

    @primitive.def_cut
    def cut(where: Any, types: Any, out: ArrayType, out_axis: int | None, **_: Any) -> bool:
        return set(where) == {0} and out_axis == 0

    @primitive.def_samples
    def samples() -> list:
        return _samples(operands, primitive is put_largest)

    return primitive


max_pool = _pooling("max_pool", "\\operatorname{{maxpool}} {0}", 1)
sum_pool = _pooling("sum_pool", "\\operatorname{{sumpool}} {0}", 1)
take_largest = _pooling("take_largest", "{0}[\\operatorname{{argmaxpool}} {2}]", 3)
take_largest.__doc__ = "v where x is the largest of its window: v and x are alike, y is max_pool of x."
put_largest = _pooling("put_largest", "\\operatorname{{unpool}} {0}", 3)
put_largest.__doc__ = "The transpose of `take_largest`: each element of ct added to zeros where x is the largest of its window."

max_pool.def_type(lambda x, **params: _check("max_pool", x, **params))
max_pool.def_reference(lambda x, **params: np.max(_windows(x, -np.inf, **params), -1))
max_pool.def_pullback(lambda ct, y, x, **params: (put_largest(ct, y, x, **params),))


@max_pool.def_lower("element")
def _max_lower(e: Any, index: tuple, read: Any, types: Any, **params: Any) -> Any:
    best = None
    for _, _, value in _elements(e, read[0], index, types[0], -np.inf, **params):
        best = value if best is None else e.maximum(best, value)
    return best


sum_pool.def_type(lambda x, **params: _check("sum_pool", x, **params))
sum_pool.def_reference(lambda x, **params: np.sum(_windows(x, 0, **params), -1, dtype=x.dtype))


@sum_pool.def_lower("element")
def _sum_lower(e: Any, index: tuple, read: Any, types: Any, **params: Any) -> Any:
    total = e.const(0)
    for _, _, value in _elements(e, read[0], index, types[0], 0, **params):
        total = e.add(total, value)
    return total


@sum_pool.def_pullback
def _sum_pullback(ct: Any, z: Any, x: Any, *, window: tuple, stride: tuple, dilation: tuple, padding: Padding) -> tuple:
    """The same windows over the cotangent, with stride - 1 zeros between its elements."""
    lengths, start, limit = [], [], []
    for n, k, p, s, d, (low, _) in zip(x.shape[1:-1], window, ct.shape[1:-1], stride, dilation, padding):
        lengths.append(n + d * (k - 1))
        start.append(d * (k - 1) - low)
        limit.append(start[-1] + (p - 1) * s + 1)
    batch, channels = ct.shape[0], ct.shape[-1]
    ct = embed(ct, shape=(batch, *lengths, channels), start=(0, *start, 0), limit=(batch, *limit, channels), step=(1, *stride, 1))
    return (sum_pool(ct, window=window, stride=(1,) * len(window), dilation=dilation, padding=((0, 0),) * len(window)),)


# -- where the largest is --------------------------------------------------------------------------------------------


def _largest(y: Any, x: Any, **params: Any) -> np.ndarray:
    """The place, in all of x, of the first element of each window that is y, -1 where there is none; a NaN is the largest."""
    x = np.asarray(x)
    seen, places = _windows(x, -np.inf, **params), _windows(np.arange(x.size).reshape(x.shape), -1, **params)
    found = ((seen == np.asarray(y)[..., None]) | (seen != seen)) & (places >= 0)
    first = np.take_along_axis(places, np.argmax(found, -1)[..., None], -1)[..., 0]
    return np.where(np.any(found, -1), first, -1)


def _check_largest(name: str, y: ArrayType, x: ArrayType, other: ArrayType, like: ArrayType, **params: Any) -> ArrayType:
    if _check(name, x, **params) != y or other.shape != like.shape:
        raise ShapeError(f"{name}: an array like {like}, and the pooled of {x}, are wanted; it was given {other} and {y}")
    return other


@take_largest.def_type
def _take_type(v: ArrayType, y: ArrayType, x: ArrayType, **params: Any) -> ArrayType:
    return _check_largest("take_largest", y, x, v, x, **params).with_shape(y.shape)


@take_largest.def_reference
def _take_reference(v: Any, y: Any, x: Any, **params: Any) -> Any:
    return np.append(np.reshape(v, -1), v.dtype.type(0))[_largest(y, x, **params)]


take_largest.def_pullback(lambda ct, z, v, y, x, **params: (put_largest(ct, y, x, **params), None, None))


def _is_largest(e: Any, x: Any, y: Any, inside: Any) -> Any:
    found = e.b.or_(e.compare("==", x, y), e.compare("!=", x, x))
    return found if inside is None else e.b.and_(found, inside)


@take_largest.def_lower("element")
def _take_lower(e: Any, index: tuple, read: Any, types: Any, **params: Any) -> Any:
    e, own, y = e.of(types[0].dtype), e.of(types[2].dtype), read[1](index)
    found = e.const(0)
    for there, inside, value in reversed(list(_elements(own, read[2], index, types[2], -np.inf, **params))):
        found = e.select(_is_largest(own, value, y, inside), read[0](there), found)
    return found


@put_largest.def_type
def _put_type(ct: ArrayType, y: ArrayType, x: ArrayType, **params: Any) -> ArrayType:
    return _check_largest("put_largest", y, x, ct, y, **params).with_shape(x.shape)


@put_largest.def_reference
def _put_reference(ct: Any, y: Any, x: Any, **params: Any) -> Any:
    ct = np.asarray(ct)
    out = np.zeros(np.size(x) + 1, ct.dtype)  # the last for those that are nowhere
    np.add.at(out, _largest(y, x, **params), ct)
    return out[:-1].reshape(np.shape(x))


put_largest.def_pullback(lambda ct, z, c, y, x, **params: (take_largest(ct, y, x, **params), None, None))
put_largest.shares = True


@put_largest.def_lower("kernel")
def _put_lower(k: Any, outputs: Any, inputs: Any, **params: Any) -> None:
    """Window by window: what is found is added, or written where windows cannot overlap."""
    out, (ct, y, x) = outputs[0], inputs
    e, own, b = k.scalar(out.dtype), k.scalar(x.dtype), k.b
    apart = all(s >= d * (w - 1) + 1 for s, d, w in zip(params["stride"], params["dilation"], params["window"]))
    apart = apart and not np.any(params["padding"])
    covered = apart and all(w == s and p * s == n for w, s, p, n in
                            zip(params["window"], params["stride"], y.shape[1:-1], x.shape[1:-1]))  # fmt: skip
    begin, end = k.share(x.shape[0])
    for i in k.count(end, begin):
        for place in k.loop(*x.shape[1:]) if not covered else ():
            k.store(out, (i, *place), e.const(0))
        for place in k.loop(*y.shape[1:]):
            index = (i, *place)
            best, value, free = k.load(y, index), k.load(ct, index), None
            for there, inside, element in _elements(own, lambda at: k.load(x, at), index, x.type, -np.inf, **params):
                found = _is_largest(own, element, best, inside)
                taken = found if free is None else b.and_(free, found)
                given = e.select(taken, value, e.const(0))
                k.store(out, there, given if apart else e.add(k.load(out, there), given))
                free = b.not_(found) if free is None else b.and_(free, b.not_(found))


def _samples(operands: int, by_window: bool) -> list:
    rng = np.random.default_rng(43)
    cases = []
    for shape, window, stride, dilation, padding, dtype in [
        ((2, 6, 3), (2,), (2,), (1,), ((0, 0),), np.float64), ((1, 7, 2), (3,), (2,), (2,), ((1, 1),), np.float64),
        ((2, 4, 6, 3), (2, 2), (2, 2), (1, 1), ((0, 0), (0, 0)), np.float64),
        ((1, 5, 6, 2), (3, 2), (2, 1), (1, 2), ((1, 1), (0, 2)), np.float64),
        ((2, 5, 5, 17), (3, 3), (2, 2), (1, 1), ((1, 1), (1, 1)), np.float32),
        ((0, 4, 2), (2,), (3,), (1,), ((0, 0),), np.float64),
    ]:  # fmt: skip
        params = {"window": window, "stride": stride, "dilation": dilation, "padding": padding}
        x = (rng.permutation(math.prod(shape)).reshape(shape) / 7.0 - 2.0).astype(dtype if operands == 1 else np.float32)
        y = max_pool(x, **params)  # by which, as by x, there is no derivative: float32 says so to the tests
        v = rng.normal(size=y.shape if by_window else x.shape).astype(dtype)
        cases.append(((v, y, x)[3 - operands :] if operands == 3 else (x,), params))
    return cases
