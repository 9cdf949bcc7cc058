"""`Programs`: native programs of runs, kept for further runs of the same settings and shapes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np

from retrograde.compile import Jitted, jit
from retrograde.tree import tree_flatten


@dataclass
class Kept:
    """A program, and what the driver has found out about it: operations of an update, and bytes held for its backward pass."""

    run: Jitted
    price: tuple[float, int] | None = None


class Programs:
    """The last `most` programs of the runs that `fit(..., compiled=programs)` made: an equal run is not traced again.

    Runs are equal, too, where only seeds, learning rates, weight decays, l1 and l2 differ (see `Optimizer.numbers`): the
    program takes those as arguments, unless one of them is 0. `len(programs)` is how many there are.

    As under `jit`, what loss, optimizer, metrics and penalty read from outside is read when a program is first made, and those
    that are equal share it. Threads may share one object.
    """

    def __init__(self, most: int = 16):
        self.most = most
        self._kept: OrderedDict[Any, Kept] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def of(self, settings: Any, make: Callable, arguments: Sequence[Any]) -> Kept:
        """The program that `make(settings)` writes, compiled for arguments of these shapes or about to be."""
        leaves, structure = tree_flatten(arguments)
        key = (make, settings, structure, tuple((np.shape(leaf), np.asarray(leaf).dtype) for leaf in leaves))
        try:
            hash(key)
        except TypeError:  # somebody's optimizer or layer that cannot be compared
            return Kept(jit(make(settings), flush_subnormals=True))
        with self._lock:
            found = self._kept.pop(key, None) or Kept(jit(make(settings), flush_subnormals=True))
            self._kept[key] = found
            while len(self._kept) > self.most:
                self._kept.popitem(last=False)
        return found
