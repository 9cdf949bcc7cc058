"""256 starts at once: microseconds an update and start, against JAX's vmap, PyTorch's batched products, and one at a time.

    python benchmarks/starts.py [--rounds 7] [--quick] [--peers retrograde,jax-scan]

2-16-16-1 with tanh, batch 32, Adam(1e-3), 1,024 points; and 3-4-2-3-2 with ReLU, one point an update, SGD(0.01), 1,000 points.
Squared error, float32; every start has its own first parameters and its own shuffle. retrograde is `rg.fit(..., starts=256)`;
JAX maps (`vmap`) over a scan over the epoch; PyTorch stacks the parameters and multiplies them in batches (`baddbmm`), which
is what its `vmap` comes to. The tables "alone" have one start by itself in each library: to train 256 one after another takes
256 times that. Rounds of the peers alternate; times are those of steady state, without compilation. Before that every peer
trains from the same parameters without shuffling, and the mean loss of all starts must be the same. The limit is as many
multiply-adds in registers as the products have, on all cores, timed in the same rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

import retrograde as rg
from harness import Peer, Row, clock, compare, run_script
from limits import make_limit
from peers import Task, make_jax, make_retrograde, make_torch, without_cache
from retrograde import nn, optim

UNIT = "µs an update and start"
STARTS = 256
NAMES = {
    "retrograde": "retrograde, rg.fit",
    "limit": "multiply-adds alone, all cores",
    "jax-scan": "JAX, lax.scan over an epoch",
    "torch": "PyTorch, batched products",
    "torch-1": "PyTorch, the same, one thread",
}


def first_parameters(task: Task) -> list[tuple[np.ndarray, np.ndarray]]:
    """(weight, bias) of each layer, all starts stacked: start i is that of seed i."""
    nets = [[layer for layer in task.describe().init(seed) if isinstance(layer, nn.Linear)] for seed in range(STARTS)]
    return [(np.stack([x.weight for x in layer]), np.stack([x.bias for x in layer])) for layer in zip(*nets)]


def mean_value(task: Task, layers: Sequence[tuple[Any, Any]]) -> float:
    """The loss of all points, in float64, as a mean over the starts."""
    held = [(np.asarray(weight), np.asarray(bias)) for weight, bias in layers]
    return float(np.mean([task.value(lambda x, i=i: task.forward([(w[i], b[i]) for w, b in held], x)) for i in range(STARTS)]))


def make_retrograde_starts(task: Task) -> Peer:
    """All starts in one program."""
    runs: list[Any] = []

    def fit(epochs: int, shuffle: bool) -> Any:
        return rg.fit(
            task.describe(), (task.X, task.Y), loss=task.loss, optimizer=optim.Adam(task.lr) if task.adam else optim.SGD(task.lr),
            batch_size=task.batch, epochs=epochs, shuffle=shuffle, starts=STARTS,
        )  # fmt: skip

    def timed(epochs: int) -> float:
        runs[:] = [fit(epochs, True)]
        run = runs[0]
        assert sum(one.updates for one in run.starts) == STARTS * epochs * task.updates, "updates are missing"
        return run.seconds

    def value(run: Any) -> float:
        return float(np.mean([task.value(one.model) for one in run.starts]))

    compiling = without_cache(lambda: fit(1, True).compile_seconds)
    return Peer(timed, lambda: value(runs[0]), lambda epochs: value(fit(epochs, False)), lambda: compiling)


def make_jax_starts(task: Task) -> Peer:
    """`vmap` over starts of a scan over the epoch, one jitted call an epoch."""
    import jax
    import jax.numpy as jnp
    import optax

    jax.config.update("jax_platforms", "cpu")
    optimizer = optax.adam(task.lr) if task.adam else optax.sgd(task.lr)
    activate = jax.nn.relu if task.activation == "relu" else jnp.tanh
    n, batch = len(task.X), task.batch
    X, Y = jnp.array(task.X), jnp.array(task.Y)

    def loss(params: Any, x: Any, y: Any) -> Any:
        for weight, bias in params[:-1]:
            x = activate(x @ weight.T + bias)
        return jnp.mean((x @ params[-1][0].T + params[-1][1] - y) ** 2)

    def step(carry: Any, at: Any) -> Any:
        params, held = carry
        changes, held = optimizer.update(jax.grad(loss)(params, X[at], Y[at]), held, params)
        return (optax.apply_updates(params, changes), held), None

    def epoch_of(carry: Any, order: Any) -> Any:
        return jax.lax.scan(step, carry, order.reshape(-1, batch))[0]

    def shuffled(carry: Any, key: Any) -> Any:
        return epoch_of(carry, jax.random.permutation(key, n))

    def first() -> Any:
        params = [(jnp.array(weight), jnp.array(bias)) for weight, bias in first_parameters(task)]
        return params, jax.vmap(optimizer.init)(params)

    in_turn = jax.jit(jax.vmap(epoch_of, in_axes=(0, None)), donate_argnums=0)
    at_random = jax.jit(jax.vmap(shuffled), donate_argnums=0)
    compiling = clock(at_random.lower(first(), jax.random.split(jax.random.key(0), STARTS)).compile)
    state: dict[str, Any] = {"key": 0}

    def run(carry: Any, epochs: int) -> None:
        for _ in range(epochs):
            state["key"] += 1
            carry = at_random(carry, jax.random.split(jax.random.key(state["key"]), STARTS))
        state["carry"] = jax.block_until_ready(carry)

    def timed(epochs: int) -> float:
        carry = jax.block_until_ready(first())
        return clock(lambda: run(carry, epochs))

    def in_order(epochs: int) -> float:
        carry = first()
        for _ in range(epochs):
            carry = in_turn(carry, jnp.arange(n))
        return mean_value(task, carry[0])

    return Peer(timed, lambda: mean_value(task, state["carry"][0]), in_order, lambda: compiling)


def make_torch_starts(task: Task, threads: int | None = None) -> Peer:
    """Stacked parameters, one batched product a layer; Adam and SGD go by elements, so one optimizer serves all starts."""
    import torch

    default = torch.get_num_threads()
    X, Y = torch.from_numpy(task.X), torch.from_numpy(task.Y)
    activate = torch.relu if task.activation == "relu" else torch.tanh
    kind = partial(torch.optim.Adam, fused=True) if task.adam else torch.optim.SGD
    first = first_parameters(task)
    state: dict[str, Any] = {}

    def epochs_of(count: int, shuffle: bool) -> float:
        layers = [(torch.tensor(w, requires_grad=True), torch.tensor(b, requires_grad=True)) for w, b in first]
        optimizer = kind([p for layer in layers for p in layer], lr=task.lr)

        def update(x: Any, y: Any) -> None:
            optimizer.zero_grad()
            for i, (weight, bias) in enumerate(layers):
                x = torch.baddbmm(bias[:, None], activate(x) if i else x, weight.mT)
            ((x - y) ** 2).mean((1, 2)).sum().backward()
            optimizer.step()

        def epoch() -> None:
            order = torch.rand(STARTS, len(X)).argsort(1) if shuffle else torch.arange(len(X)).expand(STARTS, -1)
            for at in order.split(task.batch, 1):
                update(X[at], Y[at])

        torch.set_num_threads(threads or default)
        try:
            return clock(lambda: [epoch() for _ in range(count)])
        finally:
            torch.set_num_threads(default)
            state["layers"] = [(w.detach().numpy(), b.detach().numpy()) for w, b in layers]

    def in_order(epochs: int) -> float:
        epochs_of(epochs, False)
        return mean_value(task, state["layers"])

    return Peer(lambda epochs: epochs_of(epochs, True), lambda: mean_value(task, state["layers"]), in_order)


def make_tasks() -> dict[str, Task]:
    """The two networks, by the words of their tables."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, (1024, 2)).astype(np.float32)
    Y = (np.sin(2 * X[:, :1]) * np.cos(X[:, 1:])).astype(np.float32)
    Z = rng.normal(size=(1000, 3)).astype(np.float32)
    W = np.stack([np.sin(Z[:, 0]) + Z[:, 1], np.abs(Z[:, 1]) - Z[:, 2]], 1).astype(np.float32)
    return {
        "2-16-16-1, tanh, batch 32, Adam": Task((2, 16, 16, 1), X, Y, 32, "mse", True, 1e-3, "tanh"),
        "3-4-2-3-2, ReLU, one point an update, SGD": Task((3, 4, 2, 3, 2), Z, W, 1, "mse", False, 0.01),
    }


def measure(rounds: int = 7, *, quick: bool = False, peers: Sequence[str] | None = None) -> list[Row]:
    """The rows of the tables; `quick` takes shorter rounds."""
    rows = []
    for words, task in make_tasks().items():
        flops = task.product_flops * task.updates
        makers: dict[str, Callable[[], Peer]] = {
            "retrograde": partial(make_retrograde_starts, task),
            "limit": partial(make_limit, flops * STARTS),
            "jax-scan": partial(make_jax_starts, task),
            "torch": partial(make_torch_starts, task),
            "torch-1": partial(make_torch_starts, task, 1),
        }
        alone: dict[str, Callable[[], Peer]] = {
            "retrograde": partial(make_retrograde, task),
            "limit": partial(make_limit, flops),
            "jax-scan": partial(make_jax, task, True, unroll=4 if task.batch == 1 else 1),
            "torch-1": partial(make_torch, task, 1),
        }
        one = {**NAMES, "jax-scan": "JAX, lax.scan over an epoch", "torch-1": "PyTorch, eager, one thread"}
        wanted = list(peers or NAMES)
        seconds = 0.1 if quick else 0.3
        rows += compare(
            f"{STARTS} starts at once: {words}", makers, NAMES | {"jax-scan": "JAX, vmap of lax.scan over an epoch"}, wanted,
            rounds=rounds, seconds=seconds, most_epochs=30, updates=task.updates * STARTS, in_order=1, tolerance=1e-2,
        )  # fmt: skip
        rows += compare(
            f"One start alone: {words}", alone, one, [name for name in wanted if name in alone],
            rounds=rounds, seconds=seconds, most_epochs=8192, updates=task.updates, in_order=1, tolerance=1e-2,
        )  # fmt: skip
    return rows


if __name__ == "__main__":
    run_script(__doc__, NAMES, measure, UNIT)
