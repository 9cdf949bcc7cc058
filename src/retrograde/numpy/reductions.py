"""NumPy's reductions: axes normalized, dtypes as NumPy has them, in front of the primitives."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from retrograde.errors import UnsupportedError
from retrograde.numpy.complex import abs_square
from retrograde.numpy.elementwise import where
from retrograde.numpy.shaping import array, expand_dims, normalize_axis, ravel, reshape
from retrograde.numpy.table import FUNCTIONS, implements, refuse
from retrograde.ops import elementwise as ew
from retrograde.ops import reduce as rd
from retrograde.ops.promote import apply, astype
from retrograde.types import kind_of


def _axes(axis: Any, ndim: int) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(ndim))
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)
    found = tuple(sorted(normalize_axis(a, ndim) for a in axes))
    if len(set(found)) != len(found):
        raise ValueError(f"duplicate value in axis: {axis}")
    return found


def _reduce(primitive: Any, x: Any, axis: Any, keepdims: Any) -> Any:
    axes = _axes(axis, len(x.shape))
    out = primitive(x, axes=axes) if axes else x
    if keepdims:
        out = reshape(out, tuple(1 if a in axes else n for a, n in enumerate(x.shape)))
    return out


_NONE = np._NoValue


def _plain(value: Any, default: Any = None) -> Any:
    return default if value is _NONE else value


def _total(primitive: Any, name: str) -> Any:
    def call(
        a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False, initial: Any = _NONE,
        where: Any = _NONE,
    ) -> Any:  # fmt: skip
        refuse(name, out=out, initial=_plain(initial), where=None if _plain(where, True) is True else where)
        a = array(a)
        if dtype is not None:
            a = astype(a, dtype)
        elif a.dtype.kind in "ib" and a.dtype.itemsize < 8:
            a = astype(a, np.int64)  # NumPy adds small integers up in the platform's integer
        elif a.dtype.kind == "u" and a.dtype.itemsize < 8:
            a = astype(a, np.uint64)
        return _reduce(primitive, a, axis, _plain(keepdims, False))

    call.__name__, call.__doc__ = name, f"As `numpy.{name}`."
    return call


sum = implements(np.sum)(_total(rd.sum_, "sum"))
prod = implements(np.prod)(_total(rd.prod, "prod"))


def _extreme(primitive: Any, name: str) -> Any:
    def call(
        a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, initial: Any = _NONE,
        where: Any = _NONE,
    ) -> Any:  # fmt: skip
        refuse(name, out=out, initial=_plain(initial), where=None if _plain(where, True) is True else where)
        return _reduce(primitive, array(a), axis, _plain(keepdims, False))

    call.__name__, call.__doc__ = name, f"As `numpy.{name}`; ties share the cotangent evenly."
    return call


max = amax = FUNCTIONS[np.amax] = implements(np.max)(_extreme(rd.max_, "max"))
min = amin = FUNCTIONS[np.amin] = implements(np.min)(_extreme(rd.min_, "min"))


def _truth(primitive: Any, name: str) -> Any:
    def call(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, *, where: Any = _NONE) -> Any:
        refuse(name, out=out, where=None if _plain(where, True) is True else where)
        a = array(a)
        a = a if a.dtype == bool else apply(ew.not_equal, a, 0)
        return _reduce(primitive, a, axis, _plain(keepdims, False))

    call.__name__, call.__doc__ = name, f"As `numpy.{name}`."
    return call


any = implements(np.any)(_truth(rd.any_, "any"))
all = implements(np.all)(_truth(rd.all_, "all"))


@implements((np.add, "reduce"))
def add_reduce(a: Any, axis: Any = 0, dtype: Any = None, *, keepdims: bool = False) -> Any:
    """A sum, over the first axis unless told otherwise."""
    return sum(a, axis, dtype, keepdims=keepdims)


@implements((np.multiply, "reduce"))
def multiply_reduce(a: Any, axis: Any = 0, dtype: Any = None, *, keepdims: bool = False) -> Any:
    """A product, over the first axis unless told otherwise."""
    return prod(a, axis, dtype, keepdims=keepdims)


@implements((np.maximum, "reduce"))
def maximum_reduce(a: Any, axis: Any = 0, *, keepdims: bool = False) -> Any:
    """The largest, over the first axis unless told otherwise."""
    return max(a, axis, keepdims=keepdims)


@implements((np.minimum, "reduce"))
def minimum_reduce(a: Any, axis: Any = 0, *, keepdims: bool = False) -> Any:
    """The smallest, over the first axis unless told otherwise."""
    return min(a, axis, keepdims=keepdims)



@implements(np.mean)
def mean(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False, *, where: Any = _NONE) -> Any:
    """The arithmetic mean; of integers and bools in float64."""
    refuse("mean", out=out, where=None if _plain(where, True) is True else where)
    if dtype is not None and np.dtype(dtype).kind not in "fc":
        raise UnsupportedError(f"np.mean(dtype={dtype}) is not supported on traced arrays; take the mean, then .astype({dtype})")
    a = array(a)
    a = astype(a, dtype) if dtype is not None else a if kind_of(a.dtype) in "fc" else astype(a, np.float64)
    count = math.prod(a.shape[i] for i in _axes(axis, len(a.shape)))
    total = _reduce(rd.sum_, a, axis, _plain(keepdims, False))
    return apply(ew.divide, total, float(count)) if count else apply(ew.divide, total, 0.0)


@implements(np.average)
def average(a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: Any = False) -> Any:
    """The weighted mean."""
    refuse("average", returned=returned or None)
    if weights is None:
        return mean(a, axis, keepdims=keepdims)
    a, weights = array(a), array(weights)
    if weights.shape != a.shape and len(weights.shape) == 1 and axis is not None:
        weights = reshape(weights, tuple(n if i == normalize_axis(axis, len(a.shape)) else 1 for i, n in enumerate(a.shape)))
    both = apply(ew.multiply, apply(ew.multiply, a, 1.0), weights)
    spread = apply(ew.multiply, weights, np.ones(a.shape, weights.dtype))
    return apply(ew.divide, sum(both, axis, keepdims=keepdims), sum(spread, axis, keepdims=keepdims))


@implements(np.var)
def var(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: float = 0, keepdims: Any = False, *,
    where: Any = _NONE, mean: Any = _NONE, correction: Any = _NONE,
) -> Any:  # fmt: skip
    """The variance: the mean square distance from the mean, over count - ddof."""
    refuse("var", out=out, where=None if _plain(where, True) is True else where, mean=_plain(mean))
    ddof = _plain(correction, ddof)
    a = array(a)
    a = astype(a, dtype) if dtype is not None else a if kind_of(a.dtype) in "fc" else astype(a, np.float64)
    count = math.prod(a.shape[i] for i in _axes(axis, len(a.shape)))
    away = apply(ew.subtract, a, apply(ew.divide, _reduce(rd.sum_, a, axis, True), float(count)))
    total = _reduce(rd.sum_, abs_square(away), axis, _plain(keepdims, False))
    return apply(ew.divide, total, float(np.maximum(count - ddof, 0)))


@implements(np.std)
def std(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: float = 0, keepdims: Any = False, *,
    where: Any = _NONE, mean: Any = _NONE, correction: Any = _NONE,
) -> Any:  # fmt: skip
    """The standard deviation; where all elements are equal, its derivative is 0."""
    spread = var(a, axis, dtype, out, ddof, keepdims, where=where, mean=mean, correction=correction)
    flat = apply(ew.equal, spread, 0)
    return ew.select(flat, spread, apply(ew.sqrt, ew.select(flat, spread.dtype.type(1), spread)))


def _arg(primitive: Any, name: str) -> Any:
    def call(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = False) -> Any:
        refuse(name, out=out)
        a = array(a)
        flat = ravel(a) if axis is None else a
        at = 0 if axis is None else normalize_axis(axis, len(a.shape))
        found = primitive(flat, axis=at)
        if _plain(keepdims, False):
            return reshape(found, (1,) * len(a.shape)) if axis is None else expand_dims(found, at)
        return found

    call.__name__, call.__doc__ = name, f"As `numpy.{name}`: the first index of the extreme; no derivative."
    return call


argmax = implements(np.argmax)(_arg(rd.argmax, "argmax"))
argmin = implements(np.argmin)(_arg(rd.argmin, "argmin"))


@implements(np.ptp)
def ptp(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False) -> Any:
    """Largest minus smallest."""
    return apply(ew.subtract, max(a, axis, out, keepdims), min(a, axis, out, keepdims))


def logsumexp(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """log(sum(exp(a))), shifted by the maximum so that nothing overflows (as scipy.special.logsumexp)."""
    a = array(a)
    top = ew.stop_gradient(max(a, axis, keepdims=True))
    top = where(apply(ew.isfinite, top), top, 0)
    out = apply(ew.log, sum(apply(ew.exp, apply(ew.subtract, a, top)), axis, keepdims=True))
    out = apply(ew.add, out, top)
    if keepdims:
        return out
    axes = _axes(axis, len(a.shape))
    return reshape(out, tuple(n for i, n in enumerate(a.shape) if i not in axes))


def log_softmax(x: Any, axis: int = -1) -> Any:
    """x - logsumexp(x): the logarithm of the softmax, stable for any x."""
    return apply(ew.subtract, x, logsumexp(x, axis, keepdims=True))


def softmax(x: Any, axis: int = -1) -> Any:
    """exp(x) over its sum along `axis`, stable for any x."""
    x = array(x)
    e = apply(ew.exp, apply(ew.subtract, x, ew.stop_gradient(max(x, axis, keepdims=True))))
    return apply(ew.divide, e, sum(e, axis, keepdims=True))
