"""`EarlyStopping`: which figure of its epochs a run watches, how long it waits for a better one, and what it keeps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from retrograde import tree
from retrograde.errors import ModelError


@dataclass(frozen=True)
class EarlyStopping:
    """End a run when `patience` epochs in a row have not bettered the best `monitor` by `min_delta`, as in Keras.

    monitor: a figure of the history: "val_loss", "loss", or "val_<name>" of a metric. mode: "min" where less is better, "max"
    where more is. keep_best: the run returns the parameters of the best epoch, else those of the last one. An optimizer with a
    method `stalled(state) -> (state, ended)` is asked first, where patience is at its end: unless it has ended, the run goes
    on with that state and waits anew (so a learning rate is lowered on a plateau).
    """

    patience: int
    monitor: str = "val_loss"
    mode: str = "min"
    min_delta: float = 0.0
    keep_best: bool = True

    def __post_init__(self) -> None:
        if isinstance(self.patience, bool) or not isinstance(self.patience, (int, np.integer)) or self.patience < 1:
            raise ModelError(f"early_stopping must be an integer of at least 1, or None for all epochs; it is {self.patience!r}")
        if self.mode not in ("min", "max"):
            raise ModelError(f'EarlyStopping: mode is "min" or "max"; it is {self.mode!r}')
        if not self.min_delta >= 0:
            raise ModelError(f"EarlyStopping: min_delta is a number of at least 0; it is {self.min_delta!r}")

    def start(self, params: Any) -> dict[str, Any]:
        """What the carry of a run holds for it; "lowest" is the best figure, its sign turned where more is better."""
        watched = {"lowest": np.full((), np.inf), "wait": np.zeros((), np.int64), "best_epoch": np.zeros((), np.int64)}
        return watched | ({"best": tree.tree_map(np.array, params)} if self.keep_best else {})

    def watch(self, carry: dict[str, Any], row: dict[str, Any], stalled: Callable | None) -> None:
        """Take the figure of the epoch that has just ended into `carry`."""
        figure = row[self.monitor] if self.mode == "min" else -row[self.monitor]
        better = figure < carry["lowest"]
        waited_for = figure < carry["lowest"] - self.min_delta if self.min_delta else better
        if self.keep_best:
            carry["best"] = tree.tree_map(lambda p, b: np.where(better, p, b), carry["params"], carry["best"])
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
