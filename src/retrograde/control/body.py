"""A function of pytrees, traced once as the body of a loop or as a branch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from retrograde.errors import GraphTypeError
from retrograde.ir import Graph
from retrograde.ir.primitive import inside
from retrograde.trace import tracing
from retrograde.trace.trace import as_output, new_input
from retrograde.tree import tree_flatten, tree_paths, tree_unflatten
from retrograde.types import ArrayType, type_of


@dataclass
class Traced:
    """What a trace of `f` gave: its `graph`, the leaves that it returned (still symbols) and their structure."""

    graph: Graph
    leaves: list[Any]
    structure: Any
    result: Any


def trace_body(
    f: Callable, args: Sequence[tuple[Any, Sequence[ArrayType]]], keeps: bool = False, check: Callable[[Any], Any] = lambda x: x
) -> Traced:
    """Trace `f` at arguments of these structures and types of leaves; for `keeps` see `inside`."""
    builder = tracing(concrete=False)
    trees = [tree_unflatten(structure, [new_input(builder, _Slot(t)) for t in types]) for structure, types in args]
    with inside(builder, keeps):
        result = check(f(*trees))
    leaves, structure = tree_flatten(result)
    outputs = [as_output(leaf) for leaf in leaves]
    return Traced(builder.finish(outputs), leaves, structure, result)


def closed_body(graph: Graph) -> tuple[list[Any], Graph]:
    """What the graph closes over, and the graph that takes it as its first inputs."""
    return list(graph.constants.values()), Graph((*graph.constants, *graph.inputs), graph.equations, graph.outputs)


def as_leaves(tree: Any) -> tuple[list[Any], Any]:
    """The leaves as arrays, and the structure."""
    leaves, structure = tree_flatten(tree)
    return [x if hasattr(x, "dtype") else np.asarray(x)[()] for x in leaves], structure


def check_carry(name: str, init: Any, types: Sequence[ArrayType], leaves: Sequence[Any], structure: Any, wanted: Any) -> None:
    """Raise unless what a step returns is built as what it took."""
    if structure != wanted:
        raise GraphTypeError(f"{name}: the carry goes in as {wanted} and comes out as {structure}; its structure must stay")
    for path, before, leaf in zip(tree_paths(init), types, leaves):
        after = type_of(as_output(leaf))
        if after != before:
            where = "the carry" + "".join(f"[{key!r}]" for key in path)
            raise GraphTypeError(
                f"{name}: {where} goes in as {before} and comes out as {after}; it must keep its shape and dtype. Start with "
                f"an array of {after}, or convert what the step returns (x.astype({before.dtype}))"
            )


class _Slot(np.ndarray):
    """A type standing in for a value, so that an input can be made of it without one."""

    def __new__(cls, type_: ArrayType) -> _Slot:
        return np.broadcast_to(np.zeros((), type_.dtype), type_.shape).view(cls)
