"""The passes in their order, on a graph and on the graphs inside it."""

from __future__ import annotations

from retrograde.ir import Equation, Graph
from retrograde.ops.branch import branch
from retrograde.ops.control import scan
from retrograde.ops.prune import prune
from retrograde.optimize.fuse import fuse
from retrograde.optimize.inline import inline
from retrograde.optimize.settle import settle
from retrograde.optimize.simplify import simplify
from retrograde.optimize.straighten import straighten


def optimize(graph: Graph) -> Graph:
    """Inline, simplify, drop what loops make in vain, settle; straighten what is small, fuse what is not; bodies likewise."""
    graph = settle(prune(simplify(inline(graph))))
    graph = Graph(graph.inputs, [_nested(eq) for eq in graph.equations], graph.outputs, graph.constants)
    straightened = straighten(graph)
    return fuse(graph) if straightened is graph else straightened


def _nested(eq: Equation) -> Equation:
    if eq.primitive is scan:
        return eq.replace(eq.inputs, body=optimize(eq.params["body"]))
    if eq.primitive is branch:
        return eq.replace(eq.inputs, branches=tuple(map(optimize, eq.params["branches"])))
    return eq
