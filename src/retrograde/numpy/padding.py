"""`pad`: what lies beyond an array's ends, by a gather, an extension or a statistic."""

from __future__ import annotations

from typing import Any

import numpy as np

from retrograde.errors import ShapeError, UnsupportedError
from retrograde.numpy.assembling import part
from retrograde.numpy.creating import linspace
from retrograde.numpy.elementwise import round as _round
from retrograde.numpy.indexing import getitem
from retrograde.numpy.reductions import max as _max
from retrograde.numpy.reductions import mean as _mean
from retrograde.numpy.reductions import min as _min
from retrograde.numpy.shaping import array, broadcast_to, concatenate, flip
from retrograde.numpy.table import implements
from retrograde.ops import elementwise as ew
from retrograde.ops import index as ix
from retrograde.ops.promote import apply, astype, is_traced

_OPTIONS = {
    "constant": {"constant_values"}, "edge": set(), "linear_ramp": {"end_values"}, "maximum": {"stat_length"},
    "mean": {"stat_length"}, "median": {"stat_length"}, "minimum": {"stat_length"}, "reflect": {"reflect_type"},
    "symmetric": {"reflect_type"}, "wrap": set(), "empty": set(),
}  # fmt: skip


@implements(np.pad)
def pad(array_: Any, pad_width: Any, mode: Any = "constant", **kwargs: Any) -> Any:
    """Widened at the ends of every axis. "empty" pads with zeros; a function as the mode has no rule."""
    x, kind = array(array_), mode
    if not isinstance(mode, str):
        raise UnsupportedError("np.pad with a function as the mode is not supported on traced arrays; it would write in place")
    if mode not in _OPTIONS:
        raise ValueError(f"mode {mode!r} is not supported")
    if set(kwargs) - _OPTIONS[mode]:
        raise ValueError(f"unsupported keyword arguments for mode {mode!r}: {set(kwargs) - _OPTIONS[mode]}")
    odd = kwargs.get("reflect_type", "even") == "odd"
    widths = _widths(pad_width, len(x.shape))
    numbers = kwargs.get("constant_values", kwargs.get("end_values", 0))
    ends = _pairs(numbers, len(x.shape)) if mode in ("constant", "linear_ramp") else [(0, 0)] * len(x.shape)
    lengths = _pairs(kwargs.get("stat_length"), len(x.shape))
    for axis, (before, after) in enumerate(widths):
        if not before and not after:
            continue
        if not x.shape[axis] and mode not in ("constant", "empty"):
            raise ShapeError(f"pad: there is nothing along axis {axis} of {x.shape} to fill the ends with; use 'constant'")
        if mode in ("edge", "wrap") or (mode in ("reflect", "symmetric") and (not odd or x.shape[axis] == 1)):
            x = ix.gather(x, np.pad(np.arange(x.shape[axis]), (before, after), kind), axis=axis)
        elif mode in ("reflect", "symmetric"):
            how = (x.shape[axis], True) if mode == "symmetric" else (x.shape[axis] - 1, False)
            x = flip(_odd(flip(_odd(x, axis, after, *how), axis), axis, before, *how), axis)
        else:
            sides = [_side(x, axis, n, mode, ends[axis][i], lengths[axis][i], bool(i)) for i, n in enumerate((before, after))]
            x = concatenate([sides[0], x, sides[1]], axis)
    return x


def _widths(pad_width: Any, rank: int) -> list[tuple[int, int]]:
    if isinstance(pad_width, dict):
        full = [(0, 0)] * rank
        for axis, width in pad_width.items():
            full[axis] = (width, width) if isinstance(width, int) else tuple(width)
        pad_width = full
    found = np.asarray(pad_width)
    if found.dtype.kind not in "iu":
        raise TypeError("`pad_width` must be of integral type.")
    if found.size and found.min() < 0:
        raise ValueError("pad: widths can't contain negative values")
    return [(int(b), int(a)) for b, a in np.broadcast_to(found, (rank, 2))] if rank else []


def _pairs(value: Any, rank: int) -> list:
    """NumPy's short forms of a pair for each axis; the numbers may be traced."""
    if value is None or not _shape(value):
        return [(value, value)] * rank
    rows = [list(row) if _shape(row) else [row] for row in value]
    if all(len(row) == 1 for row in rows) and not _shape(value[0]):
        flat = [row[0] for row in rows]
        return [(flat[0], flat[-1])] * rank
    rows = [[row[0], row[-1]] for row in rows]
    return [tuple(row) for row in (rows * rank if len(rows) == 1 else rows)]


def _shape(value: Any) -> tuple:
    """A shape for lists that may hold traced numbers: only whether there are axes matters."""
    return (len(value),) if isinstance(value, (list, tuple)) else tuple(np.shape(value) if not is_traced(value) else value.shape)


def _side(x: Any, axis: int, count: int, mode: str, end: Any, length: Any, behind: bool) -> Any:
    """What goes before or behind `x` along an axis."""
    n = x.shape[axis]
    shape = (*x.shape[:axis], count, *x.shape[axis + 1 :])
    if mode in ("constant", "empty"):
        return broadcast_to(astype(array(end), x.dtype), shape)
    if mode == "linear_ramp":
        edge = getitem(x, (slice(None),) * axis + (-1 if behind else 0,))
        ramp = linspace(end, edge, count, endpoint=False, dtype=x.dtype, axis=axis)
        return flip(ramp, axis) if behind else ramp
    m = n if length is None else min(int(length), n)
    if m < 1:
        raise ValueError(f"stat_length of 0 yields no value for padding, nor has an empty axis any; axis {axis} of {x.shape}")
    chunk = part(x, axis, n - m, n) if behind else part(x, axis, 0, m)
    stat = _statistic(mode)(chunk, axis=axis, keepdims=True)
    if x.dtype.kind in "iu" and mode in ("mean", "median"):
        stat = _round(stat)
    return broadcast_to(astype(stat, x.dtype), shape)


def _statistic(mode: str) -> Any:
    if mode == "median":
        from retrograde.numpy.table import FUNCTIONS

        if np.median not in FUNCTIONS:
            raise UnsupportedError("np.pad(mode='median') is not supported on traced arrays; use 'mean'")
        return FUNCTIONS[np.median]
    return {"maximum": _max, "minimum": _min, "mean": _mean}[mode]


def _odd(x: Any, axis: int, count: int, period: int, repeats_end: bool) -> Any:
    """Extended behind by its reflection in the point at its end, `period` elements at a time."""
    while count:
        n, size = x.shape[axis], min(period, count)
        last = n if repeats_end else n - 1
        mirrored = flip(part(x, axis, last - size, last), axis)
        x = concatenate([x, apply(ew.subtract, apply(ew.multiply, 2, part(x, axis, n - 1, n)), mirrored)], axis)
        count -= size
    return x
