"""What is wrong with a pass, in plain sentences with numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from retrograde.explore.kinds import affine, ends_in_relu, examples_axis, squashing
from retrograde.explore.step import Step
from retrograde.explore.watch import source_line
from retrograde.ir import Equation, Literal, Var

if TYPE_CHECKING:
    from retrograde.explore.record import Record

CHAIN = 1e3  # by how much a chain may shrink or grow from end to end
START = 10.0  # where it is said to begin
SATURATED = 0.01  # of the range, from a limit
SCALE = 100.0  # how far from 1 the scale of inputs may be
SPREAD = 1000.0  # how far apart scales of columns may be


def diagnose(record: Record) -> list[str]:
    """Sentences, gravest first; an empty list where there is nothing to say."""
    steps = {step.name: step for step in record}
    first = not_finite(record)
    found = [] if first is None else [first]
    found += _unreached(record)
    if not found or all("no path" in sentence for sentence in found):
        found += [*_chain(record), *_dead(record, steps), *_saturated(record), *_scales(record, steps)]
    return found


def _rms(x: Any) -> float:
    return float(np.sqrt(np.mean(np.square(np.asarray(x, np.float64))))) if np.size(x) else 0.0


def _finite(x: Any) -> bool:
    array = np.asarray(x)
    return array.dtype.kind not in "fc" or bool(np.isfinite(array).all())


def not_finite(record: Record) -> str | None:
    """The first equation that made a NaN or an infinity that reached the loss or a derivative; None where there is none."""
    passes = record.passes
    for step in (*record.inputs, *record.parameters):
        if not _finite(step.value):
            bad = ~np.isfinite(np.asarray(step.value))
            return f"the {step.kind} {step.name} holds {int(bad.sum())} of {bad.size} values that are NaN or infinite"
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
            where = f"the pullback of {home.get(origin, origin.primitive.name)}" if backward else f"step {home.get(eq, '?')}"
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


def _first_bad(
    eq: Equation, given: list[Any], made: list[Any], where: str, source: tuple | None, rows: Any
) -> str:
    out = next(np.asarray(x) for x in made if not _finite(x))
    place = tuple(int(i) for i in np.argwhere(~np.isfinite(out))[0])
    operands = [_at(x, place, out.shape) for x in given]
    kind = "NaN" if np.isnan(out[place]) else "an infinity"
    at = (f" at {list(place)}" if place else "") + (f", row {rows[place[0]]} of the data" if rows is not None else "")
    line = f" ({source[0]}:{source[1]}: {source_line(source)})" if source else ""
    return f"{kind} is first made in {where}{at}, by {eq.primitive.name} of {' and '.join(operands)}{line}"


def _at(x: Any, place: tuple[int, ...], shape: tuple[int, ...]) -> str:
    """The operand's own element where it lines up with the result, else what it ranges over."""
    array = np.asarray(x)
    try:
        return f"{np.broadcast_to(array, shape)[place]:.6g}"
    except ValueError:
        return f"an array from {array.min():.6g} to {array.max():.6g}" if array.size else "an empty array"


def _unreached(record: Record) -> Iterator[str]:
    for step in record.parameters:
        if not step.readers or step.root not in record.passes.trail.cotangents:
            yield f"no path leads from the loss to the parameter {step.name}: its derivative is 0 and it will not learn"
        elif np.size(step.cotangent) and not np.any(step.cotangent):
            yield f"the derivative by the parameter {step.name} is exactly 0 in all its {np.size(step.cotangent):,} elements"


def _chain(record: Record) -> Iterator[str]:
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
    word, verb = ("vanishing", "falls") if ratio < 1 else ("exploding", "grows")
    crossed = (lambda r: r < 1 / START) if ratio < 1 else (lambda r: r > START)
    i = next(i for i, size in enumerate(sizes) if crossed(size / sizes[0]))
    per = ratio ** (1 / (len(sizes) - 1))
    yield (
        f"the chain is {word}: the root mean square of dl/df {verb} from {sizes[0]:.3g} at {backwards[0].name} to "
        f"{sizes[-1]:.3g} at {backwards[-1].name}, a factor of {per:.3g} a layer; "
        f"it starts at {backwards[i].name} ({sizes[i]:.3g})"
    )


def dead_units(step: Step, steps: dict[str, Step]) -> tuple[int, int, int] | None:
    """Of a ReLU: how many units are 0 for every example, of how many, over how many examples; None for other steps."""
    if not ends_in_relu(step) or np.ndim(step.value) not in (1, 2):
        return None
    value = np.asarray(step.value)
    if value.ndim == 1:
        return int((value <= 0).sum()), value.size, 1
    axis = examples_axis(step, steps)
    return int((value <= 0).all(axis=axis).sum()), value.shape[1 - axis], value.shape[axis]


def _dead(record: Record, steps: dict[str, Step]) -> Iterator[str]:
    for step in record.steps:
        dead, units, examples = dead_units(step, steps) or (0, 1, 0)
        if examples > 1 and dead:
            count = f"{dead:,} of {units:,} units are 0 for all {examples:,} examples"
            yield f"{step.name}: {count}; no derivative passes through them"
        elif dead == units and examples == 1:
            yield f"{step.name}: all {units:,} units are 0; no derivative passes through"


def _saturated(record: Record) -> Iterator[str]:
    for step in record.steps:
        limits = squashing(step)
        if limits is None or not np.size(step.value):
            continue
        margin = SATURATED * (limits[1] - limits[0])
        value = np.asarray(step.value)
        share = float(np.mean((value < limits[0] + margin) | (value > limits[1] - margin)))
        if share >= 0.5:
            yield (
                f"{step.name}: {share:.0%} of its {value.size:,} values are within {margin:g} of {limits[0]:g} or {limits[1]:g}, "
                f"where {step.op} is flat; little of the derivative passes"
            )


def _scales(record: Record, steps: dict[str, Step]) -> Iterator[str]:
    for step in record.inputs:
        layers = [parts for name in step.readers if name in steps and (parts := affine(steps[name], steps)) is not None]
        if not layers or not np.size(step.value):
            continue
        size, value = _rms(step.value), np.asarray(step.value, np.float64)
        if size > SCALE or 0 < size < 1 / SCALE:
            scale = f"the input {step.name} has a root mean square of {size:.3g}"
            yield f"{scale}; networks learn from inputs around 1: standardize it"
        elif value.ndim == 2 and min(value.shape) > 1:
            columns = np.sqrt(np.mean(value**2, axis=0 if layers[0].rows else 1))
            columns = columns[columns > 0]
            if columns.size and columns.max() > SPREAD * columns.min():
                yield (
                    f"the features of {step.name} have root mean squares from {columns.min():.3g} to {columns.max():.3g}; "
                    "the largest rule the first layer: standardize them"
                )


__all__ = ["dead_units", "diagnose", "not_finite"]
