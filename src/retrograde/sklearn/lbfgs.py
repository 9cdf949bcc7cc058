"""The full-batch quasi-Newton solver: SciPy's L-BFGS-B on the loss and its gradient in native code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize

from retrograde import jit, value_and_grad
from retrograde.tree import tree_flatten, tree_unflatten


@dataclass(frozen=True)
class Objective:
    """The loss of all points and the penalty, of a network's parameters."""

    loss: Callable
    penalty: Callable | None

    def __call__(self, net: Any, X: Any, y: Any, weight: Any) -> Any:
        """One number."""
        value = self.loss(net(X), y) if weight is None else self.loss(net(X), y, sample_weight=weight)
        return value if self.penalty is None else value + self.penalty(net, (X, y, weight))


@dataclass(frozen=True)
class Minimum:
    """What the solver found: the network, its loss, iterations, and the reason if it gave up before it had converged."""

    net: Any
    loss: float
    iterations: int
    gave_up: str | None


def lbfgs(
    objective: Objective, net: Any, X: np.ndarray, y: np.ndarray, weight: Any, *, iterations: int, calls: int, tolerance: float
) -> Minimum:
    """Minimize from the network's parameters (R. Byrd, P. Lu, J. Nocedal and C. Zhu, 1995); `calls` of the objective at most."""
    leaves, structure = tree_flatten(net)
    ends = np.cumsum([leaf.size for leaf in leaves])

    def unpacked(flat: np.ndarray) -> Any:
        parts = np.split(flat, ends[:-1])
        return tree_unflatten(structure, [p.reshape(leaf.shape).astype(leaf.dtype) for p, leaf in zip(parts, leaves)])

    def packed(tree: Any) -> np.ndarray:
        return np.concatenate([np.ravel(leaf) for leaf in tree_flatten(tree)[0]]).astype(np.float64)

    gradient = jit(value_and_grad(objective), flush_subnormals=True)

    def of_vector(flat: np.ndarray) -> tuple[float, np.ndarray]:
        value, grads = gradient(unpacked(flat), X, y, weight)
        return float(value), packed(grads)

    limits = {"maxiter": iterations, "maxfun": calls, "gtol": tolerance}
    found = minimize(of_vector, packed(net), jac=True, method="L-BFGS-B", options=limits)
    reason = None if found.status == 0 else str(found.message)
    return Minimum(unpacked(found.x), float(found.fun), int(found.nit), reason)
