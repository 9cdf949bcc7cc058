"""Run a graph equation by equation: on plain arrays by NumPy (the oracle), on traced values by recording."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from retrograde.ir.graph import Graph, Literal, Var


def evaluate(graph: Graph, inputs: Sequence[Any], known: Mapping[Var, Any] | None = None) -> list[Any]:
    """The outputs of `graph` at `inputs`; values are dropped after their last reader."""
    env: dict[Var, Any] = dict(known) if known else {}
    env.update(graph.constants)
    env.update(zip(graph.inputs, inputs, strict=True))
    last = {atom: i for i, eq in enumerate(graph.equations) for atom in eq.inputs if isinstance(atom, Var)}
    keep = {atom for atom in graph.outputs if isinstance(atom, Var)}
    for i, eq in enumerate(graph.equations):
        args = [a.value if isinstance(a, Literal) else env[a] for a in eq.inputs]
        results = eq.primitive(*args, **eq.params)
        env.update(zip(eq.outputs, results if eq.primitive.multiple else (results,)))
        for atom in eq.inputs:
            if isinstance(atom, Var) and last[atom] == i and atom not in keep:
                env.pop(atom, None)
    return [a.value if isinstance(a, Literal) else env[a] for a in graph.outputs]
