"""Learning rates as pure functions of the step, with PyTorch's names and arguments, and the rate `lr` where they start.

A schedule is called with a 0-d integer array (or an int), traced or not, and returns the rate of that update: it goes into
`optim.Scheduled`, where a step is an update, not an epoch. Any function of the step will do as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from retrograde.errors import ModelError


@dataclass(frozen=True)
class StepLR:
    """lr * gamma^(step // step_size)."""

    lr: float
    step_size: int
    gamma: float = 0.1

    def __post_init__(self) -> None:
        _positive(self, step_size=self.step_size)

    def __call__(self, step: Any) -> Any:
        return self.lr * self.gamma ** _number(step // self.step_size)


@dataclass(frozen=True)
class MultiStepLR:
    """lr * gamma^(how many milestones have been reached)."""

    lr: float
    milestones: tuple[int, ...]
    gamma: float = 0.1

    def __call__(self, step: Any) -> Any:
        return self.lr * self.gamma ** sum(_number(step >= milestone) for milestone in self.milestones)


@dataclass(frozen=True)
class ExponentialLR:
    """lr * gamma^step."""

    lr: float
    gamma: float

    def __call__(self, step: Any) -> Any:
        return self.lr * self.gamma ** _number(step)


@dataclass(frozen=True)
class LinearLR:
    """lr times a factor from start_factor to end_factor in total_iters steps, then constant: a warm-up."""

    lr: float
    start_factor: float = 1.0 / 3.0
    end_factor: float = 1.0
    total_iters: int = 5

    def __post_init__(self) -> None:
        _positive(self, total_iters=self.total_iters)

    def __call__(self, step: Any) -> Any:
        part = np.minimum(_number(step), self.total_iters) / self.total_iters
        return self.lr * (self.start_factor + (self.end_factor - self.start_factor) * part)


@dataclass(frozen=True)
class PolynomialLR:
    """lr * (1 - step / total_iters)^power, then 0."""

    lr: float
    total_iters: int = 5
    power: float = 1.0

    def __post_init__(self) -> None:
        _positive(self, total_iters=self.total_iters)

    def __call__(self, step: Any) -> Any:
        return self.lr * (1.0 - np.minimum(_number(step), self.total_iters) / self.total_iters) ** self.power


@dataclass(frozen=True)
class CosineAnnealingLR:
    """From lr to eta_min in T_max steps along half a cosine, and back up after (I. Loshchilov and F. Hutter, 2017, eq. 5)."""

    lr: float
    T_max: int
    eta_min: float = 0.0

    def __post_init__(self) -> None:
        _positive(self, T_max=self.T_max)

    def __call__(self, step: Any) -> Any:
        return self.eta_min + (self.lr - self.eta_min) * 0.5 * (1.0 + np.cos((math.pi / self.T_max) * _number(step)))


@dataclass(frozen=True)
class OneCycleLR:
    """From max_lr / div_factor up to max_lr, then down to that over final_div_factor, by cosines or lines (L. Smith, 2018).

    The way up takes pct_start of total_steps. After total_steps the rate stays.
    """

    max_lr: float
    total_steps: int
    pct_start: float = 0.3
    anneal_strategy: str = "cos"
    div_factor: float = 25.0
    final_div_factor: float = 1e4

    def __post_init__(self) -> None:
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
class SequentialLR:
    """One schedule after the other, each counting from the milestone where it begins: a warm-up, then another."""

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
