"""The networks of the comparisons as each peer writes them: the same first parameters, data, optimizer and loss for all."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

import retrograde as rg
from harness import Missing, Peer, clock
from retrograde import nn, optim


@dataclass
class Task:
    """Training of a network: `loss` is "mse" or "cross_entropy" (from logits), `adam` says Adam rather than SGD.

    `activation` is "relu" or "tanh". A batch of all points is full-batch training: nothing is shuffled then.
    """

    sizes: tuple[int, ...]
    X: np.ndarray
    Y: np.ndarray
    batch: int
    loss: str
    adam: bool
    lr: float
    activation: str = "relu"
    net: Any = None

    def __post_init__(self) -> None:
        self.net = self.describe().init(0)

    def describe(self) -> Any:
        """The network without parameters."""
        layers: list[Any] = []
        for fan_in, fan_out in zip(self.sizes, self.sizes[1:]):
            layers += [nn.Linear(fan_in, fan_out), {"relu": nn.ReLU, "tanh": nn.Tanh}[self.activation]()]
        return nn.Sequential(*layers[:-1])

    @property
    def shuffled(self) -> bool:
        """Whether the order of the points matters."""
        return self.batch < len(self.X)

    @property
    def weighted(self) -> list[Any]:
        """The layers that have parameters."""
        return [layer for layer in self.net if hasattr(layer, "weight")]

    @property
    def updates(self) -> int:
        """Updates of an epoch; the batch divides the points."""
        return len(self.X) // self.batch

    @property
    def product_flops(self) -> int:
        """Floating-point operations of an update's matrix products: forward, by weights, and by inputs but the first."""
        pairs = list(zip(self.sizes, self.sizes[1:]))
        return 2 * self.batch * (3 * sum(a * b for a, b in pairs) - pairs[0][0] * pairs[0][1])

    def activate(self, x: np.ndarray) -> np.ndarray:
        """The activation, in NumPy."""
        return np.maximum(x, 0) if self.activation == "relu" else np.tanh(x)

    def forward(self, layers: Iterable[tuple[Any, Any]], x: np.ndarray) -> np.ndarray:
        """What the network of these (weight, bias), weights of shape (out, in), makes of `x`."""
        for i, (weight, bias) in enumerate(layers):
            x = (self.activate(x) if i else x) @ np.asarray(weight).T + np.asarray(bias)
        return x

    def torch_layers(self) -> list[Any]:
        """The layers as PyTorch's."""
        import torch

        activation = torch.nn.ReLU if self.activation == "relu" else torch.nn.Tanh
        pairs = [(torch.nn.Linear(layer.in_features, layer.out_features), activation()) for layer in self.weighted]
        return [layer for pair in pairs for layer in pair][:-1]

    def jax_forward(self, params: Any, x: Any) -> Any:
        """The network of these (weight, bias), in JAX."""
        import jax

        for weight, bias in params[:-1]:
            x = x @ weight.T + bias
            x = jax.nn.relu(x) if self.activation == "relu" else jax.numpy.tanh(x)
        return x @ params[-1][0].T + params[-1][1]

    def value(self, forward: Callable[[np.ndarray], np.ndarray]) -> float:
        """The loss of all points under a network, in float64."""
        f = np.asarray(forward(self.X), np.float64)
        if self.loss == "mse":
            return float(np.mean((f - self.Y) ** 2))
        f = f - f.max(1, keepdims=True)
        return float(np.mean(np.log(np.exp(f).sum(1)) - f[np.arange(len(f)), self.Y]))


def make_retrograde(task: Task) -> Peer:
    """`rg.fit`; it traces and looks up its code anew for each call, which is not in the time of training."""
    runs: list[Any] = []

    def fit(epochs: int, shuffle: bool) -> Any:
        optimizer = optim.Adam(task.lr) if task.adam else optim.SGD(task.lr)
        return rg.fit(
            task.net, (task.X, task.Y), loss=task.loss, optimizer=optimizer, epochs=epochs, shuffle=shuffle, seed=len(runs),
            batch_size=task.batch if task.shuffled else None,
        )  # fmt: skip

    compiling = without_cache(lambda: fit(1, task.shuffled).compile_seconds)

    def timed(epochs: int) -> float:
        runs.append(fit(epochs, task.shuffled))
        return runs[-1].seconds

    return Peer(
        timed, lambda: task.value(runs[-1].model), lambda epochs: task.value(fit(epochs, False).model), lambda: compiling
    )  # fmt: skip


def without_cache(f: Callable[[], Any]) -> Any:
    """`f()` with nothing taken from retrograde's cache of object code on disk."""
    before = os.environ.get("RETROGRADE_CACHE")
    os.environ["RETROGRADE_CACHE"] = "0"
    try:
        return f()
    finally:
        if before is None:
            del os.environ["RETROGRADE_CACHE"]
        else:
            os.environ["RETROGRADE_CACHE"] = before


def train_torch(
    optimizer: Any, loss: Callable, data: tuple[Any, Any], batch: int, threads: int, count: int, shuffle: bool
) -> float:  # fmt: skip
    """Seconds of so many epochs in PyTorch."""
    import torch

    def epoch() -> None:
        order = torch.randperm(len(data[0])) if shuffle else slice(None)
        for x, y in zip(*(part[order].split(batch) for part in data)):
            optimizer.zero_grad()
            loss(x, y).backward()
            optimizer.step()

    default = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return clock(lambda: [epoch() for _ in range(count)])
    finally:
        torch.set_num_threads(default)


def make_torch(task: Task, threads: int | None = None, compiled: bool = False, channels_last: bool = False) -> Peer:
    """PyTorch with its fused Adam, which is faster; shuffled by one gather an epoch, cheaper than a DataLoader by far.

    `channels_last` is the memory format of its convolutions.
    """
    import torch

    default = torch.get_num_threads()
    chosen = threads or default
    if chosen > default:
        raise Missing(f"PyTorch has {default} thread(s) here")
    X, Y = torch.from_numpy(task.X), torch.from_numpy(task.Y)
    criterion = torch.nn.MSELoss() if task.loss == "mse" else torch.nn.CrossEntropyLoss()
    compiling: list[float] = []
    net = torch.nn.Sequential(*task.torch_layers())
    net = net.to(memory_format=torch.channels_last) if channels_last else net
    call = torch.compile(net) if compiled else net
    optimizer_of = partial(torch.optim.Adam, fused=True) if task.adam else torch.optim.SGD

    def begin() -> Any:
        with torch.no_grad():
            for made, layer in zip((m for m in net if hasattr(m, "weight")), task.weighted):
                made.weight.copy_(torch.from_numpy(layer.weight))
                made.bias.copy_(torch.from_numpy(layer.bias))
        return optimizer_of(net.parameters(), lr=task.lr)

    def epochs_of(count: int, shuffle: bool) -> float:
        loss = lambda x, y: criterion(call(x), y)  # noqa: E731
        return train_torch(begin(), loss, (X, Y), task.batch, chosen, count, shuffle and task.shuffled)

    def timed(count: int) -> float:
        took = epochs_of(count, True)
        if compiled and not compiling:
            compiling.append(took)
        return took

    def value() -> float:
        with torch.no_grad():
            return task.value(lambda x: net(torch.from_numpy(x)).numpy())

    def in_order(count: int) -> float:
        epochs_of(count, False)
        return value()

    if compiled:
        try:
            timed(1)
        except Exception as error:  # the compiler of torch.compile may lack a C++ compiler or a Python version
            raise Missing(f"torch.compile fails here: {str(error).splitlines()[0]}") from None
    return Peer(timed, value, in_order, lambda: compiling[0] if compiling else None)


def make_jax(task: Task, scan: bool, unroll: int = 1) -> Peer:
    """JAX with one jitted call a step, or one a whole epoch (`lax.scan`); parameters are donated.

    Of a full batch, whose epoch is one step, the one call takes all epochs there are to do. `unroll` is that of the scan: 4
    takes a quarter off the smallest networks, and is slower than 1 from 30-64-32-2 on.
    """
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_platforms", "cpu")
    optimizer = None
    if task.adam:
        import optax

        optimizer = optax.adam(task.lr)
    n, batch = len(task.X), task.batch

    def loss(params: Any, x: Any, y: Any) -> Any:
        f = task.jax_forward(params, x)
        if task.loss == "mse":
            return jnp.mean((f - y) ** 2)
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(f), y[:, None], 1))

    def step(carry: Any, x: Any, y: Any) -> Any:
        params, held = carry
        grads = jax.grad(loss)(params, x, y)
        if optimizer is None:
            return jax.tree.map(lambda p, g: p - task.lr * g, params, grads), held
        changes, held = optimizer.update(grads, held, params)
        return jax.tree.map(lambda p, c: p + c, params, changes), held

    def epoch_of(carry: Any, X: Any, Y: Any, order: Any) -> Any:
        return jax.lax.scan(lambda c, at: (step(c, X[at], Y[at]), None), carry, order.reshape(-1, batch), unroll=unroll)[0]

    def shuffled_epoch(carry: Any, X: Any, Y: Any, key: Any) -> Any:
        return epoch_of(carry, X, Y, jax.random.permutation(key, n))

    def full_epochs(carry: Any, X: Any, Y: Any, epochs: Any) -> Any:
        return jax.lax.fori_loop(0, epochs, lambda _, c: step(c, X, Y), carry)

    def first() -> Any:
        params = [(jnp.array(layer.weight), jnp.array(layer.bias)) for layer in task.weighted]
        return params, optimizer.init(params) if optimizer is not None else ()

    X, Y = jnp.array(task.X), jnp.array(task.Y, task.Y.dtype if task.loss == "mse" else np.int32)
    hostX, hostY = task.X, np.asarray(Y)
    state: dict[str, Any] = {"key": 0}
    rng = np.random.default_rng(0)
    by_step = jax.jit(step, donate_argnums=0)
    by_epoch = jax.jit(shuffled_epoch if task.shuffled else full_epochs, donate_argnums=0)
    # compiled ahead of time only to learn how long that takes: the calls below compile for themselves
    last = jax.random.key(0) if task.shuffled else 1
    lowered = by_epoch.lower(first(), X, Y, last) if scan else by_step.lower(first(), hostX[:batch], hostY[:batch])
    compiling = clock(lowered.compile)

    def run_steps(carry: Any, X: np.ndarray, Y: np.ndarray) -> Any:
        for i in range(0, n, batch):
            carry = by_step(carry, X[i : i + batch], Y[i : i + batch])
        return carry

    def run_full(carry: Any, epochs: int) -> Any:
        for _ in range(epochs):
            carry = by_step(carry, X, Y)
        return carry

    def run(carry: Any, epochs: int) -> None:
        if not task.shuffled:
            carry = by_epoch(carry, X, Y, epochs) if scan else run_full(carry, epochs)
            epochs = 0
        for _ in range(epochs):
            if scan:
                state["key"] += 1
                carry = by_epoch(carry, X, Y, jax.random.key(state["key"]))
            else:
                order = rng.permutation(n)
                carry = run_steps(carry, hostX[order], hostY[order])
        state["carry"] = jax.block_until_ready(carry)

    def value_of(carry: Any) -> float:
        return task.value(lambda x: task.forward(carry[0], x))

    def in_order(epochs: int) -> float:
        carry = first()
        fixed = jax.jit(epoch_of, donate_argnums=0)
        for _ in range(epochs):
            carry = fixed(carry, X, Y, jnp.arange(n)) if scan else run_steps(carry, hostX, hostY)
        return value_of(carry)

    def timed(epochs: int) -> float:
        carry = jax.block_until_ready(first())
        return clock(lambda: run(carry, epochs))

    return Peer(timed, lambda: value_of(state["carry"]), in_order, lambda: compiling)


def make_sklearn(task: Task) -> Peer:
    """scikit-learn's MLP, an epoch a call of `partial_fit`.

    Of two classes it makes one logistic output, which is another network: its loss is not compared then.
    """
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    kind = MLPRegressor if task.loss == "mse" else MLPClassifier
    same = task.loss == "mse" or task.sizes[-1] > 2
    known = {} if task.loss == "mse" else {"classes": np.arange(task.sizes[-1])}

    def made(shuffle: bool) -> Any:
        model = kind(
            hidden_layer_sizes=task.sizes[1:-1], activation=task.activation, solver="adam" if task.adam else "sgd", alpha=0.0,
            batch_size=task.batch, learning_rate_init=task.lr, momentum=0.0, nesterovs_momentum=False, random_state=0,
            shuffle=shuffle and task.shuffled,
        )  # fmt: skip
        model.partial_fit(task.X[: task.batch], task.Y[: task.batch], **known)  # shapes and optimizer; then begin anew
        if same:
            model.coefs_ = [np.ascontiguousarray(layer.weight.T) for layer in task.weighted]
            model.intercepts_ = [layer.bias.copy() for layer in task.weighted]
        del model._optimizer
        return model

    def train(model: Any, epochs: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _ in range(epochs):
                model.partial_fit(task.X, task.Y)

    def value_of(model: Any) -> float:
        def forward(x: np.ndarray) -> np.ndarray:
            f = task.forward(zip([w.T for w in model.coefs_], model.intercepts_), x)
            return f if same else np.concatenate([np.zeros_like(f), f], 1)

        return task.value(forward)

    def in_order(epochs: int) -> float | None:
        if not same:
            return None
        fresh = made(False)
        train(fresh, epochs)
        return value_of(fresh)

    held: list[Any] = []

    def timed(epochs: int) -> float:
        held[:] = [made(True)]
        return clock(lambda: train(held[0], epochs))

    return Peer(timed, lambda: value_of(held[0]), in_order)


def make_products(task: Task, threads: int | None = None) -> Peer:
    """Not a training: the matrix products of an update alone, forward and backward, as float32 `np.matmul` with `out=`."""
    from threadpoolctl import threadpool_limits

    rng = np.random.default_rng(0)
    products = []
    for i, (fan_in, fan_out) in enumerate(zip(task.sizes, task.sizes[1:])):
        shapes = (task.batch, fan_in), (fan_out, fan_in), (task.batch, fan_out)
        x, weight, ct = (rng.normal(size=shape).astype(np.float32) for shape in shapes)
        dx, dw, y = (np.empty_like(array) for array in (x, weight, ct))
        products += [(x, weight.T, y), (ct.T, x, dw)] + ([(ct, weight, dx)] if i else [])

    def run(epochs: int) -> None:
        for _ in range(epochs * task.updates):
            for a, b, out in products:
                np.matmul(a, b, out=out)

    def timed(epochs: int) -> float:
        with threadpool_limits(threads, "blas"):
            return clock(lambda: run(epochs))

    return Peer(timed)
