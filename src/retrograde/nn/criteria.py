"""PyTorch's losses as objects with settings, for regression and likelihoods: `loss(input, target)` in `fit` and alone.

Names, arguments and formulas are PyTorch's; those of classes are in `classifying`, of margins in `margins`. `reduction` is
"mean", "sum" or "none" (which `fit` cannot train on). `sample_weight` of shape (batch,) weighs points: the mean is then
sum(w l) / sum(w).
A loss of several inputs takes them one by one, as in PyTorch, or as one tuple, as a network in `fit` returns them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from retrograde.errors import ModelError
from retrograde.nn.losses import _mean, _same_shape


@dataclass(frozen=True, eq=False)
class Criterion:
    """What all share: the reduction of one loss an element."""

    reduction: str = field(default="mean", kw_only=True)

    def __post_init__(self) -> None:
        if self.reduction not in ("mean", "sum", "none"):
            raise ModelError(f'{type(self).__name__}: reduction is "mean", "sum" or "none", not {self.reduction!r}')

    def _of(self, *inputs: Any, sample_weight: Any = None) -> Any:
        """The reduced `each(*inputs)`, a target cast to the dtype of the first input."""
        first = np.asarray(inputs[0]) if not hasattr(inputs[0], "dtype") else inputs[0]
        rest = [(np.asarray(a) if not hasattr(a, "dtype") else a).astype(first.dtype) for a in inputs[1:]]
        for a in rest:
            _same_shape(type(self).__name__, first, a)
        return self._reduced(self.each(first, *rest), sample_weight)

    def _reduced(self, each: Any, sample_weight: Any) -> Any:
        if self.reduction == "mean":
            return _mean(each, sample_weight)
        if sample_weight is not None:
            if np.shape(sample_weight) != np.shape(each)[:1]:
                raise ModelError(f"sample_weight must have shape {np.shape(each)[:1]}; it has {np.shape(sample_weight)}")
            each = each * np.reshape(sample_weight, (-1, *(1,) * (np.ndim(each) - 1)))
        return np.sum(each) if self.reduction == "sum" else each

    def each(self, *inputs: Any) -> Any:
        """The losses before the reduction."""
        raise NotImplementedError

    def __call__(self, input: Any, target: Any, /, *, sample_weight: Any = None) -> Any:
        """The loss of a prediction and a target of the same shape."""
        return self._of(input, target, sample_weight=sample_weight)


class MSELoss(Criterion):
    """(f - y)^2 of a prediction and a target of one shape, or `ModelError` is raised.

    >>> f, y = np.array([[0.0], [3.0]]), np.array([[1.0], [1.0]])
    >>> nn.MSELoss()(f, y), nn.MSELoss(reduction="none")(f, y).ravel()
    (np.float64(2.5), array([1., 4.]))
    >>> nn.MSELoss()(f, y, sample_weight=np.array([3.0, 1.0]))
    np.float64(1.75)
    """

    def each(self, f: Any, y: Any) -> Any:
        return np.square(f - y)


class L1Loss(Criterion):
    """|f - y|; derivative 0 at 0. A prediction and a target of one shape.

    >>> f, y = np.array([[0.0], [3.0]]), np.array([[1.0], [1.0]])
    >>> nn.L1Loss()(f, y), rg.grad(nn.L1Loss())(f, y).ravel()
    (np.float64(1.5), array([-0.5,  0.5]))
    """

    def each(self, f: Any, y: Any) -> Any:
        return np.abs(f - y)


@dataclass(frozen=True, eq=False)
class HuberLoss(Criterion):
    """Half the square within delta, delta (|f - y| - delta / 2) beyond (P. Huber, 1964): one outlier pulls no harder than delta.

    A prediction and a target of one shape. delta <= 0 raises `ModelError`.

    >>> f, y = np.array([[0.0], [3.0]]), np.array([[1.0], [1.0]])
    >>> nn.HuberLoss(delta=1.5)(f, y), rg.grad(nn.HuberLoss(delta=1.5))(f, y).ravel()
    (np.float64(1.1875), array([-0.5 ,  0.75]))
    """

    delta: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _positive(self, delta=self.delta)

    def each(self, f: Any, y: Any) -> Any:
        gap = np.abs(f - y)
        return np.where(gap <= self.delta, 0.5 * np.square(gap), self.delta * (gap - 0.5 * self.delta))


@dataclass(frozen=True, eq=False)
class SmoothL1Loss(Criterion):
    """(f - y)^2 / (2 beta) within beta, |f - y| - beta / 2 beyond; beta = 0 is `L1Loss` (R. Girshick, 2015, eq. 3).

    A prediction and a target of one shape. beta < 0 raises `ModelError`.

    >>> f, y = np.array([[0.0], [3.0]]), np.array([[1.0], [1.0]])
    >>> nn.SmoothL1Loss(beta=0.5)(f, y), rg.grad(nn.SmoothL1Loss(beta=0.5))(f, y).ravel()
    (np.float64(1.25), array([-0.5,  0.5]))
    """

    beta: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.beta >= 0:
            raise ModelError(f"SmoothL1Loss: beta must be 0 or more; it is {self.beta!r}")

    def each(self, f: Any, y: Any) -> Any:
        gap = np.abs(f - y)
        if self.beta == 0:
            return gap
        return np.where(gap < self.beta, (0.5 / self.beta) * np.square(gap), gap - 0.5 * self.beta)


@dataclass(frozen=True, eq=False)
class QuantileLoss(Criterion):
    """max(q (y - f), (q - 1) (y - f)), which the q-th quantile of y minimizes (R. Koenker and G. Bassett, 1978).

    A prediction and a target of one shape. A q outside (0, 1) raises `ModelError`.

    >>> y, guesses = np.arange(1.0, 101.0), np.array([50.0, 90.0, 99.0])
    >>> [nn.QuantileLoss(q=0.9)(np.full_like(y, f), y).round(2) for f in guesses]
    [np.float64(12.7), np.float64(4.5), np.float64(4.86)]
    """

    q: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.q < 1:
            raise ModelError(f"QuantileLoss: q lies between 0 and 1; it is {self.q!r}")

    def each(self, f: Any, y: Any) -> Any:
        return np.where(y >= f, self.q * (y - f), (1.0 - self.q) * (f - y))


@dataclass(frozen=True, eq=False)
class PoissonNLLLoss(Criterion):
    """exp(f) - y f, or f - y log(f + eps) with `log_input=False`; `full` adds Stirling's term of log y! where y > 1.

    f is the logarithm of the rate (the rate with `log_input=False`), y the counts, of one shape.

    >>> log_rate, counts = np.log([[1.0], [4.0]]), np.array([[1], [4]])
    >>> nn.PoissonNLLLoss()(log_rate, counts).round(3), rg.grad(nn.PoissonNLLLoss())(log_rate, counts).ravel().round(3) + 0.0
    (np.float64(-0.273), array([0., 0.]))
    """

    log_input: bool = True
    full: bool = False
    eps: float = 1e-8

    def each(self, f: Any, y: Any) -> Any:
        found = np.exp(f) - y * f if self.log_input else f - y * np.log(f + self.eps)
        if not self.full:
            return found
        safe = np.where(y > 1, y, 2.0)
        return found + np.where(y > 1, safe * np.log(safe) - safe + 0.5 * np.log(2.0 * math.pi * safe), 0.0)


@dataclass(frozen=True, eq=False)
class GaussianNLLLoss(Criterion):
    """(log v + (f - y)^2 / v) / 2 with v = max(var, eps), which no derivative sees clamped; `full` adds log(2 pi) / 2.

    D. Nix and A. Weigend (1994). Called as (input, target, var), all of one shape, or ((input, var), target) in `fit`, where the
    network returns both. A negative variance raises `ModelError`.

    >>> mean, y, variance = np.zeros((2, 1)), np.array([[0.5], [2.0]]), np.array([[0.25], [4.0]])
    >>> nn.GaussianNLLLoss()(mean, y, variance).round(3), nn.GaussianNLLLoss()((mean, variance), y).round(3)
    (np.float64(0.5), np.float64(0.5))
    """

    full: bool = False
    eps: float = 1e-6

    def each(self, f: Any, y: Any, var: Any) -> Any:
        # the clamped value, with the derivative of var itself: PyTorch clamps outside of autograd
        held = var + _constant(np.maximum(var, self.eps) - var)
        found = 0.5 * (np.log(held) + np.square(f - y) / held)
        return found + 0.5 * math.log(2.0 * math.pi) if self.full else found

    def __call__(self, input: Any, target: Any, var: Any = None, *, sample_weight: Any = None) -> Any:
        """The loss of a mean, a target and a variance, all of one shape."""
        input, var = _inputs(self, input, var)
        if isinstance(var, (np.ndarray, np.generic)) and np.any(np.less(var, 0)):
            raise ModelError("GaussianNLLLoss: a variance is negative; end its branch of the network in nn.Softplus()")
        return self._of(input, target, var, sample_weight=sample_weight)


def _constant(x: Any) -> Any:
    from retrograde.custom import stop_gradient

    return stop_gradient(x)


def _inputs(loss: Any, *inputs: Any) -> tuple[Any, ...]:
    """Inputs given one by one, or as a tuple in place of the first."""
    if isinstance(inputs[0], tuple) and all(a is None for a in inputs[1:]):
        inputs = inputs[0] if len(inputs[0]) == len(inputs) else (None,)
    if any(a is None for a in inputs):
        raise ModelError(f"{type(loss).__name__} takes more inputs: one by one, or as a tuple that the network returns")
    return inputs


def _positive(loss: Any, **values: float) -> None:
    for name, value in values.items():
        if not value > 0:
            raise ModelError(f"{type(loss).__name__}: {name} must be positive; it is {value!r}")
