"""exp and what is made of it.

x = n log(2) + r with |r| <= log(2) / 2, n the nearest integer and log(2) in two words (Cody & Waite 1980; with a fused
multiply-add the first step is exact), exp(r) by a polynomial, 2**n by writing the exponent, in two steps where n or the
result leaves the normal numbers. `exp_words` keeps the result in two words (Tang 1989 does so with tables).
"""

from __future__ import annotations

from retrograde.codegen.vector_math.scalars import Int, Math, Real


def exp_words(m: Math, x: Real, more: Real | float = 0.0) -> tuple[Real, Real, Int]:
    """(y, e, n) with exp(x + more) = (y + e) 2**n, for |x| up to about 2**(fraction - 2) log(2) and a tiny `more`."""
    high, low = m.table("LN2")
    n, bits = m.nearest(m.fma(x, m.table("LOG2_E")[0], m.round_magic))
    first = m.fma(n, -high, x)
    r = m.fma(n, -low, first)
    rest = m.fma(n, -low, first - r) + more
    whole, part = m.sum_words(1.0, r)
    y, e = m.sum_words(whole, m.fma(r * r, m.polynomial(r, m.table("EXP")), part))
    return y, m.fma(rest, y, e), bits


def exp_single(m: Math, x: Real) -> Real:
    """exp(x) to about 1 ulp where the result is normal."""
    y, n = _exp_parts(m, x)
    return y * m.power_of_two(n)


def _exp_parts(m: Math, x: Real) -> tuple[Real, Int]:
    high, low = m.table("LN2")
    n, bits = m.nearest(m.fma(x, m.table("LOG2_E")[0], m.round_magic))
    r = m.fma(n, -low, m.fma(n, -high, x))
    return m.fma(r * r, m.polynomial(r, m.table("EXP")), r) + 1.0, bits


def exp_bounds(m: Math) -> tuple[float, float]:
    """Below the first exp is 0, above the second it is inf."""
    return m.pick((-104.0, 89.0), (-746.0, 710.0))


def exp(m: Math, x: Real) -> Real:
    """e**x."""
    return m.scale(*_exp_parts(m, m.clamp(x, *exp_bounds(m))))


def exp2(m: Math, x: Real) -> Real:
    """2**x: the nearest integer goes to the exponent, the exact rest r to 1 + r p(r)."""
    x = m.clamp(x, *m.pick((-151.0, 129.0), (-1076.0, 1025.0)))
    n, bits = m.nearest(x + m.round_magic)
    r = x - n
    return m.scale(m.fma(r, m.polynomial(r, m.table("EXP2")), 1.0), bits)


def expm1(m: Math, x: Real) -> Real:
    """e**x - 1 = 2 (s (r + r**2 p(r)) + s - 1/2) with s = 2**(n - 1): s r + (s - 1/2) first, rounded once."""
    given = x
    x = m.clamp(x, *m.pick((-18.0, 89.0), (-38.0, 710.0)))
    high, low = m.table("LN2")
    n, bits = m.nearest(m.fma(x, m.table("LOG2_E")[0], m.round_magic))
    first = m.fma(n, -high, x)
    r = m.fma(n, -low, first)
    rest = m.fma(n, -low, first - r)
    s = m.power_of_two(bits - 1)
    tail = m.fma(r * r, m.polynomial(r, m.table("EXP")), m.fma(rest, r, rest))
    found = m.fma(s, tail, m.fma(s, r, s - 0.5)) * 2.0
    least = 2.0**-m.digits  # below it, x itself, which halving could round
    return m.copysign(m.where(abs(given) < least, given, found), given)


def sigmoid(m: Math, x: Real) -> Real:
    """1 / (1 + e**-x), from e**-|x| so that nothing overflows and small results keep their digits.

    The quotient is corrected by what it leaves, and by what the sum in its denominator rounded off.
    """
    y, _, n = exp_words(m, m.clamp(-abs(x), exp_bounds(m)[0], 0.0))
    z = m.scale(y, n)
    over = m.where(x > 0.0, 1.0, z)
    under, lost = m.sum_words(1.0, z)
    inverse = 1.0 / under
    quotient = over * inverse
    return m.fma(m.fma(-quotient, under, over) - quotient * lost, inverse, quotient)


def tanh(m: Math, x: Real) -> Real:
    """An odd polynomial below 0.55, 1 - 2 / (e**(2 |x|) + 1) above."""
    a, z = abs(x), x * x
    near = m.fma(a * z, m.polynomial(z, m.table("TANH")), a)
    limit = m.pick(10.0, 20.0)
    far = 1.0 - 2.0 / (exp_single(m, m.where(a > limit, limit, a) * 2.0) + 1.0)
    return m.copysign(m.where(a < 0.55, near, far), x)


def _half_exp_words(m: Math, a: Real) -> tuple[Real, Real]:
    """e**a / 2 in two words."""
    y, e, n = exp_words(m, m.where(a > exp_bounds(m)[1] + 1.0, exp_bounds(m)[1] + 1.0, a))
    return m.scale(y, n - 1), m.scale(e, n - 1)


def sinh(m: Math, x: Real) -> Real:
    """An odd polynomial below 1, (e**|x| - e**-|x|) / 2 above, the first term in two words."""
    a, z = abs(x), x * x
    near = m.fma(a * z, m.polynomial(z, m.table("SINH")), a)
    high, low = _half_exp_words(m, a)
    return m.copysign(m.where(a < 1.0, near, high + (low - 0.25 / high)), x)


def cosh(m: Math, x: Real) -> Real:
    """(e**|x| + e**-|x|) / 2, the first term in two words."""
    high, low = _half_exp_words(m, abs(x))
    return high + (low + 0.25 / high)


FUNCTIONS = {
    "exp": exp, "exp2": exp2, "expm1": expm1, "sigmoid": sigmoid, "tanh": tanh, "sinh": sinh, "cosh": cosh,
}  # fmt: skip
