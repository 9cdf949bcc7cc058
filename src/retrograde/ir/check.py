"""Type-check a graph: every variable defined before it is read, every type what its rule says."""

from __future__ import annotations

from retrograde.errors import GraphError
from retrograde.ir.graph import Equation, Graph, Literal, Var
from retrograde.ir.pretty import format_equation, namer


def check_graph(graph: Graph) -> Graph:
    """Return `graph` unchanged, or raise `GraphError` with the equations around the fault."""
    defined: set[Var] = set()
    names = namer(graph)

    def define(var: Var, position: int) -> None:
        if var in defined:
            _fail(graph, position, f"{names(var)} is defined twice")
        defined.add(var)

    for var in (*graph.inputs, *graph.constants):
        define(var, 0)
    for position, eq in enumerate(graph.equations):
        for atom in eq.inputs:
            if isinstance(atom, Var) and atom not in defined:
                _fail(graph, position, f"{names(atom)} is read before it is defined")
        for _, inner in eq.graphs():
            if inner.constants:
                _fail(graph, position, "a nested graph closes over constants; pass them as operands")
            check_graph(inner)
        expected = eq.primitive.type_rule(*[atom.type for atom in eq.inputs], **eq.params)
        expected = tuple(expected) if eq.primitive.multiple else (expected,)
        actual = tuple(out.type for out in eq.outputs)
        if expected != actual:
            shown = ", ".join(map(str, expected)), ", ".join(map(str, actual))
            _fail(graph, position, f"{eq.primitive.name} gives {shown[0]}, the graph says {shown[1]}")
        for out in eq.outputs:
            define(out, position)
    for atom in graph.outputs:
        if not isinstance(atom, Literal) and atom not in defined:
            _fail(graph, len(graph.equations) - 1, f"the output {names(atom)} is never defined")
    return graph


def _fail(graph: Graph, position: int, what: str) -> None:
    names = namer(graph)
    lines = []
    for i in range(max(0, position - 2), min(len(graph.equations), position + 3)):
        eq: Equation = graph.equations[i]
        lines.append(("-> " if i == position else "   ") + format_equation(eq, names))
    raise GraphError(f"the graph is not well formed: {what}\n" + "\n".join(lines))
