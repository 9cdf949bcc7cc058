"""Mathematical functions for generated code: `emit_math(builder, name, *args)`.

Each function is emitted once per module, as an internal function of branch-free scalar code that LLVM inlines and then
widens with the loop it stands in; errors are at most 2 units in the last place over the whole range, subnormal numbers,
infinities, NaN and signed zeros included. The C library serves where such code would cost too much: power, sin, cos and
tan in float64 (the last three need 1200 bits of 2 / pi for the largest arguments).
"""

from __future__ import annotations

import math

from llvmlite import ir

from retrograde.codegen.vector_math import (
    error_function,
    exponential,
    inverse_trigonometric,
    logarithm,
    roots_and_powers,
    trigonometric,
)
from retrograde.codegen.vector_math.scalars import Math, Real

_EMITTED = {
    **exponential.FUNCTIONS,
    **logarithm.FUNCTIONS,
    **error_function.FUNCTIONS,
    **trigonometric.FUNCTIONS,
    **inverse_trigonometric.FUNCTIONS,
    **roots_and_powers.FUNCTIONS,
}
_C_NAMES = {("sin", "f64"): "sin", ("cos", "f64"): "cos", ("tan", "f64"): "tan", ("power", "f64"): "pow"}
INLINE_LIMIT = 1500  # instructions in one function; LLVM's time grows faster than their number
MATH_NAMES = tuple(_EMITTED)


def emit_math(builder: ir.IRBuilder, name: str, *args: ir.Value) -> ir.Value:
    """The value of a function at scalars of float or double."""
    kind = args[0].type
    format_name = "f32" if isinstance(kind, ir.FloatType) else "f64"
    module = builder.module
    emitted = (name, format_name) not in _C_NAMES
    symbol = f"rg.{name}.{format_name}" if emitted else _C_NAMES[name, format_name]
    function = module.globals.get(symbol)
    if function is None:
        function = ir.Function(module, ir.FunctionType(kind, [kind] * len(args)), symbol)
        function.attributes.add("nounwind")
        if emitted:
            _define(function, format_name, name)
    return builder.call(function, args, attrs=() if _inlines(builder.function, function) else ("noinline",))


def _inlines(caller: ir.Function, function: ir.Function) -> bool:
    """Whether one more call is to be inlined; counts what the caller has taken in so far."""
    taken = getattr(caller, "inlined_math", 0) + len(function.blocks[0].instructions) if function.blocks else math.inf
    if taken <= INLINE_LIMIT:
        caller.inlined_math = taken
    return taken <= INLINE_LIMIT


def _define(function: ir.Function, format_name: str, name: str) -> None:
    function.linkage = "internal"
    function.attributes.add("alwaysinline")
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    m = Math(builder, format_name)
    builder.ret(_EMITTED[name](m, *[Real(m, x) for x in function.args]).v)
