"""The record as one HTML file that opens from disk: the built page with the record's data in it."""

from __future__ import annotations

import json
import webbrowser
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from retrograde.errors import DifferentiationError, ShapeError
from retrograde.explore.describe import describe, elements_of, number, numbers
from retrograde.explore.faces import Face, with_numbers, with_shapes, written_out
from retrograde.explore.sentences import LANGUAGES, templates_of
from retrograde.explore.step import Step
from retrograde.io.atomic import replace_file

if TYPE_CHECKING:
    from retrograde.explore.record import Record

PLACE = "__RECORD__"  # in the built page, where the data goes
BUDGET = 40_000  # numbers that are written in full, the smallest arrays first; and as many again for pictures of the others
JACOBIAN = 1_024  # elements of a Jacobian that is written
JACOBIANS, EXAMPLES = 40_000, 8  # elements of all Jacobians together, and of how many examples of a batch they are at most
DEEP = 64  # steps beyond which neither Jacobians nor further faces of formulas are written
SIDE, BINS = (8, 32), 16  # of the picture and the histogram of an array that is not written in full
LARGEST = 8  # values that are named in a moment of the memory


def save_page(
    record: Record, path: Any, *, show: Sequence[str], columns: Mapping[str, Sequence[str]], language: str | None, open_it: bool
) -> Path:
    """Write the page, atomically; see `Record.save`."""
    page = files("retrograde.explore").joinpath("built/index.html").read_text("utf-8")
    before, after = page.split(PLACE)
    data = json.dumps(page_data(record, show, columns, language), ensure_ascii=False, separators=(",", ":"))
    target = replace_file(path, (before + data.replace("<", "\\u003c") + after).encode())
    if open_it:
        webbrowser.open(target.resolve().as_uri())
    return target


def page_data(
    record: Record, show: Sequence[str] = (), columns: Mapping[str, Sequence[str]] = MappingProxyType({}),
    language: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """What `to_dict` says, with rounded numbers, small pictures of large arrays, and formulas in their other faces."""
    if language is not None:
        templates_of(language)
    named = {record[name].name: _checked(record[name], words) for name, words in columns.items()}
    chosen = {record[name].name for name in show}
    limit = _limit(record)
    large = sum(np.size(array) > limit for array in _arrays(record))
    side = int(np.clip(np.sqrt(BUDGET / max(large, 1)), *SIDE))
    data = describe(record, -1)
    deep = len(record.steps) > DEEP
    faces = {} if deep else {"shapes": with_shapes(record), "numbers": with_numbers(record)}
    jacobians = {} if deep else _jacobians(record)
    for step, shown in zip((*record.inputs, *record.parameters, *record.steps),
                           (*data["inputs"], *data["parameters"], *data["steps"])):  # fmt: skip
        for key in ("value", "cotangent"):
            array = getattr(step, key)
            if array is not None:
                array = np.asarray(array)
                whole = array.size <= limit or step.name in chosen
                shown[key] |= elements_of(array, _rounded) if whole else _picture(array, side)
        shown["faces"] = {name: _face(face, step) for name, face in faces.items()}
        shown["jacobians"] = jacobians.get(step.name, {})
        shown["columns"] = named.get(step.name)
    data["diagnosis"] = {known: record.diagnose(known) for known in LANGUAGES}
    data["language"] = language
    data["naive"] = {name: formula.tex for name, formula in written_out(record).items()}
    for moment in data["memory"]["moments"]:
        moment["values"] = sorted(moment["values"], key=lambda value: -value[1])[:LARGEST]
    return data


def _limit(record: Record) -> int:
    """The size up to which arrays are written in full, so that all of them together stay within the budget."""
    sizes, counts = np.unique([np.size(array) for array in _arrays(record)], return_counts=True)
    within = np.cumsum(sizes * counts) <= BUDGET
    return int(sizes[within][-1]) if within.any() else 0


def _arrays(record: Record) -> list[Any]:
    return [array for step in record for array in (step.value, step.cotangent) if array is not None]


def _picture(array: np.ndarray, side: int) -> dict[str, Any]:
    """A coarse picture of an array (every n-th row and column) and a histogram; of complex numbers, of their absolute values."""
    array = np.abs(array) if np.iscomplexobj(array) else array.astype(np.float64)
    flat = array.reshape(-1, array.shape[-1]) if array.ndim > 1 else array.reshape(1, -1)
    part = flat[:: -(-flat.shape[0] // side), :: -(-flat.shape[1] // side)]
    finite = array[np.isfinite(array)]
    counts, edges = np.histogram(finite, BINS) if finite.size else (np.zeros(0, int), np.zeros(0))
    return {"picture": {"shape": list(part.shape), "data": _rounded(part, 3)},
            "histogram": {"counts": counts.tolist(), "edges": _rounded(edges, 4)}}  # fmt: skip


def _rounded(array: np.ndarray, digits: int = 9) -> list[float | str]:
    return [0 if x == 0 else float(f"{x:.{digits}g}") if np.isfinite(x) else number(x) for x in array.ravel().tolist()]


def _face(face: Face, step: Step) -> dict[str, Any]:
    found = {"formula": face.forward(step), "backward": face.backward(step)}
    return {
        **{name: None if formula is None else formula.tex for name, formula in found.items()},
        "local": {name: face.local(step, name).tex for name in step.edges},
    }


def _checked(step: Step, words: Sequence[str]) -> list[str]:
    """Names for the elements of a step's last axis, as many as it has."""
    if not step.shape or len(words) != step.shape[-1]:
        wanted = "one is wanted for each of its last axis"
        raise ShapeError(f"columns has {len(words)} names for {step.name}, whose shape is {step.shape}: {wanted}")
    return [str(word) for word in words]


def _jacobians(record: Record) -> dict[str, dict[str, Any]]:
    """Those that are small, by step and by what it reads; of a batch, those of its first examples."""
    sizes = {(step.name, name): _size(step, name) for step in record.steps for name in step._places}
    wanted = {key: size for key, size in sizes.items() if size <= JACOBIAN}
    examples = int(np.clip(JACOBIANS // max(sum(wanted.values()), 1), 1, EXAMPLES))
    found: dict[str, dict[str, Any]] = {}
    for own, name in wanted:
        if (jacobian := _jacobian(record[own], name, examples)) is not None:
            found.setdefault(own, {})[name] = jacobian
    return found


def _examples(step: Step, name: str) -> int:
    """Of how many examples a Jacobian is shown one by one: a vector's is shown whole, for its elements may be units."""
    return step.examples(name) if len(step.shape) > 1 else 0


def _size(step: Step, name: str) -> int:
    """Elements of a Jacobian, of a batch that of one example."""
    rows = _examples(step, name)
    read = np.size(step._given[step._places[name]])
    return read * np.size(step.value) if not rows else read * np.size(step.value) // rows // (1 if step.whole(name) else rows)


def _jacobian(step: Step, name: str, examples: int) -> dict[str, Any] | None:
    """As a table whose rows are elements of what is read; None of complex numbers by complex numbers."""
    rows = _examples(step, name)
    try:
        with np.errstate(all="ignore"):  # the diagnosis says where a NaN comes from
            made = [step.jacobian_by(name, example) for example in (range(min(rows, examples)) if rows else [None])]
    except DifferentiationError:
        return None
    columns = np.size(step.value) // (rows or 1)
    tables = [(numbers(jacobian, -1) or {}) | elements_of(jacobian, _rounded) for jacobian in made]
    return {"shape": [made[0].size // (columns or 1), columns], "batch": rows, "examples": tables}


__all__ = ["page_data", "save_page"]
