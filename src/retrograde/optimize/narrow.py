"""Products of reduced precision in terms of what the processor has, and every value narrowed once.

`matmul` with a `precision` means: operands rounded to it, products added in float32. Here the rounding becomes an equation of its
own, in front of the views (a transpose, a reshape) through which the product reads, so that all products of one value share its
narrow copy and the wide one need not be kept; an operand that was widened from a narrow array is read as it was. Where the
processor multiplies bfloat16 in pairs the product stays, on narrow operands; elsewhere it becomes a product of float32.
"""

from __future__ import annotations

import numpy as np

from retrograde.ir import Atom, Equation, Graph, Var
from retrograde.ops import elementwise as ew
from retrograde.ops.matmul import matmul
from retrograde.types import is_bfloat16

WORTH_PAIRS = 1 << 15  # multiply-adds from which pairs are faster than float32, whose kernels pack less


def narrow(graph: Graph, pairs: bool) -> Graph:
    """The graph with its products narrowed; `pairs` says that the processor multiplies bfloat16 in pairs."""
    if not any(eq.primitive is matmul and eq.params.get("precision") for eq in graph.equations):
        return graph
    producers, equations = graph.producers(), []

    def convert(atom: Atom, dtype: np.dtype, source: object) -> Var:
        out = Var(atom.type.with_dtype(dtype), getattr(atom, "name", None))
        equations.append(Equation(ew.convert, (atom,), {"dtype": dtype}, (out,), source))
        return out

    def narrowed(atom: Atom, dtype: np.dtype) -> Atom:
        """The atom rounded to `dtype`, seen through the same views."""
        if atom.type.dtype == dtype:
            return atom
        eq = producers.get(atom)
        if eq is not None and eq.primitive is ew.convert and eq.inputs[0].type.dtype == dtype:
            return eq.inputs[0]
        if eq is not None and eq.primitive.lowering == "view" and eq.inputs[0].type.size <= atom.type.size:
            out = Var(atom.type.with_dtype(dtype), atom.name)
            equations.append(Equation(eq.primitive, (narrowed(eq.inputs[0], dtype),), eq.params, (out,), eq.source))
            return out
        return convert(atom, dtype, None)

    for eq in graph.equations:
        precision = eq.params.get("precision") if eq.primitive is matmul else None
        if precision is None:
            equations.append(eq)
            continue
        operands = tuple(narrowed(atom, precision) for atom in eq.inputs)
        if pairs and _in_pairs(eq):
            equations.append(eq.replace(operands))
        else:
            wide = tuple(convert(atom, np.dtype(np.float32), eq.source) for atom in operands)
            equations.append(Equation(matmul, wide, {}, eq.outputs, eq.source))
    return Graph(graph.inputs, equations, graph.outputs, graph.constants)


def _in_pairs(eq: Equation) -> bool:
    (m, k), n = eq.inputs[0].type.shape[-2:], eq.inputs[1].type.shape[-1]
    return is_bfloat16(eq.params["precision"]) and k % 2 == 0 and min(m, n) >= 4 and m * n * k >= WORTH_PAIRS


def widens(eq: Equation) -> bool:
    """Whether this makes float32 of a narrower float: done again by each reader, so that only the narrow array is held."""
    if eq.primitive is not ew.convert or eq.outputs[0].type.dtype != np.float32:
        return False
    source = eq.inputs[0].type.dtype
    return source == np.float16 or is_bfloat16(source)


def widen_late(graph: Graph) -> Graph:
    """The graph with a widening of its own in front of every equation that reads a widened value."""
    producers, consumers = graph.producers(), graph.consumers()
    wide = {var for var, eq in producers.items() if widens(eq) and consumers.get(var)}
    if not wide:
        return graph
    outputs, equations = set(graph.outputs), []
    for eq in graph.equations:
        if eq.outputs[0] in wide and eq.outputs[0] not in outputs:
            continue
        own: dict[Var, Var] = {}
        for atom in eq.inputs:
            if atom in wide and atom not in own:
                own[atom] = Var(atom.type, atom.name)
                made = producers[atom]
                equations.append(Equation(made.primitive, made.inputs, made.params, (own[atom],), made.source))
        equations.append(eq.replace(tuple(own.get(atom, atom) for atom in eq.inputs)) if own else eq)
    return Graph(graph.inputs, equations, graph.outputs, graph.constants)
