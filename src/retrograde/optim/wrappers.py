"""What goes around an optimizer: Scheduled and Plateau (its rate), Clipped (gradients), Averaged (weights)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from retrograde.errors import ModelError
from retrograde.optim.adaptive import Rprop
from retrograde.optim.optimizers import Optimizer, State, _as_real, _check, _square, end_epoch, wants_objective
from retrograde.tree import tree_leaves, tree_map


class Around(Optimizer):
    """An optimizer around another, whose state is state["inner"]."""

    optimizer: Any

    def __post_init__(self) -> None:
        if wants_objective(self.optimizer):
            name = type(self.optimizer).__name__
            raise ModelError(f"{type(self).__name__}: {name} finds its own steps, so nothing goes around it; give fit the {name}")

    def end_epoch(self, state: State, loss: Any) -> State:
        return {**state, "inner": end_epoch(self.optimizer, state["inner"], loss)}

    def _check_rate(self) -> None:
        if not hasattr(self.optimizer, "lr"):
            name = type(self).__name__
            raise ModelError(f"{name}: {self.optimizer!r} has no lr; write Clipped({name}(SGD(), ...)), not the reverse")
        if isinstance(self.optimizer, Rprop):
            raise ModelError(f"{type(self).__name__}: Rprop finds its own sizes of steps, of which lr is the first alone")

    def _with_rate(self, rate: Any, params: Any) -> Any:
        """The inner optimizer with another learning rate, a 0-d array, in the narrowest dtype: it must not widen parameters."""
        kinds = [np.real(leaf).dtype for leaf in tree_leaves(params)]
        if kinds and hasattr(rate, "dtype"):
            rate = rate.astype(min(kinds, key=lambda kind: kind.itemsize))
        made = copy.copy(self.optimizer)
        object.__setattr__(made, "lr", rate)
        return made


@dataclass(frozen=True)
class Scheduled(Around):
    """`optimizer` with the learning rate `schedule(step)`, step counting its updates from 0; see `retrograde.optim.schedules`.

    The schedule is any function of a 0-d integer array, in NumPy; it takes the place of the optimizer's `lr`.

    >>> optimizer = optim.Scheduled(optim.SGD(), schedules.StepLR(0.1, step_size=10, gamma=0.5))
    >>> p, gradient = np.array(2.0), np.array(1.0)
    >>> state = optimizer.init(p)
    >>> for _ in range(20):  # ten steps of 0.1, ten of 0.05
    ...     p, state = optimizer.update(gradient, state, p)
    >>> p.round(2), state["step"]
    (np.float64(0.5), np.int64(20))
    """

    optimizer: Any
    schedule: Callable[[Any], Any]

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_rate()
        if not callable(self.schedule):
            raise ModelError(f"Scheduled: the schedule is a function of the step; it is {self.schedule!r}")

    def init(self, params: Any) -> State:
        return {"inner": self.optimizer.init(params), "step": np.zeros((), np.int64)}

    def update(self, grads: Any, state: State, params: Any) -> tuple[Any, State]:
        now = self._with_rate(self.schedule(state["step"]), params)
        params, inner = now.update(grads, state["inner"], params)
        return params, {"inner": inner, "step": state["step"] + 1}


@dataclass(frozen=True)
class Plateau(Around):
    """`optimizer` with its learning rate times `factor` after more than `patience` epochs without a better loss.

    PyTorch's ReduceLROnPlateau: the loss is the validation points' if there are some, and better if below the best so far by
    `threshold`, relative ("rel") or absolute ("abs"); after a reduction `cooldown` epochs do not count; the rate stays at least
    `min_lr`, and where it would change by `eps` or less. The state's "lr" is the rate.

    >>> optimizer = optim.Plateau(optim.SGD(lr=0.1), factor=0.5, patience=1)
    >>> state = optimizer.init(np.zeros(2))
    >>> for loss in (1.0, 0.9, 0.9, 0.9):  # at the end of each epoch
    ...     state = optimizer.end_epoch(state, loss)
    >>> float(state["lr"])
    0.05
    """

    optimizer: Any
    factor: float = 0.1
    patience: int = 10
    threshold: float = 1e-4
    threshold_mode: str = "rel"
    cooldown: int = 0
    min_lr: float = 0.0
    eps: float = 1e-8

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_rate()
        _check(factor=(self.factor, 0.0, 1.0), patience=(self.patience, 0, np.inf), threshold=(self.threshold, 0.0, np.inf),
               cooldown=(self.cooldown, 0, np.inf), min_lr=(self.min_lr, 0.0, np.inf), eps=(self.eps, 0.0, np.inf))  # fmt: skip
        if self.threshold_mode not in ("rel", "abs"):
            raise ModelError(f'Plateau: threshold_mode is "rel" or "abs", not {self.threshold_mode!r}')

    def init(self, params: Any) -> State:
        return {"inner": self.optimizer.init(params), "lr": np.full((), float(self.optimizer.lr)), "best": np.full((), np.inf),
                "bad_epochs": np.zeros((), np.int64), "cooldown": np.zeros((), np.int64)}  # fmt: skip

    def update(self, grads: Any, state: State, params: Any) -> tuple[Any, State]:
        params, inner = self._with_rate(state["lr"], params).update(grads, state["inner"], params)
        return params, {**state, "inner": inner}

    def end_epoch(self, state: State, loss: Any) -> State:
        best = state["best"]
        better = loss < (best * (1.0 - self.threshold) if self.threshold_mode == "rel" else best - self.threshold)
        cooling = state["cooldown"] > 0
        bad = np.where(better | cooling, 0, state["bad_epochs"] + 1)
        lower = np.maximum(state["lr"] * self.factor, self.min_lr)
        late = bad > self.patience
        rest = np.where(cooling, state["cooldown"] - 1, state["cooldown"])
        return {
            **super().end_epoch(state, loss), "lr": np.where(late & (state["lr"] - lower > self.eps), lower, state["lr"]),
            "best": np.where(better, loss, best), "bad_epochs": np.where(late, 0, bad),
            "cooldown": np.where(late, self.cooldown, rest),
        }  # fmt: skip


@dataclass(frozen=True)
class Clipped(Around):
    """`optimizer` with gradients clipped: each element to +-clip_value, then all to the norm `max_norm`, if given.

    >>> optimizer, p = optim.Clipped(optim.SGD(lr=1.0), max_norm=1.0), np.zeros(2)
    >>> optimizer.update(np.array([30.0, -40.0]), optimizer.init(p), p)[0].round(3)
    array([-0.6,  0.8])
    """

    optimizer: Any
    max_norm: float | None = None
    clip_value: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("max_norm", "clip_value"):
            if getattr(self, name) is not None:
                _check(**{name: (getattr(self, name), 0.0, np.inf)})

    def init(self, params: Any) -> State:
        return self.optimizer.init(params)

    def update(self, grads: Any, state: State, params: Any) -> tuple[Any, State]:
        grads = grads if self.clip_value is None else clip_grad_value(grads, self.clip_value)
        grads = grads if self.max_norm is None else clip_grad_norm(grads, self.max_norm)
        return self.optimizer.update(grads, state, params)

    def end_epoch(self, state: State, loss: Any) -> State:
        return end_epoch(self.optimizer, state, loss)


@dataclass(frozen=True)
class Averaged(Around):
    """`optimizer` that keeps an exponential moving average of the weights, state["average"]: a = decay a + (1 - decay) p.

    It begins as the weights after the first update, as in PyTorch's `AveragedModel`. After `fit` it is the network
    `run.optimizer_state["average"]`; of one with buffers or frozen arrays, which are not averaged, the network is
    `nn.combine(run.optimizer_state["average"], run.model)`.

    >>> optimizer, p = optim.Averaged(optim.SGD(lr=0.5), decay=0.9), np.array([1.0, -2.0])
    >>> p, state = optimizer.update(p, optimizer.init(p), p)
    >>> p, state = optimizer.update(p, state, p)
    >>> p, state["average"]
    (array([ 0.25, -0.5 ]), array([ 0.475, -0.95 ]))
    """

    optimizer: Any
    decay: float = 0.999

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(decay=(self.decay, 0.0, 1.0))

    def init(self, params: Any) -> State:
        return {"inner": self.optimizer.init(params), "average": tree_map(np.array, params), "step": np.zeros((), np.int64)}

    def update(self, grads: Any, state: State, params: Any) -> tuple[Any, State]:
        params, inner = self.optimizer.update(grads, state["inner"], params)
        first = state["step"] == 0
        average = tree_map(lambda a, p: np.where(first, p, self.decay * a + (1.0 - self.decay) * p), state["average"], params)
        return params, {"inner": inner, "average": average, "step": state["step"] + 1}


def clip_grad_norm(grads: Any, max_norm: float) -> Any:
    """The gradients times min(1, max_norm / (|g| + 1e-6)), |g| being the norm of all their elements together (as PyTorch's).

    >>> optim.clip_grad_norm({"a": np.array([30.0]), "b": np.array([-40.0])}, max_norm=1.0)["a"].round(3)
    array([0.6])
    """
    leaves = tree_leaves(grads)
    if not leaves:
        return grads
    total = np.sqrt(sum(np.sum(_square(g)) for g in leaves))
    scale = np.minimum(1.0, max_norm / (total + 1e-6))
    return tree_map(lambda g: g * _as_real(scale, g), grads)


def clip_grad_value(grads: Any, clip_value: float) -> Any:
    """Each element of each gradient brought into [-clip_value, clip_value].

    >>> optim.clip_grad_value(np.array([0.5, -40.0]), 1.0)
    array([ 0.5, -1. ])
    """
    return tree_map(lambda g: np.minimum(np.maximum(g, -clip_value), clip_value), grads)
