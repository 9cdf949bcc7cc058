"""The passes in their order, on a graph and on the graphs inside it."""

from __future__ import annotations

from dataclasses import replace

from retrograde.ir import Equation, Graph, Var
from retrograde.ir.layout import Layout
from retrograde.ops.control import scan
from retrograde.optimize.chunk import chunk
from retrograde.optimize.fuse import fuse
from retrograde.optimize.narrow import narrow, widen_late
from retrograde.optimize.prune import prune
from retrograde.optimize.settle import settle
from retrograde.optimize.simplify import simplify
from retrograde.optimize.straighten import straighten


def optimize(graph: Graph, pairs: bool = False) -> Graph:
    """All passes; loop bodies likewise. `pairs` says that the processor multiplies bfloat16 in pairs."""
    return _optimize(graph, pairs, {})


def _optimize(graph: Graph, pairs: bool, given: dict[Var, Layout]) -> Graph:
    graph = chunk(prune(simplify(narrow(graph, pairs))))
    graph, layouts = settle(widen_late(graph), given)
    graph = Graph(graph.inputs, [_nested(eq, pairs, layouts) for eq in graph.equations], graph.outputs, graph.constants)
    straightened = straighten(graph)
    return fuse(graph) if straightened is graph else straightened


def _nested(eq: Equation, pairs: bool, layouts: dict[Var, Layout]) -> Equation:
    """The loop with its body optimized, which is given views as they are, and slices of them."""
    if eq.primitive is not scan:
        return eq
    body: Graph = eq.params["body"]
    consts, end = eq.params["num_consts"], eq.params["num_consts"] + eq.params["num_carry"]
    given = {}
    for i, (var, atom) in enumerate(zip(body.inputs, eq.inputs)):
        layout = layouts.get(atom)
        if layout is not None and not consts <= i < end:
            given[var] = layout if i < consts else replace(layout, shape=layout.shape[1:], strides=layout.strides[1:])
    return eq.replace(eq.inputs, body=_optimize(body, pairs, given))
