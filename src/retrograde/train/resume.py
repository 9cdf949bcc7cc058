"""A training run as named arrays and back: what it needs to go on as if it had never stopped.

That is the carry of the compiled program (parameters, optimizer state, random key, epoch, the best so far) and the rows of its
history. Settings are code, and not kept: they are given to `fit` again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from retrograde.errors import ModelError, ModelFileError
from retrograde.tree import tree_flatten, tree_paths, tree_unflatten


@dataclass(frozen=True)
class Progress:
    """How far a run has come: the program's carry, its history by name (with the points "seen"), seconds of training."""

    carry: Any
    rows: dict[str, np.ndarray]
    seconds: float


def named(progress: Progress) -> dict[str, np.ndarray]:
    """The arrays of a run, by name."""
    carry = {_name(path): np.asarray(leaf) for path, leaf in zip(tree_paths(progress.carry), tree_flatten(progress.carry)[0])}
    return carry | {f"rows.{name}": values for name, values in progress.rows.items()} | {"seconds": np.asarray(progress.seconds)}


def resumed(source: Any, template: Any) -> Progress:
    """The progress that a file or a `Run` holds, for a program whose carry begins as `template`.

    Raises `ModelFileError` for a file that holds no run, `ModelError` for a run of another network, optimizer or seed.
    """
    found = named(source) if isinstance(source, Progress) else _of_file(source)
    wanted = {_name(path): np.asarray(leaf) for path, leaf in zip(tree_paths(template), tree_flatten(template)[0])}
    carry = {name: found[name] for name in found if name.startswith("carry.")}
    if sorted(carry) != sorted(wanted):
        odd = sorted(set(carry) ^ set(wanted))[0].removeprefix("carry.")
        raise ModelError(f"resume: that run was of other settings: only one of it and this one has {odd!r}. Give the same "
                         "network, optimizer, validation and early_stopping")  # fmt: skip
    for name, leaf in wanted.items():
        if carry[name].shape != leaf.shape or carry[name].dtype != leaf.dtype:
            raise ModelError(f"resume: {name.removeprefix('carry.')} is {carry[name].dtype} {carry[name].shape} in that run, "
                             f"{leaf.dtype} {leaf.shape} here; give the same network and optimizer")  # fmt: skip
    if not np.array_equal(carry["carry.key"], wanted["carry.key"]):
        raise ModelError("resume: that run had another seed, so its shuffle was another; give the same seed")
    structure = tree_flatten(template)[1]
    leaves = [np.array(carry[name])[()] if leaf.ndim == 0 else np.array(carry[name]) for name, leaf in wanted.items()]
    rows = {name.removeprefix("rows."): values for name, values in found.items() if name.startswith("rows.")}
    return Progress(tree_unflatten(structure, leaves), rows, float(found["seconds"]))


def _of_file(source: Any) -> Mapping[str, np.ndarray]:
    from retrograde.io.model_file import load_state

    found = load_state(source)
    lengths = {values.shape for name, values in found.items() if name.startswith("rows.")}
    epoch = found.get("carry.epoch")
    if epoch is None or "seconds" not in found or lengths != {(int(epoch),)}:
        held = "holds a damaged run" if found else "holds a network alone"
        raise ModelFileError(f"{Path(source)} {held}; a run to go on with is written by run.save(path)")
    return found


def _name(path: tuple) -> str:
    return ".".join(["carry", *map(str, path)])
