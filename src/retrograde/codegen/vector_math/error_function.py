"""erf and erfc.

erf(x) is x times a polynomial in x**2 below 1; above, 1 - exp(-p(|x|)), p a polynomial fit of -log(erfc), whose
error counts little because erfc is at most 0.16 there. erfc keeps relative accuracy to the end: (1 + 2 a) exp(a**2)
erfc(a) is smooth on the whole half line in w = (a - 4) / (a + 4) (Shepherd & Laframboise 1981), and exp(-a**2) is taken
with a**2 in two words.
"""

from __future__ import annotations

from retrograde.codegen.vector_math import coefficients
from retrograde.codegen.vector_math.exponential import exp_single, exp_words
from retrograde.codegen.vector_math.scalars import Math, Real


def erf(m: Math, x: Real) -> Real:
    """The error function."""
    a, z = abs(x), x * x
    near = m.fma(a, m.polynomial(z, m.table("ERF")), a)
    end = m.pick(3.95, 6.0)
    far = 1.0 - exp_single(m, -m.polynomial(m.where(a > end, end, a) - 2.0, m.table("ERF_TAIL")))
    return m.copysign(m.where(a < 1.0, near, far), x)


def erfc(m: Math, x: Real) -> Real:
    """1 - erf(x); float32 is computed in float64, where squares are exact."""
    if m.single:
        d = m.double()
        return m.narrow(_erfc(d, m.widen(x), 10.5, coefficients.ERFCX_32))
    return _erfc(m, x, 28.0, coefficients.ERFCX_64)


def _erfc(m: Math, x: Real, end: float, table: tuple[float, ...]) -> Real:
    a = abs(x)
    a = m.where(a > end, end, a)
    over, over_rest = m.any_sum_words(a, -4.0)
    under, under_rest = m.any_sum_words(a, 4.0)
    inverse = 1.0 / under
    w = over * inverse
    w_rest = (m.fma(-w, under, over) + (over_rest - w * under_rest)) * inverse
    high, low = m.sum_words(table[0], w * m.polynomial(w, table[1:]))
    low = m.fma(w_rest, m.polynomial(w, coefficients.ERFCX_SLOPE), low)
    divisor, divisor_rest = m.any_sum_words(a + a, 1.0)
    inverse = 1.0 / divisor
    q = high * inverse
    q_rest = (m.fma(-q, divisor, high) + (low - q * divisor_rest)) * inverse
    square, lost = m.product_words(a, a)
    y, e, n = exp_words(m, -square, -lost)
    found = m.scale(m.fma(q, y, m.fma(q, e, q_rest * y)), n)
    return m.where(x < 0.0, 2.0 - found, found)


FUNCTIONS = {"erf": erf, "erfc": erfc}
