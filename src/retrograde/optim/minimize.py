"""`minimize`: a function of any pytree of parameters down to a minimum, as one native program."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from retrograde.compile import jit
from retrograde.errors import ModelError
from retrograde.optim.lbfgs import FLAT, LBFGS, ON, STILL, STUCK
from retrograde.transforms import value_and_grad
from retrograde.tree import tree_leaves, tree_map

MESSAGES = {
    FLAT: "the gradient is below tolerance_grad",
    STILL: "the last step or its change of the value is below tolerance_change",
    STUCK: "no lower value was found along the negative gradient: the value or gradient may be wrong, or at its last digit",
    ON: "max_iter iterations or max_eval evaluations were done",
}


@dataclass(frozen=True)
class Minimum:
    """Where a minimization ended, with the names of SciPy's `OptimizeResult`: `x` is a tree like that of the first parameters.

    `jac` is the gradient there, `nit` counts iterations, `nfev` evaluations of value and gradient; `success` is whether a
    tolerance was met.

    >>> found = optim.minimize(lambda p: (p - 3.0) ** 2, 0.0)
    >>> float(found.x), found.fun, found.success, found.message
    (3.0, 0.0, True, 'the gradient is below tolerance_grad')
    """

    x: Any  # the parameters, built as those it began from
    fun: float
    jac: Any  # the gradient there
    nit: int
    nfev: int
    status: int
    success: bool
    message: str


def minimize(f: Callable, params: Any, args: tuple = (), *, optimizer: LBFGS | None = None, compiled: bool = True) -> Minimum:
    """Minimize `f(params, *args)`, a 0-d float in NumPy, from `params`, a pytree of float or complex arrays.

    `optimizer` is an `LBFGS` with its tolerances, by default LBFGS(max_iter=1000); the dtype is that of the parameters (Python
    numbers are float64), and float32 ends at about half its digits. `compiled=False` interprets the same loop in NumPy. Returns
    a `Minimum`; raises `ModelError` for another optimizer and for parameters that are no floats.

    >>> def rosenbrock(p):
    ...     return (1 - p["x"]) ** 2 + 100 * (p["y"] - p["x"] ** 2) ** 2
    >>> found = optim.minimize(rosenbrock, {"x": -1.2, "y": 1.0})
    >>> {name: float(value.round(4)) for name, value in found.x.items()}, found.success
    ({'x': 1.0, 'y': 1.0}, True)
    """
    optimizer = LBFGS(max_iter=1000) if optimizer is None else optimizer
    if not isinstance(optimizer, LBFGS):
        raise ModelError(f"minimize takes an LBFGS(...); it is {optimizer!r}. For others write a loop of update, or rg.fit")
    params = tree_map(_as_array, params)
    if not tree_leaves(params):
        raise ModelError(f"minimize: there are no parameters in {params!r}")

    def whole(params: Any, args: tuple) -> tuple:
        objective = value_and_grad(lambda p: f(p, *args))
        value, grads = objective(params)
        end = optimizer.descend(objective, value, grads, optimizer.init(params), params)
        return end["params"], end["value"], end["grads"], end["iterations"], end["evaluations"], end["status"]

    x, value, gradient, iterations, evaluations, status = (jit(whole) if compiled else whole)(params, args)
    why = int(status)
    return Minimum(x, float(value), gradient, int(iterations), int(evaluations), why, why in (FLAT, STILL), MESSAGES[why])


def _as_array(leaf: Any) -> Any:
    array = np.asarray(leaf)
    if array.dtype.kind not in "fc":
        raise ModelError(f"minimize: parameters are floats; {leaf!r} is {array.dtype}: write {leaf!r} as a float array")
    return array
