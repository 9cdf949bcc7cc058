"""The derivation in LaTeX, as a person would write it on a board."""

from __future__ import annotations

from typing import TYPE_CHECKING

from retrograde.errors import DifferentiationError
from retrograde.explore.formula import derivative_of, symbol
from retrograde.explore.kinds import affine, is_relu
from retrograde.explore.step import Step
from retrograde.explore.tables import number_text, parameters_of

if TYPE_CHECKING:
    from retrograde.explore.record import Record


def derivation(record: Record, form: str) -> str:
    """An `aligned` environment: the forward pass, then the backward pass; see `Record.latex`."""
    steps = {step.name: step for step in record}
    layered = any(affine(step, steps) for step in record.steps)
    if form not in ("auto", "graph", "matrix"):
        raise ValueError(f'form is "auto", "graph" or "matrix"; it is {form!r}')
    if form == "matrix" and not layered:
        raise DifferentiationError('this function has no layer of the form β + Ω h; say form="graph"')
    matrix = form == "matrix" or (form == "auto" and layered)
    lines = [_forward(record, step, steps, matrix) for step in record.steps]
    for step in reversed(record.steps):
        if matrix and affine(step, steps) is not None and step.cotangent is not None:
            lines += _layer(record, step, steps)
        elif step.cotangent is not None:
            lines += [_line(record, x, steps) for x in parameters_of(record, step)]
            before = [steps[name] for name in step.local if name in steps and steps[name].kind == "step"]
            skip = matrix and _joined(step, steps)
            lines += [_line(record, x, steps) for x in before if x.readers[0] == step.name and not skip]
    return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"


def _forward(record: Record, step: Step, steps: dict[str, Step], matrix: bool) -> str:
    right = step.formula.tex
    if matrix and (parts := affine(step, steps)) is not None:
        right = f"{symbol(parts.weight).tex} {_h(record, parts.h).tex}"
        right = f"{symbol(parts.bias).tex} + {right}" if parts.bias else right
    return f"{step.symbol.tex} &= {right}" + _number(step.value)


def _h(record: Record, name: str):  # type: ignore[no-untyped-def]
    """An activation's symbol: h_0 for the input of the first layer."""
    start = record._by_name.get("h0")
    return symbol("h0") if start is not None and start.name == name else symbol(name)


def _number(value: object) -> str:
    text = number_text(value)
    return "" if text.startswith("‖") else f" = {text}"


def _line(record: Record, step: Step, steps: dict[str, Step]) -> str:
    """dl/dx = (df/dx) dl/df = what that is = the number."""
    left = record.derivative(step).tex
    links = ""
    if any(name != record.loss_name for name in step.readers):
        locals_ = [derivative_of(steps[name].symbol, step.symbol).tex for name in step.readers]
        cts = ["" if name == record.loss_name else " " + record.derivative(steps[name]).tex for name in step.readers]
        links = " + ".join(local + ct for local, ct in zip(locals_, cts))
    right = step.backward.tex if step.backward is not None else "0"
    return f"{left} &= " + (f"{links} = " if links else "") + right + _number(step.cotangent)


def _joined(step: Step, steps: dict[str, Step]) -> bool:
    """Whether a step is an activation between two layers, whose switch is written in one line with the layer's transpose."""
    if len(step.readers) != 1 or len(step.local) != 1 or affine(step, steps) is not None:
        return False
    (before,) = step.local
    return before in steps and len(steps[before].readers) == 1 and affine(steps[step.readers[0]], steps) is not None


def _layer(record: Record, step: Step, steps: dict[str, Step]) -> list[str]:
    """The lines of a linear layer: its parameters, then the cotangent that goes on, through an activation's switch."""
    parts = affine(step, steps)
    assert parts is not None
    ct, weight, h = record.derivative(step).tex, steps[parts.weight], _h(record, parts.h).tex
    lines = [f"{record.derivative(steps[parts.bias]).tex} &= {ct}"] if parts.bias is not None else []
    lines.append(f"{record.derivative(weight).tex} &= {ct} {h}^T")
    before = steps[parts.h]
    if before.kind != "step":
        return lines
    product = f"{weight.symbol.tex}^T {ct}"
    if len(before.readers) != 1:
        return [*lines, _line(record, before, steps)]
    if not _joined(before, steps):
        return [*lines, f"{record.derivative(before).tex} &= {product}"]
    (name,) = before.local
    switch = f"\\mathbb{{1}}[{steps[name].symbol.tex} > 0]" if is_relu(before) else before.local[name].tex
    lines.append(f"{record.derivative(steps[name]).tex} &= {switch} \\odot \\left( {product} \\right)")
    return lines


__all__ = ["derivation"]
