"""A long sum over the first axis and others is taken over the others first, then over the first.

Both sums are small to store, and the first stage keeps the first axis, which threads can share. So does the nest that it is
fused into: sums down columns, as of a bias's or a layer norm's gradient, beside sums along rows would leave no axis to share.
"""

from __future__ import annotations

from retrograde.ir import Equation, Graph, Var
from retrograde.ops.reduce import sum_

LEAST = 1 << 15  # elements that are summed, from which it may pay
FEW = 8  # indices of the first axis


def in_stages(graph: Graph) -> Graph:
    """The same graph with such sums in two stages."""
    return Graph(graph.inputs, [stage for eq in graph.equations for stage in _stages(eq)], graph.outputs, graph.constants)


def _stages(eq: Equation) -> list[Equation]:
    source = eq.inputs[0].type if eq.primitive is sum_ else None
    axes = eq.params["axes"] if source is not None else ()
    if source is None or source.size < LEAST or source.shape[0] < FEW or not {0} < set(axes) < set(range(source.ndim)):
        return [eq]
    others = tuple(sorted(set(axes) - {0}))
    between = Var(source.with_shape(tuple(n for a, n in enumerate(source.shape) if a not in others)))
    return [
        Equation(sum_, eq.inputs, {"axes": others}, (between,), eq.source),
        Equation(sum_, (between,), {"axes": (0,)}, eq.outputs, eq.source),
    ]
