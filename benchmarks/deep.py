"""Deep and narrow: 64 layers of width 32, microseconds an update, against JAX and PyTorch.

    python benchmarks/deep.py [--rounds 7] [--quick] [--peers retrograde,jax-scan]

ReLU, squared error, batch 16 of 1,024 points, Adam(1e-4), float32, shuffled each epoch. Rounds of the peers alternate; times
are those of steady state, without compilation. Before that every peer trains from the same parameters without shuffling, and
all must reach the same loss. GFLOP/s counts the 191 products of an update; the limit is as many multiply-adds in registers
alone, on all cores, timed in the same rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from harness import Peer, Row, compare, run_script
from limits import make_limit
from peers import Task, make_jax, make_products, make_retrograde, make_sklearn, make_torch

UNIT = "µs an update"
NAMES = {
    "retrograde": "retrograde, rg.fit",
    "limit": "multiply-adds alone, all cores",
    "products": "products alone, np.matmul, one thread",
    "jax-scan": "JAX, lax.scan over an epoch",
    "jax": "JAX, one jitted step a call",
    "torch": "PyTorch, eager, one thread",
    "sklearn": "scikit-learn, MLPRegressor",
}
LAYERS, WIDTH, BATCH = 64, 32, 16


def make_task(points: int = 1024) -> Task:
    """Smooth functions of the points, as many as the layers are wide."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(points, WIDTH)).astype(np.float32)
    Y = np.tanh(X @ rng.normal(size=(WIDTH, WIDTH)) / np.sqrt(WIDTH))
    return Task((WIDTH,) * (LAYERS + 1), X, Y.astype(np.float32), BATCH, "mse", True, 1e-4)


def measure(rounds: int = 7, *, quick: bool = False, peers: Sequence[str] | None = None) -> list[Row]:
    """The rows of the table; `quick` takes shorter rounds."""
    task = make_task()
    makers: dict[str, Callable[[], Peer]] = {
        "retrograde": partial(make_retrograde, task),
        "limit": partial(make_limit, task.product_flops * task.updates),
        "products": partial(make_products, task, 1),
        "jax-scan": partial(make_jax, task, True),
        "jax": partial(make_jax, task, False),
        "torch": partial(make_torch, task, 1),
        "sklearn": partial(make_sklearn, task),
    }
    flops = task.product_flops
    return compare(
        f"Deep and narrow: {LAYERS} layers of {WIDTH}, batch {BATCH}, Adam, squared error", makers, NAMES, peers, rounds=rounds,
        seconds=0.1 if quick else 0.3, most_epochs=100, updates=task.updates, in_order=1, tolerance=1e-2,
        cells=lambda micro: {"GFLOP/s": f"{flops / micro / 1e3:.1f}"},
    )  # fmt: skip


if __name__ == "__main__":
    run_script(__doc__, NAMES, measure, UNIT)
