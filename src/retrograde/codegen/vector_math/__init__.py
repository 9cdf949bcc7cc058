"""Mathematical functions for generated code: `emit_math(builder, name, *args)`.

Each function is emitted once per module, as an internal function of branch-free scalar code that LLVM inlines and then
widens with the loop it stands in. Errors are at most 2 units in the last place over the whole range, subnormal numbers
and results included; infinities, NaN and signed zeros come out as the C library's. Nothing calls the C library, but `fma`
on processors without a fused multiply-add.

What float32 functions cost extra they compute in float64: power, hypot, cbrt, erfc, tan.
"""

from __future__ import annotations

from llvmlite import ir

from retrograde.codegen.vector_math import (
    error_function,
    exponential,
    inverse_trigonometric,
    logarithm,
    power,
    roots,
    trigonometric,
    zeta,
)
from retrograde.codegen.vector_math.scalars import Math, Real

_EMITTED = {
    **exponential.FUNCTIONS,
    **logarithm.FUNCTIONS,
    **error_function.FUNCTIONS,
    **trigonometric.FUNCTIONS,
    **inverse_trigonometric.FUNCTIONS,
    **roots.FUNCTIONS,
    **power.FUNCTIONS,
}
_LOOPING = zeta.FUNCTIONS  # with loops of their own: called, and no loop around them is widened
# instructions to inline into one function: straight-line code takes LLVM a time that grows faster than their number; a
# loop is widened only if all calls are inlined
STRAIGHT_LIMIT, LOOP_LIMIT = 1500, 12000
MATH_NAMES = tuple(_EMITTED)


def emit_math(builder: ir.IRBuilder, name: str, *args: ir.Value) -> ir.Value:
    """The value of a function at scalars of float or double."""
    kind = args[0].type
    format_name = "f32" if isinstance(kind, ir.FloatType) else "f64"
    module = builder.module
    symbol = f"rg.{name}.{format_name}"
    function = module.globals.get(symbol)
    if function is None:
        function = ir.Function(module, ir.FunctionType(kind, [kind] * len(args)), symbol)
        function.attributes.add("nounwind")
        _define(function, format_name, name)
    return builder.call(function, args, attrs=() if _inlines(builder.function, function) else ("noinline",))


def _inlines(caller: ir.Function, function: ir.Function) -> bool:
    """Whether one more call is to be inlined; counts what the caller has taken in so far."""
    taken = getattr(caller, "inlined_math", 0) + len(function.blocks[0].instructions)
    if "alwaysinline" not in function.attributes:
        return False
    within = taken <= (LOOP_LIMIT if len(caller.blocks) > 2 else STRAIGHT_LIMIT)  # two blocks: entry and straight code
    if within:
        caller.inlined_math = taken
    return within


def _define(function: ir.Function, format_name: str, name: str) -> None:
    function.linkage = "internal"
    if name not in _LOOPING:
        function.attributes.add("alwaysinline")
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    m = Math(builder, format_name)
    builder.ret((_EMITTED.get(name) or _LOOPING[name])(m, *[Real(m, x) for x in function.args]).v)
