"""What is done element by element between a transposition and its inverse is done without both.

Layers of a network of convolutions, say, keep channels last for themselves and hand them on first: so activations between them
need no other layout.
"""

from __future__ import annotations

from retrograde.ir import Atom, Equation, Graph, Literal, Var
from retrograde.ops import shape as sh

Axes = tuple[int, ...]


def cancel_transposes(graph: Graph) -> Graph:
    """The same graph with elementwise operations moved in front of transpositions that somebody behind them takes back."""
    wanted = _wanted(graph)
    if not wanted:
        return graph
    turned: dict[Var, tuple[Atom, Axes]] = {}  # transposed variables: of what, and how
    equations: list[Equation] = []
    for eq in graph.equations:
        out = eq.outputs[0]
        axes = _axes_of(eq, turned, wanted.get(out, set())) if eq.primitive.lowering == "elementwise" else None
        if axes is not None:
            inverse = _inverse(axes)
            operands = [turned[a][0] if a in turned else transposed(a, inverse, eq, equations) for a in eq.inputs]
            inner = Var(out.type.with_shape(tuple(out.type.shape[a] for a in inverse)), out.name)
            equations.append(Equation(eq.primitive, tuple(operands), eq.params, (inner,), eq.source))
            eq = Equation(sh.transpose, (inner,), {"axes": axes}, (out,), eq.source)
        if eq.primitive is sh.transpose:
            turned[out] = eq.inputs[0], eq.params["axes"]
        equations.append(eq)
    return Graph(graph.inputs, equations, graph.outputs, graph.constants)


def _wanted(graph: Graph) -> dict[Var, set[Axes]]:
    """For each variable the transpositions that, had it been made by one, would be taken back behind it."""
    wanted: dict[Var, set[Axes]] = {}
    for eq in reversed(graph.equations):
        if eq.primitive is sh.transpose:
            found = {_inverse(eq.params["axes"])}
        elif eq.primitive.lowering == "elementwise":
            found = wanted.get(eq.outputs[0], set())
        else:
            continue
        for atom in eq.inputs:
            if found and isinstance(atom, Var) and len(atom.type.shape) == len(eq.outputs[0].type.shape):
                wanted.setdefault(atom, set()).update(found)
    return wanted


def _axes_of(eq: Equation, turned: dict, wanted: set[Axes]) -> Axes | None:
    """The wanted transposition that all operands of the result's shape were made by, if there is one; the others are small."""
    shape = eq.outputs[0].type.shape
    whole = [a for a in eq.inputs if a.type.shape == shape]
    found = {turned[a][1] if a in turned else None for a in whole}
    axes = found.pop() if len(found) == 1 else None
    small = all(2 * a.type.size <= eq.outputs[0].type.size and a not in turned for a in eq.inputs if a.type.shape != shape)
    return axes if axes in wanted and small else None


def _inverse(axes: Axes) -> Axes:
    return tuple(sorted(range(len(axes)), key=axes.__getitem__))


def transposed(atom: Atom, axes: Axes, eq: Equation, result: list[Equation]) -> Atom:
    """`atom`, which broadcasts to what `eq` makes, transposed likewise; what that takes is added to `result`."""
    if isinstance(atom, Literal) or not atom.type.shape:
        return atom
    if len(atom.type.shape) < len(axes):
        filled = Var(atom.type.with_shape((*[1] * (len(axes) - len(atom.type.shape)), *atom.type.shape)))
        result.append(Equation(sh.reshape, (atom,), {"shape": filled.type.shape}, (filled,), eq.source))
        atom = filled
    turned = Var(atom.type.with_shape(tuple(atom.type.shape[a] for a in axes)))
    result.append(Equation(sh.transpose, (atom,), {"axes": axes}, (turned,), eq.source))
    return turned
