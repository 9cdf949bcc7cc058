"""A large product and the one loop nest that reads it become one `product` equation.

The nest then runs over each piece of the product as soon as it is done and while it is near: bias and activation, an
activation's derivative and a bias's gradient, the optimizer's update of a weight matrix, whose gradient is then never in
memory whole. What the nest reads is computed before the product, which stays where it was.
"""

from __future__ import annotations

from retrograde.ir import Atom, Equation, Graph, Var
from retrograde.ops.control import fused, product
from retrograde.ops.matmul import matmul
from retrograde.optimize.order import in_order

NEAR_BYTES = 1 << 16  # of a product, up to which it is still in the nearest caches when it is whole
FAR_BYTES = 1 << 20  # of one that would not be in a second cache any more


def finish(graph: Graph) -> Graph:
    """The same graph with nests moved into the products that only they read."""
    consumers = graph.consumers()
    outputs, inputs = set(graph.outputs), set(graph.inputs)
    made: dict[Equation, Equation] = {}
    for eq in graph.equations:
        if eq.primitive is not matmul:
            continue
        readers, out = consumers.get(eq.outputs[0], []), eq.outputs[0]
        if len(readers) == 1 and out not in outputs and readers[0] not in made and _fits(eq, readers[0], inputs):
            made[readers[0]] = eq
    if not made:
        return graph
    joined = {first: _joined(first, nest, inputs) for nest, first in made.items()}
    items = [(i, joined.get(eq, eq)) for i, eq in enumerate(graph.equations) if eq not in made]
    return Graph(graph.inputs, in_order(items), graph.outputs, graph.constants)


def _fits(eq: Equation, nest: Equation, given: set[Var]) -> bool:
    """Whether the nest can run piece by piece: over the product's own space, each element read where it is, sums down columns."""
    out, type = eq.outputs[0], eq.outputs[0].type
    if nest.primitive is not fused or type.ndim != 2 or 0 in eq.inputs[0].type.shape:
        return False
    if type.nbytes < (FAR_BYTES if _home(out, nest, given) is None else NEAR_BYTES):
        return False
    body: Graph = nest.params["body"]
    inner = body.inputs[nest.inputs.index(out)]
    for step in body.equations:
        kind = step.primitive.lowering
        if step.space != type.shape or kind == "element" or (kind == "reduction" and step.params["axes"] != (0,)):
            return False
    return inner.type == type


def _joined(eq: Equation, nest: Equation, given: set[Var]) -> Equation:
    out = eq.outputs[0]
    operands: dict[Atom, Var] = {}
    for atom in (*eq.inputs, *nest.inputs):
        if isinstance(atom, Var) and atom is not out and atom not in operands:
            operands[atom] = Var(atom.type, atom.name)
    inner = {**operands, out: Var(out.type, out.name)}
    first = Equation(matmul, tuple(inner.get(a, a) for a in eq.inputs), eq.params, (inner[out],), eq.source)
    results = tuple(Var(o.type, o.name) for o in nest.outputs)
    then = Equation(fused, tuple(inner.get(a, a) for a in nest.inputs), nest.params, results, nest.source)
    body = Graph(tuple(operands.values()), [first, then], results)
    return Equation(product, tuple(operands), {"body": body, "home": _home(out, nest, given)}, nest.outputs, nest.source)


def _home(out: Var, nest: Equation, given: set[Var]) -> int | None:
    """The output in whose memory the product is made; none where the nest has more to read and write than that.

    Streams are fast in whole rows only, so the product is then made a few rows at a time, in memory of its own. And what the
    graph is `given`, such as a weight, may be what an output is to be written over.
    """
    alike = [j for j, o in enumerate(nest.outputs) if o.type == out.type and not _is_sum(nest, j)]
    streams = [a for a in nest.inputs if a.type.shape == out.type.shape and a is not out]
    return alike[0] if alike and len(streams) <= 1 and given.isdisjoint(streams) else None


def _is_sum(nest: Equation, j: int) -> bool:
    body: Graph = nest.params["body"]
    return any(body.outputs[j] in step.outputs and step.primitive.lowering == "reduction" for step in body.equations)
