"""`np.fft`, composed of the transform along one axis (`ops/fft.py`); signatures and meaning are NumPy's.

Real transforms are the complex one of the same length, of which half is kept: `rfft` costs what `fft` does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from retrograde.errors import GraphTypeError, ShapeError
from retrograde.numpy.complex import conjugate
from retrograde.numpy.complex import real as real_part
from retrograde.numpy.shaping import array, concatenate, flip, normalize_axis
from retrograde.numpy.table import check_device, implements, refuse
from retrograde.ops import elementwise as ew
from retrograde.ops import shape as sh
from retrograde.ops.complex import complex_of
from retrograde.ops.fft import dft
from retrograde.ops.promote import apply, astype


def _length(n: Any, default: int) -> int:
    n = default if n is None else n.__index__()
    if n < 1:
        raise ShapeError(f"a Fourier transform wants at least one point; it was asked for {n}. Give n, or a longer axis")
    return n


def _factor(norm: Any, n: int, forward: bool) -> float:
    """What the transform is multiplied by."""
    if norm not in (None, "backward", "ortho", "forward"):
        raise ValueError(f'norm is "backward", "ortho" or "forward"; it is {norm!r}')
    if norm == "ortho":
        return 1.0 / math.sqrt(n)
    return 1.0 / n if forward == (norm == "forward") else 1.0


def _scaled(x: Any, factor: float) -> Any:
    return x if factor == 1.0 else apply(ew.multiply, x, factor)


def _part(x: Any, axis: int, start: int, limit: int) -> Any:
    ends = [(start, limit) if a == axis else (0, n) for a, n in enumerate(x.shape)]
    return sh.slice_(x, start=tuple(a for a, _ in ends), limit=tuple(b for _, b in ends), step=(1,) * len(ends))


def _resized(x: Any, n: int, axis: int) -> Any:
    """Cut off, or filled up with zeros, to `n` along an axis."""
    have = x.shape[axis]
    if n <= have:
        return x if n == have else _part(x, axis, 0, n)
    shape = tuple(n if a == axis else length for a, length in enumerate(x.shape))
    return sh.embed(x, shape=shape, start=(0,) * len(shape), limit=tuple(x.shape), step=(1,) * len(shape))


def _complex(a: Any) -> Any:
    a = array(a)
    if not a.shape:
        raise ShapeError("a Fourier transform wants an array with at least one axis; it was given a 0-d one")
    return a if a.dtype.kind == "c" else astype(a, complex_of(np.result_type(a.dtype, 1.0)))


def _transformed(a: Any, n: Any, axis: int, norm: Any, inverse: bool) -> Any:
    a = _complex(a)
    axis = normalize_axis(axis, len(a.shape))
    n = _length(n, a.shape[axis])
    return _scaled(dft(_resized(a, n, axis), axis=axis, inverse=inverse), _factor(norm, n, not inverse))


@implements(np.fft.fft)
def fft(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: Any = None) -> Any:
    """The discrete Fourier transform along an axis; float32 and complex64 give complex64, all else complex128."""
    refuse("fft.fft", out=out)
    return _transformed(a, n, axis, norm, inverse=False)


@implements(np.fft.ifft)
def ifft(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: Any = None) -> Any:
    """The inverse of `fft`."""
    refuse("fft.ifft", out=out)
    return _transformed(a, n, axis, norm, inverse=True)


@implements(np.fft.rfft)
def rfft(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: Any = None) -> Any:
    """The first half of the transform of a real array; the other half is its mirror image, conjugated."""
    refuse("fft.rfft", out=out)
    a = array(a)
    if a.dtype.kind == "c":
        raise GraphTypeError("fft.rfft wants a real array; use fft.fft for a complex one, or take x.real")
    axis = normalize_axis(axis, len(a.shape))
    n = _length(n, a.shape[axis] if a.shape else 0)
    return _part(fft(a, n, axis, norm), axis, 0, n // 2 + 1)


@implements(np.fft.irfft)
def irfft(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: Any = None) -> Any:
    """The inverse of `rfft`: `n` real numbers (2 (m - 1) unless said) from the first half of their transform."""
    refuse("fft.irfft", out=out)
    a = _complex(a)
    axis = normalize_axis(axis, len(a.shape))
    n = _length(n, 2 * (a.shape[axis] - 1))
    half = _resized(a, n // 2 + 1, axis)
    mirrored = conjugate(flip(_part(half, axis, 1, (n + 1) // 2), axis))
    return real_part(ifft(concatenate([half, mirrored], axis), n, axis, norm))


def _swapped(norm: Any) -> Any:
    return {None: "forward", "backward": "forward", "forward": "backward"}.get(norm, norm)


@implements(np.fft.hfft)
def hfft(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: Any = None) -> Any:
    """The real transform of a signal whose second half is the first's mirror image, conjugated."""
    refuse("fft.hfft", out=out)
    return irfft(conjugate(array(a)), n, axis, _swapped(norm))


@implements(np.fft.ihfft)
def ihfft(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: Any = None) -> Any:
    """The inverse of `hfft`."""
    refuse("fft.ihfft", out=out)
    return conjugate(rfft(a, n, axis, _swapped(norm)))


# -- several axes -----------------------------------------------------------------------------------------------------


def _lengths(a: Any, s: Any, axes: Any, half: bool = False) -> list[tuple[int, int]]:
    """Length and axis of each transform; `half` says that the last axis holds half of what there will be."""
    rank, given = len(a.shape), s is not None
    if axes is None:
        axes = range(rank) if s is None else range(-len(s), 0)
    axes = [normalize_axis(axis, rank) for axis in axes]
    s = [a.shape[axis] for axis in axes] if s is None else [a.shape[axis] if n == -1 else n for n, axis in zip(s, axes)]
    if len(s) != len(axes):
        raise ShapeError(f"s and axes must be as many; there are {len(s)} lengths and {len(axes)} axes")
    if half and not given and axes:
        s[-1] = 2 * (a.shape[axes[-1]] - 1)
    return list(zip(s, axes))


def _over_axes(one: Callable[..., Any], name: str, default: Any) -> Callable[..., Any]:
    def call(a: Any, s: Any = None, axes: Any = default, norm: Any = None, out: Any = None) -> Any:
        refuse(f"fft.{name}", out=out)
        a = _complex(a)
        for n, axis in reversed(_lengths(a, s, axes)):
            a = one(a, n, axis, norm)
        return a

    call.__name__, call.__doc__ = name, f"As `numpy.fft.{name}`."
    return call


fft2 = implements(np.fft.fft2)(_over_axes(fft, "fft2", (-2, -1)))
ifft2 = implements(np.fft.ifft2)(_over_axes(ifft, "ifft2", (-2, -1)))
fftn = implements(np.fft.fftn)(_over_axes(fft, "fftn", None))
ifftn = implements(np.fft.ifftn)(_over_axes(ifft, "ifftn", None))


@implements(np.fft.rfftn)
def rfftn(a: Any, s: Any = None, axes: Any = None, norm: Any = None, out: Any = None) -> Any:
    """`rfft` along the last of the axes, `fft` along the others."""
    refuse("fft.rfftn", out=out)
    a = array(a)
    *others, (n, axis) = _lengths(a, s, axes)
    a = rfft(a, n, axis, norm)
    for n, axis in reversed(others):
        a = fft(a, n, axis, norm)
    return a


@implements(np.fft.irfftn)
def irfftn(a: Any, s: Any = None, axes: Any = None, norm: Any = None, out: Any = None) -> Any:
    """`ifft` along all but the last of the axes, then `irfft` along that."""
    refuse("fft.irfftn", out=out)
    a = _complex(a)
    *others, (n, last) = _lengths(a, s, axes, half=True)
    for length, axis in others:
        a = ifft(a, length, axis, norm)
    return irfft(a, n, last, norm)


@implements(np.fft.rfft2)
def rfft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: Any = None, out: Any = None) -> Any:
    """`rfftn` over two axes."""
    return rfftn(a, s, axes, norm, out)


@implements(np.fft.irfft2)
def irfft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: Any = None, out: Any = None) -> Any:
    """`irfftn` over two axes."""
    return irfftn(a, s, axes, norm, out)


# -- order of the frequencies -----------------------------------------------------------------------------------------


def _shifted(x: Any, axes: Any, by: Callable[[int], int]) -> Any:
    x = array(x)
    axes = range(len(x.shape)) if axes is None else [axes] if np.ndim(axes) == 0 else axes
    for axis in (normalize_axis(a, len(x.shape)) for a in axes):
        n = x.shape[axis]
        if cut := by(n):
            x = concatenate([_part(x, axis, cut, n), _part(x, axis, 0, cut)], axis)
    return x


@implements(np.fft.fftshift)
def fftshift(x: Any, axes: Any = None) -> Any:
    """Frequency 0 from the front to the middle."""
    return _shifted(x, axes, lambda n: n - n // 2 if n > 1 else 0)


@implements(np.fft.ifftshift)
def ifftshift(x: Any, axes: Any = None) -> Any:
    """The inverse of `fftshift`."""
    return _shifted(x, axes, lambda n: n // 2)


def fftfreq(n: int, d: Any = 1.0, *, dtype: Any = None, device: Any = None) -> Any:
    """The frequencies of a transform of `n` points at the distance `d`, which may be traced."""
    return _frequencies(np.fft.fftfreq(n, d), dtype, device)


def rfftfreq(n: int, d: Any = 1.0, *, dtype: Any = None, device: Any = None) -> Any:
    """The frequencies of `rfft`."""
    return _frequencies(np.fft.rfftfreq(n, d), dtype, device)


def _frequencies(found: Any, dtype: Any, device: Any) -> Any:
    check_device(device)
    return found if dtype is None else astype(found, dtype)
