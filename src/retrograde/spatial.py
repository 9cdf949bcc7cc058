"""Convolution and pooling over any number of axes, with PyTorch's meaning: arrays are (batch, channels, places...).

The batch may be left out. A setting is a number, the same for all axes of places, or one for each. Inside, channels come last: to
those who compute, an array here is a transposed view, and neighboring operations agree on it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from retrograde.errors import ShapeError, UnsupportedError
from retrograde.numpy.indexing import getitem
from retrograde.numpy.linear import matmul
from retrograde.numpy.padding import pad
from retrograde.numpy.shaping import array, broadcast_to, concatenate, moveaxis, reshape, transpose
from retrograde.ops import convolve as cv
from retrograde.ops import pool as pl
from retrograde.ops.promote import astype, promote

PADDING_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
Setting = int | Sequence[int]


def convolve(
    x: Any, weight: Any, bias: Any = None, stride: Setting = 1, padding: Setting | str = 0, dilation: Setting = 1,
    groups: int = 1, padding_mode: str = "zeros",
) -> Any:  # fmt: skip
    """x (batch, channels, places...) by weight (channels out, channels / groups, kernel...): correlated, as PyTorch's conv is.

    `padding` may be "valid", none, or "same", which keeps the places and wants a stride of 1. `padding_mode` says what lies
    beyond: "zeros", or what "reflect", "replicate" and "circular" make of x. Raises `ShapeError` where shapes do not fit.
    """
    x, weight = promote(np.add, array(x), array(weight))
    axes = _places("convolve", weight)
    stride, dilation = (per_axis(name, n, axes) for name, n in (("stride", stride), ("dilation", dilation)))
    around = padding_of(padding, weight.shape[2:], stride, dilation)
    _check_groups("convolve", "channels out, channels / groups", x, weight, groups, groups * weight.shape[1])
    if len(x.shape) == axes + 1:
        one = convolve(reshape(x, (1, *x.shape)), weight, bias, stride, padding, dilation, groups, padding_mode)
        return reshape(one, one.shape[1:])
    if padding_mode not in PADDING_MODES:
        raise ValueError(f"padding_mode {padding_mode!r} is none of {sorted(PADDING_MODES)}")
    if padding_mode != "zeros":
        x, around = pad(x, ((0, 0), (0, 0), *around), PADDING_MODES[padding_mode]), ((0, 0),) * axes
    kernel = _kernel(weight, groups)
    z = cv.convolve(_grouped(channels_last(x), groups), kernel, stride=stride, dilation=dilation, padding=around)
    return _biased(_ungrouped(z), bias)


def convolve_transpose(
    x: Any, weight: Any, bias: Any = None, stride: Setting = 1, padding: Setting = 0, output_padding: Setting = 0,
    groups: int = 1, dilation: Setting = 1,
) -> Any:  # fmt: skip
    """The transpose of `convolve`: x (batch, channels, places...), weight (channels, channels out / groups, kernel...).

    n places become (n - 1) stride - 2 padding + dilation (kernel - 1) + output_padding + 1. Raises `ShapeError` where shapes do
    not fit.
    """
    x, weight = promote(np.add, array(x), array(weight))
    axes = _places("convolve_transpose", weight)
    stride, padding, more, dilation = (
        per_axis(name, n, axes) for name, n in
        (("stride", stride), ("padding", padding), ("output_padding", output_padding), ("dilation", dilation))
    )  # fmt: skip
    _check_groups("convolve_transpose", "channels, channels out / groups", x, weight, groups, weight.shape[0])
    if len(x.shape) == axes + 1:
        one = convolve_transpose(reshape(x, (1, *x.shape)), weight, bias, stride, padding, more, groups, dilation)
        return reshape(one, one.shape[1:])
    if any(not 0 <= m < max(s, d) for m, s, d in zip(more, stride, dilation)):
        raise ShapeError(f"convolve_transpose: output_padding must be less than the stride or the dilation; it is {more}")
    settings = zip(x.shape[2:], stride, padding, dilation, weight.shape[2:], more)
    places = tuple((n - 1) * s - 2 * p + d * (k - 1) + m + 1 for n, s, p, d, k, m in settings)
    if min(places) < 1:
        raise ShapeError(f"convolve_transpose: nothing is left of {x.shape} by padding {padding}")
    kernel = _kernel(weight, groups)
    around = tuple((p, p) for p in padding)
    shape = (groups, x.shape[0], *places, weight.shape[1])
    return _biased(_ungrouped(cv.by_input(_grouped(channels_last(x), groups), shape, kernel, stride, dilation, around)), bias)


def max_pool(
    x: Any, kernel_size: Setting, stride: Setting | None = None, padding: Setting = 0, dilation: Setting = 1,
    ceil_mode: bool = False, *, axes: int,
) -> Any:  # fmt: skip
    """The largest element of each window over the last `axes` axes; of tied ones the first has all of the derivative."""
    return _pooled(pl.max_pool, x, kernel_size, stride, padding, dilation, ceil_mode, axes)[0]


def avg_pool(
    x: Any, kernel_size: Setting, stride: Setting | None = None, padding: Setting = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None, *, axes: int,
) -> Any:  # fmt: skip
    """The mean of each window over the last `axes` axes; zeros of the padding count, unless `count_include_pad=False`."""
    total, n, params = _pooled(pl.sum_pool, x, kernel_size, stride, padding, 1, ceil_mode, axes)
    if divisor_override is not None:
        return total / np.asarray(divisor_override, total.dtype)[()]
    rim = per_axis("padding", padding, axes) if count_include_pad else (0,) * axes
    counts = np.ones((), total.dtype)
    settings = (params[name] for name in ("window", "stride", "padding"))
    for length, places, k, s, (low, _), more in zip(n, total.shape[-axes:], *settings, rim):
        start = np.arange(places) * s - low
        here = np.minimum(start + k, length + more) - np.maximum(start, -more)
        counts = np.multiply.outer(counts, here.astype(total.dtype))
    return total / (counts if np.ptp(counts) else counts.flat[0])


def adaptive_avg_pool(x: Any, output_size: Any, *, axes: int) -> Any:
    """The mean of each part, where each of the last `axes` axes is cut into `output_size` parts; they overlap if need be."""
    x, sizes = _adapted(x, output_size, axes)
    lengths = x.shape[-axes:]
    if all(n % size == 0 for n, size in zip(lengths, sizes)):
        return avg_pool(x, tuple(n // size for n, size in zip(lengths, sizes)), axes=axes)
    for axis, size in enumerate(sizes, len(x.shape) - axes):
        parts = np.zeros((x.shape[axis], size), x.dtype)
        for i, (begin, end) in enumerate(_parts(x.shape[axis], size)):
            parts[begin:end, i] = 1 / (end - begin)
        x = moveaxis(matmul(moveaxis(x, axis, -1), parts), -1, axis)
    return x


def adaptive_max_pool(x: Any, output_size: Any, *, axes: int) -> Any:
    """The largest element of each part, where each of the last `axes` axes is cut into `output_size` parts."""
    x, sizes = _adapted(x, output_size, axes)
    lengths = x.shape[-axes:]
    if all(n % size == 0 for n, size in zip(lengths, sizes)):
        return max_pool(x, tuple(n // size for n, size in zip(lengths, sizes)), axes=axes)
    cells = []
    for spans in itertools.product(*map(_parts, lengths, sizes)):
        part = getitem(x, (..., *(slice(a, z) for a, z in spans)))
        cells.append(max_pool(part, part.shape[-axes:], axes=axes))
    lead = x.shape[:-axes]
    joined = concatenate([reshape(cell, (*lead, 1)) for cell in cells], -1)
    return reshape(joined, (*lead, *sizes))


# -- settings --------------------------------------------------------------------------------------------------------


def per_axis(name: str, value: Setting, axes: int) -> tuple[int, ...]:
    """One number for each axis."""
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,) * axes
    if len(values) != axes or any(isinstance(n, bool) or not isinstance(n, (int, np.integer)) for n in values):
        raise ValueError(f"{name} must be an integer, or {axes} of them; it is {value!r}")
    least = 0 if "padding" in name else 1
    if min(values) < least:
        raise ValueError(f"{name} must be {least} or more; it is {value!r}")
    return tuple(int(n) for n in values)


def _places(name: str, weight: Any) -> int:
    """How many axes of places there are."""
    if len(weight.shape) < 3:
        raise ShapeError(f"{name}: a weight (channels, channels, kernel...) is wanted; this one has shape {weight.shape}")
    return len(weight.shape) - 2


def _check_groups(name: str, weights: str, x: Any, weight: Any, groups: int, channels: int) -> None:
    """Raise unless the arrays of a convolution fit together."""
    axes = len(weight.shape) - 2
    if groups < 1 or weight.shape[0] % groups or len(x.shape) - axes not in (1, 2) or x.shape[-axes - 1] != channels:
        raise ShapeError(
            f"{name}: (batch, channels, places...) and ({weights}, kernel...), whose first axis makes equal groups, are wanted; "
            f"it was given {x.shape} and {weight.shape}, groups={groups}"
        )


def padding_of(padding: Setting | str, kernel: tuple, stride: tuple, dilation: tuple) -> tuple[tuple[int, int], ...]:
    """Zeros before and after each axis."""
    if padding == "valid":
        return ((0, 0),) * len(kernel)
    if padding == "same":
        if max(stride) > 1:
            raise ValueError(f'padding="same" wants a stride of 1; it is {stride}: say padding in numbers')
        return tuple((d * (k - 1) // 2, d * (k - 1) - d * (k - 1) // 2) for k, d in zip(kernel, dilation))
    if isinstance(padding, str):
        raise ValueError(f'padding is "same", "valid", or in numbers; it is {padding!r}')
    return tuple((n, n) for n in per_axis("padding", padding, len(kernel)))


def _pooled(
    primitive: Callable[..., Any], x: Any, kernel_size: Setting, stride: Setting | None, padding: Setting, dilation: Setting,
    ceil_mode: bool, axes: int,
) -> tuple[Any, tuple[int, ...], dict[str, tuple]]:  # fmt: skip
    """What a primitive makes of the windows; the lengths of the axes, and the windows' parameters."""
    x = array(x)
    if x.dtype.kind != "f":
        raise UnsupportedError(f"pooling of {x.dtype} is not supported; cast it, say to float32")
    if len(x.shape) - axes not in (1, 2):
        raise ShapeError(f"pooling: (batch, channels, places...) with {axes} axes of places is wanted; it was given {x.shape}")
    if len(x.shape) == axes + 1:
        one, n, params = _pooled(primitive, reshape(x, (1, *x.shape)), kernel_size, stride, padding, dilation, ceil_mode, axes)
        return reshape(one, one.shape[1:]), n, params
    window = per_axis("kernel_size", kernel_size, axes)
    stride = window if stride is None else per_axis("stride", stride, axes)
    around, dilation = per_axis("padding", padding, axes), per_axis("dilation", dilation, axes)
    if any(2 * p > k for p, k in zip(around, window)):
        raise ShapeError(f"pooling: padding may be half of the window at most; they are {around} and {window}")
    rims = []
    for n, k, s, p, d in zip(x.shape[2:], window, stride, around, dilation):
        room = n + 2 * p - d * (k - 1) - 1
        places = (-(-room // s) if ceil_mode else room // s) + 1
        if ceil_mode and (places - 1) * s >= n + p:
            places -= 1
        rims.append((p, max((places - 1) * s + d * (k - 1) + 1 - n - p, 0)))
    params = {"window": window, "stride": stride, "dilation": dilation, "padding": tuple(rims)}
    return channels_first(primitive(channels_last(x), **params)), x.shape[2:], params


def _adapted(x: Any, output_size: Any, axes: int) -> tuple[Any, tuple[int, ...]]:
    x = array(x)
    if x.dtype.kind != "f":
        raise UnsupportedError(f"pooling of {x.dtype} is not supported; cast it, say to float32")
    if len(x.shape) - axes not in (1, 2):
        raise ShapeError(f"pooling: (batch, channels, places...) with {axes} axes of places is wanted; it was given {x.shape}")
    sizes = tuple(output_size) if isinstance(output_size, (tuple, list)) else (output_size,) * axes
    filled = [n if size is None else size for n, size in zip(x.shape[-axes:], sizes)]
    return x, per_axis("output_size", filled if len(sizes) == axes else sizes, axes)


def _parts(length: int, count: int) -> list[tuple[int, int]]:
    """Begin and end of each part of a line, which overlap where the count does not divide the length."""
    return [(i * length // count, -(-(i + 1) * length // count)) for i in range(count)]


# -- layouts ---------------------------------------------------------------------------------------------------------


def channels_last(x: Any) -> Any:
    """(batch, channels, places...) as (batch, places..., channels)."""
    return transpose(x, (0, *range(2, len(x.shape)), 1))


def channels_first(x: Any) -> Any:
    """(batch, places..., channels) as (batch, channels, places...)."""
    n = len(x.shape)
    return transpose(x, (0, n - 1, *range(1, n - 1)))


def _grouped(x: Any, groups: int) -> Any:
    """(batch, places..., channels) as (groups, batch, places..., channels of each)."""
    if groups == 1:
        return reshape(x, (1, *x.shape))
    return moveaxis(reshape(x, (*x.shape[:-1], groups, x.shape[-1] // groups)), -2, 0)


def _kernel(weight: Any, groups: int) -> Any:
    """(channels, channels of a group, kernel...) as (groups, kernel..., channels of a group, channels of each)."""
    kernel = reshape(weight, (groups, weight.shape[0] // groups, *weight.shape[1:]))
    return transpose(kernel, (0, *range(3, len(kernel.shape)), 2, 1))


def _ungrouped(z: Any) -> Any:
    if z.shape[0] == 1:
        return reshape(z, z.shape[1:])
    z = moveaxis(z, 0, -2)
    return reshape(z, (*z.shape[:-2], math.prod(z.shape[-2:])))


def _biased(z: Any, bias: Any) -> Any:
    """With the bias added while the channels are last; then as they were."""
    if bias is not None:  # for each point of the batch: so its derivative is summed up for each first, which threads share
        z = z + broadcast_to(astype(bias, z.dtype), (z.shape[0], *[1] * (len(z.shape) - 2), z.shape[-1]))
    return channels_first(z)
