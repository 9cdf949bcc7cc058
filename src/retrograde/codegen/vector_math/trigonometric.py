"""sin, cos, tan: polynomials on the rest modulo pi / 2, chosen by the quadrant (see `reduction`)."""

from __future__ import annotations

import math

from retrograde.codegen.vector_math import coefficients
from retrograde.codegen.vector_math.reduction import quadrant_and_rest
from retrograde.codegen.vector_math.scalars import Int, Math, Real


def _sine(m: Math, r: Real, more: Real | None) -> Real:
    """sin(r + more) for |r| <= pi / 4."""
    z = r * r
    tail = m.polynomial(z, m.table("SIN"))
    if more is None:
        return m.fma(r * z, tail, r)
    return r + m.fma(r * z, tail, m.fma(more * z, -0.5, more))


def _cosine(m: Math, r: Real, more: Real | None) -> Real:
    """cos(r + more) for |r| <= pi / 4."""
    z = r * r
    tail = z * z * m.polynomial(z, m.table("COS"))
    if more is not None:
        tail = m.fma(-r, more, tail)
    half = z * 0.5
    whole, rest = m.sum_words(1.0, -half)
    return whole + (rest + tail)


def _with_sign_bit(m: Math, x: Real, bit: Int) -> Real:
    return m.from_bits(m.bits(x) ^ bit)


def _sign_bit(m: Math, x: Real) -> Int:
    return m.bits(x) & -(1 << (m.width - 1))


def _sine_or_cosine(m: Math, x: Real, turn: int) -> Real:
    """sin(|x| + turn pi / 2), without the sign of x."""
    a = abs(x)
    quadrant, rest, more = quadrant_and_rest(m, a)
    quadrant = quadrant + turn
    r, s = (m.where(a < 0.5, a, m.narrow(rest)), None) if m.single else (rest, more)
    found = m.where((quadrant & 1).is_(0), _sine(m, r, s), _cosine(m, r, s))
    found = _with_sign_bit(m, found, (quadrant & 2) << (m.width - 2))
    return m.where(a < math.inf, found, x - x)


def sin(m: Math, x: Real) -> Real:
    """The sine."""
    return _with_sign_bit(m, _sine_or_cosine(m, x, 0), _sign_bit(m, x))


def cos(m: Math, x: Real) -> Real:
    """The cosine."""
    return _sine_or_cosine(m, x, 1)


def tan(m: Math, x: Real) -> Real:
    """The tangent: sine over cosine of the rest, or minus cosine over sine; in float64 for both formats."""
    a = abs(x)
    quadrant, r, more = quadrant_and_rest(m, a)
    odd = (quadrant & 1).is_(1)
    if m.single:
        d, z = m.double(), r * r
        sine = d.fma(r * z, d.polynomial(z, coefficients.SIN_32), r)
        cosine = d.fma(z * z, d.polynomial(z, coefficients.COS_32), d.fma(z, -0.5, 1.0))
        found = m.narrow(d.where(odd, -cosine, sine) / d.where(odd, sine, cosine))
    else:
        sine, cosine = _sine(m, r, more), _cosine(m, r, more)
        found = m.where(odd, -cosine, sine) / m.where(odd, sine, cosine)
    return _with_sign_bit(m, m.where(a < math.inf, found, x - x), _sign_bit(m, x))


FUNCTIONS = {"sin": sin, "cos": cos, "tan": tan}
