"""Learning rates as pure functions of the step, with PyTorch's names and arguments, and the rate `lr` where they start.

A schedule is called with a 0-d integer array (or an int), traced or not, and returns the rate of that update: it goes into
`optim.Scheduled`, where a step is an update, not an epoch. Any function of the step will do as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from numbers import Real
from typing import Any

import numpy as np

from retrograde.errors import ModelError

__all__ = [
    "ConstantLR", "CosineAnnealingLR", "CosineAnnealingWarmRestarts", "CyclicLR", "ExponentialLR", "InverseSqrtLR", "LinearLR",
    "MultiStepLR", "OneCycleLR", "PolynomialLR", "SequentialLR", "StepLR",
]  # fmt: skip


class _Schedule:
    """What all check: that each number is one."""

    def __post_init__(self) -> None:
        name = type(self).__name__
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if field.type == "float" and not isinstance(value, Real):
                raise ModelError(f"{name}: {field.name} must be a number; it is {value!r}. A schedule goes into an optimizer: "
                                 f"optim.Scheduled(optim.Adam(), {name}(1e-3, ...))")  # fmt: skip


@dataclass(frozen=True)
class StepLR(_Schedule):
    """lr * gamma^(step // step_size).

    >>> schedule = schedules.StepLR(0.1, step_size=10, gamma=0.5)
    >>> [round(float(schedule(step)), 4) for step in (0, 9, 10, 20)]
    [0.1, 0.1, 0.05, 0.025]
    """

    lr: float
    step_size: int
    gamma: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        _positive(self, step_size=self.step_size)

    def __call__(self, step: Any) -> Any:
        return self.lr * self.gamma ** _number(step // self.step_size)


@dataclass(frozen=True)
class MultiStepLR(_Schedule):
    """lr * gamma^(how many milestones have been reached).

    >>> schedule = schedules.MultiStepLR(0.1, milestones=(10, 15))
    >>> [round(float(schedule(step)), 4) for step in (0, 10, 15)]
    [0.1, 0.01, 0.001]
    """

    lr: float
    milestones: tuple[int, ...]
    gamma: float = 0.1

    def __call__(self, step: Any) -> Any:
        return self.lr * self.gamma ** sum(_number(step >= milestone) for milestone in self.milestones)


@dataclass(frozen=True)
class ExponentialLR(_Schedule):
    """lr * gamma^step.

    >>> schedule = schedules.ExponentialLR(0.1, gamma=0.9)
    >>> [round(float(schedule(step)), 4) for step in (0, 1, 2)]
    [0.1, 0.09, 0.081]
    """

    lr: float
    gamma: float

    def __call__(self, step: Any) -> Any:
        return self.lr * self.gamma ** _number(step)


@dataclass(frozen=True)
class LinearLR(_Schedule):
    """lr times a factor from start_factor to end_factor in total_iters steps, then constant: a warm-up.

    >>> schedule = schedules.LinearLR(0.1, start_factor=0.1, total_iters=10)
    >>> [round(float(schedule(step)), 4) for step in (0, 5, 10, 100)]
    [0.01, 0.055, 0.1, 0.1]
    """

    lr: float
    start_factor: float = 1.0 / 3.0
    end_factor: float = 1.0
    total_iters: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        _positive(self, total_iters=self.total_iters)

    def __call__(self, step: Any) -> Any:
        part = np.minimum(_number(step), self.total_iters) / self.total_iters
        return self.lr * (self.start_factor + (self.end_factor - self.start_factor) * part)


@dataclass(frozen=True)
class ConstantLR(_Schedule):
    """lr * factor for total_iters steps, then lr.

    >>> schedule = schedules.ConstantLR(0.1, factor=0.5, total_iters=10)
    >>> [round(float(schedule(step)), 4) for step in (0, 9, 10)]
    [0.05, 0.05, 0.1]
    """

    lr: float
    factor: float = 1.0 / 3.0
    total_iters: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        _positive(self, total_iters=self.total_iters)

    def __call__(self, step: Any) -> Any:
        return np.where(step < self.total_iters, self.lr * self.factor, self.lr)


@dataclass(frozen=True)
class InverseSqrtLR(_Schedule):
    """lr * min(step / warmup_steps, sqrt(warmup_steps / step)), steps counted from 1 (A. Vaswani et al., 2017, equation 3).

    >>> schedule = schedules.InverseSqrtLR(0.1, warmup_steps=100)
    >>> [round(float(schedule(step)), 4) for step in (0, 49, 99, 399)]
    [0.001, 0.05, 0.1, 0.05]
    """

    lr: float
    warmup_steps: int

    def __post_init__(self) -> None:
        super().__post_init__()
        _positive(self, warmup_steps=self.warmup_steps)

    def __call__(self, step: Any) -> Any:
        part = (_number(step) + 1.0) / self.warmup_steps
        return self.lr * np.minimum(part, 1.0 / np.sqrt(part))


@dataclass(frozen=True)
class PolynomialLR(_Schedule):
    """lr * (1 - step / total_iters)^power, then 0.

    >>> schedule = schedules.PolynomialLR(0.1, total_iters=10, power=2.0)
    >>> [round(float(schedule(step)), 4) for step in (0, 5, 10)]
    [0.1, 0.025, 0.0]
    """

    lr: float
    total_iters: int = 5
    power: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _positive(self, total_iters=self.total_iters)

    def __call__(self, step: Any) -> Any:
        return self.lr * (1.0 - np.minimum(_number(step), self.total_iters) / self.total_iters) ** self.power


@dataclass(frozen=True)
class CosineAnnealingLR(_Schedule):
    """From lr to eta_min in T_max steps along half a cosine, and back up after (I. Loshchilov and F. Hutter, 2017, eq. 5).

    >>> schedule = schedules.CosineAnnealingLR(0.1, T_max=100)
    >>> [round(float(schedule(step)), 4) for step in (0, 50, 100)]
    [0.1, 0.05, 0.0]
    """

    lr: float
    T_max: int
    eta_min: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _positive(self, T_max=self.T_max)

    def __call__(self, step: Any) -> Any:
        return self.eta_min + (self.lr - self.eta_min) * 0.5 * (1.0 + np.cos((math.pi / self.T_max) * _number(step)))


@dataclass(frozen=True)
class CosineAnnealingWarmRestarts(_Schedule):
    """From lr to eta_min along half a cosine, again and again: in T_0 steps, then in T_mult times as many, and so on.

    I. Loshchilov and F. Hutter (2017), equation 5.

    >>> schedule = schedules.CosineAnnealingWarmRestarts(0.1, T_0=10, T_mult=2)
    >>> [round(float(schedule(step)), 4) for step in (0, 5, 10, 20, 30)]
    [0.1, 0.05, 0.1, 0.05, 0.1]
    """

    lr: float
    T_0: int
    T_mult: int = 1
    eta_min: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _positive(self, T_0=self.T_0, T_mult=self.T_mult)

    def __call__(self, step: Any) -> Any:
        t = _number(step) / self.T_0
        if self.T_mult == 1:
            part = t - np.floor(t)
        else:  # cycle n begins at (T_mult^n - 1) / (T_mult - 1); the last term is above the rounding of log and below a step
            cycle = np.floor(np.log(t * (self.T_mult - 1) + 1.0) / math.log(self.T_mult) + 1e-12)
            length = self.T_mult**cycle
            part = np.maximum(t - (length - 1.0) / (self.T_mult - 1), 0.0) / length
        return self.eta_min + (self.lr - self.eta_min) * 0.5 * (1.0 + np.cos(math.pi * part))


@dataclass(frozen=True)
class CyclicLR(_Schedule):
    """From base_lr to max_lr in step_size_up steps and back in step_size_down, again and again (L. Smith, 2017).

    The rise over base_lr is halved with each cycle for "triangular2", and times gamma^step for "exp_range".

    >>> schedule = schedules.CyclicLR(0.01, 0.1, step_size_up=10)
    >>> [round(float(schedule(step)), 4) for step in (0, 10, 20, 30)]
    [0.01, 0.1, 0.01, 0.1]
    """

    base_lr: float
    max_lr: float
    step_size_up: int = 2000
    step_size_down: int | None = None
    mode: str = "triangular"
    gamma: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _positive(self, step_size_up=self.step_size_up, step_size_down=self._down)
        if self.mode not in ("triangular", "triangular2", "exp_range"):
            raise ModelError(f'CyclicLR: mode is "triangular", "triangular2" or "exp_range", not {self.mode!r}')

    @property
    def _down(self) -> int:
        return self.step_size_up if self.step_size_down is None else self.step_size_down

    def __call__(self, step: Any) -> Any:
        length = self.step_size_up + self._down
        at = _number(step % length)
        height = np.minimum(at / self.step_size_up, (length - at) / self._down)
        scale = {"triangular": 1.0, "triangular2": 0.5 ** _number(step // length), "exp_range": self.gamma ** _number(step)}
        return self.base_lr + (self.max_lr - self.base_lr) * height * scale[self.mode]


@dataclass(frozen=True)
class OneCycleLR(_Schedule):
    """From max_lr / div_factor up to max_lr, then down to that over final_div_factor, by cosines or lines (L. Smith, 2018).

    The way up takes pct_start of total_steps. After total_steps the rate stays. In `fit` the steps are updates: epochs times
    ceil(points / batch_size).

    >>> schedule = schedules.OneCycleLR(0.1, total_steps=100)
    >>> [round(float(schedule(step)), 4) for step in (0, 29, 60, 99)]
    [0.004, 0.1, 0.0589, 0.0]
    """

    max_lr: float
    total_steps: int
    pct_start: float = 0.3
    anneal_strategy: str = "cos"
    div_factor: float = 25.0
    final_div_factor: float = 1e4

    def __post_init__(self) -> None:
        super().__post_init__()
        _positive(self, total_steps=self.total_steps)
        if self.anneal_strategy not in ("cos", "linear"):
            raise ModelError(f'OneCycleLR: anneal_strategy is "cos" or "linear", not {self.anneal_strategy!r}')
        if not 0 < self.pct_start * self.total_steps - 1 < self.total_steps - 1:
            raise ModelError(f"OneCycleLR: pct_start={self.pct_start} of {self.total_steps} steps leaves no way up or none down")

    def __call__(self, step: Any) -> Any:
        low, top, t = self.max_lr / self.div_factor, self.pct_start * self.total_steps - 1, _number(step)
        up = self._between(low, self.max_lr, np.minimum(t / top, 1.0))
        way = np.minimum(np.maximum((t - top) / (self.total_steps - 1 - top), 0.0), 1.0)
        return np.where(t <= top, up, self._between(self.max_lr, low / self.final_div_factor, way))

    def _between(self, start: float, end: float, part: Any) -> Any:
        if self.anneal_strategy == "linear":
            return start + (end - start) * part
        return end + (start - end) * 0.5 * (1.0 + np.cos(math.pi * part))


@dataclass(frozen=True)
class SequentialLR(_Schedule):
    """One schedule after the other, each counting from the milestone where it begins: a warm-up, then another.

    >>> warm_up, rest = schedules.LinearLR(0.1, 0.1, total_iters=10), schedules.CosineAnnealingLR(0.1, 90)
    >>> schedule = schedules.SequentialLR((warm_up, rest), milestones=(10,))
    >>> [round(float(schedule(step)), 4) for step in (0, 10, 55, 100)]
    [0.01, 0.1, 0.05, 0.0]
    """

    schedules: tuple[Callable[[Any], Any], ...]
    milestones: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.schedules) != len(self.milestones) + 1 or list(self.milestones) != sorted(self.milestones):
            raise ModelError(f"SequentialLR: {len(self.schedules)} schedules need {len(self.schedules) - 1} rising milestones; "
                             f"they are {self.milestones!r}")  # fmt: skip

    def __call__(self, step: Any) -> Any:
        rate = self.schedules[0](step)
        for schedule, start in zip(self.schedules[1:], self.milestones):
            rate = np.where(step >= start, schedule(np.maximum(step - start, 0)), rate)
        return rate


def _number(step: Any) -> Any:
    """The step as a float64."""
    return np.multiply(step, 1.0)


def _positive(schedule: Any, **counts: Any) -> None:
    for name, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value <= 0:
            raise ModelError(f"{type(schedule).__name__}: {name} must be a positive number of steps; it is {value!r}")
