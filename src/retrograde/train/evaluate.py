"""Figures of a network after an epoch, of points in memory or of a stream, where the epochs are not one native program."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import numpy as np

from retrograde.errors import DataError
from retrograde.train.data import Data
from retrograde.train.outside import value_of
from retrograde.train.program import Row, Settings
from retrograde.train.stream import Stream
from retrograde.train.tabular import Arrays

Points = tuple[np.ndarray, np.ndarray] | Stream


class Evaluation:
    """`evaluation(net)` is a row of the metrics of these points and, of those to validate on ("val_"), the loss.

    Of a stream, the loss and what is a mean over points are the means over its chunks, each weighing its points. For the other
    metrics the outputs of all its points are held, with their targets. `make` makes a function a program, `call` calls it.
    """

    def __init__(self, prefix: str, points: Points, settings: Settings, make: Callable, call: Callable, check: Callable):
        self.prefix, self.points, self.call, self.check = prefix, points, call, check
        self.metrics = settings.metrics
        streamed = isinstance(points, Stream)
        inside = [m for m in self.metrics if (m.is_mean if streamed else m.traced)]
        self.outside = [m for m in self.metrics if m not in inside]

        def figures(net: Any, X: Any, y: Any) -> tuple[Row, Any]:
            outputs = net(X)
            row = {"val_loss": settings.loss(outputs, y).astype(np.float64)} if prefix else {}
            return row | {prefix + m.name: m(y, outputs) for m in inside}, outputs if self.outside else None

        self.figures = make(figures)

    def __call__(self, net: Any) -> Row:
        """Of this network; raises `DataError` where a stream gives no points."""
        rows, counts, held = [], [], []
        for X, y, _ in self._chunks(net):
            row, outputs = self.call(self.figures, net, X, y)
            rows.append(row)
            counts.append(len(X))
            if self.outside:
                held.append((y.copy(), outputs))  # a chunk is overwritten
        if not rows:
            raise DataError("a stream gave no points to measure on; let it begin anew each time it is asked")
        return _mean(rows, counts) | (self._others(held) if self.outside else {})

    def _chunks(self, net: Any) -> Iterator[Arrays]:
        if not isinstance(self.points, Stream):
            yield (*self.points, None)
            return
        with closing(self.points.epoch(0)) as chunks:
            for chunk in chunks:
                X, y, weight = chunk.points
                self.check(net, Data(X, y, None, None, None))
                for metric in self.metrics:
                    metric.meaning.check(y)
                yield X, y, weight

    def _others(self, held: list[tuple[np.ndarray, np.ndarray]]) -> Row:
        """What is of all outputs at once, computed in NumPy; NaN where an output is not finite."""
        y, outputs = (held[0] if len(held) == 1 else tuple(np.concatenate(parts) for parts in zip(*held)))
        if not np.isfinite(outputs).all():
            return {self.prefix + m.name: np.nan for m in self.outside}
        return {self.prefix + m.name: value_of(m, y, outputs) for m in self.outside}


def _mean(rows: list[Row], counts: list[int]) -> Row:
    if len(rows) == 1:
        return rows[0]
    return {name: np.average([float(row[name]) for row in rows], weights=counts) for name in rows[0]}
