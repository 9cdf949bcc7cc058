"""The training run as one traced program: epochs over batches over (gradient, optimizer).

Everything here is NumPy on traced values, so the interpreter and the compiler run the very same graph. It leaves native
code only at the end of `length` epochs, when the `limit` is reached, when early stopping says so, or on Ctrl-C.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from retrograde import numpy as rnp
from retrograde import random, tree
from retrograde.control import scan
from retrograde.train.gradient import first_scaling, guarded, make_gradient

Carry = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """All that the program is specialized on."""

    loss: Callable
    optimizer: Any
    batch: int
    shuffle: bool
    length: int
    patience: int | None
    accuracy: bool
    narrow: np.dtype | None = None  # of products and held values; None: that of the parameters


def start(params: Any, settings: Settings, key: np.ndarray, watching: bool) -> Carry:
    """The carry before the first epoch."""
    carry: Carry = {
        "params": params, "state": settings.optimizer.init(params), "key": key, "epoch": np.zeros((), np.int64),
        "stop": np.zeros((), bool), "scaling": first_scaling(settings.narrow),
    }  # fmt: skip
    if watching and settings.patience is not None:
        carry |= {"best": tree.tree_map(np.array, params), "lowest": np.full((), np.inf), "wait": np.zeros((), np.int64),
                  "best_epoch": np.zeros((), np.int64)}  # fmt: skip
    return carry


class Parts(NamedTuple):
    """The functions a run is made of, to be compiled or interpreted; `segment.py` runs them in smaller pieces than epochs.

    `update(inner, (x, y, weight), key) -> inner` is one step on one batch, where inner is (parameters, optimizer state, loss
    scale, sum of losses, points seen); `validate(params, Xv, yv) -> figures`; `finish(carry, inner, figures) -> (carry, history
    row)` ends an epoch; `program(carry, X, y, weight, Xv, yv, limit) -> (carry, history rows)` is all of it.
    """

    update: Callable
    validate: Callable
    finish: Callable
    program: Callable


def make_program(settings: Settings) -> Callable:
    """`program(carry, X, y, weight, Xv, yv, limit) -> (carry, history rows)`, to be compiled or interpreted."""
    return make_parts(settings).program


def make_parts(settings: Settings) -> Parts:
    """The functions of a run with these settings."""

    gradient = make_gradient(settings.loss, settings.narrow)

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
        new, row = finish(carry, inner, {} if Xv is None else _validate(inner[0], Xv, yv))
        new["stop"] = over(new, limit)
        return new, row

    def finish(carry: Carry, inner: tuple, figures: dict[str, Any]) -> tuple[Carry, dict[str, Any]]:
        params, state, scaling, total, seen = inner
        new = {**carry, "params": params, "state": state, "scaling": scaling, "epoch": carry["epoch"] + 1}
        if "wait" in carry:
            _watch(new, figures["val_loss"])
        return new, {"loss": total / seen, "seen": seen, **figures}

    def _validate(params: Any, Xv: Any, yv: Any) -> dict[str, Any]:
        prediction = params(Xv)
        row = {"val_loss": settings.loss(prediction, yv).astype(np.float64)}
        if settings.accuracy:
            row["val_accuracy"] = np.mean(np.argmax(prediction, axis=-1) == yv)
        return row

    def _watch(new: Carry, loss: Any) -> None:
        better = loss < new["lowest"]
        new["best"] = tree.tree_map(lambda p, b: np.where(better, p, b), new["params"], new["best"])
        new["lowest"] = np.where(better, loss, new["lowest"])
        new["best_epoch"] = np.where(better, new["epoch"], new["best_epoch"])
        new["wait"] = np.where(better, 0, new["wait"] + 1)

    def over(carry: Carry, limit: Any) -> Any:
        ended = carry["epoch"] >= limit
        return np.logical_or(ended, carry["wait"] >= settings.patience) if "wait" in carry else ended

    def program(carry: Carry, X: Any, y: Any, weight: Any, Xv: Any, yv: Any, limit: Any) -> tuple:
        carry = {**carry, "stop": over(carry, limit)}
        return scan(
            lambda c, _: epoch(c, X, y, weight, Xv, yv, limit), carry, length=settings.length, exit=lambda c: c["stop"]
        )

    return Parts(update, _validate, finish, program)


def make_many(settings: Settings) -> Callable:
    """The same for many starts: carries and rows have a first axis, over which nothing is carried."""
    program = make_program(settings)

    def many(carries: Carry, X: Any, y: Any, weight: Any, Xv: Any, yv: Any, limit: Any) -> tuple:
        return scan(lambda _, carry: (None, program(carry, X, y, weight, Xv, yv, limit)), None, carries)[1]

    return many
