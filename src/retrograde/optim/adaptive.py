"""Adam's kin, with PyTorch's names, defaults and semantics (NAdam, RAdam, Adamax, Adadelta, Rprop) and optax's (Lion, LAMB)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from retrograde.errors import ModelError
from retrograde.optim.optimizers import (
    OfMoments,
    Optimizer,
    State,
    _as_real,
    _check,
    _decayed,
    _each,
    _square,
    _zeros,
    _zeros_of_squares,
    is_zero,
)
from retrograde.tree import tree_map


@dataclass(frozen=True)
class NAdam(OfMoments):
    """T. Dozat (2016): Adam with Nesterov's momentum, whose coefficient grows as 1 - 0.96^(t momentum_decay) / 2.

    >>> optimizer, p = optim.NAdam(lr=0.1), np.array([1.0, -2.0])
    >>> p, state = optimizer.update(2 * p, optimizer.init(p), p)  # 2 p is the gradient of sum(p^2)
    >>> p.round(4)
    array([ 0.8944, -1.8944])
    """

    lr: float = 2e-3
    momentum_decay: float = 4e-3
    decoupled_weight_decay: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(momentum_decay=(self.momentum_decay, 0.0, np.inf))

    def _decayed(self, g: Any, p: Any) -> tuple[Any, Any]:
        return self._decoupled(g, p) if self.decoupled_weight_decay else super()._decayed(g, p)

    def init(self, params: Any) -> State:
        return {**_moments(params), "power2": np.ones(()), "product": np.ones(()), "fade": np.ones(())}

    def update(self, grads: Any, state: State, params: Any) -> tuple[Any, State]:
        beta1, beta2 = self.betas
        power2, fade = state["power2"] * beta2, state["fade"] * 0.96**self.momentum_decay
        mu, after = beta1 * (1.0 - 0.5 * fade), beta1 * (1.0 - 0.5 * fade * 0.96**self.momentum_decay)
        product = state["product"] * mu
        of_g, of_m = self.lr * (1.0 - mu) / (1.0 - product), self.lr * after / (1.0 - product * after)
        spread = 1.0 / np.sqrt(1.0 - power2)

        def step(p: Any, g: Any, m: Any, v: Any) -> tuple[Any, Any, Any]:
            g, p = self._decayed(g, p)
            m, v = beta1 * m + (1.0 - beta1) * g, beta2 * v + (1.0 - beta2) * _square(g)
            below = np.sqrt(v) * _as_real(spread, p) + self.eps
            return p - (_as_real(of_g, p) * g + _as_real(of_m, p) * m) / below, m, v

        params, m, v = _each(3, step, params, grads, state["m"], state["v"])
        return params, {"m": m, "v": v, "power2": power2, "product": product, "fade": fade}


@dataclass(frozen=True)
class RAdam(OfMoments):
    """L. Liu et al. (2020), algorithm 2: Adam's step times a rectifier; momentum alone while its variance has no bound.

    >>> optimizer, p = optim.RAdam(lr=0.1), np.array([1.0, -2.0])
    >>> p, state = optimizer.update(2 * p, optimizer.init(p), p)  # 2 p is the gradient of sum(p^2)
    >>> p.round(4)
    array([ 0.8, -1.6])
    """

    decoupled_weight_decay: bool = False

    def _decayed(self, g: Any, p: Any) -> tuple[Any, Any]:
        return self._decoupled(g, p) if self.decoupled_weight_decay else super()._decayed(g, p)

    def init(self, params: Any) -> State:
        return {**super().init(params), "step": np.zeros(())}

    def update(self, grads: Any, state: State, params: Any) -> tuple[Any, State]:
        beta1, beta2 = self.betas
        t, power1, power2 = state["step"] + 1.0, state["power1"] * beta1, state["power2"] * beta2
        most = 2.0 / (1.0 - beta2) - 1.0
        rho = most - 2.0 * t * power2 / (1.0 - power2)
        known = rho > 5.0
        safe = np.where(known, rho, 6.0)
        rectifier = np.sqrt((safe - 4.0) * (safe - 2.0) * most / ((most - 4.0) * (most - 2.0) * safe))
        rate = self.lr / (1.0 - power1)
        adaptive = rate * rectifier * np.sqrt(1.0 - power2)

        def step(p: Any, g: Any, m: Any, v: Any) -> tuple[Any, Any, Any]:
            g, p = self._decayed(g, p)
            m, v = beta1 * m + (1.0 - beta1) * g, beta2 * v + (1.0 - beta2) * _square(g)
            return p - m * np.where(known, _as_real(adaptive, p) / (np.sqrt(v) + self.eps), _as_real(rate, p)), m, v

        params, m, v = _each(3, step, params, grads, state["m"], state["v"])
        return params, {"m": m, "v": v, "power1": power1, "power2": power2, "step": t}


@dataclass(frozen=True)
class Adamax(OfMoments):
    """D. Kingma and J. Ba (2015), algorithm 2: Adam by the infinity norm, u = max(beta2 u, |g| + eps).

    >>> optimizer, p = optim.Adamax(lr=0.1), np.array([1.0, -2.0])
    >>> p, state = optimizer.update(2 * p, optimizer.init(p), p)  # 2 p is the gradient of sum(p^2)
    >>> p.round(4)
    array([ 0.9, -1.9])
    """

    lr: float = 2e-3

    def init(self, params: Any) -> State:
        return {**_moments(params), "power1": np.ones(())}

    def update(self, grads: Any, state: State, params: Any) -> tuple[Any, State]:
        beta1, beta2 = self.betas
        power1 = state["power1"] * beta1
        rate = self.lr / (1.0 - power1)

        def step(p: Any, g: Any, m: Any, u: Any) -> tuple[Any, Any, Any]:
            g, p = self._decayed(g, p)
            m, u = beta1 * m + (1.0 - beta1) * g, np.maximum(beta2 * u, np.abs(g) + self.eps)
            return p - _as_real(rate, p) * m / u, m, u

        params, m, u = _each(3, step, params, grads, state["m"], state["v"])
        return params, {"m": m, "v": u, "power1": power1}


@dataclass(frozen=True)
class LAMB(OfMoments):
    """Y. You et al. (2020), algorithm 2: Adam's step with weight decay, times |p| / |step| for each array (1 if either is 0).

    >>> optimizer, p = optim.LAMB(lr=0.1), np.array([1.0, -2.0])
    >>> p, state = optimizer.update(2 * p, optimizer.init(p), p)  # 2 p is the gradient of sum(p^2)
    >>> p.round(4)
    array([ 0.8419, -1.8419])
    """

    eps: float = 1e-6

    def update(self, grads: Any, state: State, params: Any) -> tuple[Any, State]:
        beta1, beta2 = self.betas
        power1, power2 = state["power1"] * beta1, state["power2"] * beta2
        rate, spread = 1.0 / (1.0 - power1), 1.0 / np.sqrt(1.0 - power2)

        def step(p: Any, g: Any, m: Any, v: Any) -> tuple[Any, Any, Any]:
            m, v = beta1 * m + (1.0 - beta1) * g, beta2 * v + (1.0 - beta2) * _square(g)
            move = _as_real(rate, p) * m / (np.sqrt(v) * _as_real(spread, p) + self.eps)
            move = move if is_zero(self.weight_decay) else move + self.weight_decay * p
            size, length = np.sqrt(np.sum(_square(p))), np.sqrt(np.sum(_square(move)))
            known = (size > 0) & (length > 0)
            trust = np.where(known, size / np.where(known, length, 1.0), 1.0).astype(size.dtype)
            return p - self.lr * trust * move, m, v

        params, m, v = _each(3, step, params, grads, state["m"], state["v"])
        return params, {"m": m, "v": v, "power1": power1, "power2": power2}


@dataclass(frozen=True)
class Lion(Optimizer):
    """X. Chen et al. (2023), program 1: p - lr (sign(beta1 m + (1 - beta1) g) + weight_decay p), m = beta2 m + (1 - beta2) g.

    >>> optimizer, p = optim.Lion(lr=0.1), np.array([1.0, -2.0])
    >>> p, state = optimizer.update(2 * p, optimizer.init(p), p)  # 2 p is the gradient of sum(p^2)
    >>> p.round(4)
    array([ 0.9, -1.9])
    """

    numbers = ("lr", "weight_decay")

    lr: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        OfMoments(self.lr, self.betas, weight_decay=self.weight_decay)  # its checks

    def init(self, params: Any) -> State:
        return {"m": _zeros(params)}

    def update(self, grads: Any, state: State, params: Any) -> tuple[Any, State]:
        beta1, beta2 = self.betas

        def step(p: Any, g: Any, m: Any) -> tuple[Any, Any]:
            move = np.sign(beta1 * m + (1.0 - beta1) * g)
            move = move if is_zero(self.weight_decay) else move + self.weight_decay * p
            return p - self.lr * move, beta2 * m + (1.0 - beta2) * g

        params, m = _each(2, step, params, grads, state["m"])
        return params, {"m": m}


@dataclass(frozen=True)
class Adadelta(Optimizer):
    """M. Zeiler (2012), algorithm 1: the gradient times the root mean square of past steps over that of past gradients.

    >>> optimizer, p = optim.Adadelta(), np.array([1.0, -2.0])
    >>> p, state = optimizer.update(2 * p, optimizer.init(p), p)  # 2 p is the gradient of sum(p^2)
    >>> p.round(4)
    array([ 0.9968, -1.9968])
    """

    numbers = ("lr", "weight_decay")

    lr: float = 1.0
    rho: float = 0.9
    eps: float = 1e-6
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        _check(lr=(self.lr, 0.0, np.inf), rho=(self.rho, 0.0, 1.0), eps=(self.eps, 0.0, np.inf),
               weight_decay=(self.weight_decay, 0.0, np.inf))  # fmt: skip

    def init(self, params: Any) -> State:
        return {"square": _zeros_of_squares(params), "steps": _zeros_of_squares(params)}

    def update(self, grads: Any, state: State, params: Any) -> tuple[Any, State]:
        grads = _decayed(self.weight_decay, grads, params)

        def step(p: Any, g: Any, square: Any, steps: Any) -> tuple[Any, Any, Any]:
            square = self.rho * square + (1.0 - self.rho) * _square(g)
            move = np.sqrt(steps + self.eps) / np.sqrt(square + self.eps) * g
            return p - self.lr * move, square, self.rho * steps + (1.0 - self.rho) * _square(move)

        params, square, steps = _each(3, step, params, grads, state["square"], state["steps"])
        return params, {"square": square, "steps": steps}


@dataclass(frozen=True)
class Rprop(Optimizer):
    """M. Riedmiller and H. Braun (1993): steps by the gradient's sign, each of a size of its own; for the full batch.

    A size begins as `lr`, grows by etas[1] while the sign stays and shrinks by etas[0] where it turned, within `step_sizes`; what
    turned does not move (iRprop-, C. Igel and M. Huesken, 2000), as in PyTorch. Real and imaginary parts have sizes of their own.

    >>> optimizer, p = optim.Rprop(lr=0.1), np.array([1.0, -2.0])
    >>> p, state = optimizer.update(2 * p, optimizer.init(p), p)  # 2 p is the gradient of sum(p^2)
    >>> p.round(4)
    array([ 0.9, -1.9])
    >>> p, state = optimizer.update(2 * p, state, p)
    >>> p.round(4)
    array([ 0.78, -1.78])
    """

    lr: float = 1e-2
    etas: tuple[float, float] = (0.5, 1.2)
    step_sizes: tuple[float, float] = (1e-6, 50.0)

    def __post_init__(self) -> None:
        for name in ("etas", "step_sizes"):
            if not (isinstance(getattr(self, name), (tuple, list)) and len(getattr(self, name)) == 2):
                raise ModelError(f"Rprop: {name} is a pair; it is {getattr(self, name)!r}")
        _check(lr=(self.lr, 0.0, np.inf), etas=(self.etas[0], 0.0, 1.0), step_sizes=(self.step_sizes[0], 0.0, np.inf))
        if not self.etas[1] > 1.0 or not self.step_sizes[0] <= self.step_sizes[1]:
            raise ModelError(f"Rprop: etas[1] must be above 1 and step_sizes rise; they are {self.etas} and {self.step_sizes}")

    def init(self, params: Any) -> State:
        sizes = tree_map(lambda p: np.full_like(p, self.lr * (1 + 1j) if p.dtype.kind == "c" else self.lr), params)
        return {"gradient": _zeros(params), "size": sizes}

    def update(self, grads: Any, state: State, params: Any) -> tuple[Any, State]:
        def step(p: Any, g: Any, before: Any, size: Any) -> tuple[Any, ...]:
            if p.dtype.kind == "c":
                parts = [step(*(part(x) for x in (p, g, before, size))) for part in (np.real, np.imag)]
                return tuple(a + 1j * b for a, b in zip(*parts))
            agree = g * before
            factor = np.where(agree > 0, self.etas[1], np.where(agree < 0, self.etas[0], 1.0)).astype(p.dtype)
            size = np.minimum(np.maximum(size * factor, self.step_sizes[0]), self.step_sizes[1])
            g = np.where(agree < 0, 0.0, g)
            return p - np.sign(g) * size, g, size

        params, gradient, size = _each(3, step, params, grads, state["gradient"], state["size"])
        return params, {"gradient": gradient, "size": size}


def _moments(params: Any) -> State:
    return {"m": _zeros(params), "v": _zeros_of_squares(params)}
