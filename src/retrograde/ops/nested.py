"""Primitives with a graph inside that takes its own place when compiled: `checkpoint` and `custom`; and `after`.

How they are differentiated is in `autodiff/nested.py`; that is what they are there for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from retrograde.errors import GraphTypeError
from retrograde.ir import Builder, Graph, Primitive, Var, evaluate
from retrograde.ops.reduce import sum_
from retrograde.ops.shape import spread
from retrograde.ops.symbol import Symbol
from retrograde.types import ArrayType, kind_of

checkpoint = Primitive("checkpoint", multiple=True)
checkpoint.__doc__ = (
    "What its body computes; its pullback reads nothing but the operands, and computes the body again. `again` says that it is "
    "such a pullback, so that compiled code does not share its work with the forward pass, which would have to be kept."
)
custom = Primitive("custom", multiple=True)
custom.__doc__ = (
    "What its body computes, with a pullback of the user's own: `rule` takes the operands, the residuals and the cotangents of "
    "the outputs to cotangents of the operands that are floats. `forward` is the body with the residuals as further outputs; "
    "where the operation is `kept` for a derivative, it is what is computed. The operands are `count` arguments, then what the "
    "functions close over; `name` is the user's."
)
checkpoint.lowering = custom.lowering = "graph"


def _type(name: str) -> Callable:
    def rule(*types: ArrayType, body: Graph, forward: Graph | None = None, kept: bool = False, **_params: Any) -> tuple:
        if [var.type for var in body.inputs] != list(types):
            raise GraphTypeError(f"{name}: the operands do not fit the body: {', '.join(map(str, types))}")
        return tuple(atom.type for atom in _run(body, forward, kept).outputs)

    return rule


def _run(body: Graph, forward: Graph | None, kept: bool) -> Graph:
    return forward if kept and forward is not None else body


checkpoint.def_type(_type("checkpoint"))
custom.def_type(_type("custom"))
checkpoint.def_reference(lambda *args, body, **_params: tuple(evaluate(body, args)))
custom.def_reference(lambda *args, body, forward, kept, **_params: tuple(evaluate(_run(body, forward, kept), args)))


def graph_of(primitive: Primitive, params: dict[str, Any]) -> Graph:
    """What an equation of either primitive computes."""
    return _run(params["body"], params.get("forward"), params.get("kept", False))


def record(types: Sequence[ArrayType], run: Callable[[list[Any]], Sequence[Any]]) -> Graph:
    """The graph of what `run` does with symbols of these types."""
    builder = Builder(Symbol)
    return builder.finish(run([builder.input(t) for t in types]))


def close(graphs: Sequence[Graph], count: int) -> tuple[list[Graph], list[Any]]:
    """The graphs with the constants of all of them as inputs, behind the first `count`; and the constants."""
    constants = {var: value for graph in graphs for var, value in graph.constants.items()}
    closed = []
    for graph in graphs:
        more = [var if var in graph.constants else Var(var.type) for var in constants]
        closed.append(Graph((*graph.inputs[:count], *more, *graph.inputs[count:]), graph.equations, graph.outputs))
    return closed, list(constants.values())


def _of_lanes(lanes: Any, graph: Graph, mapped: Sequence[bool], finish: Callable[[list, Sequence[bool]], list]) -> Graph:
    """The graph for all lanes, with its outputs and whether they are mapped given to `finish`."""
    types = [v.type.with_shape((lanes.size, *v.type.shape)) if m else v.type for v, m in zip(graph.inputs, mapped)]
    return record(types, lambda xs: finish(*lanes.evaluate(graph, xs, mapped)))


@checkpoint.def_batch
def _checkpoint_batch(lanes: Any, mapped: Sequence[bool], *args: Any, body: Graph, again: bool) -> tuple:
    flags: list[bool] = []

    def finish(outs: list[Any], differ: Sequence[bool]) -> list[Any]:
        flags.extend(differ)
        return outs

    (body,), closed = close([_of_lanes(lanes, body, mapped, finish)], len(args))
    return checkpoint(*args, *closed, body=body, again=again), tuple(flags)


@custom.def_batch
def _custom_batch(
    lanes: Any, mapped: Sequence[bool], *args: Any, body: Graph, forward: Graph, rule: Graph, kept: bool, count: int, name: str
) -> tuple:  # fmt: skip
    """The user's function and rule, both for all lanes; what is the same in all gets the sum of the lanes' cotangents."""

    def spread_all(outs: list[Any], differ: Sequence[bool]) -> list[Any]:
        return [spread(lanes, x, d) for x, d in zip(outs, differ)]

    def add_up(cts: list[Any], differ: Sequence[bool]) -> list[Any]:
        alone = [m for m, var in zip(mapped[:count], body.inputs) if kind_of(var.type.dtype) in "fc"]
        return [ct if m else sum_(ct, axes=(0,)) for ct, m in zip(spread_all(cts, differ), alone)]

    flags = [*mapped, *[True] * (len(rule.inputs) - len(mapped))]
    graphs = [_of_lanes(lanes, graph, mapped, spread_all) for graph in (body, forward)]
    (body, forward, rule), closed = close([*graphs, _of_lanes(lanes, rule, flags, add_up)], len(args))
    outs = custom(*args, *closed, body=body, forward=forward, rule=rule, kept=kept, count=count, name=name)
    return outs, (True,) * len(outs)


after = Primitive("after", formula="{0}", flops=0)
after.__doc__ = "The first operand, not before the others are known: so a computation that is made again waits for its turn."
after.def_type(lambda x, *_others: x)
after.def_reference(lambda x, *_others: np.asarray(x)[()])
after.def_lower("view")(lambda layout: layout)
