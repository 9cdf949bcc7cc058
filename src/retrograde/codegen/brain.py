"""bfloat16 in generated code: 16 bits in memory and in a register; computed with in float32, rounded after each operation."""

from __future__ import annotations

import numpy as np
from llvmlite import ir

I16, I32, F32 = ir.IntType(16), ir.IntType(32), ir.FloatType()


def widen(b: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """The float32 that 16 bits of bfloat16 stand for: they are its upper half."""
    return b.bitcast(b.shl(b.zext(x, I32), ir.Constant(I32, 16)), F32)


def narrow(b: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """A float32 as 16 bits of bfloat16, rounded to the nearest, ties to even; a NaN keeps its sign.

    In integers, for the instruction of AVX512-BF16 takes subnormal numbers for zero.
    """
    bits = b.bitcast(x, I32)
    half = b.add(ir.Constant(I32, 0x7FFF), b.and_(b.lshr(bits, ir.Constant(I32, 16)), ir.Constant(I32, 1)))
    rounded = b.lshr(b.add(bits, half), ir.Constant(I32, 16))
    quiet = b.or_(b.and_(b.lshr(bits, ir.Constant(I32, 16)), ir.Constant(I32, 0x8000)), ir.Constant(I32, 0x7FC0))
    return b.trunc(b.select(b.fcmp_unordered("uno", x, x), quiet, rounded), I16)


def bits_of(value: object) -> int:
    """The 16 bits of a number that is a bfloat16 already."""
    return int(np.asarray(value).view(np.uint16))
