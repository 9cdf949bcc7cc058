"""Primitives whose parameter is a graph: `scan`, a loop; `fused`, `product`, `by_rows` and `straight`, which passes make."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from retrograde.errors import GraphTypeError
from retrograde.ir import Builder, Graph, Primitive, evaluate
from retrograde.ops import elementwise as ew
from retrograde.ops.reduce import all_
from retrograde.ops.shape import reshape, spread, transpose
from retrograde.ops.symbol import Symbol
from retrograde.types import ArrayType

scan = Primitive("scan", formula="\\operatorname{{scan}}", multiple=True)


@scan.def_type
def _scan_type(
    *types: ArrayType, body: Graph, length: int | None, num_consts: int, num_carry: int, reverse: bool, exit: int | None
) -> tuple[ArrayType, ...]:
    """Body: (consts, carry, x slices) -> (carry, y slices). With `exit`, no step is run once that carry is True.

    A `length` of None is as many steps as it takes until then: a while loop, without xs and ys.
    """
    if length is None and (exit is None or len(types) > num_consts + num_carry or len(body.outputs) > num_carry):
        raise GraphTypeError("scan: a loop without a length needs an exit, and has no xs and no ys")
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
    *args: Any, body: Graph, length: int | None, num_consts: int, num_carry: int, reverse: bool, exit: int | None
) -> tuple:
    consts, carry, xs = args[:num_consts], list(args[num_consts : num_consts + num_carry]), args[num_consts + num_carry :]
    ys = [np.zeros((length, *atom.type.shape), atom.type.dtype) for atom in body.outputs[num_carry:]]
    for i in itertools.count() if length is None else reversed(range(length)) if reverse else range(length):
        if exit is not None and bool(carry[exit]):
            break
        results = evaluate(body, [*consts, *carry, *(x[i] for x in xs)])
        carry = results[:num_carry]
        for y, value in zip(ys, results[num_carry:]):
            y[i] = value
    return (*(np.array(c)[()] for c in carry), *ys)  # copies: a carry may be an operand, or a view of one


@scan.def_batch
def _scan_batch(
    lanes: Any, mapped: Sequence[bool], *args: Any, body: Graph, length: int | None, num_consts: int, num_carry: int,
    reverse: bool, exit: int | None,
) -> tuple[tuple, tuple]:  # fmt: skip
    """One loop for all lanes. A carry is mapped if it starts so or a step makes it so: steps are tried until none is added."""
    end = num_consts + num_carry
    carried = tuple(mapped[num_consts:end])
    while True:
        alone = exit is not None and carried[exit]
        flags = (*mapped[:num_consts], *carried, *mapped[end:])
        step, found = _step_of_lanes(lanes, body, flags, num_consts, num_carry, exit if alone else None)
        grown = tuple(alone or c or f for c, f in zip(carried, found))
        if grown == carried:
            break
        carried = grown
    carry = [spread(lanes, x, was or not now) for x, was, now in zip(args[num_consts:end], mapped[num_consts:end], carried)]
    ended = (all_(carry[exit], axes=(0,)),) if alone else ()
    xs = [_swap_first(x) if m else x for x, m in zip(args[end:], mapped[end:])]
    closed = tuple(step.constants.values())
    out = scan(
        *closed, *args[:num_consts], *ended, *carry, *xs,
        body=Graph((*step.constants, *step.inputs), step.equations, step.outputs), length=length, reverse=reverse,
        num_consts=len(closed) + num_consts, num_carry=len(ended) + num_carry, exit=0 if alone else exit,
    )[len(ended) :]  # fmt: skip
    ys = (_swap_first(y) if m else y for y, m in zip(out[num_carry:], found[num_carry:]))
    return (*out[:num_carry], *ys), (*carried, *found[num_carry:])


def _step_of_lanes(
    lanes: Any, body: Graph, flags: Sequence[bool], num_consts: int, num_carry: int, exit: int | None
) -> tuple[Graph, tuple[bool, ...]]:
    """The body for all lanes, and which of its outputs are mapped.

    With `exit`, lanes end each at a step of its own. One carry more comes first: whether all have. A lane that has ended keeps
    its carry, and its ys are zeros.
    """
    end = num_consts + num_carry
    builder = Builder(Symbol)
    types = [v.type.with_shape((lanes.size, *v.type.shape)) if m else v.type for v, m in zip(body.inputs, flags)]
    consts = [builder.input(t) for t in types[:num_consts]]
    if exit is not None:
        builder.input(ArrayType((), np.dtype(bool)))
    carry = [builder.input(t) for t in types[num_consts:end]]
    xs = [builder.input(t) for t in types[end:]]
    outputs, found = lanes.evaluate(body, [*consts, *carry, *xs], flags)
    if exit is None:
        kept = (*(f or c for f, c in zip(found, flags[num_consts:end])), *found[num_carry:])
        return builder.finish([spread(lanes, x, f or not k) for x, f, k in zip(outputs, found, kept)]), kept
    outputs = [spread(lanes, x, f) for x, f in zip(outputs, found)]
    old, ended = [*carry, *(np.zeros((), y.dtype)[()] for y in outputs[num_carry:])], carry[exit]
    held = [ew.select(reshape(ended, shape=(lanes.size, *[1] * (len(new.shape) - 1))), x, new) for x, new in zip(old, outputs)]
    return builder.finish([all_(held[exit], axes=(0,)), *held]), (True,) * len(held)


def _swap_first(x: Any) -> Any:
    """The mapped axis and the axis of steps, exchanged."""
    return transpose(x, axes=(1, 0, *range(2, len(x.shape))))


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


by_rows = Primitive("by_rows", multiple=True)
by_rows.__doc__ = "One graph for each of `length` rows, which are cut from the operands that `cut` names: see `optimize/rows.py`."


@by_rows.def_type
def _rows_type(*types: ArrayType, body: Graph, length: int, cut: tuple[bool, ...], kept: int) -> tuple[ArrayType, ...]:
    """The first `kept` outputs of the body are rows, the others are added up over the rows."""
    given = [t.with_shape((1, *t.shape[1:])) if c else t for t, c in zip(types, cut)]
    if [var.type for var in body.inputs] != given:
        raise GraphTypeError(f"by_rows: the body takes {_shown(v.type for v in body.inputs)}; it was given {_shown(given)}")
    rows = (a.type.with_shape((length, *a.type.shape[1:])) for a in body.outputs[:kept])
    return (*rows, *(a.type for a in body.outputs[kept:]))


@by_rows.def_reference
def _rows_reference(*args: Any, body: Graph, length: int, cut: tuple[bool, ...], kept: int) -> tuple:
    steps = [evaluate(body, [x[i : i + 1] if c else x for x, c in zip(args, cut)]) for i in range(length)]
    results = list(zip(*steps))
    return (*map(np.concatenate, results[:kept]), *(np.sum(x, axis=0, dtype=np.result_type(x[0]))[()] for x in results[kept:]))


fused = _nested("fused", "Elementwise operations and reductions over one iteration space: one loop nest.")
product = _nested("product", "A matrix product and the loop nest that alone reads it, piece by piece: see `optimize/finish.py`.")
straight = _nested("straight", "A small graph whose every element lives in a register: straight-line code.")
