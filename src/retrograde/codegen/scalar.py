"""`ScalarEmitter`: the operations that an elementwise lowering is written in.

One instance stands for one dtype; its methods emit straight-line code on scalars of it, so that whatever loop the code
lands in can be widened. NumPy's meaning is kept at the corners: NaN propagates through max, integer division by zero
gives 0, shifts past the width give 0.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir

from retrograde.codegen.brain import I16, bits_of, narrow, widen
from retrograde.codegen.external import call_special
from retrograde.codegen.vector_math import emit_math
from retrograde.errors import CompileError
from retrograde.types import is_bfloat16

I1, I8, I32, I64, PTR = ir.IntType(1), ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.PointerType()
CONTRACT = ("contract",)
_FLOATS = {2: ir.HalfType(), 4: ir.FloatType(), 8: ir.DoubleType()}


def register_type(dtype: np.dtype) -> ir.Type:
    """The LLVM type of one element in a register (bool: i1)."""
    if dtype.kind == "f" and dtype.itemsize in _FLOATS:
        return _FLOATS[dtype.itemsize]
    if dtype.kind in "iu":
        return ir.IntType(8 * dtype.itemsize)
    if dtype.kind == "b":
        return I1
    if is_bfloat16(dtype):
        return I16
    if dtype.kind == "c" and dtype.itemsize in (8, 16):
        return ir.LiteralStructType([_FLOATS[dtype.itemsize // 2]] * 2)
    raise CompileError(f"arrays of dtype {dtype} cannot be compiled; cast to a float, complex, integer or bool dtype")


def part_dtype(dtype: np.dtype) -> np.dtype:
    """The dtype of the parts of a complex number."""
    return np.dtype(f"f{np.dtype(dtype).itemsize // 2}")


def memory_type(dtype: np.dtype) -> ir.Type:
    """The LLVM type of one element in memory (bool: a byte)."""
    return I8 if dtype.kind == "b" else register_type(dtype)


def constant(value, dtype: np.dtype) -> ir.Constant:
    """A number as an LLVM constant of this dtype."""
    value = np.asarray(value).astype(dtype)[()]
    if dtype.kind == "b":
        return ir.Constant(I1, int(value))
    if dtype.kind in "iu":
        return ir.Constant(register_type(dtype), int(value))
    if is_bfloat16(dtype):
        return ir.Constant(I16, bits_of(value))
    if dtype.kind == "c":
        part = part_dtype(dtype)
        return ir.Constant(register_type(dtype), [constant(value.real, part), constant(value.imag, part)])
    return ir.Constant(register_type(dtype), float(value))


def _is_number(value: ir.Value) -> bool:
    """Whether it is a constant other than NaN."""
    return isinstance(value, ir.Constant) and value.constant == value.constant


class ScalarEmitter:
    """Emits NumPy's scalar operations on values of `dtype` at the builder's position."""

    def __init__(self, builder: ir.IRBuilder, dtype: np.dtype):
        self.b = builder
        self.dtype = dtype
        self.is_float = dtype.kind == "f"
        self.signed = dtype.kind == "i"
        self.type = register_type(dtype)

    def of(self, dtype) -> ScalarEmitter:
        """The same for another dtype."""
        return scalar_emitter(self.b, np.dtype(dtype))

    def const(self, value) -> ir.Value:
        """A number of this dtype."""
        return constant(value, self.dtype)

    def _intrinsic(self, name: str, *args: ir.Value) -> ir.Value:
        kind = args[0].type
        signature = ir.FunctionType(kind, [kind] * len(args))
        return self.b.call(self.b.module.declare_intrinsic(f"llvm.{name}", [kind], signature), args)

    # -- arithmetic

    def add(self, x, y):
        if self.is_float:
            return self.b.fadd(x, y, flags=CONTRACT)
        return self.b.or_(x, y) if self.type is I1 else self.b.add(x, y)

    def sub(self, x, y):
        return self.b.fsub(x, y, flags=CONTRACT) if self.is_float else self.b.sub(x, y)

    def mul(self, x, y):
        if self.is_float:
            return self.b.fmul(x, y, flags=CONTRACT)
        return self.b.and_(x, y) if self.type is I1 else self.b.mul(x, y)

    def div(self, x, y):
        return self.b.fdiv(x, y)

    def neg(self, x):
        return self.b.fneg(x) if self.is_float else self.b.neg(x)

    def abs(self, x):
        if self.is_float:
            return self._intrinsic("fabs", x)
        return self.b.select(self.b.icmp_signed("<", x, self.const(0)), self.b.neg(x), x) if self.signed else x

    def sign(self, x):
        zero, one = self.const(0), self.const(1)
        below = self.select(self.compare("<", x, zero), self.const(-1), zero) if self.is_float or self.signed else zero
        found = self.select(self.compare(">", x, zero), one, below)
        return self.select(self.compare("==", x, x), found, x) if self.is_float else found

    def sqrt(self, x):
        return self._intrinsic("sqrt", x)

    def power(self, x, y):
        if self.is_float:
            return self.math("power", x, y)
        result, base = self.const(1), x
        for bit in range(8 * self.dtype.itemsize):  # by squaring; overflow wraps, as NumPy's does
            chosen = self.b.icmp_signed("!=", self.b.and_(y, self.const(1 << bit)), self.const(0))
            result = self.b.select(chosen, self.b.mul(result, base), result)
            base = self.b.mul(base, base)
        return result

    def floor_div(self, x, y):
        if self.is_float:
            # as NumPy's npy_divmod: from the truncated remainder, one less where the signs of remainder and divisor differ
            rest, zero, one = self.b.frem(x, y), self.const(0), self.const(1)
            quotient = self.round_to("rint", self.b.fdiv(self.b.fsub(x, rest), y))
            quotient = self.select(self._signs_differ(rest, y), self.b.fsub(quotient, one), quotient)
            exact = self.select(self.compare("==", quotient, zero), self.copysign(zero, self.b.fdiv(x, y)), quotient)
            return self.select(self.compare("==", y, zero), self.div(x, y), exact)
        zero, one = self.const(0), self.const(1)
        by_zero = self.b.icmp_signed("==", y, zero)
        if not self.signed:
            return self.b.select(by_zero, zero, self.b.udiv(x, self.b.select(by_zero, one, y)))
        by_minus = self.b.icmp_signed("==", y, self.const(-1))  # the one quotient that can overflow
        safe = self.b.select(self.b.or_(by_zero, by_minus), one, y)
        quotient, rest = self.b.sdiv(x, safe), self.b.srem(x, safe)
        lower = self.b.and_(
            self.b.icmp_signed("!=", rest, zero), self.b.icmp_signed("<", self.b.xor(rest, safe), zero)
        )
        quotient = self.b.select(lower, self.b.sub(quotient, one), quotient)
        return self.b.select(by_zero, zero, self.b.select(by_minus, self.b.neg(x), quotient))

    def remainder(self, x, y):
        if not self.is_float:
            return self.b.select(
                self.b.icmp_signed("==", y, self.const(0)), self.const(0), self.b.sub(x, self.b.mul(self.floor_div(x, y), y))
            )
        rest = self.b.frem(x, y)
        zero = self.const(0)
        exact = self.compare("==", rest, zero)
        shifted = self.select(self._signs_differ(rest, y), self.b.fadd(rest, y), rest)
        return self.select(exact, self.copysign(zero, y), shifted)

    def fmod(self, x, y):
        """The remainder with the sign of x; of integers by zero 0, as NumPy's."""
        if self.is_float:
            return self.b.frem(x, y)
        zero = self.const(0)
        by_zero = self.b.icmp_signed("==", y, zero)
        if not self.signed:
            return self.b.select(by_zero, zero, self.b.urem(x, self.b.select(by_zero, self.const(1), y)))
        trivial = self.b.or_(by_zero, self.b.icmp_signed("==", y, self.const(-1)))  # by -1 the least number overflows
        return self.b.select(trivial, zero, self.b.srem(x, self.b.select(trivial, self.const(1), y)))

    def _signs_differ(self, rest, y):
        zero = self.const(0)
        return self.b.and_(
            self.compare("!=", rest, zero), self.b.xor(self.compare("<", rest, zero), self.compare("<", y, zero))
        )

    def fma(self, x, y, z):
        return self._intrinsic("fma", x, y, z)

    # -- choice

    def maximum(self, x, y):
        return self._pick("maximum", "<", x, y)

    def minimum(self, x, y):
        return self._pick("minimum", ">", x, y)

    def _pick(self, intrinsic: str, worse: str, x, y):
        if not self.is_float:
            return self.b.select(self.compare(worse, x, y), y, x)
        if _is_number(y):  # one compare and one select, NaN in x passes through
            return self.select(self.compare(worse, x, y), y, x)
        if _is_number(x):
            return self.select(self.compare(worse, y, x), x, y)
        picked = self.select(self.compare(worse, x, y), y, x)  # a NaN x stays
        return self.select(self.compare("!=", y, y), y, picked)

    def fmax(self, x, y):
        return self._intrinsic("maxnum", x, y) if self.is_float else self.maximum(x, y)

    def fmin(self, x, y):
        return self._intrinsic("minnum", x, y) if self.is_float else self.minimum(x, y)

    def compare(self, symbol: str, x, y):
        if self.is_float:
            return self.b.fcmp_unordered("!=", x, y) if symbol == "!=" else self.b.fcmp_ordered(symbol, x, y)
        return self.b.icmp_signed(symbol, x, y) if self.signed else self.b.icmp_unsigned(symbol, x, y)

    def select(self, condition, x, y):
        return self.b.select(condition, x, y)

    def copysign(self, x, y):
        return self._intrinsic("copysign", x, y)

    def round_to(self, name: str, x):
        return self._intrinsic(name, x)

    def math(self, name: str, *xs):
        if self.dtype.itemsize == 2:  # float16: in float32, rounded once
            wide = self.of(np.float32)
            return self.b.fptrunc(wide.math(name, *[self.b.fpext(x, wide.type) for x in xs]), self.type)
        return emit_math(self.b, name, *xs)

    def special(self, name: str, *xs):
        """One of SciPy's special functions, reckoned in float64."""
        wide = self.of(np.float64)
        found = call_special(self.b, name, [self.cast(x, wide.dtype) for x in xs])
        return wide.cast(found, self.dtype)

    # -- bits

    def and_(self, x, y):
        return self.b.and_(x, y)

    def or_(self, x, y):
        return self.b.or_(x, y)

    def xor(self, x, y):
        return self.b.xor(x, y)

    def not_(self, x):
        return self.b.not_(x)

    def shift_left(self, x, y):
        return self._shift(self.b.shl, x, y, self.const(0))

    def shift_right(self, x, y):
        if not self.signed:
            return self._shift(self.b.lshr, x, y, self.const(0))
        past = self.b.ashr(x, self.const(8 * self.dtype.itemsize - 1))
        return self._shift(self.b.ashr, x, y, past)

    def _shift(self, shift, x, y, past):
        width = self.const(8 * self.dtype.itemsize)
        if isinstance(y, ir.Constant) and 0 <= y.constant < width.constant:
            return shift(x, y)
        inside = self.b.icmp_unsigned("<", y, width)
        return self.b.select(inside, shift(x, self.b.select(inside, y, self.const(0))), past)

    def _to_odd(self, x) -> ir.Value:
        """A float64 as float32, rounded to odd where inexact: rounding it once more gives what rounding `x` once would."""
        b, near = self.b, self.b.fptrunc(x, _FLOATS[4])
        back = b.fpext(near, x.type)
        bits = b.bitcast(near, I32)
        away = b.fcmp_ordered(">", self._intrinsic("fabs", back), self._intrinsic("fabs", x))
        odd = b.or_(b.select(away, b.sub(bits, I32(1)), bits), I32(1))
        return b.bitcast(b.select(b.fcmp_ordered("!=", back, x), odd, bits), _FLOATS[4])

    def cast(self, x, dtype: np.dtype) -> ir.Value:
        """`x`, of this emitter's dtype, as `dtype`."""
        dtype = np.dtype(dtype)
        source, target = self.dtype, register_type(dtype)
        if source == dtype:
            return x
        if is_bfloat16(dtype):
            return narrow(self.b, self.cast(x, np.dtype(np.float32)))
        if dtype.kind == "c":
            return self.of(dtype).of_real(self.cast(x, part_dtype(dtype)))
        if dtype.kind == "b":
            return self.compare("!=", x, self.const(0))
        if source.kind == "f" and dtype.kind == "f":
            if dtype.itemsize > source.itemsize:
                return self.b.fpext(x, target)
            if source.itemsize == 8 and dtype.itemsize == 2:
                return self.b.fptrunc(self._to_odd(x), target)
            return self.b.fptrunc(x, target)
        if source.kind == "f":
            name = "llvm.fptosi.sat" if dtype.kind == "i" else "llvm.fptoui.sat"  # out of range is not undefined
            function = self.b.module.declare_intrinsic(name, [target, x.type], ir.FunctionType(target, [x.type]))
            return self.b.call(function, [x])
        if dtype.kind == "f":
            return self.b.sitofp(x, target) if source.kind == "i" else self.b.uitofp(x, target)
        if dtype.itemsize == source.itemsize and source.kind != "b":
            return x
        if target.width < x.type.width:
            return self.b.trunc(x, target)
        return self.b.sext(x, target) if source.kind == "i" else self.b.zext(x, target)


class BrainEmitter(ScalarEmitter):
    """The same for bfloat16."""

    def cast(self, x, dtype: np.dtype) -> ir.Value:
        if self.dtype == dtype:
            return x
        return self.of(np.float32).cast(widen(self.b, x), dtype)


def _in_float32(name: str):
    def method(self, *args):
        wide = [widen(self.b, x) if isinstance(x, ir.Value) else x for x in args]
        result = getattr(self.of(np.float32), name)(*wide)
        return result if result.type == I1 else narrow(self.b, result)

    return method


for _name in (
    "add", "sub", "mul", "div", "neg", "abs", "sign", "sqrt", "power", "floor_div", "remainder", "fma", "maximum", "minimum",
    "fmax", "fmin", "compare", "copysign", "round_to", "math", "special",
):  # fmt: skip
    setattr(BrainEmitter, _name, _in_float32(_name))


def scalar_emitter(builder: ir.IRBuilder, dtype: np.dtype) -> ScalarEmitter:
    """The scalar operations of a dtype."""
    if dtype.kind == "c":
        from retrograde.codegen.complex import ComplexEmitter  # which is a ScalarEmitter

        return ComplexEmitter(builder, dtype)
    return (BrainEmitter if is_bfloat16(dtype) else ScalarEmitter)(builder, dtype)
