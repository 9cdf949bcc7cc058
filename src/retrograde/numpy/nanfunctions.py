"""NumPy's reductions that leave NaN out: the reductions themselves, told where there is none. NaN gets no cotangent."""

from __future__ import annotations

from typing import Any

import numpy as np

from retrograde.numpy import reductions as rd
from retrograde.numpy.elementwise import isnan
from retrograde.numpy.elementwise import where as choose
from retrograde.numpy.shaping import array, real_array
from retrograde.numpy.table import implements
from retrograde.ops import elementwise as ew

_NONE = np._NoValue


def _numbers(a: Any, where: Any = True) -> Any:
    """Where there is no NaN, among what is chosen; True where nothing can be one."""
    where = True if where is _NONE else where
    if a.dtype.kind not in "fc":
        return where
    numbers = ew.logical_not(isnan(a))
    return numbers if where is True else ew.logical_and(numbers, array(where))


def _total(total: Any, name: str) -> Any:
    def call(
        a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = _NONE, initial: Any = _NONE,
        where: Any = _NONE,
    ) -> Any:  # fmt: skip
        a = real_array(name, a, "fiubc")
        return total(a, axis, dtype, out, keepdims, initial, _numbers(a, where))

    call.__name__, call.__doc__ = name, f"As `numpy.{name}`."
    return call


nansum, nanprod = implements(np.nansum)(_total(rd.sum, "nansum")), implements(np.nanprod)(_total(rd.prod, "nanprod"))


@implements(np.nanmean)
def nanmean(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = _NONE, *, where: Any = _NONE
) -> Any:  # fmt: skip
    """The mean of what is not NaN; of nothing, NaN."""
    a = real_array("nanmean", a, "fiubc")
    return rd.mean(a, axis, dtype, out, keepdims, where=_numbers(a, where))


def _spread(spread: Any, name: str) -> Any:
    def call(
        a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: float = 0, keepdims: Any = _NONE, *,
        where: Any = _NONE, mean: Any = _NONE, correction: Any = _NONE,
    ) -> Any:  # fmt: skip
        a = real_array(name, a, "fiubc")
        numbers = _numbers(a, where)
        if a.dtype.kind in "fc":  # of lines with too few all is left out, so that they get no cotangent either
            enough = rd.sum(numbers, axis, keepdims=True) > (ddof if correction is _NONE else correction)
            numbers = ew.logical_and(numbers, enough)
        return spread(a, axis, dtype, out, ddof, keepdims, where=numbers, mean=mean, correction=correction)

    call.__name__, call.__doc__ = name, f"As `numpy.{name}`: NaN where nothing, or not more than `ddof`, is left."
    return call


nanvar, nanstd = implements(np.nanvar)(_spread(rd.var, "nanvar")), implements(np.nanstd)(_spread(rd.std, "nanstd"))


def _extreme(extreme: Any, name: str, least: float) -> Any:
    def call(
        a: Any, axis: Any = None, out: Any = None, keepdims: Any = _NONE, initial: Any = _NONE, where: Any = _NONE
    ) -> Any:  # fmt: skip
        a = real_array(name, a)
        if a.dtype.kind != "f" or a.size == 0 or (initial is _NONE and where is not _NONE and where is not True):
            return extreme(a, axis, out, keepdims, initial, where)
        numbers = _numbers(a, where)
        if initial is not _NONE:
            return extreme(a, axis, out, keepdims, initial, numbers)
        found = extreme(ew.select(numbers, a, a.dtype.type(least)), axis, out, keepdims)
        return choose(rd.any(numbers, axis, keepdims=keepdims), found, found.dtype.type(np.nan))

    call.__name__, call.__doc__ = name, f"As `numpy.{name}`; ties share the cotangent evenly. Of NaN alone it is NaN."
    return call


nanmax = implements(np.nanmax)(_extreme(rd.max, "nanmax", -np.inf))
nanmin = implements(np.nanmin)(_extreme(rd.min, "nanmin", np.inf))


def _arg(arg: Any, name: str, least: float) -> Any:
    def call(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = _NONE) -> Any:
        a = real_array(name, a)
        if a.dtype.kind != "f":
            return arg(a, axis, out, keepdims=keepdims)
        numbers = _numbers(a)
        found = arg(ew.select(numbers, a, a.dtype.type(least)), axis, out, keepdims=keepdims)
        return choose(rd.any(numbers, axis, keepdims=keepdims), found, -1)

    call.__name__ = name
    call.__doc__ = f"As `numpy.{name}`, no derivative; where all is NaN, which is an error in NumPy, it is -1."
    return call


nanargmax = implements(np.nanargmax)(_arg(rd.argmax, "nanargmax", -np.inf))
nanargmin = implements(np.nanargmin)(_arg(rd.argmin, "nanargmin", np.inf))
