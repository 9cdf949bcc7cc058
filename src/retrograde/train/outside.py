"""Metrics that cannot be traced, computed between two epochs from the outputs of the network."""

from __future__ import annotations

from typing import Any

import numpy as np

from retrograde.compile import jit
from retrograde.errors import ModelError
from retrograde.train.data import Data
from retrograde.train.metrics import Metric
from retrograde.train.program import Settings


class Outside:
    """`outside(params)` is the row of their columns; NaN for all where an output is not finite."""

    def __init__(self, settings: Settings, points: Data | None, compiled: bool):
        self.metrics = [m for m in settings.metrics if not m.traced]
        over = [("", points.X, points.y)] if points is not None and settings.train_metrics else []
        self.over = over if points is None or points.Xv is None else [*over, ("val_", points.Xv, points.yv)]
        self.columns = {prefix + m.name for prefix, _, _ in self.over for m in self.metrics}
        self.predict = jit(_predict, flush_subnormals=True) if compiled else _predict

    def __call__(self, params: Any) -> dict[str, np.ndarray]:
        """Of parameters, on the points it is made for."""
        row = {}
        for prefix, X, y in self.over if self.metrics else ():
            outputs = self.predict(params, X)
            for metric in self.metrics:
                row[prefix + metric.name] = np.full(1, value_of(metric, y, outputs) if np.isfinite(outputs).all() else np.nan)
        return row


def _predict(params: Any, X: Any) -> Any:
    return params(X)


def value_of(metric: Metric, y: Any, outputs: np.ndarray) -> float:
    """A metric in NumPy. Raises `ModelError` where it cannot be had of these."""
    try:
        return float(metric(y, outputs))
    except (TypeError, ValueError) as error:
        raise ModelError(f"metric {metric.name!r} cannot be computed from {len(y)} targets and outputs of shape {outputs.shape}: "
                         f"{error}") from error  # fmt: skip
