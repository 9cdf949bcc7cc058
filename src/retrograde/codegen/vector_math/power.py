"""x**y = exp2(y log2(|x|)).

For float32 it is computed in float64, where nothing more is to be done. In float64 the logarithm must be good to some 68
bits, since its error is multiplied by up to 1075: the quotient s = f / (2 + f) and the leading terms of the series of
artanh(s) are kept in two words (Muller, Elementary Functions, on powers), the product with y too, and its low word is
applied to the exponential as a factor.
"""

from __future__ import annotations

import math

from retrograde.codegen.vector_math import coefficients
from retrograde.codegen.vector_math.logarithm import split
from retrograde.codegen.vector_math.scalars import Math, Real


def power(m: Math, x: Real, y: Real) -> Real:
    """x**y with the C library's results at the corners: power(x, 0) = power(1, y) = 1 even for NaN."""
    if not m.single:
        return _power(m, x, y, _double)
    return m.narrow(_power(m.double(), m.widen(x), m.widen(y), _single))


def _power(m: Math, x: Real, y: Real, magnitude) -> Real:
    a = abs(x)
    one = y.is_(0.0) | x.is_(1.0) | (a.is_(1.0) & abs(y).is_(math.inf))
    found = m.where(one, 1.0, magnitude(m, a, y))
    whole = m.intrinsic("rint", y).is_(y)
    half = y * 0.5
    odd = whole & ~m.intrinsic("rint", half).is_(half)
    outside = (x < 0.0) & (a < math.inf) & ~whole & (abs(y) < math.inf)
    return m.where(outside, math.nan, m.copysign(found, m.where(odd, x, 1.0)))


def _at_end(m: Math, a: Real, y: Real) -> Real:
    """The exponent y log2(a) for a = 0, inf or NaN."""
    return y * m.where(a.is_(0.0), -math.inf, a)


def _single(m: Math, a: Real, y: Real) -> Real:
    """a**y for float32 numbers in float64, to 2**-29 or so."""
    k, c = split(m, a, subnormal=False)
    f = c - 1.0
    s = f / (f + 2.0)
    logarithm = m.fma(s, m.polynomial(s * s, coefficients.POWER_LOG2), m.number(k))
    t = m.where((a > 0.0) & (a < math.inf), y * logarithm, _at_end(m, a, y))
    t = m.clamp(t, -160.0, 160.0)  # beyond float32 on both sides
    n, bits = m.nearest(t + m.round_magic)
    return m.polynomial(t - n, coefficients.POWER_EXP2) * m.power_of_two(bits)


def _log2_words(m: Math, a: Real) -> tuple[Real, Real]:
    """log2(a) in two words, for a positive finite a."""
    k, c = split(m, a)
    f = c - 1.0
    under, under_rest = m.sum_words(2.0, f)
    inverse = 1.0 / under
    s = f * inverse
    s_rest = (m.fma(-s, under, f) - s * under_rest) * inverse
    z, z_rest = m.product_words(s, s)
    z_rest = m.fma(s + s, s_rest, z_rest)
    # v = z / 3 + z**2 / 5 + ...
    third, third_rest = coefficients.THIRD_64
    p, p_rest = m.sum_words(third, z * m.polynomial(z, coefficients.POWER_LOG))
    p_rest = p_rest + third_rest
    v, v_rest = m.product_words(z, p)
    v_rest = v_rest + m.fma(z, p_rest, z_rest * p)
    # log2(1 + f) = t + t v with t = 2 s / log(2)
    factor, factor_rest = coefficients.TWO_LOG2_E_64
    t, t_rest = m.product_words(s, factor)
    t_rest = t_rest + m.fma(s, factor_rest, s_rest * factor)
    q, q_rest = m.product_words(t, v)
    q_rest = q_rest + m.fma(t, v_rest, t_rest * v)
    high, error = m.sum_words(t, q)
    low = error + (t_rest + q_rest)
    total, error = m.sum_words(m.number(k), high)
    return m.sum_words(total, error + low)


def _double(m: Math, a: Real, y: Real) -> Real:
    """a**y in float64."""
    high, low = _log2_words(m, a)
    t, t_rest = m.product_words(y, high)
    t_rest = m.fma(y, low, t_rest)
    t = m.where((a > 0.0) & (a < math.inf), t, _at_end(m, a, y))
    limit = 1100.0
    t_rest = m.where(abs(t) < limit, t_rest, 0.0)
    t = m.clamp(t, -limit, limit)
    n, bits = m.nearest(t + m.round_magic)
    r = t - n
    p = m.polynomial(r, coefficients.EXP2_64)
    more = t_rest * math.log(2.0)
    return m.scale(1.0 + m.fma(r, p, m.fma(r * more, p, more)), bits)


FUNCTIONS = {"power": power}
