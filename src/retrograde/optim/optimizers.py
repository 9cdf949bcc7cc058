"""SGD, Adam and their nearest kin, with PyTorch's names, defaults and semantics; the others are in `adaptive`.

An optimizer of your own needs the same two methods, written in NumPy; it is compiled just the same. Parameters may be complex.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from retrograde.errors import ModelError
from retrograde.tree import tree_flatten, tree_leaves, tree_map, tree_unflatten

State = dict[str, Any]


class Optimizer:
    """`init` makes the state, `update` takes one step; both are pure.

    One that evaluates the loss itself says `wants_objective = True`: it is called as `update(grads, state, params, value=loss,
    objective=f)` with f(params) -> (loss, grads), of all points.

    `numbers` are the fields that `fit` gives to the compiled program as arguments, so that other values need no other program:
    in `update` such a field may be a traced number. One that is 0 is left as it is. A class of your own does not inherit them.

    >>> class SignDescent(optim.Optimizer):
    ...     def init(self, params):
    ...         return {"steps": np.zeros((), np.int64)}
    ...
    ...     def update(self, grads, state, params):
    ...         return rg.tree.tree_map(lambda p, g: p - 0.1 * np.sign(g), params, grads), {"steps": state["steps"] + 1}
    >>> optimizer, params = SignDescent(), {"a": np.array([1.0, -2.0])}
    >>> optimizer.update({"a": np.array([3.0, -4.0])}, optimizer.init(params), params)[0]
    {'a': array([ 0.9, -1.9])}
    """

    wants_objective: ClassVar[bool] = False
    numbers: ClassVar[tuple[str, ...]] = ()

    def init(self, params: Any) -> State:
        """The state before the first step: a pytree of arrays."""
        raise NotImplementedError

    def update(self, grads: Any, state: State, params: Any) -> tuple[Any, State]:
        """New parameters and state from gradients of the parameters' structure."""
        raise NotImplementedError

    def end_epoch(self, state: State, loss: Any) -> State:
        """The state after an epoch with this loss: that of the validation points if there are some."""
        return state


def is_zero(number: Any) -> bool:
    """Whether a field is 0, which may leave out a part of the update; a traced number is not."""
    return isinstance(number, (int, float, np.number)) and number == 0


def wants_objective(optimizer: Any) -> bool:
    """Whether the optimizer, which may be a person's own, evaluates the loss itself."""
    return bool(getattr(optimizer, "wants_objective", False))


def end_epoch(optimizer: Any, state: Any, loss: Any) -> Any:
    """The optimizer's state after an epoch; a person's own optimizer need not care."""
    return optimizer.end_epoch(state, loss) if hasattr(optimizer, "end_epoch") else state


def _zeros(params: Any) -> Any:
    return tree_map(np.zeros_like, params)


def _zeros_of_squares(params: Any) -> Any:
    """Zeros for running squares, which are real."""
    return tree_map(lambda p: np.zeros_like(np.real(p)), params)


def _square(g: Any) -> Any:
    """|g|**2: of a complex gradient a real number, so that a step does not depend on which axis is called real.

    As optax has it; PyTorch treats real and imaginary parts as two parameters.
    """
    return np.real(g) ** 2 + np.imag(g) ** 2 if g.dtype.kind == "c" else g * g


def _as_real(number: Any, like: Any) -> Any:
    """A 0-d number in the dtype of the parameter, or of its parts."""
    return number.astype(np.real(like).dtype)


def _check(**limits: tuple[float, float, float]) -> None:
    for name, (value, low, high) in limits.items():
        if not isinstance(value, (int, float, np.integer, np.floating)):
            hint = ". A schedule goes around its optimizer: optim.Scheduled(optim.Adam(), schedule)" if callable(value) else ""
            raise ModelError(f"{name} must be a number; it is {value!r}{hint}")
        if not low <= value < high:
            raise ModelError(f"{name} must be at least {low} and below {high}; it is {value!r}")


def _decayed(weight_decay: Any, grads: Any, params: Any) -> Any:
    """Gradients with those of weight_decay / 2 |p|^2."""
    return grads if is_zero(weight_decay) else tree_map(lambda g, p: g + weight_decay * p, grads, params)


def _each(count: int, f: Any, *trees: Any) -> tuple[Any, ...]:
    """`f` leaf by leaf, its `count` results as that many trees."""
    structure = tree_flatten(trees[0])[1]
    rows = [f(*leaves) for leaves in zip(*map(tree_leaves, trees))]
    return tuple(tree_unflatten(structure, [row[i] for row in rows]) for i in range(count))


@dataclass(frozen=True)
class SGD(Optimizer):
    """Gradient descent: p - lr g; with momentum v = momentum v + (1 - dampening) g, p - lr v (Nesterov: p - lr (g + momentum v)).

    Which points the gradient is of is `fit`'s business: all (full batch), one (pure SGD), or a mini-batch. The first step
    takes v = g, as PyTorch does.

    >>> optimizer, p = optim.SGD(lr=0.1, momentum=0.9), np.array([1.0, -2.0])
    >>> p, state = optimizer.update(2 * p, optimizer.init(p), p)  # 2 p is the gradient of sum(p^2)
    >>> p
    array([ 0.8, -1.6])
    >>> p, state = optimizer.update(2 * p, state, p)
    >>> p
    array([ 0.46, -0.92])
    """

    numbers = ("lr", "momentum", "weight_decay")

    lr: float = 1e-2
    momentum: float = 0.0
    dampening: float = 0.0
    weight_decay: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        _check(lr=(self.lr, 0.0, np.inf), momentum=(self.momentum, 0.0, 1.0), weight_decay=(self.weight_decay, 0.0, np.inf),
               dampening=(self.dampening, -np.inf, np.inf))  # fmt: skip
        if self.nesterov and (self.momentum <= 0 or self.dampening != 0):
            raise ModelError("SGD: nesterov needs momentum > 0 and dampening = 0")

    def init(self, params: Any) -> State:
        return {} if is_zero(self.momentum) else {"velocity": _zeros(params), "step": np.zeros((), np.int64)}

    def update(self, grads: Any, state: State, params: Any) -> tuple[Any, State]:
        grads = _decayed(self.weight_decay, grads, params)
        if is_zero(self.momentum):
            return tree_map(lambda p, g: p - self.lr * g, params, grads), state
        first = state["step"] == 0

        def step(p: Any, g: Any, v: Any) -> tuple[Any, Any]:
            v = np.where(first, g, self.momentum * v + (1.0 - self.dampening) * g)
            return p - self.lr * (g + self.momentum * v if self.nesterov else v), v

        params, velocity = _each(2, step, params, grads, state["velocity"])
        return params, {"velocity": velocity, "step": state["step"] + 1}


def GD(lr: float = 1e-2) -> SGD:
    """Plain gradient descent, p - lr g: `SGD` without momentum.

    >>> optimizer, p = optim.GD(lr=0.1), np.array([1.0, -2.0])
    >>> optimizer.update(2 * p, optimizer.init(p), p)[0]
    array([ 0.8, -1.6])
    """
    return SGD(lr)


@dataclass(frozen=True)
class OfMoments(Optimizer):
    """What Adam and its kin share: running means of the gradient and of its square; `weight_decay` is added to the gradient."""

    numbers = ("lr", "weight_decay")

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        if not (isinstance(self.betas, (tuple, list)) and len(self.betas) == 2):
            raise ModelError(f"{type(self).__name__}: betas is a pair such as (0.9, 0.999); it is {self.betas!r}")
        _check(lr=(self.lr, 0.0, np.inf), beta1=(self.betas[0], 0.0, 1.0), beta2=(self.betas[1], 0.0, 1.0),
               eps=(self.eps, 0.0, np.inf), weight_decay=(self.weight_decay, 0.0, np.inf))  # fmt: skip

    def init(self, params: Any) -> State:
        # the powers of beta are carried, in float64, rather than taken anew at each step
        return {"m": _zeros(params), "v": _zeros_of_squares(params), "power1": np.ones(()), "power2": np.ones(())}

    def _decayed(self, g: Any, p: Any) -> tuple[Any, Any]:
        return (g if is_zero(self.weight_decay) else g + self.weight_decay * p), p

    def _decoupled(self, g: Any, p: Any) -> tuple[Any, Any]:
        """Decay of the parameter itself, not through the gradient (I. Loshchilov and F. Hutter, 2019)."""
        return g, p * (1.0 - self.lr * self.weight_decay)


@dataclass(frozen=True)
class Adam(OfMoments):
    """D. Kingma and J. Ba (2015), algorithm 1; `weight_decay` is added to the gradient, as PyTorch's Adam does.

    `amsgrad`: the running square never falls in the denominator (S. Reddi, S. Kale and S. Kumar, 2018, algorithm 2).

    >>> optimizer, p = optim.Adam(lr=0.1), np.array([1.0, -2.0])
    >>> p, state = optimizer.update(2 * p, optimizer.init(p), p)  # 2 p is the gradient of sum(p^2)
    >>> p
    array([ 0.9, -1.9])
    """

    amsgrad: bool = False

    def init(self, params: Any) -> State:
        return super().init(params) | ({"largest": _zeros_of_squares(params)} if self.amsgrad else {})

    def update(self, grads: Any, state: State, params: Any) -> tuple[Any, State]:
        beta1, beta2 = self.betas
        power1, power2 = state["power1"] * beta1, state["power2"] * beta2
        rate, spread = self.lr / (1.0 - power1), 1.0 / np.sqrt(1.0 - power2)
        cast = {np.real(leaf).dtype: (_as_real(rate, leaf), _as_real(spread, leaf)) for leaf in tree_leaves(params)}

        def step(p: Any, g: Any, m: Any, v: Any, largest: Any) -> tuple[Any, ...]:
            rate, spread = cast[np.real(p).dtype]
            g, p = self._decayed(g, p)
            m = beta1 * m + (1.0 - beta1) * g
            v = beta2 * v + (1.0 - beta2) * _square(g)
            largest = np.maximum(largest, v) if self.amsgrad else v
            return p - rate * m / (np.sqrt(largest) * spread + self.eps), m, v, largest

        params, m, v, largest = _each(4, step, params, grads, state["m"], state["v"], state.get("largest", state["v"]))
        new = {"m": m, "v": v, "power1": power1, "power2": power2}
        return params, new | ({"largest": largest} if self.amsgrad else {})


@dataclass(frozen=True)
class AdamW(Adam):
    """I. Loshchilov and F. Hutter (2019): Adam whose weight decay acts on the parameters, not the gradient.

    >>> optimizer, p = optim.AdamW(lr=0.1, weight_decay=0.5), np.array([1.0, -2.0])
    >>> optimizer.update(np.zeros(2), optimizer.init(p), p)[0]  # without a gradient: p times 1 - lr weight_decay
    array([ 0.95, -1.9 ])
    """

    weight_decay: float = 1e-2

    def _decayed(self, g: Any, p: Any) -> tuple[Any, Any]:
        return self._decoupled(g, p)


@dataclass(frozen=True)
class RMSprop(Optimizer):
    """G. Hinton (2012), lecture 6e: the gradient over the root of its running mean square (plus eps, as in PyTorch).

    `centered`: over its running deviation, less the square of its running mean (A. Graves, 2013, eq. 38-40).

    >>> optimizer, p = optim.RMSprop(lr=0.01), np.array([1.0, -2.0])
    >>> p, state = optimizer.update(2 * p, optimizer.init(p), p)  # 2 p is the gradient of sum(p^2)
    >>> p.round(4)
    array([ 0.9, -1.9])
    """

    numbers = ("lr", "weight_decay")

    lr: float = 1e-2
    alpha: float = 0.99
    eps: float = 1e-8
    weight_decay: float = 0.0
    momentum: float = 0.0
    centered: bool = False

    def __post_init__(self) -> None:
        _check(lr=(self.lr, 0.0, np.inf), alpha=(self.alpha, 0.0, 1.0), momentum=(self.momentum, 0.0, 1.0),
               eps=(self.eps, 0.0, np.inf), weight_decay=(self.weight_decay, 0.0, np.inf))  # fmt: skip

    def init(self, params: Any) -> State:
        state = {"square": _zeros_of_squares(params)}
        state |= {"mean": _zeros(params)} if self.centered else {}
        return state | ({"velocity": _zeros(params)} if self.momentum else {})

    def update(self, grads: Any, state: State, params: Any) -> tuple[Any, State]:
        grads = _decayed(self.weight_decay, grads, params)
        square = tree_map(lambda s, g: self.alpha * s + (1.0 - self.alpha) * _square(g), state["square"], grads)
        new, spread = {"square": square}, square
        if self.centered:
            new["mean"] = tree_map(lambda m, g: self.alpha * m + (1.0 - self.alpha) * g, state["mean"], grads)
            # the difference of two near numbers, which rounding may bring below 0
            spread = tree_map(lambda s, m: np.maximum(s - _square(m), 0), square, new["mean"])
        scaled = tree_map(lambda g, s: g / (np.sqrt(s) + self.eps), grads, spread)
        if not self.momentum:
            return tree_map(lambda p, d: p - self.lr * d, params, scaled), new
        new["velocity"] = tree_map(lambda v, d: self.momentum * v + d, state["velocity"], scaled)
        return tree_map(lambda p, v: p - self.lr * v, params, new["velocity"]), new


@dataclass(frozen=True)
class Adagrad(Optimizer):
    """J. Duchi, E. Hazan and Y. Singer (2011): the gradient over the root of the sum of its squares (plus eps, as in PyTorch).

    >>> optimizer, p = optim.Adagrad(lr=0.1), np.array([1.0, -2.0])
    >>> p, state = optimizer.update(2 * p, optimizer.init(p), p)  # 2 p is the gradient of sum(p^2)
    >>> p.round(4)
    array([ 0.9, -1.9])
    >>> p, state = optimizer.update(2 * p, state, p)
    >>> p.round(4)
    array([ 0.8331, -1.8311])
    """

    numbers = ("lr", "weight_decay")

    lr: float = 1e-2
    lr_decay: float = 0.0
    weight_decay: float = 0.0
    eps: float = 1e-10
    initial_accumulator_value: float = 0.0

    def __post_init__(self) -> None:
        _check(lr=(self.lr, 0.0, np.inf), lr_decay=(self.lr_decay, 0.0, np.inf), eps=(self.eps, 0.0, np.inf),
               weight_decay=(self.weight_decay, 0.0, np.inf),
               initial_accumulator_value=(self.initial_accumulator_value, 0.0, np.inf))  # fmt: skip

    def init(self, params: Any) -> State:
        return {"sum": tree_map(lambda s: s + self.initial_accumulator_value, _zeros_of_squares(params)), "step": np.zeros(())}

    def update(self, grads: Any, state: State, params: Any) -> tuple[Any, State]:
        rate = self.lr / (1.0 + state["step"] * self.lr_decay)

        def step(p: Any, g: Any, s: Any) -> tuple[Any, Any]:
            g = g if is_zero(self.weight_decay) else g + self.weight_decay * p
            s = s + _square(g)
            return p - _as_real(rate, p) * g / (np.sqrt(s) + self.eps), s

        params, total = _each(2, step, params, grads, state["sum"])
        return params, {"sum": total, "step": state["step"] + 1.0}
