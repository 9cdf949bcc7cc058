"""Functions of a complex variable for generated code, from real ones of its parts.

Each takes real and imaginary part and gives both. Formulas and branch cuts are those of W. Kahan (1987), "Branch cuts for
complex elementary functions"; nothing overflows on the way to a result that does not, but for the inverse functions near the
largest numbers. An infinite factor times an exact zero counts as that zero, so that real arguments have real results.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from llvmlite import ir

from retrograde.codegen.vector_math import emit_math
from retrograde.codegen.vector_math.scalars import Math, Real

Pair = tuple[Real, Real]


def emit_complex_math(builder: ir.IRBuilder, name: str, *parts: ir.Value) -> tuple[ir.Value, ir.Value]:
    """The parts of a function at the parts of its arguments."""
    m = Math(builder, "f32" if isinstance(parts[0].type, ir.FloatType) else "f64")
    re, im = FUNCTIONS[name](m, *[Real(m, x) for x in parts])
    return re.v, im.v


def _call(name: str, *xs: Real) -> Real:
    m = xs[0].m
    return Real(m, emit_math(m.b, name, *[x.v for x in xs]))


def _times(x: Real, y: Real) -> Real:
    """x y, but 0 where y is 0."""
    return x.m.where(y.is_(0.0), y, x * y)


def _larger(m: Math, x: Real, y: Real) -> Pair:
    """The larger of two absolute values, and the other; a NaN counts as the larger."""
    first = abs(x) < abs(y)
    return m.where(first, abs(y), abs(x)), m.where(first, abs(x), abs(y))


def _half_turned(z: Pair) -> Pair:
    """i z."""
    return -z[1], z[0]


def _turned_back(z: Pair) -> Pair:
    """-i z."""
    return z[1], -z[0]


def _product(z: Pair, w: Pair) -> Pair:
    return z[0] * w[0] - z[1] * w[1], z[0] * w[1] + z[1] * w[0]


# -- exponentials and logarithms --------------------------------------------------------------------------------------


def _exp(m: Math, x: Real, y: Real) -> Pair:
    top = m.pick(88.0, 709.0)
    high, low = x > top, x < -top  # exp alone would overflow, or lose digits, where the products need not
    shift = m.where(high, 40.0, m.where(low, -40.0, 0.0))
    size, rest = _call("exp", x - shift), _call("exp", shift)
    return _times(size, _call("cos", y)) * rest, _times(_times(size, _call("sin", y)), rest)


def _log(m: Math, x: Real, y: Real) -> Pair:
    large, small = _larger(m, x, y)
    near = (large > 0.5) & (large < 1.5) & (small < 1.5)
    by_ratio = _call("log", large) + 0.5 * _call("log1p", (small / large) * (small / large))
    by_ratio = m.where(large.is_(0.0), -math.inf, m.where(large.is_(math.inf) | small.is_(math.inf), math.inf, by_ratio))
    # |z|**2 - 1 = (a - 1)(a + 1) + b**2, to twice the digits: where |z| is near 1 the logarithm is this difference
    first, error = m.product_words(large - 1.0, large + 1.0)
    second, other = m.product_words(small, small)
    total, rest = m.any_sum_words(first, second)
    size = m.where(near, 0.5 * _call("log1p", total + (rest + (error + other))), by_ratio)
    return size, _call("arctan2", y, x)


def _scaled(function: Callable[..., Pair], factor: float) -> Callable[..., Pair]:
    def call(m: Math, x: Real, y: Real) -> Pair:
        re, im = function(m, x, y)
        return re * factor, im * factor

    return call


def _exp2(m: Math, x: Real, y: Real) -> Pair:
    size, turn = _call("exp2", x), y * math.log(2.0)
    return _times(size, _call("cos", turn)), _times(size, _call("sin", turn))


def _expm1(m: Math, x: Real, y: Real) -> Pair:
    half = _call("sin", 0.5 * y)
    grown = _call("expm1", x)
    return _times(grown, _call("cos", y)) - 2.0 * half * half, _times(_call("exp", x), _call("sin", y))


def _log1p(m: Math, x: Real, y: Real) -> Pair:
    small = (abs(x) < 0.5) & (abs(y) < 0.5)
    precise = 0.5 * _call("log1p", x * (2.0 + x) + y * y)
    size, turn = _log(m, x + 1.0, y)
    return m.where(small, precise, size), turn


def _power(m: Math, x: Real, y: Real, p: Real, q: Real) -> Pair:
    size, turn = _log(m, x, y)
    at_zero = x.is_(0.0) & y.is_(0.0)
    grown = _exp(m, *_product((p, q), (m.where(at_zero, 0.0, size), m.where(at_zero, 0.0, turn))))
    one, rising = p.is_(0.0) & q.is_(0.0), p > 0.0  # 0 to a power that does not rise is no number
    re = m.where(at_zero, m.where(rising, 0.0, math.nan), grown[0])
    im = m.where(at_zero, m.where(rising, 0.0, math.nan), grown[1])
    return m.where(one, 1.0, re), m.where(one, 0.0, im)


def _sqrt(m: Math, x: Real, y: Real) -> Pair:
    root = m.sqrt(abs(x) * 0.5 + _call("hypot", x * 0.5, y * 0.5))
    other = abs(y) / (2.0 * root)
    right = x >= 0.0
    re, im = m.where(right, root, other), m.where(right, other, root)
    none, endless = root.is_(0.0), abs(y).is_(math.inf)
    re = m.where(endless, math.inf, m.where(none, 0.0, re))
    im = m.where(endless, math.inf, m.where(none, 0.0, im))
    return re, m.where(y.is_(y), m.copysign(im, y), y)


# -- trigonometry -----------------------------------------------------------------------------------------------------


def _sinh(m: Math, x: Real, y: Real) -> Pair:
    return _times(_call("cos", y), _call("sinh", x)), _times(_call("cosh", x), _call("sin", y))


def _cosh(m: Math, x: Real, y: Real) -> Pair:
    return _call("cosh", x) * _call("cos", y), _times(_call("sinh", x), _call("sin", y))


def _tanh(m: Math, x: Real, y: Real) -> Pair:
    far = abs(x) > m.pick(11.0, 22.0)
    slope = _call("tan", y)
    beta, s = 1.0 + slope * slope, _call("sinh", m.where(far, 0.0, x))
    down = 1.0 + beta * s * s
    decay = 4.0 * _call("sin", y) * _call("cos", y) * _call("exp", -2.0 * abs(x))
    re = m.where(far, m.copysign(1.0, x), beta * m.sqrt(1.0 + s * s) * s / down)
    return re, m.where(far, decay, slope / down)


def _sin(m: Math, x: Real, y: Real) -> Pair:
    return _turned_back(_sinh(m, *_half_turned((x, y))))


def _cos(m: Math, x: Real, y: Real) -> Pair:
    return _call("cos", x) * _call("cosh", y), -_times(_call("sinh", y), _call("sin", x))


def _tan(m: Math, x: Real, y: Real) -> Pair:
    return _turned_back(_tanh(m, *_half_turned((x, y))))


def _arcsin(m: Math, x: Real, y: Real) -> Pair:
    left, right = _sqrt(m, 1.0 - x, -y), _sqrt(m, 1.0 + x, y)
    real = left[0] * right[0] - left[1] * right[1]
    return _call("arctan2", x, real), _call("arcsinh", left[0] * right[1] - left[1] * right[0])


def _arccos(m: Math, x: Real, y: Real) -> Pair:
    left, right = _sqrt(m, 1.0 - x, -y), _sqrt(m, 1.0 + x, y)
    return 2.0 * _call("arctan2", left[0], right[0]), _call("arcsinh", right[0] * left[1] - right[1] * left[0])


def _arccosh(m: Math, x: Real, y: Real) -> Pair:
    left, right = _sqrt(m, x - 1.0, y), _sqrt(m, x + 1.0, y)
    return _call("arcsinh", left[0] * right[0] + left[1] * right[1]), 2.0 * _call("arctan2", left[1], right[0])


def _arctanh(m: Math, x: Real, y: Real) -> Pair:
    size = abs(x)  # an odd function: log1p of what is near -1 would lose digits
    re = 0.25 * _call("log1p", 4.0 * size / ((1.0 - size) * (1.0 - size) + y * y))
    return m.copysign(re, x), 0.5 * _call("arctan2", 2.0 * y, (1.0 - x) * (1.0 + x) - y * y)


def _arcsinh(m: Math, x: Real, y: Real) -> Pair:
    return _turned_back(_arcsin(m, *_half_turned((x, y))))


def _arctan(m: Math, x: Real, y: Real) -> Pair:
    return _turned_back(_arctanh(m, *_half_turned((x, y))))


FUNCTIONS: dict[str, Callable[..., Pair]] = {
    "exp": _exp, "exp2": _exp2, "expm1": _expm1, "power": _power, "sqrt": _sqrt,
    "log": _log, "log2": _scaled(_log, 1.0 / math.log(2.0)), "log10": _scaled(_log, 1.0 / math.log(10.0)), "log1p": _log1p,
    "sin": _sin, "cos": _cos, "tan": _tan, "sinh": _sinh, "cosh": _cosh, "tanh": _tanh,
    "arcsin": _arcsin, "arccos": _arccos, "arctan": _arctan, "arcsinh": _arcsinh, "arccosh": _arccosh, "arctanh": _arctanh,
}  # fmt: skip
