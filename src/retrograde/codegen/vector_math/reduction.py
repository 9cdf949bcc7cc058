"""The argument of sin, cos, tan modulo pi / 2, for every finite number alike (Payne & Hanek 1983).

|x| = M 2**e is multiplied by 2 / pi in integers: a window of the bits of 2 / pi, chosen by the exponent, holds all that
matters of |x| / (pi / 2) modulo 4. The two leading bits of the product are the quadrant, what is left is a fraction with
more than enough bits for the numbers that come closest to a multiple of pi / 2 (2**-30 in float32, 2**-62 in float64).
The window is cut out by selects, a step for each bit of its place, and funnel shifts.
"""

from __future__ import annotations

import functools
import math

from llvmlite import ir

from retrograde.codegen.vector_math.scalars import Int, Math, Real

SMALL = 0.5  # below it, a number is its own rest


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


def quadrant_and_rest(m: Math, a: Real) -> tuple[Int, Real, Real]:
    """(q, r, s) with a = q pi / 2 + r + s modulo 2 pi and |r| <= pi / 4, for a >= 0; r, s are float64 in both formats."""
    quadrant, rest, more = (_reduce_single if m.single else _reduce_double)(m, a)
    small = a < SMALL
    d = m.double()
    itself = m.widen(a) if m.single else a
    return m.where(small, 0, quadrant), d.where(small, itself, rest), d.where(small, 0.0, more)


def _window(m: Math, start: Int, count: int, last: int) -> list[Int]:
    """`count` words of 2 / pi from bit `start` on, 0 <= start <= last; bit 0 has the weight 2**(digits + 1)."""
    width = m.width
    shift = width.bit_length() - 1
    index, offset = start >> shift, start & (width - 1)
    total = (last >> shift) + count + 1
    table = two_over_pi(total * width - m.digits - 2)
    kind = start.v.type
    words = [Int(m, ir.Constant(kind, (table >> (width * (total - 1 - i))) & ((1 << width) - 1))) for i in range(total)]
    for bit in reversed(range((last >> shift).bit_length())):
        step = 1 << bit
        taken = (index & step) > 0
        needed = count + step  # those that a smaller step may still reach
        words = [
            m.where(taken, words[i + step], words[i]) if i + step < len(words) else words[i]
            for i in range(min(needed, len(words)))
        ]
    function = m.b.module.declare_intrinsic("llvm.fshl", [kind], ir.FunctionType(kind, [kind] * 3))
    return [Int(m, m.b.call(function, [words[i].v, words[i + 1].v, offset.v])) for i in range(count)]


def _reduce_single(m: Math, a: Real) -> tuple[Int, Real, Real]:
    bits = m.bits(a)
    mantissa = ((bits & 0x7FFFFF) | 0x800000).resize(64)
    window = [w.resize(64) for w in _window(m, (bits >> 23) - 126, 3, 128)]
    product = ((mantissa * window[0]) << 32) + mantissa * window[1] + (mantissa * window[2]).shift_unsigned(32)
    quadrant = (product + (1 << 61)).shift_unsigned(62).resize(32)
    rest = product << 2  # as a signed fraction: -1/2 <= rest / 2**64 < 1/2
    d = m.double()
    high = Real(d, m.b.sitofp((rest >> 32).resize(32).v, d.kind))
    low = Real(d, m.b.sitofp((rest & 0xFFFFFFFF).shift_unsigned(1).resize(32).v, d.kind))
    return quadrant, d.fma(high, 2.0**32, low * 2.0) * (math.pi / 2 * 2.0**-64), d.real(0.0)


def _reduce_double(m: Math, a: Real) -> tuple[Int, Real, Real]:
    bits = m.bits(a)
    mask = 0xFFFFFFFF
    mantissa = (bits & ((1 << 52) - 1)) | (1 << 52)
    lower, upper = mantissa & mask, mantissa.shift_unsigned(32)
    limbs = [half for w in _window(m, (bits >> 52) - 1022, 3, 1024) for half in (w.shift_unsigned(32), w & mask)][::-1]
    low_word, high_word = _times(lower, limbs[1:])
    other_low, other_high = _times(upper, limbs[:5])
    low = low_word + other_low
    carry = low.below(low_word)
    high = high_word + other_high + m.where(carry, Int(m, ir.Constant(bits.v.type, 1)), 0)
    quadrant = (high + (1 << 61)).shift_unsigned(62)
    high, low = (high << 2) | low.shift_unsigned(62), low << 2  # a signed fraction of 128 bits
    first = m.number(high >> 32) * 2.0**-32
    parts = [m.number(high & mask) * 2.0**-64, m.number(low.shift_unsigned(32)) * 2.0**-96, m.number(low & mask) * 2.0**-128]
    total, error = m.sum_words(first, parts[0])
    total, error = m.sum_words(total, error + (parts[1] + parts[2]))
    c, d = m.table("HALF_PI")
    rest, lost = m.product_words(total, c)
    return quadrant, rest, lost + m.fma(total, d, error * c)


def _times(factor: Int, limbs: list[Int]) -> tuple[Int, Int]:
    """Two words, low and high, of factor times a number of 5 limbs of 32 bits, less its lowest limb; modulo 2**128."""
    mask = 0xFFFFFFFF
    found = []
    carry = (factor * limbs[0]).shift_unsigned(32)
    for limb in limbs[1:]:
        column = factor * limb + carry
        found.append(column)
        carry = column.shift_unsigned(32)
    return (found[0] & mask) | (found[1] << 32), (found[2] & mask) | (found[3] << 32)
