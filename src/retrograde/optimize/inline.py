"""Put the graphs of checkpoints and of functions with a rule of their own in the place of the equations that hold them.

What a checkpoint computes again reads its operands through `after`, which waits for the cotangents and for whatever stands
before: so common subexpressions are not shared with the forward pass, nor the work fused into it, and what the forward pass
made there is not held.
"""

from __future__ import annotations

from retrograde.ir import Atom, Equation, Graph, Var
from retrograde.ir.graph import eliminate_dead
from retrograde.ops.nested import after, graph_of


def inline(graph: Graph) -> Graph:
    """The graph with no equation of kind `graph`; loop bodies keep theirs until they are optimized."""
    if not any(eq.primitive.lowering == "graph" for eq in graph.equations):
        return graph
    known: dict[Var, Atom] = {}
    made: list[Equation] = []
    _put(eliminate_dead(graph).equations, known, made, set())
    outputs = tuple(known.get(a, a) if isinstance(a, Var) else a for a in graph.outputs)
    return eliminate_dead(Graph(graph.inputs, made, outputs, graph.constants))


def _put(equations: list[Equation], known: dict[Var, Atom], made: list[Equation], renamed: set[Var]) -> None:
    """Append equations, reading what is `known` by another name; those of a nested graph get variables of their own."""
    for eq in equations:
        inputs = tuple(known.get(a, a) if isinstance(a, Var) else a for a in eq.inputs)
        if eq.primitive.lowering != "graph":
            outputs = tuple(Var(out.type, out.name) if out in renamed else out for out in eq.outputs)
            known.update(zip(eq.outputs, outputs))
            made.append(Equation(eq.primitive, inputs, eq.params, outputs, eq.source))
            continue
        body = graph_of(eq.primitive, eq.params)
        operands = _later(inputs, made) if eq.params.get("again") else inputs
        inner: dict[Var, Atom] = dict(zip(body.inputs, operands))
        body = eliminate_dead(body)
        _put(body.equations, inner, made, {out for e in body.equations for out in e.outputs})
        known.update((out, inner.get(a, a) if isinstance(a, Var) else a) for out, a in zip(eq.outputs, body.outputs))


def _later(inputs: tuple[Atom, ...], made: list[Equation]) -> tuple[Atom, ...]:
    """The operands, not before all of them are known and the equation before is done: the first waits, the others for it."""
    operands = list(dict.fromkeys(a for a in inputs if isinstance(a, Var)))
    waits = tuple(dict.fromkeys([*operands[1:], *(made[-1].outputs[:1] if made else ())]))
    later: dict[Atom, Atom] = {}
    for var in operands:
        later[var] = Var(var.type, var.name)
        made.append(Equation(after, (var, *(a for a in waits if a is not var)), {}, (later[var],)))
        waits = (later[operands[0]],)
    return tuple(later.get(a, a) for a in inputs)


__all__ = ["inline"]
