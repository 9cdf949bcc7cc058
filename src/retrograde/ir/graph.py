"""`Graph`, `Equation`, `Var`, `Literal`: a pure program over arrays, in the order in which it runs.

A graph is in static single assignment form: each `Var` is defined once, by an equation, an input or a constant, and
is compared by identity. Graphs nest: the body of a loop is a graph among an equation's parameters.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from retrograde.types import ArrayType

if TYPE_CHECKING:
    from retrograde.ir.primitive import Primitive


class Var:
    """A value that is computed once; `name` is the user's own where one is known."""

    __slots__ = ("name", "type")

    def __init__(self, type: ArrayType, name: str | None = None):
        self.type = type
        self.name = name

    def __repr__(self) -> str:
        return f"Var({self.name or hex(id(self))}: {self.type})"


class Literal:
    """A number known when the graph is built: always 0-d."""

    __slots__ = ("type", "value")

    def __init__(self, value: Any, dtype: np.dtype | None = None):
        self.value = np.asarray(value, dtype=dtype)[()]
        self.type = ArrayType((), self.value.dtype)

    def __repr__(self) -> str:
        return f"Literal({self.value!r})"


Atom = Var | Literal


@dataclass(slots=True, eq=False)
class Equation:
    """`outputs = primitive(*inputs, **params)`; `source` is the user's (file, line, function)."""

    primitive: Primitive
    inputs: tuple[Atom, ...]
    params: dict[str, Any]
    outputs: tuple[Var, ...]
    source: tuple[str, int, str] | None = None

    @property
    def space(self) -> tuple[int, ...]:
        """The shape that is walked over to compute it: the operand's for a reduction, else the output's."""
        return (self.inputs[0] if self.primitive.lowering == "reduction" else self.outputs[0]).type.shape

    @property
    def flops(self) -> float:
        """Floating-point operations of the equation."""
        return self.primitive.count_flops([a.type for a in self.inputs], [o.type for o in self.outputs], self.params)

    def graphs(self) -> list[tuple[str, Graph]]:
        """The graphs among the parameters, with their names: a loop's body, the branches of a branch."""
        found = []
        for key, value in self.params.items():
            if isinstance(value, Graph):
                found.append((key, value))
            elif isinstance(value, tuple):
                found += [(f"{key}[{i}]", graph) for i, graph in enumerate(value) if isinstance(graph, Graph)]
        return found

    def replace(self, inputs: tuple[Atom, ...], **params: Any) -> Equation:
        """The same equation, defining the same variables, reading others."""
        return Equation(self.primitive, inputs, {**self.params, **params}, self.outputs, self.source)


@dataclass(slots=True, eq=False)
class Graph:
    """A program: `inputs -> outputs`, with arrays it closes over in `constants`."""

    inputs: tuple[Var, ...]
    equations: list[Equation]
    outputs: tuple[Atom, ...]
    constants: dict[Var, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        from retrograde.ir.pretty import format_graph

        return format_graph(self)

    def subgraphs(self) -> Iterator[Graph]:
        """The graphs held in parameters of this graph's equations."""
        for equation in self.equations:
            yield from (graph for _, graph in equation.graphs())

    def consumers(self) -> dict[Var, list[Equation]]:
        """Every variable with the equations that read it, in order."""
        uses: dict[Var, list[Equation]] = {}
        for equation in self.equations:
            for atom in equation.inputs:
                if isinstance(atom, Var):
                    uses.setdefault(atom, []).append(equation)
        return uses

    def producers(self) -> dict[Var, Equation]:
        """Every computed variable with its equation."""
        return {out: equation for equation in self.equations for out in equation.outputs}


def eliminate_dead(graph: Graph) -> Graph:
    """Keep only what the outputs need: equations, then constants, that nothing reads are dropped."""
    live = {atom for atom in graph.outputs if isinstance(atom, Var)}
    kept: list[Equation] = []
    for equation in reversed(graph.equations):
        if any(out in live for out in equation.outputs):
            kept.append(equation)
            live.update(atom for atom in equation.inputs if isinstance(atom, Var))
    kept.reverse()
    constants = {var: value for var, value in graph.constants.items() if var in live}
    return Graph(graph.inputs, kept, graph.outputs, constants)
