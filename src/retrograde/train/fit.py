"""`fit`: train a network, the whole run as one native program."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from retrograde import tree
from retrograde.errors import DataError, ModelError
from retrograde.nn import partition
from retrograde.nn.losses import check_targets, cross_entropy, get_loss
from retrograde.optim import Adam, get_optimizer
from retrograde.optim.optimizers import wants_objective
from retrograde.train.callbacks import Every
from retrograde.train.data import Data, check_alike, check_arguments, check_points_first, check_takes_weights, check_whole
from retrograde.train.driver import Driver
from retrograde.train.folder import Checkpoints, get_folder
from retrograde.train.given import Pass, gather
from retrograde.train.gradient import dtype_of
from retrograde.train.metrics import columns, metrics_of
from retrograde.train.program import Settings
from retrograde.train.programs import Programs
from retrograde.train.regularize import Penalty, check_regularization
from retrograde.train.replay import told
from retrograde.train.run import Run
from retrograde.train.stepped import SteppedDriver
from retrograde.train.stopping import EarlyStopping, get_stopping
from retrograde.train.watch import Watch, check_watch

MOST_EPOCHS = 1024  # epochs in one call of native code: only the length of its history buffer


def fit(
    net: Any,
    data: Any,
    *more: Any,
    loss: str | Callable = "mse",
    optimizer: Any = None,
    batch_size: int | None = 32,
    epochs: int = 10,
    shuffle: bool = True,
    sample_weight: Any = None,
    validation: Any = None,
    early_stopping: int | Mapping | EarlyStopping | None = None,
    metrics: Iterable[str | Callable] | Mapping[str, Callable] = (),
    train_metrics: bool = False,
    callbacks: Iterable[Callable] = (),
    starts: int = 1,
    seed: int = 0,
    progress: bool = False,
    compiled: bool | Programs = True,
    dtype: Any = np.float32,
    resume: Any = None,
    precision: str | None = None,
    l1: float = 0.0,
    l2: float = 0.0,
    penalty: Callable | None = None,
    mixup: float | None = None,
    augment: Callable | None = None,
    folder: Any = None,
    checkpoint: Mapping | Checkpoints | None = None,
    target: str | Sequence[str] | None = None,
    chunk_rows: int | None = None,
    watch: Sequence[str] | Watch | None = None,
) -> Run:
    """Train `net` on `data = (X, y)` and return a `Run`.

    loss: a name ("mse", "mae", "huber", "cross_entropy", "binary_cross_entropy", "hinge", "poisson") or any
    f(prediction, target) in NumPy that returns a 0-d array. optimizer: an object of `retrograde.optim` (or of your own) or
    a name; by default Adam(1e-3). batch_size: points an update; None is the full batch, which `LBFGS` wants, 1 is pure SGD; the
    last batch of an epoch may be smaller, no point is dropped. validation: a fraction of the data (of integer labels, each
    class gives its share), or (X, y). early_stopping: epochs to wait for a better validation loss; the best parameters are
    kept; or an `EarlyStopping` (or a dict of its fields) that watches another column of the history. callbacks: functions of the
    history so far (a dict of arrays), called after each epoch; True ends the run. One that takes two arguments is given the `Run`
    so far, too; one that has a method close() is closed at the end. A network without parameters is initialized from `seed`;
    one with parameters goes on from them, in their dtype. The same seed gives the same bits. Subnormal numbers count as zero: a
    network that has learned its data by heart has many, and they are slow. Ctrl-C ends the run and returns what there is; of a
    run that an error ends, such as one of a callback, the error says what becomes of it.
    `compiled=False` interprets the same program in NumPy; a `Programs` keeps the native one for further calls.

    starts: how many initial points to train from, all in one program that spreads over the cores. Start i is the run of
    seed + i, with its own shuffle, early stop and history (on the validation points of `seed`). The returned run is the
    best one's; `run.starts` has them all. Callbacks see arrays of shape (starts, epochs), NaN after a start has stopped. A stream
    is read once for all starts: they see its points in one order, that of `seed`.

    resume: a `Run`, the path of one that `run.save(path)` wrote, or a folder, to go on with, given the same arguments: up to
    `epochs` in all, to the same bits as a run that never stopped. (A `Run` that Ctrl-C ended in the middle of an epoch goes on
    with the next one; its folder ends before that epoch. With a stream or `Every`, both go on with the next update.)
    precision: "bf16" or "f16" for mixed precision: parameters, optimizer states, losses and all sums stay float32, but the
    operands of the network's matrix products are rounded to bfloat16 or float16, and what the backward pass needs of the network
    is held so, in half the memory. bfloat16 is the faster where the processor has AVX512-BF16. float16 is finer but reaches to
    65504 only: the loss is scaled, by a factor that halves, the update left out, when a gradient is not finite and doubles after
    2,000 good updates. The returned network is float32.

    l1, l2: l1 sum |w| + l2 sum w^2 is added to the loss, w being the trained weights (arrays of two axes or more; not biases, not
    the scales of norms). penalty: f(parameters, (x, y, weight)), of the trained parameters and a batch (weight may be None), is
    added, too. history["loss"] contains both, val_loss does not. An optimizer's weight_decay is another thing: it pulls at every
    parameter, as a term decay / 2 sum p^2 would or, in AdamW, past the moments; and no loss contains it.
    mixup: alpha of H. Zhang et al. (2018): each batch is mixed with itself in another order, share x + (1 - share) x' with a
    share drawn from Beta(alpha, alpha); targets alike, of integer labels the losses. augment: f(x, key), a function in NumPy (or
    of `nn.augment`) that changes a batch before that, with random numbers of its own in each. Validation sees neither.

    metrics: scikit-learn's names ("f1_macro", "roc_auc", "r2", ...; also "mse", "mae", "top_5_accuracy") or functions
    f(y_true, y_pred) of labels or values, or a dict of functions of (outputs, target) by name, for columns "val_<name>" of the
    history; with train_metrics=True those of all training points too, after each epoch, as "<name>". What can be traced is a part
    of the program, the rest is computed between epochs; of a stream, all but means over its points want its outputs in memory.
    Sample weights do not count.

    folder: where the run writes checkpoints (when is said by `checkpoint`: a `Checkpoints` or a dict of its fields), metrics.csv,
    log.jsonl and config.json, after each epoch, or ten times a second where epochs are shorter. resume=folder goes on with a run
    that ended in any way, to the same bits; folder=..., resume=True begins it or goes on with it. One process holds a folder at
    a time.

    data may also be a table with `target=` the name or names of what to predict (pandas, polars, Arrow, the path of a CSV or
    Parquet file or of a folder of Parquet files; `sample_weight` may be a name, too, and all other columns are features), or
    batches (x, y) or (x, y, weight) from an iterable or from a function that returns an iterator. Memory-mapped arrays, sparse
    matrices and Parquet files of more than 1 GiB, and batches, are streamed: read chunk by chunk, `chunk_rows` points each (by
    default 64 MiB), while native code trains on the chunk before, and shuffled within it. `chunk_rows` streams smaller data, too.
    See `docs/data.md`. `Every(n, f)` among the callbacks is called after each n updates.

    watch: names of values, cotangents and parameters ("h1", "dl/df0", "dl/dΩ0", "update/0.weight") whose statistics are read out
    of the program: for each epoch those of its first update, or what a `Watch` says, in `run.watched` (`docs/training.md`).

    Raises `DataError` for unusable data and `ModelError` for settings that do not fit.
    """
    if more:
        raise TypeError("the data are one argument: fit(net, (X, y), ...), or fit(net, table, target='column'); all else is "
                        f"named, such as loss=...; given were {1 + len(more)} beside the network")  # fmt: skip
    callbacks = check_arguments(net, dtype, callbacks)
    check_whole("epochs", epochs, 1)
    check_whole("starts", starts, 1)
    check_whole("seed", seed, 0)
    if batch_size is not None:
        check_whole("batch_size", batch_size, 1, ", or None for the full batch")
    if starts > 1 and net.initialized:
        raise ModelError(f"starts={starts} draws {starts} initial points, but this network has its parameters; give a fresh one")
    nets = [net] if net.initialized else [net.init(seed + i, dtype) for i in range(starts)]
    kind = next((leaf.dtype for leaf in tree.tree_leaves(nets[0]) if leaf.dtype.kind not in "iub"), np.dtype(dtype))
    narrow = dtype_of(precision)
    if narrow is not None and kind != np.float32:
        raise ModelError(f"precision={precision!r} keeps its parameters in float32, but these are {kind}; convert them")
    loss_function, optimizer = get_loss(loss), get_optimizer(optimizer if optimizer is not None else Adam())
    if chunk_rows is not None:
        check_whole("chunk_rows", chunk_rows, 1, ", or None for 64 MiB of points")
    how = Pass(batch_size, epochs, bool(shuffle), seed, chunk_rows)
    given = gather(nets[0], data, target, sample_weight, validation, kind, how)
    points = given.points
    if wants_objective(optimizer) and (given.stream is not None or given.batch < points.n):
        among = "a stream" if given.stream is not None else f"{points.n} points"
        raise ModelError(f"{type(optimizer).__name__} searches for a lower loss, which must be that of all points, in memory: "
                         f"give batch_size=None; it is {batch_size}, of {among}. For mini-batches take Adam")  # fmt: skip
    if shuffle or given.stream is not None or given.batch < points.n:
        check_points_first(nets[0])
    stepped = given.streamed or any(isinstance(callback, Every) for callback in callbacks)
    recorded = {"target": target, "chunk_rows": chunk_rows, "sample_weight": points.weight is not None, "l1": l1, "l2": l2,
                "penalty": penalty}  # fmt: skip
    watch = check_watch(watch, stepped, precision)
    penalty = check_regularization(l1, l2, penalty, mixup, augment, partition(nets[0])[0])
    check = partial(_check_fit, loss_function, penalty)
    scores = metrics_of(metrics, train_metrics, loss_function, points, check(nets[0], points))
    settings = Settings(
        loss=loss_function, optimizer=optimizer, batch=given.batch, shuffle=bool(shuffle), length=min(int(epochs), MOST_EPOCHS),
        stopping=get_stopping(early_stopping, columns(scores, train_metrics, points.Xv is not None)),
        metrics=scores, train_metrics=bool(train_metrics), narrow=narrow,
        penalty=penalty, mixup=mixup, augment=augment, watch=watch,
    )  # fmt: skip
    place, source = get_folder(folder, checkpoint, resume)
    programs = compiled if isinstance(compiled, Programs) else Programs() if compiled else None
    how_long = settings, int(epochs), int(seed), callbacks, progress, programs, place, recorded
    if stepped:
        driver: Driver = SteppedDriver(nets, points, *how_long, stream=given.stream, held=given.held, check=check)
    else:
        driver = Driver(nets, points, *how_long)
    return told(driver.run(source.all_progress if isinstance(source, Run) else source))


def _check_fit(loss: Callable, penalty: Penalty | None, net: Any, points: Data) -> Any:
    """The output of the network for one point, which goes through the loss: shapes that do not fit are told before compiling."""
    check_alike(points)
    with np.errstate(all="ignore"):
        try:
            prediction = net(points.X[:1])
        except ModelError as error:
            raise ModelError(f"the network does not take the data: {error}") from None
        if loss is cross_entropy and points.y.ndim == 1:
            if points.y.dtype.kind not in "iu":
                raise DataError("cross_entropy wants integer labels 0, 1, ...; y holds floats or booleans: y.astype(int)")
            low, high, classes = int(points.y.min()), int(points.y.max()), np.shape(prediction)[-1]
            if points.yv is not None:
                low, high = min(low, int(points.yv.min())), max(high, int(points.yv.max()))
            if low < 0 or high >= classes:
                raise DataError(f"labels run from {low} to {high}, but the network has {classes} outputs: 0 to {classes - 1} fit")
        value = loss(prediction, points.y[:1])
        if points.weight is not None:
            check_takes_weights(loss)
        one = (points.X[:1], points.y[:1], None if points.weight is None else points.weight[:1])
        if penalty is not None and (shape := np.shape(penalty(partition(net)[0], one))) != ():
            raise ModelError(f"the penalty must return one number; it returned shape {shape}: take np.sum of it")
    check_targets(loss, points.y)
    if points.yv is not None:
        check_targets(loss, points.yv)
    if np.shape(value) != ():
        raise ModelError(f"the loss must return one number; it returned shape {np.shape(value)}: take np.mean of it")
    return prediction
