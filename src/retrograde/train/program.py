"""The training run as one traced program: epochs over batches over (gradient, optimizer).

Everything here is NumPy on traced values, so the interpreter and the compiler run the very same graph. It leaves native
code only at the end of `length` epochs, when the `limit` is reached, when early stopping says so, or on Ctrl-C.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from retrograde import nn, random
from retrograde import numpy as rnp
from retrograde.control import scan
from retrograde.optim.optimizers import end_epoch, wants_objective
from retrograde.train.gradient import chosen, first_scaling, guarded, make_gradient, objective
from retrograde.train.metrics import Metric
from retrograde.train.numbers import joined
from retrograde.train.regularize import augmented, mixed, of_pairs
from retrograde.train.stopping import EarlyStopping
from retrograde.train.watch import Watch, values_of

Carry = dict[str, Any]
Row = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """All that the program is specialized on."""

    loss: Callable
    optimizer: Any
    batch: int
    shuffle: bool
    length: int
    stopping: EarlyStopping | None
    metrics: tuple[Metric, ...] = ()
    train_metrics: bool = False  # of the training points too
    narrow: np.dtype | None = None  # of products and held values; None: that of the parameters
    penalty: Callable | None = None  # f(trained, (x, y, weight)) of a batch
    mixup: float | None = None
    augment: Callable | None = None
    watch: Watch | None = None

    def objective(self, net: Any, weight: Any, key: Any) -> Callable:
        """`f(trained, x, y) -> loss` of a batch: what is differentiated, in the precision of the parameters."""
        f = objective(of_pairs(self.loss) if self.mixup else self.loss, self.penalty, net, weight, key)
        return lambda net, x, y: f(net, x, y)[0]

    def regularized(self, points: Sequence[Any], key: Any) -> Sequence[Any]:
        """A batch x, y, weight (or None) as an update sees it."""
        x, y, weight = points
        if self.augment is not None:
            x = augmented(self.augment, x, key)
        return (x, y, weight) if self.mixup is None else mixed(self.mixup, (x, y, weight), key)


def start(params: Any, settings: Settings, key: np.ndarray) -> Carry:
    """The carry before the first epoch."""
    carry: Carry = {
        "params": params, "state": settings.optimizer.init(nn.partition(params)[0]), "key": key, "epoch": np.zeros((), np.int64),
        "stop": np.zeros((), bool), "scaling": first_scaling(settings.narrow),
    }  # fmt: skip
    return carry if settings.stopping is None else carry | settings.stopping.start(params)


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
    """`program(carry, X, y, weight, Xv, yv, limit, numbers) -> (carry, history rows)`, to be compiled or interpreted.

    The numbers are those that were split off the settings (see `numbers.py`).
    """

    def program(carry: Carry, X: Any, y: Any, weight: Any, Xv: Any, yv: Any, limit: Any, numbers: Any = None) -> tuple:
        return make_parts(joined(settings, numbers or {})).program(carry, X, y, weight, Xv, yv, limit)

    return program


def make_parts(settings: Settings) -> Parts:
    """The functions of a run with these settings."""

    gradient = make_gradient(of_pairs(settings.loss) if settings.mixup else settings.loss, settings.narrow, settings.penalty)
    stopping, watch, stalled = settings.stopping, settings.watch, getattr(settings.optimizer, "stalled", None)

    def update(inner: tuple, points: Sequence[Any], key: Any) -> tuple:
        x, y, weight = settings.regularized(points, key)
        before, state, scaling, total, seen = inner
        value, net, grads = gradient(before, x, y, weight, key, scaling)
        trained, _ = nn.partition(net)
        step = settings.optimizer.update
        if wants_objective(settings.optimizer):
            step = partial(
                step, value=value, objective=lambda p: gradient(nn.combine(p, before), x, y, weight, key, scaling)[::2]
            )
        if scaling is None:
            trained, state = step(grads, state, trained)
        else:
            skipped = scaling["skipped"]
            (trained, state), scaling = guarded(step, grads, state, trained, scaling)
            good = scaling["skipped"] == skipped  # else what made the gradient infinite may be in the statistics, too
            net = chosen(good, net, before)
        return nn.combine(trained, net), state, scaling, total + value.astype(np.float64) * float(len(x)), seen + float(len(x))

    def step(inner: tuple, points: Sequence[Any], key: Any, i: Any, steps: int) -> tuple[tuple, Any]:
        """The update `i` of an epoch of so many, and what is watched of it."""
        key = random.fold_in(key, i + 1)
        seen = None if watch is None else watch.at(i, steps, lambda: look(watch.names, inner, points, key))
        return update(inner, points, key), seen

    def look(names: Sequence[str], inner: tuple, points: Sequence[Any], key: Any) -> list[Any]:
        x, y, weight = settings.regularized(points, key)
        f = settings.objective(inner[0], weight, key)
        return values_of(names, f, inner[0], x, y, lambda: update(inner, points, key)[0])

    def epoch(carry: Carry, X: Any, y: Any, weight: Any, Xv: Any, yv: Any, limit: Any) -> tuple[Carry, Row]:
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

        count = -(-n // batch)
        if batch >= n:
            inner, seen = step(inner, (X, y, weight), key, 0, count)
        else:
            batches: Any
            if order is not None:
                batches = np.reshape(order[: whole * batch], (whole, batch))
            else:
                given = [v[: whole * batch] for v in (X, y, weight) if v is not None]
                cut = [np.reshape(v, (whole, batch, *v.shape[1:])) for v in given]
                batches = tuple(cut if weight is not None else [*cut, None])
            inner, seen = scan(
                lambda c, at: step(c, at[0] if order is None else points(at[0], 0, 0), key, at[1], count),
                inner, (batches, np.arange(whole)),
            )  # fmt: skip
        if rest and batch < n:
            tail = order[whole * batch :] if order is not None else None
            inner, last = step(inner, points(tail, whole * batch, n), key, whole, count)
            seen = None if watch is None else np.concatenate([seen, last[None]])
        figures = _measured("", inner[0](X), y) if settings.train_metrics else {}
        if watch is not None:
            figures |= watch.rows(seen if batch < n else seen[None], count)
        new, row = finish(carry, inner, figures if Xv is None else figures | validate(inner[0], Xv, yv))
        new["stop"] = over(new, limit)
        return new, row

    def finish(carry: Carry, inner: tuple, figures: Row) -> tuple[Carry, Row]:
        params, state, scaling, total, seen = inner
        row = {"loss": total / seen, "seen": seen, **figures}
        state = end_epoch(settings.optimizer, state, row.get("val_loss", row["loss"]))
        new = {**carry, "params": params, "state": state, "scaling": scaling, "epoch": carry["epoch"] + 1}
        if stopping is not None and stopping.monitor in row:  # what is not in it, the driver watches
            stopping.watch(new, row, stalled)
        return new, row

    def validate(params: Any, Xv: Any, yv: Any) -> Row:
        prediction = params(Xv)
        return {"val_loss": settings.loss(prediction, yv).astype(np.float64)} | _measured("val_", prediction, yv)

    def _measured(prefix: str, prediction: Any, y: Any) -> Row:
        return {prefix + m.name: m(y, prediction) for m in settings.metrics if m.traced}

    def over(carry: Carry, limit: Any) -> Any:
        ended = carry["epoch"] >= limit
        return ended if stopping is None else np.logical_or(ended, stopping.ended(carry))

    def program(carry: Carry, X: Any, y: Any, weight: Any, Xv: Any, yv: Any, limit: Any) -> tuple:
        carry = {**carry, "stop": over(carry, limit)}
        return scan(
            lambda c, _: epoch(c, X, y, weight, Xv, yv, limit), carry, length=settings.length, exit=lambda c: c["stop"]
        )

    return Parts(update, validate, finish, program)


def make_many(settings: Settings) -> Callable:
    """The same for many starts: carries and rows have a first axis, over which nothing is carried."""
    program = make_program(settings)

    def many(carries: Carry, *arguments: Any) -> tuple:
        return scan(lambda _, carry: (None, program(carry, *arguments)), None, carries)[1]

    return many
