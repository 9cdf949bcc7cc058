"""`fit`: train a network, the whole run as one native program."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from retrograde import random, tree
from retrograde.compile import jit
from retrograde.errors import DataError, ModelError
from retrograde.nn.losses import cross_entropy, get_loss
from retrograde.optim import Adam, get_optimizer
from retrograde.train.data import Data, prepare
from retrograde.train.program import Settings, make_program, start
from retrograde.train.run import Run
from retrograde.transforms import held_for_backward, trace, value_and_grad

MOST_EPOCHS = 1024  # epochs in one call of native code: only the length of its history buffer


def fit(
    net: Any,
    data: Any,
    *,
    loss: str | Callable = "mse",
    optimizer: Any = None,
    batch_size: int | None = 32,
    epochs: int = 10,
    shuffle: bool = True,
    sample_weight: Any = None,
    validation: Any = None,
    early_stopping: int | None = None,
    callbacks: Iterable[Callable] = (),
    seed: int = 0,
    progress: bool = False,
    compiled: bool = True,
    dtype: Any = np.float32,
) -> Run:
    """Train `net` on `data = (X, y)` and return a `Run`.

    loss: a name ("mse", "mae", "huber", "cross_entropy", "binary_cross_entropy", "hinge", "poisson") or any
    f(prediction, target) in NumPy that returns a 0-d array. optimizer: an object of `retrograde.optim` (or of your own) or
    a name; by default Adam(1e-3). batch_size: points an update; None is full-batch gradient descent, 1 is pure SGD; the
    last batch of an epoch may be smaller, no point is dropped. validation: a fraction of the data (of integer labels, each
    class gives its share), or (X, y).
    early_stopping: epochs to wait for a better validation loss; the best parameters are kept. callbacks: functions of the
    history so far (a dict of arrays), called after each epoch; True ends the run. A network without parameters is
    initialized from `seed`; one with parameters goes on from them, in their dtype. The same seed gives the same bits.
    Ctrl-C ends the run and returns what there is. `compiled=False` interprets the same program in NumPy.

    Raises `DataError` for unusable data and `ModelError` for settings that do not fit.
    """
    if not net.initialized:
        net = net.init(seed, dtype)
    leaves = tree.tree_leaves(net)
    kind = leaves[0].dtype if leaves else np.dtype(dtype)
    loss_function, optimizer = get_loss(loss), get_optimizer(optimizer if optimizer is not None else Adam())
    points = prepare(data, sample_weight, validation, kind, seed)
    if early_stopping is not None and points.Xv is None:
        raise ModelError("early_stopping needs validation: give a fraction or (X, y)")
    if not isinstance(epochs, (int, np.integer)) or epochs < 1:
        raise ModelError(f"epochs must be a positive integer; it is {epochs!r}")
    if batch_size is not None and (not isinstance(batch_size, (int, np.integer)) or batch_size < 1):
        raise ModelError(f"batch_size must be a positive integer, or None for the full batch; it is {batch_size!r}")
    batch = points.n if batch_size is None else min(int(batch_size), points.n)
    _check_fit(net, points, loss_function)
    settings = Settings(
        loss_function, optimizer, batch, bool(shuffle), min(int(epochs), MOST_EPOCHS), early_stopping,
        loss_function is cross_entropy and points.y.ndim == 1,
    )  # fmt: skip
    return _Driver(net, points, settings, int(epochs), seed, list(callbacks), progress, compiled).run()


class _Driver:
    """Calls the program for a stretch of epochs at a time and gathers its history."""

    def __init__(
        self, net: Any, points: Data, settings: Settings, epochs: int, seed: int, callbacks: list, progress: bool, compiled: bool
    ):
        self.net, self.points, self.settings, self.epochs, self.seed = net, points, settings, epochs, seed
        self.callbacks, self.progress, self.compiled = callbacks, progress, compiled
        self.rows: dict[str, list[np.ndarray]] = {}
        self.done = 0
        self.seconds = 0.0
        self.interrupted = False

    def run(self) -> Run:
        from retrograde.train.progress import progress_bar

        p, settings = self.points, self.settings
        program = make_program(settings)
        carry = start(self.net, settings, random.key(self.seed), p.Xv is not None)
        arrays = (p.X, p.y, p.weight, p.Xv, p.yv)
        began = time.perf_counter()
        native = jit(program) if self.compiled else None
        plan = native.lower(carry, *arrays, np.int64(0)) if native is not None else None
        compile_seconds = time.perf_counter() - began
        stretch = 1 if self.progress or self.callbacks else self.epochs
        with progress_bar(self.progress, self.epochs) as show:
            try:
                while self.done < self.epochs and not self.interrupted:
                    limit = int(min(self.done + min(stretch, settings.length), self.epochs))
                    began = time.perf_counter()
                    if native is None:
                        found, stopped = program(carry, *arrays, np.int64(limit)), False
                    else:
                        found, stopped = native.run_interruptible(carry, *arrays, np.int64(limit))
                    took = time.perf_counter() - began
                    carry, rows = found
                    finished = self._gather(carry, rows, stopped, took)
                    show(self.done, self._history(), self._updates() / self.seconds)
                    if self._early(carry, limit) or self._called_back():
                        break
                    if self.progress and not self.callbacks:  # come back about ten times a second
                        stretch = max(1, int(finished * 0.1 / max(took, 1e-6)))
            except KeyboardInterrupt:  # between two stretches: what is finished is whole
                if not self.rows:
                    raise
                self.interrupted = True
        return self._result(carry, compile_seconds, plan)

    def _early(self, carry: dict, limit: int) -> bool:
        return (bool(carry["stop"]) and int(carry["epoch"]) < limit) or self._out_of_patience(carry)

    def _out_of_patience(self, carry: dict) -> bool:
        return self.settings.patience is not None and int(carry["wait"]) >= self.settings.patience

    def _called_back(self) -> bool:
        answers = [callback(self._history()) for callback in self.callbacks]  # each is asked, whatever the others say
        return any(answer is True for answer in answers)

    def _gather(self, carry: dict, rows: dict, stopped: bool, took: float) -> int:
        """Take in what a stretch of epochs gave; returns how many epochs it was."""
        finished = int(carry["epoch"]) - self.done
        self.seconds += took
        self.interrupted = stopped
        for name, values in rows.items():
            self.rows.setdefault(name, []).append(np.asarray(values[:finished], np.float64))
        self.done += finished
        return finished

    def _history(self) -> dict[str, np.ndarray]:
        return {name: np.concatenate(parts) for name, parts in self.rows.items() if name != "seen"}

    def _updates(self) -> int:
        return int(sum(np.ceil(part / self.settings.batch).sum() for part in self.rows["seen"]))

    def _result(self, carry: dict, compile_seconds: float, plan: Any) -> Run:
        settings, best = self.settings, None
        model = carry["params"]
        if "best" in carry and int(carry["best_epoch"]) > 0:
            model, best = carry["best"], int(carry["best_epoch"])
        flops, held = _price(self.net, self.points, settings)
        return Run(
            model=model, history=self._history(), seed=self.seed, points=self.points.n, batch_size=settings.batch,
            updates=self._updates(), seconds=self.seconds, compile_seconds=compile_seconds, interrupted=self.interrupted,
            optimizer=settings.optimizer, optimizer_state=carry["state"], best_epoch=best, flops_per_update=flops,
            held_bytes=held, program=plan,
        )  # fmt: skip


def _price(net: Any, points: Data, settings: Settings) -> tuple[float, int]:
    """Floating-point operations of one gradient of a batch, and bytes that its backward pass needs kept."""
    x, y = points.X[: settings.batch], points.y[: settings.batch]

    def loss(params: Any, x: Any, y: Any) -> Any:
        return settings.loss(params(x), y)

    graph = trace(value_and_grad(loss))(net, x, y)
    flops = sum(
        eq.primitive.count_flops([a.type for a in eq.inputs], [o.type for o in eq.outputs], eq.params) for eq in graph.equations
    )
    held = sum(t.nbytes for name, t in held_for_backward(loss)(net, x, y) if name != "input")
    return flops, held


def _check_fit(net: Any, points: Data, loss: Callable) -> None:
    """Run one point through the network and the loss: shapes that do not fit are told before compiling."""
    with np.errstate(all="ignore"):
        try:
            prediction = net(points.X[:1])
        except ModelError as error:
            raise ModelError(f"the network does not take the data: {error}") from None
        if loss is cross_entropy and points.y.ndim == 1:
            if points.y.dtype.kind not in "iu":
                raise DataError(f"cross_entropy wants integer labels 0, 1, ...; y has dtype {points.y.dtype}: y.astype(int)")
            low, high, classes = int(points.y.min()), int(points.y.max()), np.shape(prediction)[-1]
            if points.yv is not None:
                low, high = min(low, int(points.yv.min())), max(high, int(points.yv.max()))
            if low < 0 or high >= classes:
                raise DataError(f"labels run from {low} to {high}, but the network has {classes} outputs: 0 to {classes - 1} fit")
        value = loss(prediction, points.y[:1])
    if np.shape(value) != ():
        raise ModelError(f"the loss must return one number; it returned shape {np.shape(value)}: take np.mean of it")
