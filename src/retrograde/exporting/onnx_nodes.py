"""From primitives to ONNX: `NODES[name](writer, eq, *inputs, **params)` gives the output's name.

What is written has the primitive's meaning, with ONNX's operators of opset 18. A rule raises `NotImplementedError`, with the end
of a sentence, for what it has no nodes for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from retrograde.exporting.onnx_writer import Rule, Writer
from retrograde.ir import Equation, Graph
from retrograde.ops.nested import graph_of

NODES: dict[str, Rule] = {}
BEFORE_ALL, AFTER_ALL = -(1 << 62), 1 << 62  # ends of a slice

ONE_TO_ONE = {
    "absolute": "Abs", "add": "Add", "subtract": "Sub", "multiply": "Mul", "negative": "Neg", "divide": "Div", "exp": "Exp",
    "log": "Log", "sqrt": "Sqrt", "tanh": "Tanh", "sigmoid": "Sigmoid", "erf": "Erf", "softplus": "Softplus", "sin": "Sin",
    "cos": "Cos", "tan": "Tan", "sinh": "Sinh", "cosh": "Cosh", "arcsin": "Asin", "arccos": "Acos", "arctan": "Atan",
    "arcsinh": "Asinh", "arccosh": "Acosh", "arctanh": "Atanh", "floor": "Floor", "ceil": "Ceil", "rint": "Round", "sign": "Sign",
    "maximum": "Max", "minimum": "Min", "power": "Pow", "reciprocal": "Reciprocal", "isnan": "IsNaN", "isinf": "IsInf",
    "equal": "Equal", "less": "Less", "greater": "Greater", "less_equal": "LessOrEqual", "greater_equal": "GreaterOrEqual",
    "logical_and": "And", "logical_or": "Or", "logical_xor": "Xor", "logical_not": "Not", "select": "Where",
}  # fmt: skip
COMPOSED: dict[str, Callable[..., str]] = {  # of operands that are floats
    "square": lambda w, eq, x: w.node("Mul", x, x),
    "not_equal": lambda w, eq, x, y: w.node("Not", w.node("Equal", x, y)),
    "isfinite": lambda w, eq, x: w.node("Not", w.node("Or", w.node("IsNaN", x), w.node("IsInf", x))),
    # (e^x - 1) / (e^x + 1) is tanh(x/2), which loses nothing near 0
    "expm1": lambda w, eq, x: w.node(
        "Mul", w.node("Tanh", w.node("Mul", x, w.like(eq, 0.5))), w.node("Add", w.node("Exp", x), w.like(eq, 1))
    ),
    "exp2": lambda w, eq, x: w.node("Pow", w.like(eq, 2), x),
    "log2": lambda w, eq, x: w.node("Div", w.node("Log", x), w.like(eq, math.log(2))),
    "log10": lambda w, eq, x: w.node("Div", w.node("Log", x), w.like(eq, math.log(10))),
    "cbrt": lambda w, eq, x: w.node("Mul", w.node("Sign", x), w.node("Pow", w.node("Abs", x), w.like(eq, 1 / 3))),
    "trunc": lambda w, eq, x: w.node("Mul", w.node("Sign", x), w.node("Floor", w.node("Abs", x))),
}
REDUCTIONS = {"sum": "ReduceSum", "prod": "ReduceProd", "max": "ReduceMax", "min": "ReduceMin"}
BITWISE = {"bitwise_and": "And", "bitwise_or": "Or", "bitwise_xor": "Xor"}


def _rule(*names: str) -> Callable[[Callable], Callable]:
    def decorate(function: Callable) -> Callable:
        NODES.update(dict.fromkeys(names, function))
        return function

    return decorate


def _one_to_one(op: str) -> Callable[..., str]:
    return lambda w, eq, *inputs: w.node(op, *inputs)


def _reduced(op: str) -> Callable[..., str]:
    def rule(w: Writer, eq: Equation, x: str, *, axes: Sequence[int]) -> str:
        return w.node(op, x, w.integers(axes), keepdims=0, noop_with_empty_axes=1)

    return rule


def _bitwise(op: str) -> Callable[..., str]:
    return lambda w, eq, x, y: w.node(op if eq.inputs[0].type.dtype == bool else f"Bitwise{op}", x, y)


NODES.update({name: _one_to_one(op) for name, op in ONE_TO_ONE.items()})
NODES.update(COMPOSED)
NODES.update({name: _reduced(op) for name, op in REDUCTIONS.items()})
NODES.update({name: _bitwise(op) for name, op in BITWISE.items()})


@_rule("copy", "stop_gradient", "after", "implicit")
def _itself(w: Writer, eq: Equation, x: str, *others: str, **params: Any) -> str:
    return x


@_rule("invert")
def _invert(w: Writer, eq: Equation, x: str) -> str:
    return w.node("Not" if eq.inputs[0].type.dtype == bool else "BitwiseNot", x)


@_rule("remainder", "floor_divide")
def _division(w: Writer, eq: Equation, x: str, y: str) -> str:
    if eq.inputs[0].type.dtype.kind != "f":
        if eq.primitive.name == "remainder":
            return w.node("Mod", x, y)
        raise NotImplementedError("which ONNX does for floats only")
    quotient = w.node("Floor", w.node("Div", x, y))
    return quotient if eq.primitive.name == "floor_divide" else w.node("Sub", x, w.node("Mul", quotient, y))


@_rule("log1p")
def _log1p(w: Writer, eq: Equation, x: str) -> str:
    """log(u) x / (u - 1) for u = 1 + x, rounded: the error of u drops out (W. Kahan, for the HP-15C, 1982)."""
    one = w.like(eq, 1)
    u = w.node("Add", x, one)
    log, rest = w.node("Log", u), w.node("Sub", u, one)
    found = w.node("Mul", log, w.node("Div", x, rest))
    return w.node("Where", w.node("Equal", u, x), log, w.node("Where", w.node("Equal", u, one), x, found))


@_rule("logaddexp")
def _logaddexp(w: Writer, eq: Equation, x: str, y: str) -> str:
    """max + log(1 + e^-|x - y|), which of two equal infinities would be NaN."""
    apart = w.node("Softplus", w.node("Neg", w.node("Abs", w.node("Sub", x, y))))
    return w.node("Add", w.node("Max", x, y), w.node("Where", w.node("Equal", x, y), w.like(eq, math.log(2)), apart))


@_rule("astype")
def _astype(w: Writer, eq: Equation, x: str, *, dtype: np.dtype) -> str:
    return w.node("Cast", x, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


@_rule("all", "any")
def _logical(w: Writer, eq: Equation, x: str, *, axes: Sequence[int]) -> str:
    every = eq.primitive.name == "all"
    counted = _astype(w, eq, w.node("Not", x) if every else x, dtype=np.dtype(np.int32))
    found = _astype(w, eq, _reduced("ReduceSum")(w, eq, counted, axes=axes), dtype=np.dtype(bool))
    return w.node("Not", found) if every else found


@_rule("argmax", "argmin")
def _place(w: Writer, eq: Equation, x: str, *, axis: int) -> str:
    return w.node("ArgMax" if eq.primitive.name == "argmax" else "ArgMin", x, axis=axis, keepdims=0)


@_rule("cumsum")
def _cumsum(w: Writer, eq: Equation, x: str, *, axis: int, reverse: bool) -> str:
    return w.node("CumSum", x, w.constant(np.int64(axis)), reverse=int(reverse))


@_rule("matmul")
def _matmul(w: Writer, eq: Equation, x: str, y: str, *, precision: Any = None) -> str:
    if precision is not None:
        raise NotImplementedError(f"in {precision}: export the network as it is outside of rg.reduced")
    return w.node("MatMul", x, y)


# -- shapes --------------------------------------------------------------------------------------------------------------


@_rule("reshape")
def _reshape(w: Writer, eq: Equation, x: str, *, shape: Sequence[Any]) -> str:
    return w.reshape(x, shape)


@_rule("transpose")
def _transpose(w: Writer, eq: Equation, x: str, *, axes: Sequence[int]) -> str:
    return w.transpose(x, axes)


@_rule("broadcast_to")
def _broadcast(w: Writer, eq: Equation, x: str, *, shape: Sequence[Any]) -> str:
    return w.node("Expand", x, w.sizes(shape))


@_rule("concatenate")
def _concatenate(w: Writer, eq: Equation, *inputs: str, axis: int) -> str:
    return w.node("Concat", *inputs, axis=axis)


@_rule("slice")
def _slice(w: Writer, eq: Equation, x: str, *, start: Any, limit: Any, step: Any) -> str:
    cuts = [(axis, *cut) for axis, (*cut, n) in enumerate(zip(start, limit, step, w.shape(eq.inputs[0]))) if cut != [0, n, 1]]
    if not cuts:
        return x
    axes, starts, ends, steps = zip(*cuts)
    within = [BEFORE_ALL if w.known(end) < 0 else end for end in ends]  # a step back through element 0
    return w.node("Slice", x, *map(w.integers, (starts, within, axes, steps)))


@_rule("embed")
def _embed(w: Writer, eq: Equation, x: str, *, shape: Any, start: Any, limit: Any, step: Any) -> str:
    if set(step) - {1}:
        raise NotImplementedError("which ONNX pads without steps only")
    behind = [0 if n == end else w.known(n) - w.known(end) for n, end in zip(shape, limit)]
    return w.node("Pad", x, w.integers([*start, *behind]), w.like(eq, 0))


@_rule("gather")
def _gather(w: Writer, eq: Equation, x: str, idx: str, *, axis: int) -> str:
    return w.node("Gather", x, _index(w, eq, idx), axis=axis)


@_rule("take_along_axis")
def _take_along(w: Writer, eq: Equation, x: str, idx: str, *, axis: int) -> str:
    return w.node("GatherElements", x, _index(w, eq, idx), axis=axis)


def _index(w: Writer, eq: Equation, idx: str) -> str:
    return idx if eq.inputs[1].type.dtype in (np.int32, np.int64) else _astype(w, eq, idx, dtype=np.dtype(np.int64))


@_rule("iota")
def _iota(w: Writer, eq: Equation, *, size: int, dtype: np.dtype) -> str:
    return w.constant(np.arange(w.known(size), dtype=dtype))


# -- convolution and pooling: channels are last here, first in ONNX ----------------------------------------------------


def _pads(padding: Sequence[tuple[int, int]]) -> list[int]:
    return [max(low, 0) for low, _ in padding] + [max(high, 0) for _, high in padding]


def _cropped(w: Writer, x: str, padding: Sequence[tuple[int, int]]) -> str:
    """x (groups, n, places..., channels) without what a negative padding takes away."""
    cuts = [(axis, max(-low, 0), min(high, 0) or AFTER_ALL) for axis, (low, high) in enumerate(padding, 2) if min(low, high) < 0]
    if not cuts:
        return x
    axes, starts, ends = zip(*cuts)
    return w.node("Slice", x, *map(w.integers, (starts, ends, axes)))


@_rule("convolve")
def _convolve(w: Writer, eq: Equation, x: str, kernel: str, *, stride: Any, dilation: Any, padding: Any, by: Any = None) -> str:
    """x (groups, n, places..., channels) and w (groups, kernel..., channels, out) by Conv's (n, groups channels, places...)."""
    (groups, *sizes, c, o), n = map(w.known, w.shape(eq.inputs[1])), len(stride)
    if 0 in (c, o):
        raise NotImplementedError("here of no channels")
    places = [w.known(p) + min(low, 0) + min(high, 0) for p, (low, high) in zip(w.shape(eq.inputs[0])[2:-1], padding)]
    x = w.transpose(_cropped(w, x, padding), [1, 0, n + 2, *range(2, n + 2)])
    x = w.node("Reshape", x, w.integers([0, groups * c, *places]))  # 0: as it is
    kernel = w.reshape(w.transpose(kernel, [0, n + 2, n + 1, *range(1, n + 1)]), (groups * o, c, *sizes))
    y = w.node("Conv", x, kernel, strides=list(stride), dilations=list(dilation), pads=_pads(padding), group=groups)
    y = w.node("Reshape", y, w.integers([0, groups, o, *w.shape(eq.outputs[0])[2:-1]]))
    return w.transpose(y, [1, 0, *range(3, n + 3), 2])


@_rule("max_pool", "sum_pool")
def _pool(w: Writer, eq: Equation, x: str, *, window: Any, stride: Any, dilation: Any, padding: Any) -> str:
    n, largest = len(window), eq.primitive.name == "max_pool"
    if not largest and set(dilation) != {1}:
        raise NotImplementedError("which ONNX does without dilation")
    how: dict[str, Any] = {"dilations": list(dilation)} if largest else {"count_include_pad": 1}
    x = w.transpose(x, [0, n + 1, *range(1, n + 1)])
    op = "MaxPool" if largest else "AveragePool"
    y = w.node(op, x, kernel_shape=list(window), strides=list(stride), pads=_pads(padding), **how)
    y = y if largest else w.node("Mul", y, w.like(eq, math.prod(window)))
    return w.transpose(y, [0, *range(2, n + 2), 1])


# -- graphs inside -----------------------------------------------------------------------------------------------------


@_rule("checkpoint", "custom")
def _nested(w: Writer, eq: Equation, *inputs: str, **params: Any) -> list[str]:
    return w.graph(graph_of(eq.primitive, eq.params), inputs)


@_rule("scan")
def _scan(
    w: Writer, eq: Equation, *inputs: str, body: Graph, length: int | None, reverse: bool, num_consts: int, num_carry: int,
    exit: Any = None,
) -> Any:  # fmt: skip
    """Scan, whose body reads what is outside of the loop by name."""
    if length is None or exit is not None:
        raise NotImplementedError("a loop that ends by a condition")
    first = num_consts + num_carry
    consts, carry, xs = inputs[:num_consts], inputs[num_consts:first], list(inputs[first:])
    steps = [w.fresh() for _ in body.inputs[num_consts:]]
    infos = [w.info(name, var) for name, var in zip(steps, body.inputs[num_consts:])]
    if not xs:  # its length is that of an array
        xs = [w.constant(np.zeros(w.known(length), bool))]
        infos.append(helper.make_tensor_value_info(w.fresh(), TensorProto.BOOL, []))
    inner = w.inside(f"loop_{w.fresh()}", body, [*consts, *steps], infos)
    ways, ys = [int(reverse)], len(body.outputs) - num_carry
    return w.node("Scan", *carry, *xs, outputs=len(body.outputs), body=inner, num_scan_inputs=len(xs),
                  scan_input_directions=ways * len(xs), **({"scan_output_directions": ways * ys} if ys else {}))  # fmt: skip
