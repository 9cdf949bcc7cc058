"""Fold constants, drop identities, share common subexpressions."""

from __future__ import annotations

from typing import Any

import numpy as np

from retrograde.ir import Atom, Equation, Graph, Literal, Var
from retrograde.ir.graph import eliminate_dead
from retrograde.ops import elementwise as ew
from retrograde.ops import shape as sh
from retrograde.ops.implicit import implicit
from retrograde.ops.matmul import matmul
from retrograde.ops.special import order
from retrograde.optimize.transposes import transposed


def simplify(graph: Graph) -> Graph:
    """One walk from the inputs to the outputs, then dead code goes."""
    known: dict[Var, Atom] = {}
    seen: dict[Any, tuple[Var, ...]] = {}
    producers: dict[Var, Equation] = {}
    kept: list[Equation] = []

    def now(atom: Atom) -> Atom:
        return known.get(atom, atom) if isinstance(atom, Var) else atom

    for eq in _transposed_early(graph):
        eq = eq.replace(_unbroadcast(eq, tuple(now(atom) for atom in eq.inputs), producers))
        if (simpler := _simpler(eq, producers)) is not None:
            known[eq.outputs[0]] = simpler
            continue
        key = _key(eq)
        if key is not None and key in seen:
            known.update(zip(eq.outputs, seen[key]))
            continue
        if key is not None:
            seen[key] = eq.outputs
        producers.update((out, eq) for out in eq.outputs)
        kept.append(eq)
    outputs = tuple(now(atom) for atom in graph.outputs)
    return eliminate_dead(Graph(graph.inputs, kept, outputs, graph.constants))


def _transposed_early(graph: Graph) -> list[Equation]:
    """(A B)' as B' A', and (a b)' of small a, b as a' b', where nothing else reads the product.

    A product, a matrix's or an outer one, then comes out in the layout that its reader wants.
    """
    consumers, producers, outputs = graph.consumers(), graph.producers(), set(graph.outputs)
    result: list[Equation] = []
    for eq in graph.equations:
        source = producers.get(eq.inputs[0]) if eq.primitive is sh.transpose else None
        alone = source is not None and len(consumers[eq.inputs[0]]) == 1 and eq.inputs[0] not in outputs
        rank = len(eq.outputs[0].type.shape)
        swaps = eq.params.get("axes") == (*range(rank - 2), rank - 1, rank - 2)
        if alone and source.primitive is matmul and swaps:
            operands = [transposed(atom, eq.params["axes"], eq, result) for atom in reversed(source.inputs)]
        elif alone and source.primitive.lowering == "elementwise" and _spreads(source):
            operands = [transposed(atom, eq.params["axes"], eq, result) for atom in source.inputs]
        else:
            result.append(eq)
            continue
        result.append(Equation(source.primitive, tuple(operands), source.params, eq.outputs, source.source))
    return result


def _spreads(eq: Equation) -> bool:
    """Whether broadcasting makes the result larger than any operand, so that to turn those is to move less."""
    return all(2 * atom.type.size <= eq.outputs[0].type.size for atom in eq.inputs)


def _key(eq: Equation) -> Any:
    atoms = tuple(
        ("#", a.type.dtype.str, a.value.tobytes()) if isinstance(a, Literal) else id(a) for a in eq.inputs
    )
    key = (eq.primitive.name, atoms, tuple(sorted(eq.params.items(), key=lambda item: item[0])))
    try:
        hash(key)
    except TypeError:
        return None
    return key


def _unbroadcast(eq: Equation, inputs: tuple[Atom, ...], producers: dict) -> tuple[Atom, ...]:
    """An elementwise operation broadcasts by itself: read what a broadcast read, where the shape stays."""
    if eq.primitive.lowering != "elementwise":
        return inputs
    inputs = list(inputs)
    for i, atom in enumerate(inputs):
        source = producers.get(atom) if isinstance(atom, Var) else None
        if source is not None and source.primitive is sh.broadcast_to:
            others = [a.type.shape for j, a in enumerate(inputs) if j != i]
            original = source.inputs[0]
            if np.broadcast_shapes(original.type.shape, *others) == eq.outputs[0].type.shape:
                inputs[i] = original
    return tuple(inputs)


def _simpler(eq: Equation, producers: dict) -> Atom | None:
    """An atom that already has the value of this equation, if there is one."""
    primitive, inputs, out = eq.primitive, eq.inputs, eq.outputs[0].type
    if primitive.lowering == "elementwise" and all(isinstance(a, Literal) for a in inputs):
        with np.errstate(all="ignore"):
            return Literal(primitive.reference(*[a.value for a in inputs], **eq.params), out.dtype)
    if primitive in (implicit, order, ew.stop_gradient):
        return inputs[0]
    if primitive in (sh.reshape, sh.broadcast_to, ew.convert) and inputs[0].type == out:
        return inputs[0]
    if primitive is sh.transpose and eq.params["axes"] == tuple(range(len(out.shape))):
        return inputs[0]
    if primitive in (ew.multiply, ew.divide) and _is(inputs[1], 1) and inputs[0].type == out:
        return inputs[0]
    if primitive is ew.multiply and _is(inputs[0], 1) and inputs[1].type == out:
        return inputs[1]
    if primitive is sh.transpose and (before := producers.get(inputs[0])) and before.primitive is sh.transpose:
        first, second = before.params["axes"], eq.params["axes"]
        if tuple(first[a] for a in second) == tuple(range(len(first))):
            return before.inputs[0]
    if primitive is sh.reshape and (before := producers.get(inputs[0])) and before.primitive is sh.reshape:
        return before.inputs[0] if before.inputs[0].type == out else None
    if primitive is sh.slice_ and (before := producers.get(inputs[0])) and before.primitive is sh.concatenate:
        return _part(before, eq)
    if primitive is ew.negative and (before := producers.get(inputs[0])) and before.primitive is ew.negative:
        return before.inputs[0]
    return None


def _part(joined: Equation, cut: Equation) -> Atom | None:
    """The operand of a concatenation that a slice of it takes, if it takes a whole one."""
    axis, begin = joined.params["axis"], 0
    for atom in joined.inputs:
        start = tuple(begin if a == axis else 0 for a in range(len(atom.type.shape)))
        if cut.params["start"] == start and cut.outputs[0].type == atom.type and set(cut.params["step"]) == {1}:
            return atom
        begin += atom.type.shape[axis]
    return None


def _is(atom: Atom, number: float) -> bool:
    return isinstance(atom, Literal) and atom.value == number
