"""log and what is made of it.

x = 2**k m with sqrt(1/2) <= m < sqrt(2), f = m - 1, s = f / (2 + f): log(1 + f) = 2 artanh(s) is an odd series in s that
is summed as f - (f**2 / 2 - s (f**2 / 2 + R(s**2))), so that the division's error touches small terms only, and
k log(2) is added in two words (the scheme of Ng's C library functions of 1993; Tang 1990; Muller, Elementary Functions).
"""

from __future__ import annotations

import math

from retrograde.codegen.vector_math.exponential import exp_bounds, exp_words
from retrograde.codegen.vector_math.scalars import Int, Math, Real


def split(m: Math, x: Real, subnormal: bool = True) -> tuple[Int, Real]:
    """(k, y) with x = 2**k y and sqrt(1/2) <= y < sqrt(2), for a positive finite x."""
    tiny = x < m.least_normal
    if subnormal:
        x = m.where(tiny, x * 2.0**m.digits, x)
    bits = m.bits(x)
    k = (bits - m.bits(m.real(math.sqrt(0.5)))) >> m.fraction
    y = m.from_bits(bits - (k << m.fraction))
    return (m.where(tiny, k - m.digits, k) if subnormal else k), y


def _series(m: Math, f: Real) -> tuple[Real, Real, Real]:
    """(h, s, R) with log(1 + f) = f - (h - s (h + R)), h = f**2 / 2."""
    s = f / (f + 2.0)
    z = s * s
    return f * f * 0.5, s, z * m.polynomial(z, m.table("LOG"))


def _log_sum(m: Math, k: Int, f: Real, more: Real | float) -> Real:
    """k log(2) + log(1 + f) + more, for a tiny `more`."""
    high, low = m.table("LN2")
    h, s, rest = _series(m, f)
    count = m.number(k)
    tail = m.fma(s, h + rest, m.fma(count, low, more))
    return m.fma(count, high, f - (h - tail))


def log_of_words(m: Math, x: Real, more: Real) -> Real:
    """log(x + more) for 1/2 < x < 2**(digits + 7) and a tiny `more`."""
    k, y = split(m, x, subnormal=False)
    return _log_sum(m, k, y - 1.0, more * m.power_of_two(0 - k))


def log1p_of_words(m: Math, x: Real, more: Real | float = 0.0) -> Real:
    """log(1 + x + more) for a finite x > -1 and a tiny `more`: what 1 + x rounds off is added to f."""
    u, lost = m.any_sum_words(1.0, x)
    lost = lost + more
    k, y = split(m, u, subnormal=False)
    lost = m.where(k > m.digits + 2, 0.0, lost * m.power_of_two(0 - k))
    f, rest = m.sum_words(y - 1.0, lost)
    return _log_sum(m, k, f, m.fma(rest, -f, rest))


def log1p(m: Math, x: Real) -> Real:
    """log(1 + x)."""
    found = m.copysign(log1p_of_words(m, x), x)
    at_end = m.where(x.is_(-1.0), -math.inf, m.where(x < -1.0, math.nan, x))
    return m.where((x > -1.0) & (x < math.inf), found, at_end)


def _guarded(m: Math, x: Real, found: Real) -> Real:
    """A logarithm at the ends: log(0) = -inf, log(inf) = inf, NaN below."""
    at_end = m.where(x.is_(0.0), -math.inf, m.where(x < 0.0, math.nan, x))
    return m.where((x > 0.0) & (x < math.inf), found, at_end)


def log(m: Math, x: Real) -> Real:
    """The natural logarithm."""
    k, y = split(m, x)
    return _guarded(m, x, _log_sum(m, k, y - 1.0, 0.0))


def _log_words(m: Math, f: Real) -> tuple[Real, Real]:
    """log(1 + f) in two words."""
    h, s, rest = _series(m, f)
    lost = m.fma(f * 0.5, f, -h)
    y, e = m.sum_words(f, -h)
    return m.sum_words(y, e - lost + s * (h + rest))


def _log_in_base(m: Math, x: Real, per_log: str, per_two: tuple[float, float]) -> Real:
    """k c + log(y) d with both constants in two words."""
    k, y = split(m, x)
    high, low = _log_words(m, y - 1.0)
    c, d = m.table(per_log)
    product, lost = m.product_words(high, c)
    lost = lost + m.fma(high, d, low * c)
    count = m.number(k)
    whole, rest = m.product_words(count, per_two[0]) if per_two[1] else (count, None)
    if rest is not None:
        lost = lost + m.fma(count, per_two[1], rest)
    total, error = m.sum_words(whole, product)
    return _guarded(m, x, total + (error + lost))


def log2(m: Math, x: Real) -> Real:
    """The logarithm to base 2, exact at powers of two."""
    return _log_in_base(m, x, "LOG2_E", (1.0, 0.0))


def log10(m: Math, x: Real) -> Real:
    """The logarithm to base 10."""
    return _log_in_base(m, x, "LOG10_E", m.table("LOG10_2"))


def _log1p_exp(m: Math, d: Real, more: Real | float = 0.0) -> Real:
    """log(1 + e**-(d + more)) for d >= 0 and a tiny `more`, with the exponential in two words."""
    y, e, n = exp_words(m, m.clamp(-d, exp_bounds(m)[0], 0.0), more if isinstance(more, float) else -more)
    return log1p_of_words(m, m.scale(y, n), m.scale(e, n))


def softplus(m: Math, x: Real) -> Real:
    """log(1 + e**x) = max(x, 0) + log(1 + e**-|x|)."""
    return m.where(x < 0.0, 0.0, x) + _log1p_exp(m, abs(x))


def logaddexp(m: Math, x: Real, y: Real) -> Real:
    """log(e**x + e**y) = max(x, y) + log(1 + e**-|x - y|), the difference in two words.

    Where the two terms cancel, near e**x + e**y = 1, the error is relative to them, not to the result.
    """
    high, low = m.where(x > y, x, y), m.where(x > y, y, x)
    gap, lost = m.any_sum_words(high, -low)
    gap = m.where(x.is_(y), 0.0, gap)  # two equal infinities have a NaN between them
    return high + _log1p_exp(m, gap, m.where((gap > 0.0) & (gap < math.inf), lost, 0.0))


def arcsinh(m: Math, x: Real) -> Real:
    """An odd polynomial below 1/2, log(a + sqrt(a**2 + 1)) with the sum in two words above."""
    a, z = abs(x), x * x
    near = m.fma(a * z, m.polynomial(z, m.table("ARCSINH")), a)
    large = a > 2.0 ** (m.digits + 2)  # the root is a
    b = m.where(large, 1.0, a)
    square, lost = m.product_words(b, b)
    square, more = m.any_sum_words(square, 1.0)
    root = m.sqrt(square)
    root_rest = (m.fma(-root, root, square) + (lost + more)) / (root + root)
    total, rest = m.sum_words(root, b)
    found = _log_sum_of(m, m.where(large, a, total), m.where(large, 0.0, rest + root_rest), large)
    return m.copysign(m.where(a < 0.5, near, m.where(a < math.inf, found, a)), x)


def _log_sum_of(m: Math, x: Real, more: Real, doubled) -> Real:
    """log(x + more), or log(2 x) where `doubled`, for x >= 1."""
    k, y = split(m, x, subnormal=False)
    scaled = m.where(k > m.digits + 4, 0.0, more * m.power_of_two(0 - k))
    return _log_sum(m, m.where(doubled, k + 1, k), y - 1.0, scaled)


def arccosh(m: Math, x: Real) -> Real:
    """log(1 + t + sqrt(t**2 + 2 t)) with t = x - 1, the sum in two words."""
    large = x > 2.0 ** (m.digits + 2)
    t = m.where(large, 1.0, x) - 1.0
    square, lost = m.product_words(t, t)
    radicand, more = m.any_sum_words(t + t, square)
    root = m.sqrt(radicand)
    root_rest = (m.fma(-root, root, radicand) + (lost + more)) / (root + root)
    total, rest = m.any_sum_words(root, t)
    near = log1p_of_words(m, total, m.where(root > 0.0, rest + root_rest, 0.0))
    k, y = split(m, x, subnormal=False)
    far = _log_sum(m, k + 1, y - 1.0, 0.0)
    found = m.where(large, m.where(x < math.inf, far, x), near)
    return m.where(x >= 1.0, found, math.nan)


def arctanh(m: Math, x: Real) -> Real:
    """An odd polynomial below 1/2, log((1 + a) / (1 - a)) / 2 with the quotient in two words above."""
    a, z = abs(x), x * x
    near = m.fma(a * z, m.polynomial(z, m.table("ARCTANH")), a)
    over, lost = m.sum_words(1.0, a)
    under = 1.0 - a
    quotient = over / under
    rest = (m.fma(-quotient, under, over) + lost) / under
    far = m.where(a < 1.0, log_of_words(m, quotient, rest) * 0.5, m.where(a.is_(1.0), math.inf, math.nan))
    return m.copysign(m.where(a < 0.5, near, far), x)


FUNCTIONS = {
    "log": log, "log1p": log1p, "log2": log2, "log10": log10, "softplus": softplus, "logaddexp": logaddexp,
    "arcsinh": arcsinh, "arccosh": arccosh, "arctanh": arctanh,
}  # fmt: skip
