"""A part of an epoch as a program: some updates on a chunk of points, by the same update as the whole run (`program.py`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from retrograde import numpy as rnp
from retrograde import random
from retrograde.control import scan


def make_segment(update: Callable) -> Callable:
    """`segment(inner, X, y, weight, order, key, first, last, before) -> (inner, part, reached)`, to be compiled or interpreted.

    Makes the updates `first` to `last` of the rows of `order`, (most, batch); `before` updates came before the first row of it
    in this epoch. `part` is the sum of the losses of these updates and the points they saw; `reached` is `last`, unless Ctrl-C
    ended it before.
    """

    def segment(
        inner: tuple, X: Any, y: Any, weight: Any, order: Any, key: Any, first: Any, last: Any, before: Any
    ) -> tuple[tuple, tuple, Any]:
        def step(carry: tuple, x: None) -> tuple[tuple, None]:
            at, inner, part, _ = carry
            rows = rnp.take(order, at, axis=0)
            inner, part = _apart(update, inner, part, _take(X, y, weight, rows), random.fold_in(key, before + at + 1))
            return (at + 1, inner, part, at + 1 >= last), None

        start = (first, inner, (np.zeros(()), np.zeros(())), first >= last)
        (at, inner, part, _), _ = scan(step, start, length=len(order), exit=lambda carry: carry[3])
        return inner, part, at

    return segment


def make_single(update: Callable) -> Callable:
    """`single(inner, X, y, weight, rows, key, before) -> (inner, part)`: one update, on these rows (None: on all)."""

    def single(inner: tuple, X: Any, y: Any, weight: Any, rows: Any, key: Any, before: Any) -> tuple[tuple, tuple]:
        points = (X, y, weight) if rows is None else _take(X, y, weight, rows)
        return _apart(update, inner, (np.zeros(()), np.zeros(())), points, random.fold_in(key, before + 1))

    return single


def _apart(update: Callable, inner: tuple, part: tuple, points: tuple, key: Any) -> tuple[tuple, tuple]:
    """An update whose loss is added to the sum of the epoch and to that of the segment."""
    *model, loss, seen = update((*inner[:3], np.zeros(()), np.zeros(())), points, key)
    return (*model, inner[3] + loss, inner[4] + seen), (part[0] + loss, part[1] + seen)


def _take(X: Any, y: Any, weight: Any, rows: Any) -> tuple:
    x, y, weight = (None if v is None else rnp.take(v, rows, axis=0) for v in (X, y, weight))
    return x, y, weight
