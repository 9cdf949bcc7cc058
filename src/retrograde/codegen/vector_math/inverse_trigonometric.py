"""arcsin, arccos, arctan, arctan2.

arctan2 takes the angle in the first half quadrant, from the quotient q of the smaller coordinate by the larger; where
q > 1/2, arctan(q) = pi / 4 + arctan((q - 1) / (q + 1)), with one division for both cases. Then |quotient| <= 1/2 and an
odd polynomial suffices; the multiple of pi / 4 that the octant asks for is added in two words. arcsin is an odd
polynomial below 1/2 and pi / 2 - 2 arcsin(sqrt((1 - |x|) / 2)) above (Cody & Waite 1980).
"""

from __future__ import annotations

import math

from retrograde.codegen.vector_math.scalars import Bool, Math, Real


def _angle(m: Math, a: Real, b: Real, backward: Bool | None) -> Real:
    """The angle of the point (b, a) with a, b >= 0, or of (-b, a) where `backward`."""
    steep = a > b
    large, small = m.where(steep, a, b), m.where(steep, b, a)
    both = small.is_(math.inf)
    large = m.where(both, 1.0, large)
    small = m.where(both, 1.0, small)
    shrink = m.where(large > 2.0 ** (m.bias - 2), 0.25, 1.0)  # so that their sum stays finite
    large, small = large * shrink, small * shrink
    turned = small > large * 0.5
    under = m.where(turned, large + small, large)
    t = m.where(turned, small - large, small) / m.where(under.is_(0.0), 1.0, under)
    z = t * t
    found = m.fma(t * z, m.polynomial(z, m.table("ARCTAN")), t)
    # angle = multiple pi / 4 + or - found
    minus = steep
    multiple = m.where(turned, 1.0, 0.0)
    multiple = m.where(steep, 2.0 - multiple, multiple)
    if backward is not None:
        minus = minus ^ backward
        multiple = m.where(backward, 4.0 - multiple, multiple)
    found = m.where(minus, -found, found)
    high, low = m.table("PI")
    # multiples of 1, 2, 4 quarters are exact products; 3 pi / 4 is not, its error goes to the low word
    quarters = multiple * (high / 4)
    lost = m.fma(multiple, high / 4, -quarters) + multiple * (low / 4)
    return quarters + (found + lost)


def arctan(m: Math, x: Real) -> Real:
    """The arc tangent."""
    return m.copysign(m.where(x.is_(x), _angle(m, abs(x), m.real(1.0), None), x), x)


def arctan2(m: Math, y: Real, x: Real) -> Real:
    """The angle of the point (x, y), -pi to pi, with the signs of zeros."""
    backward = m.copysign(1.0, x) < 0.0
    found = m.copysign(_angle(m, abs(y), abs(x), backward), y)
    return m.where(x.is_(x) & y.is_(y), found, x + y)


def _arcsin_parts(m: Math, x: Real) -> tuple[Bool, Real, Real]:
    """(near, b, c): arcsin(|x|) = b + c for |x| < 1/2, else pi / 2 - (b + c)."""
    a = abs(x)
    near = a < 0.5
    half = 0.5 - a * 0.5
    z = m.where(near, a * a, half)
    b = m.where(near, a, m.sqrt(half) * 2.0)
    return near, b, b * (z * m.polynomial(z, m.table("ARCSIN")))


def arcsin(m: Math, x: Real) -> Real:
    """The arc sine; NaN outside of [-1, 1]."""
    near, b, c = _arcsin_parts(m, x)
    high, low = m.table("HALF_PI")
    far, lost = m.sum_words(high, -b)
    return m.copysign(m.where(near, b + c, far - ((c - low) - lost)), x)


def arccos(m: Math, x: Real) -> Real:
    """The arc cosine; NaN outside of [-1, 1]."""
    near, b, c = _arcsin_parts(m, x)
    negative = x < 0.0
    # near: pi / 2 - sign (b + c); else b + c, or pi - (b + c) for negative x
    flip = near ^ (negative & near)
    minus = flip | (negative & ~near)
    high, low = m.table("HALF_PI")
    base, rest = m.where(near, high, m.where(negative, 2 * high, 0.0)), m.where(near, low, m.where(negative, 2 * low, 0.0))
    b, c = m.where(minus, -b, b), m.where(minus, -c, c)
    return (base + b) + (c + rest)


FUNCTIONS = {"arcsin": arcsin, "arccos": arccos, "arctan": arctan, "arctan2": arctan2}
