"""A large product, or convolution, and the one loop nest that reads it become one `product` equation.

The nest then runs over each piece of the product as soon as it is done and while it is near: bias and activation, an
activation's derivative and a bias's gradient, the optimizer's update of a weight matrix, whose gradient is then never in
memory whole. What the nest reads is computed before the product, which stays where it was. After a convolution the nest is run
over each point of the batch.
"""

from __future__ import annotations

from retrograde.ir import Atom, Equation, Graph, Var
from retrograde.ops.control import fused, product
from retrograde.ops.convolve import MANY_POINTS, convolve
from retrograde.ops.matmul import matmul
from retrograde.ops.shape import reshape
from retrograde.optimize.order import in_order

NEAR_BYTES = 1 << 16  # of a product, up to which it is still in the nearest caches when it is whole
FAR_BYTES = 1 << 20  # of one that would not be in a second cache any more


def finish(graph: Graph) -> Graph:
    """The same graph with nests moved into the products that only they read."""
    consumers = graph.consumers()
    outputs, inputs = set(graph.outputs), set(graph.inputs)
    found: dict[Equation, list[Equation]] = {}  # by nest: the product, perhaps a view of it, the nest
    for eq in graph.equations:
        if eq.primitive not in (matmul, convolve):
            continue
        chain = [eq]
        while len(readers := consumers.get(chain[-1].outputs[0], [])) == 1 and chain[-1].outputs[0] not in outputs:
            chain.append(readers[0])
            if chain[-1].primitive is not reshape:
                break
        fits = _fits if eq.primitive is matmul else _fits_points
        if len(chain) > 1 and chain[-1] not in found and fits(chain, inputs):
            found[chain[-1]] = chain
    if not found:
        return graph
    joined = {chain[0]: _joined(chain, inputs) for chain in found.values()}
    gone = {eq for chain in found.values() for eq in chain[1:]}
    items = [(i, joined.get(eq, eq)) for i, eq in enumerate(graph.equations) if eq not in gone]
    return Graph(graph.inputs, in_order(items), graph.outputs, graph.constants)


def _fits_points(chain: list[Equation], given: set[Var]) -> bool:
    """Whether the nest behind a convolution, of one group, can be run point by point in the memory of one of its outputs."""
    if len(chain) != 3 or chain[0].params.get("by") == "channels" or chain[2].primitive is not fused:
        return False
    if any(0 in atom.type.shape for atom in (*chain[0].inputs, *chain[0].outputs)):
        return False
    (out,), nest, type = chain[1].outputs, chain[2], chain[1].outputs[0].type
    if type.shape != chain[0].outputs[0].type.shape[1:] or type.shape[0] < MANY_POINTS or _home(out, nest, given, 2) is None:
        return False
    return all(
        step.space == type.shape and step.primitive.lowering != "element" and 0 not in step.params.get("axes", ())
        for step in nest.params["body"].equations
    )


def _fits(chain: list[Equation], given: set[Var]) -> bool:
    """Whether the nest can run piece by piece: over the product's own space, each element read where it is, sums down columns."""
    eq, nest = chain[0], chain[-1]
    out, type = eq.outputs[0], eq.outputs[0].type
    if len(chain) != 2 or nest.primitive is not fused or type.ndim != 2 or 0 in eq.inputs[0].type.shape:
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


def _joined(chain: list[Equation], given: set[Var]) -> Equation:
    nest, made = chain[-1], {out for eq in chain[:-1] for out in eq.outputs}
    inner: dict[Atom, Var] = {out: Var(out.type, out.name) for eq in chain for out in eq.outputs}
    operands: dict[Atom, Var] = {}
    for atom in (atom for eq in chain for atom in eq.inputs):
        if isinstance(atom, Var) and atom not in made and atom not in operands:
            operands[atom] = Var(atom.type, atom.name)
    inner |= operands
    steps = []
    for eq in chain:
        results = tuple(inner[out] for out in eq.outputs)
        steps.append(Equation(eq.primitive, tuple(inner.get(a, a) for a in eq.inputs), eq.params, results, eq.source))
    body = Graph(tuple(operands.values()), steps, steps[-1].outputs)
    home = _home(chain[-2].outputs[0], nest, given, 1 if len(chain) == 2 else 2)
    return Equation(product, tuple(operands), {"body": body, "home": home}, nest.outputs, nest.source)


def _home(out: Var, nest: Equation, given: set[Var], most: int = 1) -> int | None:
    """The output in whose memory the product is made; none where the nest has more than `most` to read beside.

    Streams are fast in whole rows only, so the product is then made a few rows at a time, in memory of its own. And what the
    graph is `given`, such as a weight, may be what an output is to be written over.
    """
    alike = [j for j, o in enumerate(nest.outputs) if o.type == out.type and not _is_sum(nest, j)]
    streams = [a for a in nest.inputs if a.type.shape == out.type.shape and a is not out]
    return alike[0] if alike and len(streams) <= most and given.isdisjoint(streams) else None


def _is_sum(nest: Equation, j: int) -> bool:
    body: Graph = nest.params["body"]
    return any(body.outputs[j] in step.outputs and step.primitive.lowering == "reduction" for step in body.equations)
