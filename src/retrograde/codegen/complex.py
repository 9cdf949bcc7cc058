"""`ComplexEmitter`: the operations of elementwise lowerings on complex numbers.

An element is a pair: in a register a struct of two floats, which LLVM takes apart, in memory two floats side by side, real part
first, as NumPy has them. Loads and stores are of the parts, so that LLVM widens loops over pairs as it does others.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir

from retrograde.codegen.complex_math import emit_complex_math
from retrograde.codegen.scalar import I32, ScalarEmitter, part_dtype, register_type
from retrograde.errors import CompileError

MULTIPLIED = 64  # the largest whole exponent for which a power is products, as in NumPy (which has 100)


def join(b: ir.IRBuilder, re: ir.Value, im: ir.Value) -> ir.Value:
    """A complex number of its parts."""
    kind = ir.LiteralStructType([re.type, im.type])
    return b.insert_value(b.insert_value(ir.Constant(kind, ir.Undefined), re, 0), im, 1)


def split(b: ir.IRBuilder, x: ir.Value) -> tuple[ir.Value, ir.Value]:
    """The parts of a complex number."""
    if isinstance(x, ir.Constant):
        return tuple(x.constant)
    return b.extract_value(x, 0), b.extract_value(x, 1)


def load_pair(b: ir.IRBuilder, address: ir.Value, part: ir.Type) -> ir.Value:
    """A complex number from memory."""
    return join(b, b.load(address, typ=part), b.load(_second(b, address, part), typ=part))


def store_pair(b: ir.IRBuilder, address: ir.Value, value: ir.Value) -> None:
    """A complex number into memory."""
    re, im = split(b, value)
    b.store(re, address)
    b.store(im, _second(b, address, re.type))


def _second(b: ir.IRBuilder, address: ir.Value, part: ir.Type) -> ir.Value:
    return b.gep(address, [ir.Constant(I32, 1)], inbounds=True, source_etype=part)


class ComplexEmitter(ScalarEmitter):
    """Emits NumPy's scalar operations on complex values; `parts` emits those on real and imaginary parts."""

    def __init__(self, builder: ir.IRBuilder, dtype: np.dtype, parts: type[ScalarEmitter] = ScalarEmitter):
        self.b, self.dtype, self.type = builder, dtype, register_type(dtype)
        self.is_float = self.signed = False
        self.parts = parts(builder, part_dtype(dtype))

    def join(self, re: ir.Value, im: ir.Value) -> ir.Value:
        """A number of its parts."""
        return join(self.b, re, im)

    def split(self, x: ir.Value) -> tuple[ir.Value, ir.Value]:
        """The parts of a number."""
        return split(self.b, x)

    def _refuse(self, *_args):
        raise CompileError("complex numbers have no order and no bits; take .real, .imag or np.abs first")

    sign = floor_div = remainder = fmod = maximum = minimum = fmax = fmin = copysign = _refuse
    and_ = or_ = xor = not_ = shift_left = shift_right = _refuse

    # -- arithmetic

    def add(self, x, y):
        (a, b), (c, d) = self.split(x), self.split(y)
        return self.join(self.parts.add(a, c), self.parts.add(b, d))

    def sub(self, x, y):
        (a, b), (c, d) = self.split(x), self.split(y)
        return self.join(self.parts.sub(a, c), self.parts.sub(b, d))

    def mul(self, x, y):
        """As written, without fused additions, so that z times its conjugate has no imaginary part."""
        (a, b), (c, d), e = self.split(x), self.split(y), self.b
        return self.join(e.fsub(e.fmul(a, c), e.fmul(b, d)), e.fadd(e.fmul(a, d), e.fmul(b, c)))

    def div(self, x, y):
        """R. Smith (1962), algorithm 116: by the ratio of the divisor's parts, so that no square overflows; NumPy's, too."""
        (a, b), (c, d), r, e = self.split(x), self.split(y), self.parts, self.b
        size_c, size_d = r.abs(c), r.abs(d)
        first = e.fcmp_ordered(">=", size_c, size_d)
        nothing = e.and_(first, e.fcmp_ordered("==", size_c, r.const(0)))
        large, small = e.select(first, c, d), e.select(first, d, c)
        u, v = e.select(first, a, b), e.select(first, b, a)
        ratio = e.fdiv(small, large)
        scale = e.fdiv(r.const(1), e.fadd(large, e.fmul(small, ratio)))
        re = e.fmul(e.fadd(u, e.fmul(v, ratio)), scale)
        im = e.fmul(e.fsub(v, e.fmul(u, ratio)), scale)
        im = e.select(first, im, e.fneg(im))
        return self.join(e.select(nothing, e.fdiv(a, size_c), re), e.select(nothing, e.fdiv(b, size_c), im))

    def neg(self, x):
        return self.join(*map(self.b.fneg, self.split(x)))

    def conj(self, x):
        re, im = self.split(x)
        return self.join(re, self.b.fneg(im))

    def real(self, x):
        """The real part, a float."""
        return self.split(x)[0]

    def imag(self, x):
        """The imaginary part, a float."""
        return self.split(x)[1]

    def abs(self, x):
        """The absolute value, a float; never overflows on the way."""
        return self.parts.math("hypot", *self.split(x))

    def sqrt(self, x):
        return self.math("sqrt", x)

    def power(self, x, y):
        if isinstance(y, ir.Constant):
            p, q = (part.constant for part in self.split(y))
            if q == 0 and p == int(p) and abs(p) <= MULTIPLIED:
                return self._whole_power(x, int(p))
        return self.math("power", x, y)

    def _whole_power(self, x, n: int):
        result, base, rest = self.const(1), x, abs(n)
        first = True
        while rest:
            if rest & 1:
                result, first = (base if first else self.mul(result, base)), False
            rest >>= 1
            base = self.mul(base, base) if rest else base
        return self.div(self.const(1), result) if n < 0 else result

    def fma(self, x, y, z):
        return self.add(self.mul(x, y), z)

    # -- choice

    def compare(self, symbol: str, x, y):
        if symbol not in ("==", "!="):
            self._refuse()
        same = [self.parts.compare(symbol, a, b) for a, b in zip(self.split(x), self.split(y))]
        return self.b.and_(*same) if symbol == "==" else self.b.or_(*same)

    def select(self, condition, x, y):
        return self.join(*(self.b.select(condition, a, b) for a, b in zip(self.split(x), self.split(y))))

    def round_to(self, name: str, x):
        return self.join(*(self.parts.round_to(name, part) for part in self.split(x)))

    def math(self, name: str, *xs):
        flat = [part for x in xs for part in self.split(x)]
        return self.join(*emit_complex_math(self.b, name, *flat))

    def of_real(self, x) -> ir.Value:
        """The complex number of a real one, a float of the parts' dtype."""
        return self.join(x, self.parts.const(0))

    def cast(self, x, dtype: np.dtype) -> ir.Value:
        """`x` as another complex dtype, or whether it is not 0."""
        dtype = np.dtype(dtype)
        if dtype == self.dtype:
            return x
        if dtype.kind == "b":
            return self.compare("!=", x, self.const(0))
        if dtype.kind != "c":
            raise CompileError(f"a cast of {self.dtype} to {dtype} would lose the imaginary part; take .real first")
        return self.of(dtype).join(*(self.parts.cast(part, part_dtype(dtype)) for part in self.split(x)))
