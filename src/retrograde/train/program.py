"""The training run as one traced program: epochs over batches over (gradient, optimizer).

Everything here is NumPy on traced values, so the interpreter and the compiler run the very same graph. It leaves native
code only at the end of `length` epochs, when the `limit` is reached, when early stopping says so, or on Ctrl-C.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from retrograde import numpy as rnp
from retrograde import random
from retrograde.control import scan
from retrograde.train.gradient import first_scaling, guarded, make_gradient, penalized
from retrograde.train.stopping import EarlyStopping

Carry = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """All that the program is specialized on."""

    loss: Callable
    optimizer: Any
    batch: int
    shuffle: bool
    length: int
    stopping: EarlyStopping | None
    metrics: tuple[tuple[str, Callable], ...] = ()  # of validation points, by name: f(target, prediction)
    narrow: np.dtype | None = None  # of products and held values; None: that of the parameters
    penalty: Callable | None = None  # f(params, points) that is added to the loss of a batch


def start(params: Any, settings: Settings, key: np.ndarray) -> Carry:
    """The carry before the first epoch."""
    carry: Carry = {
        "params": params, "state": settings.optimizer.init(params), "key": key, "epoch": np.zeros((), np.int64),
        "stop": np.zeros((), bool), "scaling": first_scaling(settings.narrow),
    }  # fmt: skip
    if settings.stopping is not None:
        carry |= settings.stopping.start(params)
    return carry


def make_program(settings: Settings) -> Callable:
    """`program(carry, X, y, weight, Xv, yv, limit) -> (carry, history rows)`, to be compiled or interpreted."""

    gradient = penalized(make_gradient(settings.loss, settings.narrow), settings.penalty)
    stopping, stalled = settings.stopping, getattr(settings.optimizer, "stalled", None)

    def update(inner: tuple, points: Sequence[Any], key: Any) -> tuple:
        x, y, weight = points
        params, state, scaling, total, seen = inner
        value, grads = gradient(params, x, y, weight, key, scaling)
        if scaling is None:
            params, state = settings.optimizer.update(grads, state, params)
        else:
            (params, state), scaling = guarded(settings.optimizer.update, grads, state, params, scaling)
        return params, state, scaling, total + value.astype(np.float64) * float(len(x)), seen + float(len(x))

    def epoch(carry: Carry, X: Any, y: Any, weight: Any, Xv: Any, yv: Any, limit: Any) -> tuple[Carry, dict[str, Any]]:
        n, batch = len(X), settings.batch
        key = random.fold_in(carry["key"], carry["epoch"])
        inner = (carry["params"], carry["state"], carry["scaling"], np.zeros(()), np.zeros(()))
        whole, rest = divmod(n, batch)
        order = random.permutation(random.fold_in(key, 0), n) if settings.shuffle and batch < n else None

        def points(at: Any, a: int, b: int) -> list[Any]:
            arrays = [v for v in (X, y, weight) if v is not None]
            if at is not None:
                found = [rnp.take(v, at, axis=0) for v in arrays]
            else:
                found = [v[a:b] for v in arrays]
            return found if weight is not None else [*found, None]

        steps = np.arange(whole)
        if batch >= n:
            inner = update(inner, (X, y, weight), random.fold_in(key, 1))
        elif order is not None:
            rows = np.reshape(order[: whole * batch], (whole, batch))
            inner, _ = scan(
                lambda c, at: (update(c, points(at[0], 0, 0), random.fold_in(key, at[1] + 1)), None), inner, (rows, steps)
            )
        else:
            given = [v[: whole * batch] for v in (X, y, weight) if v is not None]
            cut: list[Any] = [np.reshape(v, (whole, batch, *v.shape[1:])) for v in given]
            cut = cut if weight is not None else [*cut, None]
            inner, _ = scan(
                lambda c, at: (update(c, at[0], random.fold_in(key, at[1] + 1)), None), inner, (tuple(cut), steps)
            )
        if rest and batch < n:
            tail = order[whole * batch :] if order is not None else None
            inner = update(inner, points(tail, whole * batch, n), random.fold_in(key, whole + 1))
        params, state, scaling, total, seen = inner
        row = {"loss": total / seen, "seen": seen}
        new = {**carry, "params": params, "state": state, "scaling": scaling, "epoch": carry["epoch"] + 1}
        if Xv is not None:
            row |= _validate(params, Xv, yv)
        if stopping is not None:
            stopping.watch(new, row, stalled)
        new["stop"] = over(new, limit)
        return new, row

    def _validate(params: Any, Xv: Any, yv: Any) -> dict[str, Any]:
        prediction = params(Xv)
        row = {"val_loss": settings.loss(prediction, yv).astype(np.float64)}
        for name, metric in settings.metrics:
            row[f"val_{name}"] = metric(yv, prediction).astype(np.float64)
        return row

    def over(carry: Carry, limit: Any) -> Any:
        ended = carry["epoch"] >= limit
        return ended if stopping is None else np.logical_or(ended, stopping.ended(carry))

    def program(carry: Carry, X: Any, y: Any, weight: Any, Xv: Any, yv: Any, limit: Any) -> tuple:
        carry = {**carry, "stop": over(carry, limit)}
        return scan(
            lambda c, _: epoch(c, X, y, weight, Xv, yv, limit), carry, length=settings.length, exit=lambda c: c["stop"]
        )

    return program


def make_many(settings: Settings) -> Callable:
    """The same for many starts: carries and rows have a first axis, over which nothing is carried."""
    program = make_program(settings)

    def many(carries: Carry, X: Any, y: Any, weight: Any, Xv: Any, yv: Any, limit: Any) -> tuple:
        return scan(lambda _, carry: (None, program(carry, X, y, weight, Xv, yv, limit)), None, carries)[1]

    return many
