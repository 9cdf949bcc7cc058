"""What goes around an optimizer: Scheduled (a rate by the step), Clipped (gradients), Averaged (weights)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from retrograde.errors import ModelError
from retrograde.optim.optimizers import Optimizer, State, _as_real, _check, _square
from retrograde.tree import tree_leaves, tree_map


@dataclass(frozen=True)
class Scheduled(Optimizer):
    """`optimizer` with the learning rate `schedule(step)`, step counting its updates from 0; see `retrograde.optim.schedules`.

    The schedule is any function of a 0-d integer array, in NumPy; it takes the place of the optimizer's `lr`.
    """

    optimizer: Any
    schedule: Callable[[Any], Any]

    def __post_init__(self) -> None:
        if not hasattr(self.optimizer, "lr"):
            raise ModelError(f"Scheduled: {self.optimizer!r} has no lr; write Clipped(Scheduled(SGD(), ...)), not the reverse")
        if not callable(self.schedule):
            raise ModelError(f"Scheduled: the schedule is a function of the step; it is {self.schedule!r}")

    def init(self, params: Any) -> State:
        return {"inner": self.optimizer.init(params), "step": np.zeros((), np.int64)}

    def update(self, grads: Any, state: State, params: Any) -> tuple[Any, State]:
        rate = self.schedule(state["step"])
        kinds = [np.real(leaf).dtype for leaf in tree_leaves(params)]
        if kinds and hasattr(rate, "dtype"):  # the narrowest: a rate must not widen the parameters
            rate = rate.astype(min(kinds, key=lambda kind: kind.itemsize))
        now = copy.copy(self.optimizer)
        object.__setattr__(now, "lr", rate)
        params, inner = now.update(grads, state["inner"], params)
        return params, {"inner": inner, "step": state["step"] + 1}


@dataclass(frozen=True)
class Clipped(Optimizer):
    """`optimizer` with gradients clipped: each element to +-clip_value, then all to the norm `max_norm`, if given."""

    optimizer: Any
    max_norm: float | None = None
    clip_value: float | None = None

    def __post_init__(self) -> None:
        for name in ("max_norm", "clip_value"):
            if getattr(self, name) is not None:
                _check(**{name: (getattr(self, name), 0.0, np.inf)})

    def init(self, params: Any) -> State:
        return self.optimizer.init(params)

    def update(self, grads: Any, state: State, params: Any) -> tuple[Any, State]:
        grads = grads if self.clip_value is None else clip_grad_value(grads, self.clip_value)
        grads = grads if self.max_norm is None else clip_grad_norm(grads, self.max_norm)
        return self.optimizer.update(grads, state, params)


@dataclass(frozen=True)
class Averaged(Optimizer):
    """`optimizer` that keeps an exponential moving average of the weights, state["average"]: a = decay a + (1 - decay) p.

    It begins as the weights after the first update, as in PyTorch's `AveragedModel`. After `fit` it is the network
    `run.optimizer_state["average"]`; of one with buffers or frozen arrays, which are not averaged, the network is
    `nn.combine(run.optimizer_state["average"], run.model)`.
    """

    optimizer: Any
    decay: float = 0.999

    def __post_init__(self) -> None:
        _check(decay=(self.decay, 0.0, 1.0))

    def init(self, params: Any) -> State:
        return {"inner": self.optimizer.init(params), "average": tree_map(np.array, params), "step": np.zeros((), np.int64)}

    def update(self, grads: Any, state: State, params: Any) -> tuple[Any, State]:
        params, inner = self.optimizer.update(grads, state["inner"], params)
        first = state["step"] == 0
        average = tree_map(lambda a, p: np.where(first, p, self.decay * a + (1.0 - self.decay) * p), state["average"], params)
        return params, {"inner": inner, "average": average, "step": state["step"] + 1}


def clip_grad_norm(grads: Any, max_norm: float) -> Any:
    """The gradients times min(1, max_norm / (|g| + 1e-6)), |g| being the norm of all their elements together (as PyTorch's)."""
    leaves = tree_leaves(grads)
    if not leaves:
        return grads
    total = np.sqrt(sum(np.sum(_square(g)) for g in leaves))
    scale = np.minimum(1.0, max_norm / (total + 1e-6))
    return tree_map(lambda g: g * _as_real(scale, g), grads)


def clip_grad_value(grads: Any, clip_value: float) -> Any:
    """Each element brought into [-clip_value, clip_value]."""
    return tree_map(lambda g: np.minimum(np.maximum(g, -clip_value), clip_value), grads)
