"""The formulas of a record in other symbols: with shapes below, with numbers in their place, or written out to the inputs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from retrograde.explore.formula import ATOM, LONGEST, ONE, PRODUCT, SUM, Formula, sum_of
from retrograde.explore.step import Step, forward_formula, pulled_formula
from retrograde.explore.tables import number_text, size_text
from retrograde.ir import Var

if TYPE_CHECKING:
    from retrograde.explore.record import Record

ROWS, COLUMNS = 4, 4  # of a matrix that is written out between brackets
WRITTEN_OUT = 4_000  # characters of a formula that is written out on purpose


class Face:
    """A record's formulas with each symbol drawn as `draw(value, its formula)` says."""

    def __init__(self, record: Record, draw: Any, longest: int = 20 * LONGEST):
        self.record, self.draw, self.longest = record, draw, longest
        self.steps = {step.name: step for step in record}
        self.symbols: dict[Var, Formula] = {}
        for var, name in record.outline.symbols.items():
            step = record._by_name.get(name)
            if step is not None:
                self.symbols[var] = draw(step.value, step.symbol)

    def forward(self, step: Step) -> Formula | None:
        """The step's own formula; None for what is given."""
        return None if step.stage is None else forward_formula(step.stage, self.symbols, self.longest)

    def local(self, reader: Step, name: str) -> Formula:
        """The derivative of `reader` by the value `name` that it reads."""
        stage, by = reader.edges[name]
        return pulled_formula(stage, by, ONE, self.symbols, self.longest)

    def backward(self, step: Step) -> Formula | None:
        """How the step's cotangent comes about: a sum over those that read it."""
        terms = []
        for reader in (self.steps[name] for name in step.readers):
            if reader.cotangent is not None and step.name in reader.edges:
                stage, by = reader.edges[step.name]
                terms.append(pulled_formula(stage, by, self._seed(reader), self.symbols, self.longest))
        return sum_of(terms) if terms else None

    def _seed(self, reader: Step) -> Formula:
        if reader.name == self.record.loss_name:
            return ONE
        return self.draw(reader.cotangent, self.record.derivative(reader))


def with_shapes(record: Record) -> Face:
    """Each array's symbol with its shape below it."""

    def draw(value: Any, formula: Formula) -> Formula:
        if not np.ndim(value):
            return formula
        shape = size_text(np.shape(value))
        below = shape.replace("×", "\\times")
        return Formula(f"\\underset{{\\;{below}\\;}}{{{formula.tex}}}", f"{formula.text} [{shape}]", ATOM)

    return Face(record, draw)


def with_numbers(record: Record) -> Face:
    """Each number and each small matrix in the place of its symbol; what is larger stays a symbol."""

    def draw(value: Any, formula: Formula) -> Formula:
        array = np.asarray(value)
        if array.size == 1 and array.ndim < 2:
            text = number_text(value)
            level = SUM if np.iscomplexobj(array) else PRODUCT if text.startswith("-") else ATOM
            return Formula(_scientific(text), text, level)
        if array.ndim in (1, 2) and array.shape[-1] <= COLUMNS and array.size <= ROWS * COLUMNS and len(array) <= ROWS:
            lines = " \\\\ ".join(" & ".join(f"{x:.4g}".replace("j", "i") for x in row) for row in np.atleast_2d(array).tolist())
            return Formula(f"\\begin{{bmatrix}} {lines} \\end{{bmatrix}}", formula.text, ATOM)
        return formula

    return Face(record, draw)


def _scientific(text: str) -> str:
    return re.sub(r"e([-+]\d+)", lambda found: f" \\cdot 10^{{{int(found[1])}}}", text)


def written_out(record: Record) -> dict[str, Formula]:
    """For each parameter of a chain of numbers, its derivative as one product in parameters and inputs alone.

    Those that come out longer than a few thousand characters, or that several paths lead to, are left out.
    """
    face = Face(record, lambda value, formula: formula, WRITTEN_OUT)
    whole: dict[str, Formula] = {}
    for step in record.steps:
        if np.size(step.value) != 1:
            return {}
        full = face.forward(step)
        if full is not None and len(full.tex) <= WRITTEN_OUT:
            whole[step.name] = full
            face.symbols.update({var: full for var, name in record.outline.symbols.items() if name == step.name})
    found = {}
    for parameter in record.parameters:
        path = path_of(record, parameter)
        if path is None:
            continue
        factors = [face.local(face.steps[reader], name) for name, reader in zip(path, path[1:])]
        shown = [f.wrapped(ATOM if f.text.startswith("-") else PRODUCT) for f in reversed(factors) if not f.one] or [ONE]
        tex = " \\cdot ".join(f.tex for f in shown)
        if len(tex) <= WRITTEN_OUT:
            found[parameter.name] = Formula(tex, " · ".join(f.text for f in shown), PRODUCT)
    return found


def path_of(record: Record, parameter: Step) -> list[str] | None:
    """The names from a parameter to the loss, where there is one path only."""
    at, path = parameter, [parameter.name]
    steps = {step.name: step for step in record.steps}
    while at.name != record.loss_name:
        if len(at.readers) != 1 or at.name not in steps[at.readers[0]].edges:
            return None
        at = steps[at.readers[0]]
        path.append(at.name)
    return path


__all__ = ["Face", "path_of", "with_numbers", "with_shapes", "written_out"]
