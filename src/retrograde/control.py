"""Loops inside traced code: `scan`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from retrograde.errors import GraphTypeError, ShapeError
from retrograde.ir import Graph
from retrograde.ops.control import scan as _scan
from retrograde.trace import tracing
from retrograde.trace.trace import as_output, new_input
from retrograde.tree import tree_flatten, tree_leaves, tree_unflatten
from retrograde.types import ArrayType, type_of


def scan(
    f: Callable, init: Any, xs: Any = None, length: int | None = None, *, reverse: bool = False,
    exit: Callable[[Any], Any] | None = None,
) -> tuple[Any, Any]:  # fmt: skip
    """`carry, y = f(carry, x)` for each slice x of `xs` along axis 0, as one loop; returns the last carry and all y's stacked.

    `init` and `xs` are pytrees of arrays; the carry keeps its structure, shapes and dtypes. Without `xs`, `length` says
    how often. `exit(carry)` picks a 0-d bool of the carry: the loop ends after the step that sets it, and the y's of steps
    not run are zeros. Under `jit` the body is compiled once, whatever the length.
    """
    carry_leaves, carry_tree = tree_flatten(init)
    carry_leaves = [x if hasattr(x, "dtype") else np.asarray(x) for x in carry_leaves]
    x_leaves, x_tree = tree_flatten(xs)
    lengths = {x.shape[0] if x.shape else None for x in x_leaves} | ({length} if length is not None else set())
    if len(lengths) != 1 or None in lengths:
        given = sorted(map(str, lengths))
        raise ShapeError(f"scan: all of xs must have one first length (and `length` agree); they have {given}")
    (count,) = lengths
    if count is None or count < 0:
        raise ShapeError(f"scan: length is a number of steps, 0 or more; it is {count}")
    builder = tracing(concrete=False)
    carry = [new_input(builder, _Slot(type_of(x))) for x in carry_leaves]
    slices = [new_input(builder, _Slot(ArrayType(tuple(x.shape[1:]), x.dtype))) for x in x_leaves]
    result = f(tree_unflatten(carry_tree, carry), tree_unflatten(x_tree, slices))
    if not (isinstance(result, tuple) and len(result) == 2):
        raise GraphTypeError("scan: the function must return (carry, y); y may be None")
    new_carry, y = result
    carry_out, tree_out = tree_flatten(new_carry)
    if tree_out != carry_tree:
        raise GraphTypeError(f"scan: the carry goes in as {carry_tree} and comes out as {tree_out}; its structure must stay")
    y_out, y_tree = tree_flatten(y)
    place = _exit_place(exit, new_carry, carry_out)
    graph = builder.finish([as_output(v) for v in (*carry_out, *y_out)])
    body = Graph((*graph.constants, *graph.inputs), graph.equations, graph.outputs)
    operands = [*graph.constants.values(), *carry_leaves, *x_leaves]
    params = {"body": body, "length": count, "num_consts": len(graph.constants), "num_carry": len(carry_leaves),
              "reverse": reverse, "exit": place}  # fmt: skip
    _scan.type_rule(*map(type_of, operands), **params)  # plain arrays would go to NumPy unchecked
    found = _scan(*operands, **params)
    n = len(carry_leaves)
    return tree_unflatten(carry_tree, found[:n]), tree_unflatten(y_tree, found[n:])


class _Slot(np.ndarray):
    """A type standing in for a value, so that an input can be made of it without one."""

    def __new__(cls, type_: ArrayType) -> _Slot:
        return np.broadcast_to(np.zeros((), type_.dtype), type_.shape).view(cls)


def _exit_place(exit: Callable[[Any], Any] | None, carry: Any, leaves: list[Any]) -> int | None:
    if exit is None:
        return None
    flag = exit(carry)
    for i, leaf in enumerate(tree_leaves(carry)):
        if leaf is flag:
            if leaf.shape != () or leaf.dtype != bool:
                raise GraphTypeError(f"scan: exit must pick a 0-d bool of the carry; it picked {leaf!r}")
            return i
    raise GraphTypeError("scan: exit must return one of the carry's own leaves; compute the flag in the body and carry it")


__all__ = ["scan"]
