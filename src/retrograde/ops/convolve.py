"""`convolve`: a kernel slid over an array of any number of axes, summed over the channels. Its derivatives are such sums again.

Channels come last, so that what is done at a place lies together in memory; any other order is a transposed view. The weight's
derivative is the convolution whose channels are the points of the batch and whose kernel is the cotangent, stride and dilation
exchanged; the input's slides the kernel, turned around, over the cotangent.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from retrograde.errors import GraphTypeError, ShapeError
from retrograde.ir import Primitive
from retrograde.ops.shape import concatenate, embed, reshape, slice_, transpose, zeros
from retrograde.types import ArrayType, type_of

Padding = tuple[tuple[int, int], ...]
MANY_POINTS = 4  # of a batch, from which threads share these rather than the places of each
MOST_PHASES = 9  # of a stride, for which its transpose is divided

convolve = Primitive("convolve", formula="{0} \\ast {1}", flops=lambda x, w, **params: _flops(x, w, **params))
convolve.__doc__ = (
    "z[g, n, p, o] = sum over k, c of x[g, n, stride p + dilation k - padding, c] w[g, k, c, o]: x is (groups, batch, places..., "
    "channels), w (groups, kernel..., channels, channels out). `padding` says how many zeros stand before and after each axis of "
    "places; a negative number takes elements away. `by` says what is taken one after the other while it is near: the points of "
    "the batch, or the channels, which are then far apart, as they are for the weight's derivative. Its meaning is the same."
)


def _flops(x: ArrayType, w: ArrayType, **params: Any) -> float:
    return 2.0 * _convolve_type(x, w, **params).size * math.prod(w.shape[1:-1])


def count_places(length: int, kernel: int, stride: int, dilation: int, around: int) -> int:
    """How often a kernel fits into a line of this length with `around` zeros around it."""
    return (length + around - dilation * (kernel - 1) - 1) // stride + 1


@convolve.def_type
def _convolve_type(
    x: ArrayType, w: ArrayType, *, stride: tuple, dilation: tuple, padding: Padding, by: str = "batch"
) -> ArrayType:
    if x.dtype != w.dtype or x.dtype not in (np.float32, np.float64):
        raise GraphTypeError(f"convolve: float32 or float64, the same for both, is wanted; it was given {x} and {w}")
    axes = x.ndim - 3
    if axes < 1 or w.ndim != x.ndim or w.shape[0] != x.shape[0] or w.shape[-2] != x.shape[-1]:
        raise ShapeError(
            f"convolve: (groups, batch, places..., channels) and (groups, kernel..., channels, channels out) are wanted; {x}, {w}"
        )
    if not len(stride) == len(dilation) == len(padding) == axes or min(*stride, *dilation) < 1:
        raise ShapeError(f"convolve: a stride and a dilation of 1 or more, and two paddings, for each of {axes} axes of {x}")
    places = tuple(
        count_places(n, k, s, d, sum(p)) for n, k, s, d, p in zip(x.shape[2:-1], w.shape[1:-2], stride, dilation, padding)
    )
    if min(places) < 1 or 0 in w.shape[1:-2]:
        raise ShapeError(f"convolve: a kernel of {w.shape[1:-2]} does not fit into {x.shape[2:-1]}, padded by {padding}")
    return x.with_shape((*x.shape[:2], *places, w.shape[-1]))


@convolve.def_reference
def _convolve_reference(x: Any, w: Any, *, stride: tuple, dilation: tuple, padding: Padding, by: str = "batch") -> Any:
    _convolve_type(type_of(x), type_of(w), stride=stride, dilation=dilation, padding=padding)  # says clearly what does not fit
    axes = tuple(range(2, x.ndim - 1))
    spans = tuple(d * (k - 1) + 1 for d, k in zip(dilation, w.shape[1:-2]))
    windows = np.lib.stride_tricks.sliding_window_view(padded(x, padding), spans, axes)
    windows = windows[(slice(None), slice(None), *(slice(None, None, s) for s in stride), slice(None),
                       *(slice(None, None, d) for d in dilation))]  # fmt: skip
    lead, places = windows.shape[:2], windows.shape[2 : 2 + len(axes)]
    rows = np.moveaxis(windows, 2 + len(axes), -1).reshape(lead[0], lead[1] * math.prod(places), math.prod(w.shape[1:-1]))
    return np.matmul(rows, w.reshape(w.shape[0], rows.shape[-1], w.shape[-1])).reshape(*lead, *places, w.shape[-1])


def padded(x: np.ndarray, padding: Padding) -> np.ndarray:
    """Zeros around the axes of places, or elements taken away."""
    shape = list(x.shape)
    inside, source = [slice(None)] * 2, [slice(None)] * 2
    for axis, (low, high) in enumerate(padding, 2):
        start, kept = max(low, 0), kept_of(x.shape[axis], (low, high))
        shape[axis] += low + high
        source.append(slice(kept[0], kept[1]))
        inside.append(slice(start, start + kept[1] - kept[0]))
    out = np.zeros(shape, x.dtype)
    out[tuple(inside)] = x[tuple(source)]
    return out


def kept_of(length: int, padding: tuple[int, int]) -> tuple[int, int]:
    """Begin and end of what of a line a padding, where it is negative, leaves."""
    begin = min(max(-padding[0], 0), length)
    return begin, max(length - max(-padding[1], 0), begin)


convolve.def_lower("kernel")(None)  # emitted by codegen/convolution.py
convolve.lines = (1,)


@convolve.def_pullback
def _convolve_pullback(
    ct: Any, z: Any, x: Any, w: Any, *, stride: tuple, dilation: tuple, padding: Padding, by: str = "batch"
) -> tuple:
    return (by_input(ct, x.shape, w, stride, dilation, padding), _by_weight(ct, x, w.shape, stride, dilation, padding))


def by_input(ct: Any, shape: tuple, w: Any, stride: tuple, dilation: tuple, padding: Padding) -> Any:
    """The transpose in x, of this shape: the kernel, turned around, over the cotangent with stride - 1 zeros between elements.

    Places that are a stride apart meet the same part of the kernel: where these are few, each has a convolution without zeros.
    """
    if 1 < math.prod(stride) <= MOST_PHASES and max(dilation) == 1:
        return _by_phases(ct, shape, w, stride, padding)
    rank, around = len(shape), []
    places, lengths, kernel = ct.shape[2:-1], shape[2:-1], w.shape[1:-2]
    for n, k, p, s, d, (low, _) in zip(lengths, kernel, places, stride, dilation, padding):
        before = d * (k - 1) - low
        around.append((before, n + d * (k - 1) - before - ((p - 1) * s + 1)))
    if max(stride) > 1:
        apart = (*ct.shape[:2], *((p - 1) * s + 1 for p, s in zip(places, stride)), ct.shape[-1])
        ct = embed(ct, shape=apart, start=(0,) * rank, limit=apart, step=(1, 1, *stride, 1))
    turned = _slice(w, [(k - 1, -1, -1) for k in kernel])
    turned = transpose(turned, axes=(*range(rank - 2), rank - 1, rank - 2))
    return convolve(ct, turned, stride=(1,) * len(kernel), dilation=dilation, padding=tuple(around))


def _by_phases(ct: Any, shape: tuple, w: Any, stride: tuple, padding: Padding) -> Any:
    """For each remainder of a place (counted from the padding's first) by the stride: those places; then all in their order."""
    first = [low // s for (low, _), s in zip(padding, stride)]
    counts = [-(-(n + low) // s) - a for n, (low, _), s, a in zip(shape[2:-1], padding, stride, first)]
    inner, once, channels = (*shape[:2], *counts, w.shape[-2]), (1,) * len(stride), w.shape[-2]
    parts = []
    for phase in itertools.product(*map(range, stride)):
        kernel = [(r, k, s) for r, k, s in zip(phase, w.shape[1:-2], stride)]
        if any(r >= k for r, k, _ in kernel):
            part = zeros(ArrayType(inner, w.dtype))
        else:
            part = by_input(ct, inner, _slice(w, kernel), once, once, tuple((a, 0) for a in first))
        parts.append(reshape(part, shape=(*inner[:2], 1, *inner[2:])))
    axes, n = [0, 1], len(stride)
    for i in range(n):
        axes += [2 + n + i, 2 + i]
    apart = reshape(concatenate(*parts, axis=2), shape=(*inner[:2], *stride, *counts, channels))
    whole = transpose(apart, axes=(*axes, 2 + 2 * n))
    whole = reshape(whole, shape=(*inner[:2], *(c * s for c, s in zip(counts, stride)), channels))
    start = [low - a * s for (low, _), a, s in zip(padding, first, stride)]
    return _slice(whole, [(a, a + n, 1) for a, n in zip(start, shape[2:-1])], lead=2)


def _slice(x: Any, places: Sequence[tuple[int, int, int]], lead: int = 1) -> Any:
    """Begin, end and step of each axis of places, after some `lead` axes; all of the others."""
    rest = x.shape[lead + len(places) :]
    start, limit, step = zip(*[(0, n, 1) for n in x.shape[:lead]], *places, *[(0, n, 1) for n in rest])
    return slice_(x, start=start, limit=limit, step=step)


def _by_weight(ct: Any, x: Any, shape: tuple, stride: tuple, dilation: tuple, padding: Padding) -> Any:
    """The cotangent as the kernel, over the input: the points of the batch are the channels, summed over."""
    rank, places = len(shape), ct.shape[2:-1]
    around = tuple(
        (low, s * (p - 1) + d * (k - 1) + 1 - n - low)
        for n, k, p, s, d, (low, _) in zip(x.shape[2:-1], shape[1:-2], places, stride, dilation, padding)
    )
    swapped = (0, rank - 1, *range(2, rank - 1), 1)
    kernel = transpose(ct, axes=(0, *range(2, rank - 1), 1, rank - 1))
    z = convolve(transpose(x, axes=swapped), kernel, stride=dilation, dilation=stride, padding=around, by="channels")
    return transpose(z, axes=(0, *range(2, rank - 1), 1, rank - 1))


@convolve.def_batch
def _convolve_batch(lanes: Any, mapped: Any, x: Any, w: Any, **params: Any) -> Any:
    """Lanes are more groups where both are mapped, else more points of the batch, or more channels out."""
    if all(mapped):
        x, w = (reshape(a, shape=(lanes.size * a.shape[1], *a.shape[2:])) for a in (x, w))
        z = convolve(x, w, **params)
        return reshape(z, shape=(lanes.size, z.shape[0] // lanes.size, *z.shape[1:]))
    rank = len(x.shape) - mapped[0]
    if mapped[0]:
        x = transpose(x, axes=(1, 0, *range(2, rank + 1)))
        z = convolve(reshape(x, shape=(x.shape[0], lanes.size * x.shape[2], *x.shape[3:])), w, **params)
        z = reshape(z, shape=(z.shape[0], lanes.size, z.shape[1] // lanes.size, *z.shape[2:]))
        return transpose(z, axes=(1, 0, *range(2, rank + 1)))
    w = transpose(w, axes=(*range(1, rank), 0, rank))
    z = convolve(x, reshape(w, shape=(*w.shape[: rank - 1], lanes.size * w.shape[-1])), **params)
    z = reshape(z, shape=(*z.shape[:-1], lanes.size, z.shape[-1] // lanes.size))
    return transpose(z, axes=(rank - 1, *range(rank - 1), rank))


@convolve.def_samples
def _convolve_samples() -> list:
    rng = np.random.default_rng(41)

    def case(x: tuple, w: tuple, stride: tuple, dilation: tuple, padding: Padding, dtype: Any = np.float64) -> tuple:
        operands = rng.uniform(-0.5, 0.5, x).astype(dtype), rng.uniform(-0.5, 0.5, w).astype(dtype)
        return operands, {"stride": stride, "dilation": dilation, "padding": padding}

    plain = (1, 1), (1, 1), ((0, 0), (0, 0))
    cases = [
        case((1, 2, 7, 3), (1, 3, 3, 4), (1,), (1,), ((0, 0),)),
        case((2, 1, 9, 2), (2, 2, 2, 5), (3,), (2,), ((2, 1),)),
        case((1, 2, 5, 6, 3), (1, 3, 2, 3, 4), *plain),
        case((1, 3, 6, 5, 1), (1, 3, 3, 1, 17), (1, 1), (1, 1), ((1, 1), (1, 1))),
        case((2, 2, 9, 8, 2), (2, 3, 2, 2, 1), (2, 3), (2, 1), ((1, 2), (0, 3))),
        case((1, 2, 7, 6, 2), (1, 3, 2, 2, 3), (2, 3), (1, 1), ((1, 1), (2, 0))),
        case((1, 2, 6, 5, 2), (1, 2, 1, 2, 3), (3, 2), (1, 1), ((4, 0), (0, 0))),
        case((1, 1, 5, 5, 2), (1, 1, 1, 2, 3), (1, 1), (1, 1), ((-1, 2), (1, -2))),
        case((1, 2, 4, 4, 20), (1, 3, 3, 20, 35), (1, 1), (1, 1), ((1, 1), (1, 1)), np.float32),
        case((1, 0, 4, 4, 2), (1, 3, 3, 2, 3), *plain), case((1, 2, 4, 4, 0), (1, 3, 3, 0, 3), *plain),
        case((1, 2, 3, 4, 3, 2), (1, 2, 2, 2, 2, 3), (1, 1, 1), (1, 2, 1), ((0, 0), (1, 0), (0, 1))),
    ]  # fmt: skip
    (x, w), params = case((1, 2, 3, 5, 6), (1, 4, 3, 2, 3), *plain)  # channels before the places, as PyTorch has them
    cases.append(((x.transpose(0, 1, 3, 4, 2), w.transpose(0, 3, 2, 4, 1)), params))
    return [(operands, {**params, "by": by}) for operands, params in cases for by in ("batch", "channels")]
