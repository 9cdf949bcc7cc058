"""Backpropagation: from a graph to the graph of its backward pass.

Reverse mode after Linnainmaa (1970) and Rumelhart, Hinton and Williams (1986): walk the equations backwards; each one's
pullback turns the cotangent of its output, dl/df_k, already computed and reused here, into cotangents of its inputs;
a value read more than once adds its cotangents up. What no wanted input reaches is skipped, and of the forward values
only those that some pullback read are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from retrograde.errors import DifferentiationError
from retrograde.ir import Atom, Builder, Equation, Graph, Literal, Var
from retrograde.ops.reduce import sum_to_shape
from retrograde.ops.symbol import Symbol
from retrograde.types import kind_of


@dataclass(frozen=True)
class Backward:
    """The backward pass: `graph` maps (kept forward values, cotangents of the outputs) to cotangents of `wrt`.

    `kept` names the forward graph's variables that the backward pass reads, in the order of the graph's first inputs.
    A wanted input that nothing reaches has None at its place in `reached` instead of an output of the graph.
    """

    graph: Graph
    kept: tuple[Var, ...]
    reached: tuple[int | None, ...]


@dataclass
class Trail:
    """Where a backward pass came by: `cotangents` of forward variables, and the forward equation that each of its own is for."""

    cotangents: dict[Var, Atom] = field(default_factory=dict)
    origins: dict[Equation, Equation] = field(default_factory=dict)


def backprop(graph: Graph, wrt: Sequence[Var], seeds: Sequence[int], trail: Trail | None = None) -> Backward:
    """The backward pass of `graph` towards the inputs `wrt`; `seeds` are the outputs that get a cotangent.

    A `trail` is filled in with what belongs to what, for those who want to look on.
    """
    varying = varying_in(graph, wrt)
    builder = Builder(Symbol)
    forward: dict[Var, Symbol] = {}
    cotangents: dict[Var, Any] = {}

    def value(atom):
        """A forward value as the pullback sees it: a number, or a symbol that makes it kept if it is read."""
        if isinstance(atom, Literal):
            return atom.value
        if atom not in forward:
            forward[atom] = Symbol(builder, atom)
        return forward[atom]

    def accumulate(var: Var, ct: Any) -> None:
        ct = sum_to_shape(ct, var.type.shape)
        cotangents[var] = ct if var not in cotangents else cotangents[var] + ct

    seed_symbols = [builder.input(graph.outputs[i].type) for i in seeds]
    for i, symbol in zip(seeds, seed_symbols):
        if graph.outputs[i] in varying:
            accumulate(graph.outputs[i], symbol)
    for eq in reversed(graph.equations):
        cts = [cotangents.pop(out, None) for out in eq.outputs]
        if all(ct is None for ct in cts) or not any(atom in varying for atom in eq.inputs):
            continue
        first = len(builder.equations)
        for atom, ct in zip(eq.inputs, pull_equation(eq, cts, value, varying)):
            if ct is not None and atom in varying:
                accumulate(atom, ct)
        if trail is not None:
            trail.cotangents.update((out, builder.atom(ct)) for out, ct in zip(eq.outputs, cts) if ct is not None)
            trail.origins.update((made, eq) for made in builder.equations[first:])

    if trail is not None:
        trail.cotangents.update((var, builder.atom(ct)) for var, ct in cotangents.items())
    found = [cotangents.get(var) for var in wrt]
    positions = iter(range(len(wrt)))
    reached = tuple(None if ct is None else next(positions) for ct in found)
    result = builder.finish([ct for ct in found if ct is not None])
    used = {atom for eq in result.equations for atom in eq.inputs} | set(result.outputs)
    kept = tuple(var for var in forward if var in used)
    return Backward(
        Graph((*kept, *result.inputs), result.equations, result.outputs, result.constants), kept, reached
    )


def varying_in(graph: Graph, wrt: Sequence[Var]) -> set:
    """The floating-point variables that depend on `wrt`."""
    varying: set = set(wrt)
    for eq in graph.equations:
        if any(atom in varying for atom in eq.inputs if isinstance(atom, Var)):
            varying.update(out for out in eq.outputs if kind_of(out.type.dtype) in "fc")
    return varying


def pull_equation(eq: Equation, cts: list, value: Callable[[Any], Any], varying: set) -> Sequence[Any]:
    """The cotangents of an equation's inputs, from its primitive's pullback."""
    primitive = eq.primitive
    if primitive.pullback is None:
        at = f" ({eq.source[0]}:{eq.source[1]})" if eq.source else ""
        raise DifferentiationError(f"{primitive.name} has no derivative, and the loss depends on a parameter through it{at}")
    outs = tuple(value(out) for out in eq.outputs)
    inputs = [value(atom) for atom in eq.inputs]
    if primitive.keeping is not None:
        flags = [atom in varying for atom in eq.inputs]
        return primitive.pullback(tuple(cts), outs, *inputs, varying=flags, **eq.params)
    if primitive.multiple:
        return primitive.pullback(tuple(cts), outs, *inputs, **eq.params)
    return primitive.pullback(cts[0], outs[0], *inputs, **eq.params)
