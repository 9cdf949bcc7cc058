"""`EarlyStopping`: which figure of its epochs a run watches, how long it waits for a better one, and what it keeps.

What it does works on traced values, inside the program of the run, as it does on NumPy's, in the driver.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from retrograde import tree
from retrograde.errors import ModelError
from retrograde.train.data import check_whole
from retrograde.train.gradient import chosen


@dataclass(frozen=True)
class EarlyStopping:
    """End a run when `patience` epochs in a row have not bettered the best `monitor` by more than `min_delta`.

    monitor: a column of the history: "val_loss", "loss", or "val_<name>" of a metric. mode: "min" where less is better, "max"
    where more is; None: as the column itself says (losses, and what scikit-learn calls a score). keep_best: the run returns the
    parameters of the best epoch, else those of the last one. An optimizer with a method `stalled(state) -> (state, ended)` is
    asked first, where patience is at its end: unless it has ended, the run goes on with that state and waits anew (so a learning
    rate is lowered on a plateau).
    """

    patience: int
    monitor: str = "val_loss"
    mode: str | None = None
    min_delta: float = 0.0
    keep_best: bool = True

    def __post_init__(self) -> None:
        check_whole("early_stopping", self.patience, 1, ", or None to run all epochs")
        if self.mode not in ("min", "max", None):
            raise ModelError(f'EarlyStopping: mode is "min" or "max"; it is {self.mode!r}')
        if not 0 <= self.min_delta < np.inf:
            raise ModelError(f"EarlyStopping: min_delta is a number of at least 0; it is {self.min_delta!r}")

    def start(self, params: Any) -> dict[str, Any]:
        """What the carry of a run holds for it; "lowest" is the best figure, its sign turned where more is better."""
        watched = {"lowest": np.full((), np.inf), "wait": np.zeros((), np.int64), "best_epoch": np.zeros((), np.int64)}
        return watched | ({"best": tree.tree_map(np.array, params)} if self.keep_best else {})

    def watch(self, carry: dict[str, Any], row: dict[str, Any], stalled: Callable | None) -> None:
        """Take the figure of the epoch that has just ended into `carry`."""
        figure = row[self.monitor] if self.mode != "max" else -row[self.monitor]
        better = figure < carry["lowest"]
        waited_for = figure < carry["lowest"] - self.min_delta if self.min_delta else better
        if self.keep_best:
            carry["best"] = chosen(better, carry["params"], carry["best"])
        carry["lowest"] = np.where(better, figure, carry["lowest"])
        carry["best_epoch"] = np.where(better, carry["epoch"], carry["best_epoch"])
        carry["wait"] = np.where(waited_for, 0, carry["wait"] + 1)
        if stalled is not None:
            state, ended = stalled(carry["state"])
            again = np.logical_and(carry["wait"] >= self.patience, np.logical_not(ended))
            carry["state"] = tree.tree_map(lambda new, old: np.where(again, new, old), state, carry["state"])
            carry["wait"] = np.where(again, 0, carry["wait"])

    def ended(self, carry: dict[str, Any]) -> Any:
        """Whether patience is at its end."""
        return carry["wait"] >= self.patience


def get_stopping(given: Any, columns: Mapping[str, str | None]) -> EarlyStopping | None:
    """`early_stopping` as `fit` was given it (None, epochs, a mapping, the object), checked; `columns` have the modes."""
    if given is None:
        return None
    if isinstance(given, Mapping):
        try:
            given = EarlyStopping(**given)
        except TypeError as error:
            raise ModelError(f"early_stopping takes patience, monitor, mode, min_delta and keep_best: {error}") from None
    stopping = given if isinstance(given, EarlyStopping) else EarlyStopping(given)
    if stopping.monitor not in columns:
        needs = "needs validation: give a fraction or (X, y)" if "val_loss" not in columns else f"can watch {sorted(columns)}"
        raise ModelError(f"early_stopping {needs}; monitor is {stopping.monitor!r}")
    mode = stopping.mode or columns[stopping.monitor]
    if mode is None:
        raise ModelError(f'early_stopping by {stopping.monitor!r} wants mode="min" or mode="max"')
    return replace(stopping, mode=mode, patience=int(stopping.patience), min_delta=float(stopping.min_delta))
