"""Decide which graphs are small enough for straight-line code: every element in a register, no loop, no buffer."""

from __future__ import annotations

import math

from retrograde.ir import Equation, Graph, Var
from retrograde.ops.control import straight
from retrograde.ops.matmul import matmul

LIMIT = 2500  # scalar operations; beyond that, code would outgrow the instruction cache and the compiler's patience
MATH = 10  # floating-point operations an element, from which on an elementwise operation is a mathematical function


def work(eq: Equation) -> float:
    """Scalar operations that an equation becomes in straight-line code; infinite where it cannot."""
    return _elements(eq) * (4 if any(atom.type.dtype.kind == "c" for atom in eq.inputs) else 1)


def _elements(eq: Equation) -> float:
    kind = eq.primitive.lowering
    if eq.primitive is matmul:
        return eq.outputs[0].type.size * eq.inputs[0].type.shape[-1]
    if kind == "elementwise":
        return eq.outputs[0].type.size * _weight(eq)
    if kind == "element":
        return eq.outputs[0].type.size
    if kind == "reduction":
        return eq.inputs[0].type.size
    return 0 if kind == "view" or eq.primitive.moves else math.inf


def _weight(eq: Equation) -> float:
    """A mathematical function is a call for each element, where a loop computes a vector of them at once."""
    flops = eq.primitive.flops
    return 3 * flops if flops >= MATH else 1


def straighten(graph: Graph) -> Graph:
    """The graph as one `straight` equation if it is small, else as it is."""
    if not graph.equations or sum(work(eq) for eq in graph.equations) > LIMIT:
        return graph
    if any(work(eq) == 0 and eq.outputs[0].type.size > LIMIT for eq in graph.equations):
        return graph
    operands = tuple({a: None for eq in graph.equations for a in eq.inputs if isinstance(a, Var)})
    inside = {out for eq in graph.equations for out in eq.outputs}
    operands = tuple(var for var in operands if var not in inside)
    outputs = tuple(dict.fromkeys(graph.outputs))
    fresh = {var: Var(var.type, var.name) for var in (*operands, *inside)}
    body = Graph(
        tuple(fresh[var] for var in operands),
        [
            Equation(eq.primitive, tuple(fresh.get(a, a) for a in eq.inputs), eq.params, tuple(fresh[o] for o in eq.outputs),
                     eq.source)
            for eq in graph.equations
        ],
        tuple(fresh[var] for var in outputs),
    )  # fmt: skip
    whole = Equation(straight, operands, {"body": body}, outputs, graph.equations[-1].source)
    return Graph(graph.inputs, [whole], graph.outputs, graph.constants)
