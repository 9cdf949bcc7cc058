"""The passes in their order, on a graph and on the graphs inside it."""

from __future__ import annotations

from dataclasses import replace

from retrograde.ir import Equation, Graph, Var
from retrograde.ir.layout import Layout
from retrograde.ops.branch import branch
from retrograde.ops.control import scan
from retrograde.ops.prune import prune
from retrograde.optimize.chunk import chunk
from retrograde.optimize.deal import deal
from retrograde.optimize.finish import finish
from retrograde.optimize.fuse import fuse
from retrograde.optimize.hoist import hoist
from retrograde.optimize.inline import inline
from retrograde.optimize.join import join
from retrograde.optimize.narrow import narrow, widen_late
from retrograde.optimize.parts import split_products
from retrograde.optimize.rows import rows
from retrograde.optimize.settle import settle
from retrograde.optimize.simplify import simplify
from retrograde.optimize.stages import in_stages
from retrograde.optimize.straighten import straighten
from retrograde.optimize.transposes import cancel_transposes

Given = dict[Var, Layout]


def optimize(graph: Graph, pairs: bool = False) -> Graph:
    """All passes; bodies of loops and branches likewise. `pairs` says that the processor multiplies bfloat16 in pairs."""
    return _optimize(graph, pairs, {}, False)


def _optimize(graph: Graph, pairs: bool, given: Given, dealt: bool) -> Graph:
    """`dealt` says that the graph is in a loop whose steps are dealt out to threads: none inside need be."""
    graph = cancel_transposes(simplify(narrow(split_products(inline(graph)), pairs)))
    graph = hoist(prune(join(simplify(graph))))
    graph = chunk(graph if dealt else deal(graph))
    graph, layouts = settle(in_stages(widen_late(graph)), given)
    graph = Graph(graph.inputs, [_nested(eq, pairs, layouts, dealt) for eq in graph.equations], graph.outputs, graph.constants)
    straightened = straighten(graph)
    return finish(fuse(rows(graph))) if straightened is graph else straightened


def _nested(eq: Equation, pairs: bool, layouts: Given, dealt: bool) -> Equation:
    """The loop or branch with its graphs optimized, which are given views as they are."""
    if eq.primitive is scan:
        body: Graph = eq.params["body"]
        dealt = dealt or not eq.params["num_carry"]
        return eq.replace(eq.inputs, body=_optimize(body, pairs, _given_to_a_step(eq, body, layouts), dealt))
    if eq.primitive is branch:
        branches = eq.params["branches"]
        given = [{var: layouts[a] for var, a in zip(graph.inputs, eq.inputs[1:]) if a in layouts} for graph in branches]
        made = (_optimize(graph, pairs, views, dealt) for graph, views in zip(branches, given))
        return eq.replace(eq.inputs, branches=tuple(made))
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
