"""`fit`: train a network, the whole run as one native program."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from retrograde import tree
from retrograde.errors import DataError, ModelError
from retrograde.nn.losses import check_targets, cross_entropy, get_loss
from retrograde.optim import Adam, get_optimizer
from retrograde.train.callbacks import Every
from retrograde.train.data import Data, check_alike, check_arguments, check_takes_weights, check_whole
from retrograde.train.driver import Driver
from retrograde.train.given import Pass, gather
from retrograde.train.gradient import dtype_of
from retrograde.train.program import Settings
from retrograde.train.run import Run
from retrograde.train.stepped import SteppedDriver

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
    target: str | Sequence[str] | None = None,
    chunk_rows: int | None = None,
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

    data may also be a table with `target=` the name or names of what to predict (pandas, polars, Arrow, the path of a CSV or
    Parquet file or of a folder of Parquet files; `sample_weight` may be a name, too, and all other columns are features), or
    batches (x, y) or (x, y, weight) from an iterable or from a function that returns an iterator. Memory-mapped arrays, sparse
    matrices and Parquet files of more than 1 GiB, and batches, are streamed: read chunk by chunk, `chunk_rows` points each (by
    default 64 MiB), while native code trains on the chunk before, and shuffled within it. `chunk_rows` streams smaller data, too.
    See `docs/data.md`. `Every(n, f)` among the callbacks is called after each n updates.

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
    if early_stopping is not None and validation is None:
        raise ModelError("early_stopping needs validation: give a fraction or (X, y)")
    if chunk_rows is not None:
        check_whole("chunk_rows", chunk_rows, 1, ", or None for 64 MiB of points")
    how = Pass(batch_size, epochs, bool(shuffle), seed, chunk_rows)
    given = gather(nets[0], data, target, sample_weight, validation, kind, how)
    points = given.points
    settings = Settings(
        loss_function, optimizer, given.batch, bool(shuffle), min(int(epochs), MOST_EPOCHS), early_stopping,
        loss_function is cross_entropy and points is not None and points.y.ndim == 1, narrow,
    )  # fmt: skip
    how_long = settings, int(epochs), int(seed), callbacks, progress, compiled
    if points is None or given.streamed or any(isinstance(callback, Every) for callback in callbacks):
        if starts > 1:
            raise ModelError(f"starts={starts} trains on points in memory and without Every: a stream is read for one start")
        check = partial(_check_fit, loss_function)
        driver: Driver = SteppedDriver(nets, points, *how_long, stream=given.stream, held=given.held, check=check)
    else:
        _check_fit(loss_function, nets[0], points)
        driver = Driver(nets, points, *how_long)
    return driver.run(resume.progress if isinstance(resume, Run) else resume)


def _check_fit(loss: Callable, net: Any, points: Data) -> None:
    """Run one point through the network and the loss: shapes that do not fit are told before compiling."""
    check_alike(points)
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
