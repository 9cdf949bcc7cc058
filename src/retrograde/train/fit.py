"""`fit`: train a network, the whole run as one native program."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any

import numpy as np

from retrograde import random, tree
from retrograde.compile import jit
from retrograde.errors import DataError, ModelError
from retrograde.nn.losses import check_targets, cross_entropy, get_loss
from retrograde.optim import Adam, get_optimizer
from retrograde.train.data import Data, check_arguments, check_takes_weights, check_whole, prepare
from retrograde.train.gradient import dtype_of, held_types, make_gradient
from retrograde.train.program import Settings, make_many, make_program, start
from retrograde.train.resume import Progress, resumed
from retrograde.train.run import Run, best_of
from retrograde.transforms import trace

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
    starts: int = 1,
    seed: int = 0,
    progress: bool = False,
    compiled: bool = True,
    dtype: Any = np.float32,
    resume: Any = None,
    precision: str | None = None,
) -> Run:
    """Train `net` on `data = (X, y)` and return a `Run`.

    loss: a name ("mse", "mae", "huber", "cross_entropy", "binary_cross_entropy", "hinge", "poisson") or any
    f(prediction, target) in NumPy that returns a 0-d array. optimizer: an object of `retrograde.optim` (or of your own) or
    a name; by default Adam(1e-3). batch_size: points an update; None is full-batch gradient descent, 1 is pure SGD; the
    last batch of an epoch may be smaller, no point is dropped. validation: a fraction of the data (of integer labels, each
    class gives its share), or (X, y). early_stopping: epochs to wait for a better validation loss; the best parameters are
    kept. callbacks: functions of the history so far (a dict of arrays), called after each epoch; True ends the run. A
    network without parameters is initialized from `seed`; one with parameters goes on from them, in their dtype. The same
    seed gives the same bits. Subnormal numbers count as zero: a network that has learned its data by heart has many, and they
    are slow. Ctrl-C ends the run and returns what there is. `compiled=False` interprets the same program in NumPy.

    starts: how many initial points to train from, all in one program that spreads over the cores. Start i is the run of
    seed + i, with its own shuffle, early stop and history (on the validation points of `seed`). The returned run is the
    best one's; `run.starts` has them all. Callbacks see arrays of shape (starts, epochs), NaN after a start has stopped.

    resume: a `Run`, or the path of one that `run.save(path)` wrote, to go on with, given the same arguments: up to `epochs` in
    all, to the same bits as a run that never stopped. (After Ctrl-C in the middle of an epoch it goes on with the next one.)
    precision: "bf16" or "f16" for mixed precision: parameters, optimizer states, losses and all sums stay float32, but the
    operands of the network's matrix products are rounded to bfloat16 or float16, and what the backward pass needs of the network
    is held so, in half the memory. bfloat16 is the faster where the processor has AVX512-BF16. float16 is finer but reaches to
    65504 only: the loss is scaled, by a factor that halves, the update left out, when a gradient is not finite and doubles after
    2,000 good updates. The returned network is float32.

    Raises `DataError` for unusable data and `ModelError` for settings that do not fit.
    """
    callbacks = check_arguments(net, dtype, callbacks)
    check_whole("epochs", epochs, 1)
    check_whole("starts", starts, 1)
    check_whole("seed", seed, 0)
    if batch_size is not None:
        check_whole("batch_size", batch_size, 1, ", or None for the full batch")
    if early_stopping is not None:
        check_whole("early_stopping", early_stopping, 1, ", or None to run all epochs")
    if starts > 1 and net.initialized:
        raise ModelError(f"starts={starts} draws {starts} initial points, but this network has its parameters; give a fresh one")
    nets = [net] if net.initialized else [net.init(seed + i, dtype) for i in range(starts)]
    if resume is not None and starts > 1:
        raise ModelError("resume goes on with one run: call fit for each start in run.starts, with seed=start.seed and "
                         "validation=(X, y)")  # fmt: skip
    leaves = tree.tree_leaves(nets[0])
    kind = leaves[0].dtype if leaves else np.dtype(dtype)
    narrow = dtype_of(precision)
    if narrow is not None and kind != np.float32:
        raise ModelError(f"precision={precision!r} keeps its parameters in float32, but these are {kind}; convert them")
    loss_function, optimizer = get_loss(loss), get_optimizer(optimizer if optimizer is not None else Adam())
    points = prepare(data, sample_weight, validation, kind, seed)
    if early_stopping is not None and points.Xv is None:
        raise ModelError("early_stopping needs validation: give a fraction or (X, y)")
    batch = points.n if batch_size is None else min(int(batch_size), points.n)
    _check_fit(nets[0], points, loss_function)
    settings = Settings(
        loss_function, optimizer, batch, bool(shuffle), min(int(epochs), MOST_EPOCHS), early_stopping,
        loss_function is cross_entropy and points.y.ndim == 1, narrow,
    )  # fmt: skip
    return _Driver(nets, points, settings, int(epochs), int(seed), callbacks, progress, compiled).run(
        resume.progress if isinstance(resume, Run) else resume
    )


class _Driver:
    """Calls the program for a stretch of epochs at a time and gathers the history of each start."""

    def __init__(
        self, nets: list, points: Data, settings: Settings, epochs: int, seed: int, callbacks: list, progress: bool,
        compiled: bool,
    ):  # fmt: skip
        self.nets, self.points, self.settings, self.epochs, self.seed = nets, points, settings, epochs, seed
        self.callbacks, self.progress, self.compiled = callbacks, progress, compiled
        self.many = len(nets) > 1
        self.rows: list[dict[str, list[np.ndarray]]] = [{} for _ in nets]
        self.done = [0] * len(nets)
        self.seconds = 0.0
        self.interrupted = False

    def run(self, resume: Any = None) -> Run:
        from retrograde.train.progress import progress_bar

        p, settings = self.points, self.settings
        program = (make_many if self.many else make_program)(settings)
        carries = [start(n, settings, random.key(self.seed + i), p.Xv is not None) for i, n in enumerate(self.nets)]
        if resume is not None:
            carries = [self._take_up(resumed(resume, carries[0]))]
        arrays = (p.X, p.y, p.weight, p.Xv, p.yv)
        began = time.perf_counter()
        native = jit(program, flush_subnormals=True) if self.compiled else None
        plan = native.lower(self._join(carries), *arrays, np.int64(0)) if native is not None else None
        compile_seconds = time.perf_counter() - began
        spare: list[np.ndarray] | None = None  # fresh memory is slow to write first, so stretches take turns between two sets
        stretch = 1 if self.progress or self.callbacks else self.epochs
        reached = first = max(self.done)
        with progress_bar(self.progress, self.epochs) as show:
            try:
                while reached < self.epochs and not self.interrupted:
                    limit = min(reached + min(stretch, settings.length), self.epochs)
                    given = self._join(carries)
                    spare = spare or [np.array(leaf) for leaf in tree.tree_leaves(given)]
                    began = time.perf_counter()
                    if native is None:
                        with np.errstate(all="ignore") if settings.narrow is not None else nullcontext():
                            found, stopped = program(given, *arrays, np.int64(limit)), False
                    else:
                        found, stopped = native.run_interruptible(given, *arrays, np.int64(limit), into=spare)
                        mine = self.many or reached > first  # not the caller's network
                        spare = [np.asarray(leaf) for leaf in tree.tree_leaves(given)] if mine else None
                    took = time.perf_counter() - began
                    carries = self._gather(carries, *self._part(found), took)
                    self.interrupted = stopped
                    finished, reached = max(self.done) - reached, max(self.done)
                    if finished:
                        show(reached, self._history(), sum(map(self._updates, range(len(self.nets)))) / self.seconds)
                    if all(map(self._ended, carries)) or self._called_back():
                        break
                    if self.progress and not self.callbacks:  # come back about ten times a second
                        stretch = max(1, int(finished * 0.1 / max(took, 1e-6)))
            except KeyboardInterrupt:  # between two stretches: what is finished is whole
                if not any(self.done):
                    raise
                self.interrupted = True
        return self._result(carries, compile_seconds, plan)

    def _take_up(self, progress: Progress) -> Any:
        """Begin where another run stopped; returns its carry."""
        self.rows = [{name: [values] for name, values in progress.rows.items()}]
        self.done, self.seconds = [int(progress.carry["epoch"])], progress.seconds
        return progress.carry

    def _join(self, carries: list[Any]) -> Any:
        """The carries of all starts as one, stacked along a first axis where there are many."""
        return tree.tree_map(lambda *leaves: np.stack(leaves), *carries) if self.many else carries[0]

    def _part(self, found: Any) -> tuple[list[Any], list[Any]]:
        """The carries and the history rows of each start."""
        if not self.many:
            return [found[0]], [found[1]]
        carries, rows = found

        def of_start(i: int, whole: Any) -> Any:
            return tree.tree_map(lambda leaf: leaf[i], whole)

        starts = range(len(self.nets))
        return [of_start(i, carries) for i in starts], [of_start(i, rows) for i in starts]

    def _ended(self, carry: Any) -> bool:
        """Whether early stopping ended this start."""
        return self.settings.patience is not None and int(carry.get("wait", 0)) >= self.settings.patience

    def _gather(self, old: list[Any], new: list[Any], rows: list[Any], took: float) -> list[Any]:
        """Take in what a stretch gave to each start that was still going on; returns the carries to go on from."""
        self.seconds += took
        result = []
        for i, (before, after) in enumerate(zip(old, new)):
            finished = int(after["epoch"]) - self.done[i]
            if self._ended(before) or finished <= 0:  # it had stopped, or Ctrl-C came before its turn
                result.append(before)
                continue
            for name, values in rows[i].items():
                self.rows[i].setdefault(name, []).append(np.asarray(values[:finished], np.float64))
            self.done[i] += finished
            result.append(after)
        return result

    def _called_back(self) -> bool:
        answers = [callback(self._history()) for callback in self.callbacks]  # each is asked, whatever the others say
        return any(answer is True for answer in answers)

    def _history(self) -> dict[str, np.ndarray]:
        """What callbacks see: one array a figure, of all starts where there are many."""
        each = [self._history_of(i) for i in range(len(self.nets)) if self.done[i]]
        if not self.many:
            return each[0]
        longest = max(self.done)
        return {
            name: np.stack([np.pad(h[name], (0, longest - len(h[name])), constant_values=np.nan) for h in each])
            for name in each[0]
        }

    def _history_of(self, i: int) -> dict[str, np.ndarray]:
        return {name: np.concatenate(parts) for name, parts in self.rows[i].items() if name != "seen"}

    def _updates(self, i: int) -> int:
        return int(sum(np.ceil(part / self.settings.batch).sum() for part in self.rows[i].get("seen", [])))

    def _result(self, carries: list[Any], compile_seconds: float, plan: Any) -> Run:
        price = _price(self.nets[0], self.points, self.settings)
        runs = [self._run_of(i, c, compile_seconds, plan, price) for i, c in enumerate(carries) if self.done[i]]
        return runs[0] if not self.many else best_of(runs)

    def _run_of(self, i: int, carry: Any, compile_seconds: float, plan: Any, price: tuple[float, int]) -> Run:
        settings, best = self.settings, None
        model = carry["params"]
        if "best" in carry and int(carry["best_epoch"]) > 0:
            model, best = carry["best"], int(carry["best_epoch"])
        rows = {name: np.concatenate(parts) for name, parts in self.rows[i].items()}
        return Run(
            progress=Progress(carry, rows, self.seconds),
            model=model, history=self._history_of(i), seed=self.seed + i, points=self.points.n, batch_size=settings.batch,
            updates=self._updates(i), seconds=self.seconds, compile_seconds=compile_seconds, interrupted=self.interrupted,
            optimizer=settings.optimizer, optimizer_state=carry["state"], best_epoch=best, flops_per_update=price[0],
            held_bytes=price[1], program=plan, precision=None if settings.narrow is None else settings.narrow.name,
            skipped_updates=int(carry["scaling"]["skipped"]) if carry["scaling"] is not None else 0,
        )  # fmt: skip


def _price(net: Any, points: Data, settings: Settings) -> tuple[float, int]:
    """Floating-point operations of one gradient of a batch, and bytes that its backward pass needs kept."""
    x, y = points.X[: settings.batch], points.y[: settings.batch]

    gradient, held = make_gradient(settings.loss, settings.narrow), []

    def priced(params: Any, x: Any, y: Any) -> Any:
        """The gradient; traced, so that the forward pass behind what is held is not computed."""
        held.extend(held_types(settings.loss, settings.narrow)(params, x, y))
        return gradient(params, x, y, None, None)

    graph = trace(priced)(net, x, y)
    flops = sum(
        eq.primitive.count_flops([a.type for a in eq.inputs], [o.type for o in eq.outputs], eq.params) for eq in graph.equations
    )
    return flops, sum(t.nbytes for t in held)


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
        if points.weight is not None:
            check_takes_weights(loss)
    check_targets(loss, points.y)
    if points.yv is not None:
        check_targets(loss, points.yv)
    if np.shape(value) != ():
        raise ModelError(f"the loss must return one number; it returned shape {np.shape(value)}: take np.mean of it")
