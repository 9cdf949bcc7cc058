"""What is put in a stack and taken out again, as a loop's states are, is read from where it came: h4, not [h1, …][3]."""

from __future__ import annotations

from retrograde.ir import Atom, Equation, Graph, Var
from retrograde.ir.graph import eliminate_dead
from retrograde.ops.shape import reshape, transpose


def pick(graph: Graph) -> Graph:
    """The same graph, in which a slice of a stack (or of its transpose) that is one part of it reads this part alone."""
    made = graph.producers()
    return eliminate_dead(Graph(graph.inputs, [_picked(eq, made) for eq in graph.equations], graph.outputs, graph.constants))


def _picked(eq: Equation, made: dict[Var, Equation]) -> Equation:
    if eq.primitive.name != "slice":
        return eq
    before = made.get(eq.inputs[0])  # type: ignore[arg-type]
    turned = before if before is not None and before.primitive is transpose else None
    stack = made.get(turned.inputs[0]) if turned is not None else before  # type: ignore[arg-type]
    if stack is None or stack.primitive.name != "concatenate":
        return eq
    axes = turned.params["axes"] if turned is not None else tuple(range(len(eq.inputs[0].type.shape)))
    part = _part(stack, eq, axes.index(stack.params["axis"]))
    if part is None:
        return eq
    if turned is not None:
        return Equation(transpose, (part,), {"axes": axes}, eq.outputs, eq.source)
    return Equation(reshape, (part,), {"shape": eq.outputs[0].type.shape}, eq.outputs, eq.source)


def _part(stack: Equation, cut: Equation, axis: int) -> Atom | None:
    """The operand of the concatenation that a cut along `axis` alone takes as a whole."""
    shape, start, limit = cut.inputs[0].type.shape, cut.params["start"], cut.params["limit"]
    whole = all((a, b) == (0, n) for i, (a, b, n) in enumerate(zip(start, limit, shape)) if i != axis)
    if set(cut.params["step"]) != {1} or not whole:
        return None
    place = 0
    for atom in stack.inputs:
        end = place + atom.type.shape[stack.params["axis"]]
        if (start[axis], limit[axis]) == (place, end):
            return atom
        place = end
    return None


__all__ = ["pick"]
