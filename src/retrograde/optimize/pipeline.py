"""The passes in their order, on a graph and on the graphs inside it."""

from __future__ import annotations

from dataclasses import replace

from retrograde.ir import Equation, Graph, Var
from retrograde.ir.layout import Layout
from retrograde.ops.branch import branch
from retrograde.ops.control import scan
from retrograde.ops.prune import prune
from retrograde.optimize.chunk import chunk
from retrograde.optimize.finish import finish
from retrograde.optimize.fuse import fuse
from retrograde.optimize.inline import inline
from retrograde.optimize.narrow import narrow, widen_late
from retrograde.optimize.parts import split_products
from retrograde.optimize.rows import rows
from retrograde.optimize.settle import settle
from retrograde.optimize.simplify import simplify
from retrograde.optimize.straighten import straighten
from retrograde.optimize.transposes import cancel_transposes

Given = dict[Var, Layout]


def optimize(graph: Graph, pairs: bool = False) -> Graph:
    """All passes; bodies of loops and branches likewise. `pairs` says that the processor multiplies bfloat16 in pairs."""
    return _optimize(graph, pairs, {})


def _optimize(graph: Graph, pairs: bool, given: Given) -> Graph:
    graph = cancel_transposes(simplify(narrow(split_products(inline(graph)), pairs)))
    graph = chunk(prune(simplify(graph)))
    graph, layouts = settle(widen_late(graph), given)
    graph = Graph(graph.inputs, [_nested(eq, pairs, layouts) for eq in graph.equations], graph.outputs, graph.constants)
    straightened = straighten(graph)
    return finish(fuse(rows(graph))) if straightened is graph else straightened


def _nested(eq: Equation, pairs: bool, layouts: Given) -> Equation:
    """The loop or branch with its graphs optimized, which are given views as they are."""
    if eq.primitive is scan:
        body: Graph = eq.params["body"]
        return eq.replace(eq.inputs, body=_optimize(body, pairs, _given_to_a_step(eq, body, layouts)))
    if eq.primitive is branch:
        branches = eq.params["branches"]
        given = [{var: layouts[a] for var, a in zip(graph.inputs, eq.inputs[1:]) if a in layouts} for graph in branches]
        return eq.replace(eq.inputs, branches=tuple(_optimize(graph, pairs, views) for graph, views in zip(branches, given)))
    return eq


def _given_to_a_step(eq: Equation, body: Graph, layouts: Given) -> Given:
    """The layouts of constants, and of slices of the arrays scanned over; a carry has memory of its own."""
    consts, end = eq.params["num_consts"], eq.params["num_consts"] + eq.params["num_carry"]
    given = {}
    for i, (var, atom) in enumerate(zip(body.inputs, eq.inputs)):
        layout = layouts.get(atom)
        if layout is not None and not consts <= i < end:
            given[var] = layout if i < consts else replace(layout, shape=layout.shape[1:], strides=layout.strides[1:])
    return given
