"""The notation that the functions are written in: `Real`, `Int` and `Bool` stand for LLVM scalars.

Operators emit one instruction each, without fast-math flags, so rounding is as written: tricks that split a number into
two words stay exact. Only selects choose, never branches, so that the code widens in whatever loop it is inlined into.
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from retrograde.codegen.vector_math import coefficients

_FORMATS = {"f32": (ir.FloatType(), 32, 23), "f64": (ir.DoubleType(), 64, 52)}


class Bool:
    """A truth value."""

    def __init__(self, m: Math, v: ir.Value):
        self.m, self.v = m, v

    def __and__(self, other: Bool) -> Bool:
        return Bool(self.m, self.m.b.and_(self.v, other.v))

    def __or__(self, other: Bool) -> Bool:
        return Bool(self.m, self.m.b.or_(self.v, other.v))

    def __xor__(self, other: Bool) -> Bool:
        return Bool(self.m, self.m.b.xor(self.v, other.v))

    def __invert__(self) -> Bool:
        return Bool(self.m, self.m.b.not_(self.v))


class Int:
    """An integer of 32 or 64 bits; arithmetic wraps, `>>` keeps the sign."""

    def __init__(self, m: Math, v: ir.Value):
        self.m, self.v = m, v

    def _of(self, other: Int | int) -> ir.Value:
        return other.v if isinstance(other, Int) else ir.Constant(self.v.type, other)

    def __add__(self, other):
        return Int(self.m, self.m.b.add(self.v, self._of(other)))

    def __sub__(self, other):
        return Int(self.m, self.m.b.sub(self.v, self._of(other)))

    def __rsub__(self, other):
        return Int(self.m, self.m.b.sub(self._of(other), self.v))

    def __mul__(self, other):
        return Int(self.m, self.m.b.mul(self.v, self._of(other)))

    def __and__(self, other):
        return Int(self.m, self.m.b.and_(self.v, self._of(other)))

    def __or__(self, other):
        return Int(self.m, self.m.b.or_(self.v, self._of(other)))

    def __xor__(self, other):
        return Int(self.m, self.m.b.xor(self.v, self._of(other)))

    def __lshift__(self, other):
        return Int(self.m, self.m.b.shl(self.v, self._of(other)))

    def __rshift__(self, other):
        return Int(self.m, self.m.b.ashr(self.v, self._of(other)))

    def shift_unsigned(self, count: int) -> Int:
        """A right shift that fills with zeros."""
        return Int(self.m, self.m.b.lshr(self.v, self._of(count)))

    def __lt__(self, other):
        return Bool(self.m, self.m.b.icmp_signed("<", self.v, self._of(other)))

    def __gt__(self, other):
        return Bool(self.m, self.m.b.icmp_signed(">", self.v, self._of(other)))

    def __ge__(self, other):
        return Bool(self.m, self.m.b.icmp_signed(">=", self.v, self._of(other)))

    def below(self, other) -> Bool:
        """Whether it is less, both without sign."""
        return Bool(self.m, self.m.b.icmp_unsigned("<", self.v, self._of(other)))

    def is_(self, other) -> Bool:
        """Whether they are equal."""
        return Bool(self.m, self.m.b.icmp_signed("==", self.v, self._of(other)))

    def resize(self, width: int) -> Int:
        """The low bits, or more bits of zero in front."""
        kind = ir.IntType(width)
        return Int(self.m, (self.m.b.trunc if width < self.v.type.width else self.m.b.zext)(self.v, kind))


class Real:
    """A number in the format of its `Math`; comparisons with NaN are false."""

    def __init__(self, m: Math, v: ir.Value):
        self.m, self.v = m, v

    def _emit(self, instruction, x, y) -> Real:
        return Real(self.m, instruction(self.m.real(x).v, self.m.real(y).v))

    def __add__(self, other):
        return self._emit(self.m.b.fadd, self, other)

    def __radd__(self, other):
        return self._emit(self.m.b.fadd, other, self)

    def __sub__(self, other):
        return self._emit(self.m.b.fsub, self, other)

    def __rsub__(self, other):
        return self._emit(self.m.b.fsub, other, self)

    def __mul__(self, other):
        return self._emit(self.m.b.fmul, self, other)

    def __rmul__(self, other):
        return self._emit(self.m.b.fmul, other, self)

    def __truediv__(self, other):
        return self._emit(self.m.b.fdiv, self, other)

    def __rtruediv__(self, other):
        return self._emit(self.m.b.fdiv, other, self)

    def __neg__(self):
        return Real(self.m, self.m.b.fneg(self.v))

    def __abs__(self):
        return self.m.intrinsic("fabs", self)

    def _compare(self, symbol: str, other) -> Bool:
        return Bool(self.m, self.m.b.fcmp_ordered(symbol, self.v, self.m.real(other).v))

    def __lt__(self, other):
        return self._compare("<", other)

    def __le__(self, other):
        return self._compare("<=", other)

    def __gt__(self, other):
        return self._compare(">", other)

    def __ge__(self, other):
        return self._compare(">=", other)

    def is_(self, other) -> Bool:
        """Whether they are equal numbers."""
        return self._compare("==", other)


class Math:
    """Emits scalar mathematics in one format, "f32" or "f64", at the builder's position.

    `digits` is the precision p in bits, stored in `fraction` = p - 1 bits; `bias` is the exponent's.
    """

    def __init__(self, builder: ir.IRBuilder, name: str):
        self.b, self.name = builder, name
        self.kind, self.width, self.fraction = _FORMATS[name]
        self.digits = self.fraction + 1
        self.bias = 127 if self.width == 32 else 1023
        self.single = self.width == 32
        self.least_normal = 2.0 ** (1 - self.bias)
        self.round_magic = 1.5 * 2.0**self.fraction  # adding it leaves an integer in the low bits

    def pick(self, for_f32, for_f64):
        """The argument for this format."""
        return for_f32 if self.single else for_f64

    def real(self, x: Real | float) -> Real:
        """A number as a value."""
        return x if isinstance(x, Real) else Real(self, ir.Constant(self.kind, x))

    def table(self, name: str) -> tuple[float, ...]:
        """The coefficients, or the words of a constant, for this format."""
        return getattr(coefficients, f"{name}_{self.width}")

    def intrinsic(self, name: str, *xs: Real | float) -> Real:
        """A call of LLVM's function of this name."""
        values = [self.real(x).v for x in xs]
        signature = ir.FunctionType(self.kind, [self.kind] * len(xs))
        return Real(self, self.b.call(self.b.module.declare_intrinsic(f"llvm.{name}", [self.kind], signature), values))

    def fma(self, x, y, z) -> Real:
        """x y + z, rounded once."""
        return self.intrinsic("fma", x, y, z)

    def sqrt(self, x: Real) -> Real:
        """The square root, rounded right."""
        return self.intrinsic("sqrt", x)

    def copysign(self, x, sign: Real) -> Real:
        """|x| with the sign of `sign`."""
        return self.intrinsic("copysign", x, sign)

    def where(self, condition: Bool, x, y):
        """x if the condition holds, else y."""
        if isinstance(x, Int) or isinstance(y, Int):
            kind = (x if isinstance(x, Int) else y).v.type
            x, y = (v.v if isinstance(v, Int) else ir.Constant(kind, v) for v in (x, y))
            return Int(self, self.b.select(condition.v, x, y))
        return Real(self, self.b.select(condition.v, self.real(x).v, self.real(y).v))

    def clamp(self, x: Real, low: float, high: float) -> Real:
        """x within bounds; NaN stays."""
        return self.where(x < low, low, self.where(x > high, high, x))

    def polynomial(self, x: Real, coefficients: Sequence[float]) -> Real:
        """The polynomial, lowest power first: by Estrin's scheme, so that the chain of dependent steps is short."""
        terms: list = list(coefficients)
        power = x
        while len(terms) > 1:
            pairs = range(0, len(terms) - 1, 2)
            rest = [terms[-1]] if len(terms) % 2 else []
            terms = [self.fma(power, terms[i + 1], terms[i]) for i in pairs] + rest
            if len(terms) > 1:
                power = power * power
        return self.real(terms[0])

    # -- bits

    def bits(self, x: Real) -> Int:
        """The bit pattern."""
        return Int(self, self.b.bitcast(x.v, ir.IntType(self.width)))

    def from_bits(self, n: Int) -> Real:
        """The number of a bit pattern."""
        return Real(self, self.b.bitcast(n.v, self.kind))

    def nearest(self, t: Real) -> tuple[Real, Int]:
        """From x + `round_magic`, the integer nearest to x as a number and as an integer; |x| < 2**(fraction - 2)."""
        magic = self.bits(self.real(self.round_magic))
        return t - self.round_magic, self.bits(t) - magic

    def number(self, n: Int) -> Real:
        """A small integer as a number, by way of the low bits of a large one."""
        return self.from_bits(n + self.bits(self.real(self.round_magic))) - self.round_magic

    def power_of_two(self, n: Int) -> Real:
        """2**n where that is a normal number."""
        return self.from_bits((n + self.bias) << self.fraction)

    def scale(self, x: Real, n: Int) -> Real:
        """x 2**n in two steps, so that n may lie beyond the format's exponents; one rounding."""
        half = n >> 1
        return x * self.power_of_two(half) * self.power_of_two(n - half)

    # -- two words

    def sum_words(self, large, small) -> tuple[Real, Real]:
        """Sum and its rounding error, |large| >= |small| or large = 0 (Dekker 1971)."""
        total = self.real(large) + small
        return total, (large - total) + small

    def any_sum_words(self, x, y) -> tuple[Real, Real]:
        """Sum and its rounding error, in any order (Knuth)."""
        total = self.real(x) + y
        part = total - x
        return total, (x - (total - part)) + (y - part)

    def product_words(self, x, y) -> tuple[Real, Real]:
        """Product and its rounding error."""
        product = self.real(x) * y
        return product, self.fma(x, y, -product)

    # -- the other format

    def double(self) -> Math:
        """The same builder, in float64."""
        return Math(self.b, "f64")

    def widen(self, x: Real) -> Real:
        """A float32 as a float64."""
        return Real(self.double(), self.b.fpext(x.v, ir.DoubleType()))

    def narrow(self, x: Real) -> Real:
        """A float64 rounded to float32."""
        return Real(Math(self.b, "f32"), self.b.fptrunc(x.v, ir.FloatType()))
