"""`convolve`, `correlate` and `interp`: lines slid along lines, and looked up in lines."""

from __future__ import annotations

from typing import Any

import numpy as np

from retrograde.errors import ShapeError
from retrograde.numpy.complex import conjugate
from retrograde.numpy.elementwise import where
from retrograde.numpy.ordering import argsort, searchsorted
from retrograde.numpy.shaping import array, atleast_1d, concatenate, flip, real_array
from retrograde.numpy.table import implements
from retrograde.ops import correlate as co
from retrograde.ops import index as ix
from retrograde.ops.promote import astype, is_traced, promote

_MODES = ("valid", "same", "full")


def _vectors(name: str, a: Any, v: Any, mode: str) -> tuple[Any, Any]:
    if mode not in _MODES:
        raise ValueError(f"{name}: mode must be one of 'valid', 'same' or 'full' (got {mode!r})")
    a, v = array(a), array(v)
    if len(a.shape) != 1 or len(v.shape) != 1:
        raise ShapeError(f"{name}: two vectors are wanted; their shapes are {tuple(a.shape)} and {tuple(v.shape)}")
    if not a.size or not v.size:
        raise ShapeError(f"{name}: {'a' if not a.size else 'v'} is empty; there is nothing to slide")
    return promote(np.add, a, v)


def _slide(a: Any, v: Any, mode: str) -> Any:
    """The sums of a[k + j] v[j], where v does not outlast a."""
    m = v.shape[0]
    left = {"valid": 0, "same": m // 2, "full": m - 1}[mode]
    right = {"valid": 0, "same": m - m // 2 - 1, "full": m - 1}[mode]
    return co.correlate(co.pad(a, left, right), v)


@implements(np.correlate)
def correlate(a: Any, v: Any, mode: str = "valid") -> Any:
    """The sums of a[k + j] times v[j] (conjugate), wherever v lies in a, for as many places, or wherever they meet. O(n m)."""
    a, v = _vectors("correlate", a, v, mode)
    v = conjugate(v) if v.dtype.kind == "c" else v
    return _slide(a, v, mode) if a.size >= v.size else flip(_slide(v, a, mode))


@implements(np.convolve)
def convolve(a: Any, v: Any, mode: str = "full") -> Any:
    """The sums of a[k - j] v[j], wherever they meet, for as many places, or where one lies in the other. O(n m)."""
    a, v = _vectors("convolve", atleast_1d(a), atleast_1d(v), mode)
    if a.size < v.size:
        a, v = v, a
    return _slide(a, flip(v), mode)


@implements(np.interp)
def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None) -> Any:
    """The line through the points (xp, fp), xp rising, at x; outside `left` and `right`, by default the first and last fp.

    At a point the derivative in x is that of the piece after it; with a `period`, points are ordered by their remainder first.
    """
    x, xp = (astype(real_array("interp", v), np.float64) for v in (x, xp))
    fp = array(fp)
    fp = astype(fp, np.complex128 if fp.dtype.kind == "c" else np.float64)
    if len(xp.shape) != 1 or xp.shape != fp.shape or not xp.size:
        raise ShapeError(f"interp: xp and fp must be vectors of one length, not 0; their shapes are {xp.shape} and {fp.shape}")
    if period is not None:
        if not is_traced(period) and period == 0:
            raise ValueError("period must be a non-zero value")
        period, left, right = abs(period), None, None
        x, xp = x % period, xp % period
        order = argsort(xp)
        xp, fp = ix.gather(xp, order, axis=0), ix.gather(fp, order, axis=0)
        xp = concatenate([xp[-1:] - period, xp, xp[:1] + period])
        fp = concatenate([fp[-1:], fp, fp[:1]])
    n, outside = xp.shape[0], (x < xp[0]) | (x > xp[-1])
    first, last = (fp[0] if left is None else left), (fp[-1] if right is None else right)
    if n == 1:
        inside = fp[0] + 0.0 * where(outside, 0.0, x)
    else:
        here = where(outside, xp[0], x)  # an infinite x must not reach the slopes, not even times 0
        near = np.maximum(searchsorted(xp, here, "right") - 1, 0)  # the point at or before x
        piece = np.minimum(near, n - 2)
        x0, y0, x1, y1 = (ix.gather(v, piece + i, axis=0) for i in (0, 1) for v in (xp, fp))
        width = x1 - x0
        slope = (y1 - y0) / where(width == 0, 1.0, width)
        inside = ix.gather(fp, near, axis=0) + slope * (here - ix.gather(xp, near, axis=0))
    return where(x > xp[-1], last, where(x < xp[0], first, inside))
