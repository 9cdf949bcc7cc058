"""Sums that a loop only adds to, of products of what it has or makes in each step, become one product after the loop.

In the backward pass of a recurrence each step adds x' y to the gradient of a weight: a small product, and a walk over the whole
gradient. The steps' x and y are mostly stacked already, as an array that is scanned over or that the loop puts out; the sum of
all products is the product of the stacks. Likewise a bias's gradient, a sum of rows, is one sum over a stack.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from retrograde.ir import Atom, Builder, Equation, Graph, Literal, Var
from retrograde.ir.graph import eliminate_dead
from retrograde.ops.control import scan
from retrograde.ops.elementwise import add
from retrograde.ops.matmul import matmul
from retrograde.ops.reduce import sum_
from retrograde.ops.shape import broadcast_to, reshape, transpose
from retrograde.ops.symbol import Symbol
from retrograde.optimize.simplify import simplify
from retrograde.optimize.straighten import LIMIT, work


def hoist(graph: Graph) -> Graph:
    """The same graph with these products and sums behind its loops."""
    found: dict[Atom, Atom] = {}
    equations: list[Equation] = []
    producers = graph.producers()

    def is_zero(atom: Atom) -> bool:
        """Whether a sum is known to begin at zero."""
        eq, value = producers.get(atom), graph.constants.get(atom)
        if eq is not None and eq.primitive is broadcast_to and isinstance(eq.inputs[0], Literal):
            return not eq.inputs[0].value
        return isinstance(value, np.ndarray) and not np.any(value)

    for eq in graph.equations:
        eq = eq.replace(tuple(found.get(a, a) for a in eq.inputs))
        loop = _Loop(eq) if eq.primitive is scan and eq.params["length"] and eq.params["exit"] is None else None
        if loop is None or not loop.sums:
            equations.append(eq)
            continue
        builder = Builder(Symbol)
        found |= {out: builder.atom(x) for out, x in loop.rebuilt(builder, is_zero).items()}
        equations += builder.equations
    outputs = tuple(found.get(a, a) for a in graph.outputs)
    return eliminate_dead(Graph(graph.inputs, equations, outputs, graph.constants))


@dataclass
class _Loop:
    """A loop, the carries that are such sums, with the equation of what each step adds, and what is to be stacked for them."""

    eq: Equation
    sums: dict[int, Equation] = field(default_factory=dict)
    stacked: list[Var] = field(default_factory=list)

    def __post_init__(self) -> None:
        params = self.eq.params
        self.first, self.end = params["num_consts"], params["num_consts"] + params["num_carry"]
        self.body = simplify(params["body"])
        self.producers = self.body.producers()
        slices = self.body.inputs[self.end :]
        self.at_hand = {*slices, *self.body.outputs[params["num_carry"] :]}  # has a stack
        added = list(self._added())
        for i, term in added:
            wanted = dict.fromkeys(self._factor(a) for a in term.inputs if self._factor(a) not in (*self.at_hand, *self.stacked))
            if term.primitive is matmul and sum(var.type.nbytes for var in wanted) <= term.outputs[0].type.nbytes:
                self.sums[i] = term
                self.stacked += wanted
        for i, term in added:
            if term.primitive is sum_ and term.inputs[0] in (*self.at_hand, *self.stacked):
                self.sums[i] = term

    def _added(self) -> Iterator[tuple[int, Equation]]:
        """Carries that a step reads only to add to them, and what it adds, of what changes from step to step."""
        consumers, outputs = self.body.consumers(), self.body.outputs
        for i, carry in enumerate(self.body.inputs[self.first : self.end]):
            total = self.producers.get(outputs[i])
            alone = total is not None and total.primitive is add and consumers.get(carry) == [total] and carry not in outputs
            if not alone or outputs[i] in consumers or outputs.count(outputs[i]) > 1:
                continue
            term = self.producers.get(next((a for a in total.inputs if a is not carry), carry))
            if term is None or term.outputs[0].type != carry.type or term.primitive not in (matmul, sum_):
                continue
            if work(term) <= LIMIT:  # the step may become straight-line code, with the sum in registers
                continue
            changes = all(isinstance(a, Var) and self._factor(a) not in self.body.inputs[: self.first] for a in term.inputs)
            if changes and (term.primitive is sum_ or carry.type.ndim == 2):
                yield i, term

    def _factor(self, atom: Atom) -> Atom:
        """What is stacked for a factor: what it is the transpose of, or itself."""
        eq = self.producers.get(atom)
        return eq.inputs[0] if eq is not None and eq.primitive is transpose and len(atom.type.shape) == 2 else atom

    def rebuilt(self, builder: Builder, is_zero: Callable[[Atom], bool]) -> dict[Var, Any]:
        """Record the loop without the sums, and these; its outputs by the variables they had."""
        eq, body, sums = self.eq, self.body, self.sums
        operands = [a.value if isinstance(a, Literal) else Symbol(builder, a) for a in eq.inputs]
        kept = [i for i in range(self.end - self.first) if i not in sums]
        held = [i for i in range(len(operands)) if i - self.first not in sums]
        ys = (*body.outputs[self.end - self.first :], *self.stacked)
        step = Graph(
            tuple(body.inputs[i] for i in held), body.equations, (*(body.outputs[i] for i in kept), *ys), body.constants
        )
        params = {**eq.params, "body": eliminate_dead(step), "num_carry": len(kept)}
        made = builder.record(scan, [operands[i] for i in held], params)
        builder.equations[-1].source = eq.source
        stacks = dict(zip(body.inputs[self.end :], operands[self.end :])) | dict(zip(ys, made[len(kept) :]))
        found = dict(zip((eq.outputs[i] for i in kept), made))
        found |= dict(zip(eq.outputs[self.end - self.first :], made[len(kept) :]))
        for i, term in sums.items():
            total, start = self._total(term, stacks), operands[self.first + i]
            found[eq.outputs[i]] = total if is_zero(eq.inputs[self.first + i]) else start + total
        return found

    def _total(self, term: Equation, stacks: dict[Atom, Any]) -> Any:
        """The sum over all steps."""
        if term.primitive is sum_:
            return sum_(stacks[term.inputs[0]], axes=(0, *(a + 1 for a in term.params["axes"])))
        left, right = term.inputs
        columns = self._long(left, stacks, turned=self._factor(left) is left)
        return matmul(transpose(columns, axes=(1, 0)), self._long(right, stacks, turned=self._factor(right) is not right),
                      **term.params)  # fmt: skip

    def _long(self, factor: Atom, stacks: dict[Atom, Any], turned: bool) -> Any:
        """All steps' rows of what is stacked for a factor, one step after another; or, `turned`, its columns."""
        stack = stacks[self._factor(factor)]
        stack = transpose(stack, axes=(0, 2, 1)) if turned else stack
        return reshape(stack, shape=(stack.shape[0] * stack.shape[1], stack.shape[2]))
