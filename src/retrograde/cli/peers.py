"""The network of `retrograde bench` as other libraries train it: scikit-learn, and PyTorch and JAX where they are installed.

Each peer has the same layers, Adam and shuffled batches, written as its users write them: PyTorch's eager loop, a jitted update
in JAX. None of them is a dependency but scikit-learn.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

BATCH = 1024  # rows of a batch of predictions
RATE = 1e-3


@dataclass(frozen=True)
class Work:
    """What is measured: layers of these `sizes` with ReLU between them, on (x, y); each figure takes so many `seconds`."""

    sizes: list[int]
    classes: bool
    x: np.ndarray
    y: np.ndarray
    batch: int
    seconds: float

    @property
    def updates(self) -> int:
        """Of an epoch."""
        return -(-len(self.x) // self.batch)

    def figures(self, epoch: Callable[[], Any], predict: Callable[[np.ndarray], Any]) -> dict[str, float]:
        """Training by `epoch()`, after a first one to warm up, and predictions by `predict(rows)`."""
        epoch()
        epochs = calls_per_second(epoch, self.seconds)
        pace = {"updates_per_second": self.updates * epochs, "examples_per_second": len(self.x) * epochs}
        return pace | self.predictions(predict)

    def predictions(self, predict: Callable[[np.ndarray], Any]) -> dict[str, float]:
        """Of a batch at once, and of one row at a time."""
        rows = np.resize(self.x, (BATCH, self.sizes[0]))
        return {
            "predictions_per_second": BATCH * calls_per_second(lambda: predict(rows), self.seconds / 2),
            "single_predictions_per_second": calls_per_second(lambda: predict(rows[:1]), self.seconds / 2),
        }  # fmt: skip


def calls_per_second(f: Callable[[], Any], seconds: float) -> float:
    """How often `f` runs in a second: the mean over so many seconds, after one call that does not count."""
    f()
    calls, began = 0, time.perf_counter()
    while (took := time.perf_counter() - began) < seconds or not calls:
        f()
        calls += 1
    return calls / took


def sklearn(work: Work) -> dict[str, float]:
    """scikit-learn's MLP, by `partial_fit`, which is an epoch."""
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    make = MLPClassifier if work.classes else MLPRegressor
    y = work.y if work.classes else work.y[:, 0]
    net = make(hidden_layer_sizes=work.sizes[1:-1], batch_size=work.batch, alpha=0.0, learning_rate_init=RATE, random_state=0)
    more = {"classes": np.arange(work.sizes[-1])} if work.classes else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return work.figures(lambda: net.partial_fit(work.x, y, **more), net.predict)


def torch(work: Work) -> dict[str, float]:
    """PyTorch: an eager loop over shuffled batches."""
    import torch

    layers: list[Any] = []
    for fan_in, fan_out in zip(work.sizes, work.sizes[1:]):
        layers += [torch.nn.Linear(fan_in, fan_out), torch.nn.ReLU()]
    net = torch.nn.Sequential(*layers[:-1])
    optimizer = torch.optim.Adam(net.parameters(), lr=RATE)
    criterion = torch.nn.CrossEntropyLoss() if work.classes else torch.nn.MSELoss()
    x, y = torch.from_numpy(work.x), torch.from_numpy(work.y)

    def epoch() -> None:
        for rows in torch.randperm(len(x)).split(work.batch):
            optimizer.zero_grad()
            criterion(net(x[rows]), y[rows]).backward()
            optimizer.step()

    def predict(rows: np.ndarray) -> Any:
        with torch.no_grad():
            return net(torch.from_numpy(rows)).numpy()

    return work.figures(epoch, predict)


def jax(work: Work) -> dict[str, float]:
    """JAX: one jitted update, called for each shuffled batch; Adam by hand, for JAX has none."""
    import jax
    import jax.numpy as jnp

    rng = np.random.default_rng(0)
    params = [
        (jnp.asarray(rng.normal(size=(a, b)) / np.sqrt(a), jnp.float32), jnp.zeros(b, jnp.float32))
        for a, b in zip(work.sizes, work.sizes[1:])
    ]

    def forward(params: Any, x: Any) -> Any:
        for i, (w, b) in enumerate(params):
            x = (jax.nn.relu(x) if i else x) @ w + b
        return x

    def loss(params: Any, x: Any, y: Any) -> Any:
        out = forward(params, x)
        if not work.classes:
            return jnp.mean((out - y) ** 2)
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(out), y[:, None], 1))

    @jax.jit
    def update(params: Any, m: Any, v: Any, t: Any, x: Any, y: Any) -> Any:
        grads = jax.grad(loss)(params, x, y)
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, grads)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, grads)
        step = RATE * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        return jax.tree.map(lambda p, m, v: p - step * m / (jnp.sqrt(v) + 1e-8), params, m, v), m, v

    zeros = jax.tree.map(jnp.zeros_like, params)
    state, steps = [params, zeros, zeros], [0]

    def epoch() -> None:
        order = rng.permutation(len(work.x))
        for i in range(0, len(order), work.batch):
            steps[0] += 1
            rows = order[i : i + work.batch]
            state[:] = update(*state, jnp.float32(steps[0]), work.x[rows], work.y[rows])
        jax.block_until_ready(state)

    predict = jax.jit(lambda rows: forward(params, rows))
    return work.figures(epoch, lambda rows: np.asarray(predict(rows)))


PEERS: dict[str, Callable[[Work], dict[str, float]]] = {"scikit-learn": sklearn, "torch": torch, "jax": jax}
MODULES = {"scikit-learn": "sklearn", "torch": "torch", "jax": "jax"}


def installed() -> list[str]:
    """The peers that can be measured here."""
    return [name for name in PEERS if find_spec(MODULES[name]) is not None]
