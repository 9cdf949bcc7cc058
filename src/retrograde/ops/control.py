"""Primitives whose parameter is a graph: `scan` (a loop), and `fused` and `straight`, which optimization makes."""

from __future__ import annotations

from typing import Any

import numpy as np

from retrograde.errors import GraphTypeError
from retrograde.ir import Graph, Primitive, evaluate
from retrograde.types import ArrayType

scan = Primitive("scan", formula="\\operatorname{{scan}}", multiple=True)


@scan.def_type
def _scan_type(
    *types: ArrayType, body: Graph, length: int, num_consts: int, num_carry: int, reverse: bool, exit: int | None
) -> tuple[ArrayType, ...]:
    """Body: (consts, carry, x slices) -> (carry, y slices)."""
    expected = [var.type for var in body.inputs]
    slices = [ArrayType(t.shape[1:], t.dtype) for t in types[num_consts + num_carry :]]
    given = [*types[: num_consts + num_carry], *slices]
    if given != expected:
        raise GraphTypeError(f"scan: the body takes {_shown(expected)}; the operands give it {_shown(given)}")
    if any(t.shape[:1] != (length,) for t in types[num_consts + num_carry :]):
        raise GraphTypeError(f"scan: every array scanned over must have {length} as its first length; they are {_shown(types)}")
    outputs = [atom.type for atom in body.outputs]
    carry = [var.type for var in body.inputs[num_consts : num_consts + num_carry]]
    if outputs[:num_carry] != carry:
        raise GraphTypeError(
            f"scan: the carry must keep its shapes and dtypes: it goes in as {_shown(carry)} and comes out as "
            f"{_shown(outputs[:num_carry])}"
        )
    return (*carry, *(ArrayType((length, *t.shape), t.dtype) for t in outputs[num_carry:]))


def _shown(types) -> str:
    return "(" + ", ".join(map(str, types)) + ")"


@scan.def_reference
def _scan_reference(
    *args: Any, body: Graph, length: int, num_consts: int, num_carry: int, reverse: bool, exit: int | None
) -> tuple:
    consts, carry, xs = args[:num_consts], list(args[num_consts : num_consts + num_carry]), args[num_consts + num_carry :]
    ys = [np.zeros((length, *atom.type.shape), atom.type.dtype) for atom in body.outputs[num_carry:]]
    for i in reversed(range(length)) if reverse else range(length):
        results = evaluate(body, [*consts, *carry, *(x[i] for x in xs)])
        carry = results[:num_carry]
        for y, value in zip(ys, results[num_carry:]):
            y[i] = value
        if exit is not None and bool(carry[exit]):
            break
    return (*(np.array(c)[()] for c in carry), *ys)  # copies: a carry may be an operand, or a view of one


def _nested(name: str, doc: str) -> Primitive:
    primitive = Primitive(name, multiple=True)
    primitive.__doc__ = doc

    @primitive.def_type
    def type_rule(*types: ArrayType, body: Graph, **_params: Any) -> tuple[ArrayType, ...]:
        if [var.type for var in body.inputs] != list(types):
            raise GraphTypeError(f"{name}: the body takes {_shown(v.type for v in body.inputs)}; it was given {_shown(types)}")
        return tuple(atom.type for atom in body.outputs)

    primitive.def_reference(lambda *args, body, **_params: tuple(evaluate(body, args)))
    return primitive


fused = _nested("fused", "Elementwise operations and reductions over one iteration space: one loop nest.")
straight = _nested("straight", "A small graph whose every element lives in a register: straight-line code.")
