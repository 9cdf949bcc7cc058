"""The passes in their order, on a graph and on the graphs inside it."""

from __future__ import annotations

from retrograde.ir import Equation, Graph
from retrograde.ops.control import scan
from retrograde.optimize.fuse import fuse
from retrograde.optimize.narrow import narrow, widen_late
from retrograde.optimize.prune import prune
from retrograde.optimize.settle import settle
from retrograde.optimize.simplify import simplify
from retrograde.optimize.straighten import straighten


def optimize(graph: Graph, pairs: bool = False) -> Graph:
    """Simplify, drop what loops make in vain, settle; straighten what is small, fuse what is not; loop bodies likewise.

    `pairs` says that the processor multiplies bfloat16 in pairs.
    """
    graph = settle(widen_late(prune(simplify(narrow(graph, pairs)))))
    graph = Graph(graph.inputs, [_nested(eq, pairs) for eq in graph.equations], graph.outputs, graph.constants)
    straightened = straighten(graph)
    return fuse(graph) if straightened is graph else straightened


def _nested(eq: Equation, pairs: bool) -> Equation:
    return eq.replace(eq.inputs, body=optimize(eq.params["body"], pairs)) if eq.primitive is scan else eq
