"""A sweep of 20 learning rates: seconds in all, against scikit-learn, PyTorch and JAX one rate after another.

    python benchmarks/sweep.py [--rounds 7] [--quick] [--peers retrograde,sklearn]

30-64-32-2 with ReLU, batch 32, Adam, 1,024 points and 256 to validate on, 20 epochs at each of 20 learning rates from 1e-4 to
1e-1, float32, the first parameters drawn anew for each. Times are those of all 20 trainings, from the first call on: tracing and
compiling, where there is any, lie inside. retrograde is `rg.sweep` of a function that calls `rg.fit`, which measures loss and
accuracy of the validation points after each epoch: "nothing kept" compiles its program, without a cache on disk, "from the disk"
loads the code an earlier process made, and "program kept" finds it in memory (`compiled=Programs()`). scikit-learn makes and
fits an `MLPClassifier` a rate (for two classes one logistic output) and scores it once, as GridSearchCV does; PyTorch trains
eagerly, with its fused Adam, on one thread, which is its fastest here, and scores once; JAX jits one scan over an epoch, of which
the rate is an argument, and scores once. "Best" is the best validation accuracy at the end of a training.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

import retrograde as rg
from harness import Row, clock, make_peers, quartiles, run_script
from mlp import make_task
from peers import Task, train_torch, without_cache
from retrograde import nn, optim
from retrograde.train import Programs

UNIT = "s for 20 trainings"
RATES = np.geomspace(1e-4, 1e-1, 20).tolist()
EPOCHS = 20
NAMES = {
    "retrograde": "retrograde, rg.sweep, nothing kept",
    "retrograde-disk": "retrograde, code from the disk",
    "retrograde-kept": "retrograde, program kept",
    "sklearn": "scikit-learn, MLPClassifier",
    "torch-1": "PyTorch, eager, one thread",
    "jax-scan": "JAX, lax.scan over an epoch",
}
Sweeping = Callable[[], float]  # the best validation accuracy


def accuracy(outputs: np.ndarray, y: np.ndarray) -> float:
    """The part of points whose largest output is the right one."""
    return float(np.mean(np.argmax(outputs, axis=1) == y))


def make_retrograde(task: Task, held: Task, programs: Programs | bool) -> Sweeping:
    """`rg.sweep`, with a program of its own each time or one that is kept."""

    def train(lr: float, **how: Any) -> Any:
        return rg.fit(
            task.describe(), (task.X, task.Y), loss="cross_entropy", optimizer=optim.Adam(lr), batch_size=task.batch,
            epochs=EPOCHS, validation=(held.X, held.Y), **how,
        )  # fmt: skip

    def sweep() -> float:
        found = rg.sweep(train, {"lr": RATES}, method="grid", compiled=programs)
        assert all(trial.epochs == EPOCHS for trial in found), "epochs are missing"
        return max(trial.figures["val_accuracy"] for trial in found)

    return sweep


def make_sklearn(task: Task, held: Task) -> Sweeping:
    """A fresh estimator a rate."""
    from sklearn.neural_network import MLPClassifier

    def fit(lr: float) -> float:
        model = MLPClassifier(
            task.sizes[1:-1], batch_size=task.batch, learning_rate_init=lr, alpha=0.0, max_iter=EPOCHS, n_iter_no_change=EPOCHS,
        )  # fmt: skip
        return model.fit(task.X, task.Y).score(held.X, held.Y)

    def sweep() -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return max(map(fit, RATES))

    return sweep


def make_torch(task: Task, held: Task) -> Sweeping:
    """A fresh network and optimizer a rate."""
    import torch

    X, Y = torch.from_numpy(task.X), torch.from_numpy(task.Y)

    def fit(lr: float) -> float:
        net = torch.nn.Sequential(*task.torch_layers())
        criterion = torch.nn.CrossEntropyLoss()
        optimizer = torch.optim.Adam(net.parameters(), lr=lr, fused=True)
        train_torch(optimizer, lambda x, y: criterion(net(x), y), (X, Y), task.batch, 1, EPOCHS, True)
        with torch.no_grad():
            return accuracy(net(torch.from_numpy(held.X)).numpy(), held.Y)

    return lambda: max(map(fit, RATES))


def make_jax(task: Task, held: Task) -> Sweeping:
    """One program for all rates, an epoch a call; made anew for each sweep, as a process would."""
    import jax
    import jax.numpy as jnp
    import optax

    jax.config.update("jax_platforms", "cpu")

    def loss(params: Any, x: Any, y: Any) -> Any:
        return optax.softmax_cross_entropy_with_integer_labels(task.jax_forward(params, x), y).mean()

    def step(rate: Any, carry: Any, batch: Any) -> Any:
        params, state = carry
        changes, state = optax.adam(rate).update(jax.grad(loss)(params, *batch), state, params)
        return (optax.apply_updates(params, changes), state), None

    def epoch(carry: Any, rate: Any, X: Any, Y: Any, key: Any) -> Any:
        order = jax.random.permutation(key, len(X)).reshape(-1, task.batch)
        return jax.lax.scan(lambda c, at: step(rate, c, (X[at], Y[at])), carry, order)[0]

    def sweep() -> float:
        by_epoch, X, Y = jax.jit(partial(epoch), donate_argnums=0), jnp.array(task.X), jnp.array(task.Y, np.int32)

        def fit(number: int, rate: float) -> float:
            net = task.describe().init(number)
            params = [(jnp.array(layer.weight), jnp.array(layer.bias)) for layer in net if isinstance(layer, nn.Linear)]
            carry = params, optax.adam(rate).init(params)
            for key in jax.random.split(jax.random.key(number), EPOCHS):
                carry = by_epoch(carry, rate, X, Y, key)
            return accuracy(np.asarray(task.jax_forward(carry[0], jnp.array(held.X))), held.Y)

        return max(fit(i, rate) for i, rate in enumerate(RATES))

    return sweep


def from_disk(task: Task, held: Task) -> Sweeping:
    """`rg.sweep` whose code an earlier sweep left on the disk; the folder is this benchmark's own."""
    sweep = make_retrograde(task, held, True)
    sweep()
    return sweep


def measure(rounds: int = 7, *, quick: bool = False, peers: Sequence[str] | None = None) -> list[Row]:
    """The rows of the table, the peers in turn round by round; `quick` takes two rounds at most."""
    whole = make_task((30, 64, 32, 2), 1280, 32)
    parts = (slice(0, 1024), slice(1024, 1280))
    task, held = (Task(whole.sizes, whole.X[part], whole.Y[part], 32, "cross_entropy", True, 1e-3) for part in parts)
    makers: dict[str, Callable[[], Any]] = {
        "retrograde": lambda: partial(without_cache, make_retrograde(task, held, True)),
        "retrograde-disk": partial(from_disk, task, held),
        "retrograde-kept": partial(make_retrograde, task, held, Programs()),
        "sklearn": partial(make_sklearn, task, held),
        "torch-1": partial(make_torch, task, held),
        "jax-scan": partial(make_jax, task, held),
    }
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"RETROGRADE_CACHE_DIR": folder, "RETROGRADE_CACHE": "1"}
        found = make_peers(makers, peers or list(NAMES))
        best = {name: sweep() for name, sweep in found.items()}  # and the first touches
        times: dict[str, list[float]] = {name: [] for name in found}
        for _ in range(min(rounds, 2) if quick else rounds):
            for name, sweep in found.items():
                times[name].append(clock(sweep))
    base = quartiles(times["retrograde"])[0] if "retrograde" in times else None
    rows = []
    for name, seconds in times.items():
        median, low, high = quartiles(seconds)
        ratio = median / base if base else None
        rows.append(Row("30-64-32-2, batch 32, Adam, 20 epochs at each of 20 rates", NAMES[name], median, low, high, ratio,
                        {"best": f"{best[name]:.3f}"}, name))  # fmt: skip
    return rows


if __name__ == "__main__":
    run_script(__doc__, NAMES, measure, UNIT)
