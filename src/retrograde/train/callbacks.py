"""Callbacks within an epoch: `Every(n, f)`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from retrograde import tree
from retrograde.errors import ModelError


@dataclass(frozen=True)
class Steps:
    """What a callback of `Every` sees: `step` updates were made in all, the last of them in `epoch` (from 1 on).

    `loss` is the mean training loss of the points of the last n updates, or of those since the run went on. Of many starts it is
    an array, NaN where one has stopped.
    """

    step: int
    epoch: int
    loss: float
    params: Any = field(repr=False)

    @property
    def model(self) -> Any:
        """The network as it is now, or a tuple of those of all starts: a copy, made when it is asked for."""
        return tree.tree_map(np.array, self.params)


@dataclass(frozen=True)
class Every:
    """Among the callbacks of `fit`: call `f(steps)` after each `n` updates; True ends the run. See `Steps`.

    The updates between two calls run as one piece of native code. The run comes to the same bits whatever n is. Without `Every`
    it makes the same updates, but in other code (all of the run is one program), which may round the last bit of a sum otherwise.
    """

    n: int
    f: Callable[[Steps], Any]

    def __post_init__(self) -> None:
        if isinstance(self.n, bool) or not isinstance(self.n, (int, np.integer)) or self.n < 1 or not callable(self.f):
            raise ModelError(f"Every(n, f) calls a function f after each n >= 1 updates; it is given {self.n!r}, {self.f!r}")

    def __call__(self, steps: Steps) -> Any:
        return self.f(steps)
