"""Calls of functions that SciPy brings, by name: `runtime/symbols.py` gives them their addresses when code is loaded."""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

I8, I32, PTR, DOUBLE = ir.IntType(8), ir.IntType(32), ir.PointerType(), ir.DoubleType()


def call_by_reference(builder: ir.IRBuilder, library: str, routine: str, args: Sequence[str | int | ir.Value]) -> ir.Value:
    """Call a Fortran routine; letters, integers and floats become constants in memory."""
    pointers = [arg if isinstance(arg, ir.Value) else _constant(builder.module, arg, routine) for arg in args]
    signature = ir.FunctionType(ir.VoidType(), [PTR] * len(pointers))
    return builder.call(_declared(builder.module, f"rg_{library}_{routine}", signature), pointers)


def call_special(builder: ir.IRBuilder, name: str, args: Sequence[ir.Value]) -> ir.Value:
    """A special function of doubles; the last argument of SciPy's C functions is Cython's own."""
    signature = ir.FunctionType(DOUBLE, [DOUBLE] * len(args) + [I32])
    function = _declared(builder.module, f"rg_special_{name}", signature)
    return builder.call(function, [*args, ir.Constant(I32, 0)])


def _declared(module: ir.Module, symbol: str, signature: ir.FunctionType) -> ir.Function:
    found = module.globals.get(symbol)
    if found is None:
        found = ir.Function(module, signature, symbol)
        found.attributes.add("nounwind")
    return found


def _constant(module: ir.Module, value: str | int | float, routine: str) -> ir.GlobalVariable:
    if isinstance(value, str):
        kind, held = I8, ord(value)
    elif isinstance(value, int):
        kind, held = I32, value
    else:
        kind, held = (ir.FloatType() if routine.startswith("s") else DOUBLE), value
    name = f"argument_{kind}_{held}"
    if name not in module.globals:
        variable = ir.GlobalVariable(module, kind, name)
        variable.global_constant, variable.linkage = True, "private"
        variable.initializer = ir.Constant(kind, held)
    return module.globals[name]
