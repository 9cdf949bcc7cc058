"""A training run as named arrays and back: what it needs to go on as if it had never stopped.

That is, of each start, the carry of the compiled program (parameters, optimizer state, random key, epoch, the best so far), the
rows of its history and, of a run that comes back to Python within an epoch, its place in the one that was begun. Settings are
code, and not kept: they are given to `fit` again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from retrograde.errors import ModelError, ModelFileError
from retrograde.tree import tree_flatten, tree_paths, tree_unflatten

HIDDEN = ("seen", "seconds", "updates")  # rows that are kept, but are no part of the history: points, time, updates of each epoch


class Begun(NamedTuple):
    """What was done of an epoch: its updates, the sum of their losses, the points they saw, and seconds."""

    updates: int = 0
    loss: float = 0.0
    seen: float = 0.0
    seconds: float = 0.0


NOT_BEGUN = Begun()


@dataclass(frozen=True)
class Progress:
    """How far a start has come: the program's carry, its rows by name, those that are `HIDDEN` too, and the epoch it has `begun`.

    Parameters, optimizer state and loss scale of the carry are those after the updates of that epoch, the rest of it is before.
    """

    carry: Any
    rows: dict[str, np.ndarray]
    begun: Begun = NOT_BEGUN


def named(starts: Sequence[Progress]) -> dict[str, np.ndarray]:
    """The arrays of a run, by name; each name begins with the number of its start."""
    return {f"{i}.{name}": values for i, start in enumerate(starts) for name, values in _arrays(start).items()}


def resumed(source: Any, templates: Sequence[Any], columns: Sequence[str] | None) -> list[Progress]:
    """The progress that a file or a sequence of `Progress` holds, for a program whose carries begin as `templates`.

    Raises `ModelFileError` for a file that holds no run, `ModelError` for a run of another network, optimizer or seed, or with
    other columns in its history (None: those are not known yet).
    """
    starts = [_arrays(p) for p in source] if isinstance(source, Sequence) and not isinstance(source, str) else _of_file(source)
    if len(starts) != len(templates):
        raise ModelError(f"resume: that run had starts={len(starts)}, this one has {len(templates)}; give the same number")
    return [_fitted(found, template, columns) for found, template in zip(starts, templates)]


def _arrays(start: Progress) -> dict[str, np.ndarray]:
    begun = {"begun": np.array(start.begun)} if start.begun.updates else {}
    return _carried(start.carry) | {f"rows.{name}": values for name, values in start.rows.items()} | begun


def _carried(carry: Any) -> dict[str, np.ndarray]:
    names = (".".join(["carry", *map(str, path)]) for path in tree_paths(carry))
    return {name: np.asarray(leaf) for name, leaf in zip(names, tree_flatten(carry)[0])}


def _fitted(found: Mapping[str, np.ndarray], template: Any, columns: Sequence[str] | None) -> Progress:
    wanted = _carried(template)
    carry = {name: found[name] for name in found if name.startswith("carry.")}
    rows = {name.removeprefix("rows."): values for name, values in found.items() if name.startswith("rows.")}
    odd = sorted(set(carry) ^ set(wanted)) or sorted(set(rows) ^ set(rows if columns is None else columns))
    if odd:
        name = odd[0].removeprefix("carry.")
        raise ModelError(f"resume: that run was of other settings: only one of it and this one has {name!r}. Give "
                         " the same network, optimizer, validation, metrics, watch and early_stopping")  # fmt: skip
    for name, leaf in wanted.items():
        if carry[name].shape != leaf.shape or carry[name].dtype != leaf.dtype:
            raise ModelError(f"resume: {name.removeprefix('carry.')} is {carry[name].dtype} {carry[name].shape} in that run, "
                             f"{leaf.dtype} {leaf.shape} here; give the same network and optimizer")  # fmt: skip
    if not np.array_equal(carry["carry.key"], wanted["carry.key"]):
        raise ModelError("resume: that run had another seed, so its shuffle was another; give the same seed")
    leaves = [np.array(carry[name])[()] if leaf.ndim == 0 else np.array(carry[name]) for name, leaf in wanted.items()]
    updates, *sums = found.get("begun", NOT_BEGUN)
    return Progress(tree_unflatten(tree_flatten(template)[1], leaves), rows, Begun(int(updates), *map(float, sums)))


def _of_file(source: Any) -> list[dict[str, np.ndarray]]:
    from retrograde.io.model_file import load_state

    found = load_state(source)
    starts: dict[str, dict[str, np.ndarray]] = {}
    for name, values in found.items():
        start, _, rest = name.partition(".")
        starts.setdefault(start, {})[rest] = values
    for held in starts.values():
        lengths = {values.shape[:1] for name, values in held.items() if name.startswith("rows.")}
        epoch = held.get("carry.epoch", np.int64(-1))
        if lengths != {(int(epoch),)} or np.shape(held.get("begun", NOT_BEGUN)) != np.shape(NOT_BEGUN):
            raise ModelFileError(f"{Path(source)} holds a damaged run; a run to go on with is written by run.save(path)")
    if not starts:
        raise ModelFileError(f"{Path(source)} holds a network alone; a run to go on with is written by run.save(path)")
    return [starts[i] for i in sorted(starts, key=int)]
