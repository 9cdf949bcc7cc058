"""L-BFGS, a quasi-Newton method: J. Nocedal and S. Wright, "Numerical Optimization" (2006), algorithms 7.4 and 7.5.

The inverse Hessian is known by the last steps and changes of the gradient; each iteration searches along its direction for a step
that meets the strong Wolfe conditions. All of it is one loop in NumPy, compiled with the function it minimizes. It is made
for the full batch, not for stochastic gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from retrograde.control import fori_loop, while_loop
from retrograde.errors import ModelError
from retrograde.numpy import at, take
from retrograde.optim.line_search import line_search
from retrograde.optim.optimizers import Optimizer, State, _check
from retrograde.tree import tree_flatten, tree_leaves, tree_unflatten

ON, FLAT, STILL, STUCK = range(4)  # why it ended: not yet; gradient or steps below the tolerances; no lower point along -gradient


@dataclass(frozen=True)
class LBFGS(Optimizer):
    """D. Liu and J. Nocedal (1989): at most `max_iter` iterations an update, with strong Wolfe steps from the first trial `lr`.

    The names and tolerances are those of PyTorch's `LBFGS(line_search_fn="strong_wolfe")`: an update ends when each
    |gradient| <= tolerance_grad, when a step changes each parameter by no more than tolerance_change or the value by less, or
    after `max_eval` evaluations (by default 5/4 max_iter + 1). `history_size` steps are remembered, also from update to update,
    in twice as many arrays as large as the parameters. In `fit` it wants batch_size=None, and an epoch is an update.

    The state counts "iterations" and "evaluations" and has the "status" after the last update: 0 it would have gone on, 1 the
    gradient, 2 the step or change is below its tolerance, 3 no lower point is to be found.

    >>> found = optim.minimize(lambda p: np.sum((p - 3.0) ** 4), np.zeros(2), optimizer=optim.LBFGS(max_iter=5))
    >>> found.nit, found.x.round(1), found.message
    (5, array([2.2, 2.2]), 'max_iter iterations or max_eval evaluations were done')
    """

    lr: float = 1.0
    max_iter: int = 20
    max_eval: int | None = None
    tolerance_grad: float = 1e-7
    tolerance_change: float = 1e-9
    history_size: int = 10
    wants_objective: ClassVar[bool] = True

    def __post_init__(self) -> None:
        inf = np.inf
        _check(lr=(self.lr, 0.0, inf), tolerance_grad=(self.tolerance_grad, 0.0, inf),
               tolerance_change=(self.tolerance_change, 0.0, inf))  # fmt: skip
        for name, least in {"max_iter": 1, "history_size": 1, "max_eval": 2}.items():
            count = getattr(self, name)
            if name == "max_eval" and count is None:
                continue
            if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or count < least:
                raise ModelError(f"LBFGS: {name} must be a whole number of at least {least}; it is {count!r}")

    def init(self, params: Any) -> State:
        x = _to_vector(params)
        memory = np.zeros((self.history_size, len(x)), x.dtype)
        return {
            "steps": memory, "changes": memory.copy(), "products": np.ones(self.history_size, x.dtype),
            "scale": np.ones((), x.dtype), "remembered": np.zeros((), np.int64), "iterations": np.zeros((), np.int64),
            "evaluations": np.zeros((), np.int64), "status": np.zeros((), np.int64),
        }  # fmt: skip

    def update(self, grads: Any, state: State, params: Any, *, value: Any = None, objective: Any = None) -> tuple[Any, State]:
        """New parameters and state; `objective(params) -> (value, grads)` gives what `value` and `grads` are at `params`."""
        if objective is None or value is None:
            raise ModelError("LBFGS evaluates the function it minimizes: call update(grads, state, params, value=value, "
                             "objective=f) with f(params) -> (value, grads)")  # fmt: skip
        end = self.descend(objective, value, grads, state, params)
        return end["params"], {name: end[name] for name in state}

    def descend(self, objective: Callable, value: Any, grads: Any, state: State, params: Any) -> State:
        """As `update`; the state with the "params" reached, the "value" and the "grads" there."""
        x = _to_vector(params)

        def evaluate(x: Any) -> tuple[Any, Any]:
            value, grads = objective(_to_tree(x, params))
            return value.astype(x.dtype), _to_vector(grads)

        iterations = state["iterations"] + self.max_iter
        evaluations = state["evaluations"] + (self.max_iter * 5 // 4 + 1 if self.max_eval is None else self.max_eval)

        def goes_on(s: State) -> Any:
            return (s["status"] == ON) & (s["iterations"] < iterations) & (s["evaluations"] < evaluations)

        start = {**state, "x": x, "value": value.astype(x.dtype), "gradient": _to_vector(grads)}
        start["evaluations"] = state["evaluations"] + 1  # the one that is given
        start["status"] = np.where(_largest(start["gradient"]) <= self.tolerance_grad, FLAT, ON)
        end = while_loop(goes_on, lambda s: self._iterate(evaluate, s), start)
        return {**end, "params": _to_tree(end["x"], params), "grads": _to_tree(end["gradient"], params)}

    def _iterate(self, evaluate: Callable, s: State) -> State:
        """One direction, one line search, and what is learned from them."""
        x, gradient = s["x"], s["gradient"]
        direction = -_inverse_hessian_times(gradient, s)
        direction = np.where(np.sum(direction * gradient) < 0, direction, -gradient)
        unscaled = np.minimum(1.0, 1.0 / np.maximum(np.sum(np.abs(gradient)), np.finfo(x.dtype).tiny))
        first = self.lr * np.where(s["remembered"] == 0, unscaled, 1.0)
        end, count = line_search(lambda t: evaluate(x + t * direction), s["value"], gradient, direction, first)
        moved = end["t"] > 0
        step, change = np.where(moved, end["t"] * direction, 0.0), end["gradient"] - gradient
        still = (_largest(step) <= self.tolerance_change) | (np.abs(end["value"] - s["value"]) < self.tolerance_change)
        # a direction that leads nowhere: forget what it came from; if that was nothing, give up
        status = np.where(moved, np.where(still, STILL, ON), np.where(s["remembered"] == 0, STUCK, ON))
        status = np.where(moved & (_largest(end["gradient"]) <= self.tolerance_grad), FLAT, status)
        known = _remember(s, step, change)
        known["remembered"] = np.where(moved, known["remembered"], 0)
        return {**s, **known, "x": x + step, "value": end["value"], "gradient": end["gradient"], "status": status,
                "iterations": s["iterations"] + 1, "evaluations": s["evaluations"] + count}  # fmt: skip


def _inverse_hessian_times(vector: Any, s: State) -> Any:
    """Algorithm 7.4, the two-loop recursion over the steps that are remembered, which lie in a ring of rows."""
    size = len(s["products"])
    count = np.minimum(s["remembered"], size)
    newest = s["remembered"] - 1

    def back(i: Any, carry: tuple) -> tuple:
        q, alphas = carry
        row = (newest - i) % size
        alpha = np.sum(take(s["steps"], row, axis=0) * q) / take(s["products"], row, axis=0)
        return q - alpha * take(s["changes"], row, axis=0), at(alphas)[row].set(alpha)

    def forth(i: Any, carry: tuple) -> tuple:
        r, alphas = carry
        row = (newest - (count - 1 - i)) % size
        beta = np.sum(take(s["changes"], row, axis=0) * r) / take(s["products"], row, axis=0)
        return r + (take(alphas, row, axis=0) - beta) * take(s["steps"], row, axis=0), alphas

    q, alphas = fori_loop(0, count, back, (vector, np.zeros(size, vector.dtype)))
    return fori_loop(0, count, forth, (np.where(count > 0, s["scale"], 1.0) * q, alphas))[0]


def _remember(s: State, step: Any, change: Any) -> State:
    """The memory with a step and its change of the gradient in place of the oldest, if the curvature between is positive."""
    product, square = np.sum(step * change), np.sum(change * change)
    good = product > np.finfo(step.dtype).eps * square
    row = s["remembered"] % len(s["products"])

    def put(name: str, new: Any) -> Any:
        return at(s[name])[row].set(np.where(good, new, take(s[name], row, axis=0)))

    return {
        "steps": put("steps", step), "changes": put("changes", change), "products": put("products", product),
        "scale": np.where(good, product / np.where(good, square, 1.0), s["scale"]),  # equation 7.20
        "remembered": s["remembered"] + good,
    }  # fmt: skip


def _largest(vector: Any) -> Any:
    return np.max(np.abs(vector), initial=0.0)


def _to_vector(tree: Any) -> Any:
    """All leaves end to end; of complex ones the real parts, then the imaginary ones."""
    parts = [part for leaf in tree_leaves(tree) for part in ((leaf.real, leaf.imag) if leaf.dtype.kind == "c" else (leaf,))]
    return np.concatenate([np.reshape(part, -1) for part in parts]) if parts else np.zeros(0)


def _to_tree(vector: Any, like: Any) -> Any:
    """The vector back in the shapes and dtypes of the tree it is the vector of."""
    leaves, structure = tree_flatten(like)
    counts = [leaf.size for leaf in leaves for _ in range(2 if leaf.dtype.kind == "c" else 1)]
    parts = iter(np.split(vector, np.cumsum(counts)[:-1]) if counts else ())

    def rebuilt(leaf: Any) -> Any:
        part = next(parts) + 1j * next(parts) if leaf.dtype.kind == "c" else next(parts)
        return np.reshape(part, leaf.shape).astype(leaf.dtype)

    return tree_unflatten(structure, [rebuilt(leaf) for leaf in leaves])
