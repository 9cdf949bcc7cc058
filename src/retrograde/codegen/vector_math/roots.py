"""cbrt and hypot.

cbrt: the exponent is divided by 3, a polynomial gives ten bits, Halley's iteration (which triples digits) the rest, and
a Newton step whose residual is computed in two words rounds it.
"""

from __future__ import annotations

import math

from retrograde.codegen.vector_math import coefficients
from retrograde.codegen.vector_math.scalars import Math, Real


def cbrt(m: Math, x: Real) -> Real:
    """The cube root, with the sign of x."""
    if m.single:
        return m.narrow(_cbrt(m.double(), m.widen(x), 1))
    return _cbrt(m, x, 2)


def _cbrt(m: Math, x: Real, halley: int) -> Real:
    a = abs(x)
    tiny = a < m.least_normal
    bits = m.bits(m.where(tiny, a * 2.0**54, a))
    exponent = (bits >> m.fraction) - m.bias + 1200  # positive, and 1200 = 3 * 400
    third = (exponent * 21846) >> 16
    c = m.from_bits((bits & ((1 << m.fraction) - 1)) + ((exponent - third * 3 + m.bias) << m.fraction))  # in [1, 8)
    y = m.polynomial(c, coefficients.CBRT)
    for _ in range(halley):
        cube = y * y * y
        y = y * (cube + c * 2.0) / (cube * 2.0 + c)
    square, lost = m.product_words(y, y)
    y = y - m.fma(lost, y, m.fma(square, y, -c)) / (square * 3.0)
    found = y * m.power_of_two(m.where(tiny, third - 418, third - 400))
    return m.where((a > 0.0) & (a < math.inf), m.copysign(found, x), x)


def hypot(m: Math, x: Real, y: Real) -> Real:
    """sqrt(x**2 + y**2): in float64 for float32, else scaled by a power of two where squares leave the range."""
    if m.single:
        d = m.double()
        a, b = m.widen(x), m.widen(y)
        found = m.narrow(d.sqrt(d.fma(a, a, b * b)))
    else:
        a, b = abs(x), abs(y)
        more = m.where(a > b, a, b)
        scale = m.where(more > 2.0**500, 2.0**-600, m.where(more < 2.0**-400, 2.0**600, 1.0))
        back = m.where(more > 2.0**500, 2.0**600, m.where(more < 2.0**-400, 2.0**-600, 1.0))
        a, b = a * scale, b * scale
        found = m.sqrt(m.fma(a, a, b * b)) * back
    return m.where(abs(x).is_(math.inf) | abs(y).is_(math.inf), math.inf, found)


FUNCTIONS = {"cbrt": cbrt, "hypot": hypot}
