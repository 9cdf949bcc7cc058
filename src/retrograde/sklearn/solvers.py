"""The solvers of scikit-learn's MLP as optimizers: Adam with its epsilon, and gradient descent with its three learning rates.

The learning rate is a number of the state, not of the program, so that all rates share one: a search over them compiles once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from retrograde.optim import Optimizer
from retrograde.tree import tree_map

LEAST_RATE = 1e-6  # where an adaptive rate has no more to give


@dataclass(frozen=True)
class Solver(Optimizer):
    """An optimizer that begins with its rate, or goes on from the state that it is given (of an earlier `partial_fit`)."""

    rate: float = field(compare=False)
    state: Any = field(default=None, compare=False, repr=False)

    def init(self, params: Any) -> dict[str, Any]:
        return self.fresh(params) if self.state is None else self.state

    def fresh(self, params: Any) -> dict[str, Any]:
        """The state before the first step."""
        raise NotImplementedError


@dataclass(frozen=True)
class Adam(Solver):
    """D. Kingma and J. Ba (2015), the end of section 2: epsilon is added to the root before its bias is corrected."""

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8

    def fresh(self, params: Any) -> dict[str, Any]:
        zeros = tree_map(np.zeros_like, params)
        return {"rate": np.array(float(self.rate)), "m": zeros, "v": zeros, "power_1": np.ones(()), "power_2": np.ones(())}

    def update(self, grads: Any, state: Any, params: Any) -> tuple[Any, Any]:
        power_1, power_2 = state["power_1"] * self.beta_1, state["power_2"] * self.beta_2
        rate = state["rate"] * np.sqrt(1.0 - power_2) / (1.0 - power_1)
        m = tree_map(lambda m, g: self.beta_1 * m + (1.0 - self.beta_1) * g, state["m"], grads)
        v = tree_map(lambda v, g: self.beta_2 * v + (1.0 - self.beta_2) * np.square(g), state["v"], grads)
        params = tree_map(lambda p, m, v: p - rate.astype(p.dtype) * m / (np.sqrt(v) + self.epsilon), params, m, v)
        return params, {"rate": state["rate"], "m": m, "v": v, "power_1": power_1, "power_2": power_2}


@dataclass(frozen=True)
class SGD(Solver):
    """v = momentum v - rate g; p + v, with Nesterov's momentum p + momentum v - rate g."""

    momentum: float = 0.9
    nesterov: bool = True

    def fresh(self, params: Any) -> dict[str, Any]:
        return {"rate": np.array(float(self.rate)), "velocity": tree_map(np.zeros_like, params)}

    def update(self, grads: Any, state: Any, params: Any) -> tuple[Any, Any]:
        return self.step(state["rate"], grads, state, params)

    def step(self, rate: Any, grads: Any, state: Any, params: Any) -> tuple[Any, Any]:
        """An update at this rate."""

        def moved(v: Any, g: Any) -> Any:
            return self.momentum * v - rate.astype(g.dtype) * g

        velocity = tree_map(moved, state["velocity"], grads)
        steps = tree_map(moved, velocity, grads) if self.nesterov else velocity
        return tree_map(np.add, params, steps), {**state, "velocity": velocity}


@dataclass(frozen=True)
class ScalingSGD(SGD):
    """`SGD` whose rate of an epoch is rate / (t + 1)^power_t, t being the points that were seen before it."""

    power_t: float = 0.5
    points: int = 1
    updates: int = 1  # of an epoch
    seen: int = field(default=0, compare=False)  # before the first

    def init(self, params: Any) -> dict[str, Any]:
        return super().init(params) | {"step": np.zeros((), np.int64), "seen": np.array(float(self.seen))}

    def update(self, grads: Any, state: Any, params: Any) -> tuple[Any, Any]:
        seen = state["seen"] + (state["step"] // self.updates) * float(self.points)
        return self.step(state["rate"] / (seen + 1.0) ** self.power_t, grads, {**state, "step": state["step"] + 1}, params)


@dataclass(frozen=True)
class AdaptiveSGD(SGD):
    """`SGD` that divides its rate by 5 each time the run stalls, until it is `LEAST_RATE` or less."""

    def stalled(self, state: Any) -> tuple[Any, Any]:
        """The state with a lower rate, and whether the rate was as low as can be."""
        return {**state, "rate": state["rate"] / 5.0}, state["rate"] <= LEAST_RATE
