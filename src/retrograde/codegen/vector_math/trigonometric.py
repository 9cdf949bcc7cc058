"""sin, cos, tan in float32.

|x| = M 2**e is multiplied by 2 / pi in integers (Payne & Hanek 1983), with as many bits of 2 / pi as exponents ask for:
a 96 bit window of it, chosen by the exponent, gives |x| / (pi / 2) modulo 4 with 62 bits of fraction, for every finite x
alike. Its two leading bits are the quadrant; the rest r, |r| <= pi / 4, is exact to float64's last digits or so, and
goes to a polynomial. In float64 the same window has to be cut from 1200 bits, at several times the cost of all the rest.
"""

from __future__ import annotations

import functools
import math

from llvmlite import ir

from retrograde.codegen.vector_math import coefficients
from retrograde.codegen.vector_math.scalars import Int, Math, Real

_FIRST = 126  # exponent field from which the reduction is used: |x| >= 1/2; below, x is its own rest


@functools.cache
def two_over_pi(bits: int) -> int:
    """floor(2**bits 2 / pi), by Machin's formula for pi in integers."""
    guard = bits + 32
    one = 1 << guard

    def arctan_of_inverse(n: int) -> int:
        total, term, k = 0, one // n, 1
        while term:
            total += term // k if k % 4 == 1 else -(term // k)
            term //= n * n
            k += 2
        return total

    pi = 4 * (4 * arctan_of_inverse(5) - arctan_of_inverse(239))
    return (1 << (guard + 1 + bits)) // pi


def _reduce(m: Math, a: Real) -> tuple[Int, Real]:
    """(quadrant, r as float64) with a = quadrant pi / 2 + r modulo 2 pi, for a >= 1/2 in float32."""
    bits = m.bits(a)
    mantissa = (bits & 0x7FFFFF) | 0x800000
    start = (bits >> 23) - _FIRST  # where the window begins; e = start - 24
    # words of 2 / pi, shifted so that the window at `start` has its leading bit at 2**(1 - e)
    table = two_over_pi(256 - 26)
    words = [(table >> (224 - 32 * i)) & 0xFFFFFFFF for i in range(8)]
    index, offset = start >> 5, start & 31
    chosen = []
    for i in range(4):
        word: Int = Int(m, ir.Constant(bits.v.type, words[i]))
        for j in range(1, 5):
            word = m.where(index >= j, words[i + j], word)
        chosen.append(word)
    window = [_funnel(m, chosen[i], chosen[i + 1], offset).resize(64) for i in range(3)]
    wide = mantissa.resize(64)
    product = ((wide * window[0]) << 32) + wide * window[1] + (wide * window[2]).shift_unsigned(32)
    quadrant = (product + (1 << 61)).shift_unsigned(62)
    rest = product << 2  # as a signed fraction: -1/2 <= rest / 2**64 < 1/2
    d = m.double()
    high = Real(d, m.b.sitofp((rest >> 32).resize(32).v, d.kind))
    low = Real(d, m.b.sitofp(((rest & 0xFFFFFFFF) >> 1).resize(32).v, d.kind))
    return quadrant.resize(32), d.fma(high, 2.0**32, low * 2.0) * (math.pi / 2 * 2.0**-64)


def _funnel(m: Math, high: Int, low: Int, count: Int) -> Int:
    """The upper half of the two words shifted left."""
    kind = high.v.type
    function = m.b.module.declare_intrinsic("llvm.fshl", [kind], ir.FunctionType(kind, [kind] * 3))
    return Int(m, m.b.call(function, [high.v, low.v, count.v]))


def _sine_or_cosine(m: Math, x: Real, turn: int) -> Real:
    """sin(|x| + turn pi / 2), without the sign of x."""
    a = abs(x)
    quadrant, rest = _reduce(m, a)
    small = a < 0.5
    r = m.where(small, a, m.narrow(rest))
    quadrant = m.where(small, 0, quadrant) + turn
    z = r * r
    sine = m.fma(r * z, m.polynomial(z, m.table("SIN")), r)
    cosine = m.fma(z * z, m.polynomial(z, m.table("COS")), m.fma(z, -0.5, 1.0))
    found = m.where((quadrant & 1).is_(0), sine, cosine)
    found = m.from_bits(m.bits(found) ^ ((quadrant & 2) << 30))
    return m.where(a < math.inf, found, x - x)


def sin(m: Math, x: Real) -> Real:
    """The sine."""
    found = _sine_or_cosine(m, x, 0)
    return m.from_bits(m.bits(found) ^ (m.bits(x) & -0x80000000))


def cos(m: Math, x: Real) -> Real:
    """The cosine."""
    return _sine_or_cosine(m, x, 1)


def tan(m: Math, x: Real) -> Real:
    """The tangent: sine over cosine of the rest, or the other way round, in float64."""
    a = abs(x)
    quadrant, rest = _reduce(m, a)
    small = a < 0.5
    d = m.double()
    r = d.where(small, m.widen(a), rest)
    odd = (m.where(small, 0, quadrant) & 1).is_(1)
    z = r * r
    sine = d.fma(r * z, d.polynomial(z, coefficients.SIN_32), r)
    cosine = d.fma(z * z, d.polynomial(z, coefficients.COS_32), d.fma(z, -0.5, 1.0))
    found = m.narrow(d.where(odd, -cosine, sine) / d.where(odd, sine, cosine))
    found = m.where(a < 2.0**-12, a, m.where(a < math.inf, found, x - x))
    return m.from_bits(m.bits(found) ^ (m.bits(x) & -0x80000000))


FUNCTIONS = {"sin": sin, "cos": cos, "tan": tan}
