"""Mathematical functions for generated code: `emit_math(builder, name, *args)`.

Each is a call of the C library's function, present everywhere and correct to about 1 ulp.
"""

from __future__ import annotations

from llvmlite import ir

_C_NAMES = {
    "exp": "exp", "exp2": "exp2", "expm1": "expm1", "log": "log", "log2": "log2", "log10": "log10", "log1p": "log1p",
    "sin": "sin", "cos": "cos", "tan": "tan", "arcsin": "asin", "arccos": "acos", "arctan": "atan", "arctan2": "atan2",
    "sinh": "sinh", "cosh": "cosh", "tanh": "tanh", "arcsinh": "asinh", "arccosh": "acosh", "arctanh": "atanh",
    "cbrt": "cbrt", "power": "pow", "erf": "erf", "erfc": "erfc", "hypot": "hypot",
}  # fmt: skip
MATH_NAMES = (*_C_NAMES, "sigmoid", "softplus", "logaddexp")


def emit_math(builder: ir.IRBuilder, name: str, *args: ir.Value) -> ir.Value:
    """The value of a function at scalars of float or double."""
    kind = args[0].type
    one = ir.Constant(kind, 1.0)
    if name == "sigmoid":
        return builder.fdiv(one, builder.fadd(one, emit_math(builder, "exp", builder.fneg(args[0]))))
    if name == "softplus":
        return emit_math(builder, "logaddexp", args[0], ir.Constant(kind, 0.0))
    if name == "logaddexp":
        x, y = args
        high = builder.select(builder.fcmp_ordered(">", x, y), x, y)
        gap = builder.fneg(builder.call(_intrinsic(builder, "fabs", kind), [builder.fsub(x, y)]))
        found = builder.fadd(high, emit_math(builder, "log1p", emit_math(builder, "exp", gap)))
        same = builder.fcmp_ordered("==", x, y)  # also two equal infinities, whose difference is NaN
        return builder.select(same, builder.fadd(x, ir.Constant(kind, 0.6931471805599453)), found)
    suffix = "f" if isinstance(kind, ir.FloatType) else ""
    symbol = _C_NAMES[name] + suffix
    function = builder.module.globals.get(symbol)
    if function is None:
        function = ir.Function(builder.module, ir.FunctionType(kind, [kind] * len(args)), symbol)
        for attribute in ("nounwind",):
            function.attributes.add(attribute)
    return builder.call(function, args)


def _intrinsic(builder: ir.IRBuilder, name: str, kind: ir.Type) -> ir.Function:
    return builder.module.declare_intrinsic(f"llvm.{name}", [kind])
