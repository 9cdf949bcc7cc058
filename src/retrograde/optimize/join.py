"""A sum of arrays that are zero outside slices of their own, which are parts of one axis, becomes one concatenation.

Such a sum is the cotangent of what was split: each part's cotangent comes embedded in zeros. Joined, every element is written
once, instead of once for each part, and added up.
"""

from __future__ import annotations

from retrograde.ir import Atom, Equation, Graph
from retrograde.ir.graph import eliminate_dead
from retrograde.ops.elementwise import add
from retrograde.ops.shape import concatenate, embed


def join(graph: Graph) -> Graph:
    """The same graph with these sums as concatenations."""
    pieces: dict[Atom, list[Equation]] = {}  # of each sum of embedded arrays, these
    equations = []
    for eq in graph.equations:
        out = eq.outputs[0]
        if eq.primitive is embed:
            pieces[out] = [eq]
        elif eq.primitive is add and all(a in pieces and a.type == out.type for a in eq.inputs):
            pieces[out] = [piece for a in eq.inputs for piece in pieces[a]]
            eq = _joined(eq, pieces[out]) or eq
        equations.append(eq)
    if not any(len(found) > 1 for found in pieces.values()):
        return graph
    return eliminate_dead(Graph(graph.inputs, equations, graph.outputs, graph.constants))


def _joined(eq: Equation, pieces: list[Equation]) -> Equation | None:
    """The concatenation that `eq`, the sum of the pieces, is, if they follow one another along an axis and fill it."""
    shape = eq.outputs[0].type.shape
    for axis, length in enumerate(shape):
        parts = sorted(pieces, key=lambda piece: piece.params["start"][axis])
        edges = [0, *(piece.params["limit"][axis] for piece in parts)]
        if edges[-1] == length and all(_fills(piece, axis, begin) for piece, begin in zip(parts, edges)):
            return Equation(concatenate, tuple(piece.inputs[0] for piece in parts), {"axis": axis}, eq.outputs, eq.source)
    return None


def _fills(piece: Equation, axis: int, begin: int) -> bool:
    """Whether it is whole along all other axes, and begins there along this one."""
    start, limit, step = (piece.params[name] for name in ("start", "limit", "step"))
    whole = all((start[a], limit[a]) == (0, n) for a, n in enumerate(piece.params["shape"]) if a != axis)
    return whole and start[axis] == begin and set(step) == {1}
