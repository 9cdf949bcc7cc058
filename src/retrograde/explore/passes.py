"""Both passes of a function, with what every variable of their graphs is: numbers or, inside another trace, traced values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from retrograde.autodiff import Backward, Trail, backprop
from retrograde.explore.naming import Naming
from retrograde.explore.pick import pick
from retrograde.explore.steps import outline
from retrograde.ir import Graph, Literal, Var, evaluate
from retrograde.trace import tracing
from retrograde.trace.trace import as_output, input_names, new_input, opened
from retrograde.transforms import check_scalar, differentiable, positions_of, wanted_of
from retrograde.tree import tree_flatten, tree_unflatten
from retrograde.types import kind_of, type_of

LOOP = 64  # steps of a loop that are shown one by one


class Passes:
    """The graphs of both passes, and what each variable of either is."""

    def __init__(self, graph: Graph, values: dict[Var, Any], parameters: Sequence[Var]):
        self.graph, self.values, self.parameters = graph, values, tuple(parameters)
        self.trail = Trail()
        self.backward: Backward = backprop(graph, parameters, [0], self.trail)
        back = self.backward.graph
        made = [out for eq in back.equations for out in eq.outputs]
        seed = np.ones((), graph.outputs[0].type.dtype)[()]
        given = [*(self.value(var) for var in self.backward.kept), seed]
        with np.errstate(all="ignore"):
            found = evaluate(Graph(back.inputs, back.equations, tuple(made), back.constants), given)
        self.values.update(zip((*back.inputs[len(self.backward.kept) :], *made), (seed, *found)))

    def value(self, atom: Any) -> Any:
        """The number or array of a variable of either graph."""
        return atom.value if isinstance(atom, Literal) else self.values[atom]

    def cotangent(self, var: Var) -> Any:
        """dl/dvar; None where the backward pass makes none."""
        atom = self.trail.cotangents.get(var)
        return None if atom is None or (isinstance(atom, Var) and atom not in self.values) else self.value(atom)

    def named(self, names: dict[str, Var]) -> dict[str, Var]:
        """The variables of the forward pass by the names that a record gives them."""
        plan = outline(self.graph, names)
        return plan.aliases | {name: var for var, name in plan.symbols.items()}


def run_passes(f: Callable, args: Sequence[Any], argnums: int | Sequence[int]) -> tuple[Passes, dict[str, Var]]:
    """Trace `f` at `args` with their values and run the backward pass; returns both, and the user's names of variables."""
    wanted = positions_of(wanted_of(argnums)[0], args)
    builder = tracing(concrete=True)
    naming = Naming(builder)
    given: list[Any] = []
    parameters: list[Any] = []
    for i, (arg, names) in enumerate(zip(args, input_names(f, args))):
        leaves, structure = tree_flatten(arg)
        leaves = [
            new_input(builder, differentiable(x, name) if i in wanted else x, name) if i in wanted or _is_float(x) else x
            for x, name in zip(map(_own, leaves), names)
        ]
        if i in wanted:
            parameters += [leaf.atom for leaf in leaves]
        given.append(tree_unflatten(structure, leaves))
    with np.errstate(all="ignore"), opened(LOOP):  # `diagnose` says where a NaN comes from
        result = f(*given)
    outputs = tree_flatten(result)[0]
    check_scalar(f, outputs)
    graph = pick(builder.finish([as_output(outputs[0])]))
    return Passes(graph, builder.values, parameters), naming.names()


def _own(leaf: Any) -> Any:
    """An argument as it is now: what is kept outlives changes of the caller's arrays."""
    return leaf.copy() if type(leaf) is np.ndarray else leaf


def _is_float(leaf: Any) -> bool:
    return kind_of(type_of(leaf).dtype) in "fc"


__all__ = ["Passes", "run_passes"]
