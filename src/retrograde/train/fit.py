"""`fit`: train a network, the whole run as one native program."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from retrograde import tree
from retrograde.errors import DataError, ModelError
from retrograde.nn.losses import check_targets, cross_entropy, get_loss
from retrograde.optim import Adam, get_optimizer
from retrograde.train.data import (
    Data,
    check_arguments,
    check_metrics,
    check_monitor,
    check_takes_weights,
    check_whole,
    prepare,
)
from retrograde.train.driver import Driver
from retrograde.train.gradient import dtype_of
from retrograde.train.program import Settings
from retrograde.train.programs import Programs
from retrograde.train.run import Run
from retrograde.train.stopping import EarlyStopping

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
    early_stopping: int | EarlyStopping | None = None,
    metrics: Mapping[str, Callable] | None = None,
    penalty: Callable | None = None,
    callbacks: Iterable[Callable] = (),
    starts: int = 1,
    seed: int = 0,
    progress: bool = False,
    compiled: bool | Programs = True,
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
    kept; or an `EarlyStopping`, which may watch another figure. metrics: functions of (target, prediction) by name, taken of the
    validation points after each epoch as "val_<name>". penalty: a function of (parameters, points) added to the loss of each
    batch of so many points (or so great a sum of weights). callbacks: functions of the history so far (a dict of arrays), called
    after each epoch; True ends the run. A
    network without parameters is initialized from `seed`; one with parameters goes on from them, in their dtype. The same
    seed gives the same bits. Subnormal numbers count as zero: a network that has learned its data by heart has many, and they
    are slow. Ctrl-C ends the run and returns what there is. `compiled=False` interprets the same program in NumPy;
    a `Programs` keeps the native one for further calls.

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
    stopping = early_stopping if isinstance(early_stopping, EarlyStopping | None) else EarlyStopping(early_stopping)
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
    metrics = check_metrics(metrics, points, loss_function is cross_entropy and points.y.ndim == 1)
    check_monitor(stopping, points, metrics)
    batch = points.n if batch_size is None else min(int(batch_size), points.n)
    _check_fit(nets[0], points, loss_function, penalty)
    settings = Settings(
        loss_function, optimizer, batch, bool(shuffle), min(int(epochs), MOST_EPOCHS), stopping, tuple(metrics.items()),
        narrow, penalty,
    )  # fmt: skip
    programs = compiled if isinstance(compiled, Programs) else Programs() if compiled else None
    return Driver(nets, points, settings, int(epochs), int(seed), callbacks, progress, programs).run(
        resume.progress if isinstance(resume, Run) else resume
    )


def _check_fit(net: Any, points: Data, loss: Callable, penalty: Callable | None) -> None:
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
        if penalty is not None and (shape := np.shape(penalty(net, 1.0))) != ():
            raise ModelError(f"the penalty must return one number; it returned shape {shape}: take np.sum of it")
    check_targets(loss, points.y)
    if points.yv is not None:
        check_targets(loss, points.yv)
    if np.shape(value) != ():
        raise ModelError(f"the loss must return one number; it returned shape {np.shape(value)}: take np.mean of it")
