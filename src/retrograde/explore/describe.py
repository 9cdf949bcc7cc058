"""The record as JSON-able data, from which any view of it can be built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from retrograde.explore.formula import Formula
from retrograde.explore.kinds import affine
from retrograde.explore.step import Step
from retrograde.explore.tables import norm

if TYPE_CHECKING:
    from retrograde.explore.record import Record

VERSION = 1


def describe(record: Record, elements: int) -> dict[str, Any]:
    """Numbers, formulas, sources, lifetimes and reuse; NaN and infinities as strings, which JSON has no numbers for."""
    memory, reuse = record.memory(), record.reuse()
    return {
        "version": VERSION,
        "title": record.title,
        "loss": number(record.loss),
        "loss_name": record.loss_name,
        "inputs": [_step(record, step, elements) for step in record.inputs],
        "parameters": [_step(record, step, elements) for step in record.parameters],
        "steps": [_step(record, step, elements) for step in record.steps],
        "aliases": {name: step.name for name, step in record._by_name.items() if name != step.name},
        "memory": {
            "kept": memory.kept, "peak": memory.peak, "at": memory.at,
            "held": [asdict(value) for value in memory.held], "moments": [asdict(moment) for moment in memory.moments],
        },
        "reuse": {"saved": reuse.saved, **asdict(reuse)},
        "layers": layers(record),
        "diagnosis": record.diagnose(),
        "latex": record.latex(),
    }  # fmt: skip


def layers(record: Record) -> list[list[str]]:
    """The names of steps that belong together: a linear layer and what only its output goes through, up to the next one."""
    steps = {step.name: step for step in record}
    found: list[list[str]] = []
    for step in record.steps:
        before = [steps[name] for name in step.local if name in steps and steps[name].kind == "step"]
        if step.name == record.loss_name:
            continue
        if affine(step, steps) is not None:
            found.append([step.name])
        elif found and len(before) == 1 and before[0].name == found[-1][-1] and len(before[0].readers) == 1:
            found[-1].append(step.name)
    return found


def _step(record: Record, step: Step, elements: int) -> dict[str, Any]:
    return {
        "name": step.name,
        "kind": step.kind,
        "op": step.op,
        "symbol": _formula(step.symbol),
        "formula": _formula(step.formula),
        "derivative": _formula(record.derivative(step)),
        "backward": _formula(step.backward),
        "local": {name: _formula(formula) for name, formula in step.local.items()},
        "shape": list(step.shape),
        "dtype": np.asarray(step.value).dtype.name,
        "nbytes": step.nbytes,
        "value": numbers(step.value, elements),
        "cotangent": numbers(step.cotangent, elements),
        "reads": step.reads,
        "readers": step.readers,
        "source": None if step.source is None else dict(zip(("file", "line", "text"), step.source)),
    }


def _formula(formula: Formula | None) -> dict[str, str] | None:
    return None if formula is None else {"tex": formula.tex, "text": formula.text}


def number(x: Any) -> float | str:
    """A number, or "nan", "inf", "-inf"."""
    return float(x) if np.isfinite(x) else str(float(x))


def _numbers(array: np.ndarray) -> list[float | str]:
    return [number(x) for x in array.ravel()]


def numbers(x: Any, elements: int) -> dict[str, Any] | None:
    """Statistics of an array (of complex numbers, of their absolute values), and its elements where there are not too many."""
    if x is None:
        return None
    array = np.asarray(x)
    sizes = np.abs(array) if array.dtype.kind == "c" else array.astype(np.float64)
    finite = sizes[np.isfinite(sizes)]
    found: dict[str, Any] = {
        "norm": number(norm(sizes)),
        "min": float(finite.min()) if finite.size else None,
        "max": float(finite.max()) if finite.size else None,
        "mean": float(finite.mean()) if finite.size else None,
        "zeros": int((array == 0).sum()),
        "not_finite": int(array.size - finite.size),
    }
    return found | elements_of(array) if array.size <= elements else found


def elements_of(array: np.ndarray, write: Callable[[np.ndarray], list] = _numbers) -> dict[str, list]:
    """All elements, flat: the real parts as "data", and of complex numbers the "imaginary" parts too."""
    if array.dtype.kind != "c":
        return {"data": write(array)}
    return {"data": write(array.real), "imaginary": write(array.imag)}


__all__ = ["describe", "elements_of", "number", "numbers"]
