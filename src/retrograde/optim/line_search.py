"""A line search for the strong Wolfe conditions: J. Nocedal and S. Wright, "Numerical Optimization" (2006), algorithms 3.5, 3.6.

The two algorithms are one here: the way up to a bracket is a zoom whose far end lies at infinity. So the loop has one place where
the function is evaluated, and its code is compiled once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from retrograde.control import while_loop

C1, C2 = 1e-4, 0.9  # of enough descent, of enough flattening (Nocedal and Wright, section 3.1, for quasi-Newton directions)
EVALUATIONS = 25  # the most for one search
NEAR, FAR = 1.1, 10.0  # where an extrapolation may go, in lengths of the last step
EDGE = 0.1  # of a bracket's width, into which no trial goes

Point = dict[str, Any]  # "t", the "value" and the "slope" there, and the "gradient" where it is kept


def line_search(evaluate: Callable, value: Any, gradient: Any, direction: Any, first: Any) -> tuple[Point, Any]:
    """The step t > 0 along `direction` that meets the strong Wolfe conditions, and how many evaluations it took.

    `evaluate(t) -> (value, gradient)`, the gradient as a vector as `direction`, downhill; `first` is the first trial. After
    `EVALUATIONS` it is the lowest point found; t = 0 says that none was lower. A value that is not finite counts as too high.
    """
    slope = np.sum(gradient * direction)
    kind = gradient.dtype
    enough = C1 * slope
    rounding = 2 * float(np.finfo(kind).eps) * np.abs(value)  # near a minimum the value tells no more, but the slope still does

    def step(s: dict[str, Any]) -> dict[str, Any]:
        low, high, t = s["low"], s["high"], s["t"]
        found, there = evaluate(t)
        new = {"t": t, "value": found.astype(kind), "slope": np.sum(there * direction), "gradient": there}
        finite = np.isfinite(new["value"]) & np.isfinite(new["slope"])
        allowed = np.minimum(value + t * enough, low["value"]) + rounding
        lower = finite & (new["value"] <= allowed)
        flat = lower & (np.abs(new["slope"]) <= -C2 * slope)
        turned = lower & (new["slope"] * np.sign(high["t"] - low["t"]) >= 0)
        far = {name: np.where(lower, np.where(turned, low[name], high[name]), new[name]) for name in high}
        near = {name: np.where(lower, new[name], low[name]) for name in low}
        return {"low": near, "high": far, "t": _next(near, far, low), "count": s["count"] + 1, "done": flat}

    zero = np.zeros((), kind)
    low = {"t": zero, "value": value.astype(kind), "slope": slope, "gradient": gradient}
    high = {"t": zero + np.inf, "value": zero + np.inf, "slope": zero}
    start = {"low": low, "high": high, "t": first.astype(kind), "count": np.zeros((), np.int64), "done": np.zeros((), bool)}
    end = while_loop(lambda s: ~s["done"] & (s["count"] < EVALUATIONS), step, start)
    lower = end["done"] | (end["low"]["value"] < value)  # not by rounding alone
    return {name: np.where(lower, found, low[name]) for name, found in end["low"].items()}, end["count"]


def _next(near: Point, far: Point, before: Point) -> Any:
    """The next trial: in the bracket from `near` to `far` or, without one yet, beyond `near`, which came after `before`."""
    inside = np.isfinite(far["t"])
    best = _cubic(near, {name: np.where(inside, far[name], before[name]) for name in far})
    width, last = far["t"] - near["t"], near["t"] - before["t"]
    a = near["t"] + np.where(inside, EDGE * width, NEAR * last)
    b = near["t"] + np.where(inside, (1.0 - EDGE) * width, FAR * last)
    clipped = np.minimum(np.maximum(best, np.minimum(a, b)), np.maximum(a, b))
    return np.where(np.isfinite(best), clipped, np.where(inside, 0.5 * (a + b), b))


def _cubic(p: Point, q: Point) -> Any:
    """Where the cubic through two points with their slopes has its minimum (equation 3.59); NaN if it has none."""
    finite = np.isfinite(q["value"]) & np.isfinite(q["slope"])
    rise, slope = np.where(finite, q["value"] - p["value"], 0.0), np.where(finite, q["slope"], 0.0)
    width = q["t"] - p["t"]
    d1 = p["slope"] + slope - 3.0 * rise / width
    square = d1 * d1 - p["slope"] * slope
    d2 = np.sign(width) * np.sqrt(np.where(finite & (square >= 0), square, np.nan))
    below = slope - p["slope"] + 2.0 * d2
    return q["t"] - width * (slope + d2 - d1) / np.where(below == 0, np.nan, below)
