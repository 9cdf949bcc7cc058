"""NumPy's reductions: axes normalized, dtypes as NumPy has them, in front of the primitives."""

from __future__ import annotations

import builtins
import math
from typing import Any

import numpy as np

from retrograde.errors import GraphTypeError, ShapeError, UnsupportedError
from retrograde.numpy.complex import abs_square
from retrograde.numpy.elementwise import where
from retrograde.numpy.shaping import array, broadcast_to, expand_dims, full_like, normalize_axis, ravel, reshape, transpose
from retrograde.numpy.table import FUNCTIONS, implements, refuse
from retrograde.ops import elementwise as ew
from retrograde.ops import reduce as rd
from retrograde.ops.complex import part_of
from retrograde.ops.promote import apply, astype, is_traced
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


def chosen(where: Any, shape: tuple[int, ...]) -> Any:
    """The mask of a reduction's `where`, None where it leaves nothing out."""
    where = _plain(where, True)
    if where is True or where is None:
        return None
    mask = array(where)
    if mask.dtype != bool:
        raise GraphTypeError(f"where= wants an array of bools; it was given {mask.dtype}. Write mask != 0")
    if np.broadcast_shapes(mask.shape, shape) != tuple(shape):
        raise ShapeError(f"where= of shape {tuple(mask.shape)} does not broadcast to the reduced array's {tuple(shape)}")
    return mask


def masked(a: Any, mask: Any, value: Any) -> Any:
    """`a` with a number of its dtype wherever the mask does not hold; what it takes the place of gets no cotangent."""
    return a if mask is None else ew.select(mask, a, astype(value, a.dtype))


def summand(a: Any, dtype: Any) -> Any:
    """`a` in the dtype that NumPy adds it up in: small integers and bools in the platform's integer."""
    a = array(a)
    if dtype is not None:
        return astype(a, dtype)
    if a.dtype.kind in "ib" and a.dtype.itemsize < 8:
        return astype(a, np.int64)
    return astype(a, np.uint64) if a.dtype.kind == "u" and a.dtype.itemsize < 8 else a


def _total(primitive: Any, join: Any, name: str) -> Any:
    def call(
        a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False, initial: Any = _NONE,
        where: Any = _NONE,
    ) -> Any:  # fmt: skip
        refuse(name, out=out)
        a = summand(a, dtype)
        a = masked(a, chosen(where, a.shape), 1 if primitive is rd.prod else 0)
        total = _reduce(primitive, a, axis, _plain(keepdims, False))
        return total if _plain(initial) is None else apply(join, total, astype(initial, a.dtype))

    call.__name__, call.__doc__ = name, f"As `numpy.{name}`."
    return call


sum = implements(np.sum)(_total(rd.sum_, ew.add, "sum"))
prod = implements(np.prod)(_total(rd.prod, ew.multiply, "prod"))


def _extreme(primitive: Any, join: Any, name: str) -> Any:
    def call(
        a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, initial: Any = _NONE,
        where: Any = _NONE,
    ) -> Any:  # fmt: skip
        refuse(name, out=out)
        a = array(a)
        keepdims, mask = _plain(keepdims, False), chosen(where, a.shape)
        if _plain(initial) is None:
            if mask is not None:
                raise ShapeError(f"np.{name}(where=...) may leave nothing to choose from: pass initial= as well")
            return _reduce(primitive, a, axis, keepdims)
        initial, axes = astype(initial, a.dtype), _axes(axis, len(a.shape))
        if math.prod(a.shape[i] for i in axes) == 0:
            kept = tuple(1 if i in axes else n for i, n in enumerate(a.shape) if keepdims or i not in axes)
            return broadcast_to(initial, kept)
        return apply(join, _reduce(primitive, masked(a, mask, initial), axis, keepdims), initial)

    call.__name__, call.__doc__ = name, f"As `numpy.{name}`; ties share the cotangent evenly, `initial` takes it if it ties."
    return call


max = amax = FUNCTIONS[np.amax] = implements(np.max)(_extreme(rd.max_, ew.maximum, "max"))
min = amin = FUNCTIONS[np.amin] = implements(np.min)(_extreme(rd.min_, ew.minimum, "min"))


def _truth(primitive: Any, name: str) -> Any:
    def call(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, *, where: Any = _NONE) -> Any:
        refuse(name, out=out)
        a = array(a)
        a = a if a.dtype == bool else apply(ew.not_equal, a, 0)
        return _reduce(primitive, masked(a, chosen(where, a.shape), primitive is rd.all_), axis, _plain(keepdims, False))

    call.__name__, call.__doc__ = name, f"As `numpy.{name}`."
    return call


any = implements(np.any)(_truth(rd.any_, "any"))
all = implements(np.all)(_truth(rd.all_, "all"))


@implements((np.add, "reduce"))
def add_reduce(
    a: Any, axis: Any = 0, dtype: Any = None, *, keepdims: bool = False, initial: Any = _NONE, where: Any = True
) -> Any:
    """A sum, over the first axis unless told otherwise."""
    return sum(a, axis, dtype, keepdims=keepdims, initial=initial, where=where)


@implements((np.multiply, "reduce"))
def multiply_reduce(
    a: Any, axis: Any = 0, dtype: Any = None, *, keepdims: bool = False, initial: Any = _NONE, where: Any = True
) -> Any:
    """A product, over the first axis unless told otherwise."""
    return prod(a, axis, dtype, keepdims=keepdims, initial=initial, where=where)


@implements((np.maximum, "reduce"))
def maximum_reduce(a: Any, axis: Any = 0, *, keepdims: bool = False, initial: Any = _NONE, where: Any = True) -> Any:
    """The largest, over the first axis unless told otherwise."""
    return max(a, axis, keepdims=keepdims, initial=initial, where=where)


@implements((np.minimum, "reduce"))
def minimum_reduce(a: Any, axis: Any = 0, *, keepdims: bool = False, initial: Any = _NONE, where: Any = True) -> Any:
    """The smallest, over the first axis unless told otherwise."""
    return min(a, axis, keepdims=keepdims, initial=initial, where=where)



def _count(a: Any, axis: Any, keepdims: Any, mask: Any) -> Any:
    """How many elements are added up: a number, or with a mask a real array of a's precision."""
    if mask is None:
        return float(math.prod(a.shape[i] for i in _axes(axis, len(a.shape))))
    return _reduce(rd.sum_, astype(broadcast_to(mask, a.shape), part_of(a.dtype)), axis, keepdims)


@implements(np.mean)
def mean(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False, *, where: Any = _NONE) -> Any:
    """The arithmetic mean; of integers and bools in float64."""
    refuse("mean", out=out)
    if dtype is not None and np.dtype(dtype).kind not in "fc":
        raise UnsupportedError(f"np.mean(dtype={dtype}) is not supported on traced arrays; take the mean, then .astype({dtype})")
    a = array(a)
    a = astype(a, dtype) if dtype is not None else a if kind_of(a.dtype) in "fc" else astype(a, np.float64)
    keepdims, mask = _plain(keepdims, False), chosen(where, a.shape)
    total = _reduce(rd.sum_, masked(a, mask, 0), axis, keepdims)
    return apply(ew.divide, total, _count(a, axis, keepdims, mask))


def along(name: str, weights: Any, shape: tuple[int, ...], axis: Any) -> Any:
    """Weights that are given for each element, or along the axes, with axes of length 1 for all others."""
    if weights.shape == shape:
        return weights
    if axis is None:
        raise GraphTypeError(f"{name}: weights of shape {weights.shape} for {shape}: say axis=, or give every element one")
    axes = [normalize_axis(i, len(shape)) for i in (axis if isinstance(axis, tuple) else (axis,))]
    if weights.shape != tuple(shape[i] for i in axes):
        raise ShapeError(f"{name}: weights of shape {weights.shape} do not fit {shape} along axis {axis}")
    return reshape(transpose(weights, np.argsort(axes)), tuple(n if i in axes else 1 for i, n in enumerate(shape)))


@implements(np.average)
def average(a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: Any = False) -> Any:
    """The weighted mean; with `returned` also the sum of the weights, in the mean's shape."""
    a, keepdims = array(a), _plain(keepdims, False)
    if weights is None:
        found = mean(a, axis, keepdims=keepdims)
        return (found, full_like(found, a.size / builtins.max(found.size, 1))) if returned else found
    weights = along("average", array(weights), a.shape, axis)
    both = apply(ew.multiply, apply(ew.multiply, a, 1.0), weights)
    spread = sum(apply(ew.multiply, weights, np.ones(a.shape, weights.dtype)), axis, both.dtype, keepdims=keepdims)
    if not is_traced(spread) and np.any(spread == 0):
        raise ZeroDivisionError("Weights sum to zero, can't be normalized")
    found = apply(ew.divide, sum(both, axis, keepdims=keepdims), spread)
    return (found, spread) if returned else found


@implements(np.var)
def var(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: float = 0, keepdims: Any = False, *,
    where: Any = _NONE, mean: Any = _NONE, correction: Any = _NONE,
) -> Any:  # fmt: skip
    """The variance: the mean square distance from the mean (or from the `mean` that is given), over count - ddof."""
    refuse("var", out=out)
    ddof = _plain(correction, ddof)
    a = array(a)
    a = astype(a, dtype) if dtype is not None else a if kind_of(a.dtype) in "fc" else astype(a, np.float64)
    keepdims, mask = _plain(keepdims, False), chosen(where, a.shape)
    centre = _plain(mean)
    if centre is None:
        centre = apply(ew.divide, _reduce(rd.sum_, masked(a, mask, 0), axis, True), _count(a, axis, True, mask))
    # masked once more: where nothing is chosen the mean is NaN, and must not reach what is left out
    away = masked(apply(ew.subtract, a, centre), mask, 0)
    total = _reduce(rd.sum_, abs_square(away), axis, keepdims)
    count = _count(a, axis, keepdims, mask) - ddof
    return apply(ew.divide, total, apply(ew.maximum, count, 0.0) if mask is not None else builtins.max(count, 0.0))


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
