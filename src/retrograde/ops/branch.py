"""`branch`: one of several graphs, picked by an index; in compiled code a jump, so only that one runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from retrograde.errors import GraphTypeError
from retrograde.ir import Builder, Graph, Primitive, Var, evaluate
from retrograde.ops import elementwise as ew
from retrograde.ops.shape import reshape, spread
from retrograde.ops.symbol import Symbol
from retrograde.types import ArrayType, type_of

branch = Primitive("branch", formula="\\operatorname{{branch}}_{{{0}}}", multiple=True)


@branch.def_type
def _branch_type(index: ArrayType, *types: ArrayType, branches: tuple[Graph, ...]) -> tuple[ArrayType, ...]:
    """A bool picks the second of two; an integer counts as an index of a list does."""
    if index.shape != () or index.dtype.kind not in "biu" or (index.dtype.kind == "b" and len(branches) != 2):
        raise GraphTypeError(f"branch: {index} cannot pick one of {len(branches)} branches")
    outputs = [[atom.type for atom in graph.outputs] for graph in branches]
    for graph, made in zip(branches, outputs):
        if [var.type for var in graph.inputs] != list(types) or made != outputs[0]:
            raise GraphTypeError("branch: all branches must take the operands, and return the same shapes and dtypes")
    return tuple(outputs[0])


@branch.def_reference
def _branch_reference(index: Any, *args: Any, branches: tuple[Graph, ...]) -> tuple:
    return tuple(np.array(x)[()] for x in evaluate(branches[int(index)], args))  # copies: a result may be an operand


@branch.def_batch
def _branch_batch(lanes: Any, mapped: Sequence[bool], index: Any, *args: Any, branches: tuple[Graph, ...]) -> tuple[Any, Any]:
    """An index that is the same in all lanes stays a branch; where lanes differ all branches run, and each lane selects."""
    bodies = [_body_of_lanes(lanes, graph, mapped[1:], args) for graph in branches]
    differ = tuple(mapped[0] or any(flags) for flags in zip(*(found for _, found in bodies)))
    if not mapped[0]:
        graphs = [_body_of_lanes(lanes, graph, mapped[1:], args, differ)[0] for graph in branches]
        consts, graphs = close_together(graphs)
        return branch(index, *consts, *args, branches=graphs), differ
    made = [[spread(lanes, x, f) for x, f in zip(evaluate(graph, args), found)] for graph, found in bodies]
    return tuple(_select(lanes, index, results) for results in zip(*made)), differ


def close_together(graphs: Sequence[Graph]) -> tuple[list[Any], tuple[Graph, ...]]:
    """What any of the graphs closes over, and the graphs that take all of it as their first inputs."""
    closed = {id(x): x for graph in graphs for x in graph.constants.values()}
    result = []
    for graph in graphs:
        own = {id(x): var for var, x in graph.constants.items()}
        first = [own.get(i) or Var(type_of(x)) for i, x in closed.items()]
        result.append(Graph((*first, *graph.inputs), graph.equations, graph.outputs))
    return list(closed.values()), tuple(result)


def _body_of_lanes(
    lanes: Any, graph: Graph, flags: Sequence[bool], args: Sequence[Any], differ: Sequence[bool] | None = None
) -> tuple[Graph, tuple[bool, ...]]:
    """A branch for all lanes, and which of its outputs differ; those that shall, as `differ` says, have the axis."""
    builder = Builder(Symbol)
    outputs, found = lanes.evaluate(graph, [builder.input(type_of(x)) for x in args], flags)
    if differ is not None:
        outputs = [spread(lanes, x, f or not d) for x, f, d in zip(outputs, found, differ)]
    return builder.finish(outputs), found


def _select(lanes: Any, index: Any, values: Sequence[Any]) -> Any:
    """Lane by lane the value that its index picks; one out of range picks the nearest."""
    shape = (lanes.size, *[1] * (len(values[0].shape) - 1))
    if index.dtype.kind == "b":
        return ew.select(reshape(index, shape=shape), values[1], values[0])
    kind, n = index.dtype.type, len(values)
    if index.dtype.kind == "i":
        index = ew.select(ew.less(index, kind(0)), ew.add(index, kind(n)), index)
    found = values[0]
    for i, value in enumerate(values[1:], 1):
        found = ew.select(reshape(ew.greater_equal(index, kind(i)), shape=shape), value, found)
    return found
