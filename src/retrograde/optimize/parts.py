"""Products of complex matrices said in four of real ones, whose kernels, threads and working memory are the usual.

Taking operands apart is an elementwise loop over each, shared by all products of one value; so is putting the result together.
Three products would do (Gauss), but lose digits of the smaller part where the parts differ in size.
"""

from __future__ import annotations

from retrograde.ir import Atom, Equation, Graph, Literal, Primitive, Var
from retrograde.ops import complex as cx
from retrograde.ops import elementwise as ew
from retrograde.ops.matmul import matmul


def split_products(graph: Graph) -> Graph:
    """The graph with its complex products in real ones."""
    if not any(_is_complex_product(eq) for eq in graph.equations):
        return graph
    equations: list[Equation] = []
    known: dict[tuple[Atom, str], Atom] = {}

    def emit(primitive: Primitive, *inputs: Atom) -> Var:
        out = Var(primitive.type_rule(*[atom.type for atom in inputs]))
        equations.append(Equation(primitive, inputs, {}, (out,), eq.source))
        return out

    def parts(atom: Atom) -> tuple[Atom, Atom]:
        return part(atom, cx.real), part(atom, cx.imag)

    def part(atom: Atom, which: Primitive) -> Atom:
        if isinstance(atom, Literal):
            return Literal(which.reference(atom.value))
        if (atom, which.name) not in known:
            known[atom, which.name] = emit(which, atom)
        return known[atom, which.name]

    for eq in graph.equations:
        if not _is_complex_product(eq):
            equations.append(eq)
            continue
        (a, b), (c, d) = map(parts, eq.inputs)
        re = emit(ew.subtract, emit(matmul, a, c), emit(matmul, b, d))
        im = emit(ew.add, emit(matmul, a, d), emit(matmul, b, c))
        equations.append(Equation(cx.complex_, (re, im), {}, eq.outputs, eq.source))
    return Graph(graph.inputs, equations, graph.outputs, graph.constants)


def _is_complex_product(eq: Equation) -> bool:
    return eq.primitive is matmul and eq.outputs[0].type.dtype.kind == "c"
