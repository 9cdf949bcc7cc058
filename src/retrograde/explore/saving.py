"""The record as one HTML file that opens from disk: the built page with the record's data in it."""

from __future__ import annotations

import json
import webbrowser
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from retrograde.errors import ShapeError
from retrograde.explore.describe import describe, number
from retrograde.explore.faces import Face, with_numbers, with_shapes, written_out
from retrograde.explore.step import Step
from retrograde.io.atomic import replace_file

if TYPE_CHECKING:
    from retrograde.explore.record import Record

PLACE = "__RECORD__"  # in the built page, where the data goes
BUDGET = 40_000  # numbers that are written in full, the smallest arrays first; and as many again for pictures of the others
JACOBIAN = 1_024  # elements of a Jacobian that is written
DEEP = 64  # steps beyond which neither Jacobians nor further faces of formulas are written
SIDE, BINS = (8, 32), 16  # of the picture and the histogram of an array that is not written in full
LARGEST = 8  # values that are named in a moment of the memory


def save_page(record: Record, path: Any, *, show: Sequence[str], open_it: bool) -> Path:
    """Write the page, atomically; see `Record.save`."""
    page = files("retrograde.explore").joinpath("built/index.html").read_text("utf-8")
    before, after = page.split(PLACE)
    data = json.dumps(page_data(record, show), ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    target = replace_file(path, (before + data + after).encode())
    if open_it:
        webbrowser.open(target.resolve().as_uri())
    return target


def page_data(record: Record, show: Sequence[str] = ()) -> dict[str, Any]:
    """What `to_dict` says, with rounded numbers, small pictures of large arrays, and formulas in their other faces."""
    chosen = {record[name].name for name in show}
    limit = _limit(record)
    large = sum(np.size(array) > limit for array in _arrays(record))
    side = int(np.clip(np.sqrt(BUDGET / max(large, 1)), *SIDE))
    data = describe(record, -1)
    deep = len(record.steps) > DEEP
    faces = {} if deep else {"shapes": with_shapes(record), "numbers": with_numbers(record)}
    for step, shown in zip((*record.inputs, *record.parameters, *record.steps),
                           (*data["inputs"], *data["parameters"], *data["steps"])):  # fmt: skip
        for key in ("value", "cotangent"):
            array = getattr(step, key)
            if array is not None:
                array = np.asarray(array, np.float64)
                whole = array.size <= limit or step.name in chosen
                shown[key] |= {"data": _rounded(array)} if whole else _picture(array, side)
        shown["faces"] = {name: _face(face, step) for name, face in faces.items()}
        shown["jacobians"] = {} if deep else _jacobians(step)
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
    """A coarse picture of an array (every n-th row and column) and a histogram."""
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


def _jacobians(step: Step) -> dict[str, Any]:
    """Those that are small; of a batch, that of its first example."""
    found = {}
    for name, place in step._places.items():
        read = np.shape(step._given[place])
        batch = bool(read) and bool(step.shape) and read[0] == step.shape[0] > 1
        size = int(np.prod(read)) * int(np.prod(step.shape)) // (step.shape[0] ** 2 if batch else 1)
        if size > JACOBIAN:
            continue
        try:
            with np.errstate(all="ignore"):  # the diagnosis says where a NaN comes from
                jacobian = step.jacobian_by(name, 0 if batch else None)
        except ShapeError:
            continue
        found[name] = {"shape": list(jacobian.shape), "data": _rounded(jacobian), "example": 0 if batch else None}
    return found


__all__ = ["page_data", "save_page"]
