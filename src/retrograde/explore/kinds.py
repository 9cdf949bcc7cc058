"""What kind of step a step is: a linear layer, a ReLU, a squashing function."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from retrograde.explore.step import Step
from retrograde.ir import Literal

SQUASHING = {"sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0)}


class Affine(NamedTuple):
    """f = β + Ω h: the names of h, Ω and β (None without); `rows` where the examples are the rows, as in h Ωᵀ."""

    h: str
    weight: str
    bias: str | None
    rows: bool


def primitives(step: Step) -> list[str]:
    """The operations of a step that do something: neither views nor casts."""
    if step.stage is None:
        return []
    equations = step.stage.graph.equations
    return [eq.primitive.name for eq in equations if eq.primitive.lowering != "view" and eq.primitive.name != "astype"]


def is_relu(step: Step) -> bool:
    """max(f, 0)."""
    if primitives(step) != ["maximum"] or step.stage is None:
        return False
    (eq,) = (eq for eq in step.stage.graph.equations if eq.primitive.name == "maximum")
    return any(isinstance(atom, Literal) and atom.value == 0 for atom in eq.inputs)


def ends_in_relu(step: Step) -> bool:
    """Whether the last thing that a step does is max(·, 0)."""
    made = step.stage.graph.producers() if step.stage is not None else {}
    eq = made.get(step.root)  # type: ignore[arg-type]
    return (
        eq is not None and eq.primitive.name == "maximum"
        and any(isinstance(atom, Literal) and atom.value == 0 for atom in eq.inputs)
    )  # fmt: skip


def examples_axis(step: Step, steps: dict[str, Step]) -> int:
    """The axis of the examples in a two-dimensional value: the last where its product is Ω h, else the first."""
    parameters = {s.root for s in steps.values() if s.kind == "parameter"}
    for made_by in (step, *(steps[name] for name in step.local if name in steps)):
        for eq in made_by.stage.graph.equations if made_by.stage is not None else ():
            if eq.primitive.name == "matmul":
                left, made = eq.inputs[0], made_by.stage.graph.producers()  # type: ignore[union-attr]
                while left in made:
                    left = made[left].inputs[0]  # type: ignore[index]
                return 1 if left in parameters else 0
    return 0


def squashing(step: Step) -> tuple[float, float] | None:
    """The limits between which a sigmoid or tanh squeezes; None for other steps."""
    names = primitives(step)
    return SQUASHING.get(names[0]) if len(names) == 1 else None


def affine(step: Step, steps: dict[str, Step]) -> Affine | None:
    """The parts of a linear layer; None for other steps."""
    names = primitives(step)
    if names not in (["matmul"], ["matmul", "add"]) or step.stage is None:
        return None
    own = [steps[name] for name in step.reads if name in steps]
    weights = [s for s in own if s.kind == "parameter" and np.ndim(s.value) == 2 and min(s.shape) > 1]
    weights = weights or [s for s in own if s.kind == "parameter" and np.ndim(s.value) == 2 and s.op == "parameter"]
    data = [s for s in own if s.kind != "parameter"]
    biases = [s for s in own if s.kind == "parameter" and s not in weights[:1]]
    if not weights or len(data) != 1 or len(biases) != len(names) - 1:
        return None
    product = next(eq for eq in step.stage.graph.equations if eq.primitive.name == "matmul")
    made = step.stage.graph.producers()
    left = product.inputs[0]
    while left in made:
        left = made[left].inputs[0]  # type: ignore[index]
    return Affine(data[0].name, weights[0].name, biases[0].name if biases else None, left is data[0].root)


__all__ = ["Affine", "affine", "ends_in_relu", "examples_axis", "is_relu", "primitives", "squashing"]
