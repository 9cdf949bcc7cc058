"""float64 to float16 where the processor has no instruction for it.

LLVM then calls the compiler runtime's `__truncdfhf2`, which no library is sure to bring along: a call of address 0. So a
module that may need it defines it. LLVM also makes float64 -> float32 -> float16 one such step, so that every module
with both types may.
"""

from __future__ import annotations

from llvmlite import ir

FLOAT, DOUBLE, HALF, I32 = ir.FloatType(), ir.DoubleType(), ir.HalfType(), ir.IntType(32)


def needs_truncation(text: str) -> bool:
    """Whether the module of this text has numbers of both formats."""
    return "half" in text and "double" in text


def define_truncation(module: ir.Module) -> None:
    """Emit `half __truncdfhf2(double)`: to float32 by rounding to odd, so that the second rounding is as good as the only one.

    Boldo and Melquiond (2008), "Emulation of FMA and correctly rounded sums", section 3: 24 bits are more than 11 + 2.
    """
    function = ir.Function(module, ir.FunctionType(HALF, [DOUBLE]), "__truncdfhf2")
    b = ir.IRBuilder(function.append_basic_block("entry"))
    x = function.args[0]
    near = b.fptrunc(x, FLOAT)
    back = b.fpext(near, DOUBLE)
    bits = b.bitcast(near, I32)
    fabs = module.declare_intrinsic("llvm.fabs", [DOUBLE])
    beyond = b.fcmp_ordered(">", b.call(fabs, [back]), b.call(fabs, [x]))
    toward_zero = b.sub(bits, b.zext(beyond, I32))
    inexact = b.fcmp_ordered("!=", back, x)  # false for NaN
    odd = b.or_(toward_zero, ir.Constant(I32, 1))
    b.ret(b.fptrunc(b.bitcast(b.select(inexact, odd, bits), FLOAT), HALF))
