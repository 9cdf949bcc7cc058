"""Early stopping: which column of the history is watched, and what is carried to keep the best parameters.

What is here works on traced values, inside the program of the run, as it does on NumPy's, in the driver.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from retrograde import tree
from retrograde.errors import ModelError
from retrograde.train.data import check_whole


@dataclass(frozen=True)
class EarlyStopping:
    """Stop after `patience` epochs in which `monitor`, a column of the history, did not improve; the best parameters are kept.

    mode: "min" or "max", what is better; None where the column itself says so (losses, and what scikit-learn calls a score).
    min_delta: an epoch counts as an improvement where it betters the best so far by more than this.
    """

    patience: int
    monitor: str = "val_loss"
    mode: str | None = None
    min_delta: float = 0.0


def get_stopping(given: Any, columns: Mapping[str, str | None]) -> EarlyStopping | None:
    """`early_stopping` as it was given to `fit` (None, epochs, a mapping, the object), checked; `columns` say their modes."""
    if given is None:
        return None
    if isinstance(given, Mapping):
        try:
            given = EarlyStopping(**given)
        except TypeError as error:
            raise ModelError(f"early_stopping takes patience, monitor, mode and min_delta: {error}") from None
    stopping = given if isinstance(given, EarlyStopping) else EarlyStopping(given)
    check_whole("early_stopping", stopping.patience, 1, ", or None to run all epochs")
    if stopping.monitor not in columns:
        needs = "needs validation: give a fraction or (X, y)" if "val_loss" not in columns else f"can watch {sorted(columns)}"
        raise ModelError(f"early_stopping {needs}; monitor is {stopping.monitor!r}")
    mode = stopping.mode or columns[stopping.monitor]
    if mode not in ("min", "max"):
        raise ModelError(f'early_stopping by {stopping.monitor!r} wants mode="min" or "max"; it is {stopping.mode!r}')
    if not 0 <= stopping.min_delta < np.inf:
        raise ModelError(f"early_stopping: min_delta must be a number of at least 0; it is {stopping.min_delta!r}")
    return replace(stopping, mode=mode)


def first_watch(params: Any) -> dict[str, Any]:
    """What early stopping carries, before the first epoch."""
    return {
        "best": tree.tree_map(np.array, params), "lowest": np.full((), np.inf), "wait": np.zeros((), np.int64),
        "best_epoch": np.zeros((), np.int64),
    }  # fmt: skip


def watched(carry: dict[str, Any], value: Any, stopping: EarlyStopping) -> dict[str, Any]:
    """The carry after an epoch in which the monitored column had this value. NaN is never better."""
    value = value if stopping.mode == "min" else -value
    better, improved = value < carry["lowest"], value < carry["lowest"] - stopping.min_delta
    return carry | {
        "best": tree.tree_map(lambda p, b: np.where(better, p, b), carry["params"], carry["best"]),
        "lowest": np.where(better, value, carry["lowest"]),
        "best_epoch": np.where(better, carry["epoch"], carry["best_epoch"]),
        "wait": np.where(improved, 0, carry["wait"] + 1),
    }


def ended(carry: Mapping[str, Any], stopping: EarlyStopping | None) -> bool:
    """Whether early stopping has ended a start with this carry."""
    return stopping is not None and int(carry["wait"]) >= stopping.patience
