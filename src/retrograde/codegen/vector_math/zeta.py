"""Hurwitz's zeta function, the sum of (q + k)^-s over k = 0, 1, ...

The first terms are added, until q + k is at least 9, and the rest is Euler and Maclaurin's: an integral, half a term, and
corrections with Bernoulli's numbers (NIST DLMF 25.11.28). With a whole s a negative q is good too; SciPy has no C function of it
to call.
"""

from __future__ import annotations

from fractions import Fraction
from math import comb, factorial

from llvmlite import ir

from retrograde.codegen.vector_math.power import FUNCTIONS as POWER
from retrograde.codegen.vector_math.scalars import Math, Real

_TERMS, _CORRECTIONS, _LONGEST = 9.0, 12, 1e6  # steps for a q that lies further below 0 than anybody asks for: NaN


def _bernoulli(count: int) -> list[Fraction]:
    """B_0, B_1, ... by their recurrence."""
    found = [Fraction(1)]
    for m in range(1, count):
        found.append(-sum((comb(m + 1, k) * found[k] for k in range(m)), Fraction(0)) / (m + 1))
    return found


_FACTORS = [float(b / factorial(2 * i + 2)) for i, b in enumerate(_bernoulli(2 * _CORRECTIONS + 1)[2::2])]


def zeta(m: Math, s: Real, q: Real) -> Real:
    """zeta(s, q); float32 is computed in float64."""
    if m.single:
        d = m.double()
        return m.narrow(_zeta(d, m.widen(s), m.widen(q)))
    return _zeta(m, s, q)


def _zeta(m: Math, s: Real, q: Real) -> Real:
    power, b = POWER["power"], m.b
    before, header = b.block, b.append_basic_block("terms")
    body, after = b.append_basic_block("term"), b.append_basic_block("rest")
    b.branch(header)
    b.position_at_end(header)
    a, total, count = (b.phi(m.kind) for _ in range(3))
    for phi, start in ((a, q.v), (total, m.real(0.0).v), (count, m.real(0.0).v)):
        phi.add_incoming(start, before)
    at, so_far, n = Real(m, a), Real(m, total), Real(m, count)
    more = b.and_(b.or_((n < _TERMS).v, (at < _TERMS).v), (n < _LONGEST).v)
    b.cbranch(more, body, after)
    b.position_at_end(body)
    term = power(m, at, -s)
    for phi, new in ((a, at + 1.0), (total, so_far + term), (count, n + 1.0)):
        phi.add_incoming(new.v, b.block)
    b.branch(header)
    b.position_at_end(after)
    last = power(m, at, -s)
    rest = last * at / (s - 1.0) + 0.5 * last
    inverse = 1.0 / at
    factor, step = s * last * inverse, inverse * inverse
    for i, number in enumerate(_FACTORS):
        rest = rest + number * factor
        factor = factor * ((s + (2.0 * i + 1.0)) * (s + (2.0 * i + 2.0))) * step
    found = so_far + rest
    infinity, nan = float("inf"), ir.Constant(m.kind, float("nan"))
    found = m.where(n < _LONGEST, found, Real(m, nan))
    found = m.where(q.is_(infinity), 0.0, found)
    whole_q, whole_s = m.intrinsic("floor", q).is_(q), m.intrinsic("floor", s).is_(s)
    found = Real(m, b.select(b.and_((q <= 0.0).v, b.not_(whole_s.v)), nan, found.v))
    found = Real(m, b.select(b.and_((q <= 0.0).v, whole_q.v), m.real(infinity).v, found.v))
    found = m.where(s.is_(1.0), infinity, found)
    return m.where(s < 1.0, Real(m, nan), found)


FUNCTIONS = {"zeta": zeta}
