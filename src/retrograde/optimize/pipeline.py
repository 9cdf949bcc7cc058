"""The passes in their order, on a graph and on the graphs inside it."""

from __future__ import annotations

from dataclasses import replace

from retrograde.ir import Equation, Graph, Var
from retrograde.ir.layout import Layout
from retrograde.ops.control import scan
from retrograde.optimize.chunk import chunk
from retrograde.optimize.fuse import fuse
from retrograde.optimize.prune import prune
from retrograde.optimize.settle import settle
from retrograde.optimize.simplify import simplify
from retrograde.optimize.straighten import straighten


def optimize(graph: Graph) -> Graph:
    """Simplify, prune, chunk, settle; then straighten what is small and fuse what is not. Loop bodies likewise."""
    return _optimize(graph, {})


def _optimize(graph: Graph, given: dict[Var, Layout]) -> Graph:
    graph, layouts = settle(chunk(prune(simplify(graph))), given)
    graph = Graph(graph.inputs, [_nested(eq, layouts) for eq in graph.equations], graph.outputs, graph.constants)
    straightened = straighten(graph)
    return fuse(graph) if straightened is graph else straightened


def _nested(eq: Equation, layouts: dict[Var, Layout]) -> Equation:
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
    return eq.replace(eq.inputs, body=_optimize(body, given))
