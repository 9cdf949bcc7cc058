"""The column to predict: whether it asks for classes or for numbers, and the way there and back."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from retrograde.errors import DataError, ModelFileError
from retrograde.io.tables import Column, as_number

FEW = 20
"""Integers with at most this many different values are taken as classes."""


@dataclass
class Target:
    """What the network predicts.

    Classification: `classes` in order, text or whole numbers; encoded as int64 of shape (rows,). Regression: standardized by
    `mean` and `scale`; encoded as float32 of shape (rows, 1).
    """

    name: str
    task: str
    classes: list[Any] = field(default_factory=list)
    mean: float = 0.0
    scale: float = 1.0

    @property
    def outputs(self) -> int:
        """Width of the network's last layer."""
        return len(self.classes) if self.task == "classification" else 1

    def values(self, column: Column) -> np.ndarray:
        """The column in the target's own terms: class labels (object) or float64; raises `DataError` where one is missing."""
        missing = column.missing()
        if missing.any():
            first, n = int(np.argmax(missing)) + 1, int(missing.sum())
            raise DataError(
                f"target column {self.name!r} is missing (NaN or empty) in {n:,} of {len(missing):,} rows, first in row {first}; "
                "remove those rows or fill them in"
            )
        if self.task == "regression":
            return column.numbers()
        if self.classes and isinstance(self.classes[0], str):
            return column.texts()
        if column.is_whole():
            return column.numbers().astype(np.int64).astype(object)
        return column.texts()

    def encode(self, values: np.ndarray) -> np.ndarray:
        """What the loss takes."""
        if self.task == "regression":
            return ((values - self.mean) / self.scale).astype(np.float32)[:, None]
        place = {c: i for i, c in enumerate(self.classes)}
        unknown = [v for v in values if v not in place]
        if unknown:
            raise DataError(f"target column {self.name!r} holds {unknown[0]!r}, a class that the model was not trained on")
        return np.array([place[v] for v in values], np.int64)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and words."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Any) -> Target:
        """The inverse of `to_json`; raises `ModelFileError` where `data` is not such a record."""
        try:
            made = cls(str(data["name"]), str(data["task"]), list(data["classes"]), float(data["mean"]), float(data["scale"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ModelFileError(f"the model file's record of its target is damaged: {error!r}") from None
        if made.task not in ("classification", "regression") or (made.task == "classification") != bool(made.classes):
            raise ModelFileError(f"the model file's record of its target is damaged: task {made.task!r}")
        return made


def infer_target(column: Column, task: str | None) -> Target:
    """Text, true/false and few whole numbers mean classes, other numbers regression; `task` overrides.

    Raises `DataError` for a target with missing values, a single value, or more classes than there are rows to learn from.
    """
    missing = column.missing()
    if missing.all():
        raise DataError(f"target column {column.name!r} has no values")
    if task == "regression" and column.kind in ("text", "boolean"):
        try:
            column = Column(column.name, "text", column.values) if column.kind == "text" else column
            column.numbers()
        except DataError as error:
            raise DataError(f"--task regression needs numbers, but {error}") from None
    if task is None and column.kind == "text":
        _refuse_spoiled_numbers(column)
    if task is None:
        task = "regression"
        if column.kind in ("text", "boolean"):
            task = "classification"
        elif column.is_whole():
            distinct = len(np.unique(column.numbers()[~missing]))
            if distinct <= FEW and 2 * distinct <= len(missing):
                task = "classification"
    target = Target(column.name, task)
    values = target.values(column)
    if task == "regression":
        if np.ptp(values) == 0:
            raise DataError(f"target column {column.name!r} holds {values[0]:g} in every row; there is nothing to learn")
        return target
    target.classes = sorted(set(values))
    if len(target.classes) == 1:
        only = f"one class only ({target.classes[0]!r})"
        raise DataError(f"target column {column.name!r} holds {only}; classification needs two or more")
    if 2 * len(target.classes) > len(values) and len(target.classes) > 2:
        raise DataError(
            f"target column {column.name!r} has {len(target.classes):,} classes in {len(values):,} rows; "
            "that is too few rows a class (is it an identifier? for numbers pass --task regression)"
        )
    return target


def _refuse_spoiled_numbers(column: Column) -> None:
    """Raise where a few words stand among many numbers: that is no set of classes."""
    distinct = {w for w in column.texts() if w is not None}
    spelled = sum(np.isfinite(as_number(w)) for w in distinct)
    if spelled > FEW and 0.9 * len(distinct) <= spelled < len(distinct):
        try:
            column.numbers()
        except DataError as error:
            raise DataError(f"target {error}; correct it, or pass --task classification if these are names") from None


def split_rows(values: np.ndarray, fraction: float, seed: int, stratify: bool) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers to train on and to test on, sorted; each class in its share, and never without a row to train on."""
    rng = np.random.default_rng(seed)
    groups = [np.flatnonzero(values == v) for v in sorted(set(values))] if stratify else [np.arange(len(values))]
    test = [rng.permutation(g)[: min(round(fraction * len(g)), len(g) - 1)] for g in groups]
    held = np.zeros(len(values), bool)
    held[np.concatenate(test)] = True
    if fraction > 0 and not held.any():
        held[rng.integers(len(values))] = True
    return np.flatnonzero(~held), np.flatnonzero(held)
