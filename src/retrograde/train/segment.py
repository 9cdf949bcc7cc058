"""A part of an epoch as a program: some updates on a chunk of points, by the same update as the whole run (`program.py`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from retrograde import numpy as rnp
from retrograde import random
from retrograde.control import scan


def make_segment(update: Callable) -> Callable:
    """`segment(inner, X, y, weight, order, key, before, count) -> (inner, part, made)`, to be compiled or interpreted.

    Makes the first `count` updates: on the rows that `order`, (most, batch), lists or, without one, on the points one after
    another, (most, batch, ...). `before` updates came earlier in this epoch. `part` is the sum of the losses of these updates and
    the points they saw; `made` is `count`, unless Ctrl-C came before.
    """

    def segment(
        inner: tuple, X: Any, y: Any, weight: Any, order: Any, key: Any, before: Any, count: Any
    ) -> tuple[tuple, tuple, Any]:
        def step(carry: tuple, at: tuple) -> tuple[tuple, None]:
            made, inner, part, _ = carry
            points, i = at
            points = points if order is None else _take(X, y, weight, points)
            inner, part = _apart(update, inner, part, points, random.fold_in(key, before + i + 1))
            return (made + 1, inner, part, made + 1 >= count), None

        batches = (X, y, weight) if order is None else order
        start = (np.int64(0), inner, (np.zeros(()), np.zeros(())), count <= 0)
        steps = np.arange(len(X if order is None else order))
        (made, inner, part, _), _ = scan(step, start, (batches, steps), exit=lambda carry: carry[3])
        return inner, part, made

    return segment


def make_single(update: Callable) -> Callable:
    """`single(inner, X, y, weight, rows, key, before) -> (inner, part)`: one update, on these rows (None: on all)."""

    def single(inner: tuple, X: Any, y: Any, weight: Any, rows: Any, key: Any, before: Any) -> tuple[tuple, tuple]:
        points = (X, y, weight) if rows is None else _take(X, y, weight, rows)

        def step(carry: tuple, x: None) -> tuple[tuple, None]:
            inner, part = carry
            return _apart(update, inner, part, points, random.fold_in(key, before + 1)), None

        # in a loop, as in the whole run: what is in one is compiled to other code, which may round otherwise
        return scan(step, (inner, (np.zeros(()), np.zeros(()))), length=1)[0]

    return single


def make_many(segment: Callable, single: Callable) -> tuple[Callable, Callable]:
    """The same for many starts: `inner`, `key` and `count` have a first axis, over which nothing is carried.

    The points are those of all; an `order` or rows of a further axis, the last, differ by start.
    """

    def segments(
        inner: tuple, X: Any, y: Any, weight: Any, order: Any, key: Any, before: Any, count: Any
    ) -> tuple[tuple, tuple, Any]:
        def of_start(at: tuple) -> tuple:
            inner, key, count, own = at
            return segment(inner, X, y, weight, order if own is None else own, key, before, count)

        return scan(lambda _, at: (None, of_start(at)), None, (inner, key, count, _own(order, 3)))[1]

    def singles(inner: tuple, X: Any, y: Any, weight: Any, rows: Any, key: Any, before: Any) -> tuple[tuple, tuple]:
        def of_start(at: tuple) -> tuple:
            inner, key, own = at
            return single(inner, X, y, weight, rows if own is None else own, key, before)

        return scan(lambda _, at: (None, of_start(at)), None, (inner, key, _own(rows, 2)))[1]

    return segments, singles


def _own(order: Any, axes: int) -> Any:
    """The orders by start, if they differ."""
    return np.moveaxis(order, -1, 0) if order is not None and np.ndim(order) == axes else None


def _apart(update: Callable, inner: tuple, part: tuple, points: tuple, key: Any) -> tuple[tuple, tuple]:
    """An update whose loss is added to the sum of the epoch and to that of the segment."""
    *model, loss, seen = update((*inner[:3], np.zeros(()), np.zeros(())), points, key)
    return (*model, inner[3] + loss, inner[4] + seen), (part[0] + loss, part[1] + seen)


def _take(X: Any, y: Any, weight: Any, rows: Any) -> tuple:
    x, y, weight = (None if v is None else rnp.take(v, rows, axis=0) for v in (X, y, weight))
    return x, y, weight
