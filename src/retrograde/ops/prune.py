"""Drop what a loop or a branch makes and nobody reads: results, carries that matter only to themselves, operands.

One recorded for a derivative puts out all that its pullback might read; what it did not read ends here.
"""

from __future__ import annotations

from collections.abc import Collection

from retrograde.ir import Equation, Graph, Var
from retrograde.ops.branch import branch
from retrograde.ops.control import scan


def prune(graph: Graph) -> Graph:
    """The graph without dead equations, and with loops and branches that make only what is read."""
    live = {atom for atom in graph.outputs if isinstance(atom, Var)}
    kept: list[Equation] = []
    for eq in reversed(graph.equations):
        if not any(out in live for out in eq.outputs):
            continue
        if eq.primitive is scan:
            eq = _narrowed(eq, live)
        elif eq.primitive is branch:
            eq = _narrowed_branch(eq, live)
        kept.append(eq)
        live.update(atom for atom in eq.inputs if isinstance(atom, Var))
    constants = {var: value for var, value in graph.constants.items() if var in live}
    return Graph(graph.inputs, kept[::-1], graph.outputs, constants)


def _narrowed(eq: Equation, live: Collection[Var]) -> Equation:
    """The loop without the ys and carries that neither `live` holds nor a later step reads."""
    body: Graph = eq.params["body"]
    consts, carries, exit = eq.params["num_consts"], eq.params["num_carry"], eq.params["exit"]
    end = consts + carries
    ys = [i for i in range(carries, len(eq.outputs)) if eq.outputs[i] in live]
    carry = {i for i in range(carries) if eq.outputs[i] in live or i == exit}
    while True:
        wanted = [*sorted(carry), *ys]
        step = prune(Graph(body.inputs, body.equations, tuple(body.outputs[i] for i in wanted)))
        read = {atom for inner in step.equations for atom in inner.inputs} | set(step.outputs)
        more = {i for i in range(carries) if body.inputs[consts + i] in read} - carry
        if not more:
            break
        carry |= more
    inputs = [i for i, var in enumerate(body.inputs) if i - consts in carry or (not consts <= i < end and var in read)]
    if len(inputs) == len(body.inputs) and len(wanted) == len(body.outputs):
        return eq.replace(eq.inputs, body=step)
    params = {
        **eq.params, "body": Graph(tuple(body.inputs[i] for i in inputs), step.equations, step.outputs),
        "num_consts": sum(i < consts for i in inputs), "num_carry": len(carry),
        "exit": None if exit is None else sorted(carry).index(exit),
    }  # fmt: skip
    operands = tuple(eq.inputs[i] for i in inputs)
    return Equation(scan, operands, params, tuple(eq.outputs[i] for i in wanted), eq.source)


def _narrowed_branch(eq: Equation, live: Collection[Var]) -> Equation:
    """The branch without the results that `live` does not hold, and without operands that no branch reads."""
    wanted = [i for i, out in enumerate(eq.outputs) if out in live]
    graphs = [prune(Graph(g.inputs, g.equations, tuple(g.outputs[i] for i in wanted))) for g in eq.params["branches"]]
    read = [{atom for inner in g.equations for atom in inner.inputs} | set(g.outputs) for g in graphs]
    inputs = [i for i in range(len(eq.inputs) - 1) if any(g.inputs[i] in atoms for g, atoms in zip(graphs, read))]
    branches = tuple(Graph(tuple(g.inputs[i] for i in inputs), g.equations, g.outputs) for g in graphs)
    operands = (eq.inputs[0], *(eq.inputs[1 + i] for i in inputs))
    return Equation(branch, operands, {"branches": branches}, tuple(eq.outputs[i] for i in wanted), eq.source)


__all__ = ["prune"]
