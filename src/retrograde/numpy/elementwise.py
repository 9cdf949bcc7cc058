"""NumPy's elementwise functions: promotion in front of one primitive, or a short composition."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from retrograde.errors import UnsupportedError
from retrograde.ir.primitive import REGISTRY
from retrograde.numpy.table import FUNCTIONS, check_device, implements
from retrograde.ops import complex as cx
from retrograde.ops import elementwise as ew
from retrograde.ops.promote import apply, as_operand, is_traced, own, promote
from retrograde.ops.promote import astype as cast
from retrograde.ops.symbol import power as _power


def of_ufunc(primitive: Any, rule: Callable[..., Any] = apply) -> Callable[..., Any]:
    """A primitive behind its ufunc's signature, entered as the ufunc's rule."""
    if primitive.ufunc.nin == 1:

        def call(x: Any, /) -> Any:
            return rule(primitive, x)

    else:

        def call(x1: Any, x2: Any, /) -> Any:  # type: ignore[misc]
            return rule(primitive, x1, x2)

    name = primitive.ufunc.__name__
    call.__name__, call.__doc__ = name, f"As `numpy.{name}`."
    return FUNCTIONS.setdefault(primitive.ufunc, call)


for _primitive in list(REGISTRY.values()):
    if _primitive.ufunc is not None:
        of_ufunc(_primitive)


def erf(x: Any) -> Any:
    """The error function, 2/sqrt(pi) times the integral of exp(-t^2) from 0 to x."""
    return apply(ew.erf, x)


def erfc(x: Any) -> Any:
    """1 - erf(x), without cancellation."""
    return apply(ew.erfc, x)


def sigmoid(x: Any) -> Any:
    """The logistic function 1 / (1 + exp(-x)); never overflows."""
    return apply(ew.sigmoid, x)


def softplus(x: Any) -> Any:
    """log(1 + exp(x)); never overflows."""
    return apply(ew.softplus, x)


def relu(x: Any) -> Any:
    """max(x, 0); its derivative at 0 is 0."""
    return apply(ew.maximum, x, 0)


@implements(np.power)
def power(x: Any, y: Any) -> Any:
    """x ** y elementwise; small whole exponents become products."""
    return _power(as_operand(x), as_operand(y))


@implements(np.float_power)
def float_power(x: Any, y: Any) -> Any:
    """x ** y in at least float64."""
    return ew.power(*promote(np.float_power, x, y))


@implements(np.positive)
def positive(x: Any) -> Any:
    """x itself."""
    return promote(np.positive, x)[0] if is_traced(x) and not x.weak else as_operand(x)


@implements(np.fabs)
def fabs(x: Any) -> Any:
    """|x| as a float."""
    return ew.absolute(*promote(np.fabs, x))


@implements(np.deg2rad)
@implements(np.radians)
def deg2rad(x: Any) -> Any:
    """Degrees to radians."""
    return apply(ew.multiply, *promote(np.deg2rad, x), np.pi / 180.0)


@implements(np.rad2deg)
@implements(np.degrees)
def rad2deg(x: Any) -> Any:
    """Radians to degrees."""
    return apply(ew.multiply, *promote(np.rad2deg, x), 180.0 / np.pi)


@implements(np.logaddexp2)
def logaddexp2(x: Any, y: Any) -> Any:
    """log2(2**x + 2**y)."""
    x, y = promote(np.logaddexp2, x, y)
    ln2 = float(np.log(2.0))
    return apply(ew.divide, apply(ew.logaddexp, apply(ew.multiply, x, ln2), apply(ew.multiply, y, ln2)), ln2)


@implements(np.divmod)
def divmod_(x: Any, y: Any) -> tuple:
    """(floor_divide, remainder)."""
    return apply(ew.floor_divide, x, y), apply(ew.remainder, x, y)


@implements(np.heaviside)
def heaviside(x: Any, at_zero: Any) -> Any:
    """0 below zero, 1 above, `at_zero` at it, NaN at NaN; no derivative in x."""
    x, at_zero = promote(np.heaviside, x, at_zero)
    step = where(apply(ew.isnan, x), x.dtype.type(np.nan), cast(apply(ew.greater, x, 0), x.dtype))
    return where(apply(ew.equal, x, 0), at_zero, step)


def _truth(x: Any) -> Any:
    x = as_operand(x)
    if not hasattr(x, "dtype"):
        return bool(x)
    return x if x.dtype == bool else apply(ew.not_equal, x, 0)


def _logical(primitive: Any) -> Any:
    del FUNCTIONS[primitive.ufunc]  # which promotes to one dtype
    return of_ufunc(primitive, lambda primitive, *args: primitive(*[_truth(x) for x in args]))


logical_and, logical_or = _logical(ew.logical_and), _logical(ew.logical_or)
logical_xor, logical_not = _logical(ew.logical_xor), _logical(ew.logical_not)


def _kind(x: Any) -> str:
    return x.dtype.kind if hasattr(x, "dtype") else np.asarray(x).dtype.kind


def _of_integers(primitive: Any, value: bool) -> Any:
    """isnan and kin: of integers, a constant."""

    def call(x: Any) -> Any:
        x = as_operand(x)
        kind = _kind(x)
        if kind == "c":  # NaN or infinite if a part is, finite if both are
            join = ew.logical_and if value else ew.logical_or
            return join(*[primitive(part(x)) for part in (cx.real, cx.imag)])
        return apply(primitive, x) if kind == "f" else np.full(np.shape(x), value)[()]

    FUNCTIONS[primitive.ufunc] = call
    return call


isnan, isinf = _of_integers(ew.isnan, False), _of_integers(ew.isinf, False)
isfinite = _of_integers(ew.isfinite, True)


@implements(np.where)
def where(condition: Any, x: Any = None, y: Any = None, *, size: int | None = None, fill_value: Any = 0) -> Any:
    """x where the condition holds, else y; the cotangent flows to the chosen one only. Without both, `nonzero(condition)`."""
    if x is None and y is None:
        from retrograde.numpy.choosing import nonzero

        return nonzero(condition, size=size, fill_value=fill_value)
    if x is None or y is None:
        raise ValueError("either both or neither of x and y should be given")
    x, y = promote(np.add, x, y) if _kinds(x, y) != "bb" else (as_operand(x), as_operand(y))
    return ew.select(_truth(condition), x, y)


def _kinds(*xs: Any) -> str:
    return "".join(np.dtype(bool).kind if type(x) is bool else getattr(as_operand(x), "dtype", np.dtype(float)).kind for x in xs)


@implements(np.clip)
def clip(a: Any, min: Any = None, max: Any = None, out: Any = None, *, a_min: Any = None, a_max: Any = None) -> Any:
    """Limit to [min, max], NumPy's a_min and a_max; the derivative is 1 inside, 0 outside and at the limits."""
    if out is not None:
        raise UnsupportedError("np.clip(out=...) is not supported on traced arrays; use the returned array")
    a, low, high = as_operand(a), a_min if a_min is not None else min, a_max if a_max is not None else max
    if getattr(a, "dtype", np.dtype(float)).kind in "iu":  # a limit past what the dtype holds limits nothing
        info = np.iinfo(a.dtype)
        low = None if type(low) is int and low <= info.min else low
        high = None if type(high) is int and high >= info.max else high
    if low is not None:
        a = apply(ew.maximum, a, low)
    return apply(ew.minimum, a, high) if high is not None else a


@implements(np.around)
@implements(np.round)
def round(a: Any, decimals: int = 0, out: Any = None) -> Any:
    """To the given number of decimals, halves to even; derivative 0."""
    if out is not None:
        raise UnsupportedError("np.round(out=...) is not supported on traced arrays; use the returned array")
    a = as_operand(a)
    if getattr(a, "dtype", np.dtype(float)).kind in "iub":
        if decimals < 0:
            raise UnsupportedError(
                f"np.round(decimals={decimals}) of integers is not supported on traced arrays; round x.astype(float) instead"
            )
        return a
    if decimals == 0:
        return apply(ew.rint, a)
    before, after = (ew.multiply, ew.divide) if decimals > 0 else (ew.divide, ew.multiply)
    scale = 10.0 ** np.abs(decimals)
    return apply(after, apply(ew.rint, apply(before, a, float(scale))), float(scale))


@implements(np.nan_to_num)
def nan_to_num(x: Any, copy: bool = True, nan: float = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    """NaN and infinities replaced by numbers; no cotangent flows where one was replaced."""
    x = as_operand(x)
    if x.dtype.kind == "c":
        return cx.complex_(*[nan_to_num(part(x), copy, nan, posinf, neginf) for part in (cx.real, cx.imag)])
    if x.dtype.kind != "f":
        return x
    info = np.finfo(x.dtype)
    high, low = info.max if posinf is None else posinf, info.min if neginf is None else neginf
    kind = x.dtype.type
    x = where(isnan(x), kind(nan), x)
    x = where(apply(ew.equal, x, float("inf")), kind(high), x)
    return where(apply(ew.equal, x, float("-inf")), kind(low), x)


@implements(np.sinc)
def sinc(x: Any) -> Any:
    """sin(pi x) / (pi x), 1 at 0; near 0 its series, for the sake of the derivatives."""
    y = apply(ew.multiply, np.pi, x)
    near = apply(ew.less, cx.absolute(y), 0.03)
    safe = where(near, 1.0, y)
    square, series = apply(ew.square, where(near, y, 0.0)), 1.0 / 362880.0
    for factorial in (-5040.0, 120.0, -6.0, 1.0):
        series = apply(ew.add, apply(ew.multiply, series, square), 1.0 / factorial)
    return where(near, series, apply(ew.divide, apply(ew.sin, safe), safe))


def sqrt_or_zero(x: Any) -> Any:
    """The square root of what is not negative, with the derivative 0 at 0: a norm's subgradient of least norm."""
    flat = apply(ew.equal, x, 0)
    return ew.select(flat, x, apply(ew.sqrt, ew.select(flat, x.dtype.type(1), x)))


def astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:
    """Cast to `dtype`, an array of its own if `copy`. Float to float keeps the derivative, integers and bools let none pass.

    Complex to real drops the imaginary part, with NumPy's ComplexWarning.
    """
    x = as_operand(x)
    if _kind(x) == "c" and np.dtype(dtype).kind not in "cb":
        message = "Casting complex values to real discards the imaginary part; take x.real to say so"
        warnings.warn(message, np.exceptions.ComplexWarning, stacklevel=3)
        x = cx.real(x)
    check_device(device)
    found = cast(x, dtype)
    return own(found) if copy and found is x else found


if hasattr(np, "astype"):
    FUNCTIONS[np.astype] = astype



def _exact(primitive: Any) -> Any:
    """A function that leaves integers and bools as they are."""

    def call(x: Any) -> Any:
        x = as_operand(x)
        whole = promote(primitive.ufunc, x)[0]
        return whole if getattr(whole, "dtype", np.dtype(float)).kind in "iub" else apply(primitive, x)

    FUNCTIONS[primitive.ufunc] = call
    return call


floor, ceil, trunc = _exact(ew.floor), _exact(ew.ceil), _exact(ew.trunc)
fix = implements(np.fix)(trunc) if hasattr(np, "fix") else None


@implements(np.absolute)
def absolute(x: Any) -> Any:
    """|x|; of bools, itself; of complex numbers a real array, whose derivative at 0 is 0."""
    x = as_operand(x)
    return x if getattr(x, "dtype", np.dtype(float)).kind == "b" else cx.absolute(x)
