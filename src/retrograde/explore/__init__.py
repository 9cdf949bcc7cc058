"""The glass box: one forward and one backward pass, with every value, cotangent and formula of it kept to look at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retrograde.explore.record import Record


def explore(f: Callable, argnums: int | Sequence[int] = 0) -> Callable[..., Record]:
    """`explore(loss)(params, x, y)` runs forward and backward once, as the graph that is compiled, and gives a `Record` of it.

    The loss returns a 0-d float, as for `rg.grad`; derivatives are by argument `argnums` (or several), pytrees of floats.
    Steps have the names of the user's variables, or f0, h1, f1, ... for the layers of a network. Raises
    `DifferentiationError` where `rg.grad` does, and inside another transform, where there are no numbers. The graph is shown
    as traced, before optimization.
    """

    def explored(*args: Any, **kwargs: Any) -> Record:
        from retrograde.explore.record import run_record

        return run_record(f, args, kwargs, argnums)

    return explored


__all__ = ["explore"]
