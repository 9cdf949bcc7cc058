"""What the comparisons of sequence models share: a text, and how each library trains on it from the same first parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

import retrograde as rg
from harness import Missing, Peer, Row, clock, compare
from limits import make_limit
from peers import train_torch, without_cache
from retrograde import nn, optim

CHARACTERS, LENGTH, BATCH, LR = 64, 64, 16, 1e-3
NAMES = {
    "retrograde": "retrograde, rg.fit",
    "limit": "multiply-adds alone, all cores",
    "jax-scan": "JAX, lax.scan over an epoch",
    "jax": "JAX, one jitted step a call",
    "torch": "PyTorch, eager",
    "torch-1": "PyTorch, eager, one thread",
    "torch-compile": "PyTorch, torch.compile",
}
OPTIONAL = ("torch-compile",)
UNIT = "µs an update"


@dataclass
class Task:
    """A model of the next character: `net` in retrograde, its twins in PyTorch and JAX, and the products of an update.

    All take numbers of characters (batch, LENGTH) and give logits (batch, LENGTH, CHARACTERS). `torch` makes a module whose
    parameters have the names of `net`'s; `jax` is a function of a dict of parameters by these names, and of the characters.
    """

    net: Any
    torch: Callable[[], Any]
    jax: Callable[[Mapping[str, Any], Any], Any]
    product_flops: int
    X: np.ndarray
    Y: np.ndarray

    def __post_init__(self) -> None:
        self.net = self.net.init(0)

    @property
    def parameters(self) -> dict[str, np.ndarray]:
        """The first parameters by name."""
        return nn.state_dict(self.net)

    @property
    def updates(self) -> int:
        """Updates of an epoch; the batch divides the sequences."""
        return len(self.X) // BATCH

    def value(self, parameters: Mapping[str, Any]) -> float:
        """The loss of the first sequences under these parameters, as retrograde's interpreter finds it."""
        net = nn.load_state_dict(self.net, parameters)
        return float(next_character(net(self.X[:BATCH]), self.Y[:BATCH]))

    def check(self, name: str, first_loss: Any) -> None:
        """All have to be the same model: the loss of the first parameters is the same to 1e-4."""
        if not abs(float(first_loss) - self.value(self.parameters)) < 1e-4:
            raise SystemExit(f"{name} begins at a loss of {float(first_loss):.6f}, not {self.value(self.parameters):.6f}")


def make_text(sequences: int) -> tuple[np.ndarray, np.ndarray]:
    """Sequences of characters and of those that follow: a chain in which each character has a few likely successors."""
    rng = np.random.default_rng(0)
    following = np.cumsum(rng.dirichlet(np.full(CHARACTERS, 0.1), CHARACTERS), axis=1)
    text = np.zeros((sequences, LENGTH + 1), np.int64)
    for i in range(1, LENGTH + 1):
        text[:, i] = np.minimum((following[text[:, i - 1]] < rng.uniform(size=(sequences, 1))).sum(1), CHARACTERS - 1)
    return text[:, :-1], text[:, 1:]


def next_character(logits: Any, target: Any) -> Any:
    """Cross entropy, the mean over sequences and places."""
    return nn.losses.cross_entropy(np.reshape(logits, (-1, CHARACTERS)), np.reshape(target, (-1,)))


def make_retrograde(task: Task) -> Peer:
    """`rg.fit`; compiling and looking up its code is not in the time of training."""
    runs: list[Any] = []

    def fit(epochs: int, shuffle: bool) -> Any:
        return rg.fit(task.net, (task.X, task.Y), loss=next_character, optimizer=optim.Adam(LR), epochs=epochs, shuffle=shuffle,
                      batch_size=BATCH, seed=len(runs))  # fmt: skip

    def timed(epochs: int) -> float:
        runs.append(fit(epochs, True))
        return runs[-1].seconds

    loss = rg.jit(lambda net, x, y: next_character(net(x), y))
    task.check("retrograde, compiled,", loss(task.net, task.X[:BATCH], task.Y[:BATCH]))
    compiling = without_cache(lambda: fit(1, True).compile_seconds)
    return Peer(
        timed, lambda: task.value(nn.state_dict(runs[-1].model)),
        lambda epochs: task.value(nn.state_dict(fit(epochs, False).model)), lambda: compiling,
    )  # fmt: skip


def make_torch(task: Task, threads: int | None = None, compiled: bool = False) -> Peer:
    """PyTorch with its fused Adam, shuffled by one gather an epoch."""
    import torch

    chosen = threads or torch.get_num_threads()
    X, Y = torch.from_numpy(task.X), torch.from_numpy(task.Y)
    net = task.torch()
    call = torch.compile(net) if compiled else net

    def begin() -> Any:
        net.load_state_dict({name: torch.tensor(array) for name, array in task.parameters.items()})
        return torch.optim.Adam(net.parameters(), lr=LR, fused=True)

    def loss(x: Any, y: Any) -> Any:
        return torch.nn.functional.cross_entropy(call(x).flatten(0, 1), y.flatten())

    def timed(count: int) -> float:
        return train_torch(begin(), loss, (X, Y), BATCH, chosen, count, True)

    def value() -> float:
        return task.value({name: array.numpy() for name, array in net.state_dict().items()})

    def in_order(count: int) -> float:
        train_torch(begin(), loss, (X, Y), BATCH, chosen, count, False)
        return value()

    try:
        compiling = clock(lambda: timed(1)) if compiled else None
    except Exception as error:  # the compiler of torch.compile may lack a C++ compiler or a Python version
        raise Missing(f"torch.compile fails here: {str(error).splitlines()[0]}") from None
    begin()
    task.check("PyTorch", loss(X[:BATCH], Y[:BATCH]).item())
    return Peer(timed, value, in_order, lambda: compiling)


def make_jax(task: Task, scan: bool) -> Peer:
    """JAX with optax's Adam: one jitted call a step, or one a whole epoch (`lax.scan`); parameters are donated."""
    import jax
    import jax.numpy as jnp
    import optax

    jax.config.update("jax_platforms", "cpu")
    optimizer, n = optax.adam(LR), len(task.X)

    def loss(params: Any, x: Any, y: Any) -> Any:
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(task.jax(params, x), y))

    def step(carry: Any, x: Any, y: Any) -> Any:
        params, held = carry
        changes, held = optimizer.update(jax.grad(loss)(params, x, y), held, params)
        return optax.apply_updates(params, changes), held

    def epoch(carry: Any, X: Any, Y: Any, order: Any) -> Any:
        return jax.lax.scan(lambda c, at: (step(c, X[at], Y[at]), None), carry, order.reshape(-1, BATCH))[0]

    def shuffled(carry: Any, X: Any, Y: Any, key: Any) -> Any:
        return epoch(carry, X, Y, jax.random.permutation(key, n))

    def first() -> Any:
        params = {name: jnp.array(array) for name, array in task.parameters.items()}
        return params, optimizer.init(params)

    X, Y = jnp.asarray(task.X, jnp.int32), jnp.asarray(task.Y, jnp.int32)
    hostX, hostY, rng = np.asarray(X), np.asarray(Y), np.random.default_rng(0)
    by_step, by_epoch, fixed = (jax.jit(f, donate_argnums=0) for f in (step, shuffled, epoch))
    key = jax.random.key(0)
    task.check("JAX", jax.jit(loss)(first()[0], X[:BATCH], Y[:BATCH]))
    lowered = by_epoch.lower(first(), X, Y, key) if scan else by_step.lower(first(), X[:BATCH], Y[:BATCH])
    compiling, held = clock(lowered.compile), list[Any]()

    def one_epoch(carry: Any, number: int, shuffle: bool) -> Any:
        if scan:
            return by_epoch(carry, X, Y, jax.random.fold_in(key, number)) if shuffle else fixed(carry, X, Y, jnp.arange(n))
        order = rng.permutation(n) if shuffle else np.arange(n)
        x, y = hostX[order], hostY[order]
        for i in range(0, n, BATCH):
            carry = by_step(carry, x[i : i + BATCH], y[i : i + BATCH])
        return carry

    def run(carry: Any, epochs: int, shuffle: bool) -> None:
        for number in range(epochs):
            carry = one_epoch(carry, number, shuffle)
        held[:] = [jax.block_until_ready(carry)]

    def timed(epochs: int) -> float:
        carry = jax.block_until_ready(first())
        return clock(lambda: run(carry, epochs, True))

    def value() -> float:
        return task.value({name: np.asarray(array) for name, array in held[0][0].items()})

    def in_order(epochs: int) -> float:
        run(first(), epochs, False)
        return value()

    return Peer(timed, value, in_order, lambda: compiling)


def measure_task(case: str, task: Task, rounds: int, quick: bool, peers: Sequence[str] | None) -> list[Row]:
    """The rows of a table, with sequences a second and the rate of the products."""
    makers: dict[str, Callable[[], Peer]] = {
        "retrograde": partial(make_retrograde, task),
        "limit": partial(make_limit, task.product_flops * task.updates),
        "jax-scan": partial(make_jax, task, True),
        "jax": partial(make_jax, task, False),
        "torch": partial(make_torch, task),
        "torch-1": partial(make_torch, task, 1),
        "torch-compile": partial(make_torch, task, compiled=True),
    }

    def cells(micro: float) -> dict[str, str]:
        return {"sequences/s": f"{1e6 * BATCH / micro:,.0f}", "GFLOP/s": f"{task.product_flops / micro / 1e3:.1f}"}

    return compare(
        case, makers, NAMES, peers or [name for name in NAMES if name not in OPTIONAL], rounds=rounds,
        seconds=0.1 if quick else 0.4, most_epochs=20, updates=task.updates, in_order=1, tolerance=1e-2, cells=cells,
    )  # fmt: skip
