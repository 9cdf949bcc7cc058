"""What is wrong with a pass, in plain sentences with numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from retrograde.explore.kinds import affine, ends_in_relu, examples_axis, squashing
from retrograde.explore.naming import source_line
from retrograde.explore.sentences import Finding, finding, say, templates_of
from retrograde.explore.step import Step
from retrograde.ir import Equation, Literal, Var

if TYPE_CHECKING:
    from retrograde.explore.record import Record

CHAIN = 1e3  # by how much a chain may shrink or grow from end to end
START = 10.0  # where it is said to begin
SATURATED = 0.01  # of the range, from a limit
SCALE = 100.0  # how far from 1 the scale of inputs may be
SPREAD = 1000.0  # how far apart scales of columns may be


def diagnose(record: Record, language: str = "en") -> list[str]:
    """Sentences, gravest first; an empty list where there is nothing to say."""
    templates_of(language)
    return [say(remark, language) for remark in findings(record)]


def findings(record: Record) -> list[Finding]:
    """What stands out, gravest first."""
    steps = {step.name: step for step in record}
    first = not_finite(record)
    found = [*([] if first is None else [first]), *_unreached(record)]
    if all(remark.key == "unreached" for remark in found):
        found += [*_chain(record), *_dead(record, steps), *_saturated(record), *_scales(record, steps)]
    return found


def _rms(x: Any) -> float:
    return float(np.sqrt(np.mean(np.abs(np.asarray(x)).astype(np.float64) ** 2))) if np.size(x) else 0.0


def _finite(x: Any) -> bool:
    array = np.asarray(x)
    return array.dtype.kind not in "fc" or bool(np.isfinite(array).all())


def not_finite(record: Record) -> Finding | None:
    """The first equation that made a NaN or an infinity that reached the loss or a derivative; None where there is none."""
    passes = record.passes
    for step in (*record.inputs, *record.parameters):
        if not _finite(step.value):
            bad = ~np.isfinite(np.asarray(step.value))
            return finding("given", kind=finding(step.kind), name=step.name, bad=int(bad.sum()), size=bad.size)
    shown = [x for step in (*record.steps, *record.parameters) for x in (step.value, step.cotangent) if x is not None]
    if all(map(_finite, shown)):
        return None
    home = {eq: stage.name for stage in record.outline.stages for eq in stage.graph.equations}
    for backward, equations in enumerate((passes.graph.equations, passes.backward.graph.equations)):
        for eq in equations:
            given = [atom.value if isinstance(atom, Literal) else _known(record, atom) for atom in eq.inputs]
            made = [passes.values[out] for out in eq.outputs]
            if all(map(_finite, made)) or not all(map(_finite, given)):
                continue
            origin = passes.trail.origins.get(eq, eq) if backward else eq
            name = home.get(origin, origin.primitive.name)
            where = finding("in pullback" if backward else "in step", name=name)
            others = [step.shape for step in record.parameters] if backward else []
            return _first_bad(eq, given, made, where, origin.source, _rows(record, made[0], others))
    return None


def _known(record: Record, var: Var) -> Any:
    for graph in (record.passes.graph, record.passes.backward.graph):
        if var in graph.constants:
            return graph.constants[var]
    return record.passes.values[var]


def _rows(record: Record, made: Any, others: list[tuple[int, ...]]) -> Any:
    """The rows of the data along the first axis of a value; None where that is another, as in one of the `others`' shapes."""
    rows, shape = record.rows, np.shape(made)
    return rows if rows is not None and shape[:1] == (len(rows),) and shape not in others else None


def _first_bad(eq: Equation, given: list[Any], made: list[Any], where: Finding, source: tuple | None, rows: Any) -> Finding:
    out = next(np.asarray(x) for x in made if not _finite(x))
    place = tuple(int(i) for i in np.argwhere(~np.isfinite(out))[0])
    return finding(
        "first", what=finding("nan" if np.isnan(out[place]) else "infinity"), where=where,
        at=finding("at", place=str(list(place))) if place else finding(""),
        row=finding("row", row=int(rows[place[0]])) if rows is not None else finding(""), op=eq.primitive.name,
        operands=[_at(x, place, out.shape) for x in given],
        line=finding("line", file=source[0], line=source[1], text=source_line(source)) if source else finding(""),
    )  # fmt: skip


def _at(x: Any, place: tuple[int, ...], shape: tuple[int, ...]) -> Finding:
    """The operand's own element where it lines up with the result, else what it ranges over."""
    array = np.asarray(x)
    try:
        return finding("element", x=np.broadcast_to(array, shape)[place])
    except ValueError:
        return finding("range", low=array.min(), high=array.max()) if array.size else finding("empty")


def _unreached(record: Record) -> Iterator[Finding]:
    for step in record.parameters:
        if not step.readers or step.root not in record.passes.trail.cotangents:
            yield finding("unreached", name=step.name)
        elif np.size(step.cotangent) and not np.any(step.cotangent):
            yield finding("zero", name=step.name, size=np.size(step.cotangent))


def _chain(record: Record) -> Iterator[Finding]:
    """Cotangents of the steps that read parameters, from the last to the first."""
    names = {p.name for p in record.parameters}
    layers = [s for s in record.steps if s.cotangent is not None and names & set(s.reads) and s.name != record.loss_name]
    sizes = [_rms(step.cotangent) for step in reversed(layers)]
    if len(sizes) < 2 or sizes[0] == 0 or not all(map(np.isfinite, sizes)):
        return
    backwards = list(reversed(layers))
    ratio = sizes[-1] / sizes[0]
    if 1 / CHAIN < ratio < CHAIN:
        return
    crossed = (lambda r: r < 1 / START) if ratio < 1 else (lambda r: r > START)
    i = next(i for i, size in enumerate(sizes) if crossed(size / sizes[0]))
    yield finding(
        "vanishing" if ratio < 1 else "exploding", start=sizes[0], first=backwards[0].name, end=sizes[-1],
        last=backwards[-1].name, per=ratio ** (1 / (len(sizes) - 1)), begins=backwards[i].name, there=sizes[i],
    )  # fmt: skip


def dead_units(step: Step, steps: dict[str, Step]) -> tuple[int, int, int] | None:
    """Of a ReLU: how many units are 0 for every example, of how many, over how many examples; None for other steps."""
    if not ends_in_relu(step) or np.ndim(step.value) not in (1, 2):
        return None
    value = np.asarray(step.value)
    if value.ndim == 1:
        return int((value <= 0).sum()), value.size, 1
    axis = examples_axis(step, steps)
    return int((value <= 0).all(axis=axis).sum()), value.shape[1 - axis], value.shape[axis]


def _dead(record: Record, steps: dict[str, Step]) -> Iterator[Finding]:
    for step in record.steps:
        dead, units, examples = dead_units(step, steps) or (0, 1, 0)
        if examples > 1 and dead:
            yield finding("dead", name=step.name, dead=dead, units=units, examples=examples)
        elif dead == units and examples == 1:
            yield finding("all dead", name=step.name, units=units)


def _saturated(record: Record) -> Iterator[Finding]:
    for step in record.steps:
        limits = squashing(step)
        if limits is None or not np.size(step.value) or np.iscomplexobj(step.value):
            continue
        margin = SATURATED * (limits[1] - limits[0])
        value = np.asarray(step.value)
        share = float(np.mean((value < limits[0] + margin) | (value > limits[1] - margin)))
        if share >= 0.5:
            yield finding(
                "saturated", name=step.name, share=share, size=value.size, margin=margin, low=limits[0], high=limits[1],
                op=step.op,
            )  # fmt: skip


def _scales(record: Record, steps: dict[str, Step]) -> Iterator[Finding]:
    for step in record.inputs:
        layers = [parts for name in step.readers if name in steps and (parts := affine(steps[name], steps)) is not None]
        if not layers or not np.size(step.value):
            continue
        size, value = _rms(step.value), np.abs(np.asarray(step.value))
        if size > SCALE or 0 < size < 1 / SCALE:
            yield finding("scale", name=step.name, size=size)
        elif value.ndim == 2 and min(value.shape) > 1:
            columns = np.sqrt(np.mean(value.astype(np.float64) ** 2, axis=0 if layers[0].rows else 1))
            columns = columns[columns > 0]
            if columns.size and columns.max() > SPREAD * columns.min():
                yield finding("scales", name=step.name, low=columns.min(), high=columns.max())


__all__ = ["dead_units", "diagnose", "findings", "not_finite"]
