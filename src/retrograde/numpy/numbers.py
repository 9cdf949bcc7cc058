"""What floats and whole numbers are made of, and questions about numbers: composed of elementwise primitives."""

from __future__ import annotations

from typing import Any

import numpy as np

from retrograde.errors import UnsupportedError
from retrograde.numpy.elementwise import absolute, isfinite, isinf, isnan, of_ufunc, where
from retrograde.numpy.reductions import all as _all
from retrograde.numpy.shaping import array, broadcast_arrays
from retrograde.numpy.table import implements, refuse
from retrograde.ops import bits
from retrograde.ops import elementwise as ew
from retrograde.ops.promote import apply, astype, is_traced, promote

nextafter = of_ufunc(bits.nextafter)


@implements(np.gcd)
def gcd(x: Any, y: Any) -> Any:
    """The greatest common divisor of whole numbers."""
    return bits.gcd(*broadcast_arrays(*promote(np.gcd, x, y)))


@implements(np.lcm)
def lcm(x: Any, y: Any) -> Any:
    """The least common multiple of whole numbers."""
    x, y = broadcast_arrays(*(apply(ew.absolute, v) for v in promote(np.lcm, x, y)))
    shared = bits.gcd(x, y)
    return apply(ew.multiply, apply(ew.floor_divide, x, where(apply(ew.equal, shared, 0), 1, shared)), y)


@implements(np.signbit)
def signbit(x: Any) -> Any:
    """Whether the sign is minus, of 0 and NaN too."""
    x = promote(np.signbit, x)[0]
    return apply(ew.less, apply(ew.copysign, x.dtype.type(1), x), 0)


@implements(np.spacing)
def spacing(x: Any) -> Any:
    """The distance to the next number away from 0, with x's sign; no derivative."""
    x = ew.stop_gradient(promote(np.spacing, x)[0])
    return apply(ew.subtract, apply(bits.nextafter, x, apply(ew.copysign, x.dtype.type(np.inf), x)), x)


@implements(np.modf)
def modf(x: Any) -> tuple:
    """The fractional and the whole part, both with x's sign; the first has the derivative 1, the second 0."""
    x = promote(np.modf, x)[0]
    return where(isinf(x), apply(ew.copysign, x.dtype.type(0), x), apply(ew.fmod, x, 1)), apply(ew.trunc, x)


@implements(np.frexp)
def frexp(x: Any) -> tuple:
    """m and the whole number e of x = m 2**e with 1/2 <= |m| < 1; no derivative through e."""
    x = promote(np.frexp, x)[0]
    e = astype(bits.exponent(x), np.int32)
    return bits.scale(x, apply(ew.negative, e)), e


@implements(np.ldexp)
def ldexp(x: Any, n: Any) -> Any:
    """x times 2**n, n whole numbers."""
    x, n = promote(np.ldexp, x, n)
    n = astype(apply(ew.minimum, apply(ew.maximum, n, -9999), 9999), np.int32) if n.dtype != np.int32 else n
    return bits.scale(x, n)


def _infinite(name: str, sign: float) -> Any:
    def call(x: Any, out: Any = None) -> Any:
        refuse(name, out=out)
        x = array(x)
        return apply(ew.equal, x, sign) if x.dtype.kind == "f" else np.zeros(x.shape, bool)[()]

    call.__name__, call.__doc__ = name, f"As `numpy.{name}`."
    return implements(getattr(np, name))(call)


isposinf, isneginf = _infinite("isposinf", np.inf), _infinite("isneginf", -np.inf)


@implements(np.isclose)
def isclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False) -> Any:
    """|a - b| <= atol + rtol |b|, or equal infinities; NaN is close to NaN by request."""
    a, b = array(a), array(b)
    if b.dtype.kind in "iub":
        b = astype(b, np.result_type(b.dtype, 1.0))
    far = absolute(apply(ew.subtract, a, b))
    near = apply(ew.less_equal, far, apply(ew.add, atol, apply(ew.multiply, rtol, absolute(b))))
    found = apply(ew.logical_or, apply(ew.logical_and, near, isfinite(b)), apply(ew.equal, a, b))
    return apply(ew.logical_or, found, apply(ew.logical_and, isnan(a), isnan(b))) if equal_nan else found


@implements(np.allclose)
def allclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False) -> Any:
    """Whether all are close; see `isclose`."""
    return _all(isclose(a, b, rtol, atol, equal_nan))


@implements(np.array_equal)
def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> Any:
    """Whether two arrays have one shape and equal elements."""
    a1, a2 = array(a1), array(a2)
    if a1.shape != a2.shape:
        return False
    same = apply(ew.equal, a1, a2)
    if equal_nan:
        same = apply(ew.logical_or, same, apply(ew.logical_and, isnan(a1), isnan(a2)))
    return _all(same)


@implements(np.array_equiv)
def array_equiv(a1: Any, a2: Any) -> Any:
    """Whether two arrays broadcast together and have equal elements then."""
    a1, a2 = array(a1), array(a2)
    try:
        np.broadcast_shapes(a1.shape, a2.shape)
    except ValueError:
        return False
    return _all(apply(ew.equal, a1, a2))


@implements(np.can_cast)
def can_cast(from_: Any, to: Any, casting: Any = "safe") -> bool:
    """By dtype; a traced Python number has none of its own."""
    if is_traced(from_) and from_.weak:
        raise UnsupportedError("np.can_cast of a traced Python number is not defined, as of a plain one; ask of its dtype")
    return np.can_cast(from_.dtype if is_traced(from_) else from_, to, casting)
