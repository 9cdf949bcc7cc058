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

NEAR = 12  # equations: the two products of one cotangent, but not the two of an activation
WORTH_PAIRS = 1 << 15  # multiply-adds from which pairs are faster than float32, whose kernels pack less


def narrow(graph: Graph, pairs: bool) -> Graph:
    """The graph with its products narrowed; `pairs` says that the processor multiplies bfloat16 in pairs."""
    if not any(eq.primitive is matmul and eq.params.get("precision") for eq in graph.equations):
        return graph
    producers, equations = graph.producers(), []

    def convert(atom: Atom, dtype: np.dtype) -> Var:
        out = Var(atom.type.with_dtype(dtype), getattr(atom, "name", None))
        equations.append(Equation(ew.convert, (atom,), {"dtype": dtype}, (out,)))
        return out

    def operand(atom: Atom, dtype: np.dtype, wide: bool) -> Atom:
        """The atom rounded to `dtype`, and made float32 again if `wide`, seen through the same views."""
        eq = producers.get(atom)
        if eq is not None and eq.primitive.lowering == "view" and eq.inputs[0].type.size <= atom.type.size:
            source = operand(eq.inputs[0], dtype, wide)
            out = Var(atom.type.with_dtype(source.type.dtype), atom.name)
            equations.append(Equation(eq.primitive, (source,), eq.params, (out,), eq.source))
            return out
        if eq is not None and eq.primitive is ew.convert and eq.inputs[0].type.dtype == dtype:
            return operand(eq.inputs[0], dtype, wide)
        narrow = atom if atom.type.dtype == dtype else convert(atom, dtype)
        return convert(narrow, np.dtype(np.float32)) if wide else narrow

    for eq in graph.equations:
        precision = eq.params.get("precision") if eq.primitive is matmul else None
        if precision is None:
            equations.append(eq)
            continue
        stays = pairs and _in_pairs(eq)
        operands = tuple(operand(atom, precision, not stays) for atom in eq.inputs)
        equations.append(Equation(matmul, operands, eq.params if stays else {}, eq.outputs, eq.source))
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
    """The graph with a widening of its own in front of every reader of a widened value.

    In an elementwise loop that costs no memory. Products read memory, so those that stand near one another share a wide copy.
    """
    producers, consumers = graph.producers(), graph.consumers()
    wide = {var for var, eq in producers.items() if widens(eq) and consumers.get(var)}
    if not wide:
        return graph
    outputs, equations = set(graph.outputs), []
    shared: dict[Var, tuple[int, Var]] = {}
    for position, eq in enumerate(graph.equations):
        if eq.outputs[0] in wide and eq.outputs[0] not in outputs:
            continue
        own: dict[Var, Var] = {}
        in_loop = eq.primitive.lowering in ("elementwise", "reduction", "element")
        for atom in eq.inputs:
            if atom not in wide or atom in own:
                continue
            since, copy = shared.get(atom, (-NEAR, None))
            if not in_loop and copy is not None and position - since < NEAR:
                own[atom] = copy
                continue
            own[atom], made = Var(atom.type, atom.name), producers[atom]
            equations.append(Equation(made.primitive, made.inputs, made.params, (own[atom],), made.source))
            if not in_loop:
                shared[atom] = position, own[atom]
        equations.append(eq.replace(tuple(own.get(atom, atom) for atom in eq.inputs)) if own else eq)
    return Graph(graph.inputs, equations, graph.outputs, graph.constants)
