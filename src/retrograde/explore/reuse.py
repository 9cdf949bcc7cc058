"""What the backward pass saves by using each product again: multiplications, shared against written out.

Written out, the derivative by each parameter is a sum over all paths from the loss to it, each a product of the local
derivatives on its way. Shared, every local derivative is multiplied once with the cotangent that has come so far. The local
derivative next to the loss is the first factor and costs nothing. Counted are multiplications and divisions of numbers (of
matrix products, all of them); what a loop does inside is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from retrograde.autodiff import backprop
from retrograde.explore.step import Step
from retrograde.ir import Graph, Var

if TYPE_CHECKING:
    from retrograde.explore.record import Record


@dataclass(frozen=True)
class Reuse:
    """Multiplications of both ways; `uses` says which derivatives each computed cotangent goes into."""

    shared: int
    naive: int
    uses: dict[str, list[str]]
    by_parameter: dict[str, int]

    @property
    def saved(self) -> int:
        """Multiplications that reuse saves."""
        return self.naive - self.shared

    def __str__(self) -> str:
        both = f"{self.shared:,} multiplications with each product used again, {self.naive:,} written out"
        lines = [f"{both}: {self.saved:,} saved"]
        for name, users in self.uses.items():
            lines.append(f"  {name} is computed once and used {_times(len(users))}, in {', '.join(users)}")
        return "\n".join(lines)


def _times(n: int) -> str:
    return "once" if n == 1 else f"{n} times"


def reuse_of(record: Record) -> Reuse:
    """Count both ways."""
    steps = {step.name: step for step in record}
    paths = {record.loss_name: 1}
    long: dict[str, int] = {record.loss_name: 0}
    shared, uses = 0, {}
    for step in reversed(record.steps):
        if step.name not in paths or step.cotangent is None:
            continue
        for name in step.local:
            cost = 0 if step.name == record.loss_name else multiplications(step, name)
            shared += cost
            paths[name] = paths.get(name, 0) + paths[step.name]
            long[name] = long.get(name, 0) + long[step.name] + paths[step.name] * cost
        if step.name != record.loss_name and step.local:
            uses[record.derivative(step).text] = [record.derivative(steps[name]).text for name in step.local if name in steps]
    by_parameter = {p.name: long.get(p.name, 0) for p in record.parameters}
    return Reuse(shared, sum(by_parameter.values()), uses, by_parameter)


def multiplications(step: Step, name: str) -> int:
    """How many it takes to multiply the cotangent of `step` with its local derivative by `name`."""
    stage, by = step.edges[name]
    back = backprop(stage.graph, [by], [0])
    return _along(back.graph, back.graph.inputs[len(back.kept) :])


def _along(graph: Graph, seeds: tuple[Var, ...]) -> int:
    reached, count = set(seeds), 0
    for eq in graph.equations:
        if any(atom in reached for atom in eq.inputs):
            reached.update(eq.outputs)
            if eq.primitive.name == "matmul":
                count += eq.outputs[0].type.size * eq.inputs[0].type.shape[-1]
            elif eq.primitive.name in ("multiply", "divide", "square"):
                count += eq.outputs[0].type.size
    return count


__all__ = ["Reuse", "multiplications", "reuse_of"]
